#include "wire/pace.h"

#include <algorithm>

namespace flowsieve {

namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
// Longer than a scheduler takes the processor away, so that a pause and the spurt after
// it count together.
constexpr uint64_t kWindowNs = 10'000'000;

}  // namespace

void Pace::measure(size_t frames, uint64_t now_ns) {
  window_frames_ += static_cast<uint32_t>(frames);
  const uint64_t elapsed = now_ns - window_begin_ns_;
  if (elapsed < kWindowNs) return;
  rate_ = static_cast<uint32_t>(window_frames_ * kSecondNs / elapsed);
  window_begin_ns_ = now_ns;
  window_frames_ = 0;
}

Pace::Step Pace::next(size_t frames, uint32_t concurrency, uint64_t now_ns) {
  measure(frames, now_ns);
  if (frames >= options_.burst) return {Wait::kNone, 0};
  if (frames == 0) return {Wait::kPoll, 0};
  if (concurrency < options_.gather_connections) return {Wait::kNone, 0};
  const uint32_t gather_ns =
      std::min(options_.gather_ns_max, concurrency * options_.gather_ns_each);
  if (uint64_t{gather_ns} * rate_ < kSecondNs) return {Wait::kNone, 0};
  return {Wait::kGather, gather_ns};
}

}  // namespace flowsieve
