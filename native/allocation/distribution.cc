#include "allocation/distribution.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "base/bytes.h"
#include "hash/crc32c.h"
#include "hash/jhash.h"

namespace flowsieve {
namespace {

constexpr uint8_t kAddresses = kFieldSource | kFieldDestination;
constexpr uint8_t kPorts = kFieldSourcePort | kFieldDestinationPort;
constexpr size_t kIpv4Offset = 12;  // of the four bytes within an Address

/// The bytes of the whole 32-bit words that a prefix touches.
uint8_t prefix_bytes(unsigned prefix) {
  return static_cast<uint8_t>((prefix + 31) / 32 * 4);
}

/// `prefix` set bits from byte `first` on.
Address prefix_mask(size_t first, unsigned prefix) {
  Address mask{};
  for (size_t i = first; i < mask.size() && prefix > 0; ++i) {
    const unsigned bits = std::min(prefix, 8u);
    mask[i] = static_cast<uint8_t>(0xff00 >> bits);
    prefix -= bits;
  }
  return mask;
}

Address masked(const Address& address, const Address& mask) {
  Address result;
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = address[i] & mask[i];
  }
  return result;
}

/// An endpoint as far as it counts: what is not selected is zero.
struct Endpoint {
  Address address;
  uint16_t port;

  bool sorts_behind(const Endpoint& other) const {
    const int order = std::memcmp(address.data(), other.address.data(), address.size());
    return order > 0 || (order == 0 && port > other.port);
  }
};

}  // namespace

Distribution::Side Distribution::make_side(bool selected, unsigned prefix_ipv4,
                                           unsigned prefix_ipv6) {
  if (!selected) {
    return {};
  }
  return {{prefix_mask(kIpv4Offset, prefix_ipv4), prefix_bytes(prefix_ipv4)},
          {prefix_mask(0, prefix_ipv6), prefix_bytes(prefix_ipv6)}};
}

Distribution::Variant Distribution::make_variant(HashedFields hashed, bool symmetric) {
  uint8_t& fields = hashed.fields;
  if (symmetric) {
    // A prefix speaks for an address only where that address is selected.
    if ((fields & kAddresses) == kFieldSource) {
      hashed.destination_prefix_ipv4 = hashed.source_prefix_ipv4;
      hashed.destination_prefix_ipv6 = hashed.source_prefix_ipv6;
    } else if ((fields & kAddresses) == kFieldDestination) {
      hashed.source_prefix_ipv4 = hashed.destination_prefix_ipv4;
      hashed.source_prefix_ipv6 = hashed.destination_prefix_ipv6;
    }
    hashed.source_prefix_ipv4 = hashed.destination_prefix_ipv4 =
        std::min(hashed.source_prefix_ipv4, hashed.destination_prefix_ipv4);
    hashed.source_prefix_ipv6 = hashed.destination_prefix_ipv6 =
        std::min(hashed.source_prefix_ipv6, hashed.destination_prefix_ipv6);
    fields |= (fields & kAddresses) != 0 ? kAddresses : 0;
    fields |= (fields & kPorts) != 0 ? kPorts : 0;
  }
  return {fields,
          make_side(fields & kFieldSource, hashed.source_prefix_ipv4, hashed.source_prefix_ipv6),
          make_side(fields & kFieldDestination, hashed.destination_prefix_ipv4,
                    hashed.destination_prefix_ipv6)};
}

Distribution::Distribution(const DistributionOptions& options) : options_(options) {
  assert(std::has_single_bit(options.buckets) && options.buckets <= 65536);
  assert(options.source_prefix_ipv4 <= 32 && options.destination_prefix_ipv4 <= 32);
  assert(options.source_prefix_ipv6 <= 128 && options.destination_prefix_ipv6 <= 128);
  base_ = make_variant({options.fields, options.source_prefix_ipv4, options.source_prefix_ipv6,
                        options.destination_prefix_ipv4, options.destination_prefix_ipv6},
                       options.symmetric);
  singles_end_ = options.buckets;
  if (!options.rules.empty()) compile_rules();
  sip_key_ = SipKey::from_bytes(options.key.data());
  seed_ = load_le32(options.key.data());
  if (options.hash == HashFunction::kToeplitz) {
    toeplitz_ = std::make_shared<const ToeplitzTable>(options.key);
  }
}

void Distribution::compile_rules() {
  std::vector<Compiled> compiled;
  for (const Rule& rule : options_.rules) {
    Compiled each{.action = rule.action, .bucket = 0, .variant = {}};
    if (rule.action == RuleAction::kDistribute) {
      each.variant = make_variant(rule.hashed, options_.symmetric);
    } else if (rule.action == RuleAction::kSingle) {
      each.bucket = singles_end_++;
    } else {
      has_nobodys_ = true;
      has_passes_ |= rule.action == RuleAction::kPass;
    }
    compiled.push_back(each);
  }
  for (Compiled& each : compiled) {
    const bool nobodys = each.action == RuleAction::kRefuse || each.action == RuleAction::kPass;
    if (nobodys) each.bucket = singles_end_;
  }
  rules_ = std::make_shared<const Rules>(Rules{RuleTable(options_.rules), std::move(compiled)});
}

const Distribution::Variant& Distribution::variant_of(const HeaderFields& fields) const {
  const uint16_t place = rule(fields);
  if (place == RuleTable::kNoRule) return base_;
  const Compiled& compiled = rules_->compiled[place];
  return compiled.action == RuleAction::kDistribute ? compiled.variant : base_;
}

bool Distribution::passes(const HeaderFields& fields) const {
  const uint16_t place = rule(fields);
  return place != RuleTable::kNoRule && rules_->compiled[place].action == RuleAction::kPass;
}

size_t Distribution::layout(const HeaderFields& fields, uint8_t out[kHashedBytesMax]) const {
  return layout(variant_of(fields), fields, out);
}

size_t Distribution::layout(const Variant& variant, const HeaderFields& fields,
                            uint8_t* out) const {
  const uint8_t selected = variant.fields;
  const bool ipv4 = fields.family == Family::kIpv4;
  const Selection& of_source = ipv4 ? variant.source.ipv4 : variant.source.ipv6;
  const Selection& of_destination = ipv4 ? variant.destination.ipv4 : variant.destination.ipv6;
  Endpoint source{masked(fields.source, of_source.mask),
                  selected & kFieldSourcePort ? fields.source_port : uint16_t{0}};
  Endpoint destination{masked(fields.destination, of_destination.mask),
                       selected & kFieldDestinationPort ? fields.destination_port : uint16_t{0}};
  if (options_.symmetric && source.sorts_behind(destination)) {
    // Both sides' selections are the same then, so that they need no swapping.
    std::swap(source, destination);
  }

  const size_t from = ipv4 ? kIpv4Offset : 0;
  uint8_t* end = out;
  std::memcpy(end, source.address.data() + from, of_source.bytes);
  end += of_source.bytes;
  std::memcpy(end, destination.address.data() + from, of_destination.bytes);
  end += of_destination.bytes;
  if (selected & kFieldSourcePort) {
    store_be16(end, source.port);
    end += 2;
  }
  if (selected & kFieldDestinationPort) {
    store_be16(end, destination.port);
    end += 2;
  }
  if (selected & kFieldProtocol) {
    *end++ = fields.protocol;
  }
  return static_cast<size_t>(end - out);
}

uint64_t Distribution::hash(const HeaderFields& fields) const {
  return hash(variant_of(fields), fields);
}

uint64_t Distribution::hash(const Variant& variant, const HeaderFields& fields) const {
  uint8_t bytes[kHashedBytesMax];
  const size_t size = layout(variant, fields, bytes);
  switch (options_.hash) {
    case HashFunction::kToeplitz:
      return (*toeplitz_)(bytes, size);
    case HashFunction::kCrc32c:
      return crc32c(bytes, size, seed_);
    case HashFunction::kJhash:
      return jhash(bytes, size, seed_);
    case HashFunction::kSipHash:
      break;
  }
  return siphash24(sip_key_, bytes, size);
}

uint32_t Distribution::bucket_of(uint64_t value) const {
  if (options_.hash == HashFunction::kJhash) {
    return static_cast<uint32_t>((value * options_.buckets) >> 32);
  }
  return static_cast<uint32_t>(value) & (options_.buckets - 1);
}

uint32_t Distribution::bucket_by_rule(const HeaderFields& fields) const {
  const uint16_t place = rule(fields);
  if (place == RuleTable::kNoRule) return bucket_of(hash(base_, fields));
  const Compiled& compiled = rules_->compiled[place];
  if (compiled.action != RuleAction::kDistribute) return compiled.bucket;
  return bucket_of(hash(compiled.variant, fields));
}

}  // namespace flowsieve
