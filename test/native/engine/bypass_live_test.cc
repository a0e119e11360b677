// Two programs in the kernel, one on the ring's socket and one at the interface's ingress, beside
// the worker: together they must do with every packet what one worker would, once.
#include <arpa/inet.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <thread>

#include "engine/engine_node.h"

namespace flowsieve::test {

namespace {

/// Everything that comes in by a device whose packets begin with the IP header.
class DeviceReader {
 public:
  DeviceReader(const Namespace& where, const char* device)
      : socket_(where.run([&] {
          const int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
          const int room = 1 << 24;
          setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
          sockaddr_ll at{};
          at.sll_family = AF_PACKET;
          at.sll_protocol = htons(3);  // ETH_P_ALL
          at.sll_ifindex = static_cast<int>(if_nametoindex(device));
          return bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 ? fd : -1;
        })) {
    REQUIRE(socket_.open());
  }
  /// How often a packet of each length has come, so far.
  const std::map<ssize_t, int>& seen() {
    char bytes[2048];
    sockaddr_ll from{};
    socklen_t size = sizeof from;
    auto* where = reinterpret_cast<sockaddr*>(&from);
    for (ssize_t got; (got = recvfrom(socket_.get(), bytes, sizeof bytes, 0, where, &size)) > 0;) {
      if (from.sll_pkttype != PACKET_OUTGOING) ++seen_[got];
    }
    return seen_;
  }

 private:
  Descriptor socket_;
  std::map<ssize_t, int> seen_;
};

constexpr int kPackets = 600;

/// One connection with packets of kPackets lengths, slowly enough that the ring becomes empty
/// between some. In between somebody asks for connections, which ends the bypass.
class Conversation {
 public:
  Conversation(const char* cluster, const Wire& wire)
      : cluster_(cluster), sender_(wire.there, "v1") {}

  void speak(Engine& engine) const {
    sender_.send(tcp().syn().build());
    for (int i = 1; i <= kPackets; ++i) {
      PacketBuilder frame = i % 50 == 0 ? tcp(5) : tcp();
      sender_.send(frame.ack().payload(static_cast<size_t>(i)).build());
      if (i % 4 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (i == kPackets / 2) {
        engine.connections(0, 0, 10);
        // Till bypasses begin again.
        std::this_thread::sleep_for(std::chrono::milliseconds(1'200));
      }
    }
  }

 private:
  PacketBuilder tcp(uint16_t tag = 0) const {
    PacketBuilder frame = PacketBuilder::ethernet();
    if (tag != 0) frame.vlan(tag);
    const bool ipv6 = std::string(cluster_).find(':') != std::string::npos;
    return (ipv6 ? frame.ipv6("2001:db8:1::7", cluster_) : frame.ipv4("198.51.100.7", cluster_))
        .tcp(40000, 80);
  }

  const char* cluster_;
  RawSender sender_;
};

/// What the stack of the capture interface gets to see: an nft rule behind the ingress program.
uint64_t packets_for_the_stack(const Namespace& where) {
  const std::string file = "/tmp/flowsieve-bypass-" + std::to_string(getpid());
  REQUIRE(
      where.shell("nft -j list counter netdev count seen | tr ',' '\n' | "
                  "sed -n 's/.*\"packets\": *//p' > " +
                  file));
  uint64_t packets = UINT64_MAX;
  std::ifstream(file) >> packets;
  std::remove(file.c_str());
  return packets;
}

EngineOptions bypass_options() {
  EngineOptions options = engine_options();
  options.bypass = true;
  return options;
}

Counters counters_when(Engine& engine, Count count, uint64_t expected) {
  Counters now;
  eventually([&] {
    now = sum_of(engine.snapshot());
    return now[count] >= expected;
  });
  return now;
}

}  // namespace

TEST_CASE("with a bypass, the kernel delivers an own busy connection's packets, each once") {
  FLOWSIEVE_LIVE_TEST("with a bypass, the kernel delivers an own busy connection's packets");
  for (const char* cluster : {kCluster4.c_str(), kCluster6.c_str()}) {
    Wire wire;
    const auto engine = must_open(wire.here, bypass_options());
    REQUIRE(engine->start().ok());
    DeviceReader reader(wire.here, "flowsieve0");
    Conversation(cluster, wire).speak(*engine);
    const Counters counters = counters_when(*engine, Count::kDelivered, kPackets + 1);
    CHECK(counters[Count::kDelivered] == kPackets + 1);
    CHECK(counters[Count::kClass1] == 1);
    CHECK(counters[Count::kClass2] == kPackets);
    CHECK(counters[Count::kDeliveredByKernel] > kPackets / 2);
    // Tagged ones and the first half's end came by the ring.
    CHECK(counters[Count::kDeliveredByKernel] < kPackets);
    // The kernel's own multicasts on the device may be there, too.
    const auto& seen = reader.seen();
    const ssize_t headers = std::string(cluster).find(':') != std::string::npos ? 60 : 40;
    for (int i = 1; i <= kPackets; ++i) {
      const auto found = seen.find(headers + i);
      CHECK_MESSAGE((found != seen.end() && found->second >= 1), i << " bytes");
      if (i > 100) CHECK_MESSAGE(found->second == 1, i << " bytes");
    }
  }
}

TEST_CASE("with a bypass, another's busy connection reaches neither the worker nor the stack") {
  FLOWSIEVE_LIVE_TEST("with a bypass, another's busy connection reaches neither");
  Wire wire;
  REQUIRE(wire.here.shell(
      "nft add table netdev count && nft add counter netdev count seen && nft 'add chain netdev "
      "count in { type filter hook ingress device v0 priority 0; }' && nft add rule netdev count "
      "in ip daddr 192.0.2.100 counter name seen drop"));
  auto opened = open_engine(wire.here, bypass_options(), all_buckets_of(1));
  REQUIRE_MESSAGE(opened.ok(), opened.error().message);
  Engine& engine = *opened.value();
  REQUIRE(engine.start().ok());
  DeviceReader reader(wire.here, "flowsieve0");
  Conversation(kCluster4.c_str(), wire).speak(engine);
  const Counters counters = counters_when(engine, Count::kDiscarded, kPackets + 1);
  CHECK(counters[Count::kDiscarded] == kPackets + 1);
  CHECK(counters[Count::kDelivered] == 0);
  CHECK(counters[Count::kBypassed] > kPackets / 2);
  CHECK(counters[Count::kClass4] == kPackets);
  // Tagged ones go on to whatever device they are for; the rest is dropped before the stack.
  const uint64_t seen = packets_for_the_stack(wire.here);
  CHECK(seen >= counters[Count::kDiscarded] - counters[Count::kBypassed]);
  CHECK(seen < kPackets / 2);
  for (const auto& [bytes, count] : reader.seen()) CHECK_MESSAGE(bytes < 100, count);
}

}  // namespace flowsieve::test
