// Lists of connections that the worker gives to other nodes and takes from them, and whose the
// connections of dead nodes become.
#include <algorithm>

#include "worker/worker.h"

namespace flowsieve {
namespace {

/// By the key, never by Record::bucket: that is of the criteria under which it was entered.
NodeIndex owner_of_bucket(const Record& record, const Distribution& distribution,
                          const Allocation& allocation) {
  const Key flow = record.flags & kClientIsDestination ? reversed(record.key) : record.key;
  return allocation.owner[distribution.bucket(header_fields(flow))];
}

bool contains(std::span<const NodeIndex> nodes, NodeIndex node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

/// What travels of a node's own knowledge: whether the owner itself says that it is that, and
/// whether it has only inherited the connection (kAdopted).
void make_portable(ListKind kind, std::span<Record> records, NodeIndex self) {
  for (Record& record : records) {
    // Who returns has what it has answered, wherever that came from.
    if (kind == ListKind::kOwn && (record.seen_here & kAnswered) != 0) {
      record.seen_here &= static_cast<uint8_t>(~kAdopted);
    }
    record.flags &= static_cast<uint8_t>(~(kContested | kImported));
    if (record.owner == self) record.seen_here |= kConfirmed;
  }
}

/// What a node that returns brings may have become another's for good while it was away. The
/// members have looked at that when it asks for their tables, which are right about all of it.
Trust trust_in(ListKind kind) {
  if (kind == ListKind::kTables) return Trust::kAll;
  return kind == ListKind::kOwn ? Trust::kReturning : Trust::kTakers;
}

}  // namespace

/// A cursor's first part, for the kinds that have one, goes through the list of contested
/// connections; the second, from here on, through the table.
static constexpr uint64_t kTableFrom = ContestedList::kMax;

size_t Worker::export_list(ListKind kind, NodeIndex to, uint64_t& cursor, std::span<Record> out,
                           size_t looks) const {
  if (cursor == kListEnd) return 0;
  const bool of_contested =
      kind == ListKind::kReleased || kind == ListKind::kClaims || kind == ListKind::kContested;
  const bool of_table = !of_contested || kind == ListKind::kClaims || contested_.unlisted() > 0;
  size_t copied = 0;
  if (!of_contested) cursor = std::max(cursor, kTableFrom);
  if (cursor < kTableFrom) {
    copied = export_contested(kind, to, cursor, out, looks);
    if (cursor < kTableFrom) return copied;
  }
  if (!of_table) {
    cursor = kListEnd;
    return copied;
  }
  uint64_t slot = cursor - kTableFrom;
  const std::span<Record> room = out.subspan(copied);
  const size_t found = table_.export_block(slot, room, looks, [&](const Record& record) {
    return !table_.is_over(record, now()) && is_listed(kind, to, record);
  });
  make_portable(kind, room.first(found), criteria_.allocation.self);
  cursor = slot >= table_.slots() ? kListEnd : kTableFrom + slot;
  return copied + found;
}

/// The part of a list that comes from the list of contested connections; leaves `cursor` at
/// kTableFrom when that is through.
size_t Worker::export_contested(ListKind kind, NodeIndex to, uint64_t& cursor,
                                std::span<Record> out, size_t looks) const {
  const std::span<const Record> list = contested_.records();
  size_t copied = 0;
  for (; cursor < list.size() && looks > 0 && copied < out.size(); ++cursor, --looks) {
    const Record& copy = list[static_cast<size_t>(cursor)];
    if (kind == ListKind::kReleased && next_owner(copy) != to) continue;
    if (is_current(copy, out[copied])) ++copied;
  }
  if (cursor >= list.size()) cursor = kTableFrom;
  make_portable(kind, out.first(copied), criteria_.allocation.self);
  return copied;
}

/// How the contested connection `copy` stands now, into `current`; false when it is not this node's
/// any more, or over. For those that the table had no room for, or has none any more, there are
/// copies without the flag: they stand as they stood then.
bool Worker::is_current(const Record& copy, Record& current) const {
  const Slot slot = table_.find(copy.key, table_.hash(copy.key));
  if (slot != kNoSlot && table_.is_over(slot, now())) return false;
  current = slot == kNoSlot ? copy : table_.at(slot);
  if (slot != kNoSlot) return current.owner == criteria_.allocation.self;
  if ((copy.flags & kContested) != 0) return false;
  // Had it been entered and its time been over, then after one of these at the soonest.
  const auto timeout = [&](ConnectionStatus status) {
    return options_.table.timeouts.of(copy.key.protocol, status);
  };
  const Tick shortest =
      std::min({timeout(ConnectionStatus::kOpening), timeout(ConnectionStatus::kEstablished),
                timeout(ConnectionStatus::kClosing)});
  return Wheel::is_later(copy.last_seen + shortest, now());
}

bool Worker::is_listed(ListKind kind, NodeIndex to, const Record& record) const {
  const NodeIndex self = criteria_.allocation.self;
  const auto old_owner = [&] {
    return owner_of_bucket(record, criteria_.distribution, criteria_.allocation);
  };
  const bool own = record.owner == self;
  switch (kind) {
    case ListKind::kTables:
      return true;
    case ListKind::kOwn:
      return own;
    case ListKind::kMoving:
      return old_owner() == self && next_owner(record) == to;
    case ListKind::kReleased:
      return own && is_contested(record) && next_owner(record) == to;
    case ListKind::kClaims:
      return own &&
             (is_contested(record) || (transition_ && contains(transition_->dead, old_owner())));
    case ListKind::kContested:
      return own && is_contested(record);
  }
  return false;
}

bool Worker::is_contested(const Record& record) const {
  return (record.flags & kContested) != 0 && record.epoch >= contested_since_;
}

/// The owner of the connection's bucket when the transition, if there is one, is through.
NodeIndex Worker::next_owner(const Record& record) const {
  return transition_ ? owner_of_bucket(record, transition_->distribution, transition_->next)
                     : owner_of_bucket(record, criteria_.distribution, criteria_.allocation);
}

ConnectionTable::Imported Worker::import_list(ListKind kind, std::span<const Record> records,
                                              Tick sender_now) {
  return table_.import_block(records, sender_now, now(), trust_in(kind),
                             static_cast<ConnectionListener*>(this));
}

/// To whom a dead node's connection goes: in a takeover by the next criteria, else by the current.
NodeIndex Worker::heir(const Record& record) const {
  const bool takeover = transition_ && !transition_->dead.empty();
  return takeover ? next_owner(record)
                  : owner_of_bucket(record, criteria_.distribution, criteria_.allocation);
}

/// Gives the connection to its heir if its owner is dead. True when the owner changed.
bool Worker::adopt_one(Slot slot, std::span<const NodeIndex> dead) {
  const Record& record = table_.at(slot);
  if (!contains(dead, record.owner) || table_.is_over(slot, now())) return false;
  const NodeIndex owner = heir(record);
  if (owner == record.owner) return false;
  const bool opening = record.status == ConnectionStatus::kOpening;
  // What a rule refuses by now has no heir, and is unknown like all of its kind.
  const bool refused = owner == kNobody && criteria_.distribution.has_nobodys();
  if (refused || (opening && criteria_.takes(owner))) {
    leaving(slot, record, false);
    table_.erase(slot);
    return false;
  }
  table_.set_owner(slot, owner);
  table_.clear_seen_here(slot, kAdopted | kConfirmed | kAnswered);
  if (!opening) table_.add_seen_here(slot, kAdopted);
  counters_.add(Count::kAdopted);
  return true;
}

/// This node answers what opens a dead node's connection, if it is the heir; then that is its own
/// for good. The others may give it to another heir, or to the dead node once that is back, as they
/// may have noted another owner: so they are told.
bool Worker::answer_for(Slot slot, std::span<const NodeIndex> dead) {
  const NodeIndex self = criteria_.allocation.self;
  const Record& record = table_.at(slot);
  if (record.owner == self) return true;
  if (!contains(dead, record.owner) || heir(record) != self) return false;
  table_.set_owner(slot, self);
  table_.clear_seen_here(slot, kAdopted);
  table_.add_flags(slot, kContested);
  contested(table_.at(slot));
  counters_.add(Count::kAdopted);
  return true;
}

size_t Worker::adopt(std::span<const NodeIndex> dead, uint64_t& cursor, size_t looks) {
  if (cursor == kListEnd) return 0;
  size_t adopted = 0;
  table_.visit(cursor, looks, [&](Slot slot, const Record&) { adopted += adopt_one(slot, dead); });
  if (cursor >= table_.slots()) cursor = kListEnd;
  return adopted;
}

}  // namespace flowsieve
