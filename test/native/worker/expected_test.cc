// Expected connections on three nodes: whose they are, and that no moment of registering or ending
// has two nodes answer, or leaves a connection to nobody for good.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;
using State = ExpectationState;

namespace {

/// In the roles of the tests: who expects, whose the buckets are, and who looks on.
constexpr NodeIndex kExpects = 1, kHasBuckets = 0, kLooksOn = 2;

Expectation expectation_of(const Key& key, State state, NodeIndex owner = kExpects,
                           uint8_t exact = kExactSourcePort | kExactDestinationPort) {
  const uint8_t bits = key.family == Family::kIpv4 ? 32 : 128;
  Expectation made{.key = key,
                   .id = 5,
                   .owner = owner,
                   .source_prefix = bits,
                   .destination_prefix = bits,
                   .exact = exact,
                   .state = state};
  made.key = masked(key, made);
  return made;
}

void expect(TestCluster& cluster, NodeIndex node, const Expectation& expectation) {
  auto room = std::make_unique<Expectations>(9);
  REQUIRE(cluster.node(node).worker().expect(expectation, room) == Expectations::Outcome::kDone);
}

void expect_everywhere(TestCluster& cluster, const Key& key, uint8_t exact = 3) {
  for (const State state : {State::kPending, State::kActive}) {
    for (NodeIndex node = 0; node < kTestNodes; ++node) {
      expect(cluster, node, expectation_of(key, state, kExpects, exact));
    }
  }
}

std::string see(TestCluster& cluster, const PacketBuilder& frame, double at) {
  return deliverers(cluster.see(frame, at));
}

const TcpClient kClient{};

}  // namespace

TEST_CASE("expected: an opening packet is its owner's on every node, whatever its bucket") {
  TestCluster cluster;
  expect_everywhere(cluster, kClient.key());
  const auto traces = cluster.see(kClient.syn(), 1);
  CHECK(deliverers(traces) == "1");
  CHECK(traces[kExpects].decision.packet_class == 1);
  CHECK(traces[kHasBuckets].decision.packet_class == 3);
  CHECK(traces[kLooksOn].decision.packet_class == 3);
  for (NodeIndex node = 0; node < kTestNodes; ++node) {
    CHECK(cluster.node(node).owner(kClient.key()) == kExpects);
    CHECK(cluster.node(node).count(Count::kExpected) == 1);
  }
  // Another port of the same client is the bucket's.
  CHECK(see(cluster, TcpClient{.port = 40001}.syn(), 1) == "0");
}

TEST_CASE("expected: the answer to a node's own SYN is a packet of unknown connection") {
  TestCluster cluster;
  // The node connects from the cluster address: the client's answer runs like a client's packet.
  expect_everywhere(cluster, kClient.key(), kExactSourcePort);
  const auto traces = cluster.see(kClient.to_server().syn().ack(), 1);
  CHECK(deliverers(traces) == "1");
  CHECK(traces[kExpects].decision.packet_class == 5);
  CHECK(traces[kHasBuckets].decision.packet_class == 6);
  CHECK(see(cluster, kClient.data(), 1.1) == "1");
}

TEST_CASE("expected: known connections stay where they are") {
  TestCluster cluster;
  CHECK(see(cluster, kClient.syn(), 1) == "0");
  CHECK(see(cluster, kClient.ack(), 1) == "0");
  expect_everywhere(cluster, kClient.key());
  CHECK(see(cluster, kClient.data(), 2) == "0");
  CHECK(see(cluster, kClient.fin(), 3) == "0");
  // The same ports once more, after the close, are another connection.
  CHECK(see(cluster, kClient.syn(), 5) == "1");
}

TEST_CASE("expected: the connection outlives its expectation, also in tracking own") {
  for (const Tracking tracking : {Tracking::kObserve, Tracking::kOwn}) {
    TestCluster cluster({.tracking = tracking});
    expect_everywhere(cluster, kClient.key());
    CHECK(see(cluster, kClient.syn(), 1) == "1");
    for (NodeIndex node = 0; node < kTestNodes; ++node) {
      CHECK(cluster.node(node).worker().unexpect(kExpects, 5));
    }
    CHECK(see(cluster, kClient.syn(), 2) == "1");
    CHECK(see(cluster, kClient.ack(), 2) == "1");
    cluster.hand_over(all_of(kLooksOn));
    CHECK(see(cluster, kClient.data(), 3) == "1");
    CHECK(see(cluster, TcpClient{.port = 40001}.syn(), 3) == "2");
  }
}

TEST_CASE("expected: a handover neither holds nor contests a match, nor decides it anew") {
  TestCluster cluster;
  expect_everywhere(cluster, kClient.key());
  cluster.prepare(all_of(kLooksOn));
  cluster.exchange(ListKind::kMoving);
  cluster.hold();
  CHECK(see(cluster, kClient.syn(), 1) == "1");
  CHECK(cluster.node(kLooksOn).worker().held() == 0);
  CHECK(cluster.node(kExpects).worker().contested() == 0);
  cluster.release();
  cluster.acquire();
  cluster.commit();
  cluster.settle();
  for (NodeIndex node = 0; node < kTestNodes; ++node) {
    cluster.node(node).worker().unexpect(kExpects, 5);
  }
  // The opening packet comes again in a later epoch, and the bucket has yet another owner.
  CHECK(see(cluster, kClient.syn(), 2) == "1");
}

TEST_CASE("expected: with its owner the expectation dies, and its bucket's owner inherits") {
  TestCluster cluster;
  expect_everywhere(cluster, kClient.key(), 0);
  CHECK(see(cluster, kClient.syn(), 1) == "1");
  CHECK(see(cluster, kClient.ack(), 1) == "1");
  const std::vector<NodeIndex> dead{kExpects};
  for (const NodeIndex node : {kHasBuckets, kLooksOn}) {
    cluster.node(node).worker().forget_expectations(dead);
    cluster.node(node).adopt(dead);
    CHECK(cluster.node(node).owner(kClient.key()) == kHasBuckets);
    CHECK(cluster.node(node).record(kClient.key())->expected == 0);
  }
  const TcpClient next{.port = 40001};
  CHECK(cluster.node(kHasBuckets).see(next.syn(), 2).decision.verdict == Verdict::kDeliver);
  CHECK(cluster.node(kLooksOn).see(next.syn(), 2).decision.verdict == Verdict::kDiscard);
}

TEST_CASE("expected: past its lease the owner opens nothing, and nobody else does") {
  TestCluster cluster;
  expect_everywhere(cluster, kClient.key());
  cluster.node(kExpects).worker().set_open_until(1);
  CHECK(see(cluster, kClient.syn(), 1) == "");
  CHECK(cluster.node(kExpects).drops(Drop::kLeaseOver) == 1);
  cluster.node(kExpects).worker().set_open_until(UINT64_MAX);
  CHECK(see(cluster, kClient.syn(), 2) == "1");
}

TEST_CASE("expected: two exclude each other only where they are the same") {
  TestCluster cluster;
  expect_everywhere(cluster, kClient.key());
  for (NodeIndex node = 0; node < kTestNodes; ++node) {
    auto room = std::make_unique<Expectations>(9);
    Expectation other = expectation_of(kClient.key(), State::kPending, kLooksOn);
    CHECK(cluster.node(node).worker().expect(other, room) == Expectations::Outcome::kTaken);
  }
}

namespace {

/// The steps of registering as the protocol has them; a step is one change at one node, or the
/// list that the owner pulls before its last.
int register_until(TestCluster& cluster, const Key& key, int steps) {
  int step = 0;
  const auto next = [&] { return step++ < steps; };
  for (const NodeIndex node : {kHasBuckets, kLooksOn}) {
    if (next()) expect(cluster, node, expectation_of(key, State::kPending));
  }
  if (next()) expect(cluster, kExpects, expectation_of(key, State::kPending));
  for (const NodeIndex node : {kHasBuckets, kLooksOn}) {
    if (next()) expect(cluster, node, expectation_of(key, State::kActive));
  }
  if (next()) {
    for (const NodeIndex node : {kHasBuckets, kLooksOn}) {
      cluster.node(kExpects).merge(cluster.node(node).list(ListKind::kContested, kExpects),
                                   cluster.node(node), ListKind::kContested);
    }
    expect(cluster, kExpects, expectation_of(key, State::kActive));
  }
  return step;
}

int end_until(TestCluster& cluster, const Key& key, int steps) {
  int step = 0;
  const auto next = [&] { return step++ < steps; };
  for (const NodeIndex node : {kExpects, kHasBuckets, kLooksOn}) {
    if (next()) expect(cluster, node, expectation_of(key, State::kEnding));
  }
  if (next()) cluster.node(kExpects).worker().unexpect(kExpects, 5);
  for (const NodeIndex node : {kHasBuckets, kLooksOn}) {
    if (!next()) continue;
    cluster.node(node).merge(cluster.node(kExpects).list(ListKind::kContested, node),
                             cluster.node(kExpects), ListKind::kContested);
    cluster.node(node).worker().unexpect(kExpects, 5);
  }
  return step;
}

/// The steps that are left, begun again: doing one twice is doing it once.
constexpr int kSteps = 6;

}  // namespace

TEST_CASE("expected: whenever a connection opens while its expectation is being registered") {
  for (int before = 0; before <= kSteps; ++before) {
    CAPTURE(before);
    TestCluster cluster;
    CHECK(register_until(cluster, kClient.key(), before) == kSteps);
    const std::string first = see(cluster, kClient.syn(), 1);
    CHECK(first.size() <= 1);
    register_until(cluster, kClient.key(), kSteps);
    // The client asks again: the same node, or the owner if nobody has answered.
    const std::string again = see(cluster, kClient.syn(), 2);
    CHECK(again == (first.empty() ? "1" : first));
    CHECK(see(cluster, kClient.ack(), 2.1) == again);
    // What bystanders have noted wrongly is told with the next view.
    cluster.hand_over(all_of(kLooksOn));
    for (NodeIndex node = 0; node < kTestNodes; ++node) {
      CHECK(cluster.node(node).owner(kClient.key()) == again[0] - '0');
    }
    CHECK(see(cluster, kClient.data(), 3) == again);
    CHECK(see(cluster, TcpClient{.port = 40001}.syn(), 3) == "2");
  }
}

TEST_CASE("expected: whenever a connection opens while its expectation ends") {
  for (int before = 0; before <= kSteps; ++before) {
    CAPTURE(before);
    TestCluster cluster;
    expect_everywhere(cluster, kClient.key());
    CHECK(end_until(cluster, kClient.key(), before) == kSteps);
    const std::string first = see(cluster, kClient.syn(), 1);
    CHECK(first.size() <= 1);
    // The rest of the steps: none of those that were done may be done again here.
    if (before < kSteps) {
      for (int step = before + 1; step <= kSteps; ++step) {
        switch (step) {
          case 1:
            expect(cluster, kExpects, expectation_of(kClient.key(), State::kEnding));
            break;
          case 2:
            expect(cluster, kHasBuckets, expectation_of(kClient.key(), State::kEnding));
            break;
          case 3:
            expect(cluster, kLooksOn, expectation_of(kClient.key(), State::kEnding));
            break;
          case 4:
            cluster.node(kExpects).worker().unexpect(kExpects, 5);
            break;
          default: {
            const NodeIndex node = step == 5 ? kHasBuckets : kLooksOn;
            cluster.node(node).merge(cluster.node(kExpects).list(ListKind::kContested, node),
                                     cluster.node(kExpects), ListKind::kContested);
            cluster.node(node).worker().unexpect(kExpects, 5);
          }
        }
      }
    }
    const std::string again = see(cluster, kClient.syn(), 2);
    CHECK(again == (first.empty() ? "0" : first));
    CHECK(see(cluster, kClient.ack(), 2.1) == again);
    cluster.hand_over(all_of(kLooksOn));
    CHECK(see(cluster, kClient.data(), 3) == again);
  }
}

TEST_CASE("expected: what is contested by an expectation in doubt outlives a CLEAR") {
  TestCluster cluster;
  register_until(cluster, kClient.key(), 3);
  CHECK(see(cluster, kClient.syn(), 1) == "0");
  CHECK(cluster.node(kHasBuckets).worker().contested() == 1);
  cluster.node(kHasBuckets).worker().clear_contested();
  CHECK(cluster.node(kHasBuckets).worker().contested() == 1);
  register_until(cluster, kClient.key(), kSteps);
  cluster.node(kHasBuckets).worker().clear_contested();
  CHECK(cluster.node(kHasBuckets).worker().contested() == 0);
}
