// The live engine: one thread per worker, each with its own ring, watch, TUN queue and table, and
// the ways to reach into them from outside. A whole C++ API; the addon only translates it.
//
//   interface ----> RingSource --.                         .--> TunDelivery -> the node's stack
//                                +--> Worker (own thread) -+
//   what we send -> WatchSource -'         ^               `--> LinkResponder -> ARP, NDP answers
//                                          |
//                       (a dispatcher has a Forwarder where a node has the TUN device)
//
//                                       Mailbox <- prepare ... replace_criteria, lists, snapshot
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
#include "engine/networks.h"
#include "engine/reconcile.h"
#include "engine/snapshot.h"
#include "wire/link.h"

namespace flowsieve {

enum class LinkMode : uint8_t { kMulticast, kUnicast, kNone };

struct EngineOptions {
  WorkerOptions worker;  ///< table.capacity is for all workers together
  uint32_t workers = 1;
  std::string interface;
  std::string device;     ///< of the TUN device; unused in a dispatcher
  bool dispatch = false;  ///< forward to the nodes instead of delivering here
  bool bypass = false;    ///< a server's: wire/bypass.h
  uint32_t gather_ns = PaceOptions{}.gather_ns_max;  ///< wire/pace.h
  LinkMode link = LinkMode::kMulticast;
  Mac cluster_mac{};
  std::vector<Address> addresses;
  /// A gateway's networks, instead of `interface`, `cluster_mac` and `addresses`; empty: a server.
  std::vector<GatewayNetwork> networks;
};

class Engine {
 public:
  /// Opens everything and joins the cluster's link addresses, but receives nothing into the workers
  /// yet. Errors name what is missing: privilege, interface, memory, kernel feature.
  static Result<std::unique_ptr<Engine>> create(const EngineOptions& options,
                                                const Criteria& criteria);
  ~Engine();

  Status start();
  /// Ends the threads. The devices stay until the engine is destroyed, so that a stopped engine can
  /// still be read.
  void stop();

  // The steps of a handover (docs/decisions/cluster-protocol.md), each of which has been done by
  // every worker when the call returns. Their words are those of Worker.
  void prepare(const Transition& transition);
  void hold();
  /// Each worker first decides all that its ring has received by now.
  void release();
  Resolved acquire(std::span<const NodeIndex> losers);
  void takeover(const Transition& transition);
  /// Each worker first decides all that its ring has received by now: it was sent before the change.
  void replace_criteria(const Criteria& criteria);
  /// Forgets what the dead expected, answers what they should have answered lately, then gives
  /// their connections to the owners of their buckets; how many those were.
  uint64_t adopt(std::span<const NodeIndex> dead);
  void clear_contested();
  /// What is a certain node's by configuration, from now on.
  void reserve(const Reserved& reserved);
  /// An expectation as it stands now, on every worker, each of which first decides all that its
  /// ring has received. All have the same, so they answer alike.
  Expectations::Outcome expect(const Expectation& expectation);
  /// It is over, likewise. False when it was not there.
  bool unexpect(NodeIndex owner, uint64_t id);
  void clear_expectations();
  ExpectationList expectations();
  /// From the next burst on no connections are opened past `ns` (CLOCK_MONOTONIC; UINT64_MAX: no
  /// end). Never waits.
  void set_open_until(uint64_t ns);

  /// One block of worker `index`'s list, from `cursor` (0 at first).
  RecordBlock export_list(ListKind kind, NodeIndex to, uint32_t index, uint64_t cursor,
                          size_t limit);
  /// Merges another node's list into the tables of the workers that get the connections' packets.
  /// `owners` says which nodes of this process the sender's indices are.
  ConnectionTable::Imported import_list(ListKind kind, std::span<Record> records, Tick sender_now,
                                        std::span<const NodeIndex> owners);

  /// Compares the tables with what the operating system has open, and makes them agree as far as
  /// docs/decisions/os-list.md allows. Takes as long as the lists take; errors as of
  /// read_system_list().
  Result<ReconcileReport> reconcile(const ReconcileOptions& options);
  // A dispatcher's.

  /// The ways to the nodes, by NodeIndex.
  void set_hops(const std::vector<Hop>& hops);
  /// Nothing is forwarded from `ns` (CLOCK_MONOTONIC) on; UINT64_MAX: no end. Never waits.
  void set_active_until(uint64_t ns);

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
  Result<std::vector<Lane::Parts>> open_server(const EngineOptions& options);
  Result<std::vector<Lane::Parts>> open_gateway(const EngineOptions& options);
  template <typename Letter>
  void call_all(Letter letter);

  // Go last: while a lane lives, frames to the cluster MAC must keep coming.
  std::vector<Membership> memberships_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<Address> addresses_;
};

}  // namespace flowsieve
