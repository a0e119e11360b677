// Packets of a handful of connections, so that they meet, made from the fuzzer's input. Each
// carries a number of its own in its last bytes, by which it is known again wherever it turns up.
#pragma once

#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "fuzz/input.h"
#include "packet/packet.h"

namespace flowsieve_fuzz {

using flowsieve::LinkType;

inline constexpr uint8_t kCluster[4] = {192, 0, 2, 100};
inline constexpr size_t kMarkBytes = 8;
/// Stands before a packet's number.
inline constexpr uint32_t kMark = 0xf10e57a5;

struct Crafted {
  std::vector<uint8_t> bytes;
  LinkType link = LinkType::kRawIp;
};

inline std::array<uint8_t, 4> client(uint8_t choice) {
  return {10, 0, 0, static_cast<uint8_t>(choice % 16)};
}

/// The number of the packet that ends with these bytes, or nothing.
inline std::optional<uint32_t> number_of(const uint8_t* bytes, size_t size) {
  if (size < kMarkBytes || flowsieve::load_be32(bytes + size - 8) != kMark) return std::nullopt;
  return flowsieve::load_be32(bytes + size - 4);
}

/// Bit 3 of an operation: the server sends the packet.
class PacketMaker {
 public:
  explicit PacketMaker(Input& input) : input_(input) {}

  Crafted tcp(uint8_t operation) {
    std::vector<uint8_t> header = ports(operation, 20);
    header[12] = 0x50;
    header[13] = input_.byte();
    return ipv4(operation, 6, header);
  }

  /// UDP, SCTP, ICMP queries, GRE.
  Crafted other(uint8_t operation) {
    const uint8_t kind = operation & 3;
    std::vector<uint8_t> rest(8);
    if (kind == 0) rest = ports(operation, 8);
    if (kind == 1) {
      rest = ports(operation, 13);
      rest[12] = input_.byte() % 16;
    }
    if (kind == 2) {
      rest[0] = input_.byte() % 2 * 8;
      rest[5] = input_.byte() % 4;
    }
    constexpr uint8_t kProtocols[] = {17, 132, 1, 47};
    return ipv4(operation, kProtocols[kind], rest);
  }

  Crafted fragment(uint8_t operation) {
    const uint8_t which = input_.byte();
    const std::vector<uint8_t> rest = ports(operation, 24);
    const auto field = static_cast<uint16_t>((which & 3) * 3 | (which & 4 ? 0x2000 : 0));
    return ipv4(operation, which & 8 ? 6 : 17, rest, which >> 6, field);
  }

  Crafted error(uint8_t operation) {
    std::vector<uint8_t> rest(8);
    rest[0] = 3;
    // The quoted packet runs the other way.
    const uint8_t quoting = operation ^ 8;
    const uint8_t protocol = input_.byte() & 1 ? 6 : 17;
    const Crafted quoted = ipv4(quoting, protocol, ports(quoting, 8));
    rest.insert(rest.end(), quoted.bytes.begin(), quoted.bytes.end() - kMarkBytes);
    return ipv4(operation, 1, rest);
  }

  /// Whatever else can come. Never with a number, which would be another's.
  Crafted raw(uint8_t operation) {
    const size_t size = input_.byte();
    Crafted crafted{input_.bytes(size), static_cast<LinkType>((operation & 7) % 5)};
    std::replace(crafted.bytes.begin(), crafted.bytes.end(), static_cast<uint8_t>(kMark),
                 uint8_t{0});
    return crafted;
  }

 private:
  /// Room for the number is left at the end (mark()).
  Crafted ipv4(uint8_t operation, uint8_t protocol, const std::vector<uint8_t>& rest,
               uint16_t id = 0, uint16_t fragment_field = 0) {
    Crafted crafted{std::vector<uint8_t>(20)};
    std::vector<uint8_t>& packet = crafted.bytes;
    const auto peer = client(input_.byte());
    packet[0] = 0x45;
    flowsieve::store_be16(&packet[2], static_cast<uint16_t>(20 + rest.size() + kMarkBytes));
    flowsieve::store_be16(&packet[4], id);
    flowsieve::store_be16(&packet[6], fragment_field);
    packet[8] = 64;
    packet[9] = protocol;
    const bool sent = operation & 8;
    std::memcpy(&packet[12], sent ? kCluster : peer.data(), 4);
    std::memcpy(&packet[16], sent ? peer.data() : kCluster, 4);
    packet.insert(packet.end(), rest.begin(), rest.end());
    packet.resize(packet.size() + kMarkBytes);
    return crafted;
  }

  std::vector<uint8_t> ports(uint8_t operation, size_t bytes) {
    std::vector<uint8_t> header(bytes);
    const bool sent = operation & 8;
    flowsieve::store_be16(&header[sent ? 2 : 0], input_.byte() % 4);
    flowsieve::store_be16(&header[sent ? 0 : 2], 80);
    return header;
  }

  Input& input_;
};

/// Gives the packet its number.
inline void mark(Crafted& crafted, uint32_t number) {
  flowsieve::store_be32(&crafted.bytes[crafted.bytes.size() - 8], kMark);
  flowsieve::store_be32(&crafted.bytes[crafted.bytes.size() - 4], number);
}

}  // namespace flowsieve_fuzz
