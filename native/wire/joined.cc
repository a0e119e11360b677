#include "wire/joined.h"

#include <sys/epoll.h>

#include <utility>

namespace flowsieve {

Result<std::unique_ptr<JoinedSource>> JoinedSource::open(
    std::vector<std::unique_ptr<RingSource>> rings) {
  Descriptor epoll{epoll_create1(EPOLL_CLOEXEC)};
  if (!epoll.open()) return system_error("joining the rings of several interfaces");
  for (const auto& ring : rings) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, ring->poll_fd(), &event) != 0) {
      return system_error("joining the rings of several interfaces");
    }
  }
  return std::unique_ptr<JoinedSource>(new JoinedSource(std::move(rings), std::move(epoll)));
}

JoinedSource::JoinedSource(std::vector<std::unique_ptr<RingSource>> rings, Descriptor epoll)
    : rings_(std::move(rings)), epoll_(std::move(epoll)) {}

size_t JoinedSource::receive(std::span<Frame> burst) {
  for (const auto& ring : rings_) ring->begin_burst();
  size_t count = 0;
  Clocks clocks;
  while (count < burst.size()) {
    const size_t next = earliest();
    if (next == kNone) break;
    if (count == 0) clocks = Clocks::read();
    rings_[next]->take(clocks, burst[count++]);
  }
  // Together: an empty ring beside a busy one wakes nobody for nothing.
  for (const auto& ring : rings_) ring->end_burst(count);
  return count;
}

/// The ring whose head came first; kNone when all are empty.
size_t JoinedSource::earliest() const {
  // A look may find what an earlier look missed: at most one more ring is found filled each time.
  for (size_t before = kNone;;) {
    size_t found = kNone;
    uint64_t found_ns = UINT64_MAX;
    for (size_t i = 0; i < rings_.size(); ++i) {
      const uint64_t ns = rings_[i]->next_ns();
      if (ns < found_ns) {
        found = i;
        found_ns = ns;
      }
    }
    if (found == before) return found;
    before = found;
  }
}

void JoinedSource::collect_drops(Counters& counters) {
  for (const auto& ring : rings_) ring->collect_drops(counters);
}

Status JoinedResponder::announce() {
  Status all = ok_status();
  for (const auto& responder : responders_) {
    if (Status sent = responder->announce(); !sent && all) all = std::move(sent);
  }
  return all;
}

}  // namespace flowsieve
