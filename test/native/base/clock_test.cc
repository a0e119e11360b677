#include "base/clock.h"

#include <doctest/doctest.h>

#include <ctime>

using namespace flowsieve;

TEST_CASE("a time of the day becomes one of the monotonic clock, as long ago as it was") {
  const Clocks clocks{.monotonic_ns = 50'000, .realtime_ns = 1'700'000'000'000'000'000};
  CHECK(clocks.to_monotonic(1'700'000'000'000'000'000) == 50'000);
  CHECK(clocks.to_monotonic(1'700'000'000'000'000'000 - 1) == 49'999);
  CHECK(clocks.to_monotonic(1'700'000'000'000'000'000 - 49'999) == 1);
  // Set back since: not later than now. From before the start, or none: unknown.
  CHECK(clocks.to_monotonic(1'700'000'000'000'000'000 + 1) == 50'000);
  CHECK(clocks.to_monotonic(1'700'000'000'000'000'000 - 50'000) == 0);
  CHECK(clocks.to_monotonic(1) == 0);
  CHECK(clocks.to_monotonic(0) == 0);
}

TEST_CASE("the two clocks are read at the same moment") {
  const uint64_t before = monotonic_ns();
  const Clocks clocks = Clocks::read();
  CHECK(clocks.monotonic_ns >= before);
  CHECK(clocks.monotonic_ns <= monotonic_ns());
  CHECK(clocks.realtime_ns / 1'000'000'000 <= static_cast<uint64_t>(time(nullptr)));
  CHECK(clocks.realtime_ns / 1'000'000'000 + 2 >= static_cast<uint64_t>(time(nullptr)));
}
