// How a worker waits when its sources have been emptied.
//
// poll(2) has the lowest latency where one connection waits for its answer, but where many do it
// costs a sleep and a wake-up for each packet, and on a busy machine those are most of what a packet
// costs (docs/decisions/live-path.md). Sleeping a little lets packets gather, so that one wake-up
// serves many; meanwhile the first of them waits. So:
//
//   round brought                     wait      because
//   a full burst                      kNone     more is there
//   some, few connections at a time   kNone     what came meanwhile is fetched at once; then kPoll
//   some, many at a time              kGather   sleep the longer, the more there are, where that
//                                               brings one more at least
//   nothing                           kPoll     the next packet wakes
//
// It is the number of connections that go on at the same time (worker/concurrency.h) that tells
// whether a sleep pays, not the rate: one client that asks again as soon as it has its answer brings
// as many packets a second as a thousand that ask now and then, and is the slower by every sleep. Of
// n connections that are all answered before any of them asks again, a sleep of n times
// gather_ns_each costs each no more than the others' answers take anyway.
//
// Pure: fed with the outcome of each round and the time, it only answers. Sleeps as short as
// these need prctl(PR_SET_TIMERSLACK, 1) in the worker's thread, or the kernel adds 50
// microseconds to each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flowsieve {

struct PaceOptions {
  uint32_t burst = 32;  ///< frames of a full round
  uint32_t gather_ns_max =
      500'000;  ///< the most that a packet may wait because of kGather; 0: none
  uint32_t gather_ns_each = 20'000;  ///< so much for each connection that goes on
  uint32_t gather_connections = 8;   ///< fewer are not slept for
};

class Pace {
 public:
  enum class Wait : uint8_t { kNone, kGather, kPoll };
  struct Step {
    Wait wait;
    uint32_t gather_ns;  ///< only with kGather
  };

  explicit Pace(const PaceOptions& options) : options_(options) {}

  /// After each round: how many frames it brought, from all of the worker's sources, how many
  /// connections go on at the same time, and the time.
  Step next(size_t frames, uint32_t concurrency, uint64_t now_ns);

  /// Frames a second, over the last ten milliseconds.
  uint32_t rate() const { return rate_; }

 private:
  void measure(size_t frames, uint64_t now_ns);

  PaceOptions options_;
  uint64_t window_begin_ns_ = 0;
  uint32_t window_frames_ = 0;
  uint32_t rate_ = 0;
};

}  // namespace flowsieve
