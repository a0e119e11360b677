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

}  // namespace flowsieve
