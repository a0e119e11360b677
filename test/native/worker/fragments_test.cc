// Fragments from the wire to the delivery: the first one decides, the later ones follow it.
#include <doctest/doctest.h>

#include <algorithm>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

/// A datagram of `address`'s in four fragments.
std::vector<ByteVector> datagram(const std::string& address, uint32_t identification,
                                 uint16_t port = 40000) {
  const UdpClient udp{.address = address, .port = port};
  const size_t mtu = address.find(':') == std::string::npos ? 420 : 448;
  return fragments_of(udp.datagram(1500).build(), mtu, identification);
}

const char* const kClients[] = {"198.51.100.7", "2001:db8::7"};

/// What was delivered, as frames without their link header, in any order.
std::vector<ByteVector> delivered(TestNode& node) {
  std::vector<ByteVector> packets;
  for (const auto& packet : node.delivery().kept()) packets.push_back(packet.bytes);
  std::sort(packets.begin(), packets.end());
  return packets;
}

std::vector<ByteVector> without_link(const std::vector<ByteVector>& frames) {
  std::vector<ByteVector> packets;
  for (const ByteVector& frame : frames) packets.emplace_back(frame.begin() + 14, frame.end());
  std::sort(packets.begin(), packets.end());
  return packets;
}

}  // namespace

TEST_CASE("fragments in any order all go where the first one goes, byte for byte") {
  for (const char* address : kClients) {
    std::vector<ByteVector> frames = datagram(address, 7);
    REQUIRE(frames.size() == 4);
    std::vector<size_t> order = {0, 1, 2, 3};
    do {
      for (const NodeIndex owner : {0, 1}) {
        TestNode node;
        node.give_all_buckets_to(owner);
        double at = 1;
        for (const size_t i : order) node.see(frames[i], at += 0.01);
        CHECK(delivered(node) == (owner == 0 ? without_link(frames) : std::vector<ByteVector>{}));
        CHECK(node.count(Count::kFragments) == 4);
        CHECK(node.in_class(owner == 0 ? 1 : 3) == 1);
        CHECK(node.in_class(owner == 0 ? 2 : 4) == 3);
        CHECK(node.decided() == 4);
        CHECK(node.count(Count::kDiscarded) == (owner == 0 ? 0 : 4));
        CHECK(node.tracked() == 1);
        CHECK(node.worker().fragments_waiting() == 0);
        const auto first = std::find(order.begin(), order.end(), 0u) - order.begin();
        CHECK(node.count(Count::kFragmentsHeld) == static_cast<uint64_t>(first));
      }
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST_CASE("fragments in one burst, in order and reversed, with a packet of the flow between") {
  for (const char* address : kClients) {
    for (const bool reversed : {false, true}) {
      TestNode node;
      std::vector<ByteVector> frames = datagram(address, 7);
      if (reversed) std::reverse(frames.begin(), frames.end());
      frames.insert(frames.begin() + 2, UdpClient{.address = address}.datagram().build());
      const auto traces = node.see_burst(frames, 1);
      CHECK(delivered(node) == without_link(frames));
      CHECK(traces[0].held == reversed);
      CHECK(node.decided() == 5);
      CHECK(node.in_class(1) == 1);
    }
  }
}

TEST_CASE("a later fragment without its first one waits, and goes after its time, counted") {
  for (const char* address : kClients) {
    TestNode node;
    const std::vector<ByteVector> frames = datagram(address, 7);
    for (size_t i = 1; i < 4; ++i) {
      const Trace trace = node.see(frames[i], 1);
      CHECK(trace.held);
      CHECK(trace.decision.packet_class == 0);
    }
    CHECK(node.worker().fragments_waiting() == 3);
    CHECK(node.decided() == 0);
    CHECK(node.tracked() == 0);
    node.age(1.9);
    CHECK(node.worker().fragments_waiting() == 3);
    node.age(2);
    CHECK(node.worker().fragments_waiting() == 0);
    CHECK(node.drops(Drop::kFragmentExpired) == 3);
    CHECK(node.delivered() == 0);
    // The first one too late: it is decided, and nothing comes after it from the grave.
    node.see(frames[0], 2.1);
    CHECK(node.delivered() == 1);
  }
}

TEST_CASE("duplicated fragments are each delivered, as on any node that stands alone") {
  TestNode node;
  std::vector<ByteVector> frames = datagram(kClients[0], 7);
  std::vector<ByteVector> twice = {frames[1], frames[1], frames[0], frames[0],
                                   frames[2], frames[3], frames[2], frames[3]};
  for (const ByteVector& frame : twice) node.see(frame, 1);
  CHECK(delivered(node) == without_link(twice));
  CHECK(node.in_class(1) == 1);
  CHECK(node.in_class(2) == 7);
}

TEST_CASE("interleaved datagrams, of both families and two owners, are kept apart") {
  TestCluster cluster;
  const Distribution distribution(test_distribution());
  std::vector<NodeIndex> owners(kTestBuckets);
  for (size_t i = 0; i < owners.size(); ++i) owners[i] = static_cast<NodeIndex>(i % 3);
  cluster.allocate(owners);
  std::vector<std::vector<ByteVector>> datagrams;
  std::string expected;
  for (uint16_t port = 1; port <= 12; ++port) {
    for (const char* address : kClients) {
      // The same identification for all: ports are not what keeps datagrams apart, sources are.
      const std::string source =
          std::string(address).substr(0, std::string(address).size() - 1) + std::to_string(port);
      datagrams.push_back(datagram(source, 99, port));
      const Key key = UdpClient{.address = source, .port = port}.key();
      expected += static_cast<char>('0' + owners[distribution.bucket(header_fields(key))]);
    }
  }
  std::array<size_t, kTestNodes> packets{};
  for (const size_t part : {3u, 1u, 0u, 2u}) {
    for (const auto& frames : datagrams) cluster.see(frames[part], 1);
  }
  for (const char owner : expected) packets[static_cast<size_t>(owner - '0')] += 4;
  for (NodeIndex i = 0; i < kTestNodes; ++i) {
    CHECK(cluster.node(i).delivered() == packets[i]);
    CHECK(cluster.node(i).decided() == datagrams.size() * 4);
    CHECK(cluster.node(i).worker().fragments_waiting() == 0);
  }
}

TEST_CASE("a fragmented SYN opens, and its later fragments do not establish") {
  TestNode node;
  const TcpClient tcp;
  const ByteVector syn = tcp.syn().payload(1200).build();
  std::vector<ByteVector> frames = fragments_of(syn, 420);
  CHECK(node.see(frames[0], 1).decision.packet_class == 1);
  CHECK(node.see(frames[1], 2).decision.packet_class == 2);
  CHECK(node.see(frames[2], 3).decision.packet_class == 2);
  CHECK(node.status(tcp.key()) == kOpening);
  CHECK(node.record(tcp.key())->last_seen == 30);
}

TEST_CASE("a fragmented FIN closes by its first fragment alone") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  node.see(tcp.ack(), 1);
  const auto frames = fragments_of(tcp.to_server().fin().ack().payload(1200).build(), 420);
  node.see(frames[2], 2);
  CHECK(node.status(tcp.key()) == kEstablished);
  node.see(frames[0], 2);
  CHECK(node.status(tcp.key()) == kClosing);
  node.see(frames[1], 3);
  CHECK(node.status(tcp.key()) == kClosing);
}

TEST_CASE("the hold is bounded in count: what finds no room is dropped and counted") {
  Setup setup;
  setup.fragments.held_frames = 4;
  TestNode node(setup);
  std::vector<std::vector<ByteVector>> datagrams;
  for (uint32_t id = 0; id < 3; ++id) datagrams.push_back(datagram(kClients[0], id));
  for (const auto& frames : datagrams) {
    node.see(frames[1], 1);
    node.see(frames[2], 1);
  }
  CHECK(node.worker().fragments_waiting() == 4);
  CHECK(node.count(Count::kFragmentsHeld) == 4);
  CHECK(node.drops(Drop::kFragmentHeldFull) == 2);
  for (const auto& frames : datagrams) node.see(frames[0], 1);
  CHECK(node.delivered() == 3 + 4);
  CHECK(node.count(Count::kMalformed) == 0);
}

TEST_CASE("the hold is bounded in bytes") {
  Setup setup;
  setup.fragments.held_bytes = 2048;
  TestNode node(setup);
  for (uint32_t id = 0; id < 20; ++id) node.see(datagram(kClients[0], id)[1], 1);
  CHECK(node.worker().fragments_waiting() * 420 <= 2048);
  CHECK(node.worker().fragments_waiting() >= 2);
  CHECK(node.drops(Drop::kFragmentHeldFull) + node.worker().fragments_waiting() == 20);
}

TEST_CASE("the allocation changes between first and later fragments: the datagram stays whole") {
  for (const char* address : kClients) {
    for (const bool tracked : {true, false}) {
      CAPTURE(tracked);
      // Untracked: openings have no share, so that the table never knows the connection.
      TestCluster cluster({.opening_share = tracked ? 0.25 : 0.0});
      const std::vector<ByteVector> frames = datagram(address, 7);
      CHECK(deliverers(cluster.see(frames[1], 1)) == "");
      CHECK(deliverers(cluster.see(frames[0], 1)) == "0");
      cluster.give_all_buckets_to(1);
      CHECK(deliverers(cluster.see(frames[2], 1)) == "0");
      cluster.give_all_buckets_to(2);
      CHECK(deliverers(cluster.see(frames[3], 1)) == "0");
      CHECK(cluster.node(0).delivered() == 4);
      CHECK(cluster.node(1).delivered() == 0);
      CHECK(cluster.node(2).delivered() == 0);
      // Classes and verdicts say the same, also where the bucket has another owner by now.
      CHECK(cluster.node(0).in_class(1) + cluster.node(0).in_class(2) +
                cluster.node(0).in_class(5) ==
            4);
      CHECK(cluster.node(1).in_class(3) + cluster.node(1).in_class(4) +
                cluster.node(1).in_class(6) ==
            4);
    }
  }
}

TEST_CASE("a held fragment follows a first fragment that comes after the allocation has changed") {
  TestCluster cluster;
  const std::vector<ByteVector> frames = datagram(kClients[0], 7);
  cluster.see(frames[3], 1);
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(frames[0], 1)) == "1");
  CHECK(cluster.node(0).delivered() == 0);
  CHECK(cluster.node(1).delivered() == 2);
}

TEST_CASE("the connection moves between first and later fragments: the datagram stays whole") {
  TestCluster cluster;
  const TcpClient tcp;
  cluster.see(tcp.syn(), 1);
  const auto frames = fragments_of(tcp.to_server().fin().ack().payload(1200).build(), 420);
  CHECK(deliverers(cluster.see(frames[0], 2)) == "0");
  cluster.give_all_buckets_to(1);
  CHECK(deliverers(cluster.see(tcp.syn(), 2)) == "1");
  CHECK(deliverers(cluster.see(frames[1], 2)) == "0");
  CHECK(deliverers(cluster.see(frames[2], 2)) == "0");
}

TEST_CASE("fragments without ports of protocols without ports follow too") {
  TestNode node;
  const auto gre =
      PacketBuilder::ethernet().ipv4(kClients[0], kCluster4).gre().payload(1200).build();
  for (const ByteVector& frame : fragments_of(gre, 420)) node.see(frame, 1);
  CHECK(node.delivered() == fragments_of(gre, 420).size());
  CHECK(node.tracked() == 1);
}

TEST_CASE("a first fragment too short for TCP's flags goes by its ports and proves nothing") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  const ByteVector eight = {0x9c, 0x40, 0, 80, 0, 0, 0, 1};  // ports 40000 and 80
  const auto tiny = PacketBuilder::ethernet()
                        .ipv4(tcp.address, kCluster4)
                        .fragment(0, true)
                        .next(6)
                        .payload(eight);
  CHECK(node.see(tiny, 2).decision.packet_class == 2);
  CHECK(node.status(tcp.key()) == kOpening);
}

TEST_CASE("malformed first fragments leave the later ones to wait in vain") {
  TestNode node;
  const auto first = PacketBuilder::ethernet()
                         .ipv4(kClients[0], kCluster4)
                         .identification(5)
                         .fragment(0, true)
                         .next(132)
                         .payload(0);
  node.see(first, 1);
  CHECK(node.count(Count::kMalformed) == 1);
  CHECK(node.tracked() == 0);
}

TEST_CASE("fragments to strangers are not held") {
  TestNode node;
  const auto packet =
      PacketBuilder::ethernet().ipv4(kClients[0], "203.0.113.9").udp(1, 2).payload(1500).build();
  for (const ByteVector& frame : fragments_of(packet, 420)) node.see(frame, 1);
  CHECK(node.worker().fragments_waiting() == 0);
  CHECK(node.count(Count::kPassed) == fragments_of(packet, 420).size());
}

TEST_CASE("fragments that this node sends are watched: the first as usual, the later not held") {
  TestNode node;
  const UdpClient udp;
  node.see(udp.datagram(), 1);
  for (const ByteVector& frame : fragments_of(udp.reply(1500).build(), 420)) node.send(frame, 2);
  CHECK(node.status(udp.key()) == kEstablished);
  CHECK(node.worker().fragments_waiting() == 0);
  CHECK(node.delivered() == 1);
  CHECK(node.count(Count::kFragmentsHeld) == 0);
}

TEST_CASE("where both directions come from the wire, a server's later fragments do not wait") {
  TestNode node({.both_directions = true});
  const UdpClient udp;
  node.see(udp.datagram(), 1);
  for (const ByteVector& frame : fragments_of(udp.reply(1500).build(), 420)) node.see(frame, 5);
  CHECK(node.worker().fragments_waiting() == 0);
  CHECK(node.drops(Drop::kFragmentExpired) == 0);
  CHECK(node.status(udp.key()) == kEstablished);
  CHECK(node.record(udp.key())->last_seen == 50);
  CHECK(node.delivered() == 1);
}

TEST_CASE("what waits at the end of a capture is given up and counted") {
  TestNode node;
  node.see(datagram(kClients[0], 7)[2], 1);
  node.worker().abandon_fragments();
  CHECK(node.worker().fragments_waiting() == 0);
  CHECK(node.drops(Drop::kFragmentExpired) == 1);
}

TEST_CASE("a fragmented ICMP error follows what it quotes, and refreshes it with no fragment") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  const ByteVector quote = PacketBuilder::raw()
                               .ipv4(kCluster4, tcp.address)
                               .tcp(80, tcp.port)
                               .ack()
                               .payload(900)
                               .build();
  const auto error =
      PacketBuilder::ethernet().ipv4("203.0.113.1", kCluster4).icmp_error(3, 1, quote).build();
  node.give_all_buckets_to(1);
  const auto frames = fragments_of(error, 420);
  for (const ByteVector& frame : frames) node.see(frame, 5);
  CHECK(node.delivered() == 1 + frames.size());
  CHECK(node.count(Count::kErrorsFollowed) == frames.size());
  CHECK(node.record(tcp.key())->last_seen == 10);
}
