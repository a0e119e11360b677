// The connection table: own and others' connections in one open-addressing structure of fixed capacity.
// (essay to be written with the implementation: chunks of 15 tags with an overflow counter; slots never move.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "table/record.h"
#include "wheel/wheel.h"

namespace flowsieve {

enum class TimeoutClass : uint8_t { kTcp, kUdp, kIcmp, kSctp, kOther };
inline constexpr size_t kTimeoutClasses = 5;
TimeoutClass timeout_class(uint8_t protocol);

/// Ticks, by TimeoutClass and ConnectionStatus.
struct Timeouts {
  Tick ticks[kTimeoutClasses][3];
};
/// The defaults of the design: RFC 5382 and RFC 4787 for established TCP and UDP.
Timeouts default_timeouts();

struct TableOptions {
  uint32_t capacity = 1'000'000;  ///< connections, own and others together
  double opening_share = 0.25;    ///< of capacity that OPENING entries may use
  Timeouts timeouts = default_timeouts();
  uint16_t self = 0;   ///< owner index whose entries are "own"
  uint64_t seed = 0;   ///< of the table's hash; random in production
};

using Slot = uint32_t;
inline constexpr Slot kNoSlot = UINT32_MAX;

struct TableSizes {
  uint32_t own = 0, others = 0, capacity = 0;
  uint32_t opening = 0, established = 0, closing = 0;
};

enum class InsertOutcome : uint8_t {
  kInserted,
  kEvictedOpening,  ///< inserted in the place of an OPENING entry, which is gone
  kOpeningShare,    ///< not inserted: OPENING entries fill their share
  kFull,            ///< not inserted: no place, and nothing that may be evicted
};
struct Inserted {
  Slot slot;  ///< kNoSlot unless inserted
  InsertOutcome outcome;
};

class ConnectionTable {
 public:
  explicit ConnectionTable(const TableOptions& options, Tick now);
  ~ConnectionTable();

  uint64_t hash(const Key& key) const;
  /// First pass over a burst: asks for the line of tags.
  void prefetch(uint64_t hash) const;
  /// Second pass: asks for the records whose tag agrees.
  void prefetch_records(uint64_t hash) const;
  /// Third pass: the slot of `key`, or kNoSlot.
  Slot find(const Key& key, uint64_t hash) const;

  /// Enters `record` (its key must not be in the table) and files its timer.
  Inserted insert(const Record& record, uint64_t hash);
  void erase(Slot slot);

  const Record& at(Slot slot) const;
  /// A packet of the connection came: O(1), touches nothing but the record.
  void touch(Slot slot, Tick now);
  /// Changes the status, keeps the counts, and brings the timer forward when the new timeout is shorter.
  void set_status(Slot slot, ConnectionStatus status, Tick now);
  void set_owner(Slot slot, uint16_t owner);
  void add_flags(Slot slot, uint8_t flags);

  /// Removes what has timed out by `now`, at most `budget` timers looked at; calls expired(slot, record) before each removal.
  template <typename Expired>
  size_t advance(Tick now, size_t budget, Expired&& expired);

  /// Copies up to out.size() records from `cursor` (0 at first) on, and moves it; 0 means the end. What is in the table all
  /// the while comes exactly once, however much is entered and removed between two calls: slots never move.
  size_t export_block(uint64_t& cursor, std::span<Record> out) const;
  /// Enters foreign records (a handover's list): an unknown key is inserted, a known one takes over the record's owner
  /// when `correct_owners`. Ages are taken from the record relative to `sender_now`. Records that are not well-formed are refused and counted.
  struct Imported {
    uint32_t inserted = 0, corrected = 0, known = 0, refused = 0, full = 0;
  };
  Imported import_block(std::span<const Record> records, Tick sender_now, Tick now, bool correct_owners);

  TableSizes sizes() const;
  uint32_t slots() const;        ///< number of slots; a Slot is smaller than this
  size_t memory_bytes() const;   ///< taken at construction
};

}  // namespace flowsieve
