// Lists that travel between nodes: what goes out of the table in blocks and what is let in.
#include "table/table.h"

namespace flowsieve {
namespace {

constexpr uint8_t kKnownFlags = kClientIsDestination | kMidstream | kFinFromClient |
                                kFinFromServer | kClosedByFin | kClosedByRst | kImported;

bool is_mapped_ipv4(const Address& address) {
  return address == mapped_ipv4(address.data() + 12);
}

bool is_well_formed(const Key& key) {
  if (key.zero != 0) return false;
  if (key.family == Family::kIpv6) return true;
  return key.family == Family::kIpv4 && is_mapped_ipv4(key.source) &&
         is_mapped_ipv4(key.destination);
}

}  // namespace

bool is_well_formed(const Record& record, Tick sender_now, uint16_t nodes) {
  return is_well_formed(record.key) && record.zero == 0 && record.zero2 == 0 &&
         record.status <= ConnectionStatus::kClosing && (record.flags & ~kKnownFlags) == 0 &&
         record.owner < nodes && sender_now - record.last_seen <= kTimeoutMax &&
         !Wheel::is_later(record.opened, record.last_seen);
}

ConnectionTable::Arrival ConnectionTable::receive(Record& record, uint64_t& hash, Tick sender_now,
                                                  Tick now, bool correct_owners) {
  if (!is_well_formed(record, sender_now, options_.nodes)) return Arrival::kRefused;
  hash = this->hash(record.key);
  const Slot slot = find(record.key, hash);
  if (slot == kNoSlot) {
    // The nodes' clocks have nothing in common but their pace.
    record.last_seen = now - (sender_now - record.last_seen);
    record.opened = now - (sender_now - record.opened);
    record.flags |= kImported;
    record.seen_here = 0;
    return Arrival::kUnknown;
  }
  if (!correct_owners || records_[slot].owner == record.owner) return Arrival::kKnown;
  set_owner(slot, record.owner);
  return Arrival::kCorrected;
}

size_t ConnectionTable::export_block(uint64_t& cursor, std::span<Record> out) const {
  return export_block(cursor, out, slots(), [](const Record&) { return true; });
}

}  // namespace flowsieve
