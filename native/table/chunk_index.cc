#include "table/chunk_index.h"

#include <cassert>

namespace flowsieve {

uint32_t prime_from(uint32_t n) {
  if (n <= 2) return 2;
  for (n |= 1;; n += 2) {
    bool prime = true;
    for (uint64_t d = 3; prime && d * d <= n; d += 2) prime = n % d != 0;
    if (prime) return n;
  }
}

ChunkIndex::ChunkIndex(uint32_t chunks)
    : pages_(size_t{chunks} * sizeof(Chunk)),
      chunks_(static_cast<Chunk*>(pages_.data())),
      count_(chunks) {
  assert(chunks >= 2 && chunks < 1u << 24 && prime_from(chunks) == chunks);
}

/// An entry passes `chunk`, or who passed it goes.
void ChunkIndex::count_passing(Chunk& chunk, uint64_t hash, bool comes) {
  const uint32_t shift = counter_shift(hash);
  const uint32_t all = chunk.overflows();
  if ((all >> shift & kOverflowMax) == kOverflowMax) return;
  chunk.set_overflows(comes ? all + (1u << shift) : all - (1u << shift));
}

Slot ChunkIndex::place(uint64_t hash) {
  if (size_ == slots())
    return kNoSlot;  // else the path, which visits every chunk, ends at a free slot
  uint32_t chunk = first_chunk(hash);
  for (;;) {
    uint8_t* bytes = chunks_[chunk].bytes;
    const uint32_t free = match_bytes(bytes, 0) & kTags;
    if (free != 0) {
      const uint32_t position = static_cast<uint32_t>(std::countr_zero(free));
      bytes[position] = tag(hash);
      ++size_;
      return chunk * kWidth + position;
    }
    count_passing(chunks_[chunk], hash, true);
    chunk = next_chunk(chunk, step(hash));
  }
}

void ChunkIndex::remove(Slot slot, uint64_t hash) {
  assert(is_occupied(slot));
  const uint32_t last = slot / kWidth;
  for (uint32_t chunk = first_chunk(hash); chunk != last; chunk = next_chunk(chunk, step(hash))) {
    count_passing(chunks_[chunk], hash, false);
  }
  chunks_[last].bytes[slot % kWidth] = 0;
  --size_;
}

uint32_t ChunkIndex::probe_length(uint64_t hash, Slot slot) const {
  uint32_t chunk = first_chunk(hash);
  uint32_t length = 1;
  for (; length < count_; ++length) {
    const bool ends =
        slot == kNoSlot ? overflow(chunk, overflow_class(hash)) == 0 : chunk == slot / kWidth;
    if (ends) break;
    chunk = next_chunk(chunk, step(hash));
  }
  return length;
}

}  // namespace flowsieve
