#include "wire/pace.h"

#include <algorithm>

namespace flowsieve {

namespace {

// Longer than a scheduler takes the processor away, so that a pause and the spurt after
// it count together.
constexpr uint64_t kWindowNs = 10'000'000;
constexpr uint64_t kSecondNs = 1'000'000'000;

}  // namespace

void Pace::measure(size_t frames, uint64_t now_ns) {
  window_frames_ += static_cast<uint32_t>(frames);
  window_rounds_ += frames > 0 ? 1 : 0;
  const uint64_t elapsed = now_ns - window_begin_ns_;
  if (elapsed < kWindowNs) return;
  rate_ = static_cast<uint32_t>(window_frames_ * kSecondNs / elapsed);
  frames_per_round_ = window_rounds_ == 0 ? 0 : window_frames_ / window_rounds_;
  if (rate_ < options_.dense_frames_per_second / 2) {
    dense_ = false;
  } else if (rate_ >= options_.dense_frames_per_second &&
             frames_per_round_ < options_.gather_frames) {
    dense_ = true;
  }
  window_begin_ns_ = now_ns;
  window_frames_ = window_rounds_ = 0;
}

Pace::Step Pace::next(size_t frames, uint64_t now_ns) {
  measure(frames, now_ns);
  if (frames >= options_.burst) return {Wait::kNone, 0};
  if (frames == 0) return {Wait::kPoll, 0};
  if (!dense_) return {Wait::kNone, 0};
  const uint64_t gather_ns = options_.gather_frames * kSecondNs / std::max(rate_, 1u);
  return {Wait::kGather,
          static_cast<uint32_t>(std::min<uint64_t>(gather_ns, options_.gather_ns_max))};
}

}  // namespace flowsieve
