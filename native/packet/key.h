// What identifies a connection, in 40 bytes without padding, so that a key is compared and hashed
// as five 64-bit words.
//
//   0        16            32    34    36   37   38  40
//   | source | destination | sp  | dp  | pr | fa | 0 |
//
// Addresses are in network order; an IPv4 address stands in the last four bytes of ::ffff:0:0/96
// (RFC 4291 2.5.5.2) and `family` keeps it apart from a real IPv6 packet that carries a mapped
// address. Ports are in host order. Protocols without ports have 0; ICMP queries have the
// identifier on the side that asks and 0 on the other.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/address.h"

namespace flowsieve {

struct Key {
  Address source{};
  Address destination{};
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint8_t protocol = 0;  ///< IANA protocol number
  Family family = Family::kIpv4;
  uint16_t zero = 0;

  bool operator==(const Key& other) const { return std::memcmp(this, &other, sizeof(Key)) == 0; }
};
static_assert(sizeof(Key) == 40);

/// The same connection seen from the other side.
inline Key reversed(const Key& key) {
  Key other = key;
  other.source = key.destination;
  other.destination = key.source;
  other.source_port = key.destination_port;
  other.destination_port = key.source_port;
  return other;
}

/// True when the source endpoint (address, then port) sorts behind the destination: such a key is
/// stored reversed where both directions of a connection arrive from the wire and nothing else
/// tells which side is the client.
inline bool is_descending(const Key& key) {
  const int order = std::memcmp(key.source.data(), key.destination.data(), sizeof(Address));
  return order > 0 || (order == 0 && key.source_port > key.destination_port);
}

}  // namespace flowsieve
