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
          .audit = sorted(worker.audit()),
          .nodes = {}};
}

std::vector<NodeCounts> nodes_of(Worker& worker, const std::vector<Forwarded>& forwarded) {
  std::vector<NodeCounts> nodes;
  nodes.reserve(forwarded.size());
  for (const Forwarded& each : forwarded) {
    const auto owner = static_cast<NodeIndex>(nodes.size());
    nodes.push_back({each.packets, each.bytes, worker.table().connections_of(owner)});
  }
  return nodes;
}

}  // namespace flowsieve
