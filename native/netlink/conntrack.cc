#include "netlink/conntrack.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_sctp.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cstring>

#include "netlink/request.h"
#include "packet/protocols.h"

namespace flowsieve {
namespace {

/// CTA_STATUS_MASK, which the headers of older kernels lack.
constexpr uint16_t kStatusMask = 26;

/// Reads a value of exactly the size that its type has; attributes are in network order.
bool read(Bytes value, uint8_t& out) {
  if (value.size != 1) return false;
  out = value.data[0];
  return true;
}
bool read(Bytes value, uint16_t& out) {
  if (value.size != 2) return false;
  out = load_be16(value.data);
  return true;
}
bool read(Bytes value, uint32_t& out) {
  if (value.size != 4) return false;
  out = load_be32(value.data);
  return true;
}
bool read_address(Bytes value, size_t bytes, Address& out) {
  if (value.size != bytes) return false;
  if (bytes == 4) {
    out = mapped_ipv4(value.data);
  } else {
    std::memcpy(out.data(), value.data, out.size());
  }
  return true;
}

/// The addresses of a tuple, all of one family.
bool read_addresses(Bytes nested, Key& key) {
  const bool ipv4 = key.family == Family::kIpv4;
  bool source = false, destination = false;
  AttributeWalk walk(nested);
  for (NetlinkAttribute attribute; walk.next(attribute);) {
    switch (attribute.type) {
      case CTA_IP_V4_SRC:
      case CTA_IP_V6_SRC:
        if (ipv4 != (attribute.type == CTA_IP_V4_SRC)) return false;
        if (!read_address(attribute.value, ipv4 ? 4 : 16, key.source)) return false;
        source = true;
        break;
      case CTA_IP_V4_DST:
      case CTA_IP_V6_DST:
        if (ipv4 != (attribute.type == CTA_IP_V4_DST)) return false;
        if (!read_address(attribute.value, ipv4 ? 4 : 16, key.destination)) return false;
        destination = true;
        break;
      default:
        break;
    }
  }
  return source && destination && !walk.damaged();
}

/// The protocol of a tuple and its ports; of ICMP the identifier, on the side that asks.
bool read_protocol(Bytes nested, Key& key) {
  bool number = false;
  uint16_t id = 0;
  uint8_t type = 0;
  AttributeWalk walk(nested);
  for (NetlinkAttribute attribute; walk.next(attribute);) {
    bool fits = true;
    switch (attribute.type) {
      case CTA_PROTO_NUM:
        fits = number = read(attribute.value, key.protocol);
        break;
      case CTA_PROTO_SRC_PORT:
        fits = read(attribute.value, key.source_port);
        break;
      case CTA_PROTO_DST_PORT:
        fits = read(attribute.value, key.destination_port);
        break;
      case CTA_PROTO_ICMP_ID:
      case CTA_PROTO_ICMPV6_ID:
        fits = read(attribute.value, id);
        break;
      case CTA_PROTO_ICMP_TYPE:
      case CTA_PROTO_ICMPV6_TYPE:
        fits = read(attribute.value, type);
        break;
      default:
        break;
    }
    if (!fits) return false;
  }
  if (key.protocol == kProtocolIcmp || key.protocol == kProtocolIcmp6) {
    // Replies of the queries (RFC 792, RFC 950, RFC 4443): echo, time stamp, address mask.
    const bool reply = key.protocol == kProtocolIcmp
                           ? type == 0 || type == 14 || type == 16 || type == 18
                           : type == 129;
    (reply ? key.destination_port : key.source_port) = id;
  }
  return number && !walk.damaged();
}

bool read_tuple(Bytes nested, Family family, Key& key, uint16_t& zone) {
  key = Key{};
  key.family = family;
  bool addresses = false, protocol = false, zone_fits = true;
  AttributeWalk walk(nested);
  for (NetlinkAttribute attribute; walk.next(attribute);) {
    switch (attribute.type) {
      case CTA_TUPLE_IP:
        addresses = read_addresses(attribute.value, key);
        break;
      case CTA_TUPLE_PROTO:
        protocol = read_protocol(attribute.value, key);
        break;
      case CTA_TUPLE_ZONE:
        zone_fits = read(attribute.value, zone);
        break;
      default:
        break;
    }
  }
  return addresses && protocol && zone_fits && !walk.damaged();
}

/// The state of TCP or SCTP, nested twice.
bool read_state(Bytes nested, uint8_t& state) {
  AttributeWalk walk(nested);
  for (NetlinkAttribute attribute; walk.next(attribute);) {
    const bool tcp = attribute.type == CTA_PROTOINFO_TCP;
    if (!tcp && attribute.type != CTA_PROTOINFO_SCTP) continue;
    const uint16_t wanted =
        tcp ? uint16_t{CTA_PROTOINFO_TCP_STATE} : uint16_t{CTA_PROTOINFO_SCTP_STATE};
    AttributeWalk inner(attribute.value);
    for (NetlinkAttribute info; inner.next(info);) {
      if (info.type == wanted && !read(info.value, state)) return false;
    }
    if (inner.damaged()) return false;
  }
  return !walk.damaged();
}

bool read_attributes(Bytes attributes, Family family, TrackedConnection& connection) {
  bool original = false, reply = false;
  AttributeWalk walk(attributes);
  for (NetlinkAttribute attribute; walk.next(attribute);) {
    bool fits = true;
    switch (attribute.type) {
      case CTA_TUPLE_ORIG:
        fits = original = read_tuple(attribute.value, family, connection.original, connection.zone);
        break;
      case CTA_TUPLE_REPLY:
        fits = reply = read_tuple(attribute.value, family, connection.reply, connection.zone);
        break;
      case CTA_STATUS:
        fits = read(attribute.value, connection.status);
        break;
      case CTA_PROTOINFO:
        fits = read_state(attribute.value, connection.state);
        break;
      case CTA_TIMEOUT:
        fits = read(attribute.value, connection.timeout_s);
        break;
      case CTA_ID:
        fits = read(attribute.value, connection.id);
        break;
      case CTA_ZONE:
        fits = read(attribute.value, connection.zone);
        break;
      default:
        break;
    }
    if (!fits) return false;
  }
  return original && reply && connection.original.protocol == connection.reply.protocol &&
         !walk.damaged();
}

}  // namespace

bool is_ending(const TrackedConnection& connection) {
  if (connection.event == TrackedEvent::kDestroy || (connection.status & IPS_DYING) != 0)
    return true;
  if (connection.original.protocol == kProtocolTcp) {
    return connection.state == TCP_CONNTRACK_TIME_WAIT || connection.state == TCP_CONNTRACK_CLOSE;
  }
  return connection.original.protocol == kProtocolSctp &&
         (connection.state == SCTP_CONNTRACK_CLOSED ||
          connection.state == SCTP_CONNTRACK_SHUTDOWN_ACK_SENT);
}

ReadTracked read_tracked(const NetlinkMessage& message, TrackedConnection& connection) {
  connection = TrackedConnection{};
  if (message.type >> 8 != NFNL_SUBSYS_CTNETLINK) return ReadTracked::kOther;
  switch (message.type & 0xff) {
    case IPCTNL_MSG_CT_NEW:
      // A listener is told of a beginning with NLM_F_CREATE, and of a change without it; a dump
      // tells with NLM_F_MULTI of what is there.
      connection.event = (message.flags & (NLM_F_CREATE | NLM_F_MULTI)) != 0
                             ? TrackedEvent::kNew
                             : TrackedEvent::kUpdate;
      break;
    case IPCTNL_MSG_CT_DELETE:
      connection.event = TrackedEvent::kDestroy;
      break;
    default:
      return ReadTracked::kOther;
  }
  nfgenmsg header;
  if (!message.payload.has(0, sizeof(header))) return ReadTracked::kMalformed;
  std::memcpy(&header, message.payload.data, sizeof(header));
  if (header.nfgen_family != AF_INET && header.nfgen_family != AF_INET6) return ReadTracked::kOther;
  const Family family = header.nfgen_family == AF_INET ? Family::kIpv4 : Family::kIpv6;
  return read_attributes(message.payload.from(sizeof(header)), family, connection)
             ? ReadTracked::kConnection
             : ReadTracked::kMalformed;
}

std::vector<uint8_t> tracked_request(Family family, uint32_t status_bits, uint32_t sequence) {
  RequestBuilder request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP,
                         sequence);
  nfgenmsg header{};
  header.nfgen_family = family == Family::kIpv4 ? AF_INET : AF_INET6;
  header.version = NFNETLINK_V0;
  request.add(&header, sizeof(header));
  if (status_bits != 0) {
    request.add_be32(CTA_STATUS, status_bits);
    request.add_be32(kStatusMask, status_bits);
  }
  return request.finish();
}

}  // namespace flowsieve
