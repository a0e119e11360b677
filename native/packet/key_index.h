// Open addressing over indexes: where in its owner's array stands the entry with this key? The
// array is the owner's, and so are the keys; here are only 32 bits of each hash and the index.
//
//   home = hash & mask          | tag 7a | tag 3c |        | tag 91 | ...   at most half full
//   linear probing from home -> | idx 12 | idx  3 | empty  | idx  8 |
//
// To erase, the entries behind the hole move up as long as that brings them nearer to their home
// (Knuth, The Art of Computer Programming 6.4, algorithm R), so that there are no tombstones and a
// flood leaves nothing behind. Memory is taken once. Hashes come from the owner, keyed: what a
// sender chooses must not choose the place.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace flowsieve {

class KeyIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit KeyIndex(uint32_t capacity)
      : slots_(std::bit_ceil(size_t{capacity} * 2 + 2)), mask_(slots_.size() - 1) {}

  /// The index filed under `hash` for which `is_it(index)` is true, or kNone.
  template <typename IsIt>
  uint32_t find(uint64_t hash, IsIt is_it) const {
    for (size_t at = hash & mask_; slots_[at].index != kNone; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.tag == static_cast<uint32_t>(hash) && is_it(slot.index)) return slot.index;
    }
    return kNone;
  }

  /// Files `index`; the owner sees to it that no more than `capacity` are.
  void insert(uint64_t hash, uint32_t index) {
    size_t at = hash & mask_;
    while (slots_[at].index != kNone) at = (at + 1) & mask_;
    slots_[at] = {static_cast<uint32_t>(hash), index};
  }

  /// Files `index` in the place of `old`, which is filed under the same hash.
  void replace(uint64_t hash, uint32_t old, uint32_t index) {
    slots_[place(hash, old)].index = index;
  }

  void erase(uint64_t hash, uint32_t index) {
    size_t hole = place(hash, index);
    for (size_t at = (hole + 1) & mask_; slots_[at].index != kNone; at = (at + 1) & mask_) {
      const size_t from_home = (at - slots_[at].tag) & mask_;
      const size_t from_hole = (at - hole) & mask_;
      if (from_home < from_hole) continue;  // its home lies behind the hole
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole] = Slot{};
  }

 private:
  struct Slot {
    uint32_t tag = 0;  ///< the hash's lower half: the home and 32 bits to compare
    uint32_t index = kNone;
  };

  size_t place(uint64_t hash, uint32_t index) const {
    size_t at = hash & mask_;
    while (slots_[at].index != index) at = (at + 1) & mask_;
    return at;
  }

  std::vector<Slot> slots_;
  size_t mask_;
};

}  // namespace flowsieve
