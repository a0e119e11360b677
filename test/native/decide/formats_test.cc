// Malformed packets, ICMP errors, extension headers, tags and tunnels: what a packet is taken for.
#include <doctest/doctest.h>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

constexpr const char* kRouter = "203.0.113.1";
constexpr const char* kRouter6 = "2001:db8:ffff::1";

/// The packet that the cluster sent and a router on the way answers with an error.
ByteVector quoted(const TcpClient& tcp) {
  const bool ipv6 = tcp.address.find(':') != std::string::npos;
  PacketBuilder raw = PacketBuilder::raw();
  ipv6 ? raw.ipv6(kCluster6, tcp.address) : raw.ipv4(kCluster4, tcp.address);
  return raw.tcp(80, tcp.port).ack().build();
}

PacketBuilder error(const TcpClient& tcp, uint8_t type, uint8_t code = 0) {
  const bool ipv6 = tcp.address.find(':') != std::string::npos;
  PacketBuilder builder = PacketBuilder::ethernet();
  ipv6 ? builder.ipv6(kRouter6, kCluster6) : builder.ipv4(kRouter, kCluster4);
  return builder.icmp_error(type, code, quoted(tcp));
}

PacketBuilder ip4() {
  return PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4);
}
PacketBuilder ip6() {
  return PacketBuilder::ethernet().ipv6("2001:db8::7", kCluster6);
}

}  // namespace

TEST_CASE("malformed packets are counted by reason, discarded and never make an entry") {
  struct Row {
    const char* what;
    ByteVector frame;
    Drop reason;
  };
  ByteVector cut_link = ip4().tcp(1, 80).syn().build();
  cut_link.resize(13);
  ByteVector cut_ip = ip4().tcp(1, 80).syn().build();
  cut_ip.resize(14 + 19);
  const Row rows[] = {
      {"a frame that ends in its link header", cut_link, Drop::kFrameShort},
      {"five VLAN tags",
       PacketBuilder::ethernet()
           .vlan(1)
           .vlan(2)
           .vlan(3)
           .vlan(4)
           .vlan(5)
           .ipv4("198.51.100.7", kCluster4)
           .tcp(1, 80)
           .syn()
           .build(),
       Drop::kLinkTags},
      {"IP version 5", ip4().version(5).tcp(1, 80).syn().build(), Drop::kIpVersion},
      {"IP header of four words", ip4().ihl(4).tcp(1, 80).syn().build(), Drop::kIpHeader},
      {"a frame that ends in its IP header", cut_ip, Drop::kIpHeader},
      {"IP length beyond the frame", ip4().total_length(1000).tcp(1, 80).syn().build(),
       Drop::kIpLength},
      {"an extension header that leaves the packet",
       ip6().destination_options().extension_length(200).tcp(1, 80).syn().build(),
       Drop::kExtensionHeader},
      {"nine extension headers",
       ip6()
           .destination_options()
           .destination_options()
           .destination_options()
           .destination_options()
           .destination_options()
           .destination_options()
           .destination_options()
           .destination_options()
           .destination_options()
           .tcp(1, 80)
           .syn()
           .build(),
       Drop::kExtensionLimit},
      {"a packet that ends in its TCP header", ip4().next(6).payload(19).build(),
       Drop::kTransportShort},
      {"a packet that ends in its UDP header", ip4().next(17).payload(7).build(),
       Drop::kTransportShort},
      {"TCP data offset of four words", ip4().tcp(1, 80).syn().data_offset(4).build(),
       Drop::kTcpOffset},
      {"a fragment that ends beyond 65535 bytes",
       ip4().fragment(65528, false).next(17).payload(100).build(), Drop::kFragmentLength},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    TestNode node;
    const Trace trace = node.see(row.frame, 1);
    CHECK(trace.decision.verdict == Verdict::kPass);
    CHECK(trace.decision.packet_class == 0);
    CHECK(node.drops(row.reason) == 1);
    CHECK(node.count(Count::kMalformed) == 1);
    CHECK(node.decided() == 0);
    CHECK(node.tracked() == 0);
    CHECK(node.delivered() == 0);
  }
}

TEST_CASE("a malformed packet leaves the connection alone that its ports name") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  node.see(tcp.to_server().rst().data_offset(3), 2);
  CHECK(node.status(tcp.key()) == kOpening);
  CHECK(node.record(tcp.key())->last_seen == 10);
}

TEST_CASE("an error that quotes nothing usable is counted and not delivered") {
  TestNode node;
  node.see(PacketBuilder::ethernet().ipv4(kRouter, kCluster4).icmp(3, 1).payload(4), 1);
  CHECK(node.drops(Drop::kQuoteUnusable) == 1);
  CHECK(node.decided() == 0);
  CHECK(node.delivered() == 0);
}

TEST_CASE("ICMP and ICMPv6 errors of all types follow the quoted connection in either table") {
  struct Row {
    std::string client;
    std::vector<int> types;
  };
  const Row rows[] = {
      {"198.51.100.7", {3, 4, 5, 11, 12}},     // RFC 792
      {"2001:db8::7", {1, 2, 3, 4, 100, 127}}  // RFC 4443: errors are the types below 128
  };
  for (const Row& row : rows) {
    const TcpClient tcp{.address = row.client};
    for (const int type : row.types) {
      CAPTURE(type);
      TestCluster cluster;
      cluster.see(tcp.syn(), 1);
      cluster.see(tcp.ack(), 1);
      cluster.give_all_buckets_to(1);
      const auto traces = cluster.see(error(tcp, static_cast<uint8_t>(type)), 5);
      CHECK(deliverers(traces) == "0");
      CHECK(traces[0].decision.packet_class == 2);
      CHECK(traces[1].decision.packet_class == 4);
      CHECK(cluster.node(0).count(Count::kErrorsFollowed) == 1);
      CHECK(cluster.node(1).count(Count::kErrorsFollowed) == 1);
      for (NodeIndex i = 0; i < kTestNodes; ++i) {
        CHECK(cluster.node(i).tracked() == 1);
        CHECK(cluster.node(i).status(tcp.key()) == kEstablished);
        // Anybody may send errors: they keep nothing alive.
        CHECK(cluster.node(i).record(tcp.key())->last_seen == 10);
      }
    }
  }
}

TEST_CASE("an error of an unknown connection: the quoted connection's bucket, and no entry") {
  std::vector<NodeIndex> owners(kTestBuckets);
  for (size_t i = 0; i < owners.size(); ++i) owners[i] = static_cast<NodeIndex>(i % 3);
  for (uint16_t port = 1; port <= 40; ++port) {
    for (const char* address : {"198.51.100.7", "2001:db8::7"}) {
      const TcpClient tcp{.address = address, .port = port};
      TestCluster cluster, opened;
      cluster.allocate(owners);
      opened.allocate(owners);
      const auto traces = cluster.see(error(tcp, address[0] == '1' ? 3 : 1, 4), 1);
      CHECK(deliverers(traces) == deliverers(opened.see(tcp.syn(), 1)));
      for (NodeIndex i = 0; i < kTestNodes; ++i) {
        CHECK(cluster.node(i).tracked() == 0);
        CHECK(cluster.node(i).count(Count::kErrorsByBucket) == 1);
        CHECK(cluster.node(i).in_class(5) + cluster.node(i).in_class(6) == 1);
      }
    }
  }
}

TEST_CASE("an error quotes UDP, SCTP, ICMP echo and tunnels too") {
  struct Row {
    const char* what;
    PacketBuilder opens;
    ByteVector quote;
  };
  const auto sent = [] { return PacketBuilder::raw().ipv4(kCluster4, "198.51.100.7"); };
  const Row rows[] = {
      {"udp", ip4().udp(5000, 80).payload(4), sent().udp(80, 5000).payload(4).build()},
      {"sctp", ip4().sctp(5000, 80).init(), sent().sctp(80, 5000).data().build()},
      {"echo", ip4().echo_request(9), sent().echo_reply(9).build()},
      {"gre", ip4().gre().payload(20), sent().gre().payload(20).build()},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    TestNode node;
    node.see(row.opens, 1);
    node.give_all_buckets_to(1);
    const auto icmp =
        PacketBuilder::ethernet().ipv4(kRouter, kCluster4).icmp_error(11, 0, row.quote);
    CHECK(node.see(icmp, 2).decision.packet_class == 2);
    CHECK(node.count(Count::kErrorsFollowed) == 1);
    CHECK(node.sizes().opening == 1);
  }
}

TEST_CASE("an error does not end a connection, nor open a closed one") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  node.see(tcp.fin(), 2);
  // The quoted packet is the cluster's SYN-ACK; an error is no opening packet whatever it quotes.
  const ByteVector quote =
      PacketBuilder::raw().ipv4(kCluster4, tcp.address).tcp(80, tcp.port).syn().build();
  node.see(PacketBuilder::ethernet().ipv4(kRouter, kCluster4).icmp_error(3, 1, quote), 3);
  CHECK(node.status(tcp.key()) == kClosing);
  CHECK(node.record(tcp.key())->last_seen == 20);
  CHECK(node.count(Count::kReopened) == 0);
}

TEST_CASE("errors that the server sends are watched and change nothing") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  const ByteVector quote =
      PacketBuilder::raw().ipv4(tcp.address, kCluster4).tcp(tcp.port, 80).build();
  node.send(PacketBuilder::ethernet().ipv4(kCluster4, tcp.address).icmp_error(3, 3, quote), 5);
  CHECK(node.status(tcp.key()) == kOpening);
  CHECK(node.record(tcp.key())->last_seen == 10);
  CHECK(node.count(Count::kWatched) == 1);
}

TEST_CASE("IPv6 extension headers are walked: the connection is the one behind them") {
  TestNode node;
  const TcpClient tcp{.address = "2001:db8::7", .port = 4000};
  node.see(ip6().hop_by_hop().routing(24).destination_options(16).tcp(4000, 80).syn(), 1);
  CHECK(node.in_class(1) == 1);
  CHECK(node.status(tcp.key()) == kOpening);
  CHECK(node.see(tcp.ack(), 2).decision.packet_class == 2);
}

TEST_CASE("AH is walked like an extension header, in both families") {
  TestNode node;
  node.see(ip4().ah().tcp(4000, 80).syn(), 1);
  node.see(ip6().ah(28 + 8).tcp(4000, 80).syn(), 1);
  CHECK(node.status(TcpClient{.port = 4000}.key()) == kOpening);
  CHECK(node.status(TcpClient{.address = "2001:db8::7", .port = 4000}.key()) == kOpening);
}

TEST_CASE("802.1Q and 802.1ad tags are parsed and are no part of the key") {
  TestNode node;
  const TcpClient tcp{.port = 4000};
  const auto tagged = PacketBuilder::ethernet()
                          .vlan(7, 0x88a8)
                          .vlan(8)
                          .ipv4(tcp.address, kCluster4)
                          .tcp(4000, 80)
                          .syn();
  const ByteVector frame = tagged.build();
  CHECK(node.see(frame, 1).decision.packet_class == 1);
  CHECK(node.see(tcp.ack(), 1).decision.packet_class == 2);
  // The tags are the link's: delivery begins with the IP header.
  CHECK(node.delivery().kept()[0].bytes == ByteVector(frame.begin() + 22, frame.end()));
}

TEST_CASE("Ethernet's padding is not delivered") {
  TestNode node;
  const ByteVector frame = TcpClient{}.syn().padding(6).build();
  node.see(frame, 1);
  CHECK(node.delivery().kept().at(0).bytes == ByteVector(frame.begin() + 14, frame.end() - 6));
}

TEST_CASE("tunnels (GRE, IP-in-IP, ESP) are connections of their outer addresses and protocol") {
  struct Row {
    const char* what;
    uint8_t protocol;
    PacketBuilder one, another;  // of the same tunnel, with other connections inside
  };
  const Row rows[] = {
      {"GRE", 47, ip4().gre().ipv4("10.1.1.1", "10.2.2.2").tcp(1, 2).syn(),
       ip4().gre().ipv4("10.3.3.3", "10.2.2.2").udp(5, 6)},
      {"IP-in-IP", 4, ip4().ipv4("10.1.1.1", "10.2.2.2").tcp(1, 2).syn(),
       ip4().ipv4("10.3.3.3", "10.2.2.2").udp(5, 6)},
      {"IPv6-in-IP", 41, ip4().ipv6("2001:db8::1:1", "2001:db8::2").tcp(1, 2).syn(),
       ip4().ipv6("2001:db8::1:3", "2001:db8::2").udp(5, 6)},
      {"ESP", 50, ip4().esp(1).payload(40), ip4().esp(2).payload(40)},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    TestNode node;
    CHECK(node.see(row.one, 1).decision.packet_class == 1);
    node.give_all_buckets_to(1);
    CHECK(node.see(row.another, 1).decision.packet_class == 2);
    CHECK(node.tracked() == 1);
    CHECK(node.status(key_of(row.protocol, "198.51.100.7", 0, kCluster4, 0)) == kEstablished);
  }
}
