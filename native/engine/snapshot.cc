#include "engine/snapshot.h"

#include <algorithm>

namespace flowsieve {
namespace {

std::vector<AuditEpoch> sorted(const Audit& audit) {
  std::vector<AuditEpoch> epochs;
  for (const AuditEpoch& each : audit.epochs()) {
    if (each.seen != 0 || each.taken != 0) epochs.push_back(each);
  }
  std::sort(epochs.begin(), epochs.end(),
            [](const AuditEpoch& a, const AuditEpoch& b) { return a.epoch < b.epoch; });
  return epochs;
}

}  // namespace

WorkerSnapshot snapshot_of(Worker& worker) {
  return {.counters = worker.counters(),
          .sizes = worker.table().sizes(),
          .fragments_waiting = worker.fragments_waiting(),
          .now = worker.now(),
          .memory_bytes = worker.table().memory_bytes(),
          .samples = worker.take_samples(),
          .held = worker.held(),
          .contested = worker.contested(),
          .audit = sorted(worker.audit())};
}

}  // namespace flowsieve
