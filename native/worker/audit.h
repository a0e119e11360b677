// The audit: sums over opening packets by which nodes find out, by comparing a few numbers, that
// every one of them was taken by exactly one.
//
//   seen    opening packets of unknown connections, decided or held, whoever's they were
//   taken   those of them that this node delivered because the bucket was its own
//
// Each also as a sum of the connections' keys, mixed to 64 bits alike on every node: equal sums are
// the same connections. Of one epoch, or of all together, the `taken` of all nodes add up to the
// `seen` of each. What is decided anew in a later epoch counts in the one in which it was seen.
//
// That holds where every node tracks every connection. In tracking own, or when openings find no
// place in the table, a SYN that is repeated is unknown once more, and not on all nodes alike.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "packet/key.h"

namespace flowsieve {

struct AuditEpoch {
  uint32_t epoch = 0;
  uint64_t seen = 0, seen_sum = 0;
  uint64_t taken = 0, taken_sum = 0;
};

class Audit {
 public:
  static constexpr size_t kEpochs = 16;

  void see(uint32_t epoch, const Key& key) {
    if (AuditEpoch* sums = of(epoch)) {
      ++sums->seen;
      sums->seen_sum += mix(key);
    }
  }
  void take(uint32_t epoch, const Key& key) {
    if (AuditEpoch* sums = of(epoch)) {
      ++sums->taken;
      sums->taken_sum += mix(key);
    }
  }
  /// What take() counted was not delivered after all.
  void take_back(uint32_t epoch, const Key& key) {
    if (AuditEpoch* sums = of(epoch)) {
      --sums->taken;
      sums->taken_sum -= mix(key);
    }
  }

  /// The newest epochs, in no order; places that were never used are all zero.
  const std::array<AuditEpoch, kEpochs>& epochs() const { return epochs_; }

  /// Unkeyed: it finds mistakes, not attackers.
  static uint64_t mix(const Key& key) {
    uint64_t words[5];
    static_assert(sizeof(words) == sizeof(Key));
    std::memcpy(words, &key, sizeof(words));
    uint64_t mixed = 0;
    for (const uint64_t word : words) {
      mixed = (mixed ^ word) * 0x9e3779b97f4a7c15u;
      mixed ^= mixed >> 29;
    }
    return mixed * 0xbf58476d1ce4e5b9u;
  }

 private:
  /// The place of an epoch is free for the one sixteen later; null for what is older than that.
  AuditEpoch* of(uint32_t epoch) {
    AuditEpoch& sums = epochs_[epoch % kEpochs];
    if (sums.epoch > epoch) return nullptr;
    if (sums.epoch != epoch) sums = {.epoch = epoch};
    return &sums;
  }

  std::array<AuditEpoch, kEpochs> epochs_{};
};

}  // namespace flowsieve
