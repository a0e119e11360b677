// A gateway: what is sent to the cluster's link address is its traffic, in both directions; its
// connections outlive their node; and what the configuration gives to one node is that node's.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

const std::string kClient = "198.51.100.7", kServer = "203.0.113.9";
const std::string kClient6 = "2001:db8:1::7", kServer6 = "2001:db8:2::9";
const Setup kGateway{.gateway = true};

/// Sent to the cluster's link address.
PacketBuilder to_gateway(const std::string& from, const std::string& to) {
  PacketBuilder frame =
      PacketBuilder::ethernet().patch(0, ByteVector(kGatewayMac.begin(), kGatewayMac.end()));
  return from.find(':') == std::string::npos ? frame.ipv4(from, to) : frame.ipv6(from, to);
}
/// The same packet to another link address.
PacketBuilder past_gateway(const std::string& from, const std::string& to) {
  return PacketBuilder::ethernet().ipv4(from, to);
}

/// A connection through the gateway.
struct Through {
  std::string client = kClient, server = kServer;
  uint16_t port = 40000;
  PacketBuilder there() const { return to_gateway(client, server).tcp(port, 443); }
  PacketBuilder back() const { return to_gateway(server, client).tcp(443, port); }
  PacketBuilder syn() const { return there().syn(); }
  PacketBuilder syn_ack() const { return back().syn().ack(); }
  PacketBuilder ack() const { return there().ack(); }
  /// As stored: the endpoint that sorts first is the source.
  Key key() const {
    const Key key = key_of(6, client, port, server, 443);
    return is_descending(key) ? reversed(key) : key;
  }
};

std::vector<NodeIndex> by_turns() {
  std::vector<NodeIndex> owners(kTestBuckets);
  for (uint32_t i = 0; i < kTestBuckets; ++i) owners[i] = static_cast<NodeIndex>(i % kTestNodes);
  return owners;
}

/// By the whole protocol, so that all know who has what.
void hand_over(TestCluster& cluster, const std::vector<NodeIndex>& owners) {
  cluster.prepare(owners, gateway_distribution());
  cluster.exchange(ListKind::kMoving);
  cluster.hold();
  cluster.release();
  cluster.acquire();
  cluster.commit();
  cluster.settle();
}

}  // namespace

TEST_CASE("gateway: a frame to the cluster's link address is its traffic, whatever its addresses") {
  TestNode node(kGateway);
  CHECK(node.see(to_gateway(kClient, kServer).udp(1, 2), 1).decision.packet_class == 1);
  CHECK(node.see(to_gateway(kServer, kClient).udp(3, 4), 1).decision.packet_class == 1);
  CHECK(node.see(to_gateway(kClient, kCluster4).udp(5, 6), 1).decision.packet_class == 1);
  CHECK(node.see(to_gateway(kClient6, kServer6).udp(7, 8), 1).decision.packet_class == 1);
  CHECK(node.see(past_gateway(kClient, kServer).udp(1, 2), 1).decision.verdict == Verdict::kPass);
  CHECK(node.see(past_gateway(kClient, kCluster4).udp(1, 2), 1).decision.verdict == Verdict::kPass);
  CHECK(node.count(Count::kPassed) == 2);
  CHECK(node.delivered() == 4);
}

TEST_CASE("gateway: what no router forwards is not its traffic") {
  // RFC 1112 4, RFC 919 7, RFC 3927 7; RFC 4291 2.7 and 2.5.6.
  for (const char* to : {"224.0.0.251", "239.1.2.3", "255.255.255.255", "169.254.1.1"}) {
    TestNode node(kGateway);
    CHECK(node.see(to_gateway(kClient, to).udp(1, 2), 1).decision.verdict == Verdict::kPass);
    CHECK(node.tracked() == 0);
  }
  for (const char* to : {"ff02::fb", "ff0e::1", "fe80::1", "febf::1"}) {
    TestNode node(kGateway);
    CHECK(node.see(to_gateway(kClient6, to).udp(1, 2), 1).decision.verdict != Verdict::kDeliver);
    CHECK(node.tracked() == 0);
  }
  for (const char* to : {"223.255.255.255", "169.253.1.1", "10.0.0.255"}) {
    TestNode node(kGateway);
    CHECK(node.see(to_gateway(kClient, to).udp(1, 2), 1).decision.verdict == Verdict::kDeliver);
  }
  for (const char* to : {"fec0::1", "fd00::1", "::1:2"}) {
    TestNode node(kGateway);
    CHECK(node.see(to_gateway(kClient6, to).udp(1, 2), 1).decision.verdict == Verdict::kDeliver);
  }
}

TEST_CASE("gateway: both directions are one connection, one bucket and one owner") {
  TestCluster cluster(kGateway);
  cluster.allocate(by_turns());
  std::set<std::string> owners;
  for (int i = 0; i < 60; ++i) {
    Through tcp;
    tcp.port = static_cast<uint16_t>(40000 + i);
    if (i % 2 == 1) std::swap(tcp.client, tcp.server);  // opened from the other side
    if (i % 3 == 0) tcp.client = kClient6, tcp.server = kServer6;
    const std::string owner = deliverers(cluster.see(tcp.syn(), 1));
    CHECK(owner.size() == 1);
    owners.insert(owner);
    CHECK(deliverers(cluster.see(tcp.syn_ack(), 1.1)) == owner);
    CHECK(deliverers(cluster.see(tcp.ack(), 1.2)) == owner);
    for (NodeIndex n = 0; n < kTestNodes; ++n) {
      const Record* record = cluster.node(n).record(tcp.key());
      REQUIRE(record);
      CHECK(record->status == kEstablished);
      // Whoever spoke first is the client.
      const Address spoke =
          record->flags & kClientIsDestination ? record->key.destination : record->key.source;
      CHECK(spoke == address_of(tcp.client));
    }
  }
  CHECK(owners.size() == 3);
  CHECK(cluster.node(0).tracked() == 60);
}

TEST_CASE("gateway: a bucket is the same from both sides, seen first from either") {
  TestCluster cluster(kGateway);
  cluster.allocate(by_turns());
  std::mt19937 random(7);
  for (int i = 0; i < 200; ++i) {
    const std::string one = "10.0." + std::to_string(random() % 250) + ".1";
    const std::string other = "10.1." + std::to_string(random() % 250) + ".1";
    const auto port = static_cast<uint16_t>(random()), far = static_cast<uint16_t>(random());
    // Neither enters anything: errors are decided by the bucket of what they quote.
    const ByteVector there = PacketBuilder::raw().ipv4(one, other).udp(port, far).build();
    const ByteVector back = PacketBuilder::raw().ipv4(other, one).udp(far, port).build();
    const auto first = cluster.see(to_gateway(other, one).icmp_error(3, 1, there), 1);
    const auto second = cluster.see(to_gateway(one, other).icmp_error(3, 1, back), 1);
    CHECK(deliverers(first).size() == 1);
    CHECK(deliverers(first) == deliverers(second));
  }
}

TEST_CASE("gateway: what the server does is known to all, so its close closes everywhere") {
  TestCluster cluster(kGateway);
  const Through tcp;
  cluster.see(tcp.syn(), 1);
  cluster.see(tcp.syn_ack(), 1);
  cluster.see(tcp.ack(), 1);
  CHECK(deliverers(cluster.see(tcp.back().rst(), 2)) == "0");
  for (NodeIndex n = 0; n < kTestNodes; ++n) CHECK(cluster.node(n).status(tcp.key()) == kClosing);
  // The bucket has moved: the same ports again are another node's at once.
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(tcp.syn(), 3)) == "1");
  CHECK(deliverers(cluster.see(tcp.syn_ack(), 3)) == "1");
}

TEST_CASE("gateway: a reply establishes a flow on every node") {
  TestCluster cluster(kGateway);
  cluster.see(to_gateway(kClient, kServer).udp(5000, 53).payload(8), 1);
  hand_over(cluster, all_of(1));
  CHECK(deliverers(cluster.see(to_gateway(kServer, kClient).udp(53, 5000).payload(8), 2)) == "0");
  CHECK(deliverers(cluster.see(to_gateway(kClient, kServer).udp(5000, 53).payload(8), 90)) == "0");
}

TEST_CASE("gateway: fragments and ICMP errors of both directions follow their connection") {
  TestCluster cluster(kGateway);
  const auto datagram = [](const std::string& from, const std::string& to, uint16_t port,
                           uint16_t far) {
    return fragments_of(to_gateway(from, to).udp(port, far).payload(3000).build(), 1500);
  };
  cluster.see(to_gateway(kClient, kServer).udp(5000, 53).payload(8), 1);
  hand_over(cluster, all_of(1));
  for (const ByteVector& each : datagram(kServer, kClient, 53, 5000)) {
    CHECK(deliverers(cluster.see(each, 2)) == "0");
  }
  const ByteVector quoted = PacketBuilder::raw().ipv4(kServer, kClient).udp(53, 5000).build();
  CHECK(deliverers(cluster.see(to_gateway("192.0.2.254", kServer).icmp_error(3, 4, quoted), 3)) ==
        "0");
}

TEST_CASE("gateway: connections of a dead node go on with its heir, and end nowhere") {
  TestCluster cluster(kGateway);
  const Through tcp;
  cluster.see(tcp.syn(), 1);
  cluster.see(tcp.syn_ack(), 1);
  cluster.see(tcp.ack(), 1);
  for (const NodeIndex n : {1, 2}) {
    cluster.node(n).takeover(all_of(1), {0});
    cluster.node(n).adopt({0});
  }
  cluster.node(1).acquire({0});
  for (const NodeIndex n : {1, 2}) cluster.node(n).commit();
  const auto living = [&](const PacketBuilder& frame, double at) {
    std::string nodes;
    for (const NodeIndex n : {1, 2}) {
      if (cluster.node(n).see(frame, at).decision.verdict == Verdict::kDeliver) {
        nodes += static_cast<char>('0' + n);
      }
    }
    return nodes;
  };
  CHECK(living(tcp.back().ack().payload(10), 3) == "1");
  CHECK(living(tcp.there().ack().payload(10), 3) == "1");
  for (const NodeIndex n : {1, 2}) CHECK(cluster.node(n).status(tcp.key()) == kEstablished);
  // A SYN on it is what it is on any established connection: no new one, whoever has the bucket.
  for (const NodeIndex n : {1, 2}) cluster.node(n).give_all_buckets_to(2);
  CHECK(living(tcp.syn(), 4) == "1");
  for (const NodeIndex n : {1, 2}) CHECK(cluster.node(n).count(Count::kReopened) == 0);
  // And it stays after the timeout of what has closed.
  CHECK(living(tcp.there().ack().payload(10), 100) == "1");
  for (const NodeIndex n : {1, 2}) CHECK(cluster.node(n).status(tcp.key()) == kEstablished);
}

TEST_CASE("gateway: what the heir has forwarded is its own also past its lease") {
  TestNode heir(kGateway, 1);
  const Through tcp;
  heir.see(tcp.syn(), 1);
  heir.see(tcp.ack(), 1);
  heir.give_all_buckets_to(1);
  heir.adopt({0});
  heir.worker().set_open_until(nanoseconds(5));
  CHECK(heir.see(tcp.back().ack(), 2).decision.verdict == Verdict::kDeliver);
  CHECK(heir.see(tcp.back().ack(), 6).decision.verdict == Verdict::kDeliver);
}

TEST_CASE("reserved: addresses and ports of a node are its own, whatever the buckets say") {
  TestCluster cluster(kGateway);
  const std::vector<Reservation> list = {
      {address_of("192.0.2.1"), 0, 65535, 0},   {address_of("192.0.2.2"), 0, 65535, 1},
      {address_of(kCluster4), 20000, 20999, 1}, {address_of(kCluster4), 21000, 21999, 2},
      {address_of(kCluster6), 20000, 20999, 1},
  };
  for (NodeIndex n = 0; n < kTestNodes; ++n) cluster.node(n).worker().reserve(Reserved(list));
  const auto taker = [&](const PacketBuilder& frame) { return deliverers(cluster.see(frame, 1)); };

  CHECK(taker(to_gateway(kServer, "192.0.2.1").tcp(80, 5).syn()) == "0");
  CHECK(taker(to_gateway(kServer, "192.0.2.2").tcp(80, 5).syn()) == "1");
  CHECK(taker(to_gateway(kServer, "192.0.2.2").gre().payload(4)) == "1");
  CHECK(taker(to_gateway(kServer, kCluster4).tcp(80, 20000).syn().ack()) == "1");
  CHECK(taker(to_gateway(kServer, kCluster4).udp(53, 20999).payload(4)) == "1");
  CHECK(taker(to_gateway(kServer, kCluster4).udp(53, 21000).payload(4)) == "2");
  CHECK(taker(to_gateway(kServer6, kCluster6).udp(53, 20500).payload(4)) == "1");
  CHECK(taker(to_gateway(kServer, kCluster4).echo_reply(21500)) == "2");
  const ByteVector quoted = PacketBuilder::raw().ipv4(kCluster4, kServer).udp(21999, 53).build();
  CHECK(taker(to_gateway("10.9.9.9", kCluster4).icmp_error(11, 0, quoted)) == "2");
  for (NodeIndex n = 0; n < kTestNodes; ++n) {
    CHECK(cluster.node(n).tracked() == 0);
    CHECK(cluster.node(n).decided() == 0);
    CHECK(cluster.node(n).count(Count::kReserved) == 9);
  }
  // Beside them all is as ever: every bucket is node 0's.
  CHECK(taker(to_gateway(kServer, kCluster4).udp(53, 19999).payload(4)) == "0");
  CHECK(taker(to_gateway(kServer, kCluster4).udp(53, 22000).payload(4)) == "0");
  CHECK(taker(to_gateway(kServer, kCluster4).echo_request(21500)) == "0");
  CHECK(taker(to_gateway(kCluster4, kServer).udp(20000, 53).payload(4)) == "0");
}

TEST_CASE("reserved: the search finds what a look through the list finds") {
  std::mt19937 random(11);
  const auto address = [&] { return address_of("10.0.0." + std::to_string(random() % 6)); };
  for (int round = 0; round < 200; ++round) {
    std::vector<Reservation> list;
    for (int i = 0; i < 20; ++i) {
      Reservation one{address(), static_cast<uint16_t>(random() % 300), 0,
                      static_cast<NodeIndex>(i)};
      one.last_port = static_cast<uint16_t>(one.first_port + random() % 40);
      const bool overlaps = std::any_of(list.begin(), list.end(), [&](const Reservation& other) {
        return other.address == one.address && one.first_port <= other.last_port &&
               other.first_port <= one.last_port;
      });
      if (!overlaps) list.push_back(one);
    }
    const Reserved reserved(list);
    for (int i = 0; i < 200; ++i) {
      Key flow;
      flow.destination = address();
      flow.destination_port = static_cast<uint16_t>(random() % 350);
      NodeIndex expected = kNobody;
      for (const Reservation& each : list) {
        const bool holds = each.address == flow.destination &&
                           each.first_port <= flow.destination_port &&
                           flow.destination_port <= each.last_port;
        if (holds) expected = each.owner;
      }
      REQUIRE(reserved.owner_of(flow) == expected);
    }
  }
}

TEST_CASE("reserved: fragments follow, no lease is asked, nothing is held") {
  TestNode node(kGateway, 1);
  node.worker().reserve(Reserved({{address_of(kCluster4), 20000, 20999, 1}}));
  node.worker().set_open_until(0);
  const auto frames =
      fragments_of(to_gateway(kServer, kCluster4).udp(53, 20001).payload(3000).build(), 1500);
  REQUIRE(frames.size() == 3);
  CHECK(node.see(frames[2], 1).held);
  CHECK(node.see(frames[0], 1).decision.verdict == Verdict::kDeliver);
  CHECK(node.see(frames[1], 1).decision.verdict == Verdict::kDeliver);
  CHECK(node.delivered() == 3);
  const PacketBuilder opening = to_gateway(kServer, kCluster4).tcp(9, 20002).syn();
  CHECK(node.see(opening, 2).decision.verdict == Verdict::kDeliver);
  CHECK(node.drops(Drop::kLeaseOver) == 0);
  node.prepare(all_of(1), gateway_distribution());
  node.hold();
  CHECK(node.see(opening, 3).decision.verdict == Verdict::kDeliver);
  CHECK(node.worker().held() == 0);
}

TEST_CASE("reserved: an opening packet in a burst with others is not taken back with the lease") {
  uint64_t clock = nanoseconds(1);
  Setup setup = kGateway;
  setup.clock = [&clock] { return clock; };
  TestNode node(setup, 0);
  node.worker().reserve(Reserved({{address_of(kCluster4), 20000, 20999, 0}}));
  node.worker().set_open_until(nanoseconds(2));
  clock = nanoseconds(3);  // the process was stopped between deciding and delivering
  node.see_burst({to_gateway(kServer, kCluster4).tcp(9, 20002).syn().build(),
                  to_gateway(kServer, kCluster4).tcp(9, 80).syn().build()},
                 1.5);
  CHECK(node.delivered() == 1);
  CHECK(node.drops(Drop::kLeaseOver) == 1);
}
