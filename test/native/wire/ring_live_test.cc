// The ring on a real interface: what the kernel hands over, and what happens when it cannot.
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <array>
#include <chrono>

#include "support/packet_builder.h"
#include "wire/namespace.h"
#include "wire/ring.h"
#include "wire/senders.h"

namespace flowsieve::test {

namespace {

std::vector<std::unique_ptr<RingSource>> open_rings(const Namespace& where, RingOptions options,
                                                    size_t workers = 1) {
  options.interface = "v0";
  std::string problem;
  auto rings = where.run([&] {
    auto opened = RingSource::open(options, workers);
    if (!opened) problem = opened.error().message;
    return opened ? std::move(opened.value()) : std::vector<std::unique_ptr<RingSource>>{};
  });
  REQUIRE_MESSAGE(rings.size() == workers, problem);
  return rings;
}

RingOptions for_address(const char* address) {
  RingOptions options;
  options.addresses = {address_of(address)};
  return options;
}

ByteVector bytes_of(const Frame& frame) {
  return {frame.bytes.data, frame.bytes.data + frame.bytes.size};
}

/// Receives until `enough` says so or half a second without a frame has passed. `look` sees every
/// frame while it is valid.
template <typename Look>
void receive_all(RingSource& ring, Look look) {
  std::array<Frame, kBurst> burst;
  for (;;) {
    const size_t count = ring.receive(burst);
    for (size_t i = 0; i < count; ++i) look(burst[i]);
    if (count > 0) continue;
    pollfd ready{ring.poll_fd(), POLLIN, 0};
    if (poll(&ready, 1, 300) <= 0) return;
  }
}

ByteVector udp_to_cluster(size_t payload) {
  return PacketBuilder::ethernet()
      .ipv4("192.0.2.2", "192.0.2.100")
      .udp(5000, 53)
      .payload(payload)
      .build();
}

uint64_t drops(RingSource& ring, Drop reason) {
  Counters counters;
  ring.collect_drops(counters);
  return counters[reason];
}

}  // namespace

TEST_CASE("frames come out of the ring byte for byte, in order, and nothing else does") {
  FLOWSIEVE_LIVE_TEST("frames come out of the ring byte for byte");
  Wire wire;
  auto rings = open_rings(wire.here, for_address("192.0.2.100"));
  std::vector<ByteVector> sent;
  for (const size_t payload : {0u, 1u, 18u, 100u, 1472u}) sent.push_back(udp_to_cluster(payload));
  sent.push_back(
      PacketBuilder::ethernet().ipv4("192.0.2.2", "192.0.2.100").tcp(40000, 80).syn().build());
  const RawSender sender(wire.there, "v1");
  sender.send(PacketBuilder::ethernet().ipv4("192.0.2.2", "192.0.2.1").udp(1, 2).build());
  for (const ByteVector& frame : sent) sender.send(frame);
  std::vector<ByteVector> received;
  receive_all(*rings[0], [&](const Frame& frame) {
    if (load_be16(frame.bytes.data + 12) != 0x0800) return;  // the namespaces' own discovery
    CHECK(frame.wire_bytes == frame.bytes.size);
    CHECK_FALSE(frame.partial);
    CHECK_FALSE(frame.outgoing);
    received.push_back(bytes_of(frame));
  });
  CHECK(received == sent);
}

TEST_CASE("a tag that the kernel takes out of a frame comes along beside it") {
  FLOWSIEVE_LIVE_TEST("a tag that the kernel takes out of a frame");
  Wire wire;
  auto rings = open_rings(wire.here, for_address("192.0.2.100"));
  RawSender(wire.there, "v1")
      .send(PacketBuilder::ethernet()
                .vlan(42)
                .ipv4("192.0.2.2", "192.0.2.100")
                .udp(5000, 53)
                .payload(10)
                .build());
  size_t seen = 0;
  receive_all(*rings[0], [&](const Frame& frame) {
    if (load_be16(frame.bytes.data + 12) != 0x0800) return;
    ++seen;
    CHECK(frame.vlan_tpid == 0x8100);
    CHECK((frame.vlan_tci & 0xfff) == 42);
    CHECK(bytes_of(frame) == udp_to_cluster(10));
  });
  CHECK(seen == 1);
}

TEST_CASE("frames larger than a slot are offered by their headers and completed in any selection") {
  FLOWSIEVE_LIVE_TEST("frames larger than a slot");
  Wire wire;
  REQUIRE(wire.here.shell("ip link set v0 mtu 9000"));
  REQUIRE(wire.there.shell("ip link set v1 mtu 9000"));
  auto rings = open_rings(wire.here, for_address("192.0.2.100"));
  const RawSender sender(wire.there, "v1");
  std::vector<ByteVector> sent;
  for (size_t i = 0; i < 200; ++i) {
    sent.push_back(udp_to_cluster(i % 3 == 0 ? 20 + i : 3000 + 20 * i));
    sender.send(sent.back());
  }
  size_t index = 0, completed = 0;
  receive_all(*rings[0], [&](Frame& frame) {
    if (load_be16(frame.bytes.data + 12) != 0x0800) return;
    REQUIRE(index < sent.size());
    const ByteVector& expected = sent[index++];
    CHECK(frame.wire_bytes == expected.size());
    CHECK(frame.partial == (expected.size() > 2000));
    CHECK(bytes_of(frame) ==
          ByteVector(expected.begin(), expected.begin() + ptrdiff_t(frame.bytes.size)));
    if (index % 5 == 0 || index % 7 == 0) return;  // another node's
    CHECK(rings[0]->complete(frame));
    CHECK_FALSE(frame.partial);
    CHECK(bytes_of(frame) == expected);
    ++completed;
  });
  CHECK(index == sent.size());
  CHECK(completed == 137);  // 200 less the multiples of 5 or 7 up to 200: 40 + 28 - 5
  CHECK(drops(*rings[0], Drop::kRingTruncated) == 0);
}

TEST_CASE("ring and queue keep step when the queue was full and after an entry was stolen") {
  FLOWSIEVE_LIVE_TEST("ring and queue keep step");
  Wire wire;
  REQUIRE(wire.here.shell("ip link set v0 mtu 9000"));
  REQUIRE(wire.there.shell("ip link set v1 mtu 9000"));
  RingOptions options = for_address("192.0.2.100");
  options.queue_bytes = 128 << 10;
  auto rings = open_rings(wire.here, options);
  const RawSender sender(wire.there, "v1");
  size_t expected_truncated = 0;
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    std::vector<ByteVector> sent;
    for (size_t i = 0; i < 60; ++i) sent.push_back(udp_to_cluster(8000 + i));
    for (const ByteVector& frame : sent) sender.send(frame);
    if (round == 2) {
      uint8_t stolen[10];
      CHECK(recv(rings[0]->poll_fd(), stolen, sizeof stolen, 0) > 0);
    }
    size_t index = 0, whole = 0;
    receive_all(*rings[0], [&](Frame& frame) {
      if (load_be16(frame.bytes.data + 12) != 0x0800) return;
      const ByteVector& expected = sent[index++];
      if (!rings[0]->complete(frame)) return;
      ++whole;
      CHECK(bytes_of(frame) == expected);
    });
    CHECK(index == 60);
    CHECK(whole < 60);
    if (round < 2) CHECK(whole >= 5);
    expected_truncated = 60 - whole;
    CHECK(drops(*rings[0], Drop::kRingTruncated) == expected_truncated);
  }
  // In step again: a frame that comes now is read whole.
  sender.send(udp_to_cluster(7000));
  size_t whole = 0;
  receive_all(*rings[0], [&](Frame& frame) {
    if (frame.wire_bytes < 7000) return;
    CHECK(rings[0]->complete(frame));
    CHECK(bytes_of(frame) == udp_to_cluster(7000));
    ++whole;
  });
  CHECK(whole == 1);
}

TEST_CASE("what finds no room in the ring is counted, and the ring goes on") {
  FLOWSIEVE_LIVE_TEST("what finds no room in the ring is counted");
  Wire wire;
  RingOptions options = for_address("192.0.2.100");
  options.slots = 64;
  auto rings = open_rings(wire.here, options);
  const RawSender sender(wire.there, "v1");
  const auto count_frames = [&] {
    size_t frames = 0;
    receive_all(*rings[0], [&](const Frame& frame) {
      if (load_be16(frame.bytes.data + 12) == 0x0800) ++frames;
    });
    return frames;
  };
  for (int i = 0; i < 500; ++i) sender.send(udp_to_cluster(10));
  const size_t received = count_frames();
  CHECK(received <= 64);
  CHECK(received >= 60);  // a few slots may hold the namespaces' own discovery
  CHECK(drops(*rings[0], Drop::kRingFull) >= 500 - received);
  CHECK(drops(*rings[0], Drop::kRingFull) == 0);
  for (int i = 0; i < 50; ++i) sender.send(udp_to_cluster(10));
  CHECK(count_frames() == 50);
}

TEST_CASE("an interface that goes down and up again costs no waking for ever and no frames after") {
  FLOWSIEVE_LIVE_TEST("an interface that goes down and up again");
  Wire wire;
  auto rings = open_rings(wire.here, for_address("192.0.2.100"));
  REQUIRE(wire.here.shell("ip link set v0 down && ip link set v0 up"));
  std::array<Frame, kBurst> burst;
  int woken = 0;
  pollfd ready{rings[0]->poll_fd(), POLLIN, 0};
  while (woken < 10 && poll(&ready, 1, 50) > 0) {
    rings[0]->receive(burst);
    ++woken;
  }
  CHECK(woken < 10);
  RawSender(wire.there, "v1").send(udp_to_cluster(10));
  size_t frames = 0;
  receive_all(*rings[0], [&](const Frame& frame) {
    if (load_be16(frame.bytes.data + 12) == 0x0800) ++frames;
  });
  CHECK(frames == 1);
}

TEST_CASE("a ring says what it misses") {
  FLOWSIEVE_LIVE_TEST("a ring says what it misses");
  Wire wire;
  wire.here.run([&] {});
  RingOptions options;
  options.interface = "nosuch0";
  const auto missing = wire.here.run([&] { return RingSource::open(options, 1).error().code; });
  CHECK(missing == ErrorCode::kMissing);
  options.interface = "lo";
  const auto loopback = wire.here.run([&] { return RingSource::open(options, 1).error().code; });
  CHECK(loopback == ErrorCode::kArgument);
  options.interface = "v0";
  options.slots = 100;
  const auto odd = wire.here.run([&] { return RingSource::open(options, 1).error().code; });
  CHECK(odd == ErrorCode::kArgument);
}

}  // namespace flowsieve::test
