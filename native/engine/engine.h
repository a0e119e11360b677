// The live engine: one thread per worker, each with its own ring, watch, TUN queue and table, and
// the ways to reach into them from outside. A whole C++ API; the addon only translates it.
//
//   interface ----> RingSource --.                         .--> TunDelivery -> the node's stack
//                                +--> Worker (own thread) -+
//   what we send -> WatchSource -'         ^               `--> LinkResponder -> ARP, NDP answers
//                                          |
//                                       Mailbox <- replace_criteria, snapshot, connections
//                                                  (any thread)
//
// Every call below except start() and stop() waits until the workers have answered, between two of
// their bursts: microseconds under load, a wake-up when idle. Without threads (before start, after
// stop) the calls are carried out at once.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/lane.h"
#include "wire/link.h"

namespace flowsieve {

enum class LinkMode : uint8_t { kMulticast, kUnicast, kNone };

struct EngineOptions {
  WorkerOptions worker;  ///< table.capacity is for all workers together
  uint32_t workers = 1;
  std::string interface;
  std::string device;
  LinkMode link = LinkMode::kMulticast;
  Mac cluster_mac{};
  std::vector<Address> addresses;
};

/// What one worker is and has counted.
struct WorkerSnapshot {
  Counters counters;
  TableSizes sizes;
  uint32_t fragments_waiting = 0;
  Tick now = 0;  ///< to which the samples' times compare
  size_t memory_bytes = 0;
  std::vector<Record> samples;
};

/// A piece of one worker's table.
struct RecordBlock {
  std::vector<Record> records;
  uint64_t cursor = 0;  ///< where the next block begins; 0: that was all
  Tick now = 0;         ///< to which the records' times compare
};

class Engine {
 public:
  /// The most records in a block: a copy of them holds a worker up for some 50 microseconds.
  static constexpr size_t kBlockMax = 4096;

  /// Opens everything and joins the cluster's link addresses, but receives nothing into the workers
  /// yet. Errors name what is missing: privilege, interface, memory, kernel feature.
  static Result<std::unique_ptr<Engine>> create(const EngineOptions& options,
                                                const Criteria& criteria);
  ~Engine();

  Status start();
  /// Ends the threads. The devices stay until the engine is destroyed, so that a stopped engine can
  /// still be read.
  void stop();

  void replace_criteria(const Criteria& criteria);
  std::vector<WorkerSnapshot> snapshot();
  /// One block of worker `index`, from `cursor` (0 at first).
  RecordBlock connections(uint32_t index, uint64_t cursor, size_t limit);
  /// Tells the neighbours where the cluster addresses are: ARP announcements and unsolicited
  /// neighbour advertisements.
  void announce();

  uint32_t workers() const { return static_cast<uint32_t>(lanes_.size()); }

 private:
  Engine() = default;
  Status open(const EngineOptions& options, const Criteria& criteria);

  // Goes last: while a lane lives, frames to the cluster MAC must keep coming.
  std::optional<Membership> membership_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace flowsieve
