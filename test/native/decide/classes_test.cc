// The six classes of the decision, one by one, and what is no class at all.
#include <doctest/doctest.h>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

/// What the design's table says of one class.
struct Expected {
  int packet_class;
  Verdict verdict;
  NodeIndex owner;
};

void check(const Trace& trace, const Expected& expected) {
  CHECK(int{trace.decision.packet_class} == expected.packet_class);
  CHECK(trace.decision.verdict == expected.verdict);
  CHECK(trace.decision.owner == expected.owner);
}

constexpr Verdict kDeliver = Verdict::kDeliver, kDiscard = Verdict::kDiscard;

}  // namespace

TEST_CASE("class 1: an opening packet whose bucket is mine is delivered and entered into own") {
  TestNode node;
  const TcpClient tcp;
  const ByteVector syn = tcp.syn().build();
  check(node.see(syn, 1.25), {1, kDeliver, 0});
  CHECK(node.in_class(1) == 1);
  CHECK(node.decided() == 1);
  CHECK(node.count(Count::kOpened) == 1);
  CHECK(node.count(Count::kMidstream) == 0);
  CHECK(node.count(Count::kDelivered) == 1);
  CHECK(node.count(Count::kDeliveredBytes) == syn.size() - 14);
  CHECK(node.count(Count::kDiscarded) == 0);
  REQUIRE(node.delivered() == 1);
  CHECK(node.delivery().kept()[0].bytes == ByteVector(syn.begin() + 14, syn.end()));
  CHECK(node.sizes().own == 1);
  CHECK(node.sizes().others == 0);
  const Record* record = node.record(tcp.key());
  REQUIRE(record);
  CHECK(record->status == kOpening);
  CHECK(record->owner == 0);
  CHECK(record->epoch == 1);
  CHECK(record->opened == 12);
  CHECK(record->last_seen == 12);
  CHECK(record->flags == 0);
}

TEST_CASE("class 2: a packet whose connection is in the own table is delivered and refreshes it") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  check(node.see(tcp.ack(), 2), {2, kDeliver, 0});
  CHECK(node.in_class(2) == 1);
  CHECK(node.decided() == 2);
  CHECK(node.delivered() == 2);
  CHECK(node.sizes().own == 1);
  CHECK(node.record(tcp.key())->last_seen == 20);
  CHECK(node.record(tcp.key())->opened == 10);
  CHECK(node.status(tcp.key()) == kEstablished);
}

TEST_CASE("class 3: an opening packet whose bucket is another's is discarded, its owner noted") {
  TestNode node;
  node.give_all_buckets_to(2);
  const TcpClient tcp;
  const ByteVector syn = tcp.syn().build();
  check(node.see(syn, 1), {3, kDiscard, 2});
  CHECK(node.in_class(3) == 1);
  CHECK(node.decided() == 1);
  CHECK(node.delivered() == 0);
  CHECK(node.count(Count::kDiscarded) == 1);
  CHECK(node.count(Count::kDiscardedBytes) == syn.size() - 14);
  CHECK(node.count(Count::kOpened) == 1);
  CHECK(node.sizes().own == 0);
  CHECK(node.sizes().others == 1);
  CHECK(node.owner(tcp.key()) == 2);
  CHECK(node.status(tcp.key()) == kOpening);
}

TEST_CASE("class 4: a packet whose connection is in the others table is discarded, refreshes it") {
  TestNode node;
  node.give_all_buckets_to(2);
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  check(node.see(tcp.ack(), 2), {4, kDiscard, 2});
  CHECK(node.in_class(4) == 1);
  CHECK(node.decided() == 2);
  CHECK(node.delivered() == 0);
  CHECK(node.record(tcp.key())->last_seen == 20);
  CHECK(node.status(tcp.key()) == kEstablished);
}

TEST_CASE("class 5: an unknown packet whose bucket is mine is delivered, status by its type") {
  struct Row {
    const char* what;
    PacketBuilder packet;
    ConnectionStatus status;
  };
  const TcpClient tcp;
  const Row rows[] = {
      {"ACK", tcp.ack(), kEstablished},       {"data", tcp.data(), kEstablished},
      {"FIN", tcp.fin(), kClosing},           {"RST", tcp.rst(), kClosing},
      {"SYN-ACK", tcp.syn().ack(), kOpening},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    TestNode node;
    check(node.see(row.packet, 1), {5, kDeliver, 0});
    CHECK(node.in_class(5) == 1);
    CHECK(node.decided() == 1);
    CHECK(node.delivered() == 1);
    CHECK(node.count(Count::kMidstream) == 1);
    CHECK(node.count(Count::kOpened) == 0);
    CHECK(node.sizes().own == 1);
    CHECK(node.status(tcp.key()) == row.status);
    CHECK((node.record(tcp.key())->flags & kMidstream) != 0);
    check(node.see(tcp.data(), 2), {2, kDeliver, 0});
  }
}

TEST_CASE("class 6: an unknown packet whose bucket is another's is discarded, status by its type") {
  TestNode node;
  node.give_all_buckets_to(1);
  const TcpClient first{.port = 1001}, second{.port = 1002};
  check(node.see(first.data(), 1), {6, kDiscard, 1});
  check(node.see(second.rst(), 1), {6, kDiscard, 1});
  CHECK(node.in_class(6) == 2);
  CHECK(node.decided() == 2);
  CHECK(node.delivered() == 0);
  CHECK(node.sizes().others == 2);
  CHECK(node.owner(first.key()) == 1);
  CHECK(node.status(first.key()) == kEstablished);
  CHECK(node.status(second.key()) == kClosing);
  check(node.see(first.data(), 2), {4, kDiscard, 1});
}

TEST_CASE("each bucket has one owner: of three nodes exactly the bucket's delivers") {
  TestCluster cluster;
  std::vector<NodeIndex> owners(kTestBuckets);
  for (size_t i = 0; i < owners.size(); ++i) owners[i] = static_cast<NodeIndex>(i % 3);
  cluster.allocate(owners);
  const Distribution distribution(test_distribution());
  for (uint16_t port = 1; port <= 300; ++port) {
    const TcpClient tcp{.port = port};
    const Key key = tcp.key();
    const NodeIndex owner = owners[distribution.bucket(header_fields(key))];
    const std::string expected(1, static_cast<char>('0' + owner));
    REQUIRE(deliverers(cluster.see(tcp.syn(), 1)) == expected);
    REQUIRE(deliverers(cluster.see(tcp.data(), 1)) == expected);
  }
  uint64_t own = 0;
  for (NodeIndex i = 0; i < kTestNodes; ++i) {
    own += cluster.node(i).sizes().own;
    CHECK(cluster.node(i).tracked() == 300);
    CHECK(cluster.node(i).in_class(1) + cluster.node(i).in_class(3) == 300);
    CHECK(cluster.node(i).in_class(2) + cluster.node(i).in_class(4) == 300);
    CHECK(cluster.node(i).worker().table().check_invariants() == "");
  }
  CHECK(own == 300);
}

TEST_CASE("the verdict of an open connection never depends on the allocation") {
  TestCluster cluster;
  const TcpClient tcp;
  const UdpClient udp;
  CHECK(deliverers(cluster.see(tcp.syn(), 1)) == "0");
  CHECK(deliverers(cluster.see(udp.datagram(), 1)) == "0");
  double at = 2;
  for (const NodeIndex owner : {1, 2, 0, 1}) {
    cluster.hand_over(all_of(owner));
    CHECK(deliverers(cluster.see(tcp.data(), ++at)) == "0");
    CHECK(deliverers(cluster.see(udp.datagram(), ++at)) == "0");
    CHECK(deliverers(cluster.see(tcp.syn(), ++at)) == "0");  // established: same owner
  }
  cluster.give_all_buckets_to(2);
  CHECK(deliverers(cluster.see(tcp.fin(), ++at)) == "0");
  CHECK(deliverers(cluster.see(tcp.data(), ++at)) == "0");
  CHECK(cluster.node(0).record(tcp.key())->epoch == 1);  // the epoch in which it was entered
  CHECK(deliverers(cluster.see(TcpClient{.port = 9}.syn(), ++at)) == "2");
}

TEST_CASE("the bucket is that of the connection: every one of its packets has the same") {
  std::vector<NodeIndex> owners(kTestBuckets);
  for (size_t i = 0; i < owners.size(); ++i) owners[i] = static_cast<NodeIndex>(i % 3);
  for (uint16_t port = 1; port <= 50; ++port) {
    TestCluster by_syn, by_data, by_reset;
    for (TestCluster* cluster : {&by_syn, &by_data, &by_reset}) cluster->allocate(owners);
    const TcpClient tcp{.port = port};
    const std::string owner = deliverers(by_syn.see(tcp.syn(), 1));
    CHECK(owner.size() == 1);
    CHECK(deliverers(by_data.see(tcp.data(), 1)) == owner);
    CHECK(deliverers(by_reset.see(tcp.rst(), 1)) == owner);
  }
}

TEST_CASE("packets to a node's own address and to strangers pass: no class, no entry") {
  TestNode node;
  for (const std::string& to : {kNodeAddress, std::string("203.0.113.5")}) {
    const auto packet = PacketBuilder::ethernet().ipv4("198.51.100.7", to).tcp(1, 80).syn();
    check(node.see(packet, 1), {0, Verdict::kPass, 0});
  }
  const auto ipv6 = PacketBuilder::ethernet().ipv6("2001:db8::7", "2001:db8::1").udp(1, 2);
  check(node.see(ipv6, 1), {0, Verdict::kPass, 0});
  CHECK(node.count(Count::kPassed) == 3);
  CHECK(node.decided() == 0);
  CHECK(node.tracked() == 0);
  CHECK(node.delivered() == 0);
  CHECK(node.count(Count::kDiscarded) == 0);
}

TEST_CASE("what comes from a cluster address to elsewhere, on the wire, is not this node's") {
  TestNode node;
  const TcpClient tcp;
  check(node.see(tcp.syn_ack(), 1), {0, Verdict::kPass, 0});
  CHECK(node.count(Count::kPassed) == 1);
  CHECK(node.tracked() == 0);
}

TEST_CASE("non-IP frames and link-local control are counted and are no connections") {
  TestNode node;
  ByteVector arp = PacketBuilder::ethernet().ethertype(0x0806).payload(46).build();
  node.see(arp, 1);
  CHECK(node.count(Count::kNonIp) == 1);
  node.see(PacketBuilder::ethernet().ipv6("fe80::1", kCluster6).icmp(135).payload(16), 1);
  node.see(PacketBuilder::ethernet().ipv4("10.0.0.1", "224.0.0.1").igmp(), 1);
  CHECK(node.count(Count::kControl) == 2);
  CHECK(node.count(Count::kPackets) == 3);
  CHECK(node.count(Count::kIp) == 2);
  CHECK(node.decided() == 0);
  CHECK(node.tracked() == 0);
}

TEST_CASE("connections of IPv4 and IPv6, and of different protocols, do not meet in the table") {
  TestNode node;
  const TcpClient tcp4{.address = "198.51.100.7", .port = 5000};
  const TcpClient tcp6{.address = "2001:db8::7", .port = 5000};
  const UdpClient udp4{.address = "198.51.100.7", .port = 5000};
  node.see(tcp4.syn(), 1);
  node.see(tcp6.syn(), 1);
  node.see(udp4.datagram(), 1);
  CHECK(node.in_class(1) == 3);
  CHECK(node.sizes().own == 3);
  CHECK(node.see(tcp6.ack(), 1).decision.packet_class == 2);
  CHECK(node.status(tcp6.key()) == kEstablished);
  CHECK(node.status(tcp4.key()) == kOpening);
  CHECK(node.status(udp4.key()) == kOpening);
}
