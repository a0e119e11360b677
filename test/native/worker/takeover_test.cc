// A node dies: its buckets and connections go to the living, who keep what is theirs, and what it
// never answered is answered. And what a node with a lapsed lease does.
#include <doctest/doctest.h>

#include <algorithm>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

constexpr NodeIndex kDead = 0, kHeir = 1, kOther = 2;

TcpClient client(int n) {
  return {.port = static_cast<uint16_t>(40000 + n)};
}

bool has(const List& list, const TcpClient& tcp) {
  return std::any_of(list.begin(), list.end(),
                     [&](const Record& record) { return record.key == tcp.key(); });
}

/// The living see a packet; who delivers it.
std::string see(TestCluster& cluster, const PacketBuilder& frame, double at) {
  std::string nodes;
  for (const NodeIndex i : {kHeir, kOther}) {
    if (cluster.node(i).see(frame, at).decision.verdict == Verdict::kDeliver) {
      nodes += static_cast<char>('0' + i);
    }
  }
  return nodes;
}

void take_over(TestCluster& cluster) {
  for (const NodeIndex i : {kHeir, kOther}) cluster.node(i).takeover(all_of(kHeir), {kDead});
}

/// Client 1 has a connection to the node whose buckets are taken over.
void open_and_take_over(TestCluster& cluster) {
  cluster.see(client(1).syn(), 1);
  cluster.see(client(1).ack(), 1);
  take_over(cluster);
}

}  // namespace

TEST_CASE("takeover: the dead node's connections go to the owner of their bucket") {
  TestCluster cluster;
  open_and_take_over(cluster);
  TestNode& heir = cluster.node(kHeir);
  CHECK(see(cluster, client(2).syn(), 3) == "");
  CHECK(heir.worker().held() == 1);
  CHECK(heir.adopt({kDead}) == 1);
  CHECK(heir.owner(client(1).key()) == kHeir);
  CHECK(heir.count(Count::kAdopted) == 1);
  // The heir's kernel answers the next packet with a reset.
  CHECK(see(cluster, client(1).data(), 3) == "1");
  CHECK(heir.acquire({kDead}).opened == 1);
  for (const NodeIndex i : {kHeir, kOther}) cluster.node(i).commit();
  CHECK(cluster.node(kOther).adopt({kDead}) == 2);  // it noted client 2 as the dead node's too
  CHECK(cluster.node(kOther).owner(client(1).key()) == kHeir);
  CHECK(see(cluster, client(1).data(), 3) == "1");
  CHECK(see(cluster, client(3).syn(), 3) == "1");
  CHECK(heir.adopt({kDead}) == 0);
}

TEST_CASE("takeover: the client's next packet ends what was inherited, on every node") {
  TestCluster cluster;
  open_and_take_over(cluster);
  for (const NodeIndex i : {kHeir, kOther}) cluster.node(i).adopt({kDead});
  // The heir's kernel answers it with a reset, which the others do not see.
  CHECK(see(cluster, client(1).data(), 3) == "1");
  for (const NodeIndex i : {kHeir, kOther}) {
    CHECK(cluster.node(i).status(client(1).key()) == ConnectionStatus::kClosing);
  }
}

TEST_CASE("takeover: what was not the dead node's goes on, once its owner has said so") {
  // The other node has missed a view: to it the connection is that of the node which then dies.
  TestCluster cluster;
  TestNode& other = cluster.node(kOther);
  cluster.node(kHeir).give_all_buckets_to(kHeir);
  cluster.see(client(1).syn(), 1);
  cluster.see(client(1).ack(), 1);
  other.takeover(all_of(kHeir), {kDead});
  other.adopt({kDead});
  CHECK(see(cluster, client(1).data(), 3) == "1");
  CHECK(other.status(client(1).key()) == ConnectionStatus::kClosing);
  other.merge(cluster.node(kHeir).list(ListKind::kTables, kOther), cluster.node(kHeir),
              ListKind::kTables);
  CHECK(other.owner(client(1).key()) == kHeir);
  CHECK(other.status(client(1).key()) == ConnectionStatus::kEstablished);
}

TEST_CASE("takeover: a packet that closes what was inherited needs no conclusion") {
  TestCluster cluster;
  open_and_take_over(cluster);
  for (const NodeIndex i : {kHeir, kOther}) cluster.node(i).adopt({kDead});
  CHECK(see(cluster, client(1).fin(), 3) == "1");
  for (const NodeIndex i : {kHeir, kOther}) {
    const Record* record = cluster.node(i).record(client(1).key());
    REQUIRE(record != nullptr);
    CHECK(record->status == ConnectionStatus::kClosing);
    CHECK_FALSE(is_concluded(*record));
  }
}

TEST_CASE("takeover: who asks anew has nothing left of what was inherited") {
  TestCluster cluster;
  open_and_take_over(cluster);
  for (const NodeIndex i : {kHeir, kOther}) {
    cluster.node(i).adopt({kDead});
    cluster.node(i).acquire({kDead});
    cluster.node(i).commit();
  }
  CHECK(see(cluster, client(1).syn(), 5) == "1");
  for (const NodeIndex i : {kHeir, kOther}) {
    const Record* record = cluster.node(i).record(client(1).key());
    REQUIRE(record != nullptr);
    CHECK(record->status == ConnectionStatus::kOpening);
    CHECK(record->reopened == 1);
    CHECK((record->seen_here & kAdopted) == 0);
  }
}

TEST_CASE("lease: past it what was inherited is not answered, and what was opened here is") {
  TestCluster cluster;
  open_and_take_over(cluster);
  TestNode& heir = cluster.node(kHeir);
  heir.adopt({kDead});
  heir.acquire({kDead});
  heir.commit();
  see(cluster, client(2).syn(), 2);
  heir.worker().set_open_until(0);
  CHECK(see(cluster, client(1).data(), 3) == "");
  CHECK(see(cluster, client(2).ack(), 3) == "1");
}

TEST_CASE("lease: past it a flow that was inherited is answered when it had been before") {
  TestCluster cluster;
  const UdpClient answered{.port = 40001}, silent{.port = 40002};
  for (const UdpClient& udp : {answered, silent}) {
    cluster.see(udp.datagram(), 1);
    cluster.see(udp.datagram(), 1.1);
  }
  take_over(cluster);
  for (const NodeIndex i : {kHeir, kOther}) {
    cluster.node(i).adopt({kDead});
    cluster.node(i).acquire({kDead});
    cluster.node(i).commit();
  }
  CHECK(see(cluster, answered.datagram(), 2) == "1");
  TestNode& heir = cluster.node(kHeir);
  heir.worker().set_open_until(0);
  CHECK(see(cluster, answered.datagram(), 3) == "1");
  CHECK(see(cluster, silent.datagram(), 3) == "");
  CHECK(see(cluster, silent.datagram(), 3.1) == "");
  // That it was answered counts for one inheritance: after another it is a dead node's again.
  heir.import(answered.key(), kOther, kEstablished, 3);
  CHECK(heir.owner(answered.key()) == kOther);
  CHECK(heir.adopt({kOther}) == 1);
  CHECK(see(cluster, answered.datagram(), 4) == "");
}

TEST_CASE("takeover: what a living node claims is not adopted") {
  // The other node holds a connection in the dead node's bucket, and the heir thinks it the dead's.
  TestCluster cluster;
  const TcpClient claimed = client(1);
  cluster.node(kHeir).see(claimed.syn(), 1);
  cluster.node(kOther).give_all_buckets_to(kOther);
  cluster.node(kOther).see(claimed.syn(), 1);
  cluster.node(kOther).give_all_buckets_to(kDead);
  CHECK(cluster.node(kHeir).owner(claimed.key()) == kDead);
  CHECK(cluster.node(kOther).owner(claimed.key()) == kOther);
  take_over(cluster);
  const List claims = cluster.node(kOther).list(ListKind::kClaims, kHeir);
  CHECK(claims.size() == 1);
  CHECK(has(claims, claimed));
  cluster.node(kHeir).merge(claims, cluster.node(kOther));
  CHECK(cluster.node(kHeir).recall({kDead}) == 0);
  CHECK(cluster.node(kHeir).adopt({kDead}) == 0);
  CHECK(cluster.node(kHeir).owner(claimed.key()) == kOther);
  CHECK(see(cluster, claimed.ack(), 2) == "2");
}

TEST_CASE("takeover: claims leave out what is in the living nodes' buckets") {
  TestCluster cluster;
  std::vector<NodeIndex> owners(kTestBuckets);
  for (size_t i = 0; i < kTestBuckets; ++i) owners[i] = i % 2 ? kOther : kDead;
  TestNode& other = cluster.node(kOther);
  other.give_all_buckets_to(kOther);
  for (int n = 0; n < 40; ++n) other.see(client(n).syn(), 1);
  other.allocate(owners);
  std::vector<NodeIndex> next = owners;
  std::replace(next.begin(), next.end(), kDead, kHeir);
  other.takeover(next, {kDead});
  const List claims = other.list(ListKind::kClaims, kHeir);
  const Distribution distribution(test_distribution());
  size_t in_dead_buckets = 0;
  for (int n = 0; n < 40; ++n) {
    const Key key = client(n).key();
    const bool dead = owners[distribution.bucket(header_fields(key))] == kDead;
    CHECK(has(claims, client(n)) == dead);
    in_dead_buckets += dead;
  }
  CHECK(claims.size() == in_dead_buckets);
  CHECK(in_dead_buckets > 5);
  CHECK(other.list(ListKind::kOwn, kHeir).size() == 40);
}

TEST_CASE("recall: a SYN that the dead node never answered is delivered, exactly once") {
  for (const Tracking tracking : {Tracking::kObserve, Tracking::kOwn}) {
    for (const bool adopted_first : {false, true}) {
      CAPTURE(adopted_first);
      TestCluster cluster({.tracking = tracking});
      CHECK(see(cluster, client(1).syn(), 1) == "");
      take_over(cluster);
      TestNode& heir = cluster.node(kHeir);
      // Sent again, it waits, and there is nothing to be recalled where it was noted.
      if (tracking == Tracking::kOwn) CHECK(see(cluster, client(1).syn(), 1.4) == "");
      if (adopted_first && tracking == Tracking::kOwn) heir.adopt({kDead});
      CHECK(heir.recall({kDead}) == 1);
      CHECK(cluster.node(kOther).recall({kDead}) == 0);
      CHECK(heir.delivered() == 1);
      CHECK(heir.recall({kDead}) == 0);
      CHECK(heir.owner(client(1).key()) == kHeir);
      heir.adopt({kDead});
      const Resolved resolved = heir.acquire({kDead});
      CHECK(resolved.opened == 0);
      CHECK(heir.delivered() == 1 + resolved.followed);
      const ByteVector frame = client(1).syn().build();
      CHECK(heir.delivery().kept()[0].bytes == ByteVector(frame.begin() + 14, frame.end()));
      CHECK(heir.count(Count::kRecalled) == 1);
      CHECK(see(cluster, client(1).ack(), 1.5) == "1");
    }
  }
}

TEST_CASE("recall: what it answers is told to the others") {
  TestCluster cluster;
  see(cluster, client(1).syn(), 1);
  take_over(cluster);
  TestNode& heir = cluster.node(kHeir);
  CHECK(heir.recall({kDead}) == 1);
  heir.adopt({kDead});
  for (const ListKind kind : {ListKind::kClaims, ListKind::kContested}) {
    CHECK(has(heir.list(kind, kOther), client(1)));
  }
  heir.commit();
  CHECK(heir.worker().contested() == 1);
  heir.worker().clear_contested();
  CHECK(heir.list(ListKind::kContested, kOther).empty());
  CHECK((heir.record(client(1).key())->flags & kContested) == 0);
}

TEST_CASE("recall: the others believe who answered, and not the dead one when it is back") {
  TestCluster cluster;
  cluster.see(client(1).syn(), 1);
  for (const NodeIndex i : {kHeir, kOther}) {
    TestNode& node = cluster.node(i);
    // Only the heir has not seen that the connection went on.
    if (i == kOther) node.see(client(1).ack(), 1.1);
    node.takeover(all_of(kHeir), {kDead});
    CHECK(node.recall({kDead}) == (i == kHeir));
    node.adopt({kDead});
    node.commit();
  }
  TestNode& heir = cluster.node(kHeir);
  TestNode& other = cluster.node(kOther);
  other.merge(heir.list(ListKind::kContested, kOther), heir, ListKind::kContested);
  const List own = cluster.node(kDead).list(ListKind::kOwn, kOther);
  for (TestNode* node : {&heir, &other}) {
    node->merge(own, cluster.node(kDead), ListKind::kOwn);
    CHECK(node->owner(client(1).key()) == kHeir);
  }
}

TEST_CASE("recall: neither what was answered, nor what is too old, too long, or a living node's") {
  TestCluster cluster;
  TestNode& heir = cluster.node(kHeir);
  heir.see(client(1).syn(), 1);  // 1.5 s old when it is recalled
  heir.see(client(2).syn(), 1.4);
  heir.see(client(2).ack(), 1.4);  // answered: the connection is established
  heir.see(client(3).syn().payload(300), 1.5);
  heir.see(client(4).syn(), 1.6);
  heir.see(client(4).fin(), 1.7);
  heir.give_all_buckets_to(kOther);
  heir.see(client(5).syn(), 1.8);
  heir.give_all_buckets_to(kDead);
  heir.see(client(6).syn(), 2);
  heir.see(client(7).syn(), 2.1);
  heir.takeover(all_of(kHeir), {kDead});
  heir.age(2.501);
  CHECK(heir.recall({kDead}) == 2);  // clients 6 and 7
  CHECK(heir.count(Count::kRecalled) == 2);
  CHECK(heir.delivered() == 2);
  CHECK(heir.owner(client(5).key()) == kOther);
}

TEST_CASE("recall: not what opened an earlier connection with the same addresses and ports") {
  TestNode heir({}, kHeir);
  heir.see(client(1).syn(), 1);
  heir.see(client(1).rst(), 1.1);
  const ByteVector second = client(1).syn().payload(1).build();
  heir.see(second, 1.2);
  heir.takeover(all_of(kHeir), {kDead});
  heir.age(1.3);
  CHECK(heir.recall({kDead}) == 1);
  REQUIRE(heir.delivered() == 1);
  CHECK(heir.delivery().kept()[0].bytes == ByteVector(second.begin() + 14, second.end()));
}

TEST_CASE(
    "takeover: who was declared dead and lives gets back what its heir cannot have answered") {
  TestCluster cluster;
  cluster.see(client(1).syn(), 1);
  cluster.see(client(1).ack(), 1);
  cluster.see(client(2).syn(), 1);
  take_over(cluster);
  for (const NodeIndex i : {kHeir, kOther}) {
    cluster.node(i).adopt({kDead});
    cluster.node(i).commit();
  }
  see(cluster, client(2).syn(), 1.1);
  const List own = cluster.node(kDead).list(ListKind::kOwn, kHeir);
  CHECK(own.size() == 2);
  for (const NodeIndex i : {kHeir, kOther}) {
    TestNode& node = cluster.node(i);
    CHECK(node.owner(client(1).key()) == kHeir);
    node.merge(own, cluster.node(kDead), ListKind::kOwn);
    CHECK(node.owner(client(1).key()) == kDead);
    CHECK(node.owner(client(2).key()) == kHeir);
  }
  // And it learns that the other one is not its own any more.
  TestNode& back = cluster.node(kDead);
  back.merge(cluster.node(kOther).list(ListKind::kTables, kDead), cluster.node(kOther),
             ListKind::kTables);
  CHECK(back.owner(client(1).key()) == kDead);
  CHECK(back.owner(client(2).key()) == kHeir);
  CHECK(deliverers(cluster.see(client(1).data(), 1.2)) == "0");
  CHECK(deliverers(cluster.see(client(2).ack(), 1.2)) == "1");
}

TEST_CASE("takeover: an heir that returns has only what it had answered of its inheritance") {
  TestCluster cluster;
  TestNode& first = cluster.node(kHeir);
  TestNode& second = cluster.node(kOther);
  const UdpClient answered{.port = 40001}, inherited{.port = 40002};
  for (const UdpClient& udp : {answered, inherited}) {
    cluster.see(udp.datagram(), 1);
    cluster.see(udp.datagram(), 1.1);
  }
  take_over(cluster);
  for (TestNode* node : {&first, &second}) {
    node->adopt({kDead});
    node->acquire({kDead});
    node->commit();
  }
  CHECK(see(cluster, answered.datagram(), 2) == "1");
  // The heir is thought dead, and its own heir answers the other flow.
  second.takeover(all_of(kOther), {kHeir});
  second.adopt({kHeir});
  second.acquire({kHeir});
  second.commit();
  CHECK(second.see(inherited.datagram(), 2.2).decision.verdict == Verdict::kDeliver);
  second.merge(first.list(ListKind::kOwn, kOther), first, ListKind::kOwn);
  CHECK(second.owner(answered.key()) == kHeir);
  CHECK(second.owner(inherited.key()) == kOther);
  // And it learns that this is another's, whoever tells it.
  List tables = second.list(ListKind::kTables, kHeir);
  for (Record& record : tables) record.seen_here &= static_cast<uint8_t>(~kConfirmed);
  first.merge(tables, second, ListKind::kTables);
  CHECK(first.owner(answered.key()) == kHeir);
  CHECK(first.owner(inherited.key()) == kOther);
}

TEST_CASE("recall: what came again meanwhile and waits is opened once, by that") {
  for (const bool adopted_first : {false, true}) {
    TestCluster cluster;
    see(cluster, client(1).syn(), 1);
    take_over(cluster);
    TestNode& heir = cluster.node(kHeir);
    CHECK(see(cluster, client(1).syn(), 1.4) == "");
    CHECK(heir.worker().held() == 1);
    if (adopted_first) heir.adopt({kDead});
    CHECK(heir.recall({kDead}) == 0);
    CHECK(heir.acquire({kDead}).opened == 1);
    CHECK(heir.delivered() == 1);
    CHECK(see(cluster, client(1).ack(), 1.5) == "1");
  }
}

TEST_CASE("recall: not what belongs to a connection that is over by now") {
  Setup setup;
  setup.timeouts = default_timeouts();
  for (auto& of_protocol : setup.timeouts.ticks) of_protocol[2] = 5;
  TestCluster cluster(setup);
  see(cluster, client(1).syn(), 1);
  see(cluster, client(1).ack(), 1.1);
  see(cluster, client(1).rst(), 1.2);
  take_over(cluster);
  TestNode& heir = cluster.node(kHeir);
  heir.age(1.9);
  CHECK(heir.record(client(1).key()) == nullptr);
  CHECK(heir.recall({kDead}) == 0);
  CHECK(heir.delivered() == 0);
}

TEST_CASE("recall: only the newest openings are kept") {
  TestNode heir({.opening_share = 1}, kHeir);
  for (int n = 0; n < 1124; ++n) heir.see(client(n).syn(), 1);
  heir.takeover(all_of(kHeir), {kDead});
  CHECK(heir.recall({kDead}) == 1024);
  CHECK(heir.owner(client(99).key()) == kDead);
  CHECK(heir.owner(client(100).key()) == kHeir);
}

TEST_CASE("lease: past it nothing is opened, and open connections go on") {
  TestNode node;
  node.see(client(1).syn(), 1);
  node.worker().set_open_until(nanoseconds(2));
  CHECK(node.see(client(2).syn(), 1.999).decision.verdict == Verdict::kDeliver);
  const Trace late = node.see(client(3).syn(), 2);
  CHECK(late.decision.verdict == Verdict::kDiscard);
  CHECK(late.packet.drop == Drop::kLeaseOver);
  CHECK(node.record(client(3).key()) == nullptr);
  CHECK(node.see(client(4).data(), 2.1).decision.verdict == Verdict::kDiscard);
  CHECK(node.drops(Drop::kLeaseOver) == 2);
  CHECK(node.see(client(1).ack(), 2.2).decision.packet_class == 2);
  // What may be a second answer by then is none.
  CHECK(node.see(client(2).syn(), 2.3).packet.drop == Drop::kLeaseOver);
  CHECK(node.see(client(2).ack(), 2.3).decision.packet_class == 2);
  CHECK(node.delivered() == 4);
  node.worker().set_open_until(nanoseconds(9));
  CHECK(node.see(client(5).syn(), 3).decision.packet_class == 1);
}

TEST_CASE("lease: past it what has closed is answered for a second, and then no more") {
  // Who saw nothing for a while does not know that the client has taken its ports again.
  TestNode node;
  for (const int n : {1, 2}) {
    node.see(client(n).syn(), 1);
    node.see(client(n).ack(), 1);
    node.see(client(n).fin(), 2);
  }
  node.worker().set_open_until(nanoseconds(2.5));
  for (const double at : {2.7, 3.4, 4.1}) {
    CHECK(node.see(client(1).ack(), at).decision.packet_class == 2);
  }
  for (const double at : {4.2, 4.3}) {
    CHECK(node.see(client(2).data(), at).packet.drop == Drop::kLeaseOver);
  }
  node.worker().set_open_until(nanoseconds(9));
  CHECK(node.see(client(2).data(), 4.4).decision.packet_class == 2);
}

TEST_CASE("lease: another's packets are noted as ever without one") {
  TestNode node;
  node.give_all_buckets_to(1);
  node.worker().set_open_until(0);
  CHECK(node.see(client(1).syn(), 1).decision.packet_class == 3);
  CHECK(node.owner(client(1).key()) == 1);
  CHECK(node.drops(Drop::kLeaseOver) == 0);
}

TEST_CASE("lease: the clock is asked once more before a burst that opens something is delivered") {
  uint64_t clock = 0;
  int asked = 0;
  Setup setup;
  setup.clock = [&] {
    ++asked;
    return clock;
  };
  TestNode node(setup);
  node.see(client(1).syn(), 1);
  CHECK(asked == 0);  // there is no lease
  node.worker().set_open_until(nanoseconds(2));
  clock = nanoseconds(1.9);
  node.see(client(2).syn(), 1.1);
  CHECK(asked == 1);
  node.see(client(2).ack(), 1.2);
  CHECK(asked == 1);
  CHECK(node.delivered() == 3);

  // Stopped between deciding and delivering: what it opened is gone, with what followed it.
  clock = nanoseconds(2);
  const auto traces = node.see_burst({client(1).ack().build(), client(3).syn().build(),
                                      client(3).ack().build(), client(2).data().build()},
                                     1.3);
  CHECK(traces[0].decision.verdict == Verdict::kDeliver);
  CHECK(traces[1].decision.verdict == Verdict::kDiscard);
  CHECK(traces[2].decision.verdict == Verdict::kDiscard);
  CHECK(traces[3].decision.verdict == Verdict::kDeliver);
  CHECK(node.delivered() == 5);
  CHECK(node.drops(Drop::kLeaseOver) == 2);
  CHECK(node.record(client(3).key()) == nullptr);
  CHECK(node.worker().table().check_invariants() == "");
  CHECK(node.worker().audit().epochs()[1].taken == 2);
  CHECK(node.worker().audit().epochs()[1].seen == 3);
}

TEST_CASE("lease: what was held or is recalled needs one too") {
  TestCluster cluster;
  TestNode& heir = cluster.node(kHeir);
  see(cluster, client(1).syn(), 1);
  take_over(cluster);
  see(cluster, client(2).syn(), 1.1);
  heir.worker().set_open_until(nanoseconds(1.05));
  CHECK(heir.recall({kDead}) == 0);
  CHECK(heir.acquire({kDead}).opened == 0);
  CHECK(heir.delivered() == 0);
  CHECK(heir.drops(Drop::kLeaseOver) == 1);
}
