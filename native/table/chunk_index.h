// The index of the connection table: from a hash to the slots that may hold its record. It knows
// hashes and slots; the records and their keys are its caller's.
//
//   chunk 0                       chunk 1
//   | t0 t1 … t13 | o0 o1 o2 o3 | t0 t1 … t13 | o0 o1 o2 o3 | …   16 bytes a chunk,
//     |                             |                             four chunks a cache line
//     slot 0                        slot 14                       slot = chunk * 14 + position
//
// A tag is a byte of the hash, never 0; 0 means that the slot is free. All fourteen are
// compared in one instruction, and as 10 or 11 are filled on average and tags agree by chance once
// in 255, a look at the records finds the right one or none, nearly always in one cache line
// of tags and one of records.
//
// Where a chunk is full, the entry goes to the next one on its path (first + k * step, modulo the
// number of chunks; that number is prime, so that every step visits every chunk), and each chunk
// passed counts it in one of four overflow counters of four bits, that of the entry's class. The
// class is two bits of the hash; a look goes on exactly as long as the chunk says that somebody of
// its own class has passed. Removal walks the same path and counts down: no tombstones, hence never
// a rebuild. An entry that has passed a chunk stays where it is when that has room again, so under
// churn looks grow to 1.3 chunks for a miss on average, and no further; with one counter for
// everybody they grow to 1.8. (The idea of an overflow counter per chunk: Facebook's F14, 2019.)
//
// A prime number of chunks also means that a table is as large as it was asked to be and not the
// next power of two. The first chunk is the hash's upper half multiplied by their number (Lemire
// 2019), which costs no division.
//
// The class is the lowest two bits of the hash's upper half. With fewer than 2^24 chunks the first
// chunk hardly depends on them (at least 256 values of that half in a row have the same one), and
// neither tag nor step uses them.
//
// What it does not promise: a counter stops at 15 and then stays there, as it no longer knows how
// many passed; looks of its class through that chunk go on one chunk further than needed. At a load
// of 0.75 under churn three of four counters are 0 and one in a million is 9; each number more is
// about six times rarer. By that, of the 400,000 counters of a table for a million connections one
// comes to 15 in some hundred thousand turnovers; more of them take a hash that has failed.
#pragma once

#include <bit>
#include <cstdint>

#include "base/bytes.h"
#include "base/pages.h"
#include "base/prefetch.h"
#include "table/tag_match.h"

namespace flowsieve {

using Slot = uint32_t;
inline constexpr Slot kNoSlot = UINT32_MAX;

/// The smallest prime that is at least `n`.
uint32_t prime_from(uint32_t n);

class ChunkIndex {
 public:
  static constexpr uint32_t kWidth = 14;
  static constexpr uint32_t kClasses = 4;
  static constexpr uint32_t kOverflowMax = 15;

  /// `chunks`: prime, below 2^24.
  explicit ChunkIndex(uint32_t chunks);

  uint32_t slots() const { return count_ * kWidth; }
  uint32_t chunks() const { return count_; }
  uint32_t size() const { return size_; }
  size_t memory_bytes() const { return pages_.size(); }

  uint32_t first_chunk(uint64_t hash) const {
    return static_cast<uint32_t>((hash >> 32) * count_ >> 32);
  }
  uint32_t step(uint64_t hash) const {
    return 1 + static_cast<uint32_t>((hash >> 8 & 0xffffff) * (count_ - 1) >> 24);
  }
  uint32_t next_chunk(uint32_t chunk, uint32_t step) const {
    chunk += step;
    return chunk < count_ ? chunk : chunk - count_;
  }
  static uint8_t tag(uint64_t hash) {
    const uint8_t low = static_cast<uint8_t>(hash);
    return low != 0 ? low : 1;
  }
  /// Which of a chunk's counters counts the entry when it passes.
  static uint32_t overflow_class(uint64_t hash) { return hash >> 32 & (kClasses - 1); }

  void populate() const { pages_.populate(); }
  void prefetch(uint64_t hash) const { prefetch_line(&chunks_[first_chunk(hash)]); }
  /// Calls visit(slot) for what the first chunk on the path offers.
  template <typename Visit>
  void visit_candidates(uint64_t hash, Visit&& visit) const {
    visit_in(first_chunk(hash), hash, visit);
  }
  /// Whether a look at `hash` finds nothing that agrees in the first chunk, and goes on. No branch:
  /// a processor could not guess it.
  bool leaves_first(uint64_t hash) const {
    const uint32_t chunk = first_chunk(hash);
    const bool none = (match_bytes(chunks_[chunk].bytes, tag(hash)) & kTags) == 0;
    return none & has_passed(chunk, hash);
  }
  /// The same as prefetch() and visit_candidates() for the second chunk on the path.
  void prefetch_second(uint64_t hash) const { prefetch_line(&chunks_[second_chunk(hash)]); }
  template <typename Visit>
  void visit_second_candidates(uint64_t hash, Visit&& visit) const {
    visit_in(second_chunk(hash), hash, visit);
  }

  /// The slot that place(hash) would give, if it is in the first chunk on the path; else kNoSlot.
  Slot first_free(uint64_t hash) const;

  /// The slot of `hash` for which matches(slot) is true, or kNoSlot.
  template <typename Matches>
  Slot find(uint64_t hash, Matches&& matches) const;
  /// Takes the first free slot on the path; kNoSlot when there is none in the whole index.
  Slot place(uint64_t hash);
  /// Frees `slot`, which place(hash) gave.
  void remove(Slot slot, uint64_t hash);

  bool is_occupied(Slot slot) const { return chunks_[slot / kWidth].bytes[slot % kWidth] != 0; }
  /// A 1 in bit i when the chunk's slot i is taken.
  uint32_t occupied(uint32_t chunk) const { return ~match_bytes(chunks_[chunk].bytes, 0) & kTags; }
  uint8_t tag_at(Slot slot) const { return chunks_[slot / kWidth].bytes[slot % kWidth]; }
  /// How many entries of the class have passed the chunk; kOverflowMax: at least so many once.
  uint32_t overflow(uint32_t chunk, uint32_t overflow_class) const {
    return chunks_[chunk].overflows() >> 4 * overflow_class & kOverflowMax;
  }

  /// How many chunks a look at `hash` reads when it ends in `slot`, or for kNoSlot when
  /// it finds nothing.
  uint32_t probe_length(uint64_t hash, Slot slot) const;

 private:
  struct alignas(16) Chunk {
    uint8_t bytes[16];  // 14 tags, then the overflow counters, four bits each from class 0 on

    uint32_t overflows() const { return load_le16(bytes + kWidth); }
    void set_overflows(uint32_t all) { store_le16(bytes + kWidth, static_cast<uint16_t>(all)); }
  };
  static_assert(sizeof(Chunk) == 16);
  /// Where among a chunk's counters that of a hash's class is.
  static uint32_t counter_shift(uint64_t hash) { return 4 * overflow_class(hash); }
  static void count_passing(Chunk& chunk, uint64_t hash, bool comes);
  /// Whether an entry of the hash's class has passed the chunk.
  bool has_passed(uint32_t chunk, uint64_t hash) const {
    return (chunks_[chunk].overflows() >> counter_shift(hash) & kOverflowMax) != 0;
  }
  uint32_t second_chunk(uint64_t hash) const { return next_chunk(first_chunk(hash), step(hash)); }
  template <typename Visit>
  void visit_in(uint32_t chunk, uint64_t hash, Visit&& visit) const;
  static constexpr uint32_t kTags = (1u << kWidth) - 1;

  Pages pages_;
  Chunk* chunks_;
  uint32_t count_;
  uint32_t size_ = 0;
};

template <typename Visit>
void ChunkIndex::visit_in(uint32_t chunk, uint64_t hash, Visit&& visit) const {
  for (uint32_t mask = match_bytes(chunks_[chunk].bytes, tag(hash)) & kTags; mask != 0;
       mask &= mask - 1) {
    visit(chunk * kWidth + static_cast<uint32_t>(std::countr_zero(mask)));
  }
}

inline Slot ChunkIndex::first_free(uint64_t hash) const {
  const uint32_t chunk = first_chunk(hash);
  const uint32_t free = match_bytes(chunks_[chunk].bytes, 0) & kTags;
  if (free == 0) return kNoSlot;
  return chunk * kWidth + static_cast<uint32_t>(std::countr_zero(free));
}

template <typename Matches>
Slot ChunkIndex::find(uint64_t hash, Matches&& matches) const {
  const uint8_t wanted = tag(hash);
  uint32_t chunk = first_chunk(hash);
  for (uint32_t looked = 0; looked < count_; ++looked) {
    const uint8_t* bytes = chunks_[chunk].bytes;
    for (uint32_t mask = match_bytes(bytes, wanted) & kTags; mask != 0; mask &= mask - 1) {
      const Slot slot = chunk * kWidth + static_cast<uint32_t>(std::countr_zero(mask));
      if (matches(slot)) return slot;
    }
    if (!has_passed(chunk, hash)) return kNoSlot;
    chunk = next_chunk(chunk, step(hash));
  }
  return kNoSlot;
}

}  // namespace flowsieve
