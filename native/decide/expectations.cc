#include "decide/expectations.h"

#include <algorithm>
#include <bit>

namespace flowsieve {
namespace {

/// IPv4 addresses are mapped: their bits are the last 32.
constexpr uint8_t kMappedBits = 96;

uint8_t bits_of(Family family) {
  return family == Family::kIpv4 ? 32 : 128;
}

/// The first `bits` bits of the address, zeros behind them.
Address leading(const Address& address, Family family, uint8_t bits) {
  if (bits == 0) return {};
  const unsigned kept = bits + (family == Family::kIpv4 ? kMappedBits : 0u);
  Address result{};
  const unsigned whole = kept / 8;
  std::copy_n(address.begin(), whole, result.begin());
  if (kept % 8 != 0) {
    result[whole] = static_cast<uint8_t>(address[whole] & (0xff00u >> kept % 8));
  }
  return result;
}

Key masked_by(const Key& key, Family family, uint8_t source_prefix, uint8_t destination_prefix,
              uint8_t exact) {
  Key result;
  result.source = leading(key.source, family, source_prefix);
  result.destination = leading(key.destination, family, destination_prefix);
  result.source_port = exact & kExactSourcePort ? key.source_port : 0;
  result.destination_port = exact & kExactDestinationPort ? key.destination_port : 0;
  result.protocol = key.protocol;
  result.family = family;
  return result;
}

/// Larger for masks with more exact bits; no two masks have the same.
uint32_t order_of(const Expectation& expectation) {
  const uint32_t ports = static_cast<uint32_t>(std::popcount(expectation.exact));
  const uint32_t bits = expectation.source_prefix + expectation.destination_prefix + 16 * ports;
  const uint32_t family = expectation.key.family == Family::kIpv6;
  return bits << 20 | uint32_t{expectation.source_prefix} << 12 | uint32_t{expectation.exact} << 1 |
         family;
}

uint64_t hash_of_id(NodeIndex owner, uint64_t id) {
  uint64_t state = id ^ uint64_t { owner } << 48;
  return splitmix64(state);
}

}  // namespace

bool is_well_formed(const Expectation& expectation) {
  const Key& key = expectation.key;
  const bool family = key.family == Family::kIpv4 || key.family == Family::kIpv6;
  if (!family || expectation.exact > (kExactSourcePort | kExactDestinationPort)) return false;
  if (expectation.source_prefix > bits_of(key.family)) return false;
  if (expectation.destination_prefix > bits_of(key.family)) return false;
  const bool state = expectation.state >= ExpectationState::kPending &&
                     expectation.state <= ExpectationState::kEnding;
  constexpr uint8_t kZero[sizeof(expectation.zero)] = {};
  const bool zero = std::memcmp(expectation.zero, kZero, sizeof(kZero)) == 0;
  return state && zero && expectation.once <= 1 && masked(key, expectation) == key;
}

Key masked(const Key& key, const Expectation& mask) {
  return masked_by(key, mask.key.family, mask.source_prefix, mask.destination_prefix, mask.exact);
}

Expectations::Expectations(uint64_t seed)
    : hash_(seed), places_(kMax), of_owner_(UINT16_MAX + 1), by_key_(kMax), by_id_(kMax) {
  used_.reserve(kMax);
  free_.reserve(kMax);
  for (uint32_t place = kMax; place-- > 0;) free_.push_back(place);
  left_.reserve(kLeftMax);
}

uint32_t Expectations::place_of(NodeIndex owner, uint64_t id) const {
  return by_id_.find(hash_of_id(owner, id), [&](uint32_t place) {
    const Expectation& other = places_[place].expectation;
    return other.owner == owner && other.id == id;
  });
}

uint32_t Expectations::find_masked(const Key& key, uint64_t hash, uint32_t order) const {
  return by_key_.find(hash, [&](uint32_t place) {
    const Expectation& other = places_[place].expectation;
    return other.key == key && order_of(other) == order;
  });
}

uint64_t Expectations::hash_of(const Key& masked_key, uint32_t order) const {
  uint64_t state = hash_(&masked_key) ^ order;
  return splitmix64(state);
}

Expectations::Outcome Expectations::put(const Expectation& expectation) {
  if (!is_well_formed(expectation)) return Outcome::kMalformed;
  const uint32_t known = place_of(expectation.owner, expectation.id);
  if (known != KeyIndex::kNone) {
    Expectation& ours = places_[known].expectation;
    ours.state = std::max(ours.state, expectation.state);
    return Outcome::kDone;
  }
  if (free_.empty()) return Outcome::kFull;
  if (of_owner_[expectation.owner] >= kOfNodeMax) return Outcome::kNodeFull;
  const uint32_t order = order_of(expectation);
  const uint64_t hash = hash_of(expectation.key, order);
  if (find_masked(expectation.key, hash, order) != KeyIndex::kNone) return Outcome::kTaken;
  if (!add_mask(expectation)) return Outcome::kMasks;
  const uint32_t place = free_.back();
  free_.pop_back();
  places_[place] = {.expectation = expectation,
                    .hash = hash,
                    .id_hash = hash_of_id(expectation.owner, expectation.id),
                    .position = size()};
  used_.push_back(place);
  ++of_owner_[expectation.owner];
  by_key_.insert(hash, place);
  by_id_.insert(places_[place].id_hash, place);
  return Outcome::kDone;
}

bool Expectations::erase(NodeIndex owner, uint64_t id) {
  const uint32_t place = place_of(owner, id);
  if (place == KeyIndex::kNone) return false;
  const Place& gone = places_[place];
  remove_mask(gone.expectation);
  --of_owner_[gone.expectation.owner];
  by_key_.erase(gone.hash, place);
  by_id_.erase(gone.id_hash, place);
  const uint32_t last = used_.back();
  used_[gone.position] = last;
  places_[last].position = gone.position;
  used_.pop_back();
  free_.push_back(place);
  return true;
}

size_t Expectations::erase_of(std::span<const NodeIndex> owners) {
  size_t erased = 0;
  for (size_t i = used_.size(); i-- > 0;) {
    const Expectation& each = places_[used_[i]].expectation;
    if (std::find(owners.begin(), owners.end(), each.owner) == owners.end()) continue;
    erased += erase(each.owner, each.id);
  }
  return erased;
}

void Expectations::clear() {
  while (!used_.empty()) {
    const Expectation& last = places_[used_.back()].expectation;
    erase(last.owner, last.id);
  }
  left_.clear();
}

/// Every state but pending decides. What is pending and goes before that is in doubt, and so is
/// what decides but is ending.
Expected Expectations::match(const Key& flow) const {
  Expected found;
  for (uint32_t i = 0; i < mask_count_; ++i) {
    const Mask& mask = masks_[i];
    if (mask.family != flow.family) continue;
    const Key key =
        masked_by(flow, mask.family, mask.source_prefix, mask.destination_prefix, mask.exact);
    const uint32_t place = find_masked(key, hash_of(key, mask.order), mask.order);
    if (place == KeyIndex::kNone) continue;
    const Expectation& expectation = places_[place].expectation;
    if (expectation.state != ExpectationState::kActive && found.doubt == nullptr) {
      found.doubt = &expectation;
    }
    if (expectation.state == ExpectationState::kPending) continue;
    found.match = &expectation;
    break;
  }
  return found;
}

void Expectations::count(const Expectation& expectation) {
  const uint32_t place = place_of(expectation.owner, expectation.id);
  if (place != KeyIndex::kNone) ++places_[place].matched;
}

void Expectations::leave(const Expectation& doubt, const Key& key) {
  if (left_.size() < kLeftMax) left_.push_back({key, doubt.id, doubt.owner});
}

uint64_t Expectations::matched(NodeIndex owner, uint64_t id) const {
  const uint32_t place = place_of(owner, id);
  return place == KeyIndex::kNone ? 0 : places_[place].matched;
}

const Expectation* Expectations::find(NodeIndex owner, uint64_t id) const {
  const uint32_t place = place_of(owner, id);
  return place == KeyIndex::kNone ? nullptr : &places_[place].expectation;
}

bool Expectations::add_mask(const Expectation& expectation) {
  const uint32_t order = order_of(expectation);
  const auto end = masks_.begin() + mask_count_;
  const auto at =
      std::find_if(masks_.begin(), end, [&](const Mask& each) { return each.order <= order; });
  if (at != end && at->order == order) {
    ++at->count;
    return true;
  }
  if (mask_count_ == kMasksMax) return false;
  std::move_backward(at, end, end + 1);
  *at = {.order = order,
         .family = expectation.key.family,
         .source_prefix = expectation.source_prefix,
         .destination_prefix = expectation.destination_prefix,
         .exact = expectation.exact,
         .count = 1};
  ++mask_count_;
  return true;
}

void Expectations::remove_mask(const Expectation& expectation) {
  const uint32_t order = order_of(expectation);
  const auto end = masks_.begin() + mask_count_;
  const auto at =
      std::find_if(masks_.begin(), end, [&](const Mask& each) { return each.order == order; });
  if (--at->count > 0) return;
  std::move(at + 1, end, at);
  --mask_count_;
}

}  // namespace flowsieve
