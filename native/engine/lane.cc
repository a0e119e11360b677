#include "engine/lane.h"

#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>

#include <ctime>
#include <string>
#include <system_error>

#include "base/clock.h"
#include "engine/backlog.h"

namespace flowsieve {
namespace {

/// Timers looked at between two bursts: some ten microseconds' worth, so that a wave of expiries
/// does not hold packets up.
constexpr size_t kAgeBudget = 256;
/// The longest sleep: aging must go on when nothing comes.
constexpr int kIdleMs = static_cast<int>(kTickNanoseconds / 1'000'000);

}  // namespace

Lane::Lane(Parts parts, const WorkerOptions& options, const Criteria& criteria, uint32_t gather_ns)
    : parts_(std::move(parts)),
      worker_(options, criteria, delivery_of(parts_), parts_.responder.get(), nullptr,
              monotonic_ns()),
      pace_(PaceOptions{.burst = kBurst, .gather_ns_max = gather_ns}) {
  worker_.set_bypass(parts_.ring->bypass());
}

Delivery& Lane::delivery_of(Parts& parts) {
  if (parts.forwarder) return *parts.forwarder;
  return *parts.tun;
}

Status Lane::start(uint32_t index) {
  const std::lock_guard<std::mutex> lock(lifecycle_);
  const std::string name = std::to_string(index);
  if (thread_.joinable()) {
    return Error{ErrorCode::kState,
                 "Expected a stopped worker " + name + " for a start but received a running one."};
  }
  if (Status opened = mailbox_.open(); !opened) return opened;
  stopping_.store(false, std::memory_order_relaxed);
  mailbox_.accept();
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    mailbox_.close(worker_);  // nobody will drain it
    return Error{ErrorCode::kSystem,
                 "Expected a thread for worker " + name + " but received: " + error.what() + "."};
  }
  pthread_setname_np(thread_.native_handle(), ("flowsieve-" + name).c_str());
  return ok_status();
}

void Lane::stop() {
  const std::lock_guard<std::mutex> lock(lifecycle_);
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_relaxed);
  mailbox_.post([](Worker&) {}, worker_);  // wakes it
  thread_.join();
}

void Lane::run() {
  prctl(PR_SET_TIMERSLACK, 1);  // gathering sleeps for some ten microseconds, not for fifty more
  while (!stopping_.load(std::memory_order_relaxed)) {
    const uint64_t now = monotonic_ns();
    const size_t arrived = turn(now);
    const size_t watched = parts_.watch ? worker_.turn(*parts_.watch, now) : 0;
    worker_.age(now, kAgeBudget);
    mailbox_.drain(worker_);  // last, for answers that know what came before the question
    gives_way_.look(now);
    wait(pace_.next(arrived + watched, worker_.concurrency(), now));
  }
  mailbox_.close(worker_);
}

size_t Lane::turn(uint64_t now_ns) {
  worker_.set_open_until(open_until_.load(std::memory_order_relaxed));
  return worker_.turn(*parts_.ring, now_ns);
}

void Lane::decide_received() {
  call([this](Worker&) { empty_ring(); });
}

void Lane::release() {
  call([this](Worker& worker) {
    empty_ring();
    worker.release();
  });
}

void Lane::empty_ring() {
  decide_backlog([this] { return turn(monotonic_ns()); }, parts_.slots);
}

void Lane::wait(const Pace::Step& step) {
  switch (step.wait) {
    case Pace::Wait::kNone:
      return;
    case Pace::Wait::kGather: {
      const timespec gather{0, static_cast<long>(step.gather_ns)};
      nanosleep(&gather, nullptr);
      return;
    }
    case Pace::Wait::kPoll:
      break;
  }
  // What this node sends moves its entries with Tracking::kOwn. Otherwise it is shown and no more,
  // which has time until something comes.
  const bool watching = parts_.watch && worker_.criteria().tracking == Tracking::kOwn;
  pollfd descriptors[] = {{parts_.ring->poll_fd(), POLLIN, 0},
                          {watching ? parts_.watch->poll_fd() : -1, POLLIN, 0},
                          {mailbox_.poll_fd(), POLLIN, 0}};
  poll(descriptors, std::size(descriptors), kIdleMs);
}

}  // namespace flowsieve
