#include "wire/pace.h"

#include <doctest/doctest.h>

#include <initializer_list>

namespace flowsieve::test {

namespace {

constexpr uint64_t kMicrosecond = 1'000;
constexpr uint64_t kMillisecond = 1'000'000;

/// A set of `count` connections, which begin at the `first` of 64.
uint64_t connections(uint32_t count, uint32_t first = 0) {
  uint64_t set = 0;
  for (uint32_t i = 0; i < count; ++i) set |= uint64_t{1} << ((first + i) % 64);
  return set;
}

/// Packets one by one, `gap_ns` apart, of `count` connections in turn for `ms` milliseconds; the
/// last answer.
Pace::Step feed(Pace& pace, uint64_t& now_ns, uint32_t count, uint64_t gap_ns, uint32_t ms) {
  const uint64_t end = now_ns + ms * kMillisecond;
  Pace::Step step{};
  for (uint32_t i = 0; now_ns < end; ++i) {
    now_ns += gap_ns;
    step = pace.next(1, connections(1, i % count), now_ns);
  }
  return step;
}

}  // namespace

TEST_CASE("after a full burst the worker looks again at once, after nothing it polls") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000 * kMillisecond;
  CHECK(pace.next(32, connections(32), now_ns).wait == Pace::Wait::kNone);
  CHECK(pace.next(0, 0, now_ns).wait == Pace::Wait::kPoll);
  feed(pace, now_ns, 64, 20 * kMicrosecond, 10);
  CHECK(pace.next(32, connections(32), now_ns).wait == Pace::Wait::kNone);
  CHECK(pace.next(0, 0, now_ns).wait == Pace::Wait::kPoll);
}

TEST_CASE("packets of few connections are never slept for, however many they are") {
  for (const uint32_t count : {1u, 4u, 7u}) {
    CAPTURE(count);
    Pace pace{PaceOptions{}};
    uint64_t now_ns = 5'000 * kMillisecond;
    for (const uint64_t gap_us : {1, 10, 100, 10'000}) {
      CAPTURE(gap_us);
      CHECK(feed(pace, now_ns, count, gap_us * kMicrosecond, 100).wait == Pace::Wait::kNone);
      CHECK(pace.concurrent() <= count);
    }
  }
}

TEST_CASE("packets of many connections that come now and then are not slept for") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000 * kMillisecond;
  CHECK(feed(pace, now_ns, 64, 200 * kMicrosecond, 100).wait == Pace::Wait::kNone);
  CHECK(feed(pace, now_ns, 64, 30 * kMillisecond, 1'000).wait == Pace::Wait::kNone);
}

TEST_CASE("the more connections, the longer packets gather, within the bound") {
  for (const uint32_t count : {8u, 16u, 40u}) {
    CAPTURE(count);
    Pace pace{PaceOptions{}};
    uint64_t now_ns = 5'000 * kMillisecond;
    const Pace::Step step = feed(pace, now_ns, count, 10 * kMicrosecond, 20);
    CHECK(step.wait == Pace::Wait::kGather);
    CHECK(step.gather_ns == count * 10'000);
  }
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000 * kMillisecond;
  CHECK(feed(pace, now_ns, 64, 10 * kMicrosecond, 20).gather_ns == 500'000);
}

TEST_CASE("who wants no packet to wait gets what it wants") {
  Pace pace{PaceOptions{.gather_ns_max = 0}};
  uint64_t now_ns = 5'000 * kMillisecond;
  CHECK(feed(pace, now_ns, 64, 10 * kMicrosecond, 20).wait == Pace::Wait::kNone);
}

TEST_CASE("gathering goes on through larger rounds and ends a millisecond after the others have") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000 * kMillisecond;
  feed(pace, now_ns, 64, 10 * kMicrosecond, 20);
  for (int round = 0; round < 10; ++round) {
    now_ns += 500 * kMicrosecond;
    CHECK(pace.next(20, connections(20, 20 * round), now_ns).wait == Pace::Wait::kGather);
  }
  CHECK(feed(pace, now_ns, 1, 100 * kMicrosecond, 3).wait == Pace::Wait::kNone);
}

TEST_CASE("silence ends it at the first packet after it") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000 * kMillisecond;
  feed(pace, now_ns, 64, 10 * kMicrosecond, 20);
  CHECK(pace.next(0, 0, now_ns).wait == Pace::Wait::kPoll);
  CHECK(pace.next(1, connections(1), now_ns + 3'000 * kMillisecond).wait == Pace::Wait::kNone);
}

TEST_CASE("what waited while the worker had no processor is a sign of many connections") {
  Pace pace{PaceOptions{}};
  const uint64_t now_ns = 5'000 * kMillisecond;
  CHECK(pace.next(1, connections(1), now_ns).wait == Pace::Wait::kNone);
  CHECK(pace.next(30, connections(30), now_ns + 10 * kMillisecond).wait == Pace::Wait::kGather);
}

}  // namespace flowsieve::test
