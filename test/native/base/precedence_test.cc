#include "base/precedence.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <thread>

#include "base/clock.h"

using namespace flowsieve;

namespace {

/// What a process of its own ends with: 77 where real time is not allowed here.
template <typename Body>
int in_a_process(Body&& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(body());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) MESSAGE("skipped: real time is not allowed here");
  return WEXITSTATUS(status) == 77 ? 0 : WEXITSTATUS(status);
}

int refused(const Status& done) {
  return done.error().code == ErrorCode::kPrivilege ? 77 : 1;
}

/// Rounds of work until what is true of them is `wanted`; false when it never becomes so.
bool becomes(GivesWay& gives_way, bool wanted, std::chrono::microseconds rest) {
  const uint64_t end = monotonic_ns() + 30'000'000'000;
  while (gives_way.gave_way() != wanted && monotonic_ns() < end) {
    if (rest.count() > 0) std::this_thread::sleep_for(rest);
    gives_way.look(monotonic_ns());
  }
  return gives_way.gave_way() == wanted;
}

}  // namespace

TEST_CASE("in real time are all threads of a process, and those that they begin") {
  CHECK(in_a_process([] {
          std::promise<void> go;
          std::future<void> gone = go.get_future();
          int policy = -1;
          std::thread waiting([&] {
            gone.wait();
            policy = sched_getscheduler(0);
          });
          const Status done = run_in_real_time();
          go.set_value();
          waiting.join();
          if (!done) return refused(done);
          if (sched_getscheduler(0) != SCHED_RR) return 2;
          if (policy != SCHED_RR) return 3;
          std::thread([&] { policy = sched_getscheduler(0); }).join();
          return policy == SCHED_RR ? 0 : 4;
        }) == 0);
}

TEST_CASE("a thread in real time gives way while it has no rest") {
  CHECK(in_a_process([] {
          GivesWay gives_way;
          gives_way.look(monotonic_ns());
          if (const Status done = run_in_real_time(); !done) return refused(done);
          if (!becomes(gives_way, true, std::chrono::microseconds(0))) return 2;
          if (sched_getscheduler(0) != SCHED_OTHER) return 3;
          if (!becomes(gives_way, false, std::chrono::milliseconds(1))) return 4;
          return sched_getscheduler(0) == SCHED_RR ? 0 : 5;
        }) == 0);
}

TEST_CASE("a thread that decides goes before those that speak, also when it had given way") {
  CHECK(in_a_process([] {
          const int lowest = sched_get_priority_min(SCHED_RR);
          const auto priority = [] {
            sched_param now{};
            sched_getparam(0, &now);
            return now.sched_priority;
          };
          GivesWay gives_way;
          gives_way.look(monotonic_ns());
          if (const Status done = run_in_real_time(); !done) return refused(done);
          if (priority() != lowest) return 2;
          std::this_thread::sleep_for(std::chrono::milliseconds(150));
          gives_way.look(monotonic_ns());
          if (priority() != lowest + 1) return 3;
          if (!becomes(gives_way, true, std::chrono::microseconds(0))) return 4;
          if (!becomes(gives_way, false, std::chrono::milliseconds(1))) return 5;
          return priority() == lowest + 1 ? 0 : 6;
        }) == 0);
}

TEST_CASE("a thread that never was in real time does not come there by having rest") {
  CHECK(in_a_process([] {
          if (sched_getscheduler(0) != SCHED_OTHER) return 77;
          GivesWay gives_way;
          const uint64_t end = monotonic_ns() + 350'000'000;
          while (monotonic_ns() < end) gives_way.look(monotonic_ns());
          if (gives_way.gave_way()) return 2;
          std::this_thread::sleep_for(std::chrono::milliseconds(300));
          gives_way.look(monotonic_ns());
          return sched_getscheduler(0) == SCHED_OTHER ? 0 : 3;
        }) == 0);
}
