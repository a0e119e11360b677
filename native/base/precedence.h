// Before what else the machine does: a heartbeat that waits for a processor may cost a node its
// lease, and thereby its clients their connections; and a packet that waits is late.
//
// Real time, as corosync and keepalived have it, is for threads that do little and must do it in
// time. That is true of those that speak to the other nodes, and of those that decide packets as
// long as these do not come in floods. In a flood such a thread has no rest; then the kernel would
// stop it for a twentieth of every second (sched_rt_runtime_us), and whatever else runs there would
// have no more than that. So it gives way before (GivesWay).
#pragma once

#include <cstdint>

#include "base/status.h"

namespace flowsieve {

/// Runs all threads of the process that are there now in real time (SCHED_RR, at the lowest
/// priority of it); threads and programs that these begin inherit it. An error where that is not
/// allowed: then nothing has changed.
Status run_in_real_time();

/// Takes the thread that calls it out of real time while it has no rest, and puts it back after. In
/// real time it goes before those that only speak: a list of a million connections, which they
/// encrypt or read for seconds, must not keep a packet waiting, here or in another program's node.
class GivesWay {
 public:
  /// After each round of the thread's work.
  void look(uint64_t now_ns) {
    if (now_ns - window_begin_ns_ >= kWindowNs) [[unlikely]]
      measure(now_ns);
  }
  /// It would be in real time if it had more rest.
  bool gave_way() const { return gave_way_; }

 private:
  static constexpr uint64_t kWindowNs = 100'000'000;
  void measure(uint64_t now_ns);
  void go_first();

  uint64_t window_begin_ns_ = 0;
  uint64_t window_begin_cpu_ns_ = 0;
  bool gave_way_ = false;
  bool goes_first_ = false;
};

}  // namespace flowsieve
