// The table's own audit: everything that can be computed in two ways is, slowly, and compared.
#include <algorithm>
#include <array>
#include <vector>

#include "table/table.h"

namespace flowsieve {
namespace {

/// What the records say, gathered in one walk.
struct Census {
  uint32_t total = 0;
  uint32_t own = 0;
  uint32_t by_status[3] = {};
  // By chunk: the entries of each class that found it full.
  std::vector<std::array<uint32_t, ChunkIndex::kClasses>> passed;
};

std::string at_slot(Slot slot, const char* what) {
  return "slot " + std::to_string(slot) + ": " + what;
}

}  // namespace

std::string ConnectionTable::check_invariants() const {
  Census census;
  census.passed.resize(index_.chunks());
  for (Slot slot = 0; slot < slots(); ++slot) {
    if (!index_.is_occupied(slot)) {
      if (wheel_.is_scheduled(slot)) return at_slot(slot, "free, but its timer is filed");
      continue;
    }
    const Record& record = records_[slot];
    const uint64_t hash = this->hash(record.key);
    if (record.status > ConnectionStatus::kClosing) return at_slot(slot, "unknown status");
    if (index_.tag_at(slot) != ChunkIndex::tag(hash)) return at_slot(slot, "another key's tag");
    if (find(record.key, hash) != slot) return at_slot(slot, "not found, or its key is twice here");
    if (!wheel_.is_scheduled(slot)) return at_slot(slot, "its timer is not filed");
    ++census.total;
    census.own += record.owner == options_.self;
    ++census.by_status[static_cast<size_t>(record.status)];
    for (uint32_t chunk = index_.first_chunk(hash); chunk != slot / ChunkIndex::kWidth;
         chunk = index_.next_chunk(chunk, index_.step(hash))) {
      ++census.passed[chunk][ChunkIndex::overflow_class(hash)];
    }
  }

  for (uint32_t chunk = 0; chunk < index_.chunks(); ++chunk) {
    for (uint32_t of = 0; of < ChunkIndex::kClasses; ++of) {
      const uint32_t held = index_.overflow(chunk, of);
      // A counter that has once been at its end stays there.
      if (held != census.passed[chunk][of] && held != ChunkIndex::kOverflowMax) {
        return "chunk " + std::to_string(chunk) + ": overflow counter disagrees";
      }
    }
  }
  if (census.total != index_.size()) return "the number of entries disagrees";
  if (census.total > options_.capacity) return "more entries than the capacity";
  if (census.own != own_) return "the number of own entries disagrees";
  if (!std::equal(by_status_, by_status_ + 3, census.by_status)) return "a status count disagrees";

  std::string late;
  const bool wheel_whole = wheel_.visit_filed([&](Slot slot, Tick start) {
    // What was overdue when it was filed comes at the next tick.
    const Tick due = deadline(records_[slot]);
    const Tick latest = Wheel::is_later(due, wheel_.now()) ? due : wheel_.now() + 1;
    if (Wheel::is_later(start, latest)) late = at_slot(slot, "its timer comes after its deadline");
  });
  return wheel_whole ? late : "a list of the wheel is broken";
}

uint32_t ConnectionTable::longest_probe() const {
  uint32_t longest = 0;
  for (Slot slot = 0; slot < slots(); ++slot) {
    if (!index_.is_occupied(slot)) continue;
    longest = std::max(longest, index_.probe_length(hash(records_[slot].key), slot));
  }
  return longest;
}

}  // namespace flowsieve
