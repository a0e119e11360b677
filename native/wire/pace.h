// How a worker waits when its sources have been emptied.
//
// poll(2) has the lowest latency in thin traffic, but in dense traffic it costs a sleep and a
// wake-up per packet. Sleeping a little lets packets gather, so that one wake-up serves many; but
// the first of them waits meanwhile. So:
//
//   round brought            wait      because
//   a full burst             kNone     more is there
//   some                     kNone     what came meanwhile is fetched at once; then kPoll
//   some, in dense traffic   kGather   sleep for the time in which gather_frames come, never longer
//                                      than gather_ns_max
//   nothing                  kPoll     the next packet wakes
//
// Traffic is dense when a second would bring dense_frames_per_second and rounds stay small all the
// same: with rounds of gather_frames and more there is nothing to gain. It stays dense until the
// rate has fallen to half.
//
// What lost: sched_yield() between rounds gathers best and costs least, but has no bound where
// others compute (docs/decisions/live-path.md).
//
// Pure: fed with the outcome of each round and the time, it only answers. Sleeps as short as
// these need prctl(PR_SET_TIMERSLACK, 1) in the worker's thread, or the kernel adds 50
// microseconds to each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flowsieve {

struct PaceOptions {
  uint32_t burst = 32;              ///< frames of a full round
  uint32_t gather_ns_max = 50'000;  ///< the most that a packet may wait because of kGather
  uint32_t gather_frames = 8;       ///< so many are worth a wake-up
  /// Below, a sleep would bring too few to pay for itself.
  uint32_t dense_frames_per_second = 80'000;
};

class Pace {
 public:
  enum class Wait : uint8_t { kNone, kGather, kPoll };
  struct Step {
    Wait wait;
    uint32_t gather_ns;  ///< only with kGather
  };

  explicit Pace(const PaceOptions& options) : options_(options) {}

  /// After each round: how many frames it brought, from all of the worker's sources, and the time.
  Step next(size_t frames, uint64_t now_ns);

  /// Frames a second, over the last ten milliseconds.
  uint32_t rate() const { return rate_; }

 private:
  void measure(size_t frames, uint64_t now_ns);

  PaceOptions options_;
  uint64_t window_begin_ns_ = 0;
  uint32_t window_frames_ = 0;
  uint32_t window_rounds_ = 0;  ///< of them only those that brought something
  uint32_t rate_ = 0;
  uint32_t frames_per_round_ = 0;
  bool dense_ = false;
};

}  // namespace flowsieve
