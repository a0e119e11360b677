// Lists of connections, out of a node and into it: what each kind must and must not hold, and what
// no list may do.
#pragma once

#include "fuzz/node.h"

namespace flowsieve_fuzz {

struct List {
  std::vector<Record> records;
  Tick now = 0;  ///< of the node that made it
};

/// What a kind of list is made of, of one entry of the table.
inline bool belongs(const Node& node, ListKind kind, NodeIndex to, const Record& record) {
  const Rules& rules = node.rules();
  const bool own = record.owner == kSelf;
  const bool contested = own && node.has_contested(record);
  switch (kind) {
    case ListKind::kTables:
      return true;
    case ListKind::kOwn:
      return own;
    case ListKind::kMoving:
      return rules.view.owner_of(record) == kSelf && rules.next_owner(record) == to;
    case ListKind::kReleased:
      return contested && rules.next_owner(record) == to;
    case ListKind::kClaims:
      return contested || (own && rules.transition &&
                           rules.transition->dead.count(rules.view.owner_of(record)) > 0);
    case ListKind::kContested:
      return contested;
  }
  return false;
}

/// The kinds of which the fuzzer knows more than a part: contested connections are also those that
/// were held, of which it is not told.
inline bool is_exact(ListKind kind) {
  return kind == ListKind::kTables || kind == ListKind::kOwn || kind == ListKind::kMoving;
}

/// What travels says nothing of what only this node knows.
inline void check_portable(const Record& record, Tick now) {
  demand(is_well_formed(record, now, kNodes));
  demand((record.flags & (kContested | kImported)) == 0);
  if (record.owner == kSelf) demand((record.seen_here & kConfirmed) != 0);
}

inline List export_list(Node& node, ListKind kind, NodeIndex to, size_t block, size_t looks) {
  List list{.records = {}, .now = node.worker().now()};
  std::vector<Record> out(block);
  uint64_t cursor = 0;
  while (cursor != Worker::kListEnd) {
    const uint64_t before = cursor;
    const size_t count = node.worker().export_list(kind, to, cursor, out, looks);
    demand(count <= block && (cursor > before || count > 0));
    list.records.insert(list.records.end(), out.begin(),
                        out.begin() + static_cast<ptrdiff_t>(count));
  }
  KeySet listed;
  for (const Record& record : list.records) {
    check_portable(record, list.now);
    listed.insert(record.key);
    if (kind != ListKind::kTables && kind != ListKind::kMoving) demand(record.owner == kSelf);
    if (kind == ListKind::kReleased) demand(node.rules().next_owner(record) == to);
  }
  size_t belonging = 0;
  for (const auto& [key, record] : node.table()) {
    // Still in the table, but told to nobody.
    if (node.worker().table().is_over(record, list.now)) continue;
    if (!belongs(node, kind, to, record)) continue;
    ++belonging;
    demand(listed.count(key) > 0);
  }
  if (is_exact(kind)) demand(listed.size() == belonging && list.records.size() == belonging);
  return list;
}

/// This node's own connections that no list of this kind takes away, except those that have closed,
/// or whose time is over though they are still there.
inline KeySet safe_from(ListKind kind, Node& node) {
  KeySet safe;
  if (kind == ListKind::kTables) return safe;
  ConnectionTable& table = node.worker().table();
  for (const auto& [key, record] : node.table()) {
    if (table.is_over(table.find(key, table.hash(key)), node.worker().now())) continue;
    const bool adopted = (record.seen_here & kAdopted) != 0;
    const bool guessed = kind == ListKind::kOwn && (record.flags & kMidstream) != 0;
    if (record.owner != kSelf || adopted || guessed) continue;
    if (record.status != ConnectionStatus::kClosing) safe.insert(key);
  }
  return safe;
}

inline void import_list(Node& node, ListKind kind, const List& list) {
  Worker& worker = node.worker();
  node.set_has_imported();
  node.age(4);
  const std::map<Key, Record, KeyLess> before = node.table();
  const KeySet safe = safe_from(kind, node);
  const ConnectionTable::Imported result = worker.import_list(kind, list.records, list.now);
  demand(result.inserted + result.corrected + result.known + result.refused + result.full ==
         list.records.size());
  demand(result.disputed <= result.known && result.evicted <= result.inserted);
  node.check();
  node.check_table();

  KeySet keys, confirmed;
  bool distinct = true;
  for (const Record& record : list.records) {
    distinct &= keys.insert(record.key).second;
    if (record.owner == kSelf && (record.seen_here & kConfirmed) != 0) confirmed.insert(record.key);
  }
  const std::map<Key, Record, KeyLess> after = node.table();
  for (const auto& [key, record] : after) {
    const auto known = before.find(key);
    const bool was_own = known != before.end() && known->second.owner == kSelf;
    // What somebody only noted makes nothing this node's own.
    demand(record.owner != kSelf || was_own || confirmed.count(key) > 0);
  }
  // One that made place for another of the list may come back with it, as somebody else's.
  if (!distinct || result.full + result.evicted > 0) return;
  for (const Key& key : safe) {
    const auto now = after.find(key);
    demand(now == after.end() || now->second.owner == kSelf);
  }
  // Merging it twice is merging it once.
  const ConnectionTable::Imported again = worker.import_list(kind, list.records, list.now);
  demand(again.inserted + again.corrected + again.full + again.evicted == 0);
  demand(again.refused == result.refused);
  node.check();
}

}  // namespace flowsieve_fuzz
