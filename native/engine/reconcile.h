// The tables against the operating system's list, in steps that hold no packet up: as in
// engine/lists.h each step is one call(letter), which runs letter(worker) between two of the
// worker's bursts.
//
//   list -> find what is missing -> list again -> drop what is still missing
//      `--> restore what the tables do not know
//
// docs/decisions/os-list.md says what may be dropped, and why twice.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "netlink/system_list.h"
#include "worker/worker.h"

namespace flowsieve {

/// A connection that was not kept as it was.
struct ReconciledConnection {
  Key key;
  Reconciled outcome = Reconciled::kKept;
};

struct ReconcileOptions {
  MatchFields match;
  UseConntrack conntrack = UseConntrack::kAuto;
  bool dry = false;       ///< only says what it would do
  bool anywhere = false;  ///< restores in every bucket: no other node decides about them yet
  uint32_t named = 0;     ///< connections that the report names at most
};

struct ReconcileReport {
  uint64_t checked = 0;  ///< own connections that were compared
  uint64_t dropped = 0;  ///< as of Reconciled, and so the next ones
  uint64_t closed = 0;
  uint64_t restored = 0;
  uint64_t unmatched = 0;
  uint64_t no_room = 0;
  uint64_t left = 0;       ///< missing, and left for the next round: there were too many at once
  uint64_t sockets = 0;    ///< that the operating system has told of
  uint64_t tracked = 0;    ///< translated connections that it has told of
  uint64_t malformed = 0;  ///< of its answers
  bool conntrack = false;  ///< it has told of those
  std::vector<ReconciledConnection> named{};

  void note(const Key& key, Reconciled outcome, uint32_t named_max);
};

/// Chunks and entries that one step compares, and connections that one drops or restores: some
/// twenty microseconds' worth.
inline constexpr size_t kCompareLooks = 256;
inline constexpr size_t kReconcileBlock = 64;
/// Missing connections that one round remembers of each worker.
inline constexpr size_t kMissingMax = 65'536;

/// Own connections that the list does not have.
template <typename Call>
std::vector<Key> missing_in_steps(Call&& call, const OpenList& list, Tick listed_at,
                                  ReconcileReport& report) {
  std::vector<Key> missing;
  missing.reserve(kMissingMax + 1);  // taken here, so that the worker need not
  uint64_t cursor = 0;
  for (bool ended = false; !ended;) {
    ended = call([&](Worker& worker) {
      report.checked +=
          worker.find_missing(list, listed_at, cursor, kCompareLooks, missing, kMissingMax + 1);
      return cursor == Worker::kListEnd;
    });
  }
  if (missing.size() > kMissingMax) {
    ++report.left;
    missing.resize(kMissingMax);
  }
  return missing;
}

/// Calls work(worker, element) for all of `all`, a block for each letter.
template <typename Call, typename Element, typename Work>
void each_in_steps(Call&& call, std::span<const Element> all, Work&& work) {
  for (; !all.empty(); all = all.subspan(std::min(all.size(), kReconcileBlock))) {
    const std::span<const Element> block = all.first(std::min(all.size(), kReconcileBlock));
    call([&](Worker& worker) {
      for (const Element& element : block) work(worker, element);
    });
  }
}

template <typename Call>
void drop_in_steps(Call&& call, std::span<const Key> missing, const OpenList& again, Tick listed_at,
                   const ReconcileOptions& options, ReconcileReport& report) {
  each_in_steps(call, missing, [&](Worker& worker, const Key& key) {
    report.note(key, worker.drop_missing(key, again, listed_at, options.dry), options.named);
  });
}

template <typename Call>
void restore_in_steps(Call&& call, std::span<const OpenConnection> open,
                      const ReconcileOptions& options, ReconcileReport& report) {
  each_in_steps(call, open, [&](Worker& worker, const OpenConnection& connection) {
    const Reconciled outcome = worker.restore(connection, options.anywhere, options.dry);
    report.note(connection.key, outcome, options.named);
  });
}

}  // namespace flowsieve
