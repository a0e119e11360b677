// An engine on the wire of the live tests: the capture interface v0 here, and what
// sends to it there.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "engine/engine.h"
#include "support/test_node.h"
#include "wire/namespace.h"
#include "wire/senders.h"

namespace flowsieve::test {

inline constexpr Mac kEngineMac{0x01, 0x00, 0x5e, 0x00, 0x00, 0x64};

inline EngineOptions engine_options(uint32_t workers = 1) {
  EngineOptions options;
  options.worker.table.capacity = 4096;
  options.worker.table.opening_share = 1;
  options.worker.table.nodes = kTestNodes;
  options.addresses = {address_of(kCluster4), address_of(kCluster6)};
  options.worker.scope = Scope::of_addresses(options.addresses);
  options.workers = workers;
  options.interface = "v0";
  options.device = "flowsieve0";
  options.cluster_mac = kEngineMac;
  return options;
}

/// Node 0's criteria with every bucket `owner`'s.
inline Criteria all_buckets_of(NodeIndex owner, uint32_t epoch = 1) {
  return {.distribution = Distribution(test_distribution()),
          .allocation = {.epoch = epoch, .self = 0, .owner = all_of(owner)}};
}

inline Result<std::unique_ptr<Engine>> open_engine(const Namespace& where,
                                                   const EngineOptions& options,
                                                   const Criteria& criteria = all_buckets_of(0)) {
  Result<std::unique_ptr<Engine>> opened = Error{ErrorCode::kState, "not tried"};
  where.run([&] { opened = Engine::create(options, criteria); });
  return opened;
}

inline std::unique_ptr<Engine> must_open(const Namespace& where, const EngineOptions& options) {
  auto opened = open_engine(where, options);
  REQUIRE_MESSAGE(opened.ok(), opened.error().message);
  return std::move(opened.value());
}

inline Counters sum_of(const std::vector<WorkerSnapshot>& snapshots) {
  Counters sum;
  for (const WorkerSnapshot& each : snapshots) sum += each.counters;
  return sum;
}

inline TableSizes sizes_of(const std::vector<WorkerSnapshot>& snapshots) {
  TableSizes sum;
  for (const WorkerSnapshot& each : snapshots) {
    sum.own += each.sizes.own;
    sum.others += each.sizes.others;
    sum.capacity += each.sizes.capacity;
    sum.opening += each.sizes.opening;
    sum.established += each.sizes.established;
    sum.closing += each.sizes.closing;
  }
  return sum;
}

/// Asks until `enough` or ten seconds are over.
inline bool eventually(const std::function<bool()>& enough) {
  for (int i = 0; i < 1000; ++i) {
    if (enough()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

/// The i-th of many clients: four ports of each host.
inline TcpClient numbered_client(int i) {
  const int host = i / 4;
  return {.address =
              "198.51." + std::to_string(100 + host / 250) + "." + std::to_string(1 + host % 250),
          .port = static_cast<uint16_t>(40000 + i % 4)};
}

}  // namespace flowsieve::test
