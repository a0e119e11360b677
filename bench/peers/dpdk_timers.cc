// DPDK's timers: a skip list for each processor, by the processor's own clock. That clock cannot be
// handed in, so that time is real here: packets come as fast as they are handled, nothing ends
// while they do, and what ends does so in one look, after all of it has become due.
#include "dpdk.h"
#include "timer_subject.h"

#if defined(PEERS_DPDK)

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_timer.h>

#include "base/pages.h"
#include "figures.h"

namespace flowsieve::peers {
namespace {

constexpr uint64_t kSecondsNever = 3600;

/// A connection's own line, which every packet writes, and its timer.
struct alignas(64) Connection {
  uint64_t last_seen;
  uint64_t ends;
  rte_timer timer;
};

void end(rte_timer*, void* connection) {
  ++static_cast<Connection*>(connection)->ends;
}

uint64_t cycles(uint64_t milliseconds) {
  return rte_get_timer_hz() / 1000 * milliseconds;
}

class Connections {
 public:
  explicit Connections(uint32_t count)
      : count_(count),
        pages_(sizeof(Connection) * count),
        all_(static_cast<Connection*>(pages_.data())) {
    for (uint32_t i = 0; i < count; ++i) rte_timer_init(&all_[i].timer);
  }
  ~Connections() {
    for (uint32_t i = 0; i < count_; ++i) rte_timer_stop(&all_[i].timer);
  }
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  /// The connection ends `delay` cycles from now.
  void arm(uint32_t index, uint64_t delay) {
    Connection& connection = all_[index];
    rte_timer_reset(&connection.timer, delay, SINGLE, rte_lcore_id(), end, &connection);
  }
  void packet(uint32_t index, uint64_t delay) {
    all_[index].last_seen = delay;
    arm(index, delay);
  }
  uint64_t ends(uint32_t index) const { return all_[index].ends; }
  uint64_t ends() const {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count_; ++i) sum += all_[i].ends;
    return sum;
  }

 private:
  uint32_t count_;
  Pages pages_;
  Connection* all_;
};

void wait_until(uint64_t time) {
  while (rte_get_timer_cycles() < time) {
  }
}

void check() {
  constexpr uint32_t kFew = 2000;
  Connections connections(kFew);
  for (uint32_t i = 0; i < kFew; ++i) connections.arm(i, cycles(i % 20));
  for (uint32_t i = 0; i < kFew; i += 2) connections.packet(i, cycles(kSecondsNever * 1000));
  wait_until(rte_get_timer_cycles() + cycles(20));
  rte_timer_manage();
  rte_timer_manage();
  for (uint32_t i = 0; i < kFew; ++i) {
    expect(connections.ends(i) == i % 2, "rte_timer to end what has no packets, once");
  }
}

class DpdkTimers final : public Timers {
 public:
  DpdkTimers() : connections_(kTimers) {
    order_.shuffle();
    for (uint32_t i = 0; i < kTimers; ++i) connections_.arm(order_[i], delay());
  }

  double refresh() override {
    order_.shuffle();
    // One pass: nothing is put off here, and all passes cost the same.
    const double each = timed(kTimers, [&] {
      for (uint32_t tick = 0; tick < kTicksPerPass; ++tick) this->tick(tick * kPacketsPerTick);
    });
    expect(connections_.ends() == 0, "no connection to end that has packets");
    return each;
  }
  double expire() override {
    Connections connections(kTimers);
    // In about the order of their deadlines, as connections come to be.
    for (uint32_t i = 0; i < kTimers; ++i) connections.arm(order_[i], cycles(i * 300ull / kTimers));
    wait_until(rte_get_timer_cycles() + cycles(300));
    const double each = timed(kTimers, [] { rte_timer_manage(); });
    expect(connections.ends() == kTimers, "every connection to end");
    return each;
  }

 private:
  static uint64_t delay() { return cycles(kSecondsNever * 1000); }
  void tick(size_t first) {
    for (size_t i = first; i < first + kPacketsPerTick; ++i)
      connections_.packet(order_[i], delay());
    rte_timer_manage();
  }

  Order order_;
  Connections connections_;
};

}  // namespace

TimerSubject dpdk_timers() {
  if (!dpdk_missing().empty()) return {"DPDK rte_timer", "", dpdk_missing(), nullptr, nullptr};
  rte_timer_subsystem_init();
  return {"DPDK rte_timer", "in real time: nothing falls due during packets, all ends in one look",
          "", check, [] { return std::make_unique<DpdkTimers>(); }};
}

}  // namespace flowsieve::peers

#else

namespace flowsieve::peers {

TimerSubject dpdk_timers() {
  return {"DPDK rte_timer", "", dpdk_missing(), nullptr, nullptr};
}

}  // namespace flowsieve::peers

#endif
