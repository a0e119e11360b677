// Memory for held frames: blocks of 512 bytes, of which a frame takes as many as it needs, side by
// side, so that it can be handed out as one run of bytes. A bitmap says which are taken; the search
// goes from the place where the last one ended (next fit), a word of 64 blocks at a step where all
// are taken. Runs of free blocks can become too short for a large frame while enough blocks are
// free altogether; then the frame is refused as if the arena were full.
#pragma once

#include <cstdint>
#include <vector>

namespace flowsieve {

class BlockArena {
 public:
  static constexpr uint32_t kBlockBytes = 512;
  static constexpr uint32_t kNone = UINT32_MAX;

  /// Room for `bytes`, rounded down to whole blocks.
  explicit BlockArena(uint32_t bytes)
      : memory_(bytes / kBlockBytes * kBlockBytes),
        taken_((bytes / kBlockBytes + 63) / 64),
        blocks_(bytes / kBlockBytes),
        free_(blocks_) {}

  /// The first block of a run that holds `bytes`, or kNone. A frame of no bytes takes a block too.
  uint32_t take(uint32_t bytes) {
    const uint32_t count = blocks_for(bytes);
    if (count > free_) return kNone;
    uint32_t first = search(next_, blocks_, count);
    if (first == kNone) first = search(0, blocks_, count);
    if (first == kNone) return kNone;
    mark(first, count, true);
    next_ = first + count;
    free_ -= count;
    return first;
  }

  /// Gives back what take(bytes) gave.
  void give_back(uint32_t first, uint32_t bytes) {
    mark(first, blocks_for(bytes), false);
    free_ += blocks_for(bytes);
  }

  uint8_t* at(uint32_t block) { return memory_.data() + size_t{block} * kBlockBytes; }
  uint32_t free_blocks() const { return free_; }

 private:
  static uint32_t blocks_for(uint32_t bytes) {
    return bytes == 0 ? 1 : (bytes - 1) / kBlockBytes + 1;
  }
  bool is_taken(uint32_t block) const { return taken_[block / 64] >> block % 64 & 1; }

  /// The first block of `count` free ones between `from` and `to`.
  uint32_t search(uint32_t from, uint32_t to, uint32_t count) const {
    uint32_t run = 0;
    for (uint32_t block = from; block < to;) {
      if (block % 64 == 0 && taken_[block / 64] == UINT64_MAX) {
        run = 0;
        block += 64;
        continue;
      }
      run = is_taken(block) ? 0 : run + 1;
      ++block;
      if (run == count) return block - count;
    }
    return kNone;
  }

  void mark(uint32_t first, uint32_t count, bool taken) {
    for (uint32_t block = first; block < first + count; ++block) {
      const uint64_t bit = uint64_t{1} << block % 64;
      taken ? taken_[block / 64] |= bit : taken_[block / 64] &= ~bit;
    }
  }

  std::vector<uint8_t> memory_;
  std::vector<uint64_t> taken_;
  uint32_t blocks_;
  uint32_t free_;
  uint32_t next_ = 0;
};

}  // namespace flowsieve
