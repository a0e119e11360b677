// Port rules at a worker: what is refused, what one node has, and what is left to the kernel.
#include <doctest/doctest.h>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

constexpr uint16_t kWeb = 80;  // the port of TcpClient and UdpClient
constexpr NodeIndex kSelf = 0, kOther = 1;

DistributionOptions with_rules(std::vector<Rule> rules) {
  DistributionOptions options = test_distribution();
  options.rules = std::move(rules);
  return options;
}

/// All buckets one node's; then the owners of the single rules, and what is nobody's.
std::vector<NodeIndex> owners(NodeIndex of_buckets, std::vector<NodeIndex> behind) {
  std::vector<NodeIndex> all = all_of(of_buckets);
  all.insert(all.end(), behind.begin(), behind.end());
  return all;
}

void decide_by(TestNode& node, const DistributionOptions& options, std::vector<NodeIndex> owner) {
  Criteria criteria = node.worker().criteria();
  criteria.distribution = Distribution(options);
  criteria.allocation.owner = std::move(owner);
  criteria.allocation.epoch += 1;
  node.worker().replace_criteria(std::move(criteria));
}

const Rule kRefuseWeb{.protocols = {6, 17}, .ports = {{kWeb, kWeb}}, .action = RuleAction::kRefuse};
const Rule kSingleWeb{.protocols = {6}, .ports = {{kWeb, kWeb}}, .action = RuleAction::kSingle};
const Rule kPassWeb{.protocols = {6, 17}, .ports = {{kWeb, kWeb}}, .action = RuleAction::kPass};

PacketBuilder udp_from(const std::string& from, const std::string& to, uint16_t port,
                       uint16_t to_port) {
  return PacketBuilder::ethernet().ipv4(from, to).udp(port, to_port).payload(10);
}

}  // namespace

TEST_CASE("a refused packet is counted, enters nothing and is in no class") {
  TestNode node;
  decide_by(node, with_rules({kRefuseWeb}), owners(kSelf, {kNobody}));
  const TcpClient tcp;
  const Trace trace = node.see(tcp.syn(), 1);
  CHECK(trace.packet.drop == Drop::kRefused);
  CHECK(trace.decision.packet_class == 0);
  CHECK(trace.decision.verdict == Verdict::kDiscard);
  node.see(UdpClient{}.datagram(), 1);
  node.see(tcp.ack(), 2);
  CHECK(node.drops(Drop::kRefused) == 3);
  CHECK(node.decided() == 0);
  CHECK(node.delivered() == 0);
  CHECK(node.tracked() == 0);
  CHECK(node.count(Count::kDiscarded) == 0);
  for (const AuditEpoch& epoch : node.worker().audit().epochs()) CHECK(epoch.seen == 0);
}

TEST_CASE("an open connection goes on when its port is refused, and another cannot be opened") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  node.see(tcp.ack(), 1);
  decide_by(node, with_rules({kRefuseWeb}), owners(kOther, {kNobody}));
  CHECK(node.see(tcp.data(), 2).decision.packet_class == 2);
  TcpClient late = tcp;
  late.port = 40001;
  CHECK(node.see(late.syn(), 2).packet.drop == Drop::kRefused);
  node.see(tcp.rst(), 3);
  CHECK(node.see(tcp.syn(), 60).packet.drop == Drop::kRefused);
  CHECK(node.tracked() == 0);
}

TEST_CASE("fragments of a refused datagram are refused, in whatever order they come") {
  TestNode node;
  decide_by(node, with_rules({kRefuseWeb}), owners(kSelf, {kNobody}));
  const auto fragment = [](uint16_t id, uint16_t offset, bool more) {
    auto builder = PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4);
    builder.identification(id).fragment(offset, more);
    return offset == 0 ? builder.udp(40000, kWeb).payload(16) : builder.next(17).payload(24);
  };
  node.see(fragment(1, 0, true), 1);
  node.see(fragment(1, 24, false), 1);
  CHECK(node.drops(Drop::kRefused) == 2);
  CHECK(node.see(fragment(2, 24, false), 2).held);
  node.see(fragment(2, 0, true), 2);
  CHECK(node.drops(Drop::kRefused) == 4);
  CHECK(node.decided() == 0);
  CHECK(node.delivered() == 0);
}

TEST_CASE("an ICMP error about a refused port is refused, unless its connection is known") {
  TestNode node;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  decide_by(node, with_rules({kRefuseWeb}), owners(kSelf, {kNobody}));
  const auto error = [](uint16_t client_port) {
    const ByteVector quoted =
        PacketBuilder::raw().ipv4(kCluster4, "198.51.100.7").tcp(kWeb, client_port).ack().build();
    return PacketBuilder::ethernet().ipv4("203.0.113.1", kCluster4).icmp_error(3, 4, quoted);
  };
  CHECK(node.see(error(40000), 2).decision.packet_class == 2);
  CHECK(node.see(error(40001), 2).packet.drop == Drop::kRefused);
}

TEST_CASE("what one node has goes by that node's own bucket alone") {
  TestNode node;
  decide_by(node, with_rules({kSingleWeb}), owners(kOther, {kSelf}));
  const TcpClient tcp;
  const Trace trace = node.see(tcp.syn(), 1);
  CHECK(trace.decision.packet_class == 1);
  CHECK(trace.decision.bucket == kTestBuckets);
  CHECK(node.see(UdpClient{}.datagram(), 1).decision.packet_class == 3);
  // To the other node: open connections stay, others go there.
  decide_by(node, with_rules({kSingleWeb}), owners(kSelf, {kOther}));
  CHECK(node.see(tcp.ack(), 2).decision.packet_class == 2);
  TcpClient late = tcp;
  late.port = 40001;
  CHECK(node.see(late.syn(), 2).decision.packet_class == 3);
}

TEST_CASE("a single rule is handed over like a bucket, exactly once") {
  TestCluster cluster;
  const DistributionOptions rules = with_rules({kSingleWeb});
  for (NodeIndex i = 0; i < kTestNodes; ++i) decide_by(cluster.node(i), rules, owners(2, {0}));
  TcpClient tcp;
  CHECK(deliverers(cluster.see(tcp.syn(), 1)) == "0");
  cluster.prepare(owners(2, {1}), rules);
  cluster.hold();
  TcpClient during = tcp;
  during.port = 40001;
  CHECK(deliverers(cluster.see(during.syn(), 1.1)) == "0");
  cluster.release();
  TcpClient between = tcp;
  between.port = 40002;
  CHECK(deliverers(cluster.see(between.syn(), 1.11)).empty());
  CHECK(cluster.node(1).worker().held() == 2);
  const Resolved resolved = cluster.acquire();
  CHECK(resolved.opened == 1);
  cluster.commit();
  cluster.settle();
  CHECK(deliverers(cluster.see(tcp.ack(), 1.2)) == "0");
  CHECK(deliverers(cluster.see(during.ack(), 1.2)) == "0");
  CHECK(deliverers(cluster.see(between.ack(), 1.2)) == "1");
}

TEST_CASE("a port that begins to be refused, or ceases to be, loses and doubles nothing") {
  TestCluster cluster;
  const DistributionOptions refusing = with_rules({kRefuseWeb});
  TcpClient tcp;
  cluster.see(tcp.syn(), 1);
  cluster.prepare(owners(0, {kNobody}), refusing);
  cluster.hold();
  TcpClient during{.port = 40001};
  CHECK(deliverers(cluster.see(during.syn(), 1.1)) == "0");
  cluster.release();
  TcpClient late{.port = 40002};
  CHECK(deliverers(cluster.see(late.syn(), 1.11)).empty());
  cluster.acquire();
  cluster.commit();
  cluster.settle();
  CHECK(deliverers(cluster.see(tcp.ack(), 2)) == "0");
  CHECK(deliverers(cluster.see(during.ack(), 2)) == "0");
  CHECK(deliverers(cluster.see(late.syn(), 2)).empty());
  // Back again: refused until everybody decides by the next criteria, and never held.
  cluster.prepare(all_of(1), test_distribution());
  cluster.hold();
  TcpClient early{.port = 40003};
  CHECK(deliverers(cluster.see(early.syn(), 2.1)).empty());
  CHECK(cluster.node(1).worker().held() == 0);
  cluster.release();
  cluster.acquire();
  cluster.commit();
  cluster.settle();
  CHECK(deliverers(cluster.see(early.syn(), 3)) == "1");
  CHECK(deliverers(cluster.see(tcp.ack(), 3)) == "0");
}

TEST_CASE("nobody inherits a dead node's connection to a port that is refused by now") {
  TestNode node;
  const TcpClient tcp;
  node.give_all_buckets_to(kOther);
  node.see(tcp.syn(), 1);
  node.see(tcp.ack(), 1);
  REQUIRE(node.owner(tcp.key()) == kOther);
  decide_by(node, with_rules({kRefuseWeb}), owners(kSelf, {kNobody}));
  CHECK(node.adopt({kOther}) == 0);
  CHECK(node.tracked() == 0);
  CHECK(node.see(tcp.data(), 2).packet.drop == Drop::kRefused);
}

TEST_CASE("a passed packet is none of ours: no class, no entry, no delivery") {
  TestNode node;
  decide_by(node, with_rules({kPassWeb}), owners(kSelf, {kNobody}));
  const TcpClient tcp;
  const Trace trace = node.see(tcp.syn(), 1);
  CHECK(trace.decision.passed);
  CHECK(trace.decision.verdict == Verdict::kPass);
  CHECK(node.count(Count::kPassed) == 1);
  CHECK(node.count(Count::kPassedByRule) == 1);
  CHECK(node.count(Count::kPassedOn) == 0);
  node.send(tcp.syn_ack(), 1);
  CHECK(node.count(Count::kPassedByRule) == 2);
  CHECK(node.decided() == 0);
  CHECK(node.delivered() == 0);
  CHECK(node.tracked() == 0);
  CHECK(node.see(udp_from("198.51.100.7", kCluster4, 40000, 81), 1).decision.packet_class == 1);
}

TEST_CASE("what the guard cannot tell apart of a passed connection is handed in") {
  TestNode node;
  decide_by(node, with_rules({kPassWeb}), owners(kOther, {kNobody}));
  const auto base = [] { return PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4); };

  SUBCASE("an ICMP error, with the connection that it quotes") {
    const ByteVector quoted =
        PacketBuilder::raw().ipv4(kCluster4, "198.51.100.7").tcp(kWeb, 40000).ack().build();
    CHECK(node.see(base().icmp_error(3, 4, quoted), 1).decision.verdict == Verdict::kDeliver);
    const ByteVector other =
        PacketBuilder::raw().ipv4(kCluster4, "198.51.100.7").tcp(81, 40000).ack().build();
    CHECK(node.see(base().icmp_error(3, 4, other), 1).decision.verdict == Verdict::kDiscard);
  }
  SUBCASE("a later fragment, but not the first") {
    CHECK_FALSE(node.see(base().identification(5).fragment(24, false).next(17).payload(24), 1)
                    .decision.passed);
    const Trace first =
        node.see(base().identification(5).fragment(0, true).udp(40000, kWeb).payload(16), 1);
    CHECK(first.decision.verdict == Verdict::kPass);
    CHECK(node.see(base().identification(5).fragment(48, false).next(17).payload(24), 1)
              .decision.verdict == Verdict::kDeliver);
    CHECK(node.count(Count::kPassedOn) == 2);
    CHECK(node.delivered() == 2);
    CHECK(node.count(Count::kPassedByRule) == 3);
    return;
  }
  SUBCASE("behind an authentication header of IPv4, but not of IPv6") {
    CHECK(node.see(base().ah().tcp(40000, kWeb).syn(), 1).decision.verdict == Verdict::kDeliver);
    const auto ipv6 =
        PacketBuilder::ethernet().ipv6("2001:db8::7", kCluster6).ah().tcp(40000, kWeb);
    CHECK(node.see(PacketBuilder(ipv6).syn(), 1).decision.verdict == Verdict::kPass);
  }
  SUBCASE("behind two VLAN tags, but not one") {
    const auto tagged = [](int tags) {
      PacketBuilder builder = PacketBuilder::ethernet();
      for (int i = 0; i < tags; ++i) builder.vlan(static_cast<uint16_t>(10 + i));
      return builder.ipv4("198.51.100.7", kCluster4).tcp(40000, kWeb).syn();
    };
    CHECK(node.see(tagged(2), 1).decision.verdict == Verdict::kDeliver);
    CHECK(node.see(tagged(1), 1).decision.verdict == Verdict::kPass);
  }
  CHECK(node.count(Count::kPassedOn) == 1);
  CHECK(node.delivered() == 1);
}

TEST_CASE("without a lease what is passed is handed in all the same") {
  TestNode node;
  decide_by(node, with_rules({kPassWeb}), owners(kSelf, {kNobody}));
  node.worker().set_open_until(1);
  const auto packet =
      PacketBuilder::ethernet().ipv4("198.51.100.7", kCluster4).ah().tcp(40000, kWeb).syn();
  CHECK(node.see(PacketBuilder(packet), 1).decision.verdict == Verdict::kDeliver);
  CHECK(node.delivered() == 1);
}
