// Floods as streams: millions of packets with made-up sources, made on the fly, while a thousand
// connections go on. Half of those are this node's and half another's, and before the flood
// begins every bucket changes hands, so that each of their packets would be misdecided if its
// entry were lost.
#include <doctest/doctest.h>

#include <cstring>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kScale = 50;
#else
constexpr uint64_t kScale = 1;
#endif

constexpr uint32_t kCapacity = 100'000;
constexpr uint32_t kOpeningMax = kCapacity / 4;
constexpr uint16_t kConnections = 1000;
constexpr uint64_t kPacketNs = 10'000;  // 100,000 packets a second: openings time out on the way

/// Where the header fields of an untagged IPv4 frame stand.
constexpr size_t kIdentification = 18, kSource = 26, kSourcePort = 34;

/// One burst: made-up packets from templates, and in its last place a packet of a real connection.
class FloodSource final : public Source {
 public:
  FloodSource(std::vector<ByteVector> templates, std::vector<ByteVector> real, uint64_t bursts)
      : templates_(std::move(templates)), real_(std::move(real)), bursts_(bursts) {
    for (size_t i = 0; i + 1 < kBurst; ++i) made_up_[i] = templates_[i % templates_.size()];
  }

  size_t receive(std::span<Frame> burst) override {
    if (burst_ == bursts_) return 0;
    for (size_t i = 0; i + 1 < kBurst; ++i) {
      ByteVector& bytes = made_up_[i];
      const uint64_t random = next();
      // 11.0.0.0/8 and 4 more bits; the real ones are elsewhere.
      bytes[kSource] = 11;
      std::memcpy(&bytes[kSource + 1], &random, 3);
      std::memcpy(&bytes[kIdentification], reinterpret_cast<const char*>(&random) + 3, 2);
      if (!is_later_fragment(bytes)) {
        std::memcpy(&bytes[kSourcePort], reinterpret_cast<const char*>(&random) + 5, 2);
      }
      burst[i] = frame_of(bytes);
    }
    burst[kBurst - 1] = frame_of(real_[burst_ % real_.size()]);
    ++burst_;
    return kBurst;
  }

 private:
  static bool is_later_fragment(const ByteVector& bytes) {
    return ((bytes[20] & 0x1f) | bytes[21]) != 0;
  }
  static Frame frame_of(const ByteVector& bytes) {
    Frame frame;
    frame.bytes = {bytes.data(), bytes.size()};
    frame.wire_bytes = static_cast<uint32_t>(bytes.size());
    return frame;
  }
  /// splitmix64: every source comes as good as once.
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  std::vector<ByteVector> templates_, real_;
  ByteVector made_up_[kBurst];
  uint64_t bursts_, burst_ = 0, state_ = 42;
};

/// A node in the middle of its work: connection n belongs to node n % 2, and by now the buckets say
/// the opposite.
class Besieged {
 public:
  explicit Besieged(const FragmentLimits& fragments = {})
      : node_({.capacity = kCapacity, .fragments = fragments}) {
    for (uint16_t n = 0; n < kConnections; ++n) {
      const TcpClient tcp{.address = "198.51.100.7", .port = static_cast<uint16_t>(1000 + n)};
      node_.give_all_buckets_to(n % 2);
      node_.see(tcp.syn(), 1);
      node_.see(tcp.ack(), 1);
      real_.push_back(tcp.data().build());
    }
    flip(1);
    node_.worker().turn(empty_, 1);
    before_ = node_.worker().counters();
  }

  /// Sends the flood; returns how many of its packets there were. Counts each packet of a real
  /// connection that was not decided as its own node's.
  uint64_t endure(std::vector<ByteVector> templates, uint64_t packets) {
    const uint64_t bursts = packets / kScale / (kBurst - 1);
    FloodSource source(std::move(templates), real_, bursts);
    Worker& worker = node_.worker();
    uint64_t now = nanoseconds(2);
    for (uint64_t burst = 0; burst < bursts; ++burst) {
      worker.turn(source, now += kPacketNs * kBurst);
      worker.age(now, 256);
      const bool mine = burst % kConnections % 2 == 0;
      const Decision& decision = worker.traces()[kBurst - 1].decision;
      misdecided_ += decision.packet_class != (mine ? 2 : 4) || decision.slot == kNoSlot;
      opening_max_ = std::max(opening_max_, node_.sizes().opening);
      tracked_max_ = std::max(tracked_max_, node_.tracked());
    }
    CHECK(misdecided_ == 0);
    CHECK(opening_max_ <= kOpeningMax);
    CHECK(tracked_max_ <= kCapacity);
    CHECK(worker.table().check_invariants() == "");
    // Every packet has one fate and stands in one counter of it.
    const Counters& counters = worker.counters();
    CHECK(node_.decided() == counters[Count::kDelivered] + counters[Count::kDiscarded]);
    for (uint16_t n = 0; n < kConnections; ++n) {
      const Key key =
          TcpClient{.address = "198.51.100.7", .port = static_cast<uint16_t>(1000 + n)}.key();
      REQUIRE(node_.status(key) == kEstablished);
      REQUIRE(node_.owner(key) == n % 2);
    }
    return bursts * (kBurst - 1);
  }

  uint64_t gained(Count counter) const { return node_.count(counter) - before_[counter]; }
  uint64_t gained(Drop reason) const { return node_.drops(reason) - before_[reason]; }
  uint32_t opening_max() const { return opening_max_; }
  uint32_t tracked_max() const { return tracked_max_; }
  TestNode& node() { return node_; }

 private:
  void flip(NodeIndex owner) { node_.give_all_buckets_to(owner); }

  MemorySource empty_{std::vector<Frame>{}};
  TestNode node_;
  std::vector<ByteVector> real_;
  Counters before_;
  uint64_t misdecided_ = 0;
  uint32_t opening_max_ = 0, tracked_max_ = 0;
};

PacketBuilder made_up() {
  return PacketBuilder::ethernet().ipv4("11.0.0.1", kCluster4);
}

}  // namespace

TEST_CASE("a flood of five million SYNs: no packet of an open connection is misdecided") {
  Besieged besieged;
  const uint64_t packets = besieged.endure({made_up().tcp(1, 80).syn().build()}, 5'000'000);
  CHECK(besieged.opening_max() == kOpeningMax);
  CHECK(besieged.tracked_max() == kOpeningMax + kConnections);
  CHECK(besieged.gained(Count::kOpened) >= kOpeningMax);
  CHECK(besieged.gained(Count::kOpeningUntracked) > packets / 3);
  CHECK(besieged.gained(Count::kFullUntracked) == 0);
  CHECK(besieged.gained(Count::kEvicted) == 0);
  // What is not entered and not counted as untracked is a source that came again.
  const uint64_t accounted =
      besieged.gained(Count::kOpened) + besieged.gained(Count::kOpeningUntracked);
  CHECK(accounted <= packets);
  CHECK(packets - accounted < packets / 1000 + 10);
}

TEST_CASE("a flood of ACKs fills the table: full is counted, open connections are unharmed") {
  Besieged besieged;
  const uint64_t packets = besieged.endure({made_up().tcp(1, 80).ack().build()}, 1'000'000);
  if (packets > kCapacity) {
    CHECK(besieged.tracked_max() == kCapacity);
    CHECK(besieged.gained(Count::kFullUntracked) > packets - kCapacity - packets / 100);
  }
  CHECK(besieged.gained(Count::kEvicted) == 0);
  CHECK(besieged.gained(Count::kOpened) == 0);
}

TEST_CASE("a flood of UDP datagrams is bounded by the opening share") {
  Besieged besieged;
  besieged.endure({made_up().udp(1, 80).payload(10).build()}, 1'000'000);
  CHECK(besieged.node().sizes().opening <= kOpeningMax);
  CHECK(besieged.tracked_max() < kOpeningMax + kConnections + 1000);
  CHECK(besieged.gained(Count::kEvicted) == 0);
}

TEST_CASE("a flood of RSTs makes entries that give their place to each other and to no one else") {
  Besieged besieged;
  const uint64_t packets = besieged.endure({made_up().tcp(1, 80).rst().build()}, 1'000'000);
  if (packets > 2 * kCapacity) {
    CHECK(besieged.tracked_max() == kCapacity);
    CHECK(besieged.gained(Count::kEvicted) > 0);
  }
  CHECK(besieged.node().sizes().established == kConnections);
}

TEST_CASE("a flood of fragments is bounded by the hold, and who keeps his order gets through") {
  Besieged besieged;
  const ByteVector datagram = made_up().udp(1, 80).payload(1200).build();
  besieged.endure(fragments_of(datagram, 420), 1'000'000);
  TestNode& node = besieged.node();
  CHECK(node.worker().fragments_waiting() <= FragmentLimits{}.held_frames);
  CHECK(besieged.gained(Drop::kFragmentHeldFull) > 0);
  CHECK(besieged.gained(Drop::kFragmentExpired) <= besieged.gained(Count::kFragmentsHeld));
  // In the middle of it a real datagram, in order.
  node.give_all_buckets_to(0);
  const uint64_t delivered = node.delivered();
  const double now = static_cast<double>(node.worker().now()) / 10 + 0.1;
  const UdpClient udp{.address = "198.51.100.9"};
  const auto frames = fragments_of(udp.datagram(1200).build(), 420);
  for (const ByteVector& frame : frames) node.see(frame, now);
  CHECK(node.delivered() == delivered + frames.size());
}
