// The distribution: which header fields of an opening packet are hashed, how, and into
// how many buckets.
//
//   header fields --mask, order--> layout (0 … 37 bytes) --hash--> 32 or 64 bits --> bucket
//
//   | source address | destination address | source port | destination port | protocol |
//     0 … 4 words      0 … 4 words           2 bytes       2 bytes            1 byte
//
// Only the selected fields stand in the layout, always in this order, in network byte order and
// without gaps. An address is masked to its prefix and laid out in as many whole 32-bit words as
// the prefix touches: four bytes for IPv4 and sixteen for IPv6, unless the prefix is shorter. With
// `symmetric` the endpoint that sorts first (address, then port) is laid out as the source.
//
// How the hash becomes a bucket: SipHash, Toeplitz and CRC-32C give its low bits (for Toeplitz the
// entry of a network card's indirection table); jhash gives (hash * buckets) >> 32, its top bits,
// as the kernel's cluster match (xt_cluster) scales it. With the source field alone jhash gives the
// kernel's node numbers, from 0: for IPv6 with source_prefix_ipv6 = 32, because the kernel hashes
// only the first word of an IPv6 address (measured; see the document named below).
//
// The layout is part of the cluster's contract: two nodes that disagree would both answer or both
// stay silent. It is written down with golden values in docs/reference/hash-layout.md and carries a
// version that nodes compare when they meet.
//
// What it does not promise: only SipHash keeps outsiders from aiming all their connections at one
// bucket; the three others are there to agree with something else or to be quick.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/address.h"
#include "hash/siphash.h"
#include "hash/toeplitz.h"

namespace flowsieve {

inline constexpr int kHashLayoutVersion = 1;
inline constexpr size_t kHashedBytesMax = 37;
static_assert(kHashedBytesMax <= kToeplitzInputMax);

enum class HashFunction : uint8_t { kSipHash, kToeplitz, kCrc32c, kJhash };

// Bits of DistributionOptions::fields.
inline constexpr uint8_t kFieldSource = 1, kFieldDestination = 2, kFieldSourcePort = 4,
                         kFieldDestinationPort = 8, kFieldProtocol = 16;

struct DistributionOptions {
  HashFunction hash = HashFunction::kSipHash;
  /// SipHash: the first 16 bytes. Toeplitz: all. CRC-32C and jhash: the first 4, a little-endian
  /// seed (xored into the CRC's initial register; jhash's initval).
  std::array<uint8_t, 40> key{};
  uint8_t fields = kFieldSource | kFieldSourcePort | kFieldDestination | kFieldDestinationPort;
  uint8_t source_prefix_ipv4 = 32, source_prefix_ipv6 = 128;            ///< bits that count
  uint8_t destination_prefix_ipv4 = 32, destination_prefix_ipv6 = 128;  ///< bits that count
  /// Both directions of a connection hash alike. A field that is selected on one side then counts
  /// on both, and of two prefixes the shorter: otherwise the promise could not be kept.
  bool symmetric = false;
  uint32_t buckets = 256;  ///< a power of two, 2^4 … 2^16
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

/// Immutable once made, and cheap to copy: copies share the Toeplitz tables (37 KiB).
class Distribution {
 public:
  /// `options` must be valid (the configuration layer sees to it): prefixes within their family,
  /// buckets a power of two. Allocates; nothing else here does.
  explicit Distribution(const DistributionOptions& options);

  /// The bytes that are hashed for `fields`, into `out`; returns how many.
  size_t layout(const HeaderFields& fields, uint8_t out[kHashedBytesMax]) const;
  /// The hash of the layout: 64 bits for SipHash, 32 for the others.
  uint64_t hash(const HeaderFields& fields) const;
  /// 0 … buckets-1.
  uint32_t bucket(const HeaderFields& fields) const;

  /// As they were given.
  const DistributionOptions& options() const { return options_; }

 private:
  /// What counts of an address: the bits, and how many bytes of it are laid out.
  struct Selection {
    Address mask{};
    uint8_t bytes = 0;
  };
  struct Side {
    Selection ipv4, ipv6;
  };
  static Side make_side(bool selected, unsigned prefix_ipv4, unsigned prefix_ipv6);
  void choose_fields();

  DistributionOptions options_;
  uint8_t fields_ = 0;  ///< the selection that counts: with `symmetric`, closed over both sides
  Side source_;
  Side destination_;
  SipKey sip_key_;
  uint32_t seed_ = 0;
  std::shared_ptr<const ToeplitzTable> toeplitz_;  ///< only for kToeplitz
};

}  // namespace flowsieve
