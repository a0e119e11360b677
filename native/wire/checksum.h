// The Internet checksum (RFC 1071): the ones' complement sum of 16-bit words.
//
// Sums are of words as they stand in memory, in network order, and are added up in parts: each part
// but the last must have an even number of bytes.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/address.h"
#include "base/bytes.h"

namespace flowsieve {

/// A sum under way; wide enough for any packet.
class Sum {
 public:
  void add(uint16_t word) { sum_ += word; }
  void add(Bytes bytes) {
    size_t at = 0;
    for (; at + 2 <= bytes.size; at += 2) sum_ += load_be16(bytes.data + at);
    if (at < bytes.size) sum_ += static_cast<uint32_t>(bytes.data[at]) << 8;
  }
  /// An address as its family's header has it: 4 or 16 bytes.
  void add(const Address& address, Family family) {
    const size_t skip = family == Family::kIpv4 ? 12 : 0;
    add(Bytes{address.data() + skip, address.size() - skip});
  }
  /// Folded to 16 bits, not complemented: what a partial checksum's field holds.
  uint16_t folded() const {
    uint64_t sum = sum_;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(sum);
  }
  uint16_t checksum() const { return static_cast<uint16_t>(~folded()); }

 private:
  uint64_t sum_ = 0;
};

}  // namespace flowsieve
