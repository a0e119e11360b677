#include "wire/pace.h"

#include <algorithm>
#include <bit>

namespace flowsieve {

namespace {

constexpr uint64_t kWindowNs = 1'000'000;
/// Longer than a scheduler takes the processor away: what came before says nothing any more.
constexpr uint64_t kSilenceNs = 20 * kWindowNs;

}  // namespace

void Pace::measure(uint64_t connections, uint64_t now_ns) {
  const uint64_t elapsed = now_ns - window_begin_ns_;
  if (elapsed >= kSilenceNs) window_connections_ = 0;
  window_connections_ |= connections;
  if (elapsed < kWindowNs) return;
  concurrent_ = static_cast<uint32_t>(std::popcount(window_connections_));
  window_connections_ = 0;
  window_begin_ns_ = now_ns;
}

Pace::Step Pace::next(size_t frames, uint64_t connections, uint64_t now_ns) {
  measure(connections, now_ns);
  if (frames >= options_.burst) return {Wait::kNone, 0};
  if (frames == 0) return {Wait::kPoll, 0};
  if (concurrent_ < options_.gather_connections) return {Wait::kNone, 0};
  const uint32_t gather_ns =
      std::min(options_.gather_ns_max, concurrent_ * options_.gather_ns_each);
  if (gather_ns == 0) return {Wait::kNone, 0};
  return {Wait::kGather, gather_ns};
}

}  // namespace flowsieve
