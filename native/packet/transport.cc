#include "packet/transport.h"

#include "packet/protocols.h"

namespace flowsieve {
namespace {

constexpr size_t kPortsBytes = 4, kTcpBytes = 20, kTcpFlagsEnd = 14, kUdpBytes = 8, kSctpBytes = 12,
                 kIcmpBytes = 4, kIcmpQueryBytes = 8, kIcmpIdentifierEnd = 6;
constexpr uint8_t kSctpInit = 1, kSctpAbort = 6, kSctpShutdownComplete = 14;

/// What an ICMP type is to connections.
enum class IcmpClass : uint8_t { kAsks, kAnswers, kError, kControl, kOther };

/// RFC 792, RFC 950 (address mask), RFC 1256 (router discovery).
IcmpClass icmp_class(uint8_t type) {
  switch (type) {
    case 8:
    case 13:
    case 15:
    case 17:
      return IcmpClass::kAsks;
    case 0:
    case 14:
    case 16:
    case 18:
      return IcmpClass::kAnswers;
    case 3:
    case 4:
    case 5:
    case 11:
    case 12:
      return IcmpClass::kError;
    case 9:
    case 10:
      return IcmpClass::kControl;
    default:
      return IcmpClass::kOther;
  }
}

/// RFC 4443 2.1: types below 128 are errors, known or not. Control: multicast listener discovery,
/// neighbour discovery and router renumbering 130-138 (RFC 2710, 4861, 2894), inverse discovery
/// 141, 142 (RFC 3122), MLDv2 143 (RFC 3810), secure discovery 148, 149 (RFC 3971), multicast
/// router discovery 151-153 (RFC 4286), RPL 155 (RFC 6550), duplicate address 157, 158 (RFC 6775),
/// MPL 159 (RFC 7731).
IcmpClass icmp6_class(uint8_t type) {
  if (type >= 1 && type <= 127) return IcmpClass::kError;
  if (type == 128) return IcmpClass::kAsks;
  if (type == 129) return IcmpClass::kAnswers;
  const bool control = (type >= 130 && type <= 138) || (type >= 141 && type <= 143) ||
                       type == 148 || type == 149 || (type >= 151 && type <= 153) || type == 155 ||
                       (type >= 157 && type <= 159);
  return control ? IcmpClass::kControl : IcmpClass::kOther;
}

bool is_icmp(const Key& key) {
  return key.protocol == (key.family == Family::kIpv4 ? kProtocolIcmp : kProtocolIcmp6);
}

IcmpClass icmp_class(Family family, uint8_t type) {
  return family == Family::kIpv4 ? icmp_class(type) : icmp6_class(type);
}

/// 224.0.0.0/24 (RFC 5771) and ff02::/16 (RFC 4291): never forwarded, so whoever speaks there
/// speaks to its neighbours.
bool is_link_local_multicast(const Key& key) {
  const Address& to = key.destination;
  if (key.family == Family::kIpv6) return to[0] == 0xff && to[1] == 0x02;
  return to[12] == 224 && to[13] == 0 && to[14] == 0;
}

/// A protocol without ports, or an ICMP message that is neither query, error nor control: its
/// addresses and its number are all that names a connection.
Kind kind_without_ports(const Key& key) {
  if (key.protocol == kProtocolIgmp || is_link_local_multicast(key)) return Kind::kControl;
  return Kind::kFlow;
}

void load_ports(const uint8_t* header, Key& key) {
  key.source_port = load_be16(header);
  key.destination_port = load_be16(header + 2);
}

void load_identifier(const uint8_t* header, IcmpClass side, Key& key) {
  uint16_t& port = side == IcmpClass::kAsks ? key.source_port : key.destination_port;
  port = load_be16(header + 4);
}

/// kNone when a packet that carried `whole` bytes of header can be used with `needed`
/// of them captured.
Drop check(const Window& window, size_t at, size_t whole, size_t needed) {
  if (!window.reaches(at, whole)) return Drop::kTransportShort;
  return window.bytes.has(at, needed) ? Drop::kNone : Drop::kCutShort;
}

Drop read_tcp(const IpLayer& ip, Packet& packet) {
  const size_t at = ip.transport;
  const Bytes& bytes = ip.window.bytes;
  const Drop drop = ip.is_fragment ? check(ip.window, at, kPortsBytes, kPortsBytes)
                                   : check(ip.window, at, kTcpBytes, kTcpFlagsEnd);
  if (drop != Drop::kNone) return drop;
  const uint8_t* header = bytes.data + at;
  load_ports(header, packet.flow);
  packet.kind = Kind::kFlow;
  if (!bytes.has(at, kTcpFlagsEnd)) return Drop::kNone;
  if (header[12] >> 4 < 5) return Drop::kTcpOffset;
  packet.tcp_flags = header[13];
  packet.opening = (header[13] & (kTcpSyn | kTcpAck)) == kTcpSyn;
  return Drop::kNone;
}

Drop read_udp(const IpLayer& ip, Packet& packet) {
  const size_t whole = ip.is_fragment ? kPortsBytes : kUdpBytes;
  const Drop drop = check(ip.window, ip.transport, whole, kPortsBytes);
  if (drop != Drop::kNone) return drop;
  load_ports(ip.window.bytes.data + ip.transport, packet.flow);
  packet.kind = Kind::kFlow;
  return Drop::kNone;
}

/// The first chunk tells: INIT and SHUTDOWN COMPLETE are never bundled (RFC 9260 6.10), and of an
/// ABORT that is, the association's end is seen by its timeout.
Drop read_sctp(const IpLayer& ip, Packet& packet) {
  const size_t at = ip.transport;
  const Window& window = ip.window;
  const bool has_chunk = window.reaches(at, kSctpBytes + 1);
  const Drop drop = ip.is_fragment
                        ? check(window, at, kPortsBytes, kPortsBytes)
                        : check(window, at, kSctpBytes, has_chunk ? kSctpBytes + 1 : kPortsBytes);
  if (drop != Drop::kNone) return drop;
  const uint8_t* header = window.bytes.data + at;
  load_ports(header, packet.flow);
  packet.kind = Kind::kFlow;
  if (!window.bytes.has(at, kSctpBytes + 1)) return Drop::kNone;
  const uint8_t chunk = header[kSctpBytes];
  packet.opening = chunk == kSctpInit;
  packet.sctp_closing = chunk == kSctpAbort || chunk == kSctpShutdownComplete;
  return Drop::kNone;
}

/// The connection that a quoted packet belongs to, in the quoted packet's direction. Any reason
/// means that it names none.
Drop read_quoted_flow(const IpLayer& quote, Key& flow) {
  flow = quote.key;
  const size_t at = quote.transport;
  if (quote.is_later) return Drop::kQuoteUnusable;
  if (flow.protocol == kProtocolTcp || flow.protocol == kProtocolUdp ||
      flow.protocol == kProtocolSctp) {
    const Drop drop = quote.window.lack(at, kPortsBytes, Drop::kQuoteUnusable);
    if (drop == Drop::kNone) load_ports(quote.window.bytes.data + at, flow);
    return drop;
  }
  if (!is_icmp(flow)) {
    return kind_without_ports(flow) == Kind::kFlow ? Drop::kNone : Drop::kQuoteUnusable;
  }
  Drop drop = quote.window.lack(at, 1, Drop::kQuoteUnusable);
  if (drop != Drop::kNone) return drop;
  const uint8_t* header = quote.window.bytes.data + at;
  const IcmpClass side = icmp_class(flow.family, header[0]);
  switch (side) {
    case IcmpClass::kAsks:
    case IcmpClass::kAnswers:
      drop = quote.window.lack(at, kIcmpIdentifierEnd, Drop::kQuoteUnusable);
      if (drop == Drop::kNone) load_identifier(header, side, flow);
      return drop;
    case IcmpClass::kOther:
      return kind_without_ports(flow) == Kind::kFlow ? Drop::kNone : Drop::kQuoteUnusable;
    default:
      return Drop::kQuoteUnusable;
  }
}

/// An ICMP error: its second word differs by type, the quote begins behind it.
Drop read_error(const IpLayer& ip, Packet& packet) {
  IpLayer quote;
  Drop drop = read_ip(ip.window, ip.transport + 8u, Reading::kQuote, quote);
  if (drop == Drop::kNone) drop = read_quoted_flow(quote, packet.flow);
  if (drop != Drop::kNone) {
    return drop == Drop::kCutShort ? Drop::kCutShort : Drop::kQuoteUnusable;
  }
  packet.flow = reversed(packet.flow);
  packet.kind = Kind::kError;
  return Drop::kNone;
}

Drop read_icmp(const IpLayer& ip, Packet& packet) {
  const size_t at = ip.transport;
  Drop drop = check(ip.window, at, kIcmpBytes, 1);
  if (drop != Drop::kNone) return drop;
  const uint8_t* header = ip.window.bytes.data + at;
  const IcmpClass side = icmp_class(ip.key.family, header[0]);
  switch (side) {
    case IcmpClass::kError:
      return read_error(ip, packet);
    case IcmpClass::kControl:
      packet.kind = Kind::kControl;
      return Drop::kNone;
    case IcmpClass::kOther:
      packet.kind = kind_without_ports(packet.flow);
      return Drop::kNone;
    case IcmpClass::kAsks:
    case IcmpClass::kAnswers:
      break;
  }
  drop = check(ip.window, at, kIcmpQueryBytes, kIcmpIdentifierEnd);
  if (drop != Drop::kNone) return drop;
  load_identifier(header, side, packet.flow);
  packet.query_reply = side == IcmpClass::kAnswers;
  packet.kind = Kind::kFlow;
  return Drop::kNone;
}

}  // namespace

Drop read_transport(const IpLayer& ip, Packet& packet) {
  packet.flow = ip.key;
  switch (ip.key.protocol) {
    case kProtocolTcp:
      return read_tcp(ip, packet);
    case kProtocolUdp:
      return read_udp(ip, packet);
    case kProtocolSctp:
      return read_sctp(ip, packet);
    case kProtocolIcmp:
    case kProtocolIcmp6:
      if (is_icmp(ip.key)) return read_icmp(ip, packet);
      break;
    default:
      break;
  }
  packet.kind = kind_without_ports(packet.flow);
  return Drop::kNone;
}

}  // namespace flowsieve
