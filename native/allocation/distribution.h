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
// A rule (allocation/rules.h) may choose other fields for its packets: the same layout and the same
// hash, of another selection. Or it takes the place of the hash:
//
//   0 … buckets-1            by the hash
//   buckets … buckets+n-1    everything of the first, second, … rule that gives to a single node
//   buckets+n                refused, or passed: nobody's
//
// So a single node's rule has a bucket of its own, with an owner like any other; whatever moves
// buckets from node to node moves such a rule as well, and what asks for an owner need not know.
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
#include <vector>

#include "allocation/rules.h"
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
  uint32_t buckets = 256;     ///< a power of two, 2^4 … 2^16
  std::vector<Rule> rules{};  ///< as RuleTable takes them; none goes with `symmetric`
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

  /// The bytes that are hashed for `fields`, into `out`; returns how many. Where a rule takes the
  /// place of the hash, those that were hashed without it.
  size_t layout(const HeaderFields& fields, uint8_t out[kHashedBytesMax]) const;
  /// The hash of the layout: 64 bits for SipHash, 32 for the others.
  uint64_t hash(const HeaderFields& fields) const;
  /// 0 … buckets-1 by the hash; from there on by rules, see above.
  uint32_t bucket(const HeaderFields& fields) const {
    if (rules_) [[unlikely]]
      return bucket_by_rule(fields);
    return bucket_of(hash(base_, fields));
  }
  /// How many values bucket() can have: the least size of Allocation::owner.
  uint32_t buckets_in_all() const { return singles_end_ + (has_nobodys_ ? 1 : 0); }
  /// How many of them have a node as their owner.
  uint32_t owned_buckets() const { return singles_end_; }
  /// A rule refuses or passes something.
  bool has_nobodys() const { return has_nobodys_; }
  /// `bucket` is that of what is refused or passed.
  bool is_nobodys(uint32_t bucket) const { return bucket == singles_end_; }
  /// The place of the first rule that matches, or RuleTable::kNoRule.
  uint16_t rule(const HeaderFields& fields) const {
    return rules_ ? rules_->table.find(fields.destination, fields.protocol, fields.destination_port)
                  : RuleTable::kNoRule;
  }
  /// A rule leaves packets to every node's kernel; only then passes() need be asked.
  bool has_passes() const { return has_passes_; }
  bool passes(const HeaderFields& fields) const;

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
  /// What is hashed. With `symmetric` the fields are closed over both sides.
  struct Variant {
    uint8_t fields = 0;
    Side source;
    Side destination;
  };
  /// A rule, compiled: what it says, and the variant or the bucket that it leads to.
  struct Compiled {
    RuleAction action;
    uint32_t bucket;
    Variant variant;
  };
  struct Rules {
    RuleTable table;
    std::vector<Compiled> compiled;
  };
  static Side make_side(bool selected, unsigned prefix_ipv4, unsigned prefix_ipv6);
  static Variant make_variant(HashedFields hashed, bool symmetric);
  void compile_rules();
  const Variant& variant_of(const HeaderFields& fields) const;
  size_t layout(const Variant& variant, const HeaderFields& fields, uint8_t* out) const;
  uint64_t hash(const Variant& variant, const HeaderFields& fields) const;
  uint32_t bucket_of(uint64_t hash) const;
  uint32_t bucket_by_rule(const HeaderFields& fields) const;

  DistributionOptions options_;
  Variant base_;
  std::shared_ptr<const Rules> rules_;  ///< null without rules
  uint32_t singles_end_ = 0;
  bool has_nobodys_ = false;
  bool has_passes_ = false;
  SipKey sip_key_;
  uint32_t seed_ = 0;
  std::shared_ptr<const ToeplitzTable> toeplitz_;  ///< only for kToeplitz
};

}  // namespace flowsieve
