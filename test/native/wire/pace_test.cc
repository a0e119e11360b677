#include "wire/pace.h"

#include <doctest/doctest.h>

#include <initializer_list>

namespace flowsieve::test {

namespace {

constexpr uint64_t kMillisecond = 1'000'000;

/// Rounds of `frames` frames at `rate` a second for `ms` milliseconds; the last answer.
Pace::Step feed(Pace& pace, uint64_t& now_ns, uint32_t rate, uint32_t frames, uint32_t ms) {
  const uint64_t end = now_ns + ms * kMillisecond;
  Pace::Step step{};
  while (now_ns < end) {
    now_ns += uint64_t{frames} * 1'000'000'000 / rate;
    step = pace.next(frames, now_ns);
  }
  return step;
}

}  // namespace

TEST_CASE("after a full burst the worker looks again at once, after nothing it polls") {
  Pace pace{PaceOptions{}};
  CHECK(pace.next(32, 1).wait == Pace::Wait::kNone);
  CHECK(pace.next(0, 2).wait == Pace::Wait::kPoll);
}

TEST_CASE("packets that come one by one are never slept for") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000'000'000;
  for (const uint32_t rate : {10u, 1'000u, 20'000u, 79'000u}) {
    CAPTURE(rate);
    CHECK(feed(pace, now_ns, rate, 1, 1000).wait == Pace::Wait::kNone);
    CHECK(pace.rate() >= rate * 9 / 10);
    CHECK(pace.rate() <= rate * 11 / 10);
  }
}

TEST_CASE("dense traffic in small rounds gathers, within the bound") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000'000'000;
  Pace::Step step = feed(pace, now_ns, 100'000, 1, 50);
  CHECK(step.wait == Pace::Wait::kGather);
  CHECK(step.gather_ns == 50'000);  // 8 frames would take 80 us
  step = feed(pace, now_ns, 400'000, 1, 50);
  CHECK(step.wait == Pace::Wait::kGather);
  CHECK(step.gather_ns >= 19'000);
  CHECK(step.gather_ns <= 21'000);  // 8 frames at 400,000 a second
}

TEST_CASE("dense traffic that gathers by itself is left alone") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000'000'000;
  CHECK(feed(pace, now_ns, 200'000, 16, 50).wait == Pace::Wait::kNone);
}

TEST_CASE("gathering goes on through larger rounds and ends when the rate has halved") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000'000'000;
  feed(pace, now_ns, 100'000, 1, 50);
  CHECK(feed(pace, now_ns, 100'000, 12, 50).wait == Pace::Wait::kGather);
  CHECK(feed(pace, now_ns, 50'000, 2, 50).wait == Pace::Wait::kGather);
  CHECK(feed(pace, now_ns, 30'000, 2, 50).wait == Pace::Wait::kNone);
}

TEST_CASE("silence ends dense traffic at the first packet after it") {
  Pace pace{PaceOptions{}};
  uint64_t now_ns = 5'000'000'000;
  feed(pace, now_ns, 200'000, 1, 50);
  CHECK(pace.next(0, now_ns).wait == Pace::Wait::kPoll);
  CHECK(pace.next(1, now_ns + 3'000 * kMillisecond).wait == Pace::Wait::kNone);
}

}  // namespace flowsieve::test
