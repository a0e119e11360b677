// The promise of the whole: of three nodes that see the same packets exactly one delivers each, and
// a connection stays where it was opened, however often the allocation changes.
#include <doctest/doctest.h>

#include <map>
#include <random>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kPackets = 15'000;
#else
constexpr int kPackets = 100'000;
#endif

/// What an observer of one TCP connection may demand of the cluster. Not a twin of the decision: it
/// knows only what a client knows.
struct Connection {
  char node = 0;  ///< the one that delivered its packets so far
  long last = 0;  ///< tenths of a second, as all time here
  long first = 0;
  bool established = false;
  bool closed = false;
};

struct Kind {
  bool syn, closes;
  ByteVector frame;
};

std::vector<Kind> kinds_of(const TcpClient& tcp) {
  const auto frame = [](const PacketBuilder& builder) { return builder.build(); };
  return {{true, false, frame(tcp.syn())},   {true, false, frame(tcp.syn())},
          {false, false, frame(tcp.ack())},  {false, false, frame(tcp.data())},
          {false, false, frame(tcp.data())}, {false, true, frame(tcp.fin())},
          {false, true, frame(tcp.rst())}};
}

std::vector<NodeIndex> random_owners(std::mt19937_64& random) {
  std::vector<NodeIndex> owners(kTestBuckets);
  for (NodeIndex& owner : owners) owner = static_cast<NodeIndex>(random() % 3);
  return owners;
}

/// Runs random traffic, `pace` ticks between packets on average; returns how often a connection was
/// found on a node that the allocation of the moment would not have chosen: without any, the test
/// would say nothing.
size_t run(const Setup& setup, uint64_t seed, int clients, uint64_t pace) {
  std::mt19937_64 random(seed);
  TestCluster cluster(setup);
  const Distribution distribution(test_distribution());
  std::vector<std::vector<Kind>> kinds;
  std::vector<uint32_t> buckets;
  for (int n = 0; n < clients; ++n) {
    const TcpClient tcp{.address = n % 2 ? "198.51.100.7" : "2001:db8::7",
                        .port = static_cast<uint16_t>(1000 + n)};
    kinds.push_back(kinds_of(tcp));
    const Key key = tcp.key();
    buckets.push_back(distribution.bucket(header_fields(key)));
  }
  std::vector<Connection> connections(static_cast<size_t>(clients));
  std::vector<NodeIndex> owners = all_of(0);
  long now = 10;
  size_t exceptions = 0;
  uint64_t decided = 0;
  for (int i = 0; i < kPackets; ++i) {
    now += static_cast<long>(random() % (2 * pace + 1));
    if (random() % 500 == 0) now += static_cast<long>(random() % 400);
    if (random() % 20'000 == 0) now += 74'400;
    if (random() % 50 == 0) cluster.hand_over(owners = random_owners(random));
    const size_t n = random() % connections.size();
    const Kind& kind = kinds[n][random() % kinds[n].size()];
    // Nobody takes a port again within a second of the last connection's beginning.
    if (kind.syn && connections[n].closed && now - connections[n].first <= 10) continue;
    const std::string nodes = deliverers(cluster.see(kind.frame, static_cast<double>(now) / 10));
    REQUIRE(nodes.size() == 1);  // never two, never none

    ++decided;
    Connection& connection = connections[n];
    const long patience = connection.closed ? 200 : connection.established ? 74'400 : 300;
    const bool may_move = connection.node == 0 || (kind.syn && connection.closed) ||
                          now - connection.last >= patience;
    if (may_move) {
      connection = {.first = now};
    } else {
      REQUIRE(connection.node == nodes[0]);
      exceptions += owners[buckets[n]] != static_cast<NodeIndex>(nodes[0] - '0');
    }
    connection.node = nodes[0];
    // A SYN on an established connection keeps nothing alive.
    if (!kind.syn || !connection.established) connection.last = now;
    connection.closed |= kind.closes;
    connection.established |= !kind.syn && !kind.closes && !connection.closed;
  }
  for (NodeIndex i = 0; i < kTestNodes; ++i) {
    CHECK(cluster.node(i).worker().table().check_invariants() == "");
    CHECK(cluster.node(i).decided() == decided);
  }
  return exceptions;
}

}  // namespace

TEST_CASE("three nodes, one wire: exactly one delivers, and a connection stays on its node") {
  CHECK(run({}, 11, 40, 1) > 1000);
}

TEST_CASE("three nodes, one wire: the same at a pace where connections time out") {
  CHECK(run({}, 12, 40, 10) > 1000);
}

TEST_CASE("three nodes, one wire: exactly one delivers also what cannot be tracked") {
  // Of 60 clients' openings three are tracked; the others are decided by bucket, packet by packet.
  // The table itself does not become full: then each node would evict as its own hash has it.
  std::mt19937_64 random(13);
  TestCluster cluster({.capacity = 100, .opening_share = 0.03});
  for (int i = 0; i < kPackets / 2; ++i) {
    if (random() % 50 == 0) cluster.hand_over(random_owners(random));
    const TcpClient tcp{.port = static_cast<uint16_t>(1000 + i % 60)};  // every three seconds
    const PacketBuilder frame = random() % 3 ? tcp.syn() : tcp.rst();
    REQUIRE(deliverers(cluster.see(frame, i * 0.05)).size() == 1);
  }
  CHECK(cluster.node(0).count(Count::kOpeningUntracked) > 0);
}
