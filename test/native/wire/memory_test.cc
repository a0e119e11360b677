#include "wire/memory.h"

#include <doctest/doctest.h>

#include <string>

using namespace flowsieve;

namespace {

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string text_of(const Frame& frame) {
  return {reinterpret_cast<const char*>(frame.bytes.data), frame.bytes.size};
}

// "text@time" of everything that the source gives, in bursts of `burst`.
std::vector<std::string> read_all(MemorySource& source, size_t burst) {
  std::vector<std::string> seen;
  std::vector<Frame> frames(burst);
  while (const size_t count = source.receive(frames)) {
    for (size_t i = 0; i < count; ++i) {
      seen.push_back(text_of(frames[i]) + "@" + std::to_string(frames[i].time_ns));
    }
  }
  CHECK(source.exhausted());
  return seen;
}

FrameStore three_frames() {
  FrameStore store;
  for (const std::string text : {"a", "bb", "ccc"}) store.add(bytes_of(text), text.size());
  return store;
}

}  // namespace

TEST_CASE("frames from memory come in order, once, whatever the burst") {
  const FrameStore store = three_frames();
  for (const size_t burst : {1, 2, 3, 32}) {
    MemorySource source(store);
    CHECK(read_all(source, burst) == std::vector<std::string>{"a@1", "bb@2", "ccc@3"});
  }
}

TEST_CASE("rounds repeat the frames, each one later") {
  const FrameStore store = three_frames();
  for (const size_t burst : {1, 2, 4, 32}) {
    MemorySource source(store, 3, 100);
    CHECK(read_all(source, burst) == std::vector<std::string>{"a@1", "bb@2", "ccc@3", "a@101",
                                                              "bb@102", "ccc@103", "a@201",
                                                              "bb@202", "ccc@203"});
  }
}

TEST_CASE("no frames and no rounds are an end at once") {
  MemorySource nothing(std::vector<Frame>{});
  CHECK(nothing.exhausted());
  MemorySource no_rounds(three_frames().frames(), 0);
  CHECK(no_rounds.exhausted());
}

TEST_CASE("generated frames come until the callback has none") {
  const std::string packet = "made";
  int left = 70;
  MemorySource source([&](std::span<Frame> burst) {
    size_t count = 0;
    for (; count < burst.size() && left > 0; ++count, --left) {
      burst[count] = Frame{};
      burst[count].bytes = bytes_of(packet);
      burst[count].time_ns = static_cast<uint64_t>(left);
    }
    return count;
  });
  CHECK_FALSE(source.exhausted());
  CHECK(read_all(source, kBurst).size() == 70);
}

TEST_CASE("a stored frame was on the wire at least as long as it is, and keeps link and length") {
  FrameStore store;
  store.add(bytes_of("abc"), 5, LinkType::kRawIp, 1500);
  store.add(bytes_of("abc"), 5, LinkType::kLinuxCooked2, 1);
  const std::vector<Frame> frames = store.frames();
  CHECK(frames[0].wire_bytes == 1500);
  CHECK(frames[0].link == LinkType::kRawIp);
  CHECK(frames[1].wire_bytes == 3);
  CHECK(frames[1].link == LinkType::kLinuxCooked2);
}

TEST_CASE("a delivery keeps packets from the IP header on, without link header and padding") {
  FrameStore store;
  store.add(bytes_of("link....IPIPIPpadding"), 9);
  const Frame frame = store.frames()[0];
  const Accepted accepted[] = {{&frame, 8, 6}, {&frame, 8, 600}};
  MemoryDelivery delivery;
  CHECK(delivery.deliver(accepted) == 2);
  REQUIRE(delivery.kept().size() == 2);
  const auto& first = delivery.kept()[0];
  CHECK(std::string(first.bytes.begin(), first.bytes.end()) == "IPIPIP");
  CHECK(first.time_ns == 9);
  // What the snap length cut off cannot be kept, but it counts.
  CHECK(delivery.kept()[1].bytes.size() == 13);
  CHECK(delivery.packets() == 2);
  CHECK(delivery.bytes() == 606);
  delivery.clear();
  CHECK(delivery.packets() == 0);
  CHECK(delivery.kept().empty());
}

TEST_CASE("a delivery that only counts keeps nothing") {
  const FrameStore store = three_frames();
  const std::vector<Frame> frames = store.frames();
  const Accepted accepted[] = {{&frames[0], 0, 1}, {&frames[1], 0, 2}};
  MemoryDelivery delivery(MemoryDelivery::Keep::kCountsOnly);
  CHECK(delivery.deliver(accepted) == 2);
  CHECK(delivery.bytes() == 3);
  CHECK(delivery.kept().empty());
}

TEST_CASE("a delivery refuses what it is told to, one by one, and takes the rest") {
  const FrameStore store = three_frames();
  const std::vector<Frame> frames = store.frames();
  const Accepted accepted[] = {{&frames[0], 0, 1}, {&frames[1], 0, 2}, {&frames[2], 0, 3}};
  MemoryDelivery delivery;
  delivery.refuse([](const Accepted& packet) { return packet.ip_bytes == 2; });
  CHECK(delivery.deliver(accepted) == 2);
  CHECK(delivery.refused() == 1);
  CHECK(delivery.kept()[1].bytes.size() == 3);
  delivery.refuse({});
  CHECK(delivery.deliver(accepted) == 3);
  CHECK(delivery.refused() == 1);
  CHECK(delivery.packets() == 5);
}
