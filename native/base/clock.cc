#include "base/clock.h"

#include <ctime>

namespace flowsieve {

namespace {

uint64_t read_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

uint64_t monotonic_ns() {
  return read_ns(CLOCK_MONOTONIC);
}

Clocks Clocks::read() {
  return {.monotonic_ns = read_ns(CLOCK_MONOTONIC), .realtime_ns = read_ns(CLOCK_REALTIME)};
}

}  // namespace flowsieve
