// Timers over ticks: the project's lazy wheel, the same wheel with every packet filing its
// connection again, and std::multimap. (bench/micro/wheel_bench.cc has the same three under traffic
// in which connections end.) A connection is a cache line that every packet writes.
#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "base/prefetch.h"
#include "figures.h"
#include "timer_subject.h"
#include "wheel/wheel.h"

namespace flowsieve::peers {
namespace {

constexpr Tick kTimeout = 300;

struct alignas(64) Connection {
  Tick last_seen;
  uint32_t ends;
};

/// What the two wheels share: who fires says when it has to be asked again.
class OnWheel {
 public:
  OnWheel(uint32_t count, Tick now) : wheel_(count, now), connections_(count) {}
  template <typename Expired>
  void advance(Tick now, Expired&& expired) {
    const auto fire = [&](uint32_t index) {
      const Tick deadline = connections_[index].last_seen + kTimeout;
      if (deadline <= now) {
        ++connections_[index].ends;
        expired(index);
      }
      return deadline;
    };
    wheel_.advance(now, SIZE_MAX, fire,
                   [&](uint32_t index) { prefetch_line(&connections_[index]); });
  }

 protected:
  Wheel wheel_;
  std::vector<Connection> connections_;
};

class Lazy : public OnWheel {
 public:
  using OnWheel::OnWheel;
  void open(uint32_t index, Tick now) {
    connections_[index].last_seen = now;
    wheel_.schedule(index, now + kTimeout);
  }
  void packet(uint32_t index, Tick now) { connections_[index].last_seen = now; }
};

class Linked : public OnWheel {
 public:
  using OnWheel::OnWheel;
  void open(uint32_t index, Tick now) { packet(index, now); }
  void packet(uint32_t index, Tick now) {
    connections_[index].last_seen = now;
    wheel_.schedule(index, now + kTimeout);
  }
};

class Multimap {
 public:
  Multimap(uint32_t count, Tick) : at_(count, timers_.end()), connections_(count) {}
  void open(uint32_t index, Tick now) {
    connections_[index].last_seen = now;
    at_[index] = timers_.emplace(now + kTimeout, index);
  }
  void packet(uint32_t index, Tick now) {
    connections_[index].last_seen = now;
    // Moves the node itself, and is told where to: no allocation and no search, which flatters it.
    auto node = timers_.extract(at_[index]);
    node.key() = now + kTimeout;
    at_[index] = timers_.insert(timers_.end(), std::move(node));
  }
  template <typename Expired>
  void advance(Tick now, Expired&& expired) {
    while (!timers_.empty() && timers_.begin()->first <= now) {
      const uint32_t index = timers_.begin()->second;
      timers_.erase(timers_.begin());
      ++connections_[index].ends;
      expired(index);
    }
  }

 private:
  std::multimap<Tick, uint32_t> timers_;
  std::vector<std::multimap<Tick, uint32_t>::iterator> at_;
  std::vector<Connection> connections_;
};

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

/// What expires when, of few connections with few packets; what expired is opened anew.
template <typename Kind>
uint64_t digest() {
  constexpr uint32_t kFew = 2000;
  Tick now = 1000;
  Kind timers(kFew, now);
  std::mt19937 random(3);
  for (uint32_t index = 0; index < kFew; ++index) timers.open(index, now);
  uint64_t digest = 0;
  for (int tick = 0; tick < 1000; ++tick) {
    ++now;
    for (int i = 0; i < 20; ++i) timers.packet(random() % kFew, now);
    std::vector<uint32_t> ended;
    timers.advance(now, [&](uint32_t index) {
      ended.push_back(index);
      digest += (uint64_t{index} + 1) * now;  // the order within a tick is free
    });
    for (const uint32_t index : ended) timers.open(index, now);
  }
  return digest;
}

template <typename Kind>
class OverTicks final : public Timers {
 public:
  // Each has its first packet before it could end.
  OverTicks() : timers_(filled(now_, kTimeout - kTicksPerPass)) {
    for (int rounds = 0; rounds < 2; ++rounds) refresh();  // into the steady state
  }

  double refresh() override {
    order_.shuffle();
    const double each = timed(size_t{kPasses} * kTimers, [&] {
      for (uint32_t tick = 0; tick < kTicksPerRound; ++tick) this->tick(tick * kPacketsPerTick);
    });
    expect(ended_ == 0, "no connection to end that has packets");
    return each;
  }
  double expire() override {
    Tick now = 1000;
    Kind timers = filled(now, kTimeout);
    uint32_t ended = 0;
    const double each = timed(kTimers, [&] {
      for (const Tick end = now + kTimeout; now != end;) {
        timers.advance(++now, [&](uint32_t) { ++ended; });
      }
    });
    expect(ended == kTimers, "every connection to end");
    return each;
  }

 private:
  /// Connections that were last seen in one of the last `spread` ticks. They are opened in random
  /// order, as connections fall on a table's slots: in the order of their indexes a wheel's lists
  /// would be walks through memory from its beginning to its end, and would remain so.
  static Kind filled(Tick now, uint32_t spread) {
    std::mt19937 random(5);
    std::vector<uint32_t> indexes(kTimers);
    std::iota(indexes.begin(), indexes.end(), 0);
    std::shuffle(indexes.begin(), indexes.end(), random);
    Kind timers(kTimers, now);
    for (const uint32_t index : indexes) timers.open(index, now - random() % spread);
    return timers;
  }
  void tick(size_t first) {
    ++now_;
    for (size_t i = first; i < first + kPacketsPerTick; ++i) timers_.packet(order_[i], now_);
    timers_.advance(now_, [&](uint32_t) { ++ended_; });
  }

  Tick now_ = 1000;
  Order order_;
  uint32_t ended_ = 0;
  Kind timers_;
};

template <typename Kind>
TimerSubject over_ticks(const char* name, const char* note) {
  return {name, note, "",
          [name = std::string(name)] {
            expect(digest<Kind>() == digest<Scan>(), name + " to end what a scan of all ends");
          },
          [] { return std::make_unique<OverTicks<Kind>>(); }};
}

}  // namespace

TimerSubject lazy_wheel() {
  return over_ticks<Lazy>(
      "flowsieve",
      "16 packets of a connection in a turn of the wheel, which asks it once; both are timed");
}

TimerSubject linked_wheel() {
  return over_ticks<Linked>("linked wheel",
                            "the same wheel, every packet files its connection again");
}

TimerSubject multimap_timers() {
  return over_ticks<Multimap>("std::multimap", "every packet moves its connection's node");
}

}  // namespace flowsieve::peers
