// A way to keep the timers of connections, as the timer room sees it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace flowsieve::peers {

inline constexpr uint32_t kTimers = 1'000'000;
/// Packets between two looks at what has expired: a tick of 100 ms at 625,000 packets a second, so
/// that the connections have all had one after 16 ticks.
inline constexpr uint32_t kPacketsPerTick = 62'500;
/// Ticks of a round: one turn of the wheel's lower level, so that all that a lazy timer puts off
/// falls due in it.
inline constexpr uint32_t kTicksPerRound = 256;
inline constexpr uint32_t kTicksPerPass = kTimers / kPacketsPerTick;
inline constexpr uint32_t kPasses = kTicksPerRound / kTicksPerPass;
static_assert(kPasses * kTicksPerPass == kTicksPerRound);
static_assert(kTicksPerPass * kPacketsPerTick == kTimers);

/// The connections of a round's packets: all of them kPasses times, each time in another order. Two
/// packets of a connection are less than 32 ticks apart; in one order for all passes a packet's
/// neighbours in a list would be those of the packet before, and in the cache.
class Order {
 public:
  void shuffle();
  uint32_t operator[](size_t packet) const { return indexes_[packet]; }

 private:
  std::vector<uint32_t> indexes_ = std::vector<uint32_t>(size_t{kPasses} * kTimers);
  uint32_t seed_ = 7;
};

class Timers {
 public:
  virtual ~Timers() = default;
  /// Nanoseconds for each packet of a round: it postpones its connection's end. None ends.
  virtual double refresh() = 0;
  /// Nanoseconds for each of kTimers ends when nobody sends any more.
  virtual double expire() = 0;
};

struct TimerSubject {
  std::string name;
  std::string note;
  std::string missing;                            ///< why it is not there; empty when it is
  std::function<void()> check;                    ///< ends the program when it is wrong
  std::function<std::unique_ptr<Timers>()> make;  ///< with all timers running
};

TimerSubject lazy_wheel();
TimerSubject linked_wheel();
TimerSubject multimap_timers();
TimerSubject dpdk_timers();

}  // namespace flowsieve::peers
