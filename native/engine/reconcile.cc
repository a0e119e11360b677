#include "engine/reconcile.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/routing.h"

namespace flowsieve {

void ReconcileReport::note(const Key& key, Reconciled outcome, uint32_t named_max) {
  switch (outcome) {
    case Reconciled::kKept:
      return;
    case Reconciled::kDropped:
      ++dropped;
      break;
    case Reconciled::kClosed:
      ++closed;
      break;
    case Reconciled::kRestored:
      ++restored;
      break;
    case Reconciled::kUnmatched:
      ++unmatched;
      break;
    case Reconciled::kNoRoom:
      ++no_room;
      break;
  }
  if (named.size() < named_max) named.push_back({key, outcome});
}

Result<ReconcileReport> Engine::reconcile(const ReconcileOptions& options) {
  const SystemListOptions wanted{.scope = Scope::of_addresses(addresses_),
                                 .match = options.match,
                                 .conntrack = options.conntrack};
  const Tick listed_at = to_tick(monotonic_ns());
  const auto first = read_system_list(wanted);
  if (!first) return first.error();
  const SystemList& system = first.value();
  ReconcileReport report{.sockets = system.sockets,
                         .tracked = system.tracked,
                         .malformed = system.malformed,
                         .conntrack = system.conntrack};
  report.named.reserve(options.named);  // the workers add to it, and need not take memory

  std::vector<std::vector<OpenConnection>> open(lanes_.size());
  for (const OpenConnection& each : system.list.restorable()) {
    open[worker_of(each.key, workers())].push_back(each);
  }
  std::vector<std::vector<Key>> missing(lanes_.size());
  bool any = false;
  for (uint32_t i = 0; i < workers(); ++i) {
    const auto call = [&](auto letter) { return lanes_[i]->call(letter); };
    restore_in_steps(call, std::span<const OpenConnection>(open[i]), options, report);
    missing[i] = missing_in_steps(call, system.list, listed_at, report);
    any |= !missing[i].empty();
  }
  if (!any) return report;
  // What the list has passed over by chance is in the next one.
  const auto second = read_system_list(wanted);
  if (!second) return second.error();
  for (uint32_t i = 0; i < workers(); ++i) {
    const auto call = [&](auto letter) { return lanes_[i]->call(letter); };
    drop_in_steps(call, std::span<const Key>(missing[i]), second.value().list, listed_at, options,
                  report);
  }
  return report;
}

}  // namespace flowsieve
