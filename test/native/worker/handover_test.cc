// Handovers step by step: three nodes before one wire, and packets at each step.
#include <doctest/doctest.h>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

TcpClient client(int n) {
  return {.address = n % 2 ? "198.51.100.7" : "2001:db8::7",
          .port = static_cast<uint16_t>(40000 + n)};
}

std::string see(TestCluster& cluster, const PacketBuilder& frame, double at) {
  return deliverers(cluster.see(frame, at));
}

/// Who delivered so far, as "1/0/0".
std::string delivered(TestCluster& cluster) {
  std::string counts;
  for (NodeIndex i = 0; i < kTestNodes; ++i) {
    counts += (i ? "/" : "") + std::to_string(cluster.node(i).delivered());
  }
  return counts;
}

}  // namespace

TEST_CASE("handover: at every step an opening has one deliverer, and it keeps its connection") {
  for (const Tracking tracking : {Tracking::kObserve, Tracking::kOwn}) {
    CAPTURE(static_cast<int>(tracking));
    TestCluster cluster({.tracking = tracking});
    const auto open = [&](int n, double at) { return see(cluster, client(n).syn(), at); };
    CHECK(open(0, 1) == "0");
    cluster.prepare(all_of(1));
    CHECK(open(1, 1.01) == "0");
    // What the loser had opened before travels with the long list; observers know it anyway.
    const List moving = cluster.node(0).list(ListKind::kMoving, 1);
    CHECK(moving.size() == 2);
    cluster.node(1).merge(moving, cluster.node(0));
    cluster.hold();
    CHECK(open(2, 1.02) == "0");
    CHECK(cluster.node(1).worker().held() == 1);
    cluster.release();
    CHECK(open(3, 1.03) == "");
    CHECK(cluster.node(1).worker().held() == 2);
    const Resolved resolved = cluster.acquire();
    CHECK(resolved.opened == 1);
    CHECK(resolved.followed == 1);
    CHECK(resolved.expired == 0);
    CHECK(delivered(cluster) == "3/1/0");
    CHECK(open(4, 1.04) == "1");
    cluster.commit();
    CHECK(open(5, 1.05) == "1");
    cluster.settle();
    // Whatever came when: by now every node knows, and each connection is where it was opened.
    const std::string owners[] = {"0", "0", "0", "1", "1", "1"};
    for (int n = 0; n < 6; ++n) {
      CAPTURE(n);
      CHECK(see(cluster, client(n).ack(), 2) == owners[n]);
      CHECK(see(cluster, client(n).syn(), 2) == owners[n]);
      if (tracking == Tracking::kOwn) continue;
      for (NodeIndex i = 0; i < kTestNodes; ++i) {
        CHECK(cluster.node(i).owner(client(n).key()) == NodeIndex(owners[n][0] - '0'));
      }
    }
    CHECK(cluster.node(1).count(Count::kHeld) == 2);
    CHECK(cluster.node(1).count(Count::kHeldOpened) == 1);
    CHECK(cluster.node(1).count(Count::kHeldFollowed) == 1);
    CHECK(cluster.node(0).count(Count::kContested) == 2);  // clients 1 and 2
    CHECK(cluster.node(1).count(Count::kContested) == 3);  // clients 3, 4 and 5
    CHECK(cluster.node(2).delivered() == 0);
  }
}

TEST_CASE("handover: a connection that came and went during the hold stays the loser's") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  cluster.hold();
  for (const PacketBuilder& frame : {client(1).syn(), client(1).data(), client(1).fin()}) {
    CHECK(see(cluster, frame, 1.01) == "0");
  }
  CHECK(cluster.node(1).worker().held() == 3);
  cluster.release();
  const Resolved resolved = cluster.acquire();
  CHECK(resolved.opened == 0);
  CHECK(resolved.followed == 3);
  CHECK(delivered(cluster) == "3/0/0");
  CHECK(cluster.node(1).count(Count::kReopened) == 0);
}

TEST_CASE("handover: what waited does not reopen a connection that this node has seen closing") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  cluster.hold();
  see(cluster, client(1).syn(), 1);
  TestNode& gainer = cluster.node(1);
  // The list comes before the rest of the connection.
  gainer.merge(cluster.node(0).list(ListKind::kReleased, 1), cluster.node(0));
  CHECK(see(cluster, client(1).data(), 1.02) == "0");
  CHECK(see(cluster, client(1).fin(), 1.03) == "0");
  CHECK(gainer.status(client(1).key()) == kClosing);
  cluster.release();
  CHECK(cluster.acquire().followed == 1);
  CHECK(delivered(cluster) == "3/0/0");
}

TEST_CASE("handover: a gainer that is behind its list does not open what has closed already") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  // The gainer has not looked at these yet.
  for (const PacketBuilder& frame : {client(1).syn(), client(1).data(), client(1).fin()}) {
    cluster.node(0).see(frame, 1);
  }
  cluster.hold();
  TestNode& gainer = cluster.node(1);
  gainer.age(1.05);
  gainer.merge(cluster.node(0).list(ListKind::kMoving, 1), cluster.node(0));
  cluster.release();
  cluster.acquire();
  cluster.commit();
  for (const PacketBuilder& frame : {client(1).syn(), client(1).data()}) {
    CHECK(gainer.see(frame, 1.1).decision.packet_class == 4);
  }
  SUBCASE("once it has seen the connection closing itself, the next SYN is another's") {
    CHECK(gainer.see(client(1).fin(), 1.1).decision.packet_class == 4);
    CHECK(gainer.see(client(1).syn(), 1.2).decision.packet_class == 1);
  }
  SUBCASE("and so it is when it cannot be behind any more") {
    CHECK(gainer.see(client(1).syn(), 1.4).decision.packet_class == 4);
    CHECK(gainer.see(client(1).syn(), 1.5).decision.packet_class == 1);
  }
}

TEST_CASE("handover: nor when the SYN was a repetition, and came long after the first") {
  // The loser had no lease when the first SYN came; the gainer, behind, has noted that one.
  TestCluster cluster;
  TestNode& loser = cluster.node(0);
  TestNode& gainer = cluster.node(1);
  loser.worker().set_open_until(0);
  loser.see(client(1).syn(), 1);
  gainer.see(client(1).syn(), 1);
  loser.worker().set_open_until(UINT64_MAX);
  cluster.prepare(all_of(1));
  CHECK(loser.see(client(1).syn(), 2.6).decision.verdict == Verdict::kDeliver);
  loser.see(client(1).data(), 2.6);
  loser.see(client(1).fin(), 2.7);
  cluster.hold();
  gainer.age(2.75);
  gainer.merge(loser.list(ListKind::kMoving, 1), loser);
  cluster.release();
  cluster.acquire();
  cluster.commit();
  for (const PacketBuilder& frame : {client(1).syn(), client(1).data()}) {
    CHECK(gainer.see(frame, 2.8).decision.packet_class == 4);
  }
  CHECK(gainer.owner(client(1).key()) == 0);
}

TEST_CASE("handover: a gainer's openings are contested until all decide by the new criteria") {
  for (const HashFunction hash : {HashFunction::kSipHash, HashFunction::kJhash}) {
    TestNode gainer({}, 1);
    std::vector<NodeIndex> before = all_of(0), after = all_of(1);
    for (size_t i = 0; i < kTestBuckets; i += 2) before[i] = 1;
    DistributionOptions next = test_distribution();
    next.hash = hash;
    gainer.allocate(before);
    gainer.prepare(after, next);
    gainer.hold();
    gainer.acquire({0});
    gainer.commit();
    for (int n = 0; n < 30; ++n) gainer.see(client(n).syn(), 1);
    const Distribution distribution(test_distribution());
    size_t gained = 0;
    for (int n = 0; n < 30; ++n) {
      const Key key = client(n).key();
      const bool was_its_own = before[distribution.bucket(header_fields(key))] == 1;
      CHECK((gainer.record(key)->flags & kContested) == (was_its_own ? 0 : kContested));
      gained += !was_its_own;
    }
    CHECK(gainer.list(ListKind::kContested, 2).size() == gained);
    gainer.worker().clear_contested();
    gainer.see(client(30).syn(), 1);
    gainer.see(client(31).syn(), 1);
    CHECK(gainer.list(ListKind::kContested, 2).empty());
  }
}

TEST_CASE(
    "handover: a SYN that its owner left unanswered is the next owner's when it comes again") {
  for (const Tracking tracking : {Tracking::kObserve, Tracking::kOwn}) {
    TestCluster cluster({.tracking = tracking});
    cluster.node(0).worker().set_open_until(0);
    CHECK(see(cluster, client(1).syn(), 1) == "");
    CHECK(see(cluster, client(1).syn(), 1.1) == "");
    cluster.prepare(all_of(1));
    CHECK(see(cluster, client(1).syn(), 1.2) == "");
    cluster.exchange(ListKind::kMoving);
    cluster.hold();
    CHECK(see(cluster, client(1).syn(), 1.3) == "");
    CHECK(cluster.node(1).worker().held() == 1);
    cluster.release();
    CHECK(cluster.acquire().opened == 1);
    cluster.commit();
    cluster.settle();
    CHECK(delivered(cluster) == "0/1/0");
    CHECK(see(cluster, client(1).ack(), 1.4) == "1");
  }
}

TEST_CASE("handover: what waited in vain is opened by its new owner when it comes again") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  cluster.hold();
  cluster.release();
  CHECK(see(cluster, client(1).syn(), 1) == "");
  CHECK(cluster.node(0).owner(client(1).key()) == 1);
  cluster.node(1).age(1.3);
  CHECK(cluster.acquire().expired == 1);
  cluster.commit();
  cluster.settle();
  // Then the bucket moves on, and nobody knows of this connection but by hearsay.
  cluster.hand_over(all_of(2));
  CHECK(see(cluster, client(1).syn(), 2) == "2");
  for (NodeIndex i = 0; i < kTestNodes; ++i) CHECK(cluster.node(i).owner(client(1).key()) == 2);
  // The same packet, seen by the same nodes: nobody counts it twice.
  const auto counted = [&](NodeIndex i) {
    AuditEpoch all;
    for (const AuditEpoch& each : cluster.node(i).worker().audit().epochs()) {
      all.seen += each.seen;
      all.taken += each.taken;
    }
    return all;
  };
  CHECK(counted(0).seen == 1);
  CHECK(counted(2).taken == 1);
}

TEST_CASE("handover: a connection that its owner has taken is not decided anew") {
  TestCluster cluster;
  CHECK(see(cluster, client(1).syn(), 1) == "0");
  cluster.hand_over(all_of(1));
  CHECK(see(cluster, client(1).syn(), 2) == "0");
  CHECK(cluster.node(1).owner(client(1).key()) == 0);
  CHECK(cluster.node(1).in_class(4) == 1);
  cluster.hand_over(all_of(2));
  CHECK(see(cluster, client(1).syn(), 3) == "0");
  CHECK(see(cluster, client(1).ack(), 3) == "0");
}

TEST_CASE("handover: what a third node notes anew is no later connection") {
  TestCluster cluster;
  CHECK(see(cluster, client(1).syn(), 1) == "0");
  cluster.hand_over(all_of(1));
  CHECK(see(cluster, client(1).syn(), 4) == "0");
  CHECK(cluster.node(2).owner(client(1).key()) == 1);  // as far as it can know
  CHECK(cluster.node(2).record(client(1).key())->opened == 10);
  CHECK(see(cluster, client(1).fin(), 5) == "0");
  cluster.hand_over(all_of(2));
  cluster.hand_over(all_of(1));
  CHECK(see(cluster, client(1).fin(), 6) == "0");
  for (NodeIndex i = 0; i < kTestNodes; ++i) CHECK(cluster.node(i).owner(client(1).key()) == 0);
}

TEST_CASE("handover: a second datagram is decided anew only where it would be taken") {
  const UdpClient udp;
  TestCluster cluster;
  cluster.node(0).worker().set_open_until(0);
  CHECK(deliverers(cluster.see(udp.datagram(), 1)) == "");
  cluster.hand_over(all_of(1));
  CHECK(deliverers(cluster.see(udp.datagram(), 2)) == "1");
  CHECK(cluster.node(2).owner(udp.key()) == 0);
  CHECK(cluster.node(2).status(udp.key()) == kEstablished);
}

TEST_CASE("handover: packets of known connections never wait") {
  TestCluster cluster;
  see(cluster, client(0).syn(), 1);
  cluster.prepare(all_of(1));
  cluster.hold();
  CHECK(see(cluster, client(0).ack(), 1) == "0");
  cluster.release();
  CHECK(see(cluster, client(0).data(), 1) == "0");
  CHECK(cluster.node(1).worker().held() == 0);
}

TEST_CASE(
    "handover: a third node's errors and watched packets do not wait, and go by the old owner") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  cluster.hold();
  const ByteVector quoted =
      PacketBuilder::raw().ipv4(kCluster4, client(1).address).tcp(80, client(1).port).ack().build();
  const PacketBuilder error =
      PacketBuilder::ethernet().ipv4("203.0.113.9", kCluster4).icmp_error(3, 1, quoted);
  CHECK(see(cluster, error, 1) == "0");
  cluster.release();
  CHECK(see(cluster, error, 1) == "0");
  cluster.node(1).send(client(1).syn_ack(), 1);
  CHECK(cluster.node(1).worker().held() == 0);
}

TEST_CASE("handover: what waits is decided in the order in which it came") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  cluster.hold();
  cluster.release();
  // Two connections' packets, interleaved; a burst of one, then single packets.
  const TcpClient a = client(1), b = client(3);
  cluster.node(1).see_burst({a.syn().build(), b.syn().build(), a.ack().build()}, 1);
  cluster.node(1).see(b.ack(), 1.01);
  cluster.node(1).see(a.fin(), 1.02);
  CHECK(cluster.node(1).worker().held() == 5);
  CHECK(cluster.node(1).delivered() == 0);
  const Resolved resolved = cluster.acquire();
  CHECK(resolved.opened == 2);
  CHECK(resolved.followed == 3);
  const auto& kept = cluster.node(1).delivery().kept();
  REQUIRE(kept.size() == 5);
  const PacketBuilder sent[] = {a.syn(), b.syn(), a.ack(), b.ack(), a.fin()};
  for (size_t i = 0; i < 5; ++i) {
    const ByteVector frame = sent[i].build();
    CHECK(kept[i].bytes == ByteVector(frame.begin() + 14, frame.end()));
  }
  CHECK(cluster.node(1).status(a.key()) == kClosing);
  CHECK(cluster.node(1).status(b.key()) == kEstablished);
}

TEST_CASE("handover: a SYN that is repeated while it waits opens once") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  cluster.hold();
  cluster.release();
  see(cluster, client(1).syn(), 1);
  see(cluster, client(1).syn(), 1.1);
  CHECK(cluster.node(1).worker().held() == 2);
  const Resolved resolved = cluster.acquire();
  CHECK(resolved.opened == 1);
  CHECK(resolved.followed == 1);
  CHECK(cluster.node(1).in_class(1) == 1);
  CHECK(cluster.node(1).in_class(2) == 1);
  CHECK(delivered(cluster) == "0/2/0");
}

TEST_CASE("handover: the hold is bounded in bytes, and what finds no room is counted") {
  TestCluster cluster({.hold = {.bytes = 3 * 512}});
  cluster.prepare(all_of(1));
  cluster.hold();
  cluster.release();
  for (int n = 0; n < 5; ++n) see(cluster, client(n).syn(), 1);
  CHECK(cluster.node(1).worker().held() == 3);
  CHECK(cluster.node(1).drops(Drop::kHoldFull) == 2);
  CHECK(cluster.acquire().opened == 3);
  CHECK(cluster.node(1).worker().held() == 0);
  // The client tries again.
  CHECK(see(cluster, client(4).syn(), 2) == "1");
  cluster.commit();
  CHECK(cluster.node(0).drops(Drop::kHoldFull) + cluster.node(2).drops(Drop::kHoldFull) == 0);
}

TEST_CASE("handover: what waits longer than 200 ms is dropped and counted") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  cluster.hold();
  cluster.release();
  TestNode& gainer = cluster.node(1);
  gainer.see(client(1).syn(), 1);
  gainer.see(client(2).syn(), 1.15);
  gainer.age(1.199);
  CHECK(gainer.worker().held() == 2);
  gainer.age(1.2);
  CHECK(gainer.worker().held() == 1);
  CHECK(gainer.drops(Drop::kHoldExpired) == 1);
  const Resolved resolved = cluster.acquire();
  CHECK(resolved.expired == 1);
  CHECK(resolved.opened == 1);
  CHECK(gainer.delivered() == 1);
}

TEST_CASE("handover: what has waited too long is not decided by the step that comes too late") {
  for (const bool committed : {false, true}) {
    TestNode gainer({}, 1);
    gainer.prepare(all_of(1));
    gainer.hold();
    gainer.see(client(1).syn(), 1);
    // Time passes, and nobody has looked at what waits.
    MemorySource nothing{std::vector<Frame>{}};
    gainer.worker().turn(nothing, nanoseconds(1.3));
    if (committed) {
      gainer.commit();
    } else {
      CHECK(gainer.acquire({0}).expired == 1);
    }
    CHECK(gainer.delivered() == 0);
    CHECK(gainer.drops(Drop::kHoldExpired) == 1);
    CHECK(gainer.owner(client(1).key()) == 0);
  }
}

TEST_CASE("handover: what has waited in vain is known as the loser's, until it comes again") {
  for (const bool full : {false, true}) {
    CAPTURE(full);
    TestCluster cluster(full ? Setup{.hold = {.bytes = 0}} : Setup{});
    cluster.prepare(all_of(1));
    cluster.hold();
    for (const NodeIndex i : {0, 1, 2}) {
      cluster.node(i).see(client(1).syn(), 1);
      cluster.node(i).see(client(1).ack(), 1.1);
      cluster.node(i).see(client(2).syn(), 1.1);
      cluster.node(i).age(1.4);
    }
    TestNode& gainer = cluster.node(1);
    CHECK(gainer.worker().held() == 0);
    CHECK(gainer.drops(full ? Drop::kHoldFull : Drop::kHoldExpired) >= 2);
    CHECK(gainer.delivered() == 0);
    // As on the third node, which holds nothing.
    for (const NodeIndex i : {1, 2}) {
      CHECK(cluster.node(i).owner(client(1).key()) == 0);
      CHECK(cluster.node(i).record(client(1).key())->status == ConnectionStatus::kEstablished);
      CHECK(cluster.node(i).owner(client(2).key()) == 0);
    }
    // Nobody has answered client 3, and here that is only noted: it waits again.
    gainer.see(client(3).syn(), 1.5);
    gainer.age(1.8);
    CHECK(gainer.owner(client(3).key()) == 0);
    gainer.see(client(3).syn(), 1.9);
    CHECK(gainer.worker().held() == (full ? 0 : 1));
    CHECK((gainer.record(client(3).key()) == nullptr) == !full);
  }
}

TEST_CASE("handover: the later fragments of a held first one wait with it") {
  for (const bool loser_opens : {false, true}) {
    TestCluster cluster;
    const TcpClient tcp = client(1);
    const auto frames = fragments_of(tcp.syn().payload(1200).build(), 420);
    REQUIRE(frames.size() >= 3);
    cluster.prepare(all_of(1));
    cluster.hold();
    if (!loser_opens) cluster.release();
    for (const ByteVector& frame : frames) cluster.see(frame, 1);
    TestNode& gainer = cluster.node(1);
    CHECK(gainer.worker().held() == 1);
    CHECK(gainer.worker().fragments_waiting() == frames.size() - 1);
    if (loser_opens) cluster.release();
    cluster.acquire();
    CHECK(gainer.worker().fragments_waiting() == 0);
    CHECK(gainer.delivered() == (loser_opens ? 0 : frames.size()));
    CHECK(cluster.node(0).delivered() == (loser_opens ? frames.size() : 0));
  }
}

TEST_CASE("handover: rolled back, what waited is the loser's and noted as such") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  cluster.hold();
  CHECK(see(cluster, client(1).syn(), 1) == "0");
  for (NodeIndex i = 0; i < kTestNodes; ++i) cluster.node(i).roll_back();
  CHECK(cluster.node(1).worker().held() == 0);
  CHECK(cluster.node(1).worker().transition() == nullptr);
  CHECK(cluster.node(1).owner(client(1).key()) == 0);
  CHECK(delivered(cluster) == "1/0/0");
  CHECK(cluster.node(1).count(Count::kHeldFollowed) == 1);
  CHECK(see(cluster, client(2).syn(), 1) == "0");
  CHECK(see(cluster, client(1).ack(), 1) == "0");
}

TEST_CASE("handover: every step may come twice") {
  TestCluster cluster;
  cluster.prepare(all_of(1));
  cluster.hold();
  cluster.hold();
  TestNode& gainer = cluster.node(1);
  see(cluster, client(1).syn(), 1);
  const Transition again = *gainer.worker().transition();
  Transition fresh = again;
  fresh.holding = false;
  gainer.worker().prepare(fresh);  // the same epoch: still holding
  CHECK(gainer.worker().held() == 1);
  cluster.release();
  cluster.release();
  see(cluster, client(2).syn(), 1);
  const List released = cluster.node(0).list(ListKind::kReleased, 1);
  gainer.merge(released, cluster.node(0));
  gainer.merge(released, cluster.node(0));
  CHECK(gainer.acquire({0}).opened == 1);
  CHECK(gainer.acquire({0}).opened == 0);
  CHECK(delivered(cluster) == "1/1/0");
}

TEST_CASE("handover: the gainer of two losers' buckets waits for each by itself") {
  TestCluster cluster;
  std::vector<NodeIndex> owners(kTestBuckets);
  for (size_t i = 0; i < kTestBuckets; ++i) owners[i] = i % 2 ? 2 : 0;
  cluster.allocate(owners);
  cluster.prepare(all_of(1));
  cluster.hold();
  cluster.release();
  const Distribution distribution(test_distribution());
  uint32_t of[3] = {};
  for (int n = 0; n < 40; ++n) {
    see(cluster, client(n).syn(), 1);
    const Key key = client(n).key();
    ++of[owners[distribution.bucket(header_fields(key))]];
  }
  TestNode& gainer = cluster.node(1);
  CHECK(gainer.worker().held() == 40);
  REQUIRE(of[0] > 0);
  REQUIRE(of[2] > 0);
  CHECK(gainer.acquire({2}).opened == of[2]);
  CHECK(gainer.worker().held() == of[0]);
  CHECK(gainer.acquire({0}).opened == of[0]);
  CHECK(gainer.delivered() == 40);
}

TEST_CASE("handover: port reuse while a bucket moves, the old connection does not decide the new") {
  // The gainer holds the closed connection for its own: an exception from an earlier change.
  TestCluster cluster;
  const TcpClient tcp = client(1);
  cluster.give_all_buckets_to(1);
  see(cluster, tcp.syn(), 1);
  see(cluster, tcp.fin(), 1.01);
  cluster.give_all_buckets_to(0);
  cluster.prepare(all_of(1));
  cluster.hold();
  CHECK(see(cluster, tcp.syn(), 1.02) == "0");
  cluster.release();
  CHECK(cluster.acquire().followed == 1);
  cluster.commit();
  cluster.settle();
  CHECK(see(cluster, tcp.ack(), 1.1) == "0");
}

TEST_CASE("handover: a change of the criteria, every node loses to and gains from every other") {
  TestCluster cluster;
  std::vector<NodeIndex> owners(kTestBuckets);
  for (size_t i = 0; i < kTestBuckets; ++i) owners[i] = static_cast<NodeIndex>(i % 3);
  cluster.allocate(owners);
  DistributionOptions other = test_distribution();
  other.hash = HashFunction::kJhash;
  other.fields = kFieldSource | kFieldSourcePort;
  const Distribution before(test_distribution()), after(other);
  const auto owner_by = [&](const Distribution& distribution, int n) {
    const Key key = client(n).key();
    return std::string(1, static_cast<char>('0' + owners[distribution.bucket(header_fields(key))]));
  };
  std::string taken[100];
  const auto open = [&](int from, int to, double at) {
    for (int n = from; n < to; ++n) taken[n] = see(cluster, client(n).syn(), at);
  };
  open(0, 20, 1);
  cluster.prepare(owners, other);
  open(20, 40, 1.01);
  cluster.hold();
  open(40, 60, 1.02);
  cluster.release();
  open(60, 80, 1.03);
  cluster.acquire();
  cluster.commit();
  open(80, 100, 1.04);
  cluster.settle();
  int moved = 0;
  for (int n = 0; n < 100; ++n) {
    CAPTURE(n);
    const std::string old_owner = owner_by(before, n), new_owner = owner_by(after, n);
    const bool held = n >= 60 && n < 80 && old_owner != new_owner;
    CHECK(taken[n] == (held ? "" : n < 80 ? old_owner : new_owner));
    CHECK(see(cluster, client(n).ack(), 2) == (n < 60 ? old_owner : new_owner));
    moved += old_owner != new_owner;
  }
  CHECK(moved > 40);
}
