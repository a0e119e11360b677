// The load of the request benches: C connections, one request at a time on each, all in one thread.
// With `--each connection` every request has a connection of its own, which the server closes, as
// an HTTP/1.1 server does that was told `Connection: close`.
//
//   http_client --to 192.0.2.100 --port 8080 --from A,B,... --connections 64 --each request --seconds 2
//
// Prints one JSON object: how many were answered in the time, by whom, and how long each took; and
// how many in `total`, warming up included, for the CPU time of the whole run.
// What was begun is waited for afterwards: a request without an answer is a failure, not a remnant.
#include <sys/epoll.h>

#include <algorithm>
#include <array>

#include "common.h"
#include "http_message.h"

namespace {

using namespace bench;

constexpr double kWarmUpSeconds = 0.2;
constexpr double kPatienceSeconds = 4;

struct Connection {
  int fd = -1;
  bool asked = false;
  bool answered = false;
  uint64_t begun = 0;
  size_t filled = 0;
  std::array<char, kAnswerBytes + 1> answer;
};

class Load {
 public:
  explicit Load(const Arguments& arguments)
      : target_(address_of(arguments.text("--to"), int(arguments.number("--port")))),
        connection_each_(arguments.text("--each") == "connection"),
        epoll_(must(epoll_create1(0), "epoll_create1")),
        connections_(size_t(arguments.number("--connections"))) {
    for (const std::string& source : split(arguments.text("--from"))) {
      sources_.push_back(address_of(source, 0));
    }
    begin_ = now() + from_seconds(kWarmUpSeconds);
    end_ = begin_ + from_seconds(arguments.number("--seconds"));
  }

  void run() {
    for (Connection& connection : connections_) open(connection);
    std::array<epoll_event, 256> events;
    while (busy_ > 0 && now() < end_ + from_seconds(kPatienceSeconds)) {
      const int count = epoll_wait(epoll_, events.data(), int(events.size()), 100);
      for (int i = 0; i < count; ++i) {
        proceed(*static_cast<Connection*>(events[size_t(i)].data.ptr), events[size_t(i)].events);
      }
    }
    if (busy_ > 0) failures_["unanswered"] += busy_;
  }

  void print() {
    std::sort(times_.begin(), times_.end());
    const auto at = [&](double share) {
      return times_.empty() ? 0 : times_[size_t(share * double(times_.size() - 1))];
    };
    std::printf(
        "{\"answered\":%zu,\"seconds\":%.9f,\"medianNs\":%u,\"p99Ns\":%u,\"slowestNs\":%u,"
        "\"total\":%lu,\"cpuNs\":%lu,\"nodes\":%s,\"failures\":%s}\n",
        times_.size(), double(end_ - begin_) / 1e9, at(0.5), at(0.99), at(1), answered_,
        nanoseconds(CLOCK_PROCESS_CPUTIME_ID), json(nodes_).c_str(), json(failures_).c_str());
  }

 private:
  // Source addresses take turns: each has its own ports, and a hash of the source alone, as the
  // kernel's cluster match has, gets something to spread.
  void open(Connection& connection) {
    connection.fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
    set(connection.fd, IPPROTO_TCP, TCP_NODELAY, 1);
    bind_source(connection.fd, sources_[turn_++ % sources_.size()]);
    connection.asked = connection.answered = false;
    connection.filled = 0;
    connection.begun = now();
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = &connection}};
    must(epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event), "epoll_ctl");
    const auto* target = reinterpret_cast<const sockaddr*>(&target_);
    ++busy_;
    if (connect(connection.fd, target, sizeof target_) < 0 && errno != EINPROGRESS) fail("connect");
  }

  void proceed(Connection& connection, uint32_t events) {
    if (!connection.asked && (events & EPOLLOUT) && !(events & (EPOLLERR | EPOLLHUP))) {
      ask(connection);
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) take(connection);
  }

  void ask(Connection& connection) {
    const std::string_view request = connection_each_ ? kOnlyOne : kKeepAlive;
    // The way of a request on an open connection is what its time means; with a connection of its
    // own it includes the opening.
    if (!connection_each_) connection.begun = now();
    connection.asked = true;
    connection.answered = false;
    connection.filled = 0;
    if (write(connection.fd, request.data(), request.size()) != ssize_t(request.size())) {
      failed(connection, std::strerror(errno));
    }
  }

  void take(Connection& connection) {
    for (;;) {
      const size_t room = connection.answer.size() - connection.filled;
      const ssize_t bytes = read(connection.fd, connection.answer.data() + connection.filled, room);
      if (bytes < 0) {
        if (errno != EAGAIN) failed(connection, std::strerror(errno));
        return;
      }
      if (bytes == 0) return ended(connection);
      connection.filled += size_t(bytes);
      if (connection.filled < kAnswerBytes) continue;
      if (!answered(connection)) return;
      if (!connection_each_) return next(connection);
    }
  }

  bool answered(Connection& connection) {
    const std::string_view node = node_in({connection.answer.data(), connection.filled});
    if (node.empty()) {
      failed(connection, "wrong answer");
      return false;
    }
    connection.answered = true;
    ++answered_;
    const uint64_t at = now();
    if (at < begin_ || at >= end_) return true;
    times_.push_back(uint32_t(std::min<uint64_t>(at - connection.begun, UINT32_MAX)));
    ++nodes_[std::string(node)];
    return true;
  }

  void next(Connection& connection) {
    if (now() < end_) return ask(connection);
    finish(connection);
  }

  void ended(Connection& connection) {
    if (!connection.answered) return failed(connection, "closed early");
    finish(connection);
    if (now() < end_) open(connection);
  }

  void failed(Connection& connection, const std::string& why) {
    ++failures_[why];
    finish(connection);
    if (now() < end_) open(connection);
  }

  void finish(Connection& connection) {
    close(connection.fd);
    connection.fd = -1;
    --busy_;
  }

  const sockaddr_in target_;
  const bool connection_each_;
  const int epoll_;
  std::vector<sockaddr_in> sources_;
  std::vector<Connection> connections_;  // never grows: epoll has their addresses
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
  size_t turn_ = 0;
  size_t busy_ = 0;
  uint64_t answered_ = 0;  // all of them; `times_` has those of the time measured
  std::vector<uint32_t> times_;
  std::map<std::string, uint64_t> nodes_;
  std::map<std::string, uint64_t> failures_;
};

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  Load load(arguments);
  load.run();
  load.print();
}
