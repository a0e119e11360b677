// The criteria: which header fields of an opening packet are hashed, how, and into how many buckets.
//
// The hashed byte layout is part of the cluster's contract: two nodes that disagree would both answer or both stay silent.
// It is written down with golden values in docs/reference/hash-layout.md and carries a version that nodes compare when they meet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/address.h"

namespace flowsieve {

inline constexpr int kHashLayoutVersion = 1;
inline constexpr size_t kHashedBytesMax = 37;

enum class HashFunction : uint8_t { kSipHash, kToeplitz, kCrc32c, kJhash };

// Bits of DistributionOptions::fields.
inline constexpr uint8_t kFieldSource = 1, kFieldDestination = 2, kFieldSourcePort = 4,
                         kFieldDestinationPort = 8, kFieldProtocol = 16;

struct DistributionOptions {
  HashFunction hash = HashFunction::kSipHash;
  std::array<uint8_t, 40> key{};  ///< SipHash: the first 16 bytes; Toeplitz: all; CRC32C and jhash: the first 4, little-endian seed
  uint8_t fields = kFieldSource | kFieldSourcePort | kFieldDestination | kFieldDestinationPort;
  uint8_t source_prefix_ipv4 = 32, source_prefix_ipv6 = 128;            ///< bits that count
  uint8_t destination_prefix_ipv4 = 32, destination_prefix_ipv6 = 128;  ///< bits that count
  bool symmetric = false;  ///< both directions of a connection hash alike
  uint32_t buckets = 256;  ///< 2^4 … 2^16
};

/// The header fields that may count, in the direction client -> server.
struct HeaderFields {
  Family family;
  const Address& source;
  const Address& destination;
  uint16_t source_port;
  uint16_t destination_port;
  uint8_t protocol;
};

class Distribution {
 public:
  /// `options` must be valid (the configuration layer sees to it): prefixes within their family, buckets a power of two.
  explicit Distribution(const DistributionOptions& options);

  /// The bytes that are hashed for `fields`, into `out`; returns how many.
  size_t layout(const HeaderFields& fields, uint8_t out[kHashedBytesMax]) const;
  /// The hash of the layout: 64 bits for SipHash, 32 for the others.
  uint64_t hash(const HeaderFields& fields) const;
  /// 0 … buckets-1.
  uint32_t bucket(const HeaderFields& fields) const;

  const DistributionOptions& options() const { return options_; }

 private:
  DistributionOptions options_;
};

}  // namespace flowsieve
