#include "wire/pace.h"

#include <doctest/doctest.h>

#include <initializer_list>

namespace flowsieve::test {

namespace {

constexpr uint64_t kMicrosecond = 1'000;
constexpr uint64_t kMillisecond = 1'000'000;

/// Rounds of `frames` frames, `gap_us` apart, for `ms` milliseconds; the last answer.
Pace::Step feed(Pace& pace, uint64_t& now_ns, size_t frames, uint64_t gap_us, uint32_t ms,
                uint32_t concurrency) {
  const uint64_t end = now_ns + ms * kMillisecond;
  Pace::Step step{};
  while (now_ns < end) {
    now_ns += gap_us * kMicrosecond;
    step = pace.next(frames, concurrency, now_ns);
  }
  return step;
}

}  // namespace

TEST_CASE("after a full burst the worker looks again at once, after nothing it polls") {
  for (const uint32_t concurrency : {0u, 1u, 64u}) {
    Pace pace{PaceOptions{}};
    uint64_t now_ns = 5'000 * kMillisecond;
    feed(pace, now_ns, 1, 20, 50, concurrency);
    CHECK(pace.next(32, concurrency, now_ns).wait == Pace::Wait::kNone);
    CHECK(pace.next(0, concurrency, now_ns).wait == Pace::Wait::kPoll);
  }
}

TEST_CASE("packets of few connections at a time are never slept for, however many they are") {
  for (const uint32_t concurrency : {0u, 1u, 7u}) {
    Pace pace{PaceOptions{}};
    uint64_t now_ns = 5'000 * kMillisecond;
    for (const uint64_t gap_us : {1, 10, 100, 10'000}) {
      CAPTURE(gap_us);
      CHECK(feed(pace, now_ns, 1, gap_us, 100, concurrency).wait == Pace::Wait::kNone);
      const uint64_t rate = 1'000'000 / gap_us;
      CHECK(pace.rate() >= rate * 9 / 10);
      CHECK(pace.rate() <= rate * 11 / 10);
    }
  }
}

TEST_CASE("the more connections at a time, the longer packets gather, within the bound") {
  for (const uint32_t concurrency : {8u, 16u, 24u}) {
    Pace pace{PaceOptions{}};
    uint64_t now_ns = 5'000 * kMillisecond;
    const Pace::Step step = feed(pace, now_ns, 1, 100, 50, concurrency);
    CHECK(step.wait == Pace::Wait::kGather);
    CHECK(step.gather_ns == concurrency * 20'000);
  }
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000 * kMillisecond;
  CHECK(feed(pace, now_ns, 1, 20, 50, 64).gather_ns == 500'000);
}

TEST_CASE("a sleep that would bring no other packet is not slept") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000 * kMillisecond;
  CHECK(feed(pace, now_ns, 1, 170, 100, 8).wait == Pace::Wait::kNone);
  CHECK(feed(pace, now_ns, 1, 150, 100, 8).wait == Pace::Wait::kGather);
  CHECK(feed(pace, now_ns, 1, 510, 100, 64).wait == Pace::Wait::kNone);
  CHECK(feed(pace, now_ns, 1, 490, 100, 64).wait == Pace::Wait::kGather);
}

TEST_CASE("who wants no packet to wait gets what it wants") {
  Pace pace{PaceOptions{.gather_ns_max = 0}};
  uint64_t now_ns = 5'000 * kMillisecond;
  CHECK(feed(pace, now_ns, 1, 10, 50, 64).wait == Pace::Wait::kNone);
}

TEST_CASE("gathering goes on through larger rounds") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000 * kMillisecond;
  feed(pace, now_ns, 1, 20, 50, 64);
  CHECK(feed(pace, now_ns, 20, 500, 50, 64).wait == Pace::Wait::kGather);
}

TEST_CASE("silence ends it at the first packet after it") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000 * kMillisecond;
  feed(pace, now_ns, 1, 20, 50, 64);
  CHECK(pace.next(0, 64, now_ns).wait == Pace::Wait::kPoll);
  CHECK(pace.next(1, 64, now_ns + 3'000 * kMillisecond).wait == Pace::Wait::kNone);
}

}  // namespace flowsieve::test
