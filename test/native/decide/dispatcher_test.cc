// The decision of a dispatcher (figure 6): the packets of all nodes are its to forward.
#include <doctest/doctest.h>

#include "support/test_node.h"

namespace flowsieve::test {
namespace {

/// A worker of a dispatcher over memory; nodes are 0 … 2, the dispatcher itself is 9.
class Dispatcher {
 public:
  explicit Dispatcher(Tracking tracking = Tracking::kObserve)
      : worker_(options(), criteria(all_of(1), tracking), delivery_, nullptr, nullptr, 0) {}

  Trace see(const ByteVector& frame, double at) {
    FrameStore store;
    store.add({frame.data(), frame.size()});
    MemorySource source(store);
    worker_.turn(source, nanoseconds(at));
    return worker_.traces()[0];
  }
  Trace see(const PacketBuilder& frame, double at) { return see(frame.build(), at); }

  void allocate(std::vector<NodeIndex> owners, std::vector<uint8_t> down = {},
                std::vector<Candidate> candidates = {}) {
    Criteria next = criteria(std::move(owners), Tracking::kObserve);
    next.allocation.epoch = ++epoch_;
    next.dispatching.down = std::move(down);
    next.dispatching.candidates = std::move(candidates);
    worker_.replace_criteria(std::move(next));
  }
  void adopt(NodeIndex dead) {
    uint64_t cursor = 0;
    while (cursor != Worker::kListEnd) worker_.adopt(std::array{dead}, cursor, 1000);
  }
  uint32_t connections_of(NodeIndex node) { return worker_.table().connections_of(node); }
  Worker& worker() { return worker_; }

 private:
  static WorkerOptions options() {
    WorkerOptions options;
    options.table.capacity = 256;
    options.table.opening_share = 1;
    options.table.self = 9;
    options.table.by_owner = true;
    options.scope = Scope::of_addresses({address_of(kCluster4), address_of(kCluster6)});
    return options;
  }
  static Criteria criteria(std::vector<NodeIndex> owners, Tracking tracking) {
    Criteria criteria{.distribution = Distribution(test_distribution()),
                      .allocation = {.epoch = 1, .self = 9, .owner = std::move(owners)},
                      .tracking = tracking};
    criteria.dispatching.on = true;
    return criteria;
  }

  uint32_t epoch_ = 1;
  MemoryDelivery delivery_;
  Worker worker_;
};

void check(const Trace& trace, int packet_class, Verdict verdict, NodeIndex owner) {
  CHECK(int{trace.decision.packet_class} == packet_class);
  CHECK(trace.decision.verdict == verdict);
  CHECK(trace.decision.owner == owner);
}

constexpr Verdict kForward = Verdict::kForward;

}  // namespace

TEST_CASE("a dispatcher forwards opening, known and unknown packets: classes 1, 2 and 5") {
  for (const Tracking tracking : {Tracking::kObserve, Tracking::kOwn}) {
    Dispatcher dispatcher(tracking);
    const TcpClient tcp;
    check(dispatcher.see(tcp.syn(), 1), 1, kForward, 1);
    check(dispatcher.see(tcp.ack(), 2), 2, kForward, 1);
    const TcpClient other{.port = 40001};
    check(dispatcher.see(other.ack(), 3), 5, kForward, 1);
    CHECK(dispatcher.connections_of(1) == 2);
  }
}

TEST_CASE("an open connection stays with its node when the buckets move, a new one goes along") {
  Dispatcher dispatcher;
  const TcpClient open, opening{.port = 40001}, later{.port = 40002};
  dispatcher.see(open.syn(), 1);
  dispatcher.see(open.ack(), 1.1);
  dispatcher.see(opening.syn(), 1.2);
  dispatcher.allocate(all_of(2));
  check(dispatcher.see(open.ack(), 2), 2, kForward, 1);
  // Its node may have answered already: a SYN that comes again is that node's.
  check(dispatcher.see(opening.syn(), 2), 2, kForward, 1);
  check(dispatcher.see(later.syn(), 2), 1, kForward, 2);
}

TEST_CASE("what is opening at a node that is down is decided anew by its next SYN, by that alone") {
  Dispatcher dispatcher;
  const TcpClient opening, answered{.port = 40001};
  dispatcher.see(opening.syn(), 1);
  dispatcher.see(answered.syn(), 1);
  dispatcher.allocate(all_of(2), {0, 1});
  check(dispatcher.see(opening.syn(), 2), 1, kForward, 2);
  check(dispatcher.see(answered.ack(), 2), 2, kForward, 1);
  check(dispatcher.see(answered.syn(), 3), 2, kForward, 1);
}

TEST_CASE("connections of a node that is down move when they are to, and others do not") {
  Dispatcher dispatcher;
  const TcpClient open, opening{.port = 40001};
  dispatcher.see(open.syn(), 1);
  dispatcher.see(open.ack(), 1.1);
  dispatcher.see(opening.syn(), 1.2);
  dispatcher.allocate(all_of(2), {0, 1});
  check(dispatcher.see(open.ack(), 1.5), 2, kForward, 1);
  dispatcher.adopt(1);
  CHECK(dispatcher.connections_of(1) == 0);
  check(dispatcher.see(open.ack(), 2), 2, kForward, 2);
  check(dispatcher.see(opening.syn(), 2), 1, kForward, 2);
}

TEST_CASE("a bucket of nobody is forwarded to nobody") {
  Dispatcher dispatcher;
  dispatcher.allocate(all_of(kNobody));
  const TcpClient tcp;
  CHECK(dispatcher.see(tcp.syn(), 1).decision.verdict == Verdict::kDiscard);
}

TEST_CASE("a later fragment goes where its first one went, whatever has moved since") {
  Dispatcher dispatcher;
  const ByteVector whole =
      PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4).udp(5000, 53).payload(3000).build();
  const std::vector<ByteVector> parts = fragments_of(whole, 1400);
  dispatcher.see(parts[0], 1);
  dispatcher.allocate(all_of(2));
  dispatcher.adopt(1);
  CHECK(dispatcher.see(parts[1], 1.1).decision.owner == 1);
  CHECK(dispatcher.see(parts[1], 1.1).decision.verdict == kForward);
}

TEST_CASE("least connections: opening packets go to whom they burden least, for its weight") {
  Dispatcher dispatcher;
  dispatcher.allocate(all_of(0), {}, {{0, 1}, {1, 2}, {2, 1}});
  for (uint16_t i = 0; i < 40; ++i) {
    const TcpClient tcp{.port = static_cast<uint16_t>(41000 + i)};
    dispatcher.see(tcp.syn(), 1);
    dispatcher.see(tcp.ack(), 1);
  }
  CHECK(dispatcher.connections_of(0) == 10);
  CHECK(dispatcher.connections_of(1) == 20);
  CHECK(dispatcher.connections_of(2) == 10);
  // What opens nothing goes by its bucket.
  const TcpClient unknown{.port = 45000};
  CHECK(dispatcher.see(unknown.ack(), 2).decision.owner == 0);
  CHECK(dispatcher.worker().table().check_invariants() == "");
}

}  // namespace flowsieve::test
