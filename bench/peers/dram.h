// What the machine's memory gives: one cache line, at random, with a write, of an arena of a
// table's size on the same huge pages. No line depends on another, and those of a burst are
// asked for together. Our table reads two for each packet that it knows, of tags and of records.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/pages.h"

namespace flowsieve::peers {

class Dram {
 public:
  explicit Dram(size_t bytes);
  /// Nanoseconds for each of `count` lines.
  double lines(size_t count);

 private:
  struct alignas(64) Line {
    uint64_t writes;
  };
  void burst();

  Pages pages_;
  Line* lines_;
  uint64_t count_;
  uint64_t state_ = 88172645463325252;
};

}  // namespace flowsieve::peers
