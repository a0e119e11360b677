// Two real interfaces as one source: the order of what comes by both, and large frames of both.
#include "wire/joined.h"

#include <poll.h>

#include <array>
#include <string>

#include "support/packet_builder.h"
#include "wire/namespace.h"
#include "wire/senders.h"

namespace flowsieve::test {

namespace {

constexpr Mac kGateway{2, 0, 0x5e, 0, 0, 0x64};

/// v0 is joined to v1, and w0 to w1.
struct TwoWires {
  Wire first;

  TwoWires() {
    REQUIRE(first.here.shell("ip link add w0 mtu 9000 type veth peer name w1 mtu 9000 netns " +
                             first.there.path() + " && ip link set w0 up"));
    REQUIRE(first.there.shell("ip link set w1 up"));
  }
};

std::unique_ptr<JoinedSource> open_joined(const Namespace& where) {
  std::string problem;
  std::unique_ptr<JoinedSource> joined;
  where.run([&] {
    std::vector<std::unique_ptr<RingSource>> rings;
    for (const char* interface : {"v0", "w0"}) {
      RingOptions options;
      options.interface = interface;
      options.cluster_mac = kGateway;
      options.ingress = static_cast<uint8_t>(rings.size());
      auto opened = RingSource::open(options, 1);
      if (!opened) return void(problem = opened.error().message);
      rings.push_back(std::move(opened.value()[0]));
    }
    auto opened = JoinedSource::open(std::move(rings));
    if (!opened) return void(problem = opened.error().message);
    joined = std::move(opened.value());
  });
  REQUIRE_MESSAGE(joined, problem);
  return joined;
}

ByteVector numbered(uint16_t number, size_t payload = 10, const Mac& to = kGateway) {
  return PacketBuilder::ethernet()
      .patch(0, ByteVector(to.begin(), to.end()))
      .ipv4("198.51.100.7", "203.0.113.9")
      .udp(number, 53)
      .payload(payload)
      .build();
}

uint16_t number_of(const Frame& frame) {
  return load_be16(frame.bytes.data + 34);
}

}  // namespace

TEST_CASE("live: frames of two interfaces come in the order of their arrival") {
  FLOWSIEVE_LIVE_TEST("joined rings");
  const TwoWires wires;
  const auto joined = open_joined(wires.first.here);
  const RawSender v(wires.first.there, "v1"), w(wires.first.there, "w1");
  constexpr uint16_t kFrames = 1000;
  // Three on one wire and then four on the other, so that neither ring is emptied in step.
  for (uint16_t i = 1; i <= kFrames; ++i) (i % 7 < 3 ? v : w).send(numbered(i));
  v.send(numbered(7, 10, {2, 0, 0, 0, 0, 9}));  // not the cluster's
  std::array<Frame, kBurst> burst;
  uint16_t expected = 1;
  for (size_t count = joined->receive(burst); count > 0; count = joined->receive(burst)) {
    for (size_t i = 0; i < count; ++i, ++expected) {
      REQUIRE(number_of(burst[i]) == expected);
      CHECK(burst[i].ingress == (expected % 7 < 3 ? 0 : 1));
    }
  }
  CHECK(expected == kFrames + 1);
}

TEST_CASE("live: whoever waits for joined rings is woken by each of them") {
  FLOWSIEVE_LIVE_TEST("joined rings");
  const TwoWires wires;
  const auto joined = open_joined(wires.first.here);
  std::array<Frame, kBurst> burst;
  for (const char* wire : {"v1", "w1"}) {
    pollfd ready{joined->poll_fd(), POLLIN, 0};
    CHECK(joined->receive(burst) == 0);
    CHECK(poll(&ready, 1, 0) == 0);
    RawSender(wires.first.there, wire).send(numbered(5));
    CHECK(poll(&ready, 1, 1000) == 1);
    CHECK(joined->receive(burst) == 1);
  }
}

TEST_CASE("live: frames larger than a slot are completed from the ring that they came by") {
  FLOWSIEVE_LIVE_TEST("joined rings");
  const TwoWires wires;
  REQUIRE(wires.first.here.shell("ip link set v0 mtu 9000"));
  REQUIRE(wires.first.there.shell("ip link set v1 mtu 9000"));
  const auto joined = open_joined(wires.first.here);
  const RawSender v(wires.first.there, "v1"), w(wires.first.there, "w1");
  for (uint16_t i = 1; i <= 20; ++i) (i % 2 == 0 ? v : w).send(numbered(i, 4000 + i));
  std::array<Frame, kBurst> burst;
  const size_t count = joined->receive(burst);
  REQUIRE(count == 20);
  for (size_t i = 0; i < count; ++i) {
    CHECK(burst[i].partial);
    if (i % 3 == 0) continue;  // nobody wants it
    REQUIRE(joined->complete(burst[i]));
    const ByteVector sent = numbered(static_cast<uint16_t>(i + 1), 4001 + i);
    CHECK(ByteVector(burst[i].bytes.data, burst[i].bytes.data + burst[i].bytes.size) == sent);
  }
}

}  // namespace flowsieve::test
