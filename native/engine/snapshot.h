// What a worker tells of itself to those outside its thread: copies, made between two bursts.
#pragma once

#include <vector>

#include "wire/forwarder.h"
#include "worker/worker.h"

namespace flowsieve {

/// What a dispatcher has for one node.
struct NodeCounts {
  uint64_t packets = 0, bytes = 0;  ///< forwarded
  uint32_t connections = 0;         ///< in the table
};

/// What one worker is and has counted.
struct WorkerSnapshot {
  Counters counters;
  TableSizes sizes;
  uint32_t fragments_waiting = 0;
  Tick now = 0;  ///< to which the samples' times compare
  size_t memory_bytes = 0;
  std::vector<Record> samples;
  uint32_t held = 0;       ///< packets that wait for a handover
  uint64_t contested = 0;  ///< connections that other nodes may have noted as somebody else's
  std::vector<AuditEpoch> audit;  ///< the newest epochs in which anything came, the oldest first
  std::vector<NodeCounts> nodes;  ///< by NodeIndex; of a dispatcher
};

/// By NodeIndex.
std::vector<NodeCounts> nodes_of(Worker& worker, const std::vector<Forwarded>& forwarded);

/// Empties the worker's samples.
WorkerSnapshot snapshot_of(Worker& worker);

/// A piece of one worker's table.
struct RecordBlock {
  std::vector<Record> records;
  uint64_t cursor = 0;  ///< where the next block begins; 0: that was all
  Tick now = 0;         ///< to which the records' times compare
};

/// The expectations of one node's workers, which all have the same.
struct ExpectationList {
  std::vector<Expectation> expectations;
  std::vector<uint64_t> matched;  ///< for each, how many packets have met it
  Tick now = 0;                   ///< to which the expectations' times compare
};

}  // namespace flowsieve
