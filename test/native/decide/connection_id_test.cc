// QUIC packets whose connection id names a node: on every node alike, whatever table, allocation,
// handover and lease say. Three nodes before one wire, and one alone.
#include "decide/connection_id.h"

#include <doctest/doctest.h>

#include "support/quic_client.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

Setup with_quic(Setup setup = {}) {
  setup.quic = shared_quic();
  return setup;
}

void set_quic(TestNode& node, const QuicLbOptions& options) {
  Criteria next = node.worker().criteria();
  next.quic = shared_quic(options);
  ++next.allocation.epoch;
  node.worker().replace_criteria(std::move(next));
}

const QuicClient kClient{};
const QuicClient kMoved = kClient.at("203.0.113.9", 51000);

}  // namespace

TEST_CASE("connection id: a packet from a new address goes to the node that the id names") {
  for (const uint8_t config : {0, 1, 2}) {
    for (NodeIndex node = 0; node < kTestNodes; ++node) {
      CAPTURE(int{config});
      TestCluster cluster(with_quic());
      cluster.give_all_buckets_to((node + 1) % kTestNodes);
      const auto traces = cluster.see(kMoved.one_rtt(id_of(node, config)), 1);
      CHECK(deliverers(traces) == std::to_string(node));
      for (NodeIndex i = 0; i < kTestNodes; ++i) {
        CHECK(traces[i].decision.packet_class == (i == node ? 5 : 6));
        CHECK(traces[i].decision.by_id);
        CHECK_FALSE(traces[i].decision.by_bucket);
        CHECK(traces[i].decision.owner == node);
        CHECK(cluster.node(i).owner(kMoved.key()) == node);
        CHECK(cluster.node(i).status(kMoved.key()) == kOpening);
        CHECK(cluster.node(i).count(Count::kQuicById) == 1);
        CHECK(cluster.node(i).count(Count::kQuicMigrated) == 1);
        CHECK(cluster.node(i).count(Count::kMidstream) == 1);
        CHECK(cluster.node(i).count(Count::kOpened) == 0);
      }
    }
  }
}

TEST_CASE("connection id: IPv6, and a Handshake packet") {
  TestCluster cluster(with_quic());
  const QuicClient six{.address = "2001:db8::9", .port = 5000};
  CHECK(deliverers(cluster.see(six.one_rtt(id_of(2, 1)), 1)) == "2");
  CHECK(deliverers(cluster.see(kMoved.handshake(id_of(1, 1)), 1)) == "1");
}

TEST_CASE("connection id: a connection moves from node to node with nobody but its client") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(kClient.initial({1, 2, 3, 4, 5, 6, 7, 8}), 1)) == "1");
  CHECK(deliverers(cluster.see(kClient.one_rtt(id_of(1)), 1.1)) == "1");
  cluster.hand_over(all_of(2));
  CHECK(deliverers(cluster.see(kClient.one_rtt(id_of(1)), 1.2)) == "1");
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(1, 0, 2)), 1.3)) == "1");
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(1, 0, 2)), 1.4)) == "1");
  CHECK(cluster.node(0).status(kMoved.key()) == kEstablished);
  CHECK(cluster.node(1).in_class(2) == 3);
}

TEST_CASE("connection id: without the section the bucket decides") {
  TestCluster cluster;
  cluster.give_all_buckets_to(0);
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(2)), 1)) == "0");
  CHECK(cluster.node(0).in_class(1) == 1);
  CHECK(cluster.node(0).count(Count::kQuicById) == 0);
}

TEST_CASE("connection id: another port, another protocol, what the server sends") {
  TestNode node(with_quic());
  const ByteVector id = id_of(2);
  const PacketBuilder elsewhere =
      PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4).udp(40000, 444).payload(id);
  CHECK_FALSE(node.see(elsewhere, 1).decision.by_id);
  const PacketBuilder tcp =
      PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4).tcp(40000, 443).payload(id);
  CHECK_FALSE(node.see(tcp, 1).decision.by_id);
  const PacketBuilder sent =
      PacketBuilder::ethernet().ipv4(kCluster4, "198.51.100.7").udp(443, 443).payload(id);
  CHECK_FALSE(node.send(sent, 1).decision.by_id);
  for (const Count count : {Count::kQuicById, Count::kQuicClientChosen, Count::kQuicLength,
                            Count::kQuicUnconfigured, Count::kQuicNobody}) {
    CHECK(node.count(count) == 0);
  }
}

TEST_CASE("connection id: what names nobody goes by the four-tuple, and is counted by its reason") {
  const struct {
    PacketBuilder frame;
    Count count;
    QuicId id;
  } cases[] = {
      {kMoved.initial(id_of(2)), Count::kQuicClientChosen, QuicId::kClientChosen},
      {kMoved.initial(id_of(2), 0x6b3343cf), Count::kQuicClientChosen, QuicId::kClientChosen},
      {kMoved.initial(id_of(2), 0x0a0a0a0a), Count::kQuicClientChosen, QuicId::kClientChosen},
      {kMoved.one_rtt(unroutable_id()), Count::kQuicUnconfigured, QuicId::kUnconfigured},
      {kMoved.one_rtt({0x66, 0, 0}), Count::kQuicUnconfigured, QuicId::kUnconfigured},
      {kMoved.one_rtt({0x05, 2, 2, 1, 1, 1}), Count::kQuicLength, QuicId::kLength},
      {kMoved.handshake({0x06, 2, 2, 1, 1, 1}), Count::kQuicLength, QuicId::kLength},
      {kMoved.datagram({}), Count::kQuicLength, QuicId::kLength},
      {kMoved.datagram({0xc0, 0, 0, 0, 1, 8}), Count::kQuicLength, QuicId::kLength},
      {kMoved.datagram({0x40, 0x06, 2, 2, 1}), Count::kQuicLength, QuicId::kLength},
      {kMoved.one_rtt({0x06, 9, 9, 1, 1, 1, 1}), Count::kQuicNobody, QuicId::kNobody},
  };
  for (const auto& [frame, count, id] : cases) {
    CAPTURE(static_cast<int>(id));
    TestCluster cluster(with_quic());
    cluster.give_all_buckets_to(1);
    const auto traces = cluster.see(frame, 1);
    CHECK(deliverers(traces) == "1");
    CHECK(traces[0].decision.by_bucket);
    CHECK(traces[0].decision.packet_class == 3);
    CHECK(traces[0].decision.quic == id);
    CHECK(cluster.node(0).count(count) == 1);
    CHECK(cluster.node(0).count(Count::kQuicById) == 0);
  }
}

TEST_CASE("connection id: an Initial with a node's id does not choose its node") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(kClient.initial(id_of(2)), 1)) == "1");
  // Nor takes the connection another's by that: its bucket has decided.
  CHECK(deliverers(cluster.see(kClient.initial(id_of(2)), 1.1)) == "1");
}

TEST_CASE("connection id: link padding and what follows the datagram are no part of the id") {
  TestNode node(with_quic());
  PacketBuilder padded = kMoved.datagram({0x40, 0x06, 1, 1, 9});
  padded.padding(30);
  CHECK(node.see(padded, 1).decision.quic == QuicId::kLength);
  // The UDP length ends in the midst of the id, though the IP packet goes on.
  PacketBuilder shorter = PacketBuilder::ethernet().ipv4("203.0.113.11", kCluster4).udp(1, 443);
  shorter.udp_length(8 + 4);
  ByteVector payload{0x40};
  for (const uint8_t byte : id_of(1)) payload.push_back(byte);
  CHECK(node.see(shorter.payload(payload), 1).decision.quic == QuicId::kLength);
}

TEST_CASE("connection id: the entry of another connection stays, and holds nobody up") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(0);
  // A connection of node 0 at the four-tuple, established.
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(0)), 1)) == "0");
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(0)), 2)) == "0");
  // Its client goes, and a client of node 2 comes to the same address and port.
  for (double at = 3; at < 100; at += 10) {
    const auto traces = cluster.see(kMoved.one_rtt(id_of(2)), at);
    CHECK(deliverers(traces) == "2");
    CHECK(traces[2].decision.packet_class == 5);
    CHECK(traces[0].decision.packet_class == 6);
    CHECK(cluster.node(1).owner(kMoved.key()) == 0);
  }
  CHECK(cluster.node(1).count(Count::kQuicElsewhere) == 10);
  // 120 seconds after its own last packet the old entry is gone.
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(2)), 122.1)) == "2");
  CHECK(cluster.node(1).owner(kMoved.key()) == 2);
}

TEST_CASE("connection id: spoofed ids take nothing from anybody") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(kClient.initial({1, 2, 3, 4, 5, 6, 7, 8}), 1)) == "1");
  CHECK(deliverers(cluster.see(kClient.one_rtt(id_of(0)), 1.1)) == "0");  // forged
  CHECK(cluster.node(2).owner(kClient.key()) == 1);
  CHECK(deliverers(cluster.see(kClient.one_rtt(id_of(1)), 1.2)) == "1");
  CHECK(deliverers(cluster.see(kClient.one_rtt(unroutable_id()), 1.3)) == "1");
}

TEST_CASE(
    "connection id: openings by id have their share, and are decided beyond it all the same") {
  TestCluster cluster(with_quic({.capacity = 100, .opening_share = 0.05}));
  cluster.give_all_buckets_to(1);
  for (uint16_t port = 1; port <= 50; ++port) {
    CHECK(deliverers(cluster.see(kMoved.at("203.0.113.9", port).one_rtt(id_of(2)), 1)) == "2");
  }
  for (NodeIndex i = 0; i < kTestNodes; ++i) {
    CHECK(cluster.node(i).sizes().opening == 5);
    CHECK(cluster.node(i).count(Count::kOpeningUntracked) == 45);
    CHECK(cluster.node(i).count(Count::kQuicMigrated) == 5);
  }
  // What nobody tracks stays with its node as well.
  CHECK(deliverers(cluster.see(kMoved.at("203.0.113.9", 50).one_rtt(id_of(2)), 2)) == "2");
}

TEST_CASE("connection id: a lone entry times out like any UDP flow") {
  TestNode node(with_quic(), 2);
  node.see(kMoved.one_rtt(id_of(2)), 1);
  node.age(30.9);
  CHECK(node.status(kMoved.key()) == kOpening);
  node.age(31);
  CHECK_FALSE(node.status(kMoved.key()));
}

TEST_CASE(
    "connection id: through a whole handover of the bucket nothing is held, lost or doubled") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(0);
  uint16_t port = 1000;
  const auto check = [&] {
    for (NodeIndex node = 0; node < kTestNodes; ++node) {
      const QuicClient client{.port = port++};
      const std::string nodes = deliverers(cluster.see(client.one_rtt(id_of(node, 1)), 1));
      CHECK(nodes == std::to_string(node));
    }
  };
  check();
  cluster.prepare(all_of(1));
  check();
  cluster.hold();
  check();
  // What names nobody waits, as ever.
  const QuicClient other{.port = 999};
  CHECK(deliverers(cluster.see(other.one_rtt(unroutable_id()), 1)) == "0");
  CHECK(cluster.node(1).count(Count::kHeld) == 1);
  cluster.release();
  check();
  cluster.acquire();
  check();
  cluster.commit();
  check();
  cluster.settle();
  check();
  CHECK(cluster.node(1).count(Count::kHeld) == 1);
  CHECK(cluster.node(0).count(Count::kQuicUnconfigured) == 1);
  CHECK(cluster.node(1).count(Count::kQuicUnconfigured) == 1);  // once, though it was held
}

TEST_CASE("connection id: the nodes decide alike at different stages of a handover") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(0);
  cluster.prepare(all_of(1));
  cluster.node(1).hold();
  cluster.node(0).release();
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(2)), 1)) == "2");
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(2)), 1.1)) == "2");
}

TEST_CASE(
    "connection id: a dead node's ids fall back to the bucket, and its return takes them up") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(2)), 1)) == "2");
  // Node 2 is dead: those that are left have a view without it.
  for (const NodeIndex i : {NodeIndex{0}, NodeIndex{1}}) {
    set_quic(cluster.node(i), test_quic(0, 1));
    cluster.node(i).adopt({2});
  }
  const QuicClient later{.port = 7};
  const std::array<Trace, 2> traces{cluster.node(0).see(later.one_rtt(id_of(2)), 2),
                                    cluster.node(1).see(later.one_rtt(id_of(2)), 2)};
  CHECK(traces[0].decision.verdict == Verdict::kDiscard);
  CHECK(traces[1].decision.verdict == Verdict::kDeliver);
  CHECK(traces[1].decision.quic == QuicId::kNobody);
  CHECK(traces[1].decision.packet_class == 1);
  for (const NodeIndex i : {NodeIndex{0}, NodeIndex{1}}) set_quic(cluster.node(i), test_quic());
  CHECK(deliverers(cluster.see(later.one_rtt(id_of(2)), 3)) == "2");
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(2)), 3)) == "2");
}

TEST_CASE("connection id: past its lease a node serves the connections that move, and opens none") {
  TestNode node(with_quic(), 2);
  node.give_all_buckets_to(2);
  node.worker().set_open_until(nanoseconds(1));
  const Trace moved = node.see(kMoved.one_rtt(id_of(2)), 2);
  CHECK(moved.decision.verdict == Verdict::kDeliver);
  CHECK(moved.decision.packet_class == 5);
  CHECK(node.delivered() == 1);
  const Trace opened = node.see(kClient.initial({1, 2, 3, 4, 5, 6, 7, 8}), 2);
  CHECK(opened.decision.verdict == Verdict::kDiscard);
  CHECK(opened.decision.lease_over);
}

TEST_CASE("connection id: a node that drains keeps the connections that move") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(2);
  CHECK(deliverers(cluster.see(kClient.one_rtt(id_of(2)), 1)) == "2");
  cluster.hand_over(all_of(0));
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(2)), 2)) == "2");
  CHECK(deliverers(cluster.see(kClient.at("203.0.113.77", 1).initial(id_of(2)), 2)) == "0");
}

TEST_CASE("connection id: tracking own, the bucket's owner notes the exception") {
  TestCluster cluster(with_quic({.tracking = Tracking::kOwn}));
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(2)), 1)) == "2");
  CHECK(cluster.node(2).owner(kMoved.key()) == 2);
  CHECK(cluster.node(1).owner(kMoved.key()) == 2);
  CHECK_FALSE(cluster.node(0).owner(kMoved.key()));
  // What comes without a readable id from there goes by the four-tuple: to one node.
  CHECK(deliverers(cluster.see(kMoved.one_rtt(unroutable_id()), 2)) == "2");
  // And after the bucket has moved, with its exceptions.
  cluster.hand_over(all_of(0));
  CHECK(cluster.node(0).owner(kMoved.key()) == 2);
  CHECK(deliverers(cluster.see(kMoved.one_rtt(unroutable_id()), 3)) == "2");
}

TEST_CASE("connection id: a fragmented datagram goes where its first fragment went") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(0);
  ByteVector payload{0x40};
  for (const uint8_t byte : id_of(1)) payload.push_back(byte);
  payload.resize(3000);
  const std::vector<ByteVector> fragments = fragments_of(kMoved.datagram(payload).build(), 1500);
  REQUIRE(fragments.size() == 3);
  for (const ByteVector& fragment : fragments) CHECK(deliverers(cluster.see(fragment, 1)) == "1");
  CHECK(cluster.node(1).delivered() == 3);
}

TEST_CASE("connection id: an ICMP error follows the four-tuple's entry") {
  TestCluster cluster(with_quic());
  cluster.give_all_buckets_to(0);
  CHECK(deliverers(cluster.see(kMoved.one_rtt(id_of(1)), 1)) == "1");
  const ByteVector quote =
      PacketBuilder::raw().ipv4(kCluster4, kMoved.address).udp(443, kMoved.port).build();
  const PacketBuilder error =
      PacketBuilder::ethernet().ipv4("203.0.113.1", kCluster4).icmp_error(3, 4, quote);
  CHECK(deliverers(cluster.see(error, 2)) == "1");
}
