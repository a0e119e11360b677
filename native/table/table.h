// The connection table: own and others' connections in one open-addressing structure
// of fixed capacity.
//
//   key --hash--> ChunkIndex (tags) -+-slot-> records_[slot]  64 bytes, one cache line, never moves
//                                    `-slot-> wheel_          the timer that is filed for it
//
// Three arrays, all taken at construction: 16 bytes of tags per 14 slots (chunk_index.h tells how a
// slot is found), one record per slot, 8 bytes of timer links per slot. Slots are capacity / 0.75,
// so that full means that three of four are taken and paths stay short. A slot keeps its number as
// long as its connection lives: others may keep arrays by slot beside the table, and a walk in
// blocks misses nothing.
//
// A burst of packets is looked up in three passes (prefetch, those of table/ahead.h, find), so that
// the cache misses of 32 packets run side by side and not one after the other.
//
// Aging: touch() writes the time of the last packet and nothing else. The connection's timer, when
// it fires, compares; only then is it filed again or the connection removed. A status with a
// shorter timeout moves the timer at once, a longer one does not. A connection is removed by the
// first advance() to last_seen + timeout or later, never earlier.
//
// When it is full:
//   - OPENING entries may hold floor(capacity * opening_share) places; beyond, OPENING is refused
//     (kOpeningShare).
//   - At capacity an insert may take the place of a CLOSING entry (it has closed and only lingers),
//     and an ESTABLISHED or CLOSING insert also that of an OPENING one. ESTABLISHED entries are
//     never evicted, and OPENING never by OPENING.
//   - The victim is looked for in the first kVictimPath chunks of the newcomer's own path, then in
//     the next kVictimHand chunks of a hand that goes round the table: at most 280 records, so
//     kFull can be the answer while a victim stands elsewhere; the hand stands further on for the
//     next insert. In a chunk CLOSING goes before OPENING, and the longest unseen before others.
//
// Time is in ticks and may wrap around: ages are differences, and must stay below 2^31
// ticks (6.8 years).
//
// Not thread-safe: one worker owns a table. What it does not promise: the order of an export or of
// expiries within an advance(). Memory: the kernel backs the pages as they are touched, which for
// random keys means all of them soon.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/pages.h"
#include "base/prefetch.h"
#include "base/status.h"
#include "hash/table_hash.h"
#include "table/chunk_index.h"
#include "table/record.h"
#include "table/timeouts.h"
#include "wheel/wheel.h"

namespace flowsieve {

struct TableOptions {
  uint32_t capacity = 1'000'000;  ///< connections, own and others together; 16 … kCapacityMax
  bool populate = false;          ///< all memory is resident at once, not when it is first touched
  double opening_share = 0.25;    ///< of capacity that OPENING entries may use
  Timeouts timeouts = default_timeouts();
  uint16_t self = 0;            ///< owner index whose entries are "own"
  uint64_t seed = 0;            ///< of the table's hash; random in production
  uint16_t nodes = UINT16_MAX;  ///< imported records whose owner is not below this are refused
  bool by_owner = false;        ///< count the connections of each owner (connections_of)
};
inline constexpr uint32_t kCapacityMin = 16;
inline constexpr uint32_t kCapacityMax = 64u << 20;

/// The chunks of a table for `capacity` connections: when full, three of four slots are taken.
uint32_t chunks_for(uint32_t capacity);

struct TableSizes {
  uint32_t own = 0, others = 0, capacity = 0;
  uint32_t opening = 0, established = 0, closing = 0;
};

enum class InsertOutcome : uint8_t {
  kInserted,
  kEvictedOpening,  ///< inserted in the place of an OPENING entry, which is gone
  kEvictedClosing,  ///< inserted in the place of a CLOSING entry, which is gone
  kOpeningShare,    ///< not inserted: OPENING entries fill their share
  kFull,            ///< not inserted: no place, and nothing found that may be evicted
};
/// How far a list is to be believed about the owners of connections that are known already.
enum class Trust : uint8_t {
  /// Of nodes that took connections: not against this node about its own, unless it adopted them.
  kTakers,
  /// Of a node that returns and brings its own: only where nobody can have answered for it.
  kReturning,
  kAll,  ///< the members' tables, for a newcomer that has given its own back
};

struct Inserted {
  Slot slot;  ///< kNoSlot unless inserted
  InsertOutcome outcome;
};

/// True when `record` could have been written by another node's table: known status, flags and
/// family, zeros where zeros belong, IPv4 addresses mapped, an owner below `nodes`, opened <= last
/// seen <= `sender_now`, and seen first no further back than epochs go.
bool is_well_formed(const Record& record, Tick sender_now, uint16_t nodes);

class ConnectionTable {
 public:
  static constexpr uint32_t kVictimPath = 4;
  static constexpr uint32_t kVictimHand = 16;

  /// What the constructor refuses, or nothing: the options' one check.
  static Status check(const TableOptions& options);
  /// A table, or an Error for options that cannot be or memory that is not there.
  static Result<std::unique_ptr<ConnectionTable>> create(const TableOptions& options, Tick now);
  /// The same, but throws std::invalid_argument or std::bad_alloc.
  explicit ConnectionTable(const TableOptions& options, Tick now);

  uint64_t hash(const Key& key) const { return hash_(&key); }
  /// First pass over a burst: asks for the line of tags.
  void prefetch(uint64_t hash) const { index_.prefetch(hash); }
  /// Second pass: asks for the records whose tag agrees. What it and the following ask for is in the
  /// first chunk of a path, unless they say otherwise.
  void prefetch_records(uint64_t hash) const {
    index_.visit_candidates(hash, [this](Slot slot) { prefetch_line(&records_[slot]); });
  }
  /// Whether the connection, if it is there, is beyond that chunk. After churn it is so for one of
  /// eight, each of which would wait for its record alone.
  bool is_beyond(uint64_t hash) const { return index_.leaves_first(hash); }
  /// For those only, and one more behind it: first the tags of the second chunk, then the records.
  void prefetch_beyond(uint64_t hash) const { index_.prefetch_second(hash); }
  void prefetch_records_beyond(uint64_t hash) const {
    index_.visit_second_candidates(hash, [this](Slot slot) { prefetch_line(&records_[slot]); });
  }
  /// The second pass for a packet that may enter its connection with that status: also asks for what
  /// insert() writes.
  void prefetch_insert(uint64_t hash, ConnectionStatus status) const {
    prefetch_records(hash);
    if (is_share_full(status)) return;
    const Slot slot = index_.first_free(hash);
    if (slot == kNoSlot) return;
    prefetch_line(&records_[slot]);
    wheel_.prefetch(slot);
  }
  /// The second pass for a packet that may close its connection, and one more behind it: also ask for
  /// what the timer's move writes, as does erase().
  void prefetch_timer(uint64_t hash) const {
    index_.visit_candidates(hash, [this](Slot slot) {
      prefetch_line(&records_[slot]);
      wheel_.prefetch(slot);
    });
  }
  void prefetch_timer_neighbours(uint64_t hash) const {
    index_.visit_candidates(hash, [this](Slot slot) { wheel_.prefetch_neighbours(slot); });
  }
  /// Third pass: the slot of `key`, or kNoSlot.
  Slot find(const Key& key, uint64_t hash) const {
    return index_.find(hash, [this, &key](Slot slot) { return records_[slot].key == key; });
  }

  /// Enters `record` (its key must not be in the table; `hash` is hash(record.key)) and files its
  /// timer. An entry that gives its place is announced by listener->leaving(slot, record, false)
  /// while it still stands there.
  template <typename Listener>
  Inserted insert(const Record& record, uint64_t hash, Listener* listener);
  Inserted insert(const Record& record, uint64_t hash) {
    return insert(record, hash, static_cast<NoListener*>(nullptr));
  }
  void erase(Slot slot);

  const Record& at(Slot slot) const { return records_[slot]; }
  bool is_occupied(Slot slot) const { return index_.is_occupied(slot); }
  /// A packet of the connection came: O(1), touches nothing but the record. A time before the last
  /// one changes nothing.
  void touch(Slot slot, Tick now) {
    if (Wheel::is_later(now, records_[slot].last_seen)) records_[slot].last_seen = now;
  }
  /// A packet of the connection came at `now` and changes its status: touches, keeps the
  /// counts, and brings the timer forward when the new timeout is shorter. The opening share
  /// binds inserts only.
  void set_status(Slot slot, ConnectionStatus status, Tick now);
  void set_owner(Slot slot, uint16_t owner);
  void set_behind(Slot slot, uint8_t epochs) { records_[slot].behind = epochs; }
  void set_bypassed(Slot slot, bool bypassed) { records_[slot].bypassed = bypassed; }
  void add_flags(Slot slot, uint8_t flags) { records_[slot].flags |= flags; }
  void clear_flags(Slot slot, uint8_t flags) {
    records_[slot].flags &= static_cast<uint8_t>(~flags);
  }
  void add_seen_here(Slot slot, uint8_t bits) { records_[slot].seen_here |= bits; }
  void clear_seen_here(Slot slot, uint8_t bits) {
    records_[slot].seen_here &= static_cast<uint8_t>(~bits);
  }
  /// The connection's time is over, though advance() may not have come to it: then it is not there
  /// any more, and only its slot is still taken.
  bool is_over(Slot slot, Tick now) const { return is_over(records_[slot], now); }
  bool is_over(const Record& record, Tick now) const {
    return !Wheel::is_later(deadline(record), now);
  }

  /// Removes what has timed out by `now`, at most `budget` timers looked at; calls catch_up(slot)
  /// where a packet may have come unseen (Record::bypassed), and expired(slot, record) before each
  /// removal; `expired` may erase any other slot. Returns the number of timers looked at; when it
  /// equals `budget`, work may be left.
  template <typename CatchUp, typename Expired>
  size_t advance(Tick now, size_t budget, CatchUp&& catch_up, Expired&& expired);
  /// The same where every packet is seen.
  template <typename Expired>
  size_t advance(Tick now, size_t budget, Expired&& expired) {
    return advance(now, budget, [](Slot) {}, std::forward<Expired>(expired));
  }

  /// Copies up to out.size() records from `cursor` (0 at first) on, moves it, and returns how many;
  /// none means the end. What is in the table all the while comes exactly once, however much is
  /// entered and removed between two calls: slots never move.
  size_t export_block(uint64_t& cursor, std::span<Record> out) const;
  /// The same for the records that wanted(record) chooses, looking at no more than `looks` chunks
  /// and entries (give or take one chunk), so that a call stays short however few are wanted, and
  /// few calls go through a table that is nearly empty: that none came is not the end here,
  /// `cursor >= slots()` is.
  template <typename Wanted>
  size_t export_block(uint64_t& cursor, std::span<Record> out, size_t looks, Wanted&& wanted) const;

  /// Calls visit(slot, record) for the entries from `cursor` (0 at first) on and moves it, looking
  /// at no more than `looks` chunks and entries (give or take one chunk); `cursor >= slots()` is
  /// the end. `visit` may change or erase the entry that it is shown.
  template <typename Visit>
  void visit(uint64_t& cursor, size_t looks, Visit&& visit) const;

  /// Merges foreign records (another node's list). An unknown key is inserted. Of a known one:
  ///   own here         stays own, unless `trust` says otherwise, or it was adopted (kAdopted) and
  ///                    has not closed; counted as disputed when the record names another owner
  ///   same connection  takes over the record's owner (unless that is what somebody noted and ours
  ///                    what the owner said, kConfirmed; or what its heir says and ours what the
  ///                    owner said; nor does it make an own one of another's), and what the record knows more of it when this node has not
  ///                    seen all of it itself (kMidstream, kImported); an end that is only
  ///                    concluded (kConcluded) counts for less than its owner's word
  ///   port reuse       of two connections with one key the later stands, by when they were opened
  ///                    and that the earlier has closed; an own one gives way when closed here
  /// A connection whose time is over is not entered, and one of ours is as if it were not there.
  /// Merging a list twice is merging it once; of lists about the same connections that name the
  /// same owners, and of which none is over, the order does not matter. Times are taken from the record relative to
  /// `sender_now`. Records that are not well-formed are refused and counted.
  struct Imported {
    uint32_t inserted = 0, corrected = 0, known = 0, refused = 0, full = 0;
    /// Entries that gave their place; those that came instead count as inserted.
    uint32_t evicted = 0;
    /// Of the known: two nodes hold the connection for their own.
    uint32_t disputed = 0;
  };
  Imported import_block(std::span<const Record> records, Tick sender_now, Tick now,
                        Trust trust = Trust::kTakers) {
    return import_block(records, sender_now, now, trust, static_cast<NoListener*>(nullptr));
  }
  /// The same, with a listener that is told of evictions.
  template <typename Listener>
  Imported import_block(std::span<const Record> records, Tick sender_now, Tick now, Trust trust,
                        Listener* listener);
  /// The number of nodes has changed (see TableOptions::nodes).
  void set_nodes(uint16_t nodes) { options_.nodes = nodes; }

  TableSizes sizes() const;
  /// Connections of `owner`; 0 unless TableOptions::by_owner.
  uint32_t connections_of(uint16_t owner) const { return by_owner_ ? by_owner_[owner] : 0; }
  uint32_t slots() const { return index_.slots(); }  ///< a Slot is smaller than this
  size_t memory_bytes() const;                       ///< taken at construction

  /// Walks everything and compares: counts, tags, overflow counters, duplicates, and for each entry
  /// that its timer is filed and not too late. Returns the first disagreement in words, or an empty
  /// string. For tests and audits: slow.
  std::string check_invariants() const;
  /// The most chunks that a look at an entry reads.
  uint32_t longest_probe() const;

 private:
  struct NoListener {
    void leaving(Slot, const Record&, bool) {}
  };
  /// What an insert will do, before anything is changed.
  struct Plan {
    InsertOutcome outcome;
    Slot victim;
  };
  Plan plan(ConnectionStatus status, uint64_t hash);
  bool is_share_full(ConnectionStatus status) const {
    return status == ConnectionStatus::kOpening && count(status) >= opening_max_;
  }
  Slot find_victim(uint64_t hash, bool openings_too);
  Slot victim_in(uint32_t chunk, bool openings_too) const;
  Slot put(const Record& record, uint64_t hash);
  /// What an import does with one record.
  enum class Arrival : uint8_t { kKnown, kDisputed, kCorrected, kFull, kUnknown };
  Arrival receive(const Record& record, Slot slot, Tick now, Trust trust);
  bool translate(Record& record, Tick sender_now, Tick now) const;
  Arrival merge(Slot slot, const Record& record, Trust trust);
  bool believes(Trust trust, const Record& record, const Record& ours) const;
  void reconsider(Slot slot, const Record& record, Trust trust);
  bool is_outweighed(Trust trust, const Record& record, const Record& ours) const;
  void complete(Slot slot, const Record& record, Trust trust, bool taken);
  bool overwrite(Slot slot, const Record& record);

  Tick deadline(const Record& record) const {
    return record.last_seen + options_.timeouts.of(record.key.protocol, record.status);
  }
  void count_owner(uint16_t owner, uint32_t by) {
    if (owner == options_.self) own_ += by;
    if (by_owner_) [[unlikely]] {
      by_owner_[owner] += by;
    }
  }
  uint32_t& count(ConnectionStatus status) { return by_status_[static_cast<size_t>(status)]; }
  uint32_t count(ConnectionStatus status) const { return by_status_[static_cast<size_t>(status)]; }

  TableOptions options_;
  TableHash hash_;
  ChunkIndex index_;
  Pages record_pages_;
  Record* records_;
  Wheel wheel_;
  uint32_t opening_max_;
  uint32_t own_ = 0;
  std::unique_ptr<uint32_t[]> by_owner_;  // null: nobody asks
  uint32_t by_status_[3] = {};
  uint32_t hand_ = 0;  // the chunk where the next look for a victim beyond the path begins
};

template <typename Listener>
Inserted ConnectionTable::insert(const Record& record, uint64_t hash, Listener* listener) {
  const Plan plan = this->plan(record.status, hash);
  if (plan.outcome == InsertOutcome::kOpeningShare || plan.outcome == InsertOutcome::kFull) {
    return {kNoSlot, plan.outcome};
  }
  if (plan.victim != kNoSlot) {
    if (listener != nullptr) listener->leaving(plan.victim, records_[plan.victim], false);
    erase(plan.victim);
  }
  return {put(record, hash), plan.outcome};
}

template <typename CatchUp, typename Expired>
size_t ConnectionTable::advance(Tick now, size_t budget, CatchUp&& catch_up, Expired&& expired) {
  const auto fire = [&](Slot slot) {
    Tick due = deadline(records_[slot]);
    if (!Wheel::is_later(due, now) && records_[slot].bypassed) [[unlikely]] {
      catch_up(slot);
      due = deadline(records_[slot]);
    }
    if (!Wheel::is_later(due, now)) {
      expired(slot, static_cast<const Record&>(records_[slot]));
      erase(slot);
    }
    return due;
  };
  return wheel_.advance(now, budget, fire, [&](Slot slot) { prefetch_line(&records_[slot]); });
}

template <typename Wanted>
size_t ConnectionTable::export_block(uint64_t& cursor, std::span<Record> out, size_t looks,
                                     Wanted&& wanted) const {
  constexpr uint32_t kWidth = ChunkIndex::kWidth;
  size_t copied = 0;
  size_t looked = 0;
  while (cursor < slots() && looked < looks && copied < out.size()) {
    const uint32_t chunk = static_cast<uint32_t>(cursor / kWidth);
    const uint32_t position = static_cast<uint32_t>(cursor % kWidth);
    uint32_t mask = index_.occupied(chunk) >> position << position;
    looked += 1 + static_cast<size_t>(std::popcount(mask));
    cursor = uint64_t{chunk + 1} * kWidth;
    for (; mask != 0; mask &= mask - 1) {
      const uint64_t slot =
          uint64_t{chunk} * kWidth + static_cast<uint32_t>(std::countr_zero(mask));
      if (copied == out.size()) {
        cursor = slot;
        break;
      }
      if (wanted(static_cast<const Record&>(records_[slot]))) out[copied++] = records_[slot];
    }
  }
  return copied;
}

template <typename Visit>
void ConnectionTable::visit(uint64_t& cursor, size_t looks, Visit&& visit) const {
  constexpr uint32_t kWidth = ChunkIndex::kWidth;
  size_t looked = 0;
  while (cursor < slots() && looked < looks) {
    const uint32_t chunk = static_cast<uint32_t>(cursor / kWidth);
    uint32_t mask = index_.occupied(chunk) >> cursor % kWidth << cursor % kWidth;
    looked += 1 + static_cast<size_t>(std::popcount(mask));
    for (; mask != 0; mask &= mask - 1) {
      const Slot slot = chunk * kWidth + static_cast<uint32_t>(std::countr_zero(mask));
      visit(slot, static_cast<const Record&>(records_[slot]));
    }
    cursor = uint64_t{chunk + 1} * kWidth;
  }
}

template <typename Listener>
ConnectionTable::Imported ConnectionTable::import_block(std::span<const Record> records,
                                                        Tick sender_now, Tick now, Trust trust,
                                                        Listener* listener) {
  Imported result;
  for (Record record : records) {
    if (!translate(record, sender_now, now)) {
      ++result.refused;
      continue;
    }
    const uint64_t hash = this->hash(record.key);
    Slot slot = find(record.key, hash);
    if (slot != kNoSlot && is_over(slot, now)) {
      if (listener != nullptr) listener->leaving(slot, records_[slot], true);
      erase(slot);
      slot = kNoSlot;
    }
    switch (receive(record, slot, now, trust)) {
      case Arrival::kDisputed:
        ++result.disputed;
        ++result.known;
        break;
      case Arrival::kKnown:
        ++result.known;
        break;
      case Arrival::kCorrected:
        ++result.corrected;
        break;
      case Arrival::kFull:
        ++result.full;
        break;
      case Arrival::kUnknown: {
        const Inserted inserted = insert(record, hash, listener);
        inserted.slot != kNoSlot ? ++result.inserted : ++result.full;
        result.evicted += inserted.slot != kNoSlot && inserted.outcome != InsertOutcome::kInserted;
        break;
      }
    }
  }
  return result;
}

}  // namespace flowsieve
