#include "table/table.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>

namespace flowsieve {
namespace {

TableOptions checked(const TableOptions& options) {
  const Status status = ConnectionTable::check(options);
  if (!status) throw std::invalid_argument(status.error().message);
  return options;
}

}  // namespace

uint32_t chunks_for(uint32_t capacity) {
  // Three quarters of a chunk's fourteen slots are 21/2.
  return prime_from(static_cast<uint32_t>((uint64_t{capacity} * 2 + 20) / 21));
}

Status ConnectionTable::check(const TableOptions& options) {
  const auto expected = [](const std::string& what, const std::string& received) {
    return Error{ErrorCode::kArgument, "Expected " + what + " but received " + received + "."};
  };
  if (options.capacity < kCapacityMin || options.capacity > kCapacityMax) {
    return expected(std::to_string(kCapacityMin) + " to " + std::to_string(kCapacityMax) +
                        " connections for the table's capacity",
                    std::to_string(options.capacity));
  }
  // Written so that NaN fails too.
  if (!(options.opening_share >= 0 && options.opening_share <= 1)) {
    return expected("0 to 1 for the opening share", std::to_string(options.opening_share));
  }
  for (const auto& row : options.timeouts.ticks) {
    for (const Tick ticks : row) {
      if (ticks == 0 || ticks > kTimeoutMax) {
        return expected("1 to " + std::to_string(kTimeoutMax) + " ticks for a timeout",
                        std::to_string(ticks));
      }
    }
  }
  return ok_status();
}

Result<std::unique_ptr<ConnectionTable>> ConnectionTable::create(const TableOptions& options,
                                                                 Tick now) {
  if (Status status = check(options); !status) return status.error();
  try {
    return std::make_unique<ConnectionTable>(options, now);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kSystem, "Expected memory for a table of " +
                                         std::to_string(options.capacity) +
                                         " connections but received none from the system."};
  }
}

ConnectionTable::ConnectionTable(const TableOptions& options, Tick now)
    : options_(checked(options)),
      hash_(options.seed),
      index_(chunks_for(options.capacity)),
      record_pages_(size_t{index_.slots()} * sizeof(Record)),
      records_(static_cast<Record*>(record_pages_.data())),
      wheel_(index_.slots(), now),
      opening_max_(static_cast<uint32_t>(std::floor(options.capacity * options.opening_share))),
      by_owner_(options.by_owner ? std::make_unique<uint32_t[]>(UINT16_MAX + 1) : nullptr) {
  if (!options.populate) return;
  index_.populate();
  record_pages_.populate();
  wheel_.populate();
}

ConnectionTable::Plan ConnectionTable::plan(ConnectionStatus status, uint64_t hash) {
  const bool opening = status == ConnectionStatus::kOpening;
  if (is_share_full(status)) return {InsertOutcome::kOpeningShare, kNoSlot};
  if (index_.size() < options_.capacity) return {InsertOutcome::kInserted, kNoSlot};
  const Slot victim = find_victim(hash, !opening);
  if (victim == kNoSlot) return {InsertOutcome::kFull, kNoSlot};
  const bool closing = records_[victim].status == ConnectionStatus::kClosing;
  return {closing ? InsertOutcome::kEvictedClosing : InsertOutcome::kEvictedOpening, victim};
}

Slot ConnectionTable::find_victim(uint64_t hash, bool openings_too) {
  // A table full of established connections is not searched for what it cannot hold.
  const uint32_t evictable =
      count(ConnectionStatus::kClosing) + (openings_too ? count(ConnectionStatus::kOpening) : 0);
  if (evictable == 0) return kNoSlot;
  uint32_t chunk = index_.first_chunk(hash);
  for (uint32_t i = 0; i < std::min(kVictimPath, index_.chunks()); ++i) {
    const Slot victim = victim_in(chunk, openings_too);
    if (victim != kNoSlot) return victim;
    chunk = index_.next_chunk(chunk, index_.step(hash));
  }
  for (uint32_t i = 0; i < std::min(kVictimHand, index_.chunks()); ++i) {
    const Slot victim = victim_in(hand_, openings_too);
    hand_ = index_.next_chunk(hand_, 1);
    if (victim != kNoSlot) return victim;
  }
  return kNoSlot;
}

Slot ConnectionTable::victim_in(uint32_t chunk, bool openings_too) const {
  const Slot first = chunk * ChunkIndex::kWidth;
  Slot best = kNoSlot;
  for (uint32_t mask = index_.occupied(chunk); mask != 0; mask &= mask - 1) {
    const Slot slot = first + static_cast<uint32_t>(std::countr_zero(mask));
    const Record& record = records_[slot];
    if (record.status == ConnectionStatus::kEstablished) continue;
    if (record.status == ConnectionStatus::kOpening && !openings_too) continue;
    if (best == kNoSlot) {
      best = slot;
      continue;
    }
    const Record& other = records_[best];
    if (record.status != other.status ? record.status == ConnectionStatus::kClosing
                                      : Wheel::is_later(other.last_seen, record.last_seen)) {
      best = slot;
    }
  }
  return best;
}

Slot ConnectionTable::put(const Record& record, uint64_t hash) {
  const Slot slot = index_.place(hash);  // there is room: size < capacity < slots
  std::construct_at(&records_[slot], record);
  count_owner(record.owner, 1);
  ++count(record.status);
  wheel_.schedule(slot, deadline(record));
  return slot;
}

void ConnectionTable::erase(Slot slot) {
  const Record& record = records_[slot];
  count_owner(record.owner, ~0u);
  --count(record.status);
  wheel_.cancel(slot);
  index_.remove(slot, hash(record.key));
}

void ConnectionTable::set_status(Slot slot, ConnectionStatus status, Tick now) {
  touch(slot, now);
  Record& record = records_[slot];
  if (record.status == status) return;
  const Timeouts& timeouts = options_.timeouts;
  const bool shorter =
      timeouts.of(record.key.protocol, status) < timeouts.of(record.key.protocol, record.status);
  --count(record.status);
  ++count(status);
  record.status = status;
  if (shorter) wheel_.schedule(slot, deadline(record));
}

void ConnectionTable::set_owner(Slot slot, uint16_t owner) {
  Record& record = records_[slot];
  count_owner(record.owner, ~0u);
  count_owner(owner, 1);
  record.owner = owner;
  record.expected = 0;
}

TableSizes ConnectionTable::sizes() const {
  return {.own = own_,
          .others = index_.size() - own_,
          .capacity = options_.capacity,
          .opening = count(ConnectionStatus::kOpening),
          .established = count(ConnectionStatus::kEstablished),
          .closing = count(ConnectionStatus::kClosing)};
}

size_t ConnectionTable::memory_bytes() const {
  return index_.memory_bytes() + record_pages_.size() + wheel_.memory_bytes();
}

}  // namespace flowsieve
