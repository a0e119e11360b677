// How fast requests are answered through ring and TUN, beside plain kernel delivery, by the way
// the worker waits.
//
//   client --- bridge -+- node "ring": the cluster address on a TUN, fed from an AF_PACKET ring
//                      `- node "kernel": the same address plan, the address on the interface itself
//
// Four network namespaces of this process, one thread each for client, server and worker;
// closed-loop keep-alive requests of one packet each way. Needs CAP_NET_ADMIN, nft and ip; nothing
// outside its namespaces is touched. See docs/decisions/live-path.md.
//
//   pace_experiment [seconds per run] [rounds] [stream]   stream: an open load of datagrams instead
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "wire/pace.h"
#include "wire/responder.h"
#include "wire/ring.h"
#include "wire/tun.h"

using namespace flowsieve;

namespace {

constexpr char kRequest[] = "GET /echo HTTP/1.1\r\nHost: cluster.example\r\nAccept: */*\r\n\r\n";
constexpr char kResponse[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello world\n";

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

int make_namespace() {
  int fd = -1;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) == 0) fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (std::system("ip link set lo up") != 0) fd = -1;
  }).join();
  if (fd < 0) fail("Expected to make a network namespace (CAP_NET_ADMIN) but could not.");
  return fd;
}

void inside(int ns, const std::function<void()>& work) {
  std::thread([&] {
    if (setns(ns, CLONE_NEWNET) != 0) fail("setns");
    work();
  }).join();
}

void shell(int ns, const std::string& command) {
  inside(ns, [&] {
    if (std::system(command.c_str()) != 0) fail("failed: " + command);
  });
}

std::string path(int ns) {
  return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(ns);
}

sockaddr_in endpoint(const char* address) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(8080);
  inet_pton(AF_INET, address, &a.sin_addr);
  return a;
}

void serve(int listener, const std::atomic<bool>& stop) {
  const int poller = epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  epoll_event events[64];
  char buffer[4096];
  while (!stop) {
    const int count = epoll_wait(poller, events, 64, 100);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        const int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
        const int one = 1;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        event.data.fd = client;
        epoll_ctl(poller, EPOLL_CTL_ADD, client, &event);
      } else if (read(fd, buffer, sizeof buffer) > 0) {
        if (write(fd, kResponse, sizeof kResponse - 1) < 0) close(fd);
      } else {
        close(fd);
      }
    }
  }
  close(poller);
}

struct Outcome {
  double rate = 0;
  /// Of the whole process, per request: steadier than the rate where others use the machine too.
  double cpu_us = 0;
  double p50_us = 0, p99_us = 0;
};

double process_cpu_us() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto us = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
  };
  return us(use.ru_utime) + us(use.ru_stime);
}

Outcome load(int ns, const char* address, int connections, double seconds) {
  Outcome outcome;
  inside(ns, [&] {
    const int poller = epoll_create1(0);
    std::map<int, uint64_t> sent;
    const sockaddr_in to = endpoint(address);
    for (int i = 0; i < connections; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM, 0);
      if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
      sent[fd] = 0;
    }
    std::vector<uint32_t> times;
    const uint64_t begin = monotonic_ns();
    const double cpu_begin = process_cpu_us();
    const uint64_t end = begin + static_cast<uint64_t>(seconds * 1e9);
    const auto ask = [&](int fd) {
      sent[fd] = monotonic_ns();
      if (write(fd, kRequest, sizeof kRequest - 1) < 0) fail("write");
    };
    for (const auto& [fd, time] : sent) ask(fd);
    epoll_event events[64];
    char buffer[4096];
    while (monotonic_ns() < end) {
      const int count = epoll_wait(poller, events, 64, 100);
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (read(fd, buffer, sizeof buffer) <= 0) fail("read");
        times.push_back(static_cast<uint32_t>(monotonic_ns() - sent[fd]));
        ask(fd);
      }
    }
    const double taken = static_cast<double>(monotonic_ns() - begin) / 1e9;
    outcome.cpu_us =
        (process_cpu_us() - cpu_begin) / static_cast<double>(std::max<size_t>(1, times.size()));
    for (const auto& [fd, time] : sent) close(fd);
    close(poller);
    std::sort(times.begin(), times.end());
    outcome.rate = static_cast<double>(times.size()) / taken;
    if (!times.empty()) {
      outcome.p50_us = times[times.size() / 2] / 1e3;
      outcome.p99_us = times[times.size() * 99 / 100] / 1e3;
    }
  });
  return outcome;
}

/// An open load: datagrams at `rate` a second to a socket that nobody reads. Returns the CPU time
/// per datagram of the whole process, less the sender's own spinning, which it keeps to itself.
double stream(int ns, const char* address, double rate, double seconds) {
  double cpu_us = 0;
  inside(ns, [&] {
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    const sockaddr_in to = endpoint(address);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
    const char data[64] = {};
    const uint64_t begin = monotonic_ns();
    const double cpu_begin = process_cpu_us();
    double spun_us = 0;
    const auto total = static_cast<uint64_t>(rate * seconds);
    for (uint64_t i = 0; i < total; ++i) {
      const uint64_t due = begin + static_cast<uint64_t>(static_cast<double>(i) * 1e9 / rate);
      const uint64_t from = monotonic_ns();
      uint64_t now = from;
      while (now < due) now = monotonic_ns();
      spun_us += static_cast<double>(now - from) / 1e3;
      (void)!send(fd, data, sizeof data, MSG_DONTWAIT);
    }
    cpu_us = (process_cpu_us() - cpu_begin - spun_us) / static_cast<double>(total);
    close(fd);
  });
  return cpu_us;
}

// How the worker waits when its ring is empty.
struct Policy {
  std::string name;
  std::function<void(RingSource&, size_t frames)> wait;  ///< after every round
};

void poll_now(RingSource& ring) {
  pollfd ready{ring.poll_fd(), POLLIN, 0};
  poll(&ready, 1, 50);
}

void sleep_ns(uint64_t ns) {
  const timespec time{0, static_cast<long>(ns)};
  nanosleep(&time, nullptr);
}

struct Worker {
  std::unique_ptr<RingSource> ring;
  std::unique_ptr<TunDelivery> tun;
  std::unique_ptr<LinkResponder> responder;
  std::atomic<const Policy*> policy{nullptr};
  std::atomic<uint64_t> rounds{0}, frames{0}, cpu_ns{0};
  uint64_t turns = 0;
  std::atomic<bool> stop{false};

  void run() {
    prctl(PR_SET_TIMERSLACK, 1);
    std::array<Frame, kBurst> burst;
    std::array<Accepted, kBurst> accepted;
    while (!stop) {
      timespec cpu{};
      if (++turns % 64 == 0) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
        cpu_ns =
            static_cast<uint64_t>(cpu.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(cpu.tv_nsec);
      }
      const size_t count = ring->receive(burst);
      size_t own = 0;
      for (size_t i = 0; i < count; ++i) {
        Frame& frame = burst[i];
        if (responder->answer(frame)) continue;
        const Packet packet = {};
        (void)packet;
        if (load_be16(frame.bytes.data + 12) != 0x0800 || !ring->complete(frame)) continue;
        accepted[own++] = {&frame, 14, load_be16(frame.bytes.data + 16)};
      }
      tun->deliver({accepted.data(), own});
      rounds.fetch_add(1, std::memory_order_relaxed);
      frames.fetch_add(count, std::memory_order_relaxed);
      policy.load()->wait(*ring, count);
    }
  }
};

std::vector<Policy> policies() {
  static Pace pace{PaceOptions{}};
  std::vector<Policy> all;
  all.push_back({"poll", [](RingSource& ring, size_t frames) {
                   if (frames == 0) poll_now(ring);
                 }});
  for (const uint64_t us : {50}) {
    all.push_back({"sleep" + std::to_string(us), [us](RingSource& ring, size_t frames) {
                     if (frames == 0) {
                       poll_now(ring);
                     } else if (frames < kBurst) {
                       sleep_ns(us * 1000);
                     }
                   }});
  }
  all.push_back({"yield", [](RingSource& ring, size_t frames) {
                   if (frames == 0) {
                     poll_now(ring);
                   } else if (frames < kBurst) {
                     sched_yield();
                   }
                 }});
  all.push_back({"pace", [](RingSource& ring, size_t frames) {
                   const Pace::Step step = pace.next(frames, monotonic_ns());
                   if (step.wait == Pace::Wait::kGather) sleep_ns(step.gather_ns);
                   if (step.wait == Pace::Wait::kPoll) poll_now(ring);
                 }});
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 3;
  const int client = make_namespace(), bridge = make_namespace(), ring_node = make_namespace(),
            kernel_node = make_namespace();
  shell(bridge, "ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up");
  const struct {
    int ns;
    const char* address;
  } hosts[] = {{client, "192.0.2.1"}, {ring_node, "192.0.2.2"}, {kernel_node, "192.0.2.3"}};
  int port = 0;
  for (const auto& [ns, address] : hosts) {
    const std::string p = "p" + std::to_string(port++);
    shell(bridge, "ip link add " + p + " type veth peer name v0 netns " + path(ns) +
                      " && ip link set " + p + " master br0 up");
    shell(ns, std::string("ip addr add ") + address + "/24 dev v0 && ip link set v0 up");
  }
  const Address cluster = mapped_ipv4(reinterpret_cast<const uint8_t*>("\xc0\x00\x02\x64"));
  const Mac cluster_mac{0x01, 0x00, 0x5e, 0, 0, 0x64};
  shell(ring_node,
        "nft add table netdev guard && "
        "nft 'add chain netdev guard in { type filter hook ingress device v0 priority 0; }' && "
        "nft add rule netdev guard in ip daddr 192.0.2.100 drop && "
        "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 "
        "net.ipv4.conf.v0.arp_ignore=1 net.ipv4.conf.v0.arp_announce=2");
  Worker worker;
  int listeners[2] = {-1, -1};
  inside(ring_node, [&] {
    RingOptions options;
    options.interface = "v0";
    options.addresses = {cluster};
    auto ring = RingSource::open(options, 1);
    if (!ring) fail(ring.error().message);
    worker.ring = std::move(ring.value()[0]);
    auto tun = TunDelivery::open(TunOptions{}, 1);
    if (!tun) fail(tun.error().message);
    worker.tun = std::move(tun.value()[0]);
    auto responder = LinkResponder::open("v0", cluster_mac, options.addresses);
    if (!responder) fail(responder.error().message);
    worker.responder = std::move(responder.value());
  });
  shell(ring_node, "ip addr add 192.0.2.100/32 dev flowsieve0");
  shell(kernel_node, "ip addr add 192.0.2.101/32 dev v0");
  const char* addresses[2] = {"192.0.2.100", "192.0.2.101"};
  for (int i = 0; i < 2; ++i) {
    inside(i == 0 ? ring_node : kernel_node, [&] {
      listeners[i] = socket(AF_INET, SOCK_STREAM, 0);
      const sockaddr_in at = endpoint(addresses[i]);
      if (bind(listeners[i], reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) fail("bind");
      listen(listeners[i], 1024);
    });
  }
  const std::vector<Policy> all = policies();
  worker.policy = &all[0];
  std::thread working([&] { worker.run(); });
  std::atomic<bool> stop{false};
  std::thread ring_server([&] { serve(listeners[0], stop); });
  std::thread kernel_server([&] { serve(listeners[1], stop); });
  if (argc > 3) {
    // The datagrams need somebody to go to.
    const int sink = [&] {
      int fd = -1;
      inside(ring_node, [&] {
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        const sockaddr_in at = endpoint(addresses[0]);
        if (bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) fail("bind");
      });
      return fd;
    }();
    for (int round = 0; round < rounds; ++round) {
      for (const double rate : {10e3, 30e3, 60e3, 100e3, 150e3}) {
        for (const Policy& policy : all) {
          worker.policy = &policy;
          const uint64_t r0 = worker.rounds, f0 = worker.frames;
          const double cpu = stream(client, addresses[0], rate, seconds);
          std::printf(
              "stream %6.0f/s %-9s CPU %5.2f us/frame frames/round %.2f arrived %.3f\n", rate,
              policy.name.c_str(), cpu,
              static_cast<double>(worker.frames - f0) / static_cast<double>(worker.rounds - r0 + 1),
              static_cast<double>(worker.frames - f0) / (rate * seconds));
          std::fflush(stdout);
        }
      }
    }
    close(sink);
    std::exit(0);
  }
  for (const int connections : {1, 64}) {
    std::map<std::string, std::vector<double>> ratios;
    for (int round = 0; round < rounds; ++round) {
      for (const Policy& policy : all) {
        worker.policy = &policy;
        const Outcome kernel = load(client, addresses[1], connections, seconds / 2);
        const uint64_t r0 = worker.rounds, f0 = worker.frames;
        const Outcome ours = load(client, addresses[0], connections, seconds);
        ratios[policy.name].push_back(ours.rate / kernel.rate);
        std::printf(
            "%4d %-9s %6.0f/s p50 %6.1f p99 %7.1f us CPU %5.1f us | kernel %6.0f/s p50 %6.1f p99 "
            "%7.1f us "
            "CPU %5.1f us | rate %.2f CPU %.2f | frames/round %.2f\n",
            connections, policy.name.c_str(), ours.rate, ours.p50_us, ours.p99_us, ours.cpu_us,
            kernel.rate, kernel.p50_us, kernel.p99_us, kernel.cpu_us, ours.rate / kernel.rate,
            kernel.cpu_us / ours.cpu_us,
            static_cast<double>(worker.frames - f0) /
                static_cast<double>(std::max<uint64_t>(1, worker.rounds - r0)));
        std::fflush(stdout);
      }
    }
    for (auto& [name, values] : ratios) {
      std::sort(values.begin(), values.end());
      std::printf("SUMMARY %4d %-9s ratio median %.2f (%.2f to %.2f)\n", connections, name.c_str(),
                  values[values.size() / 2], values.front(), values.back());
    }
  }
  stop = worker.stop = true;
  ring_server.join();
  kernel_server.join();
  working.join();
  return 0;
}
