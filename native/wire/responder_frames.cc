// The pure half of the responder: frames in, frames out.
#include <linux/if_ether.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "wire/responder.h"

namespace flowsieve {

namespace {

constexpr size_t kArpBytes = 28;
constexpr uint16_t kArpRequest = 1, kArpReply = 2;
constexpr uint8_t kHopLimit = 255;
constexpr uint8_t kSolicitation = 135, kAdvertisement = 136;
constexpr uint8_t kOptionSourceMac = 1, kOptionTargetMac = 2;
constexpr size_t kIpv6Bytes = 40, kNeighbourBytes = 24, kOptionBytes = 8;
constexpr uint8_t kFlagRouter = 0x80, kFlagSolicited = 0x40, kFlagOverride = 0x20;
constexpr uint8_t kNeedsChecksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
constexpr Address kUnspecified{};
constexpr Address kAllNodes{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

template <typename T>
T copy_from(const uint8_t* from) {
  T value;
  std::memcpy(value.data(), from, value.size());
  return value;
}

/// Writes front to back into a frame that is known to be large enough.
struct Writer {
  uint8_t* next;

  void bytes(const uint8_t* from, size_t count) {
    std::memcpy(next, from, count);
    next += count;
  }
  template <size_t N>
  void array(const std::array<uint8_t, N>& from) {
    bytes(from.data(), N);
  }
  void u8(uint8_t value) { *next++ = value; }
  void u16(uint16_t value) {
    store_be16(next, value);
    next += 2;
  }
};

/// RFC 1071 over the ICMPv6 message and its pseudo header (RFC 8200 8.1).
uint16_t icmp6_checksum(const uint8_t* source, const uint8_t* destination, Bytes message) {
  uint64_t sum = message.size + IPPROTO_ICMPV6;
  for (size_t i = 0; i < 16; i += 2) sum += load_be16(source + i) + load_be16(destination + i);
  for (size_t i = 0; i + 1 < message.size; i += 2) sum += load_be16(message.data + i);
  if (message.size % 2 != 0) sum += uint32_t{message.data[message.size - 1]} << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

/// The link header: what stands between the two MACs and the payload.
struct Link {
  size_t bytes = 0;
  uint16_t ethertype = 0;
};

bool read_link_header(Bytes frame, Link& link) {
  size_t at = 12;
  for (int tags = 0;; ++tags) {
    if (!frame.has(at, 2)) return false;
    link.ethertype = load_be16(frame.data + at);
    if (link.ethertype != ETH_P_8021Q && link.ethertype != ETH_P_8021AD) break;
    if (tags == kLinkTagsMax) return false;
    at += 4;
  }
  link.bytes = at + 2;
  return true;
}

/// The answer's link header: to `destination`, with the question's tags.
void write_link_header(Writer& out, const Mac& destination, const Mac& own, const Frame& question,
                       const Link& link) {
  out.array(destination);
  out.array(own);
  if (question.vlan_tpid != 0) {
    out.u16(question.vlan_tpid);
    out.u16(question.vlan_tci);
  }
  out.bytes(question.bytes.data + 12, link.bytes - 12);
}

struct Arp {
  uint16_t operation;
  Mac sender_mac;
  Address sender, target;
};

/// False unless it is ARP for IPv4 over Ethernet, whole.
bool read_arp(Bytes payload, Arp& arp) {
  if (!payload.has(0, kArpBytes)) return false;
  const uint8_t* p = payload.data;
  if (load_be16(p) != 1 || load_be16(p + 2) != ETH_P_IP || p[4] != 6 || p[5] != 4) return false;
  arp.operation = load_be16(p + 6);
  arp.sender_mac = copy_from<Mac>(p + 8);
  arp.sender = mapped_ipv4(p + 14);
  arp.target = mapped_ipv4(p + 24);
  return !is_multicast(arp.sender_mac) || arp.operation == kArpReply;
}

void write_arp(Writer& out, uint16_t operation, const Mac& sender_mac, const Address& sender,
               const Mac& target_mac, const Address& target) {
  out.u16(1);
  out.u16(ETH_P_IP);
  out.u8(6);
  out.u8(4);
  out.u16(operation);
  out.array(sender_mac);
  out.bytes(sender.data() + 12, 4);
  out.array(target_mac);
  out.bytes(target.data() + 12, 4);
}

void write_neighbour(Writer& out, uint8_t type, const Address& source, const Address& destination,
                     uint8_t flags, const Address& target, const Mac* target_mac) {
  const size_t bytes = kNeighbourBytes + (target_mac != nullptr ? kOptionBytes : 0);
  out.u8(0x60);
  out.u8(0);
  out.u16(0);
  out.u16(static_cast<uint16_t>(bytes));
  out.u8(IPPROTO_ICMPV6);
  out.u8(kHopLimit);
  out.array(source);
  out.array(destination);
  uint8_t* message = out.next;
  out.u8(type);
  out.u8(0);
  out.u16(0);
  out.u8(flags);
  out.u8(0);
  out.u16(0);
  out.array(target);
  if (target_mac != nullptr) {
    out.u8(kOptionTargetMac);
    out.u8(1);
    out.array(*target_mac);
  }
  store_be16(message + 2, icmp6_checksum(source.data(), destination.data(), {message, bytes}));
}

/// A solicitation or advertisement, found to be what RFC 4861 7.1 demands of both.
struct Neighbour {
  uint8_t type = 0;
  uint8_t flags = 0;
  Address source, destination, target;
  bool has_mac = false;  ///< a link-layer address option came along
  Mac mac{};
};

/// Options (RFC 4861 4.6): a length in units of 8 bytes, never 0. Fills in the link-layer address
/// of kind `wanted`.
bool read_options(Bytes options, uint8_t wanted, Neighbour& neighbour) {
  while (options.size > 0) {
    if (!options.has(0, 2) || options.data[1] == 0) return false;
    const size_t bytes = size_t{options.data[1]} * 8;
    if (!options.has(0, bytes)) return false;
    if (options.data[0] == wanted) {
      neighbour.has_mac = true;
      neighbour.mac = copy_from<Mac>(options.data + 2);
    }
    options = options.from(bytes);
  }
  return true;
}

Asked read_neighbour(const Frame& frame, const Link& link, Neighbour& neighbour) {
  const Bytes ip = frame.bytes.from(link.bytes);
  // ICMPv6 directly behind the IPv6 header: a solicitation behind extension headers is none that
  // anybody sends.
  if (!ip.has(0, kIpv6Bytes + 1) || ip.data[0] >> 4 != 6 || ip.data[6] != IPPROTO_ICMPV6) {
    return Asked::kNothing;
  }
  neighbour.type = ip.data[kIpv6Bytes];
  if (neighbour.type != kSolicitation && neighbour.type != kAdvertisement) return Asked::kNothing;
  const size_t payload = load_be16(ip.data + 4);
  if (payload < kNeighbourBytes || !ip.has(kIpv6Bytes, payload)) return Asked::kMalformed;
  const Bytes message = ip.from(kIpv6Bytes).first(payload);
  neighbour.source = copy_from<Address>(ip.data + 8);
  neighbour.destination = copy_from<Address>(ip.data + 24);
  neighbour.target = copy_from<Address>(message.data + 8);
  neighbour.flags = message.data[4];
  // A sum that the sending host left to its hardware cannot be wrong and is not there yet.
  const bool unsummed = (frame.offload.flags & kNeedsChecksum) != 0;
  if (ip.data[7] != kHopLimit || message.data[1] != 0 || neighbour.target[0] == 0xff ||
      (!unsummed && icmp6_checksum(ip.data + 8, ip.data + 24, message) != 0)) {
    return Asked::kMalformed;
  }
  const uint8_t wanted = neighbour.type == kSolicitation ? kOptionSourceMac : kOptionTargetMac;
  if (!read_options(message.from(kNeighbourBytes), wanted, neighbour)) return Asked::kMalformed;
  return Asked::kAnswered;
}

uint8_t advertised_flags(const Resolution& resolution) {
  return static_cast<uint8_t>(kFlagOverride | (resolution.router ? kFlagRouter : 0));
}

bool is_ours(const Resolution& resolution, const Address& address, Family family) {
  return family_of(address) == family &&
         std::find(resolution.addresses.begin(), resolution.addresses.end(), address) !=
             resolution.addresses.end();
}

Asked answer_arp(const Resolution& resolution, const Frame& frame, const Link& link, Writer& out) {
  Arp arp;
  if (!read_arp(frame.bytes.from(link.bytes), arp)) return Asked::kMalformed;
  // An announcement (sender = target) is no question; the other nodes of the cluster make them too.
  if (arp.operation != kArpRequest || !is_ours(resolution, arp.target, Family::kIpv4) ||
      arp.sender == arp.target) {
    return Asked::kNothing;
  }
  write_link_header(out, arp.sender_mac, resolution.own, frame, link);
  write_arp(out, kArpReply, resolution.cluster, arp.target, arp.sender_mac, arp.sender);
  return Asked::kAnswered;
}

Asked answer_solicitation(const Resolution& resolution, const Frame& frame, const Link& link,
                          Writer& out) {
  Neighbour asked;
  if (const Asked read = read_neighbour(frame, link, asked); read != Asked::kAnswered) return read;
  if (asked.type != kSolicitation || !is_ours(resolution, asked.target, Family::kIpv6)) {
    return Asked::kNothing;
  }
  if (asked.source[0] == 0xff) return Asked::kMalformed;
  const bool nameless = asked.source == kUnspecified;
  const Mac asker = copy_from<Mac>(frame.bytes.data + 6);
  if (nameless && (asked.has_mac || asked.destination != solicited_node_address(asked.target))) {
    return Asked::kMalformed;
  }
  const Mac to = nameless ? kAllNodesMac : asked.has_mac ? asked.mac : asker;
  if (!nameless && is_multicast(to)) return Asked::kMalformed;
  write_link_header(out, to, resolution.own, frame, link);
  write_neighbour(out, kAdvertisement, asked.target, nameless ? kAllNodes : asked.source,
                  advertised_flags(resolution) | (nameless ? 0 : kFlagSolicited), asked.target,
                  &resolution.cluster);
  return Asked::kAnswered;
}

void write_untagged(Writer& out, const Mac& destination, const Mac& own, uint16_t ethertype) {
  out.array(destination);
  out.array(own);
  out.u16(ethertype);
}

}  // namespace

Asked answer_resolution(const Resolution& resolution, const Frame& frame, ResolutionFrame& answer,
                        size_t& bytes) {
  Link link;
  bytes = 0;
  if (frame.link != LinkType::kEthernet || frame.outgoing || !read_link_header(frame.bytes, link)) {
    return Asked::kNothing;
  }
  Writer out{answer.data()};
  Asked asked = Asked::kNothing;
  if (link.ethertype == ETH_P_ARP) asked = answer_arp(resolution, frame, link, out);
  if (link.ethertype == ETH_P_IPV6) asked = answer_solicitation(resolution, frame, link, out);
  if (asked == Asked::kAnswered) bytes = static_cast<size_t>(out.next - answer.data());
  return asked;
}

size_t write_announcement(const Resolution& resolution, const Address& address,
                          ResolutionFrame& frame) {
  Writer out{frame.data()};
  if (family_of(address) == Family::kIpv4) {
    write_untagged(out, kBroadcastMac, resolution.own, ETH_P_ARP);
    write_arp(out, kArpRequest, resolution.cluster, address, Mac{}, address);
  } else {
    write_untagged(out, kAllNodesMac, resolution.own, ETH_P_IPV6);
    write_neighbour(out, kAdvertisement, address, kAllNodes, advertised_flags(resolution), address,
                    &resolution.cluster);
  }
  return static_cast<size_t>(out.next - frame.data());
}

size_t write_probe(const Resolution& resolution, const Address& address, ResolutionFrame& frame) {
  Writer out{frame.data()};
  if (family_of(address) == Family::kIpv4) {
    const uint8_t nobody[4] = {};
    write_untagged(out, kBroadcastMac, resolution.own, ETH_P_ARP);
    write_arp(out, kArpRequest, resolution.own, mapped_ipv4(nobody), Mac{}, address);
  } else {
    const Address group = solicited_node_address(address);
    write_untagged(out, multicast_mac(group), resolution.own, ETH_P_IPV6);
    write_neighbour(out, kSolicitation, kUnspecified, group, 0, address, nullptr);
  }
  return static_cast<size_t>(out.next - frame.data());
}

bool read_claim(const Resolution& resolution, const Frame& frame, Address& address, Mac& mac) {
  Link link;
  if (frame.link != LinkType::kEthernet || !read_link_header(frame.bytes, link)) return false;
  if (link.ethertype == ETH_P_ARP) {
    Arp arp;
    if (!read_arp(frame.bytes.from(link.bytes), arp)) return false;
    if (!is_ours(resolution, arp.sender, Family::kIpv4)) return false;
    address = arp.sender;
    mac = arp.sender_mac;
  } else if (link.ethertype == ETH_P_IPV6) {
    Neighbour claim;
    if (read_neighbour(frame, link, claim) != Asked::kAnswered) return false;
    if (claim.type != kAdvertisement || !is_ours(resolution, claim.target, Family::kIpv6)) {
      return false;
    }
    address = claim.target;
    mac = claim.has_mac ? claim.mac : copy_from<Mac>(frame.bytes.data + 6);
  } else {
    return false;
  }
  return mac != resolution.cluster;
}

}  // namespace flowsieve
