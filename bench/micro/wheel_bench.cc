// Aging under traffic: a million connections, a timeout of 30 s, 10,000 or 100,000 packets in each
// tick of 100 ms at random connections, then the tick's expiries; what expires is opened anew.
// Three ways to keep the timers of the same connections:
//
//   wheel/lazy      the project's: a packet writes its time, a timer that fires compares
//   wheel/relink    the same wheel, but every packet files its connection again
//   wheel/multimap  the plain peer: every packet moves its entry in a std::multimap
//
// All three must report the same expiries in the same ticks before anything is timed.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "base/prefetch.h"
#include "wheel/wheel.h"

namespace {

using namespace flowsieve;

constexpr uint32_t kConnections = 1'000'000;
constexpr Tick kTimeout = 300;

struct alignas(64) Connection {
  Tick last_seen;
};

class Lazy {
 public:
  Lazy(uint32_t count, Tick now) : wheel_(count, now), connections_(count) {}
  void open(uint32_t index, Tick now) {
    connections_[index].last_seen = now;
    wheel_.schedule(index, now + kTimeout);
  }
  void packet(uint32_t index, Tick now) { connections_[index].last_seen = now; }
  template <typename Expired>
  void advance(Tick now, Expired&& expired) {
    const auto fire = [&](uint32_t index) {
      const Tick deadline = connections_[index].last_seen + kTimeout;
      if (deadline <= now) expired(index);
      return deadline;
    };
    wheel_.advance(now, SIZE_MAX, fire,
                   [&](uint32_t index) { prefetch_line(&connections_[index]); });
  }

 private:
  Wheel wheel_;
  std::vector<Connection> connections_;
};

class Relink {
 public:
  Relink(uint32_t count, Tick now) : wheel_(count, now), connections_(count) {}
  void open(uint32_t index, Tick now) { packet(index, now); }
  void packet(uint32_t index, Tick now) {
    connections_[index].last_seen = now;
    wheel_.schedule(index, now + kTimeout);
  }
  template <typename Expired>
  void advance(Tick now, Expired&& expired) {
    // A slot of a higher level comes before its deadlines, so here too the answer is the true one.
    const auto fire = [&](uint32_t index) {
      const Tick deadline = connections_[index].last_seen + kTimeout;
      if (deadline <= now) expired(index);
      return deadline;
    };
    wheel_.advance(now, SIZE_MAX, fire,
                   [&](uint32_t index) { prefetch_line(&connections_[index]); });
  }

 private:
  Wheel wheel_;
  std::vector<Connection> connections_;
};

class Multimap {
 public:
  Multimap(uint32_t count, Tick) : at_(count, timers_.end()), connections_(count) {}
  void open(uint32_t index, Tick now) { packet(index, now); }
  void packet(uint32_t index, Tick now) {
    connections_[index].last_seen = now;
    if (at_[index] == timers_.end()) {
      at_[index] = timers_.emplace(now + kTimeout, index);
      return;
    }
    // Moves the node itself: no allocation, which flatters this peer.
    auto node = timers_.extract(at_[index]);
    node.key() = now + kTimeout;
    at_[index] = timers_.insert(timers_.end(), std::move(node));
  }
  template <typename Expired>
  void advance(Tick now, Expired&& expired) {
    while (!timers_.empty() && timers_.begin()->first <= now) {
      const uint32_t index = timers_.begin()->second;
      timers_.erase(timers_.begin());
      at_[index] = timers_.end();
      expired(index);
    }
  }

 private:
  std::multimap<Tick, uint32_t> timers_;
  std::vector<std::multimap<Tick, uint32_t>::iterator> at_;
  std::vector<Connection> connections_;
};

template <typename Timers>
class Traffic {
 public:
  Traffic(uint32_t connections, uint32_t packets)
      : timers_(connections, now_), connections_(connections), packets_(packets) {
    std::mt19937 order(3);
    for (uint32_t index = 0; index < connections; ++index)
      timers_.open(index, now_ - order() % 250);
  }
  /// One tick; returns how many connections expired, and adds which ones to `digest`.
  uint32_t tick(uint64_t& digest) {
    ++now_;
    for (uint32_t i = 0; i < packets_; ++i) timers_.packet(random() % connections_, now_);
    uint32_t count = 0;
    ended_.clear();
    timers_.advance(now_, [&](uint32_t index) {
      ended_.push_back(index);
      digest += (uint64_t{index} + 1) * now_;  // the order within a tick is free
      ++count;
    });
    for (const uint32_t index : ended_) timers_.open(index, now_);
    return count;
  }

 private:
  uint32_t random() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33);
  }

  Tick now_ = 1000;
  Timers timers_;
  uint32_t connections_;
  uint32_t packets_;
  uint64_t state_ = 11;
  std::vector<uint32_t> ended_;
};

/// What expires in a small run.
template <typename Timers>
uint64_t small_digest() {
  Traffic<Timers> traffic(2000, 20);
  uint64_t digest = 0;
  for (int i = 0; i < 1000; ++i) traffic.tick(digest);
  return digest;
}

/// Right beyond doubt: looks at every connection in every tick.
class Scan {
 public:
  Scan(uint32_t count, Tick) : last_seen_(count) {}
  void open(uint32_t index, Tick now) { last_seen_[index] = now; }
  void packet(uint32_t index, Tick now) { last_seen_[index] = now; }
  template <typename Expired>
  void advance(Tick now, Expired&& expired) {
    for (uint32_t index = 0; index < last_seen_.size(); ++index) {
      if (last_seen_[index] + kTimeout <= now) expired(index);
    }
  }

 private:
  std::vector<Tick> last_seen_;
};

template <typename Timers>
void wheel_traffic(benchmark::State& state) {
  if (small_digest<Timers>() != small_digest<Scan>()) {
    return state.SkipWithError("expected the same expiries as a scan of everything");
  }
  Traffic<Timers> traffic(kConnections, static_cast<uint32_t>(state.range(0)));
  uint64_t digest = 0;
  uint64_t expired = 0;
  for (int i = 0; i < 400; ++i) traffic.tick(digest);  // into the steady state
  for (auto _ : state) expired += traffic.tick(digest);
  benchmark::DoNotOptimize(digest);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * state.range(0)));
  state.counters["expired/tick"] =
      benchmark::Counter(static_cast<double>(expired), benchmark::Counter::kAvgIterations);
}

/// The burst that a wheel is feared for: every connection due in the same tick.
void wheel_all_at_once(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    Wheel wheel(kConnections, 0);
    std::mt19937 random(5);
    for (uint32_t i = 0; i < kConnections; ++i) wheel.schedule(random() % kConnections, 200);
    state.ResumeTiming();
    size_t fired = 0;
    while (wheel.advance(200, 256, [](uint32_t) { return Tick{200}; }) == 256) fired += 256;
    if (fired < kConnections / 2) state.SkipWithError("expected most of a million to fire");
  }
}

/// Four months pass in which nothing is due but one timer.
void wheel_idle_gap(benchmark::State& state) {
  Wheel wheel(16, 0);
  Tick now = 0;
  for (auto _ : state) {
    now += 100'000'000;
    wheel.schedule(3, now - 1);
    uint32_t fired = 0;
    wheel.advance(now, 64, [&](uint32_t) { return ++fired, now; });
    if (fired != 1) state.SkipWithError("expected one timer to fire");
  }
}

BENCHMARK(wheel_traffic<Lazy>)
    ->Name("wheel/lazy")
    ->Arg(10'000)
    ->Arg(100'000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(wheel_traffic<Relink>)
    ->Name("wheel/relink")
    ->Arg(10'000)
    ->Arg(100'000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(wheel_traffic<Multimap>)
    ->Name("wheel/multimap")
    ->Arg(10'000)
    ->Arg(100'000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(wheel_all_at_once)->Name("wheel/all_at_once")->Unit(benchmark::kMillisecond);
BENCHMARK(wheel_idle_gap)->Name("wheel/idle_gap");

}  // namespace
