// A hierarchical timer wheel (Varghese and Lauck 1987, scheme 7) over indexes: it knows slots of a
// table by number and nothing else about them.
//
//   level 0: 256 slots of 1 tick         (25.6 s)
//   level 1: 256 slots of 256 ticks      (1.8 h)
//   level 2: 256 slots of 65536 ticks    (19 days)
//
// Refreshing a connection does not touch the wheel at all: the owner writes its own last-seen time,
// and when the slot's timer fires it answers with the deadline that is true by then; the wheel
// files the index again. So a packet costs nothing here, however many a connection has. Only a
// deadline that comes *closer* (a connection that closes) has to be scheduled anew.
//
// An index is filed on the level of the highest 8-bit digit in which its deadline differs from the
// present, in the slot of that digit. The slot comes when time reaches its first tick. Then each of
// its indexes is asked: on level 0 that is the deadline itself; on a higher level the answer is
// mostly a later deadline, and the index falls to a lower level. The wheel keeps no deadlines,
// which saves memory and lets a refreshed index skip the fall: it goes straight back up. An index
// is asked at most three times for each timeout that passes without a refresh.
//
//   links_: | 0 unused | 1 … 768 slot heads | 769 … one link per index |
//           each {next, previous}, 8 bytes
//
// A slot is a circular list through its head, so that unlinking needs no slot number, and a `next`
// of 0 means unfiled, so that fresh zero pages need no writing. Links are kept here and not in the
// owner's records: to unlink an index touches its neighbours, and in this dense array they cost far
// less than the records' own cache lines would. A bit per slot says which are occupied; time jumps
// from one occupied slot to the next, however many empty ticks lie between.
//
// Indexes of one slot of a higher level are asked in a row: with a timeout of
// 30 s most of a million connections, once in 25.6 s; with one of two hours most of them once in
// 1.8 h. The budget is what spreads this over time; what it puts off is late by as much.
//
// What the owner reads of an index is mostly in no cache. While one index is asked, the owner can
// have the next one named (`soon` of advance()) and ask for its cache line.
//
// What it promises: an index is never asked before the first tick of the slot that its deadline
// falls in, and its deadline is not missed: the first advance() to a time at or past the
// deadline, with budget enough, asks it. (An index filed for the present or the past is asked one
// tick later.) What it does not promise: order between indexes that are asked in the same
// advance(). Ticks wrap around after 2^32; deadlines are compared by their distance, which must
// stay below 2^31.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "base/pages.h"
#include "base/prefetch.h"

namespace flowsieve {

class Wheel {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  /// A deadline further away is filed at this distance and asked again.
  static constexpr Tick kSpanMax = (1u << 24) - 1;

  /// True when `a` lies after `b`, also across the wrap of the clock.
  static constexpr bool is_later(Tick a, Tick b) { return static_cast<int32_t>(a - b) > 0; }

  /// Room for the indexes 0 … capacity-1, taken at once. Time begins at `now`.
  Wheel(uint32_t capacity, Tick now);

  /// Files `index` to fire at `deadline` (at the next tick when that has passed); moves it if it is
  /// filed already. O(1).
  void schedule(uint32_t index, Tick deadline);
  /// Takes `index` out; nothing happens when it is not filed. O(1).
  void cancel(uint32_t index);
  /// Asks for what schedule() and cancel() write of `index` itself; when that has come,
  /// prefetch_neighbours() for the rest.
  void prefetch(uint32_t index) const { prefetch_line(&links_[index + kFirstIndex]); }
  void prefetch_neighbours(uint32_t index) const {
    const Link link = links_[index + kFirstIndex];
    prefetch_line(&links_[link.next]);
    prefetch_line(&links_[link.previous]);
  }
  bool is_scheduled(uint32_t index) const { return links_[index + kFirstIndex].next != 0; }

  /// The time that has been worked off: behind the one last advanced to only while its
  /// budget left work.
  Tick now() const { return now_; }

  /// Advances to `now` and calls `fire(index)` for every index whose slot has come, at most
  /// `budget` of them; `fire` returns the deadline at which to ask again, or a value <= now to
  /// leave the index unfiled (it has been dealt with). `fire` may call schedule() and cancel() for
  /// any other index. Returns the number of calls; when it equals `budget`, work may be left and
  /// the next advance goes on from there. A time that is not later than the last one does nothing,
  /// unless work is left.
  template <typename Fire>
  size_t advance(Tick now, size_t budget, Fire&& fire) {
    return advance(now, budget, std::forward<Fire>(fire), [](uint32_t) {});
  }
  /// The same; `soon(index)` is called before the fire() of the index ahead of it in its slot, so
  /// that the owner can ask for what it will read. It is a hint and no more: the first index of a
  /// slot comes without one, and one that was announced may be taken out before it fires.
  template <typename Fire, typename Soon>
  size_t advance(Tick now, size_t budget, Fire&& fire, Soon&& soon);

  /// Calls visit(index, first tick of its slot) for everything filed; for tests and audits. Returns
  /// false when a list is broken or an occupancy bit is wrong.
  template <typename Visit>
  bool visit_filed(Visit&& visit) const;

  size_t memory_bytes() const { return pages_.size(); }
  void populate() const { pages_.populate(); }

 private:
  struct Link {
    uint32_t next;
    uint32_t previous;
  };
  static constexpr uint32_t kLevels = 3;
  static constexpr uint32_t kWidth = 256;
  static constexpr uint32_t kSlots = kLevels * kWidth;
  static constexpr uint32_t kFirstHead = 1;
  static constexpr uint32_t kFirstIndex = kFirstHead + kSlots;

  bool is_head(uint32_t link) const { return link < kFirstIndex; }
  void set_occupied(uint32_t slot) { occupied_[slot / 64] |= uint64_t{1} << slot % 64; }
  void clear_occupied(uint32_t slot) { occupied_[slot / 64] &= ~(uint64_t{1} << slot % 64); }
  bool is_occupied(uint32_t slot) const { return occupied_[slot / 64] >> slot % 64 & 1; }

  uint32_t slot_of(Tick deadline) const;
  void link(uint32_t position, uint32_t slot);
  void unlink(uint32_t position);
  /// The first occupied digit of `level` at or behind `from`, or kWidth.
  uint32_t first_occupied(uint32_t level, uint32_t from) const;
  /// The first tick of `slot` that lies ahead of the present.
  Tick start_of(uint32_t slot) const;
  /// Moves time to the next occupied slot and makes it due; without one up to `target`, moves time
  /// to `target` and returns false.
  bool step(Tick target);

  Pages pages_;
  Link* links_ = nullptr;
  uint32_t capacity_ = 0;
  Tick now_ = 0;
  uint32_t due_ = kNone;  // the slot that is being worked off; what it holds is older than now_
  std::array<uint64_t, kSlots / 64> occupied_{};
};

template <typename Fire, typename Soon>
size_t Wheel::advance(Tick now, size_t budget, Fire&& fire, Soon&& soon) {
  if (is_later(now_, now)) return 0;
  size_t calls = 0;
  do {
    // The head is read anew for each index: `fire` may have taken out any other of this list. It
    // cannot have added to it, as nothing is ever filed for the present (slot_of), so this ends.
    while (due_ != kNone && is_occupied(due_)) {
      if (calls == budget) return calls;
      ++calls;
      const uint32_t position = links_[kFirstHead + due_].next;
      const uint32_t index = position - kFirstIndex;
      const uint32_t next = links_[position].next;
      prefetch_line(&links_[next]);
      if (!is_head(next)) soon(next - kFirstIndex);
      unlink(position);
      const Tick deadline = fire(index);
      if (is_later(deadline, now)) schedule(index, deadline);
    }
    due_ = kNone;
  } while (step(now));
  return calls;
}

template <typename Visit>
bool Wheel::visit_filed(Visit&& visit) const {
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    const uint32_t head = kFirstHead + slot;
    const bool filled = links_[head].next != head;
    if (filled != is_occupied(slot)) return false;
    uint32_t previous = head;
    uint32_t steps = 0;
    for (uint32_t at = links_[head].next; at != head; at = links_[at].next) {
      if (is_head(at) || ++steps > capacity_ || links_[at].previous != previous) return false;
      visit(at - kFirstIndex, slot == due_ ? now_ : start_of(slot));
      previous = at;
    }
    if (links_[head].previous != previous) return false;
  }
  return true;
}

}  // namespace flowsieve
