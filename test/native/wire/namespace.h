// Private network namespaces for the live tests. A namespace is made by a thread of the test
// and entered by threads, so that nothing of the machine's own network is ever touched, no
// process is forked but `ip` and its like, and sockets that were opened inside can be used from
// the test itself.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "wire/link.h"

namespace flowsieve::test {

class Namespace {
 public:
  Namespace() {
    std::thread([this] {
      if (unshare(CLONE_NEWNET) != 0) return;
      fd_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
      if (std::system("ip link set lo up") != 0) ready_ = false;
    }).join();
  }
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;
  ~Namespace() {
    if (fd_ >= 0) close(fd_);
  }

  bool ready() const { return fd_ >= 0 && ready_; }
  /// A path that `ip link ... netns` takes.
  std::string path() const {
    return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_);
  }

  /// Runs `work` inside. No doctest assertions in there: it is another thread.
  template <typename Work>
  auto run(Work work) const {
    if constexpr (std::is_void_v<decltype(work())>) {
      std::thread([&] {
        if (setns(fd_, CLONE_NEWNET) == 0) work();
      }).join();
    } else {
      decltype(work()) result{};
      std::thread([&] {
        if (setns(fd_, CLONE_NEWNET) == 0) result = work();
      }).join();
      return result;
    }
  }

  /// A shell command inside; true when it succeeded.
  bool shell(const std::string& command) const {
    return run([&] { return std::system(command.c_str()) == 0; });
  }

 private:
  int fd_ = -1;
  bool ready_ = true;
};

/// Whether namespaces can be made here. Where they cannot the caller leaves its test case: loudly,
/// and in CI as a failure.
inline bool live_tests_possible(const char* test) {
  const bool possible = Namespace().ready();
  const char* ci = std::getenv("CI");
  const bool in_ci = ci != nullptr && std::string(ci) == "true";
  if (!possible && in_ci)
    FAIL("Expected to make a network namespace (CAP_NET_ADMIN) but could not.");
  if (!possible) {
    MESSAGE("LEFT OUT, for want of CAP_NET_ADMIN to make a network namespace: " << test);
  }
  return possible;
}

#define FLOWSIEVE_LIVE_TEST(name) \
  if (!flowsieve::test::live_tests_possible(name)) return

/// Two namespaces and a wire: `here` has the end v0 (192.0.2.1, 2001:db8::1), `there` v1
/// (192.0.2.2, 2001:db8::2).
struct Wire {
  Namespace here, there;

  Wire() {
    // Without the second that duplicate address detection takes: until then the kernel asks
    // for no neighbour.
    for (const Namespace* end : {&here, &there}) {
      REQUIRE(end->shell(
          "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"));
    }
    REQUIRE(
        here.shell("ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 address "
                   "02:00:00:00:00:02 netns " +
                   there.path()));
    REQUIRE(
        here.shell("ip addr add 192.0.2.1/24 dev v0 && ip addr add 2001:db8::1/64 dev v0 nodad && "
                   "ip link set v0 up"));
    REQUIRE(
        there.shell("ip addr add 192.0.2.2/24 dev v1 && ip addr add 2001:db8::2/64 dev v1 nodad "
                    "&& ip link set v1 up"));
  }

  /// Waits until both kernels take IPv6 multicast: only some time after the link came up do they
  /// have a route for it.
  void settle_ipv6() const {
    for (const Namespace* end : {&here, &there}) {
      REQUIRE(
          end->shell("i=0; until ip -6 route show table local | grep -q '^multicast ff00::/8'; do "
                     "sleep 0.05; i=$((i+1)); [ $i -lt 80 ] || exit 1; done"));
    }
  }
};

}  // namespace flowsieve::test
