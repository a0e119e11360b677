#include "base/precedence.h"

#include <sched.h>
#include <sys/types.h>

#include <ctime>
#include <filesystem>
#include <string>
#include <system_error>

namespace flowsieve {
namespace {

/// Of its time on a processor in a window: above, a thread has no rest; below, it has again.
constexpr uint64_t kRestlessPercent = 80;
constexpr uint64_t kRestedPercent = 50;

/// `above`: how far above the lowest priority of that policy.
bool set_policy(pid_t thread, int policy, int above = 0) {
  const sched_param wanted{.sched_priority = sched_get_priority_min(policy) + above};
  return sched_setscheduler(thread, policy, &wanted) == 0;
}

/// Of the threads that decide packets.
constexpr int kFirst = 1;

uint64_t thread_cpu_ns() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
}

}  // namespace

Status run_in_real_time() {
  // The calling thread first: what is not allowed to it is allowed to none.
  if (!set_policy(0, SCHED_RR)) return system_error("running in real time");
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    // One that has ended meanwhile needs it no more.
    (void)set_policy(static_cast<pid_t>(std::stol(task.path().filename().string())), SCHED_RR);
  }
  return ok_status();
}

void GivesWay::go_first() {
  goes_first_ = sched_getscheduler(0) == SCHED_RR && set_policy(0, SCHED_RR, kFirst);
}

void GivesWay::measure(uint64_t now_ns) {
  const uint64_t cpu_ns = thread_cpu_ns();
  const uint64_t percent = (cpu_ns - window_begin_cpu_ns_) * 100 / (now_ns - window_begin_ns_);
  if (!gave_way_ && percent > kRestlessPercent) {
    gave_way_ = sched_getscheduler(0) == SCHED_RR && set_policy(0, SCHED_OTHER);
  } else if (gave_way_ && percent < kRestedPercent) {
    gave_way_ = !set_policy(0, SCHED_RR, kFirst);
  } else if (!gave_way_ && !goes_first_) {
    go_first();
  }
  window_begin_ns_ = now_ns;
  window_begin_cpu_ns_ = cpu_ns;
}

}  // namespace flowsieve
