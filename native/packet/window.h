// What a layer may read. Two things end a frame: the snap length ends what was captured, and the
// length that the layer below states ends what belongs to the packet at all. A header that the
// second cuts is malformed, one that only the first cuts is merely not there.
//
//   | link | IP | transport | payload ..... | padding |
//   0                 ^ captured            ^ end
#pragma once

#include <cstddef>

#include "base/bytes.h"
#include "count/counters.h"

namespace flowsieve {

struct Window {
  Bytes bytes;  ///< captured; offsets count from the frame's first byte
  /// Offset behind the last byte that was on the wire and belongs here, >= bytes.size.
  size_t end = 0;

  /// True when `count` bytes at `offset` belong to the packet, captured or not.
  bool reaches(size_t offset, size_t count) const { return offset <= end && count <= end - offset; }
  /// kNone when `count` bytes can be read at `offset`; kCutShort when only the snap length took
  /// them, else `malformed`.
  Drop lack(size_t offset, size_t count, Drop malformed) const {
    if (bytes.has(offset, count)) [[likely]]
      return Drop::kNone;
    return reaches(offset, count) ? Drop::kCutShort : malformed;
  }
  /// The window that ends at `new_end` when that comes before its own end.
  Window until(size_t new_end) const {
    return new_end < end ? Window{bytes.first(new_end), new_end} : *this;
  }
};

}  // namespace flowsieve
