#include "support/packet_builder.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cassert>
#include <stdexcept>

namespace flowsieve::test {
namespace {

void append(ByteVector& to, const ByteVector& bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void put16(ByteVector& bytes, size_t offset, uint32_t value) {
  store_be16(bytes.data() + offset, static_cast<uint16_t>(value));
}

uint32_t ones_sum(const uint8_t* data, size_t size, uint32_t sum = 0) {
  for (size_t i = 0; i < size; ++i) sum += i % 2 == 0 ? uint32_t{data[i]} << 8 : data[i];
  return sum;
}

uint16_t ones_fold(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

uint32_t crc32c(const uint8_t* data, size_t size) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

ByteVector counting(size_t count) {
  ByteVector bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

}  // namespace

Address address_of(const std::string& text) {
  Address address{};
  uint8_t four[4];
  if (inet_pton(AF_INET, text.c_str(), four) == 1) return mapped_ipv4(four);
  if (inet_pton(AF_INET6, text.c_str(), address.data()) != 1) {
    throw std::invalid_argument("Expected an IP address but received " + text + ".");
  }
  return address;
}

Packet parse_whole(const ByteVector& frame, LinkType link) {
  return parse({frame.data(), frame.size()}, static_cast<uint32_t>(frame.size()), link);
}

Key key_of(uint8_t protocol, const std::string& source, uint16_t source_port,
           const std::string& destination, uint16_t destination_port) {
  Key key;
  key.source = address_of(source);
  key.destination = address_of(destination);
  key.source_port = source_port;
  key.destination_port = destination_port;
  key.protocol = protocol;
  key.family = source.find(':') == std::string::npos ? Family::kIpv4 : Family::kIpv6;
  return key;
}

// ---------------------------------------------------------------- layers

PacketBuilder& PacketBuilder::push(Layer layer, uint8_t protocol, ByteVector bytes, int announce) {
  Part part{layer, protocol, 0, announce, false, false, std::move(bytes), {}};
  if (layer == Layer::kIpv4) part.ethertype = 0x0800;
  if (layer == Layer::kIpv6) part.ethertype = 0x86dd;
  parts_.push_back(std::move(part));
  return *this;
}

PacketBuilder::Part& PacketBuilder::last(std::initializer_list<Layer> layers) {
  for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
    if (std::find(layers.begin(), layers.end(), part->layer) != layers.end()) return *part;
  }
  throw std::logic_error("Expected the layer that this call speaks about to be stacked before it.");
}

PacketBuilder PacketBuilder::on(LinkType link) {
  switch (link) {
    case LinkType::kEthernet:
      return ethernet();
    case LinkType::kRawIp:
      return raw();
    case LinkType::kLinuxCooked1:
      return cooked1();
    case LinkType::kLinuxCooked2:
      return cooked2();
    case LinkType::kBsdLoopback:
      return loopback();
  }
  throw std::logic_error("Expected a link type.");
}

PacketBuilder PacketBuilder::ethernet() {
  PacketBuilder builder;
  builder.push(Layer::kLink, 0, {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0, 0}, 12);
  return builder;
}

PacketBuilder PacketBuilder::raw() {
  PacketBuilder builder;
  builder.link_ = LinkType::kRawIp;
  return builder;
}

PacketBuilder PacketBuilder::cooked1() {
  // packet type, ARPHRD, address length, address (8), protocol
  PacketBuilder builder;
  builder.link_ = LinkType::kLinuxCooked1;
  builder.push(Layer::kLink, 0, {0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0}, 14);
  return builder;
}

PacketBuilder PacketBuilder::cooked2() {
  // protocol, reserved, interface index (4), ARPHRD, packet type, address length, address (8)
  PacketBuilder builder;
  builder.link_ = LinkType::kLinuxCooked2;
  builder.push(Layer::kLink, 0, {0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}, 0);
  return builder;
}

PacketBuilder PacketBuilder::loopback(uint32_t family, bool big_endian) {
  PacketBuilder builder;
  builder.link_ = LinkType::kBsdLoopback;
  builder.loopback_family_ = family;
  builder.loopback_big_endian_ = big_endian;
  builder.push(Layer::kLink, 0, {0, 0, 0, 0});
  return builder;
}

PacketBuilder& PacketBuilder::vlan(uint16_t id, uint16_t tpid) {
  push(Layer::kVlan, 0, {static_cast<uint8_t>(id >> 8 & 0x0f), static_cast<uint8_t>(id), 0, 0}, 2);
  parts_.back().ethertype = tpid;
  return *this;
}

PacketBuilder& PacketBuilder::ethertype(uint16_t value) {
  Part& part = last({Layer::kLink, Layer::kVlan});
  put16(part.bytes, static_cast<size_t>(part.announce), value);
  part.announce_set = true;
  return *this;
}

PacketBuilder& PacketBuilder::ipv4(const std::string& source, const std::string& destination) {
  ByteVector bytes{0x45, 0, 0, 0, 0, 1, 0, 0, 64, 0, 0, 0};
  const Address from = address_of(source), to = address_of(destination);
  bytes.insert(bytes.end(), from.begin() + 12, from.end());
  bytes.insert(bytes.end(), to.begin() + 12, to.end());
  return push(Layer::kIpv4, 4, bytes, 9);
}

PacketBuilder& PacketBuilder::options(const ByteVector& bytes) {
  Part& part = last({Layer::kIpv4});
  append(part.bytes, bytes);
  part.bytes.resize((part.bytes.size() + 3) / 4 * 4);
  part.bytes[0] = static_cast<uint8_t>((part.bytes[0] & 0xf0) | part.bytes.size() / 4);
  return *this;
}

PacketBuilder& PacketBuilder::ihl(uint8_t words) {
  Part& part = last({Layer::kIpv4});
  part.bytes[0] = static_cast<uint8_t>((part.bytes[0] & 0xf0) | (words & 15));
  return *this;
}

PacketBuilder& PacketBuilder::version(uint8_t value) {
  Part& part = last({Layer::kIpv4, Layer::kIpv6});
  part.bytes[0] = static_cast<uint8_t>(value << 4 | (part.bytes[0] & 15));
  return *this;
}

PacketBuilder& PacketBuilder::total_length(uint16_t bytes) {
  Part& part = last({Layer::kIpv4});
  put16(part.bytes, 2, bytes);
  part.length_set = true;
  return *this;
}

PacketBuilder& PacketBuilder::fragment(uint16_t offset, bool more) {
  Part& part = last({Layer::kIpv4, Layer::kFragment});
  if (part.layer == Layer::kIpv4) {
    put16(part.bytes, 6, (part.bytes[6] & 0x40u) << 8 | (more ? 0x2000u : 0u) | offset / 8u);
  } else {
    put16(part.bytes, 2, (offset & 0xfff8u) | (more ? 1u : 0u));
  }
  return *this;
}

PacketBuilder& PacketBuilder::identification(uint32_t value) {
  Part& part = last({Layer::kIpv4, Layer::kFragment});
  if (part.layer == Layer::kIpv4) {
    put16(part.bytes, 4, value);
  } else {
    store_be32(part.bytes.data() + 4, value);
  }
  return *this;
}

PacketBuilder& PacketBuilder::dont_fragment() {
  last({Layer::kIpv4}).bytes[6] |= 0x40;
  return *this;
}

PacketBuilder& PacketBuilder::ipv6(const std::string& source, const std::string& destination) {
  ByteVector bytes{0x60, 0, 0, 0, 0, 0, 0, 64};
  const Address from = address_of(source), to = address_of(destination);
  bytes.insert(bytes.end(), from.begin(), from.end());
  bytes.insert(bytes.end(), to.begin(), to.end());
  return push(Layer::kIpv6, 41, bytes, 6);
}

PacketBuilder& PacketBuilder::payload_length(uint16_t bytes) {
  Part& part = last({Layer::kIpv6});
  put16(part.bytes, 4, bytes);
  part.length_set = true;
  return *this;
}

PacketBuilder& PacketBuilder::extension(uint8_t protocol, size_t bytes) {
  assert(bytes >= 8 && bytes % 8 == 0);
  ByteVector header(bytes);
  header[1] = static_cast<uint8_t>(bytes / 8 - 1);
  return push(Layer::kExtension, protocol, header, 0);
}

PacketBuilder& PacketBuilder::hop_by_hop(size_t bytes) {
  extension(0, bytes);
  parts_.back().bytes[2] = 1;  // PadN over the rest
  parts_.back().bytes[3] = static_cast<uint8_t>(bytes - 4);
  return *this;
}

PacketBuilder& PacketBuilder::destination_options(size_t bytes) {
  hop_by_hop(bytes);
  parts_.back().protocol = 60;
  return *this;
}

PacketBuilder& PacketBuilder::routing(size_t bytes) {
  return extension(43, bytes);
}
PacketBuilder& PacketBuilder::mobility(size_t bytes) {
  return extension(135, bytes);
}
PacketBuilder& PacketBuilder::hip(size_t bytes) {
  return extension(139, bytes);
}
PacketBuilder& PacketBuilder::shim6(size_t bytes) {
  return extension(140, bytes);
}

PacketBuilder& PacketBuilder::ipv6_fragment(uint32_t id, uint16_t offset, bool more) {
  push(Layer::kFragment, 44, ByteVector(8), 0);
  return identification(id).fragment(offset, more);
}

PacketBuilder& PacketBuilder::ah(size_t bytes) {
  assert(bytes >= 12 && bytes % 4 == 0);
  ByteVector header(bytes);
  header[1] = static_cast<uint8_t>(bytes / 4 - 2);
  store_be32(header.data() + 4, 0x2002);
  store_be32(header.data() + 8, 1);
  return push(Layer::kAh, 51, header, 0);
}

PacketBuilder& PacketBuilder::extension_length(uint8_t value) {
  last({Layer::kExtension, Layer::kAh}).bytes[1] = value;
  return *this;
}

PacketBuilder& PacketBuilder::next(uint8_t protocol) {
  Part& part = last({Layer::kIpv4, Layer::kIpv6, Layer::kExtension, Layer::kFragment, Layer::kAh});
  part.bytes[static_cast<size_t>(part.announce)] = protocol;
  part.announce_set = true;
  return *this;
}

PacketBuilder& PacketBuilder::tcp(uint16_t source_port, uint16_t destination_port) {
  ByteVector bytes(20);
  put16(bytes, 0, source_port);
  put16(bytes, 2, destination_port);
  store_be32(bytes.data() + 4, 1000);
  bytes[12] = 0x50;
  put16(bytes, 14, 65535);
  return push(Layer::kTcp, 6, bytes);
}

PacketBuilder& PacketBuilder::tcp_flag(uint8_t flag) {
  last({Layer::kTcp}).bytes[13] |= flag;
  return *this;
}
PacketBuilder& PacketBuilder::syn() {
  return tcp_flag(kTcpSyn);
}
PacketBuilder& PacketBuilder::ack() {
  return tcp_flag(kTcpAck);
}
PacketBuilder& PacketBuilder::fin() {
  return tcp_flag(kTcpFin);
}
PacketBuilder& PacketBuilder::rst() {
  return tcp_flag(kTcpRst);
}
PacketBuilder& PacketBuilder::psh() {
  return tcp_flag(0x08);
}

PacketBuilder& PacketBuilder::data_offset(uint8_t words) {
  Part& part = last({Layer::kTcp});
  part.bytes[12] = static_cast<uint8_t>(words << 4 | (part.bytes[12] & 15));
  return *this;
}

PacketBuilder& PacketBuilder::tcp_options(const ByteVector& bytes) {
  Part& part = last({Layer::kTcp});
  append(part.bytes, bytes);
  part.bytes.resize((part.bytes.size() + 3) / 4 * 4);
  return data_offset(static_cast<uint8_t>(part.bytes.size() / 4));
}

PacketBuilder& PacketBuilder::udp(uint16_t source_port, uint16_t destination_port) {
  ByteVector bytes(8);
  put16(bytes, 0, source_port);
  put16(bytes, 2, destination_port);
  return push(Layer::kUdp, 17, bytes);
}

PacketBuilder& PacketBuilder::udp_length(uint16_t bytes) {
  Part& part = last({Layer::kUdp});
  put16(part.bytes, 4, bytes);
  part.length_set = true;
  return *this;
}

PacketBuilder& PacketBuilder::sctp(uint16_t source_port, uint16_t destination_port) {
  ByteVector bytes(12);
  put16(bytes, 0, source_port);
  put16(bytes, 2, destination_port);
  store_be32(bytes.data() + 4, 0x01020304);
  return push(Layer::kSctp, 132, bytes);
}

PacketBuilder& PacketBuilder::chunk(uint8_t type, uint8_t flags, size_t value_bytes) {
  Part& part = last({Layer::kSctp});
  append(part.bytes, {type, flags, static_cast<uint8_t>((value_bytes + 4) >> 8),
                      static_cast<uint8_t>(value_bytes + 4)});
  part.bytes.resize(part.bytes.size() + (value_bytes + 3) / 4 * 4);
  return *this;
}

PacketBuilder& PacketBuilder::icmp(uint8_t type, uint8_t code, uint32_t rest) {
  ByteVector bytes{type, code, 0, 0, 0, 0, 0, 0};
  store_be32(bytes.data() + 4, rest);
  const bool six = last({Layer::kIpv4, Layer::kIpv6}).layer == Layer::kIpv6;
  return push(Layer::kIcmp, six ? 58 : 1, bytes);
}

PacketBuilder& PacketBuilder::echo_request(uint16_t identifier, uint16_t sequence) {
  const bool six = last({Layer::kIpv4, Layer::kIpv6}).layer == Layer::kIpv6;
  return icmp(six ? 128 : 8, 0, uint32_t{identifier} << 16 | sequence);
}

PacketBuilder& PacketBuilder::echo_reply(uint16_t identifier, uint16_t sequence) {
  const bool six = last({Layer::kIpv4, Layer::kIpv6}).layer == Layer::kIpv6;
  return icmp(six ? 129 : 0, 0, uint32_t{identifier} << 16 | sequence);
}

PacketBuilder& PacketBuilder::icmp_error(uint8_t type, uint8_t code, const ByteVector& quoted) {
  return icmp(type, code).payload(quoted);
}

PacketBuilder& PacketBuilder::igmp() {
  return push(Layer::kOther, 2, {0x16, 0, 0, 0, 239, 1, 2, 3});
}

PacketBuilder& PacketBuilder::gre(uint16_t protocol_type) {
  return push(
      Layer::kOther, 47,
      {0, 0, static_cast<uint8_t>(protocol_type >> 8), static_cast<uint8_t>(protocol_type)});
}

PacketBuilder& PacketBuilder::esp(uint32_t spi) {
  ByteVector bytes(8);
  store_be32(bytes.data(), spi);
  store_be32(bytes.data() + 4, 1);
  return push(Layer::kOther, 50, bytes);
}

PacketBuilder& PacketBuilder::payload(size_t count) {
  return payload(counting(count));
}

PacketBuilder& PacketBuilder::payload(const ByteVector& bytes) {
  return push(Layer::kPayload, 59, bytes);
}

PacketBuilder& PacketBuilder::padding(size_t count) {
  padding_ += count;
  return *this;
}

PacketBuilder& PacketBuilder::patch(size_t offset, const ByteVector& bytes) {
  assert(offset + bytes.size() <= parts_.back().bytes.size());
  parts_.back().patches[offset] = bytes;
  return *this;
}

// ---------------------------------------------------------------- build

void PacketBuilder::announce_next(std::vector<Part>& parts) const {
  for (size_t i = 0; i < parts.size(); ++i) {
    Part& part = parts[i];
    const Part* next = i + 1 < parts.size() ? &parts[i + 1] : nullptr;
    if (part.layer == Layer::kLink && part.announce < 0) {  // BSD loopback
      const bool six = next != nullptr && next->layer == Layer::kIpv6;
      uint32_t family = loopback_family_ != 0 ? loopback_family_ : six ? 30 : 2;
      if (!loopback_big_endian_) family = __builtin_bswap32(family);
      store_be32(part.bytes.data(), family);
    }
    if (part.announce < 0 || part.announce_set) continue;
    if (part.layer == Layer::kLink || part.layer == Layer::kVlan) {
      if (next != nullptr) put16(part.bytes, static_cast<size_t>(part.announce), next->ethertype);
    } else {
      part.bytes[static_cast<size_t>(part.announce)] = next != nullptr ? next->protocol : 59;
    }
  }
}

void PacketBuilder::fill_lengths(Part& part, size_t bytes_from_here) {
  if (part.length_set) return;
  if (part.layer == Layer::kIpv4) put16(part.bytes, 2, static_cast<uint32_t>(bytes_from_here));
  if (part.layer == Layer::kIpv6) put16(part.bytes, 4, static_cast<uint32_t>(bytes_from_here - 40));
  if (part.layer == Layer::kUdp) put16(part.bytes, 4, static_cast<uint32_t>(bytes_from_here));
}

void PacketBuilder::fill_checksum(const std::vector<Part>& parts, const std::vector<size_t>& at,
                                  size_t index, size_t end, ByteVector& frame) {
  const Part& part = parts[index];
  uint8_t* header = frame.data() + at[index];
  const size_t length = end - at[index];
  if (part.layer == Layer::kIpv4) {
    store_be16(header + 10, ones_fold(ones_sum(header, part.bytes.size())));
    return;
  }
  if (part.layer == Layer::kSctp) {
    const uint32_t crc =
        crc32c(header, length);  // RFC 9260 appendix A: least significant byte first
    for (int i = 0; i < 4; ++i) header[8 + i] = static_cast<uint8_t>(crc >> (8 * i));
    return;
  }
  const size_t field = part.layer == Layer::kTcp ? 16 : part.layer == Layer::kUdp ? 6 : 2;
  uint32_t sum = 0;
  size_t below = index;
  while (below > 0 && parts[below].layer != Layer::kIpv4 && parts[below].layer != Layer::kIpv6)
    --below;
  const bool six = parts[below].layer == Layer::kIpv6;
  if (part.layer != Layer::kIcmp || six) {  // the pseudo header; ICMP over IPv4 has none
    sum = ones_sum(frame.data() + at[below] + (six ? 8 : 12), six ? 32 : 8);
    sum += part.protocol + static_cast<uint32_t>(length);
  }
  uint16_t checksum = ones_fold(ones_sum(header, length, sum));
  if (part.layer == Layer::kUdp && checksum == 0) checksum = 0xffff;
  store_be16(header + field, checksum);
}

ByteVector PacketBuilder::build() const {
  std::vector<Part> parts = parts_;
  announce_next(parts);
  std::vector<size_t> at;
  size_t end = 0;
  for (const Part& part : parts) {
    at.push_back(end);
    end += part.bytes.size();
  }
  ByteVector frame;
  for (size_t i = 0; i < parts.size(); ++i) {
    fill_lengths(parts[i], end - at[i]);
    append(frame, parts[i].bytes);
  }
  // From the innermost outwards, because an outer sum covers the inner ones.
  for (size_t i = parts.size(); i-- > 0;) {
    const Layer layer = parts[i].layer;
    if (layer == Layer::kIpv4 || layer == Layer::kTcp || layer == Layer::kUdp ||
        layer == Layer::kSctp || layer == Layer::kIcmp) {
      fill_checksum(parts, at, i, end, frame);
    }
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    for (const auto& [offset, bytes] : parts[i].patches) {
      std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<long>(at[i] + offset));
    }
  }
  frame.resize(frame.size() + padding_);
  return frame;
}

// ---------------------------------------------------------------- fragments

namespace {

size_t ip_offset_of(const ByteVector& frame, LinkType link) {
  if (link == LinkType::kRawIp) return 0;
  if (link == LinkType::kBsdLoopback) return 4;
  size_t type = link == LinkType::kLinuxCooked2 ? 0 : link == LinkType::kLinuxCooked1 ? 14 : 12;
  size_t ip = link == LinkType::kLinuxCooked2 ? 20 : link == LinkType::kLinuxCooked1 ? 16 : 14;
  for (;;) {
    const uint16_t value = load_be16(frame.data() + type);
    if (value != 0x8100 && value != 0x88a8 && value != 0x9100 && value != 0x9200) return ip;
    type = ip + 2;
    ip += 4;
  }
}

std::vector<ByteVector> fragments_of_ipv4(const ByteVector& link, const ByteVector& ip, size_t mtu,
                                          uint32_t id) {
  const size_t header = (ip[0] & 15u) * 4u;
  const size_t step = (mtu - header) / 8 * 8;
  std::vector<ByteVector> frames;
  for (size_t offset = header; offset < ip.size(); offset += step) {
    const size_t count = std::min(step, ip.size() - offset);
    const bool more = offset + count < ip.size();
    ByteVector part(ip.begin(), ip.begin() + static_cast<long>(header));
    put16(part, 2, static_cast<uint32_t>(header + count));
    put16(part, 4, id);
    put16(part, 6, (more ? 0x2000u : 0u) | static_cast<uint32_t>((offset - header) / 8));
    put16(part, 10, 0);
    put16(part, 10, ones_fold(ones_sum(part.data(), header)));
    part.insert(part.end(), ip.begin() + static_cast<long>(offset),
                ip.begin() + static_cast<long>(offset + count));
    frames.push_back(link);
    append(frames.back(), part);
  }
  return frames;
}

std::vector<ByteVector> fragments_of_ipv6(const ByteVector& link, const ByteVector& ip, size_t mtu,
                                          uint32_t id) {
  size_t next_at = 6, head = 40;
  // RFC 8200 4.5: the per-fragment part ends behind the routing header, else behind
  // hop-by-hop options.
  size_t walk_next = 6, walk = 40;
  while (ip[walk_next] == 0 || ip[walk_next] == 43 || ip[walk_next] == 60) {
    const uint8_t type = ip[walk_next];
    walk_next = walk;
    walk += (ip[walk + 1] + 1u) * 8u;
    if (type != 60) {
      next_at = walk_next;
      head = walk;
    }
  }
  const size_t step = (mtu - head - 8) / 8 * 8;
  std::vector<ByteVector> frames;
  for (size_t offset = head; offset < ip.size(); offset += step) {
    const size_t count = std::min(step, ip.size() - offset);
    const bool more = offset + count < ip.size();
    ByteVector part(ip.begin(), ip.begin() + static_cast<long>(head));
    put16(part, 4, static_cast<uint32_t>(head - 40 + 8 + count));
    part[next_at] = 44;
    ByteVector fragment(8);
    fragment[0] = ip[next_at];
    put16(fragment, 2, static_cast<uint32_t>(offset - head) | (more ? 1u : 0u));
    store_be32(fragment.data() + 4, id);
    append(part, fragment);
    part.insert(part.end(), ip.begin() + static_cast<long>(offset),
                ip.begin() + static_cast<long>(offset + count));
    frames.push_back(link);
    append(frames.back(), part);
  }
  return frames;
}

}  // namespace

std::vector<ByteVector> fragments_of(const ByteVector& frame, size_t mtu, uint32_t identification,
                                     LinkType link) {
  const size_t at = ip_offset_of(frame, link);
  const ByteVector header(frame.begin(), frame.begin() + static_cast<long>(at));
  const ByteVector ip(frame.begin() + static_cast<long>(at), frame.end());
  return ip[0] >> 4 == 4 ? fragments_of_ipv4(header, ip, mtu, identification)
                         : fragments_of_ipv6(header, ip, mtu, identification);
}

}  // namespace flowsieve::test
