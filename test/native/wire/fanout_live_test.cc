// The kernel's own steering, through real sockets.
#include "wire/fanout.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "support/packet_builder.h"
#include "wire/namespace.h"
#include "wire/ring.h"
#include "wire/senders.h"

namespace flowsieve::test {

namespace {

constexpr size_t kWorkers = 3;
constexpr const char* kServer = "192.0.2.100";
constexpr const char* kServer6 = "2001:db8::100";

struct Group {
  Wire wire;
  RawSender sender{wire.there, "v1"};
  std::vector<std::unique_ptr<RingSource>> rings;

  Group() {
    rings = wire.here.run([] {
      RingOptions options;
      options.interface = "v0";
      options.slots = 1024;
      auto opened = RingSource::open(options, kWorkers);
      return opened ? std::move(opened.value()) : std::vector<std::unique_ptr<RingSource>>{};
    });
    REQUIRE(rings.size() == kWorkers);
  }

  /// Sends `frames`; which workers got them, and how many each, the namespaces' own
  /// discovery left out.
  std::map<size_t, size_t> steer(const std::vector<ByteVector>& frames) {
    for (const ByteVector& frame : frames) sender.send(frame);
    usleep(20'000);
    std::map<size_t, size_t> counts;
    std::array<Frame, kBurst> burst;
    for (size_t worker = 0; worker < kWorkers; ++worker) {
      while (const size_t count = rings[worker]->receive(burst)) {
        for (size_t i = 0; i < count; ++i) {
          const ByteVector got(burst[i].bytes.data, burst[i].bytes.data + burst[i].bytes.size);
          if (std::find(frames.begin(), frames.end(), got) != frames.end()) ++counts[worker];
        }
      }
    }
    return counts;
  }
};

size_t worker_of(const ByteVector& frame) {
  return fanout_hash(Bytes{frame.data(), frame.size()}.from(14)) % kWorkers;
}

/// All that belongs to a conversation of `client` with the cluster, as it may come from the wire.
std::vector<ByteVector> conversation4(const std::string& client) {
  const ByteVector sent =
      PacketBuilder::raw().ipv4(kServer, client).tcp(80, 40000).ack().payload(64).build();
  std::vector<ByteVector> frames = fragments_of(
      PacketBuilder::ethernet().ipv4(client, kServer).udp(5000, 53).payload(4000).build(), 1500);
  frames.push_back(PacketBuilder::ethernet().ipv4(client, kServer).tcp(40000, 80).syn().build());
  frames.push_back(PacketBuilder::ethernet().ipv4(kServer, client).tcp(80, 40000).ack().build());
  frames.push_back(
      PacketBuilder::ethernet().ipv4("203.0.113.1", kServer).icmp_error(3, 4, sent).build());
  return frames;
}

std::vector<ByteVector> conversation6(const std::string& client) {
  const ByteVector sent =
      PacketBuilder::raw().ipv6(kServer6, client).tcp(80, 40000).ack().payload(64).build();
  std::vector<ByteVector> frames = fragments_of(
      PacketBuilder::ethernet().ipv6(client, kServer6).udp(5000, 53).payload(4000).build(), 1500);
  frames.push_back(PacketBuilder::ethernet().ipv6(client, kServer6).tcp(40000, 80).syn().build());
  frames.push_back(PacketBuilder::ethernet().ipv6(kServer6, client).tcp(80, 40000).ack().build());
  frames.push_back(
      PacketBuilder::ethernet().ipv6("2001:db8:ffff::1", kServer6).icmp_error(2, 0, sent).build());
  frames.push_back(PacketBuilder::ethernet()
                       .ipv6("2001:db8:ffff::1", kServer6)
                       .hop_by_hop()
                       .destination_options(16)
                       .icmp_error(2, 0, sent)
                       .build());
  return frames;
}

}  // namespace

TEST_CASE(
    "fragments, both directions and errors of a connection come to the one worker the twin names") {
  FLOWSIEVE_LIVE_TEST("fragments, both directions and errors of a connection");
  Group group;
  std::set<size_t> used;
  for (int host = 1; host <= 12; ++host) {
    CAPTURE(host);
    for (const auto& frames : {conversation4("198.51.100." + std::to_string(host)),
                               conversation6("2001:db8:1::" + std::to_string(host))}) {
      const std::map<size_t, size_t> counts = group.steer(frames);
      REQUIRE(counts.size() == 1);
      CHECK(counts.begin()->second == frames.size());
      CHECK(counts.begin()->first == worker_of(frames.front()));
      used.insert(counts.begin()->first);
    }
  }
  CHECK(used.size() == kWorkers);
}

TEST_CASE("what is not IP comes to worker 0") {
  FLOWSIEVE_LIVE_TEST("what is not IP comes to worker 0");
  Group group;
  const ByteVector other = PacketBuilder::ethernet().ethertype(0x0806).payload(46).build();
  CHECK(group.steer({other, other}) == std::map<size_t, size_t>{{0, 2}});
}

TEST_CASE("a group of rings sees every packet once and nothing that the node sends") {
  FLOWSIEVE_LIVE_TEST("a group of rings sees every packet once");
  Group group;
  std::vector<ByteVector> frames;
  for (int host = 1; host <= 200; ++host) {
    frames.push_back(PacketBuilder::ethernet()
                         .ipv4("198.51.100." + std::to_string(host), kServer)
                         .udp(5000, 53)
                         .payload(100)
                         .build());
  }
  size_t total = 0;
  for (const auto& [worker, count] : group.steer(frames)) total += count;
  CHECK(total == frames.size());
  const RawSender own(group.wire.here, "v0");
  const ByteVector reply =
      PacketBuilder::ethernet().ipv4(kServer, "198.51.100.1").udp(53, 5000).payload(10).build();
  own.send(reply);
  usleep(20'000);
  std::array<Frame, kBurst> burst;
  for (const auto& ring : group.rings) {
    while (const size_t count = ring->receive(burst)) {
      for (size_t i = 0; i < count; ++i) CHECK(burst[i].bytes.size != reply.size());
    }
  }
}

}  // namespace flowsieve::test
