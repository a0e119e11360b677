// A worker's turn: bursts, delivery, partial frames, samples, criteria replaced between turns.
#include "worker/worker.h"

#include <doctest/doctest.h>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

/// Gives frames of which only the headers have come. complete() finds the rest of all but the
/// `lost` ones, and remembers what it was asked for.
class PartialSource final : public Source {
 public:
  PartialSource(std::vector<ByteVector> frames, size_t headers, std::vector<size_t> lost)
      : frames_(std::move(frames)), headers_(headers), lost_(std::move(lost)) {}

  size_t receive(std::span<Frame> burst) override {
    if (given_) return 0;
    given_ = true;
    for (size_t i = 0; i < frames_.size(); ++i) {
      burst[i] = Frame{};
      burst[i].bytes = {frames_[i].data(), std::min(headers_, frames_[i].size())};
      burst[i].wire_bytes = static_cast<uint32_t>(frames_[i].size());
      burst[i].partial = true;
      burst[i].handle = static_cast<uint16_t>(i);
    }
    return frames_.size();
  }
  bool complete(Frame& frame) override {
    asked.push_back(frame.handle);
    for (const size_t lost : lost_) {
      if (lost != frame.handle) continue;
      ++truncated_;
      return false;
    }
    frame.bytes = {frames_[frame.handle].data(), frames_[frame.handle].size()};
    frame.partial = false;
    return true;
  }
  void collect_drops(Counters& counters) override {
    counters.drop(Drop::kRingTruncated, std::exchange(truncated_, 0));
  }

  std::vector<size_t> asked;

 private:
  std::vector<ByteVector> frames_;
  size_t headers_;
  std::vector<size_t> lost_;
  uint64_t truncated_ = 0;
  bool given_ = false;
};

}  // namespace

TEST_CASE("burst: SYN and ACK of one connection in one burst find each other") {
  TestNode node;
  const TcpClient tcp;
  const auto traces = node.see_burst({tcp.syn().build(), tcp.ack().build()}, 1);
  CHECK(traces[0].decision.packet_class == 1);
  CHECK(traces[1].decision.packet_class == 2);
  CHECK(node.status(tcp.key()) == kEstablished);
  CHECK(node.delivered() == 2);
}

TEST_CASE("burst: two SYNs of one connection in one burst make one entry") {
  TestNode node;
  const TcpClient tcp;
  const auto traces = node.see_burst({tcp.syn().build(), tcp.syn().build()}, 1);
  CHECK(traces[0].decision.packet_class == 1);
  CHECK(traces[1].decision.packet_class == 2);
  CHECK(node.tracked() == 1);
  CHECK(node.worker().table().check_invariants() == "");
}

TEST_CASE("burst: a whole life in one burst, twice, with a reopening between") {
  TestNode node;
  const TcpClient tcp;
  std::vector<ByteVector> frames;
  for (int life = 0; life < 2; ++life) {
    for (const auto& packet : {tcp.syn(), tcp.ack(), tcp.data(), tcp.fin()}) {
      frames.push_back(packet.build());
    }
  }
  node.see_burst(frames, 1);
  CHECK(node.in_class(1) == 2);
  CHECK(node.in_class(2) == 6);
  CHECK(node.count(Count::kReopened) == 1);
  CHECK(node.tracked() == 1);
}

TEST_CASE("burst: delivery keeps the order of the burst") {
  TestNode node;
  std::vector<ByteVector> frames;
  for (uint16_t port = 1; port <= 32; ++port)
    frames.push_back(TcpClient{.port = port}.syn().build());
  node.see_burst(frames, 1);
  REQUIRE(node.delivered() == 32);
  for (size_t i = 0; i < frames.size(); ++i) {
    CHECK(node.delivery().kept()[i].bytes == ByteVector(frames[i].begin() + 14, frames[i].end()));
  }
}

TEST_CASE("burst: more frames than a burst holds take several turns") {
  TestNode node;
  FrameStore store;
  for (uint16_t port = 1; port <= 70; ++port) {
    const ByteVector frame = TcpClient{.port = port}.syn().build();
    store.add({frame.data(), frame.size()});
  }
  MemorySource source(store);
  CHECK(node.worker().turn(source, 1) == 32);
  CHECK(node.worker().turn(source, 1) == 32);
  CHECK(node.worker().turn(source, 1) == 6);
  CHECK(node.worker().turn(source, 1) == 0);
  CHECK(source.exhausted());
  CHECK(node.worker().traces().empty());
  CHECK(node.count(Count::kPackets) == 70);
  CHECK(node.tracked() == 70);
}

TEST_CASE("an empty turn does nothing") {
  TestNode node;
  MemorySource source(std::vector<Frame>{});
  CHECK(node.turn(source, 1).empty());
  CHECK(node.count(Count::kPackets) == 0);
}

TEST_CASE("a delivery that refuses is counted, and the connection is open all the same") {
  TestNode node;
  const TcpClient tcp;
  bool full = true;
  node.delivery().refuse([&](const Accepted&) { return full; });
  node.see(tcp.syn(), 1);
  node.see(tcp.syn(), 2);
  CHECK(node.drops(Drop::kDeliverFailed) == 2);
  CHECK(node.delivered() == 0);
  CHECK(node.in_class(1) == 1);
  CHECK(node.in_class(2) == 1);
  CHECK(node.status(tcp.key()) == kOpening);
  full = false;
  node.see(tcp.ack(), 3);
  CHECK(node.delivered() == 1);
  CHECK(node.drops(Drop::kDeliverFailed) == 2);
}

TEST_CASE("partial frames: only what is accepted is completed, in the order of the burst") {
  TestNode node;
  const UdpClient mine, others{.port = 50000};
  node.give_all_buckets_to(1);
  node.see(others.datagram(), 1);
  node.see(others.datagram(), 1);
  node.give_all_buckets_to(0);
  PartialSource source({others.datagram(3000).build(), mine.datagram(3000).build(),
                        others.datagram(3000).build(), mine.datagram(2000).build()},
                       60, {});
  node.turn(source, 1);
  CHECK(source.asked == std::vector<size_t>{1, 3});
  REQUIRE(node.delivered() == 2);
  CHECK(node.delivery().kept()[0].bytes.size() == 3028);
  CHECK(node.delivery().kept()[1].bytes.size() == 2028);
}

TEST_CASE("partial frames: one whose rest is not to be had is not delivered, and is counted") {
  TestNode node;
  const UdpClient udp;
  PartialSource source({udp.datagram(3000).build(), udp.datagram(2000).build()}, 60, {0});
  node.turn(source, 1);
  node.worker().collect_drops(source);
  CHECK(node.drops(Drop::kRingTruncated) == 1);
  CHECK(node.delivered() == 1);
  CHECK(node.delivery().kept()[0].bytes.size() == 2028);
  CHECK(node.in_class(1) == 1);
  CHECK(node.in_class(2) == 1);
}

TEST_CASE("partial frames: a later fragment that has to wait is completed before it is kept") {
  TestNode node;
  const auto frames = fragments_of(UdpClient{}.datagram(2500).build(), 1500);
  REQUIRE(frames.size() == 2);
  PartialSource found({frames[1]}, 60, {});
  node.turn(found, 1);
  CHECK(found.asked.size() == 1);
  node.see(frames[0], 1);
  REQUIRE(node.delivered() == 2);
  size_t bytes = 0;
  for (const auto& packet : node.delivery().kept()) bytes += packet.bytes.size();
  CHECK(bytes == frames[0].size() + frames[1].size() - 2 * 14);

  TestNode other;
  PartialSource lost({frames[1]}, 60, {0});
  other.turn(lost, 1);
  CHECK(other.worker().fragments_waiting() == 0);
  CHECK(other.count(Count::kFragmentsHeld) == 0);
}

TEST_CASE("samples: one of so many entered connections is kept, at most so many, then they go") {
  TestNode node({.sample_every = 10});
  for (uint16_t port = 1; port <= 35; ++port) node.see(TcpClient{.port = port}.syn(), 1);
  auto samples = node.worker().take_samples();
  REQUIRE(samples.size() == 3);
  CHECK(samples[0].key == TcpClient{.port = 10}.key());
  CHECK(samples[2].key == TcpClient{.port = 30}.key());
  CHECK(node.worker().take_samples().empty());

  TestNode every({.sample_every = 1});
  for (uint16_t port = 1; port <= 200; ++port) every.see(TcpClient{.port = port}.syn(), 1);
  CHECK(every.worker().take_samples().size() == Worker::kSamplesMax);
  TestNode none;
  none.see(TcpClient{}.syn(), 1);
  CHECK(none.worker().take_samples().empty());
}

TEST_CASE("criteria replaced between turns hold from the next turn on, and the table stays") {
  TestNode node;
  const TcpClient before, after{.port = 41000};
  node.see(before.syn(), 1);
  Criteria next = node.worker().criteria();
  DistributionOptions options = test_distribution();
  options.hash = HashFunction::kCrc32c;
  options.buckets = 64;
  next.distribution = Distribution(options);
  next.allocation.owner.assign(64, 2);
  next.allocation.epoch = 9;
  node.worker().replace_criteria(next);
  CHECK(node.see(before.ack(), 1).decision.packet_class == 2);
  const Trace trace = node.see(after.syn(), 1);
  CHECK(trace.decision.packet_class == 3);
  CHECK(trace.decision.owner == 2);
  CHECK(trace.decision.bucket == next.distribution.bucket(header_fields(after.key())));
  CHECK(node.record(after.key())->epoch == 9);
  CHECK(node.record(after.key())->bucket == trace.decision.bucket);
}

TEST_CASE("aging with a small budget is worked off in several calls and loses nothing") {
  TestNode node;
  for (uint16_t port = 1; port <= 100; ++port) node.see(TcpClient{.port = port}.syn(), 1);
  for (int i = 0; i < 100; ++i) node.worker().age(nanoseconds(40), 3);
  CHECK(node.tracked() == 0);
  CHECK(node.count(Count::kExpired) == 100);
}

TEST_CASE("super-packets are counted, their offload state reaches the delivery") {
  TestNode node;
  const ByteVector bytes = TcpClient{}.data().payload(4000).build();
  Frame frame;
  frame.bytes = {bytes.data(), bytes.size()};
  frame.wire_bytes = static_cast<uint32_t>(bytes.size());
  frame.offload = {.flags = 1,
                   .gso_type = 1,
                   .hdr_len = 54,
                   .gso_size = 1448,
                   .csum_start = 34,
                   .csum_offset = 16};
  MemorySource source({frame});
  node.turn(source, 1);
  CHECK(node.count(Count::kSuperPackets) == 1);
  REQUIRE(node.delivered() == 1);
  CHECK(node.delivery().kept()[0].offload.gso_size == 1448);
  CHECK(node.delivery().kept()[0].offload.csum_start == 34);
}

TEST_CASE("both directions from the wire: a reply follows the connection and is not delivered") {
  TestNode node({.both_directions = true});
  const TcpClient tcp;
  node.give_all_buckets_to(1);
  node.see(tcp.syn(), 1);
  node.see(tcp.ack(), 1);
  CHECK(node.see(tcp.from_server().rst(), 2).decision.verdict == Verdict::kPass);
  CHECK(node.status(tcp.key()) == kClosing);  // seen by all, so another's too
  CHECK(node.delivered() == 0);
}
