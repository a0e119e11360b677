#include "wire/encapsulate.h"

#include <algorithm>
#include <cstring>

#include "packet/protocols.h"
#include "wire/checksum.h"
#include "wire/offload.h"

namespace flowsieve {
namespace {

constexpr uint8_t kProtocolIpv4 = 4, kProtocolIpv6 = 41;
constexpr uint8_t kOuterTtl = 64;
constexpr uint16_t kDontFragment = 0x4000;
constexpr size_t kUdpBytes = 8, kGueBytes = 4;
constexpr uint16_t kTypeIpv4 = 0x0800, kTypeIpv6 = 0x86dd;

/// What the outer header takes over from the packet.
struct Taken {
  Family family;
  uint8_t traffic_class;
  bool dont_fragment;
};

bool read_inner(Bytes head, Taken& taken) {
  if (head.size < 20) return false;
  switch (head.data[0] >> 4) {
    case 4:
      taken = {Family::kIpv4, head.data[1], (load_be16(head.data + 6) & kDontFragment) != 0};
      return true;
    case 6:
      if (head.size < 40) return false;
      taken = {Family::kIpv6, static_cast<uint8_t>(load_be16(head.data) >> 4), true};
      return true;
    default:
      return false;
  }
}

size_t ip_bytes_of(Family outer) {
  return outer == Family::kIpv4 ? 20 : 40;
}

void write_ipv4(const Hop& hop, const Taken& taken, uint8_t protocol, size_t payload,
                uint16_t identification, uint8_t* out) {
  std::memset(out, 0, 20);
  out[0] = 0x45;
  out[1] = taken.traffic_class;
  store_be16(out + 2, static_cast<uint16_t>(20 + payload));
  if (taken.dont_fragment) {
    store_be16(out + 6, kDontFragment);
  } else {
    store_be16(out + 4, identification);
  }
  out[8] = kOuterTtl;
  out[9] = protocol;
  std::memcpy(out + 12, hop.local.data() + 12, 4);
  std::memcpy(out + 16, hop.remote.data() + 12, 4);
  Sum sum;
  sum.add(Bytes{out, 20});
  store_be16(out + 10, sum.checksum());
}

void write_ipv6(const Hop& hop, const Taken& taken, uint8_t protocol, size_t payload,
                uint32_t entropy, uint8_t* out) {
  store_be32(out, 6u << 28 | uint32_t{taken.traffic_class} << 20 | (entropy & 0xfffff));
  store_be16(out + 4, static_cast<uint16_t>(payload));
  out[6] = protocol;
  out[7] = kOuterTtl;
  std::memcpy(out + 8, hop.local.data(), 16);
  std::memcpy(out + 24, hop.remote.data(), 16);
}

/// Adds the packet as it will be on the wire. With a partial checksum everything from its start on
/// will add up to the complement of what its field holds now.
void add_packet(const Inner& inner, Sum& sum) {
  if ((inner.offload.flags & kNeedsChecksum) == 0) {
    sum.add(inner.head);
    sum.add(inner.tail);
    return;
  }
  const size_t start = inner.offload.csum_start;
  sum.add(inner.head.first(start));
  sum.add(static_cast<uint16_t>(~load_be16(inner.head.data + start + inner.offload.csum_offset)));
}

/// UDP and GUE before `inner`.
void write_gue(const Hop& hop, const Inner& inner, const Taken& taken, size_t inner_bytes,
               uint32_t entropy, uint8_t* out) {
  const size_t bytes = kUdpBytes + kGueBytes + inner_bytes;
  store_be16(out, static_cast<uint16_t>(0xc000 | (entropy & 0x3fff)));
  store_be16(out + 2, hop.port);
  store_be16(out + 4, static_cast<uint16_t>(bytes));
  store_be16(out + 6, 0);
  // Variant 0, no control message, no options: then only what follows.
  store_be32(out + kUdpBytes,
             uint32_t{taken.family == Family::kIpv4 ? kProtocolIpv4 : kProtocolIpv6} << 16);
  if (family_of(hop.remote) == Family::kIpv4) return;
  Sum sum;
  sum.add(hop.local, Family::kIpv6);
  sum.add(hop.remote, Family::kIpv6);
  sum.add(static_cast<uint16_t>(bytes));
  sum.add(kProtocolUdp);
  sum.add(Bytes{out, kUdpBytes + kGueBytes});
  add_packet(inner, sum);
  const uint16_t checksum = sum.checksum();
  store_be16(out + 6, checksum == 0 ? 0xffff : checksum);
}

}  // namespace

uint32_t overhead_of(const Hop& hop) {
  if (hop.mode == ForwardMode::kMac) return 0;
  const size_t gue = hop.mode == ForwardMode::kGue ? kUdpBytes + kGueBytes : 0;
  return static_cast<uint32_t>(ip_bytes_of(family_of(hop.remote)) + gue);
}

uint32_t room_of(const Hop& hop) {
  return hop.mtu - std::min(hop.mtu, overhead_of(hop));
}

uint32_t flow_entropy(Bytes packet) {
  // Fowler-Noll-Vo, 32 bits: quick, and its spread is all that is asked of it.
  uint32_t hash = 2166136261u;
  const auto mix = [&hash](Bytes bytes) {
    for (size_t i = 0; i < bytes.size; ++i) hash = (hash ^ bytes.data[i]) * 16777619u;
  };
  if (packet.size >= 20 && packet.data[0] >> 4 == 4) {
    mix(packet.from(12).first(8));
    const size_t header = size_t{packet.data[0] & 15u} * 4;
    const bool fragment = (load_be16(packet.data + 6) & 0x3fff) != 0;
    if (!fragment && packet.has(header, 4)) mix(packet.from(header).first(4));
  } else if (packet.size >= 40) {
    mix(packet.from(8).first(32));
    const uint8_t next = packet.data[6];
    if ((next == kProtocolTcp || next == kProtocolUdp || next == kProtocolSctp) &&
        packet.has(40, 4)) {
      mix(packet.from(40).first(4));
    }
  }
  return hash ^ hash >> 16;
}

bool write_outer(const Hop& hop, const Inner& inner, uint16_t identification, Outer& outer) {
  Taken taken{};
  if (!read_inner(inner.head, taken)) return false;
  const size_t inner_bytes = inner.head.size + inner.tail.size;
  const uint32_t overhead = overhead_of(hop);
  const OffloadHeader& offload = inner.offload;
  const bool partial = (offload.flags & kNeedsChecksum) != 0;
  if (partial && !inner.head.has(size_t{offload.csum_start} + offload.csum_offset, 2)) return false;
  if (overhead != 0 && (offload.gso_type != 0 || inner_bytes + overhead > 65535)) return false;

  const bool outer4 =
      overhead != 0 ? family_of(hop.remote) == Family::kIpv4 : taken.family == Family::kIpv4;
  uint8_t* out = outer.bytes.data();
  std::memcpy(out, hop.destination.data(), 6);
  std::memcpy(out + 6, hop.source.data(), 6);
  store_be16(out + 12, outer4 ? kTypeIpv4 : kTypeIpv6);
  out += kEthernetBytes;
  if (overhead != 0) {
    const bool gue = hop.mode == ForwardMode::kGue;
    const uint8_t inside = taken.family == Family::kIpv4 ? kProtocolIpv4 : kProtocolIpv6;
    const size_t ip = ip_bytes_of(outer4 ? Family::kIpv4 : Family::kIpv6);
    const size_t payload = overhead - ip + inner_bytes;
    const uint8_t protocol = gue ? kProtocolUdp : inside;
    const uint32_t entropy = gue || !outer4 ? flow_entropy(inner.head) : 0;
    if (outer4) {
      write_ipv4(hop, taken, protocol, payload, identification, out);
    } else {
      write_ipv6(hop, taken, protocol, payload, entropy, out);
    }
    if (gue) write_gue(hop, inner, taken, inner_bytes, entropy, out + ip);
  }
  outer.size = static_cast<uint8_t>(kEthernetBytes + overhead);
  outer.offload = offload;
  outer.offload.flags &= kNeedsChecksum;  // that a checksum was right is nobody's business here
  if (partial) outer.offload.csum_start = static_cast<uint16_t>(offload.csum_start + outer.size);
  if (offload.gso_type != 0) {
    outer.offload.hdr_len = static_cast<uint16_t>(offload.hdr_len + outer.size);
  }
  return true;
}

}  // namespace flowsieve
