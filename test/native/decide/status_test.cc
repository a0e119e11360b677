// SYN on a known connection, status, both directions, timeouts: the rules that the seed leaves
// open.
#include "decide/status.h"

#include <doctest/doctest.h>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

PacketBuilder sctp(uint16_t port = 700) {
  return PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4).sctp(port, 80);
}
PacketBuilder sctp_reply(uint16_t port = 700) {
  return PacketBuilder::ethernet().ipv4(kCluster4, "198.51.100.7").sctp(80, port);
}
PacketBuilder echo(uint16_t identifier) {
  return PacketBuilder::ethernet()
      .ipv4("198.51.100.7", kCluster4)
      .echo_request(identifier)
      .payload(8);
}
PacketBuilder gre(const std::string& from = "198.51.100.7", const std::string& to = kCluster4) {
  return PacketBuilder::ethernet().ipv4(from, to).gre().payload(20);
}
const Key kSctpKey = key_of(132, "198.51.100.7", 700, kCluster4, 80);
const Key kGreKey = key_of(47, "198.51.100.7", 0, kCluster4, 0);
Key echo_key(uint16_t identifier) {
  return key_of(1, "198.51.100.7", identifier, kCluster4, 0);
}

}  // namespace

TEST_CASE("SYN on OPENING: a retransmission, same owner, whatever the allocation says now") {
  TestCluster cluster;
  const TcpClient tcp;
  CHECK(deliverers(cluster.see(tcp.syn(), 1)) == "0");
  cluster.hand_over(all_of(1));
  CHECK(deliverers(cluster.see(tcp.syn(), 4)) == "0");
  TestNode& node = cluster.node(0);
  CHECK(node.status(tcp.key()) == kOpening);
  CHECK(node.record(tcp.key())->last_seen == 40);
  CHECK(node.in_class(1) == 1);
  CHECK(node.in_class(2) == 1);
  CHECK(node.count(Count::kReopened) == 0);
  CHECK(cluster.node(1).in_class(4) == 1);
}

TEST_CASE("SYN on ESTABLISHED: same owner, entry unchanged, neither time nor status") {
  TestCluster cluster;
  const TcpClient tcp;
  cluster.see(tcp.syn(), 1);
  cluster.see(tcp.ack(), 2);
  cluster.give_all_buckets_to(1);
  for (const double at : {3.0, 100.0, 7441.9}) {
    CHECK(deliverers(cluster.see(tcp.syn(), at)) == "0");
    for (NodeIndex i = 0; i < kTestNodes; ++i) {
      const Record* record = cluster.node(i).record(tcp.key());
      REQUIRE(record);
      CHECK(record->status == kEstablished);
      CHECK(record->last_seen == 20);
      CHECK(record->owner == 0);
    }
  }
  // The forged SYNs have not kept it alive.
  CHECK(deliverers(cluster.see(tcp.syn(), 7442)) == "1");
}

TEST_CASE("SYN on CLOSING: decided anew as an opening packet, own to others and back") {
  TestCluster cluster;
  const TcpClient tcp;
  cluster.see(tcp.syn(), 1);
  cluster.see(tcp.fin(), 2);
  TestNode& node = cluster.node(0);
  CHECK(node.sizes().own == 1);
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(tcp.syn(), 3)) == "1");
  CHECK(node.sizes().own == 0);
  CHECK(node.sizes().others == 1);
  CHECK(node.owner(tcp.key()) == 1);
  CHECK(node.status(tcp.key()) == kOpening);
  CHECK(node.in_class(3) == 1);
  CHECK(node.count(Count::kReopened) == 1);
  CHECK(node.count(Count::kMoved) == 1);
  CHECK(cluster.node(1).sizes().own == 1);
  CHECK(cluster.node(1).in_class(1) == 1);
  CHECK(cluster.node(1).count(Count::kMoved) == 1);
  CHECK(node.record(tcp.key())->opened == 30);
  CHECK(node.record(tcp.key())->flags == 0);

  cluster.see(tcp.rst(), 4);
  cluster.give_all_buckets_to(0);
  CHECK(deliverers(cluster.see(tcp.syn(), 5)) == "0");
  CHECK(node.sizes().own == 1);
  CHECK(node.sizes().others == 0);
  CHECK(cluster.node(1).sizes().own == 0);
  CHECK(cluster.node(1).sizes().others == 1);
  CHECK(cluster.node(1).in_class(3) == 2);  // the first SYN and the third
}

TEST_CASE("SYN on CLOSING with the same owner: a new connection, counted, not moved") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  node.see(tcp.rst(), 2);
  CHECK(node.see(tcp.syn(), 3).decision.packet_class == 1);
  CHECK(node.count(Count::kOpened) == 2);
  CHECK(node.count(Count::kReopened) == 1);
  CHECK(node.count(Count::kMoved) == 0);
  CHECK(node.tracked() == 1);
  CHECK(node.status(tcp.key()) == kOpening);
  CHECK(node.worker().table().check_invariants() == "");
}

TEST_CASE("only an opening packet reopens: data, ACK, SYN-ACK and RST on CLOSING follow it") {
  TestCluster cluster;
  const TcpClient tcp;
  cluster.see(tcp.syn(), 1);
  cluster.see(tcp.fin(), 2);
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(tcp.data(), 3)) == "0");
  CHECK(deliverers(cluster.see(tcp.ack(), 3)) == "0");
  CHECK(deliverers(cluster.see(tcp.syn().ack(), 3)) == "0");
  CHECK(deliverers(cluster.see(tcp.rst(), 3)) == "0");
  CHECK(cluster.node(0).status(tcp.key()) == kClosing);
  CHECK(cluster.node(0).count(Count::kReopened) == 0);
}

TEST_CASE("status of TCP: SYN opens, the first packet without SYN, FIN, RST establishes") {
  const TcpClient tcp;
  TestNode node;
  node.see(tcp.syn(), 1);
  CHECK(node.status(tcp.key()) == kOpening);
  node.send(tcp.syn_ack(), 1);
  CHECK(node.status(tcp.key()) == kOpening);
  node.see(tcp.ack(), 1);
  CHECK(node.status(tcp.key()) == kEstablished);
  node.see(tcp.data(), 2);
  node.send(tcp.from_server().ack().payload(5), 2);
  CHECK(node.status(tcp.key()) == kEstablished);
  CHECK(node.sizes().established == 1);
}

TEST_CASE("status of TCP: FIN or RST closes, from either side, whatever the status was") {
  const TcpClient tcp;
  struct Row {
    const char* what;
    bool from_client;
    PacketBuilder packet;
  };
  const Row rows[] = {{"client's FIN", true, tcp.fin()},
                      {"client's RST", true, tcp.rst()},
                      {"server's FIN", false, tcp.from_server().fin().ack()},
                      {"server's RST", false, tcp.from_server().rst()}};
  for (const Row& row : rows) {
    for (const bool established : {false, true}) {
      CAPTURE(row.what);
      CAPTURE(established);
      TestNode node;
      node.see(tcp.syn(), 1);
      if (established) node.see(tcp.ack(), 2);
      // What only this node sees ends its entry only where no other node has one.
      if (!row.from_client) node.set_tracking(Tracking::kOwn);
      row.from_client ? node.see(row.packet, 3) : node.send(row.packet, 3);
      CHECK(node.status(tcp.key()) == kClosing);
      CHECK(node.sizes().closing == 1);
      CHECK(node.record(tcp.key())->last_seen == 30);
      node.age(22.9);
      CHECK(node.tracked() == 1);
      node.age(23);
      CHECK(node.tracked() == 0);
    }
  }
}

TEST_CASE("a half-closed connection that still carries data is kept alive by its packets") {
  const TcpClient tcp;
  TestNode node;
  node.see(tcp.syn(), 0);
  node.see(tcp.ack(), 0);
  node.see(tcp.fin(), 1);
  node.give_all_buckets_to(1);
  double at = 1;
  for (int i = 0; i < 20; ++i) {
    node.send(tcp.from_server().ack().payload(100), at += 9);
    CHECK(node.see(tcp.ack(), at += 10).decision.verdict == Verdict::kDeliver);
    CHECK(node.status(tcp.key()) == kClosing);
  }
  node.age(at + 19.9);
  CHECK(node.tracked() == 1);
  node.age(at + 20);
  CHECK(node.tracked() == 0);
}

TEST_CASE("status of SCTP: INIT opens, its retransmission does not establish, COOKIE ECHO does") {
  TestNode node;
  CHECK(node.see(sctp().init(), 1).decision.packet_class == 1);
  CHECK(node.status(kSctpKey) == kOpening);
  CHECK(node.see(sctp().init(), 2).decision.packet_class == 2);
  CHECK(node.status(kSctpKey) == kOpening);
  CHECK(node.see(sctp().chunk(10, 0, 8), 3).decision.packet_class == 2);
  CHECK(node.status(kSctpKey) == kEstablished);
}

TEST_CASE("status of SCTP: ABORT and SHUTDOWN COMPLETE close, from either side; INIT reopens") {
  for (const bool from_client : {false, true}) {
    for (const uint8_t chunk : {uint8_t{6}, uint8_t{14}}) {
      TestNode node;
      node.see(sctp().init(), 1);
      node.see(sctp().data(), 2);
      if (!from_client) node.set_tracking(Tracking::kOwn);
      from_client ? node.see(sctp().chunk(chunk), 3) : node.send(sctp_reply().chunk(chunk), 3);
      CHECK(node.status(kSctpKey) == kClosing);
      node.set_tracking(Tracking::kObserve);
      node.give_all_buckets_to(2);
      CHECK(node.see(sctp().init(), 4).decision.packet_class == 3);
      CHECK(node.owner(kSctpKey) == 2);
    }
  }
}

TEST_CASE("an SCTP packet that is no INIT does not open: class 5, established") {
  TestNode node;
  CHECK(node.see(sctp().data(), 1).decision.packet_class == 5);
  CHECK(node.status(kSctpKey) == kEstablished);
}

TEST_CASE("status of UDP: opening until a second packet, or a reply, then established") {
  const UdpClient udp;
  TestNode by_second, by_reply;
  for (TestNode* node : {&by_second, &by_reply}) {
    CHECK(node->see(udp.datagram(), 1).decision.packet_class == 1);
    CHECK(node->status(udp.key()) == kOpening);
  }
  CHECK(by_second.see(udp.datagram(), 2).decision.packet_class == 2);
  by_reply.send(udp.reply(), 2);
  CHECK(by_second.status(udp.key()) == kEstablished);
  CHECK(by_reply.status(udp.key()) == kEstablished);
}

TEST_CASE("status of ICMP echo: the identifier is the connection, a reply or second establishes") {
  TestNode node;
  CHECK(node.see(echo(77), 1).decision.packet_class == 1);
  CHECK(node.see(echo(78), 1).decision.packet_class == 1);
  CHECK(node.status(echo_key(77)) == kOpening);
  node.send(PacketBuilder::ethernet().ipv4(kCluster4, "198.51.100.7").echo_reply(77).payload(8), 1);
  node.see(echo(78), 2);
  CHECK(node.status(echo_key(77)) == kEstablished);
  CHECK(node.status(echo_key(78)) == kEstablished);
  CHECK(node.tracked() == 2);
}

TEST_CASE("an ICMP echo reply opens nothing: unknown, it is class 5 or 6") {
  TestNode node;
  const auto reply = PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4).echo_reply(5);
  CHECK(node.see(reply, 1).decision.packet_class == 5);
  node.give_all_buckets_to(1);
  const auto other = PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4).echo_reply(6);
  CHECK(node.see(other, 1).decision.packet_class == 6);
}

TEST_CASE("status of other protocols: opening until a second packet or a reply") {
  TestNode by_second, by_reply;
  for (TestNode* node : {&by_second, &by_reply}) {
    CHECK(node->see(gre(), 1).decision.packet_class == 1);
    CHECK(node->status(kGreKey) == kOpening);
  }
  by_second.see(gre(), 2);
  by_reply.send(gre(kCluster4, "198.51.100.7"), 2);
  CHECK(by_second.status(kGreKey) == kEstablished);
  CHECK(by_reply.status(kGreKey) == kEstablished);
}

TEST_CASE("both directions: a close that the server starts is seen in what this node sends") {
  const TcpClient tcp;
  TestNode node;
  node.see(tcp.syn(), 1);
  node.see(tcp.ack(), 1);
  const Trace trace = node.send(tcp.from_server().fin().ack(), 5);
  CHECK(trace.decision.verdict == Verdict::kPass);
  CHECK(trace.decision.packet_class == 0);
  CHECK(node.count(Count::kWatched) == 1);
  CHECK(node.decided() == 2);
  CHECK(node.delivered() == 2);
  CHECK(node.status(tcp.key()) == kClosing);
  CHECK(node.record(tcp.key())->seen_here == kServerFin);
  CHECK((node.record(tcp.key())->flags & kFinFromClient) == 0);
  node.see(tcp.fin(), 6);
  CHECK((node.record(tcp.key())->flags & kFinFromClient) != 0);
  CHECK(node.status(tcp.key()) == kClosing);
}

TEST_CASE("what only its node sees does not end a connection: the others could not know") {
  for (const bool reset : {false, true}) {
    for (const double later : {3.0, 25.0, 600.0, 7000.0, 8000.0}) {
      CAPTURE(reset);
      CAPTURE(later);
      TestCluster cluster;
      const TcpClient tcp;
      cluster.see(tcp.syn(), 1);
      cluster.see(tcp.ack(), 1);
      const PacketBuilder close = reset ? tcp.from_server().rst() : tcp.from_server().fin().ack();
      cluster.node(0).send(close, 2);
      CHECK(cluster.node(0).status(tcp.key()) == kClosing);
      cluster.give_all_buckets_to(1);
      // The client takes its port again: one node answers, whichever it is.
      CHECK(deliverers(cluster.see(tcp.syn(), 2 + later)).size() == 1);
      CHECK(deliverers(cluster.see(tcp.ack(), 2.1 + later)).size() == 1);
      CHECK(cluster.node(0).status(tcp.key()) == kEstablished);
    }
  }
}

TEST_CASE("a reply that only its node sees does not keep a flow: the others could not know") {
  for (const double later : {10.0, 29.0, 31.0, 60.0, 119.0, 121.0}) {
    CAPTURE(later);
    TestCluster cluster;
    const UdpClient udp;
    CHECK(deliverers(cluster.see(udp.datagram(), 1)) == "0");
    cluster.node(0).send(udp.reply(), 1);
    CHECK(cluster.node(0).status(udp.key()) == kEstablished);
    cluster.hand_over(all_of(1));
    CHECK(deliverers(cluster.see(udp.datagram(), 1 + later)) == (later < 30 ? "0" : "1"));
    CHECK(deliverers(cluster.see(udp.datagram(), 2 + later)) == (later < 30 ? "0" : "1"));
  }
}

TEST_CASE("a connection whose time is over is unknown, also before the aging has come to it") {
  const UdpClient udp;
  TestNode node;
  node.see(udp.datagram(), 1);
  node.give_all_buckets_to(1);
  // Nobody calls age() here; the timer stands.
  CHECK(node.see(udp.datagram(), 30.9).decision.packet_class == 2);
  CHECK(node.see(udp.datagram(), 151).decision.packet_class == 3);
  CHECK(node.count(Count::kExpired) == 1);
  CHECK(node.tracked() == 1);
}

TEST_CASE("an INIT on an established association leaves the entry as it is, like a SYN") {
  TestNode node;
  node.see(sctp().init(), 1);
  node.see(sctp().data(), 2);
  CHECK(node.see(sctp().init(), 3).decision.packet_class == 2);
  CHECK(node.status(kSctpKey) == kEstablished);
  CHECK(node.record(kSctpKey)->last_seen == 20);
}

TEST_CASE("both directions: watched packets never make an entry") {
  const TcpClient tcp;
  TestNode node;
  node.send(tcp.syn_ack(), 1);
  node.send(tcp.from_server().ack(), 1);
  node.send(tcp.from_server().rst(), 1);
  node.send(tcp.from_server().syn(), 1);
  node.send(UdpClient{}.reply(), 1);
  node.send(sctp_reply().init(), 1);
  node.send(gre(kCluster4, "198.51.100.7"), 1);
  CHECK(node.tracked() == 0);
  CHECK(node.count(Count::kWatched) == 7);
  CHECK(node.decided() == 0);
  CHECK(node.delivered() == 0);
  CHECK(node.count(Count::kDiscarded) == 0);
}

TEST_CASE("both directions: watched packets never touch another's entry") {
  const TcpClient tcp;
  const UdpClient udp;
  TestNode node;
  node.give_all_buckets_to(1);
  node.see(tcp.syn(), 1);
  node.see(tcp.ack(), 2);
  node.see(udp.datagram(), 2);
  node.send(tcp.from_server().rst(), 3);
  node.send(tcp.from_server().fin(), 3);
  node.send(tcp.from_server().ack(), 3);
  node.send(udp.reply(), 3);
  CHECK(node.status(tcp.key()) == kEstablished);
  CHECK(node.record(tcp.key())->last_seen == 20);
  CHECK(node.record(tcp.key())->flags == 0);
  CHECK(node.status(udp.key()) == kOpening);
  CHECK(node.record(udp.key())->last_seen == 20);
}

TEST_CASE("what a node sends from its own address is none of the cluster's") {
  TestNode node;
  node.send(PacketBuilder::ethernet().ipv4(kNodeAddress, "198.51.100.7").tcp(80, 40000).fin(), 1);
  CHECK(node.count(Count::kPassed) == 1);
  CHECK(node.count(Count::kWatched) == 0);
}

TEST_CASE("default timeouts, to the tick, by protocol and status") {
  // Design section 2, in seconds: opening, established, closing; 0 where nothing closes.
  struct Row {
    const char* protocol;
    PacketBuilder opens, establishes, closes;
    double opening, established, closing;
  };
  const TcpClient tcp;
  const UdpClient udp;
  const Row rows[] = {
      {"tcp", tcp.syn(), tcp.ack(), tcp.fin(), 30, 7440, 20},
      {"udp", udp.datagram(), udp.datagram(), udp.datagram(), 30, 120, 0},
      {"icmp", echo(1), echo(1), echo(1), 30, 30, 0},
      {"sctp", sctp().init(), sctp().data(), sctp().abort(), 30, 7440, 20},
      {"gre", gre(), gre(), gre(), 30, 600, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.protocol);
    const std::pair<ConnectionStatus, double> timeouts[] = {
        {kOpening, row.opening}, {kEstablished, row.established}, {kClosing, row.closing}};
    for (const auto& [wanted, step] : timeouts) {
      if (step == 0) continue;
      CAPTURE(step);
      TestNode node;
      node.see(row.opens, 1);
      if (wanted != kOpening) node.see(row.establishes, 1);
      if (wanted == kClosing) node.see(row.closes, 1);
      CHECK(node.sizes().opening == (wanted == kOpening));
      CHECK(node.sizes().established == (wanted == kEstablished));
      CHECK(node.sizes().closing == (wanted == kClosing));
      // 1.0 s is tick 10: the last tick of the timeout keeps the entry, the next one does not.
      node.age(1 + step - 0.1);
      CHECK(node.tracked() == 1);
      CHECK(node.count(Count::kExpired) == 0);
      node.age(1 + step);
      CHECK(node.tracked() == 0);
      CHECK(node.count(Count::kExpired) == 1);
    }
  }
}

TEST_CASE("a packet moves the timeout on: it counts from the last packet, not from the first") {
  const TcpClient tcp;
  TestNode node;
  double at = 0;
  node.see(tcp.syn(), at);
  for (int i = 0; i < 5; ++i) node.see(tcp.syn(), at += 29.9);
  CHECK(node.in_class(1) == 1);
  CHECK(node.in_class(2) == 5);
  node.see(tcp.ack(), at += 29.9);
  node.see(tcp.ack(), at += 7439.9);
  CHECK(node.in_class(2) == 7);
  node.see(tcp.ack(), at += 7440);
  CHECK(node.in_class(5) == 1);
}

TEST_CASE("a connection that has timed out is unknown: the allocation decides it again") {
  TestCluster cluster;
  const UdpClient udp;
  CHECK(deliverers(cluster.see(udp.datagram(), 0)) == "0");
  CHECK(deliverers(cluster.see(udp.datagram(), 1)) == "0");
  cluster.give_all_buckets_to(2);
  CHECK(deliverers(cluster.see(udp.datagram(), 120.9)) == "0");
  CHECK(deliverers(cluster.see(udp.datagram(), 240.9)) == "2");
}
