// The worker's table against the operating system's list: docs/decisions/os-list.md.
#include "worker/reconcile.h"

#include <algorithm>
#include <array>

#include "decide/status.h"
#include "netlink/open_list.h"
#include "worker/worker.h"

namespace flowsieve {
namespace {

/// Between a packet's time in its record and the socket that it opened or kept: the rounding of
/// both, and the kernel's way to it.
constexpr Tick kGrace = 2;

/// Entries that one call compares at most; a visit may overrun its limit by one chunk.
constexpr size_t kAtOnce = 512;
constexpr size_t kLooksMax = kAtOnce - ChunkIndex::kWidth;

}  // namespace

/// `listed_at`: when the first list was begun.
bool Worker::is_judged(const Record& record, const OpenList& list, Tick listed_at) const {
  return record.owner == criteria_.allocation.self &&
         record.status == ConnectionStatus::kEstablished && list.is_listed(record.key.protocol) &&
         !Wheel::is_later(record.last_seen + kGrace, listed_at);
}

size_t Worker::find_missing(const OpenList& list, Tick listed_at, uint64_t& cursor, size_t looks,
                            std::vector<Key>& missing, size_t most) {
  // Two passes, so that the cache misses of the list run side by side.
  std::array<Slot, kAtOnce> slots;
  size_t judged = 0;
  table_.visit(cursor, std::min(looks, kLooksMax), [&](Slot slot, const Record& record) {
    if (!is_judged(record, list, listed_at)) return;
    list.prefetch(record.key);
    slots[judged++] = slot;
  });
  for (size_t i = 0; i < judged; ++i) {
    const Record& record = table_.at(slots[i]);
    // What has been found closed before stays as it is.
    if ((record.seen_here & kServerRst) != 0 || list.is_open(record.key)) continue;
    if (missing.size() < most) missing.push_back(record.key);
  }
  counters_.add(Count::kOsChecked, judged);
  if (cursor >= table_.slots()) cursor = kListEnd;
  return judged;
}

Reconciled Worker::drop_missing(const Key& key, const OpenList& again, Tick listed_at, bool dry) {
  // While the allocation changes, lists of connections are under way.
  if (transition_ || former_) return Reconciled::kKept;
  const Slot slot = table_.find(key, table_.hash(key));
  if (slot == kNoSlot) return Reconciled::kKept;
  const Record& record = table_.at(slot);
  if (!is_judged(record, again, listed_at) || again.is_open(key)) return Reconciled::kKept;
  const bool mine = next_owner(record) == criteria_.allocation.self;
  if (mine && !told_.may_be_known(record)) {
    if (dry) return Reconciled::kDropped;
    counters_.add(Count::kOsDropped);
    leaving(slot, record, false);
    table_.erase(slot);
    return Reconciled::kDropped;
  }
  // A flow of another protocol goes on with whoever answers it.
  if (!ends_with_its_node(key, criteria_)) return Reconciled::kKept;
  if (dry) return Reconciled::kClosed;
  counters_.add(Count::kOsClosed);
  table_.add_seen_here(slot, kServerRst);
  return Reconciled::kClosed;
}

Reconciled Worker::restore(const OpenConnection& open, bool anywhere, bool dry) {
  const uint64_t hash = table_.hash(open.key);
  const Slot slot = table_.find(open.key, hash);
  const NodeIndex self = criteria_.allocation.self;
  if (slot != kNoSlot && !table_.is_over(slot, now())) {
    if (table_.at(slot).owner == self) return Reconciled::kKept;
    if (!dry) counters_.add(Count::kOsUnmatched);
    return Reconciled::kUnmatched;
  }
  Record record;
  record.key = open.key;
  record.last_seen = record.opened = now();
  record.epoch = criteria_.allocation.epoch;
  record.owner = self;
  record.bucket = static_cast<uint16_t>(criteria_.distribution.bucket(header_fields(open.key)));
  record.status = criteria_.monitoring ? open.status : ConnectionStatus::kEstablished;
  record.flags = kMidstream;
  const bool mine = !transition_ && !former_ && next_owner(record) == self;
  if (!anywhere && !mine) {
    if (!dry) counters_.add(Count::kOsUnmatched);
    return Reconciled::kUnmatched;
  }
  if (dry) return Reconciled::kRestored;
  if (slot != kNoSlot) expire(slot);
  const Inserted inserted = table_.insert(record, hash, static_cast<ConnectionListener*>(this));
  if (inserted.slot == kNoSlot) return Reconciled::kNoRoom;
  if (inserted.outcome != InsertOutcome::kInserted) counters_.add(Count::kEvicted);
  counters_.add(Count::kOsRestored);
  entered(inserted.slot, table_.at(inserted.slot));
  return Reconciled::kRestored;
}

}  // namespace flowsieve
