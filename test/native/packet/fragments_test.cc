#include "packet/fragments.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "packet/fragment_model.h"
#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

FragmentKey key(uint32_t identification) {
  FragmentKey key;
  key.source = address_of("10.0.0.1");
  key.destination = address_of("10.0.0.2");
  key.identification = identification;
  key.protocol = 17;
  return key;
}

Datagram decided(uint8_t verdict) {
  Datagram datagram;
  datagram.flow = key_of(17, "10.0.0.1", 5000, "10.0.0.2", 53);
  datagram.verdict = verdict;
  return datagram;
}

HeldFrame frame_of(const ByteVector& bytes, uint64_t time_ns = 0) {
  HeldFrame frame;
  frame.bytes = {bytes.data(), bytes.size()};
  frame.wire_bytes = static_cast<uint32_t>(bytes.size());
  frame.time_ns = time_ns;
  return frame;
}

/// The times of the frames that release() hands over: they serve as names.
std::vector<uint64_t> released(FragmentTracker& tracker, const FragmentKey& key) {
  std::vector<uint64_t> times;
  tracker.release(key, [&times](const HeldFrame& frame) { times.push_back(frame.time_ns); });
  return times;
}

std::vector<uint64_t> expired(FragmentTracker& tracker, uint64_t now_ns) {
  std::vector<uint64_t> times;
  tracker.expire(now_ns, [&times](const HeldFrame& frame) { times.push_back(frame.time_ns); });
  return times;
}

}  // namespace

TEST_CASE("a later fragment finds what the first one decided, for remember_ns") {
  FragmentTracker tracker({.remember_ns = 30 * kSecond}, 1);
  CHECK(tracker.find(key(7), 0) == nullptr);
  tracker.remember(key(7), decided(2), kSecond);
  REQUIRE(tracker.find(key(7), kSecond) != nullptr);
  CHECK(tracker.find(key(7), kSecond)->verdict == 2);
  CHECK(tracker.find(key(7), kSecond)->flow == decided(2).flow);
  CHECK(tracker.find(key(7), 31 * kSecond - 1) != nullptr);
  CHECK(tracker.find(key(7), 31 * kSecond) == nullptr);
  CHECK(tracker.datagrams() == 1);
  CHECK(expired(tracker, 31 * kSecond).empty());
  CHECK(tracker.datagrams() == 0);
}

TEST_CASE(
    "fragments of different datagrams are kept apart by each of source, destination, "
    "identification, protocol and family") {
  FragmentTracker tracker({}, 1);
  tracker.remember(key(7), decided(1), 0);
  FragmentKey other = key(7);
  other.source[15] ^= 1;
  CHECK(tracker.find(other, 0) == nullptr);
  other = key(7);
  other.destination[15] ^= 1;
  CHECK(tracker.find(other, 0) == nullptr);
  CHECK(tracker.find(key(8), 0) == nullptr);
  other = key(7);
  other.protocol = 6;
  CHECK(tracker.find(other, 0) == nullptr);
  other = key(7);
  other.family = Family::kIpv6;
  CHECK(tracker.find(other, 0) == nullptr);
}

TEST_CASE(
    "a reused identification takes the place of the old datagram and is as young as a new one") {
  FragmentTracker tracker({.datagrams = 2, .remember_ns = 10}, 1);
  tracker.remember(key(1), decided(1), 0);
  tracker.remember(key(2), decided(2), 1);
  tracker.remember(key(1), decided(9), 2);
  CHECK(tracker.find(key(1), 11)->verdict == 9);
  CHECK(tracker.overwritten() == 0);
  tracker.remember(key(3), decided(3), 3);  // 2 is the oldest now
  CHECK(tracker.find(key(1), 3) != nullptr);
  CHECK(tracker.find(key(2), 3) == nullptr);
  CHECK(tracker.overwritten() == 1);
}

TEST_CASE(
    "a flood of first fragments overwrites the oldest first, and says how many went before their "
    "time") {
  FragmentTracker tracker({.datagrams = 100, .remember_ns = 1000}, 1);
  for (uint32_t i = 0; i < 1000; ++i) tracker.remember(key(i), decided(1), i / 10);
  CHECK(tracker.datagrams() == 100);
  CHECK(tracker.overwritten() == 900);
  CHECK(tracker.find(key(899), 100) == nullptr);
  for (uint32_t i = 900; i < 1000; ++i) CHECK(tracker.find(key(i), 100) != nullptr);
  // What has had its time is no loss.
  for (uint32_t i = 2000; i < 2100; ++i) tracker.remember(key(i), decided(1), 5000);
  CHECK(tracker.overwritten() == 900);
}

TEST_CASE(
    "held fragments are released in order of arrival, with their bytes and the caller's own "
    "state") {
  FragmentTracker tracker({}, 1);
  const ByteVector one(1400, 0x11), two(20, 0x22), other(300, 0x33);
  HeldFrame first = frame_of(one, 100);
  first.wire_bytes = 1500;
  first.link = LinkType::kLinuxCooked1;
  first.packet.ip_bytes = 1386;
  first.extra = {1, 2, 3};
  CHECK(tracker.hold(key(7), first, 0));
  CHECK(tracker.hold(key(8), frame_of(other, 200), 0));
  CHECK(tracker.hold(key(7), frame_of(two, 300), 0));
  CHECK(tracker.held_frames() == 3);

  std::vector<ByteVector> contents;
  tracker.release(key(7), [&](const HeldFrame& frame) {
    contents.emplace_back(frame.bytes.data, frame.bytes.data + frame.bytes.size);
    if (frame.time_ns != 100) return;
    CHECK(frame.bytes.data != one.data());
    CHECK(frame.wire_bytes == 1500);
    CHECK(frame.link == LinkType::kLinuxCooked1);
    CHECK(frame.packet.ip_bytes == 1386);
    CHECK(frame.extra == std::array<uint8_t, 16>{1, 2, 3});
  });
  CHECK(contents == std::vector<ByteVector>{one, two});
  CHECK(tracker.held_frames() == 1);
  CHECK(released(tracker, key(7)).empty());
  CHECK(released(tracker, key(8)) == std::vector<uint64_t>{200});
}

TEST_CASE(
    "held fragments expire after hold_ns, the oldest first, and the rest of their datagram still "
    "waits") {
  FragmentTracker tracker({.hold_ns = kSecond}, 1);
  const ByteVector bytes(100, 1);
  CHECK(tracker.hold(key(7), frame_of(bytes, 1), 0));
  CHECK(tracker.hold(key(8), frame_of(bytes, 2), 10));
  CHECK(tracker.hold(key(7), frame_of(bytes, 3), 20));
  CHECK(expired(tracker, kSecond - 1).empty());
  CHECK(expired(tracker, kSecond + 10) == std::vector<uint64_t>{1, 2});
  CHECK(released(tracker, key(8)).empty());
  CHECK(released(tracker, key(7)) == std::vector<uint64_t>{3});
  CHECK(tracker.hold(key(7), frame_of(bytes, 4), kSecond));
  CHECK(expired(tracker, UINT64_MAX) == std::vector<uint64_t>{4});
}

TEST_CASE("a datagram whose oldest held fragment expired still keeps those that come later") {
  FragmentTracker tracker({.hold_ns = 100}, 1);
  const ByteVector bytes(100, 1);
  for (uint64_t i = 0; i < 3; ++i) CHECK(tracker.hold(key(7), frame_of(bytes, i), i * 50));
  CHECK(expired(tracker, 100) == std::vector<uint64_t>{0});
  CHECK(tracker.hold(key(7), frame_of(bytes, 3), 100));
  CHECK(released(tracker, key(7)) == std::vector<uint64_t>{1, 2, 3});
}

TEST_CASE("a full hold refuses the newcomer and keeps what it has: by frames") {
  FragmentTracker tracker({.held_frames = 3}, 1);
  const ByteVector bytes(10, 1);
  for (uint64_t i = 0; i < 3; ++i)
    CHECK(tracker.hold(key(static_cast<uint32_t>(i)), frame_of(bytes, i), 0));
  CHECK_FALSE(tracker.hold(key(9), frame_of(bytes), 0));
  CHECK(released(tracker, key(0)) == std::vector<uint64_t>{0});
  CHECK(tracker.hold(key(9), frame_of(bytes), 0));
}

TEST_CASE("a full hold refuses the newcomer and keeps what it has: by bytes") {
  FragmentTracker tracker({.held_bytes = 4096}, 1);
  const ByteVector half(2048, 1), one(1, 1);
  CHECK(tracker.hold(key(1), frame_of(half, 1), 0));
  CHECK(tracker.hold(key(2), frame_of(half, 2), 0));
  CHECK_FALSE(tracker.hold(key(3), frame_of(one, 3), 0));
  CHECK(released(tracker, key(1)) == std::vector<uint64_t>{1});
  CHECK(tracker.hold(key(3), frame_of(one, 3), 0));
  CHECK_FALSE(tracker.hold(key(4), frame_of(half, 4), 0));
  CHECK(tracker.free_bytes() == 1536);
}

TEST_CASE("a frame larger than the whole hold is refused, and one that fills it is not") {
  FragmentTracker tracker({.held_bytes = 4096}, 1);
  CHECK_FALSE(tracker.hold(key(1), frame_of(ByteVector(4097, 1)), 0));
  const ByteVector exact(4096, 1);
  CHECK(tracker.hold(key(1), frame_of(exact, 5), 0));
  CHECK(released(tracker, key(1)) == std::vector<uint64_t>{5});
}

TEST_CASE("limits of zero switch remembering or holding off") {
  FragmentTracker tracker({.datagrams = 0, .held_frames = 0, .held_bytes = 0}, 1);
  tracker.remember(key(1), decided(1), 0);
  CHECK(tracker.find(key(1), 0) == nullptr);
  CHECK_FALSE(tracker.hold(key(1), frame_of(ByteVector(10, 1)), 0));
  CHECK(released(tracker, key(1)).empty());
  CHECK(expired(tracker, UINT64_MAX).empty());
}

TEST_CASE("time that goes back lets nothing expire early") {
  FragmentTracker tracker({}, 1);
  const ByteVector bytes(10, 1);
  tracker.remember(key(1), decided(1), 100 * kSecond);
  CHECK(tracker.hold(key(2), frame_of(bytes), 100 * kSecond));
  CHECK(expired(tracker, 1).empty());
  CHECK(tracker.find(key(1), 1) != nullptr);
}

TEST_CASE(
    "every datagram of real fragments follows its first fragment, in whatever order they come") {
  const auto frames = fragments_of(PacketBuilder::ethernet()
                                       .ipv6("2001:db8::1", "2001:db8::2")
                                       .udp(5000, 53)
                                       .payload(3000)
                                       .build(),
                                   1280);
  REQUIRE(frames.size() == 3);
  std::vector<size_t> order{0, 1, 2};
  do {
    FragmentTracker tracker({}, 1);
    std::vector<size_t> went;
    for (const size_t i : order) {
      const Packet packet = parse_whole(frames[i]);
      REQUIRE(packet.drop == Drop::kNone);
      if (packet.kind == Kind::kFlow) {
        tracker.remember(packet.fragment(), {packet.flow, packet.kind, 1}, 0);
        went.push_back(i);
        for (const uint64_t waited : released(tracker, packet.fragment())) went.push_back(waited);
      } else if (const Datagram* datagram = tracker.find(packet.fragment(), 0)) {
        CHECK(datagram->flow == key_of(17, "2001:db8::1", 5000, "2001:db8::2", 53));
        went.push_back(i);
      } else {
        CHECK(tracker.hold(packet.fragment(), frame_of(frames[i], i), 0));
      }
    }
    CHECK(went.size() == 3);
    CHECK(tracker.held_frames() == 0);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("the tracker does what a map and a list do, under random operations") {
  std::mt19937_64 random(20260103);
  const FragmentLimits all_limits[] = {
      {.datagrams = 4, .held_frames = 5, .held_bytes = 8192, .hold_ns = 300, .remember_ns = 900},
      {.datagrams = 1, .held_frames = 1, .held_bytes = 512, .hold_ns = 1, .remember_ns = 1},
      {.datagrams = 64,
       .held_frames = 200,
       .held_bytes = 65536,
       .hold_ns = 2000,
       .remember_ns = 5000},
      {.datagrams = 200,
       .held_frames = 64,
       .held_bytes = 40000,
       .hold_ns = 50'000,
       .remember_ns = 100'000},
      {.datagrams = 0, .held_frames = 8, .held_bytes = 0, .hold_ns = 10, .remember_ns = 10}};
  for (int round = 0; round < 200; ++round) {
    ByteVector operations(3 * 500);
    for (uint8_t& byte : operations) byte = static_cast<uint8_t>(random());
    const char* wrong = run_fragment_operations(operations.data(), operations.size(),
                                                all_limits[round % 5], random());
    CHECK_MESSAGE(wrong == nullptr, "round " << round << " differs in " << (wrong ? wrong : ""));
  }
}

}  // namespace flowsieve::test
