// Heartbeats between two nodes over a real wire.
#include <chrono>
#include <mutex>
#include <utility>
#include <vector>

#include "support/packet_builder.h"
#include "wire/channel.h"
#include "wire/namespace.h"
#include "wire/senders.h"

namespace flowsieve::test {

namespace {

constexpr Mac kGroup{0x01, 0x00, 0x5e, 0x00, 0x00, 0x64};
constexpr Mac kUnicast{0x02, 0xf5, 0x00, 0x00, 0x00, 0x64};
constexpr Mac kMacHere{0x02, 0, 0, 0, 0, 0x01};  // as Wire gives them
constexpr Mac kMacThere{0x02, 0, 0, 0, 0, 0x02};

/// A channel on an end of the wire, and what came.
class Node {
 public:
  struct Came {
    ByteVector payload;
    Mac source;
  };

  Node(const Namespace& where, const char* interface, const Mac& link_address) {
    std::string problem;
    where.run([&] {
      auto opened =
          WireChannel::open(interface, link_address, [this](Bytes payload, const Mac& from) {
            const std::lock_guard<std::mutex> lock(mutex_);
            came_.push_back({ByteVector(payload.data, payload.data + payload.size), from});
          });
      if (!opened) return void(problem = opened.error().message);
      channel_ = std::move(opened.value());
    });
    REQUIRE_MESSAGE(problem.empty(), problem);
  }

  bool send(const ByteVector& payload) const {
    return channel_->send({payload.data(), payload.size()});
  }
  std::vector<Came> came() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return came_;
  }
  ChannelCounts counts() const { return channel_->counts(); }
  void close() { channel_.reset(); }
  /// Waits for the n-th frame, two seconds at most.
  bool waits_for(size_t n) {
    for (int i = 0; i < 200 && came().size() < n; ++i) usleep(10'000);
    return came().size() >= n;
  }

 private:
  std::mutex mutex_;
  std::vector<Came> came_;
  std::unique_ptr<WireChannel> channel_;  // last: its thread uses the others
};

/// A wire whose ends let frames through: the kernel opens them some time after they came up, and
/// until then drops what is sent without a word.
struct OpenWire : Wire {
  OpenWire() {
    for (const auto& [end, name] : {std::pair(&here, "v0"), std::pair(&there, "v1")}) {
      REQUIRE(end->shell(std::string("i=0; until ip link show ") + name +
                         " | grep -q 'state UP'; do sleep 0.05; i=$((i+1)); [ $i -lt 80 ] || "
                         "exit 1; done"));
    }
  }
};

/// A frame of the channel's EtherType as somebody else might write it.
ByteVector raw(const Mac& to, uint16_t type, const ByteVector& rest) {
  ByteVector frame(to.begin(), to.end());
  frame.insert(frame.end(), {0x02, 0, 0, 0, 0, 0x02});
  frame.insert(frame.end(), {static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type)});
  frame.insert(frame.end(), rest.begin(), rest.end());
  frame.resize(std::max<size_t>(frame.size(), 60));
  return frame;
}

}  // namespace

TEST_CASE("what one node sends comes whole to the other, with its address, and not to itself") {
  FLOWSIEVE_LIVE_TEST("what one node sends comes whole to the other");
  for (const Mac& address : {kGroup, kUnicast}) {
    OpenWire wire;
    Node here(wire.here, "v0", address), there(wire.there, "v1", address);
    ByteVector longest(kChannelPayloadMax);
    for (size_t i = 0; i < longest.size(); ++i) longest[i] = static_cast<uint8_t>(i * 7);
    const std::vector<ByteVector> sent{{1}, {0, 0, 0}, ByteVector(44, 9), longest};
    for (const ByteVector& payload : sent) CHECK(here.send(payload));
    REQUIRE(there.waits_for(sent.size()));
    const auto came = there.came();
    REQUIRE(came.size() == sent.size());
    for (size_t i = 0; i < sent.size(); ++i) {
      CHECK(came[i].payload == sent[i]);
      CHECK(came[i].source == kMacHere);
    }
    CHECK(there.send({5}));
    REQUIRE(here.waits_for(1));
    CHECK(here.came().size() == 1);
    CHECK(here.came()[0].source == kMacThere);
    CHECK(there.counts().received == sent.size());
    CHECK(there.counts().foreign == 0);
  }
}

TEST_CASE("payloads that do not fit a frame are not sent") {
  FLOWSIEVE_LIVE_TEST("payloads that do not fit a frame are not sent");
  OpenWire wire;
  Node here(wire.here, "v0", kGroup);
  CHECK_FALSE(here.send({}));
  CHECK_FALSE(here.send(ByteVector(kChannelPayloadMax + 1)));
}

TEST_CASE("frames of others are dropped and counted, those of other EtherTypes not even seen") {
  FLOWSIEVE_LIVE_TEST("frames of others are dropped and counted");
  OpenWire wire;
  REQUIRE(wire.here.shell("ip link set v0 promisc on"));  // so that all of them come up to us
  Node here(wire.here, "v0", kUnicast);
  const RawSender sender(wire.there, "v1");
  const ByteVector good{0, 2, 7, 7};
  sender.send(raw(kUnicast, 0x88b5, {0xff, 0xff, 1, 2}));       // says too much
  sender.send(raw(kUnicast, 0x88b5, {0, 0, 1, 2}));             // says nothing
  sender.send(raw({0x02, 0xf5, 0, 0, 0, 0x65}, 0x88b5, good));  // not to us
  sender.send(raw(kBroadcastMac, 0x88b5, good));                // to all
  sender.send(raw(kUnicast, 0x88b6, good));                     // not ours
  sender.send(PacketBuilder::ethernet().ipv4("192.0.2.2", "192.0.2.1").udp(1, 2).build());
  sender.send(raw(kUnicast, 0x88b5, good));
  REQUIRE(here.waits_for(1));
  CHECK(here.came().size() == 1);
  CHECK(here.came()[0].payload == ByteVector{7, 7});
  CHECK(here.counts().received == 1);
  CHECK(here.counts().foreign == 4);
}

TEST_CASE("an interface that goes down refuses, and comes back with the channel intact") {
  FLOWSIEVE_LIVE_TEST("an interface that goes down refuses");
  OpenWire wire;
  Node here(wire.here, "v0", kGroup), there(wire.there, "v1", kGroup);
  REQUIRE(wire.here.shell("ip link set v0 down"));
  bool refused = false;
  for (int i = 0; i < 200 && !refused; ++i) refused = !here.send({1});
  CHECK(refused);
  REQUIRE(wire.here.shell("ip link set v0 up"));
  bool back = false;
  for (int i = 0; i < 200 && !back; ++i) {
    here.send({2});
    there.send({3});
    usleep(10'000);
    back = !here.came().empty() && !there.came().empty();
  }
  CHECK(back);
}

TEST_CASE("a channel that is closed while frames pour in calls nobody afterwards, and soon ends") {
  FLOWSIEVE_LIVE_TEST("a channel that is closed while frames pour in");
  OpenWire wire;
  Node here(wire.here, "v0", kGroup), there(wire.there, "v1", kGroup);
  std::atomic<bool> done{false};
  std::thread flood([&] {
    while (!done) there.send(ByteVector(100, 1));
  });
  CHECK(here.waits_for(1000));
  const auto begin = std::chrono::steady_clock::now();
  here.close();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));
  const size_t came = here.came().size();
  usleep(20'000);
  CHECK(here.came().size() == came);
  done = true;
  flood.join();
}

TEST_CASE("a channel says which interface is missing, or that it is none for frames") {
  FLOWSIEVE_LIVE_TEST("a channel says which interface is missing");
  Namespace empty;
  const auto error_of = [&](const char* interface) {
    return empty.run([&] {
      auto opened = WireChannel::open(interface, kGroup, [](Bytes, const Mac&) {});
      return opened ? Error{ErrorCode::kState, "opened"} : opened.error();
    });
  };
  CHECK(error_of("nowhere0").code == ErrorCode::kMissing);
  CHECK(error_of("nowhere0").message.find("nowhere0") != std::string::npos);
  CHECK(error_of("lo").code == ErrorCode::kArgument);
}

}  // namespace flowsieve::test
