// Floods, rule by rule, on tables small enough to look at. The streams are in flood_test.cc.
#include <doctest/doctest.h>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

TcpClient client(int n) {
  return {.address = "10.0." + std::to_string(n / 250) + "." + std::to_string(1 + n % 250)};
}

}  // namespace

TEST_CASE("floods: OPENING entries use at most their share of the table, by default a quarter") {
  TestNode node({.capacity = 100});
  for (int n = 0; n < 80; ++n) node.see(client(n).syn(), 1);
  CHECK(node.sizes().opening == 25);
  CHECK(node.tracked() == 25);
  CHECK(node.count(Count::kOpened) == 25);
  CHECK(node.count(Count::kOpeningUntracked) == 55);
  CHECK(node.count(Count::kFullUntracked) == 0);
  CHECK(node.count(Count::kEvicted) == 0);
}

TEST_CASE("floods: beyond the share opening packets are still decided by their bucket") {
  TestCluster cluster({.capacity = 100, .opening_share = 0.1});
  std::vector<NodeIndex> owners(kTestBuckets);
  for (size_t i = 0; i < owners.size(); ++i) owners[i] = static_cast<NodeIndex>(i % 3);
  cluster.allocate(owners);
  const Distribution distribution(test_distribution());
  for (int n = 0; n < 200; ++n) {
    const Key key = client(n).key();
    const NodeIndex owner = owners[distribution.bucket(header_fields(key))];
    const auto traces = cluster.see(client(n).syn(), 1);
    REQUIRE(deliverers(traces) == std::string(1, static_cast<char>('0' + owner)));
    for (NodeIndex i = 0; i < kTestNodes; ++i) {
      REQUIRE(traces[i].decision.packet_class == (i == owner ? 1 : 3));
    }
  }
  CHECK(cluster.node(0).tracked() == 10);
  CHECK(cluster.node(0).count(Count::kOpeningUntracked) == 190);
}

TEST_CASE("floods: the entry of an untracked opening is made by the handshake's third packet") {
  TestNode node({.capacity = 100, .opening_share = 0.1});
  for (int n = 0; n < 50; ++n) node.see(client(n).syn(), 1);
  const TcpClient late = client(49);
  CHECK(node.status(late.key()) == std::nullopt);
  node.send(late.syn_ack(), 1);
  CHECK(node.status(late.key()) == std::nullopt);
  CHECK(node.see(late.ack(), 1).decision.packet_class == 5);
  CHECK(node.status(late.key()) == kEstablished);
  node.give_all_buckets_to(1);
  CHECK(node.see(late.data(), 2).decision.packet_class == 2);
}

TEST_CASE("floods: an opening that establishes frees its part of the share") {
  TestNode node({.capacity = 100, .opening_share = 0.1});
  for (int n = 0; n < 10; ++n) node.see(client(n).syn(), 1);
  node.see(client(10).syn(), 1);
  CHECK(node.status(client(10).key()) == std::nullopt);
  node.see(client(0).ack(), 1);
  node.see(client(10).syn(), 4);  // the retransmission
  CHECK(node.status(client(10).key()) == kOpening);
  CHECK(node.sizes().opening == 10);
}

TEST_CASE("floods: an ESTABLISHED entry is never evicted for an OPENING one") {
  TestNode node({.capacity = 100, .opening_share = 1});
  for (int n = 0; n < 100; ++n) node.see(client(n).data(), 1);
  CHECK(node.sizes().established == 100);
  for (int n = 100; n < 400; ++n) CHECK(node.see(client(n).syn(), 1).decision.packet_class == 1);
  CHECK(node.sizes().established == 100);
  CHECK(node.count(Count::kFullUntracked) == 300);
  CHECK(node.count(Count::kEvicted) == 0);
  for (int n = 0; n < 100; ++n) CHECK(node.status(client(n).key()) == kEstablished);
}

TEST_CASE("floods: a full table is counted, goes on deciding and breaks no tracked connection") {
  TestNode node({.capacity = 100});
  for (int n = 0; n < 100; ++n) node.see(client(n).data(), 1);
  for (int n = 100; n < 500; ++n) {
    CHECK(node.see(client(n).data(), 1).decision.packet_class == 5);
    CHECK(node.see(client(n).rst(), 1).decision.packet_class == 5);
  }
  CHECK(node.count(Count::kFullUntracked) == 800);
  CHECK(node.tracked() == 100);
  node.give_all_buckets_to(1);
  for (int n = 0; n < 100; ++n) CHECK(node.see(client(n).data(), 2).decision.packet_class == 2);
  CHECK(node.see(client(300).data(), 2).decision.packet_class == 6);
  CHECK(node.worker().table().check_invariants() == "");
}

TEST_CASE("floods: in a full table closed and opening entries give their place to established") {
  TestNode node({.capacity = 100, .opening_share = 0.1});
  for (int n = 0; n < 10; ++n) node.see(client(n).syn(), 1);
  for (int n = 10; n < 90; ++n) node.see(client(n).data(), 1);
  for (int n = 90; n < 100; ++n) node.see(client(n).rst(), 1);
  CHECK(node.tracked() == 100);
  for (int n = 100; n < 150; ++n) node.see(client(n).data(), 1);
  CHECK(node.tracked() == 100);
  CHECK(node.sizes().established == 100);
  CHECK(node.count(Count::kEvicted) == 20);
  CHECK(node.count(Count::kFullUntracked) == 30);
  for (int n = 10; n < 90; ++n) CHECK(node.status(client(n).key()) == kEstablished);
}

TEST_CASE("floods: after the flood the share is free again by the opening timeout") {
  TestNode node({.capacity = 100});
  for (int n = 0; n < 100; ++n) node.see(client(n).syn(), 1);
  node.age(31);
  CHECK(node.tracked() == 0);
  node.see(client(0).syn(), 31);
  CHECK(node.sizes().opening == 1);
}
