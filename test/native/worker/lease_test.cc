// A process that is stopped between deciding and delivering: by then its lease may be over, its
// node declared dead, and another may answer what it has decided. And what is refused without a
// lease, until there is one again.
#include <doctest/doctest.h>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

TcpClient client(int n) {
  return {.port = static_cast<uint16_t>(40000 + n)};
}

UdpClient udp_client(int n) {
  return {.port = static_cast<uint16_t>(40000 + n)};
}

/// The lease of `node` begins again, until 9 s; how many packets it delivers at `at` by that.
uint64_t begin_again(TestNode& node, double at) {
  const uint64_t before = node.delivered();
  node.worker().set_open_until(nanoseconds(9));
  node.age(at);
  return node.delivered() - before;
}

}  // namespace

TEST_CASE("lease: an opening that comes again is not answered by one that was stopped meanwhile") {
  uint64_t clock = 0;
  TestNode node({.clock = [&] { return clock; }});
  node.worker().set_open_until(nanoseconds(2));
  node.see(client(1).syn(), 1);
  clock = nanoseconds(2);  // declared dead by now, perhaps, and another may answer
  const auto traces = node.see_burst({client(1).syn().build(), client(1).ack().build()}, 1.3);
  CHECK(traces[0].packet.drop == Drop::kLeaseOver);
  CHECK(traces[1].decision.verdict == Verdict::kDeliver);
  CHECK(node.delivered() == 2);
  CHECK(node.drops(Drop::kLeaseOver) == 1);
  CHECK(node.count(Count::kDiscarded) == 0);
  CHECK(node.owner(client(1).key()) == 0);
}

TEST_CASE("lease: nor is one that waited for a handover and turns out to be an own connection's") {
  uint64_t clock = 0;
  TestNode heir({.clock = [&] { return clock; }}, 1);
  heir.worker().set_open_until(nanoseconds(2));
  heir.takeover(all_of(1), {0});
  heir.see(client(1).syn(), 1);
  heir.import(client(1).key(), 1, kOpening, 1);
  clock = nanoseconds(2);
  CHECK(heir.acquire({0}).followed == 0);
  CHECK(heir.delivered() == 0);
  CHECK(heir.drops(Drop::kLeaseOver) == 1);
  CHECK(heir.owner(client(1).key()) == 1);
}

TEST_CASE("lease: what it refuses is answered when it begins again, as of when it came") {
  TestCluster cluster;
  TestNode& node = cluster.node(0);
  node.worker().set_open_until(nanoseconds(2));
  cluster.see(client(1).syn(), 2);
  cluster.see(udp_client(2).datagram(), 2.1);
  cluster.see(udp_client(2).datagram(), 2.2);
  cluster.see(client(3).data(), 2.3);
  node.age(2.5);
  CHECK(node.delivered() == 0);

  CHECK(begin_again(node, 2.6) == 3);
  CHECK(node.count(Count::kRecalled) == 3);
  CHECK(node.drops(Drop::kLeaseOver) == 4);
  for (const Key& key : {client(1).key(), udp_client(2).key()}) {
    const Record* record = node.record(key);
    const Record* noted = cluster.node(1).record(key);
    REQUIRE((record && noted));
    CHECK(record->owner == 0);
    CHECK(record->opened == noted->opened);
    CHECK(record->last_seen == noted->last_seen);
    CHECK(record->status == noted->status);
    CHECK((record->flags & kContested) == 0);
  }
  CHECK(node.record(client(3).key()) == nullptr);
  const AuditEpoch& sums = node.worker().audit().epochs()[1];
  const AuditEpoch& others = cluster.node(1).worker().audit().epochs()[1];
  CHECK(sums.taken == others.seen);
  CHECK(sums.taken_sum == others.seen_sum);

  // Once, and before whatever comes then.
  CHECK(begin_again(node, 2.7) == 0);
  node.worker().set_open_until(nanoseconds(2.8));
  node.see(client(4).syn(), 2.9);
  node.worker().set_open_until(nanoseconds(9));
  CHECK(node.see(client(4).syn(), 3).decision.packet_class == 2);
  CHECK(node.count(Count::kRecalled) == 4);
  CHECK(node.worker().table().check_invariants() == "");
}

TEST_CASE("lease: what was taken back as it ran out is answered, too") {
  uint64_t clock = nanoseconds(2);
  TestNode node({.clock = [&] { return clock; }});
  node.worker().set_open_until(nanoseconds(2));
  node.see_burst({client(1).syn().build(), client(2).data().build()}, 1.9);
  CHECK(node.delivered() == 0);
  clock = nanoseconds(2.5);
  CHECK(begin_again(node, 2.5) == 1);
  CHECK(node.owner(client(1).key()) == 0);
  CHECK(node.worker().audit().epochs()[1].taken == 1);
}

TEST_CASE("lease: what was refused too long ago, or in an earlier life, is not answered") {
  TestNode node;
  node.worker().set_open_until(nanoseconds(2));
  node.see(client(1).syn(), 2);
  node.see(client(2).syn(), 2.2);
  CHECK(begin_again(node, 3.6) == 1);
  CHECK(node.owner(client(2).key()) == 0);
  CHECK(node.record(client(1).key()) == nullptr);

  node.worker().set_open_until(nanoseconds(4));
  node.see(client(3).syn(), 4);
  node.worker().set_open_until(0);
  node.see(client(4).syn(), 4.1);
  CHECK(begin_again(node, 4.2) == 0);
  node.worker().set_open_until(nanoseconds(5));
  node.see(client(5).syn(), 5);
  CHECK(begin_again(node, 5.1) == 1);
}

TEST_CASE("lease: what was refused is not answered once its bucket was another's to answer") {
  TestNode node;
  node.worker().set_open_until(nanoseconds(2));
  SUBCASE("released") {
    node.see(client(1).syn(), 2);
    node.prepare(all_of(1));
    node.release();
    CHECK(begin_again(node, 2.1) == 0);
  }
  SUBCASE("released, and never done") {
    node.see(client(1).syn(), 2);
    node.prepare(all_of(1));
    node.release();
    node.roll_back();
    CHECK(begin_again(node, 2.1) == 0);
  }
  SUBCASE("away and back") {
    node.see(client(1).syn(), 2);
    node.give_all_buckets_to(1);
    node.give_all_buckets_to(0);
    CHECK(begin_again(node, 2.1) == 0);
  }
  SUBCASE("a list says that it is another's") {
    node.see(client(1).syn(), 2);
    node.import(client(1).key(), 1, kOpening, 2);
    CHECK(begin_again(node, 2.1) == 0);
    CHECK(node.owner(client(1).key()) == 1);
  }
}

TEST_CASE("lease: what was refused and is answered in a handover is told to the gainer") {
  TestNode loser;
  loser.worker().set_open_until(nanoseconds(2));
  loser.see(client(1).syn(), 2);
  loser.prepare(all_of(1));
  CHECK(begin_again(loser, 2.1) == 1);
  loser.release();
  CHECK(loser.list(ListKind::kReleased, 1).size() == 1);
}

TEST_CASE("lease: what was another's before is not answered: who noted that is told no more") {
  TestNode heir({}, 1);
  heir.takeover(all_of(1), {0});
  heir.see(client(1).syn(), 1.9);
  heir.worker().set_open_until(nanoseconds(1.9));
  CHECK(heir.acquire({0}).opened == 0);
  heir.see(client(2).syn(), 1.9);
  heir.commit();
  heir.see(client(3).syn(), 1.9);
  heir.worker().clear_contested();
  heir.see(client(4).syn(), 1.9);
  CHECK(heir.drops(Drop::kLeaseOver) == 4);
  CHECK(begin_again(heir, 2) == 1);
  CHECK(heir.owner(client(4).key()) == 1);
}

TEST_CASE("lease: a repeated opening that is refused keeps the connection as long as elsewhere") {
  TestNode owner, other({}, 1);
  owner.worker().set_open_until(nanoseconds(2));
  for (const double at : {1.0, 20.0}) {
    owner.see(client(1).syn(), at);
    other.see(client(1).syn(), at);
  }
  CHECK(owner.drops(Drop::kLeaseOver) == 1);
  CHECK(owner.record(client(1).key())->last_seen == to_tick(nanoseconds(20)));
  CHECK(other.record(client(1).key())->last_seen == to_tick(nanoseconds(20)));
}
