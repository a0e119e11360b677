// The comparison with the operating system's list: a million own connections, all of them open, in
// the steps in which a worker does it between two bursts.
#include <benchmark/benchmark.h>

#include <time.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "engine/reconcile.h"
#include "wire/memory.h"

namespace {

using namespace flowsieve;

constexpr uint8_t kCluster[4] = {192, 0, 2, 100};
constexpr uint64_t kSecond = 1'000'000'000;

Key key_of(uint32_t number) {
  const uint8_t client[4] = {10, static_cast<uint8_t>(number >> 16),
                             static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)};
  Key key;
  key.source = mapped_ipv4(client);
  key.destination = mapped_ipv4(kCluster);
  key.source_port = static_cast<uint16_t>(1024 + number % 60'000);
  key.destination_port = 443;
  key.protocol = 6;
  return key;
}

Scope cluster() {
  return Scope::of_addresses({mapped_ipv4(kCluster)});
}

/// Microseconds that this thread has run: other processes' turns do not count.
double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/// A worker whose table has `count` established connections, and a list that has all of them.
struct Fixture {
  MemoryDelivery delivery;
  std::unique_ptr<Worker> worker;
  OpenList list{cluster(), {}, 7};

  explicit Fixture(uint32_t count) {
    WorkerOptions options;
    options.table.capacity = count;
    options.scope = cluster();
    const DistributionOptions distribution;
    Criteria criteria{.distribution = Distribution(distribution),
                      .allocation = {.owner = std::vector<NodeIndex>(distribution.buckets, 0)},
                      .tracking = Tracking::kOwn};
    worker =
        std::make_unique<Worker>(options, std::move(criteria), delivery, nullptr, nullptr, kSecond);
    list.set_listed(6);
    for (uint32_t i = 0; i < count; ++i) {
      worker->restore({.key = key_of(i)}, true, false);
      list.add(OpenSocket{.key = key_of(i), .state = SocketState::kEstablished});
    }
  }
};

void reconcile_compare(benchmark::State& state) {
  Fixture fixture(static_cast<uint32_t>(state.range(0)));
  std::vector<Key> missing;
  missing.reserve(1024);
  std::vector<double> took;
  for (auto _ : state) {
    uint64_t cursor = 0;
    while (cursor != Worker::kListEnd) {
      const double begun = cpu_us();
      fixture.worker->find_missing(fixture.list, 1000, cursor, kCompareLooks, missing, 1024);
      took.push_back(cpu_us() - begun);
    }
  }
  if (!missing.empty()) state.SkipWithError("something was missing that is open");
  std::sort(took.begin(), took.end());
  state.counters["slice_p50_us"] = took[took.size() / 2];
  state.counters["slice_p99_us"] = took[took.size() * 99 / 100];
  state.counters["slice_p999_us"] = took[took.size() * 999 / 1000];
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(reconcile_compare)->Arg(65'536)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
