// A hierarchical timer wheel (Varghese and Lauck 1987, scheme 7) over indexes: it knows slots of a table by number and
// nothing else about them.
//
//   level 0: 256 slots of 1 tick         (25.6 s)
//   level 1: 256 slots of 256 ticks      (1.8 h)
//   level 2: 256 slots of 65536 ticks    (19 days)
//
// Refreshing a connection does not touch the wheel at all: the owner writes its own last-seen time, and when the slot's timer
// fires it answers with the deadline that is true by then; the wheel files the index again. So a packet costs
// nothing here, and a connection is filed once per timeout, however many packets it has. Only a deadline that comes *closer*
// (a connection that closes) has to be scheduled anew.
//
// Links are kept here, 8 bytes per index, and not in the records: to unlink an index touches its neighbours, and in this dense array
// they cost far less than the records' own cache lines would.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace flowsieve {

class Wheel {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr Tick kSpanMax = (1u << 24) - 1;  ///< a deadline further away is filed at this distance and asked again

  /// Room for the indexes 0 … capacity-1, taken at once. Time begins at `now`.
  Wheel(uint32_t capacity, Tick now);

  /// Files `index` to fire at `deadline` (at the next advance when that has passed); moves it if it is filed already. O(1).
  void schedule(uint32_t index, Tick deadline);
  /// Takes `index` out; nothing happens when it is not filed. O(1).
  void cancel(uint32_t index);
  bool is_scheduled(uint32_t index) const;

  Tick now() const;

  /// Advances to `now` and calls `fire(index)` for every index whose slot has come, at most `budget` of them; `fire` returns the
  /// deadline at which to ask again, or a value <= now to leave the index unfiled (it has been dealt with). `fire` may call
  /// schedule() and cancel() for other indexes. Returns the number of calls; when it equals `budget`, work may be left and
  /// the next advance goes on from there.
  template <typename Fire>
  size_t advance(Tick now, size_t budget, Fire&& fire);
};

}  // namespace flowsieve
