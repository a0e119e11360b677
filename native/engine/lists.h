// What takes long over one worker, in steps that do not: lists out, lists in, and the adoption of
// what a dead node owned. Each step is one call(letter), which runs letter(worker) between two of
// the worker's bursts and returns its result; packets are decided between the steps. So a list is
// no picture of one moment: what enters the table meanwhile may be in it or not. Before the first
// step of a list, out or in, the caller has everything decided that the worker's ring had received.
#pragma once

#include <algorithm>
#include <span>

#include "engine/snapshot.h"
#include "worker/worker.h"

namespace flowsieve {

/// Records that a step copies out, chunks and entries of the table that it looks at, and records
/// that it merges: each some 50 microseconds' worth.
inline constexpr size_t kBlockMax = 4096;
inline constexpr size_t kLooks = 2048;
inline constexpr size_t kImportBlock = 256;

inline ConnectionTable::Imported& operator+=(ConnectionTable::Imported& sum,
                                             const ConnectionTable::Imported& more) {
  sum.inserted += more.inserted;
  sum.corrected += more.corrected;
  sum.known += more.known;
  sum.refused += more.refused;
  sum.full += more.full;
  sum.evicted += more.evicted;
  sum.disputed += more.disputed;
  return sum;
}

/// Up to `limit` records of a list, from `cursor` (0 at first) on.
template <typename Call>
RecordBlock export_in_steps(Call&& call, ListKind kind, NodeIndex to, uint64_t cursor,
                            size_t limit) {
  RecordBlock block;
  block.records.resize(std::min(limit, kBlockMax));  // taken here, so that the worker need not
  block.cursor = cursor;
  size_t copied = 0;
  for (bool ended = false; !ended && copied < block.records.size();) {
    ended = call([&](Worker& worker) {
      const std::span<Record> out = std::span(block.records).subspan(copied);
      copied += worker.export_list(kind, to, block.cursor, out, kLooks);
      block.now = worker.now();
      return block.cursor == Worker::kListEnd;
    });
    if (ended) block.cursor = 0;
  }
  block.records.resize(copied);
  return block;
}

template <typename Call>
ConnectionTable::Imported import_in_steps(Call&& call, ListKind kind,
                                          std::span<const Record> records, Tick sender_now) {
  ConnectionTable::Imported sum;
  for (; !records.empty(); records = records.subspan(std::min(records.size(), kImportBlock))) {
    const std::span<const Record> block = records.first(std::min(records.size(), kImportBlock));
    sum += call([&](Worker& worker) { return worker.import_list(kind, block, sender_now); });
  }
  return sum;
}

/// Returns how many connections got a new owner.
template <typename Call>
uint64_t adopt_in_steps(Call&& call, std::span<const NodeIndex> dead) {
  uint64_t adopted = 0, cursor = 0;
  for (bool ended = false; !ended;) {
    ended = call([&](Worker& worker) {
      adopted += worker.adopt(dead, cursor, kLooks);
      return cursor == Worker::kListEnd;
    });
  }
  return adopted;
}

}  // namespace flowsieve
