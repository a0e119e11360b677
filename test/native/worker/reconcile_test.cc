// What the operating system's list may end and bring back: docs/decisions/os-list.md, rule by rule.
#include "worker/reconcile.h"

#include <doctest/doctest.h>

#include "netlink/open_list.h"
#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

/// A list made at a moment: what is open then.
struct Listed {
  OpenList list{Scope::of_addresses({address_of(kCluster4), address_of(kCluster6)}), {}, 3};
  Tick at;

  explicit Listed(double seconds, std::vector<Key> open = {}) : at(to_tick(nanoseconds(seconds))) {
    list.set_listed(6);
    list.set_listed(17);
    for (const Key& key : open)
      list.add(OpenSocket{.key = key, .state = SocketState::kEstablished});
  }
};

std::vector<Key> missing(TestNode& node, const Listed& listed, size_t most = 100) {
  std::vector<Key> found;
  uint64_t cursor = 0;
  while (cursor != Worker::kListEnd) {
    node.worker().find_missing(listed.list, listed.at, cursor, 16, found, most);
  }
  return found;
}

/// Both steps of a round at one moment. What became of `key`.
Reconciled round(TestNode& node, const Key& key, double seconds, std::vector<Key> open = {},
                 bool dry = false) {
  node.age(seconds);
  const Listed listed(seconds, open);
  Reconciled outcome = Reconciled::kKept;
  for (const Key& each : missing(node, listed)) {
    const Reconciled became = node.worker().drop_missing(each, listed.list, listed.at, dry);
    if (each == key) outcome = became;
  }
  return outcome;
}

/// Node 0 as `os` tracks, with an established connection of `tcp` from second 1 on.
struct With : TestNode {
  explicit With(const TcpClient& tcp) : TestNode({.tracking = Tracking::kOwn}) {
    see(tcp.syn(), 1);
    see(tcp.ack(), 1);
  }
};

}  // namespace

TEST_CASE("a connection without a socket is dropped, one with a socket stays") {
  const TcpClient tcp, other{.port = 41000};
  TestNode node({.tracking = Tracking::kOwn});
  for (const TcpClient& each : {tcp, other}) {
    node.see(each.syn(), 1);
    node.see(each.ack(), 1);
  }
  CHECK(round(node, tcp.key(), 5, {other.key()}) == Reconciled::kDropped);
  CHECK_FALSE(node.status(tcp.key()));
  CHECK(node.status(other.key()) == kEstablished);
  CHECK(node.count(Count::kOsChecked) == 2);
  CHECK(node.count(Count::kOsDropped) == 1);
  // The client speaks again: delivered, so that the kernel can answer with a reset.
  const Trace trace = node.see(tcp.data(), 6);
  CHECK(trace.decision.packet_class == 5);
  CHECK(trace.decision.verdict == Verdict::kDeliver);
}

TEST_CASE("a dry round says the same and changes nothing") {
  const TcpClient tcp;
  With node(tcp);
  CHECK(round(node, tcp.key(), 5, {}, true) == Reconciled::kDropped);
  CHECK(node.status(tcp.key()) == kEstablished);
  CHECK(node.count(Count::kOsDropped) == 0);
  node.worker().tell();
  CHECK(round(node, tcp.key(), 6, {}, true) == Reconciled::kClosed);
  CHECK((node.record(tcp.key())->seen_here & kServerRst) == 0);
}

TEST_CASE("what the list cannot know is left alone") {
  const TcpClient tcp, half_open{.port = 41000}, closing{.port = 42000};
  With node(tcp);
  node.see(half_open.syn(), 1);
  node.see(closing.syn(), 1);
  node.see(closing.fin(), 1);
  const UdpClient udp;
  node.see(udp.datagram(), 1);
  node.see(udp.datagram(), 1);
  SUBCASE("OPENING and CLOSING entries") {
    round(node, tcp.key(), 5);
    CHECK(node.status(half_open.key()) == kOpening);
    CHECK(node.status(closing.key()) == kClosing);
    CHECK_FALSE(node.status(udp.key()));
  }
  SUBCASE("a packet that came since the list was begun, or just before") {
    node.see(tcp.data(), 4.9);
    CHECK(round(node, tcp.key(), 5) == Reconciled::kKept);
    CHECK(round(node, tcp.key(), 5.1) == Reconciled::kDropped);
  }
  SUBCASE("a packet between the two lists") {
    const Listed first(5);
    const std::vector<Key> found = missing(node, first);
    REQUIRE(found.size() == 2);
    node.see(tcp.data(), 5.5);
    CHECK(node.worker().drop_missing(tcp.key(), first.list, first.at, false) == Reconciled::kKept);
    CHECK(node.status(tcp.key()) == kEstablished);
  }
  SUBCASE("a socket that the first list had passed over") {
    const Listed first(5), second(5.2, {tcp.key()});
    REQUIRE(missing(node, first).size() == 2);
    CHECK(node.worker().drop_missing(tcp.key(), second.list, first.at, false) == Reconciled::kKept);
  }
  SUBCASE("a protocol that was not listed") {
    Listed listed(5);
    OpenList only_udp(Scope::of_addresses({address_of(kCluster4)}), {}, 3);
    only_udp.set_listed(17);
    std::vector<Key> found;
    uint64_t cursor = 0;
    node.worker().find_missing(only_udp, listed.at, cursor, 1000, found, 10);
    CHECK(found == std::vector<Key>{udp.key()});
  }
}

TEST_CASE("other nodes' connections are never compared") {
  TestNode node({.tracking = Tracking::kOwn});
  const TcpClient tcp;
  node.import(tcp.key(), 2, kEstablished, 0);
  CHECK(round(node, tcp.key(), 50) == Reconciled::kKept);
  CHECK(node.owner(tcp.key()) == NodeIndex{2});
  CHECK(node.count(Count::kOsChecked) == 0);
}

TEST_CASE("so many and no more are remembered as missing") {
  TestNode node({.tracking = Tracking::kOwn});
  for (uint16_t port = 40000; port < 40050; ++port) {
    const TcpClient tcp{.port = port};
    node.see(tcp.syn(), 1);
    node.see(tcp.ack(), 1);
  }
  CHECK(missing(node, Listed(5), 20).size() == 20);
  CHECK(missing(node, Listed(5)).size() == 50);
}

TEST_CASE("what other nodes may know stays, shown as closed, and is not asked about again") {
  const TcpClient tcp;
  With node(tcp);
  SUBCASE("it was opened before a list was given away") {
    node.worker().tell();
  }
  SUBCASE("its bucket is another's") {
    node.give_all_buckets_to(1);
  }
  CHECK(round(node, tcp.key(), 5) == Reconciled::kClosed);
  REQUIRE(node.record(tcp.key()) != nullptr);
  CHECK(node.record(tcp.key())->status == kEstablished);  // what timers go by
  CHECK(shown_status(*node.record(tcp.key())) == kClosing);
  CHECK(node.count(Count::kOsClosed) == 1);
  CHECK(round(node, tcp.key(), 6) == Reconciled::kKept);
  CHECK(node.count(Count::kOsClosed) == 1);
  // The client takes the same port again: the owner answers, and it is open as before.
  CHECK(node.see(tcp.syn(), 7).decision.verdict == Verdict::kDeliver);
  CHECK(shown_status(*node.record(tcp.key())) == kEstablished);
}

TEST_CASE("a connection that was opened after the last list is dropped") {
  TestNode node({.tracking = Tracking::kOwn});
  node.age(1);
  node.worker().tell();
  const TcpClient tcp;
  node.see(tcp.syn(), 2);
  node.see(tcp.ack(), 2);
  CHECK(round(node, tcp.key(), 5) == Reconciled::kDropped);
}

TEST_CASE("a UDP flow that others may know is left to its timeout") {
  TestNode node({.tracking = Tracking::kOwn});
  const UdpClient udp;
  node.see(udp.datagram(), 1);
  node.see(udp.datagram(), 1);
  node.worker().tell();
  CHECK(round(node, udp.key(), 5) == Reconciled::kKept);
  CHECK(shown_status(*node.record(udp.key())) == kEstablished);
}

TEST_CASE("nothing is dropped while the allocation changes") {
  const TcpClient tcp;
  With node(tcp);
  node.prepare(all_of(1));
  CHECK(round(node, tcp.key(), 5) == Reconciled::kKept);
  CHECK(node.status(tcp.key()) == kEstablished);
  node.roll_back();
  node.worker().clear_contested();
  CHECK(round(node, tcp.key(), 6) == Reconciled::kDropped);
}

TEST_CASE("a reset that the server sends ends only an entry that no other node has") {
  const TcpClient tcp;
  With node(tcp);
  SUBCASE("known to nobody else: closing") {
    node.send(tcp.from_server().rst(), 2);
    CHECK(node.status(tcp.key()) == kClosing);
  }
  SUBCASE("told to others: noted") {
    node.worker().tell();
    node.send(tcp.from_server().rst(), 2);
    CHECK(node.record(tcp.key())->status == kEstablished);
    CHECK(shown_status(*node.record(tcp.key())) == kClosing);
  }
}

TEST_CASE("the same port again is answered by exactly one node, whatever was closed unseen") {
  // What goes wrong without the rule: node 0's socket is gone, node 1 has the bucket and the entry.
  const TcpClient tcp;
  TestCluster cluster({.tracking = Tracking::kOwn});
  cluster.see(tcp.syn(), 1);
  cluster.see(tcp.ack(), 1);
  cluster.hand_over(all_of(1));
  CHECK(deliverers(cluster.see(tcp.data(), 2)) == "0");
  CHECK(round(cluster.node(0), tcp.key(), 5) == Reconciled::kClosed);
  CHECK(deliverers(cluster.see(tcp.syn(), 30)) == "0");
  CHECK(deliverers(cluster.see(tcp.ack(), 30)) == "0");
}

TEST_CASE("an open socket without an entry gets one, where the bucket is this node's") {
  TestNode node({.tracking = Tracking::kOwn});
  node.age(3);
  const TcpClient tcp;
  const OpenConnection open{.key = tcp.key()};
  CHECK(node.worker().restore(open, false, true) == Reconciled::kRestored);
  CHECK(node.tracked() == 0);
  CHECK(node.worker().restore(open, false, false) == Reconciled::kRestored);
  CHECK(node.worker().restore(open, false, false) == Reconciled::kKept);
  REQUIRE(node.record(tcp.key()) != nullptr);
  CHECK(node.status(tcp.key()) == kEstablished);
  CHECK(node.owner(tcp.key()) == NodeIndex{0});
  CHECK(node.record(tcp.key())->flags == kMidstream);
  CHECK(node.record(tcp.key())->last_seen == 30);
  CHECK(node.count(Count::kOsRestored) == 1);
  node.give_all_buckets_to(1);
  CHECK(node.see(tcp.data(), 4).decision.packet_class == 2);
}

TEST_CASE("in another's bucket nothing is restored, unless nobody else has a say yet") {
  TestNode node({.tracking = Tracking::kOwn});
  node.give_all_buckets_to(1);
  const OpenConnection open{.key = TcpClient{}.key()};
  CHECK(node.worker().restore(open, false, false) == Reconciled::kUnmatched);
  CHECK(node.tracked() == 0);
  CHECK(node.count(Count::kOsUnmatched) == 1);
  CHECK(node.worker().restore(open, true, false) == Reconciled::kRestored);
  CHECK(node.sizes().own == 1);
}

TEST_CASE("an entry of another node is not taken from it") {
  TestNode node({.tracking = Tracking::kOwn});
  const TcpClient tcp;
  node.import(tcp.key(), 2, kEstablished, 0);
  CHECK(node.worker().restore({.key = tcp.key()}, true, false) == Reconciled::kUnmatched);
  CHECK(node.owner(tcp.key()) == NodeIndex{2});
}

TEST_CASE("a restored connection is a restarted node's again when it brings it to the others") {
  const TcpClient tcp;
  TestCluster cluster({.tracking = Tracking::kOwn});
  cluster.give_all_buckets_to(1);
  // Node 0 was away, its buckets have gone, and it finds its sockets again before it joins.
  REQUIRE(cluster.node(0).worker().restore({.key = tcp.key()}, true, false) ==
          Reconciled::kRestored);
  cluster.exchange(ListKind::kOwn);
  CHECK(deliverers(cluster.see(tcp.data(), 2)) == "0");
}

TEST_CASE("a full table has no room for what is restored") {
  TestNode node({.capacity = 16, .tracking = Tracking::kOwn});
  for (uint16_t port = 40000; port < 40016; ++port) {
    REQUIRE(node.worker().restore({.key = TcpClient{.port = port}.key()}, false, false) ==
            Reconciled::kRestored);
  }
  CHECK(node.worker().restore({.key = TcpClient{.port = 50000}.key()}, false, false) ==
        Reconciled::kNoRoom);
}
