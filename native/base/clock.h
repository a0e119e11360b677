// Two measures of time. Nanoseconds (uint64_t) come with packets: CLOCK_MONOTONIC on the live path,
// the capture's own timestamps in a replay. Ticks are what the tables store: tenths of a second in
// 32 bits, enough for 13 years of uptime and far finer than any timeout, and four bytes smaller in
// every record.
#pragma once

#include <cstdint>

namespace flowsieve {

using Tick = uint32_t;

inline constexpr uint64_t kTickNanoseconds = 100'000'000;
inline constexpr Tick kTicksPerSecond = 10;

inline constexpr Tick to_tick(uint64_t nanoseconds) {
  return static_cast<Tick>(nanoseconds / kTickNanoseconds);
}

/// CLOCK_MONOTONIC in nanoseconds.
uint64_t monotonic_ns();

/// Both clocks at one moment. The kernel stamps packets by CLOCK_REALTIME, which may be set.
struct Clocks {
  uint64_t monotonic_ns = 0, realtime_ns = 0;

  /// Now. The two are read some ten nanoseconds apart.
  static Clocks read();
  /// When it was `time_ns` by CLOCK_REALTIME, as that one stands now; 0 for a time that is none
  /// or lies before the monotonic clock's beginning, and never later than now.
  uint64_t to_monotonic(uint64_t time_ns) const {
    if (time_ns == 0) return 0;
    if (time_ns >= realtime_ns) return monotonic_ns;
    const uint64_t ago = realtime_ns - time_ns;
    return ago < monotonic_ns ? monotonic_ns - ago : 0;
  }
};

}  // namespace flowsieve
