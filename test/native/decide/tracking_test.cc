// The ways to keep the lists: `observe` (all other tests), `own`, and without monitoring.
#include <doctest/doctest.h>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

TEST_CASE("tracking own: unknown packets of a foreign bucket are discarded without an entry") {
  TestNode node({.tracking = Tracking::kOwn});
  node.give_all_buckets_to(1);
  const TcpClient tcp;
  CHECK(node.see(tcp.syn(), 1).decision.packet_class == 3);
  CHECK(node.see(tcp.ack(), 1).decision.packet_class == 6);
  CHECK(node.see(tcp.data(), 1).decision.packet_class == 6);
  CHECK(node.see(tcp.fin(), 1).decision.packet_class == 6);
  CHECK(node.see(UdpClient{}.datagram(), 1).decision.packet_class == 3);
  CHECK(node.tracked() == 0);
  CHECK(node.delivered() == 0);
  CHECK(node.count(Count::kDiscarded) == 5);
  CHECK(node.in_class(4) == 0);
}

TEST_CASE("tracking own: own connections are entered and kept when the bucket goes away") {
  TestNode node({.tracking = Tracking::kOwn});
  const TcpClient tcp, midstream{.port = 41000};
  CHECK(node.see(tcp.syn(), 1).decision.packet_class == 1);
  CHECK(node.see(midstream.data(), 1).decision.packet_class == 5);
  CHECK(node.sizes().own == 2);
  node.give_all_buckets_to(1);
  CHECK(node.see(tcp.ack(), 1).decision.packet_class == 2);
  CHECK(node.see(midstream.data(), 1).decision.packet_class == 2);
  CHECK(node.delivered() == 4);
}

TEST_CASE("tracking own: class 4 only for connections that a handover brought") {
  TestNode node({.tracking = Tracking::kOwn});
  const TcpClient imported, opened{.port = 41000};
  node.import(imported.key(), 2, kEstablished, 0);
  CHECK(node.sizes().others == 1);
  // The bucket is this node's, the connection is node 2's: the exception that must be remembered.
  CHECK(node.see(imported.data(), 1).decision.packet_class == 4);
  CHECK(node.see(imported.data(), 1).decision.owner == 2);
  CHECK(node.see(imported.syn(), 1).decision.packet_class == 4);
  CHECK(node.see(opened.syn(), 1).decision.packet_class == 1);
  CHECK(node.delivered() == 1);
  CHECK(node.record(imported.key())->last_seen == 10);
  // When it is gone, the bucket decides.
  CHECK(node.see(imported.data(), 7500).decision.packet_class == 5);
}

TEST_CASE(
    "tracking own: a closed own connection whose bucket has left is forgotten when reopened") {
  TestNode node({.tracking = Tracking::kOwn});
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  node.see(tcp.fin(), 2);
  node.give_all_buckets_to(1);
  CHECK(node.see(tcp.syn(), 3).decision.packet_class == 3);
  CHECK(node.tracked() == 0);
  CHECK(node.count(Count::kReopened) == 1);
  CHECK(node.count(Count::kMoved) == 1);
  CHECK(node.see(tcp.ack(), 4).decision.packet_class == 6);
}

TEST_CASE("tracking own: an imported connection that is reopened becomes this node's") {
  TestNode node({.tracking = Tracking::kOwn});
  const TcpClient tcp;
  node.import(tcp.key(), 2, kEstablished, 0);
  CHECK(node.see(tcp.fin(), 1).decision.packet_class == 4);
  CHECK(node.see(tcp.syn(), 2).decision.packet_class == 1);
  CHECK(node.sizes().own == 1);
  CHECK(node.sizes().others == 0);
}

TEST_CASE("tracking may change while connections are open: what is in the table stays") {
  TestNode node;
  node.give_all_buckets_to(1);
  const TcpClient noted, unnoted{.port = 41000};
  node.see(noted.syn(), 1);
  node.set_tracking(Tracking::kOwn);
  CHECK(node.see(noted.ack(), 2).decision.packet_class == 4);
  CHECK(node.see(unnoted.syn(), 2).decision.packet_class == 3);
  CHECK(node.tracked() == 1);
}

TEST_CASE("without monitoring the status does not move, timeouts alone remove") {
  TestNode node({.monitoring = false});
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  node.see(tcp.ack(), 2);
  node.see(tcp.fin(), 3);
  node.see(tcp.rst(), 4);
  node.send(tcp.from_server().fin(), 5);
  CHECK(node.status(tcp.key()) == kEstablished);
  CHECK(node.record(tcp.key())->last_seen == 40);
  CHECK(node.record(tcp.key())->flags == 0);
  // A SYN finds no closed connection here: it follows.
  node.give_all_buckets_to(1);
  CHECK(node.see(tcp.syn(), 6).decision.packet_class == 2);
  // Nothing is ever OPENING, so its share binds nobody, and one timeout holds for all.
  CHECK(node.sizes().opening == 0);
  node.age(7445.9);
  CHECK(node.tracked() == 1);
  node.age(7446);
  CHECK(node.tracked() == 0);
}
