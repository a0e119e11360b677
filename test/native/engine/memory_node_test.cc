// Nodes in memory: the queue before the worker, and whole handovers between three of them, with
// every packet accounted for.
#include "engine/memory_node.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

#include "engine/lists.h"
#include "support/test_node.h"

namespace flowsieve::test {

namespace {

constexpr uint64_t kNow = 1'000'000'000;

WorkerOptions worker_options(NodeIndex self) {
  WorkerOptions options;
  options.table.capacity = 4096;
  options.table.opening_share = 1;
  options.table.self = self;
  options.table.nodes = kTestNodes;
  options.scope = Scope::of_addresses({address_of(kCluster4), address_of(kCluster6)});
  return options;
}

Criteria criteria_of(NodeIndex self, uint32_t epoch, const std::vector<NodeIndex>& owners,
                     uint8_t key = 0) {
  DistributionOptions distribution = test_distribution();
  distribution.key[0] = static_cast<uint8_t>(distribution.key[0] ^ key);
  return {.distribution = Distribution(distribution),
          .allocation = {.epoch = epoch, .self = self, .owner = owners}};
}

Transition transition_to(const Criteria& next) {
  return {.distribution = next.distribution, .next = next.allocation, .dead = {}, .acquired = {}};
}

std::unique_ptr<MemoryNode> make_node(NodeIndex self, const std::vector<NodeIndex>& owners) {
  auto made = MemoryNode::create(worker_options(self), criteria_of(self, 1, owners), kNow);
  REQUIRE(made.ok());
  return std::move(made.value());
}

void push(MemoryNode& node, const PacketBuilder& builder) {
  const ByteVector frame = builder.build();
  CHECK(node.push({frame.data(), frame.size()}));
}

TcpClient client(int i) {
  return {.address = "198.51.100." + std::to_string(1 + i % 250),
          .port = static_cast<uint16_t>(1024 + i / 250)};
}

std::vector<Record> whole_list(MemoryNode& node, ListKind kind, NodeIndex to, Tick& now) {
  std::vector<Record> all;
  uint64_t cursor = 0;
  do {
    const RecordBlock block = node.export_list(kind, to, cursor, 7);
    all.insert(all.end(), block.records.begin(), block.records.end());
    cursor = block.cursor;
    now = block.now;
  } while (cursor != 0);
  return all;
}

void pull(MemoryNode& into, MemoryNode& from, ListKind kind, NodeIndex to) {
  Tick now = 0;
  std::vector<Record> list = whole_list(from, kind, to, now);
  const std::vector<NodeIndex> owners{0, 1, 2};
  CHECK(into.import_list(kind, list, now, owners).refused == 0);
}

}  // namespace

TEST_CASE("a turn decides as many frames as it is told to, in the order in which they came") {
  const auto node = make_node(0, all_of(0));
  for (int i = 0; i < 100; ++i) push(*node, client(i).syn());
  CHECK(node->backlog() == 100);
  node->turn(kNow, 40);
  CHECK(node->backlog() == 60);
  const auto delivered = node->take_delivered();
  REQUIRE(delivered.size() == 40);
  for (int i = 0; i < 40; ++i) {
    const ByteVector frame = client(i).syn().build();
    CHECK(delivered[static_cast<size_t>(i)].bytes == ByteVector(frame.begin() + 14, frame.end()));
  }
  node->turn(kNow, 0);
  CHECK(node->take_delivered().empty());
  node->turn(kNow, 1000);
  CHECK(node->backlog() == 0);
  CHECK(node->take_delivered().size() == 60);
}

TEST_CASE("connections go by when their packets came, leases and what waits by the clock") {
  constexpr uint64_t now_ns = kNow + 60'000'000'000;
  const auto node = make_node(0, all_of(0));
  const auto push_at = [&](int i, double ago) {
    const ByteVector frame = client(i).syn().build();
    node->push({frame.data(), frame.size()}, ago < 0 ? 0 : now_ns - nanoseconds(ago));
  };
  const auto opened = [&](int i) {
    Tick now = 0;
    for (const Record& record : whole_list(*node, ListKind::kTables, 1, now)) {
      if (record.key.source == address_of(client(i).address)) return record.opened;
    }
    return Tick{0};
  };
  push_at(0, 0.45);
  push_at(1, -1);   // it does not say when
  push_at(2, 7);    // too long ago to be true
  push_at(3, 0.2);  // behind one that came later, as rings may be
  node->turn(now_ns, 4);
  CHECK(opened(0) == to_tick(now_ns - nanoseconds(0.45)));
  CHECK(opened(1) == to_tick(now_ns));
  CHECK(opened(2) == to_tick(now_ns - nanoseconds(5)));
  CHECK(opened(3) == to_tick(now_ns - nanoseconds(0.2)));
  CHECK(node->take_delivered().size() == 4);

  // Received in time, looked at too late.
  node->set_open_until(now_ns - nanoseconds(0.1));
  push_at(4, 0.3);
  node->turn(now_ns, 1);
  CHECK(node->take_delivered().empty());
  CHECK(node->snapshot().counters[Drop::kLeaseOver] == 1);

  // Received long ago, but waiting since now.
  node->set_open_until(UINT64_MAX);
  node->replace_criteria(criteria_of(0, 2, all_of(1)));
  node->prepare(transition_to(criteria_of(0, 3, all_of(0))));
  node->hold();
  push_at(5, 1);
  node->turn(now_ns, 1);
  node->age(now_ns + nanoseconds(0.1));
  CHECK(node->snapshot().held == 1);
  const std::vector<NodeIndex> loser{1};
  CHECK(node->acquire(loser).opened == 1);
  CHECK(opened(5) == to_tick(now_ns - nanoseconds(1)));
}

TEST_CASE("a full queue refuses, and the loss is counted once") {
  const auto node = make_node(0, all_of(0));
  const ByteVector frame = client(0).syn().build();
  for (size_t i = 0; i < MemoryNode::kQueueMax; ++i) {
    REQUIRE(node->push({frame.data(), frame.size()}));
  }
  CHECK_FALSE(node->push({frame.data(), frame.size()}));
  CHECK_FALSE(node->push({frame.data(), frame.size()}));
  CHECK(node->snapshot().counters[Drop::kRingFull] == 2);
  CHECK(node->snapshot().counters[Drop::kRingFull] == 2);
  node->turn(kNow, 1);
  CHECK(node->push({frame.data(), frame.size()}));
}

TEST_CASE("a release first decides what was received before it, what comes later is the gainer's") {
  const auto node = make_node(0, all_of(0));
  node->prepare(transition_to(criteria_of(0, 2, all_of(1))));
  for (int i = 0; i < 200; ++i) push(*node, client(i).syn());
  node->release();
  CHECK(node->backlog() == 0);
  CHECK(node->take_delivered().size() == 200);
  CHECK(node->snapshot().contested == 200);
  push(*node, client(200).syn());
  node->turn(kNow, 10);
  CHECK(node->take_delivered().empty());
}

TEST_CASE("a list in pieces is whole, whatever is looked at in one step") {
  const auto node = make_node(0, all_of(0));
  std::set<uint16_t> sent;
  for (int i = 0; i < 500; ++i) {
    TcpClient one = client(0);
    one.port = static_cast<uint16_t>(2000 + i);
    push(*node, one.syn());
    sent.insert(one.port);
  }
  node->turn(kNow, 1000);
  Tick now = 0;
  std::multiset<uint16_t> listed;
  for (const Record& record : whole_list(*node, ListKind::kTables, 1, now)) {
    listed.insert(record.key.source_port);
  }
  CHECK(listed == std::multiset<uint16_t>(sent.begin(), sent.end()));
}

TEST_CASE(
    "a list of contested connections has those too that had been received and not looked at") {
  const auto node = make_node(0, all_of(0));
  node->prepare(transition_to(criteria_of(0, 2, all_of(1))));
  for (const ListKind kind : {ListKind::kContested, ListKind::kClaims}) {
    push(*node, client(static_cast<int>(kind)).syn());
    Tick now = 0;
    std::set<Address> listed;  // one may come twice
    for (const Record& record : whole_list(*node, kind, 1, now)) listed.insert(record.key.source);
    CHECK(listed.count(address_of(client(static_cast<int>(kind)).address)) == 1);
    CHECK(listed.size() == node->snapshot().contested);
    CHECK(node->backlog() == 0);
  }
  CHECK(node->snapshot().contested == 2);
}

TEST_CASE("who stood still until its lease was over recalls nothing, though no packet has come") {
  const auto recalled = [](uint64_t stood_still_ns) {
    const auto node = make_node(0, all_of(1));
    node->set_open_until(kNow + nanoseconds(0.1));
    push(*node, client(0).syn());
    node->turn(kNow, 1);
    node->replace_criteria(criteria_of(0, 2, all_of(0)));
    node->turn(kNow + stood_still_ns, 0);
    const std::vector<NodeIndex> dead{1};
    node->adopt(dead);
    return node->take_delivered().size();
  };
  CHECK(recalled(nanoseconds(0.05)) == 1);
  CHECK(recalled(nanoseconds(0.2)) == 0);
}

TEST_CASE("adopting goes through the whole table and gives the dead's to the buckets' owners") {
  std::vector<NodeIndex> owners = all_of(1);
  const auto node = make_node(0, owners);
  for (int i = 0; i < 3000; ++i) push(*node, client(i).syn());
  node->turn(kNow, 4096);
  for (int i = 0; i < 3000; ++i) push(*node, client(i).data());
  node->turn(kNow, 4096);
  CHECK(node->snapshot().sizes.others == 3000);
  for (size_t bucket = 0; bucket < owners.size(); bucket += 2) owners[bucket] = 0;
  for (size_t bucket = 1; bucket < owners.size(); bucket += 2) owners[bucket] = 2;
  node->replace_criteria(criteria_of(0, 2, owners));
  const std::vector<NodeIndex> dead{1};
  CHECK(node->adopt(dead) == 3000);
  const Distribution distribution(test_distribution());
  Tick now = 0;
  size_t own = 0;
  for (const Record& record : whole_list(*node, ListKind::kTables, 1, now)) {
    CHECK(record.owner == owners[distribution.bucket(header_fields(record.key))]);
    own += record.owner == 0;
  }
  CHECK(node->snapshot().sizes.own == own);
  CHECK(node->snapshot().sizes.others == 3000 - own);
}

namespace {

/// Three nodes before one wire, each lagging in its own way, and what each has delivered.
class Cluster {
 public:
  explicit Cluster(uint32_t seed) : random_(seed), owners_(random_owners()) {
    for (NodeIndex i = 0; i < kTestNodes; ++i) nodes_.push_back(make_node(i, owners_));
  }

  /// Some new connections, some packets of open ones, and some turns.
  void traffic() {
    for (int i = 0; i < 6; ++i) {
      if (clients_ > 0 && random_() % 3 == 0) {
        const int which = static_cast<int>(random_() % static_cast<unsigned>(clients_));
        see(which, random_() % 4 == 0 ? client(which).syn() : client(which).data());
      } else {
        see(clients_, client(clients_).syn());
        ++clients_;
      }
      NodeIndex lucky = static_cast<NodeIndex>(random_() % kTestNodes);
      turn(lucky, random_() % 8);
    }
  }

  /// A whole handover to random owners, half of the time by another hash, with traffic all along.
  void hand_over() {
    const std::vector<NodeIndex> next = random_owners();
    const uint8_t key = random_() % 2 == 0 ? key_ : static_cast<uint8_t>(random_() % 256);
    ++epoch_;
    const auto criteria = [&](NodeIndex i) { return criteria_of(i, epoch_, next, key); };
    each([&](NodeIndex i) { nodes_[i]->prepare(transition_to(criteria(i))); });
    pairs([&](NodeIndex i, NodeIndex j) { pull(*nodes_[i], *nodes_[j], ListKind::kMoving, i); });
    each([&](NodeIndex i) { nodes_[i]->hold(); });
    each([&](NodeIndex i) { nodes_[i]->release(); });
    pairs([&](NodeIndex i, NodeIndex j) {
      pull(*nodes_[i], *nodes_[j], ListKind::kReleased, i);
      const std::vector<NodeIndex> loser{j};
      nodes_[i]->acquire(loser);
    });
    each([&](NodeIndex i) { nodes_[i]->replace_criteria(criteria(i)); });
    pairs([&](NodeIndex i, NodeIndex j) { pull(*nodes_[i], *nodes_[j], ListKind::kContested, i); });
    each([&](NodeIndex i) { nodes_[i]->clear_contested(); });
    owners_ = next;
    key_ = key;
  }

  /// Everything decided: every packet of a client was delivered once, all by the same node.
  void check_packets() {
    for (NodeIndex i = 0; i < kTestNodes; ++i) turn(i, UINT64_MAX);
    for (const auto& [which, node] : delivered_) by_client_[which].insert(node);
    for (int which = 0; which < clients_; ++which) {
      CAPTURE(which);
      const auto& deliverers = by_client_[which];
      REQUIRE(deliverers.size() == static_cast<size_t>(seen_[which]));
      REQUIRE(deliverers.count(*deliverers.begin()) == deliverers.size());
    }
  }

  /// Who has a connection and who has its bucket know its owner. Others may think it another's, as
  /// they ask those two before they do anything, but not theirs. After check_packets().
  void check_tables() {
    const Distribution distribution = criteria_of(0, epoch_, owners_, key_).distribution;
    for (NodeIndex i = 0; i < kTestNodes; ++i) {
      Tick now = 0;
      for (const Record& record : whole_list(*nodes_[i], ListKind::kTables, i, now)) {
        const int which = client_of(record.key.source.data() + 12, record.key.source_port);
        const NodeIndex taker = *by_client_[which].begin();
        const NodeIndex of_bucket = owners_[distribution.bucket(header_fields(record.key))];
        if (i == taker || i == of_bucket) REQUIRE(record.owner == taker);
        if (i != taker) REQUIRE(record.owner != i);
      }
      CHECK(nodes_[i]->snapshot().held == 0);
      CHECK(nodes_[i]->snapshot().contested == 0);
    }
  }

 private:
  static int client_of(const uint8_t* address, uint16_t port) {
    return address[3] - 1 + (port - 1024) * 250;
  }

  std::vector<NodeIndex> random_owners() {
    std::vector<NodeIndex> owners(kTestBuckets);
    for (NodeIndex& owner : owners) owner = static_cast<NodeIndex>(random_() % kTestNodes);
    return owners;
  }

  template <typename Step>
  void each(Step step) {
    std::vector<NodeIndex> order{0, 1, 2};
    std::shuffle(order.begin(), order.end(), random_);
    for (const NodeIndex i : order) {
      traffic();
      step(i);
    }
    traffic();
  }
  template <typename Step>
  void pairs(Step step) {
    each([&](NodeIndex i) {
      for (NodeIndex j = 0; j < kTestNodes; ++j) {
        if (i != j) step(i, j);
        traffic();
      }
    });
  }

  void see(int which, const PacketBuilder& builder) {
    for (const auto& node : nodes_) push(*node, builder);
    ++seen_[which];
  }
  void turn(NodeIndex i, uint64_t frames) {
    now_ns_ += 1000;
    nodes_[i]->turn(now_ns_, frames);
    for (const auto& packet : nodes_[i]->take_delivered()) {
      const uint8_t* ip = packet.bytes.data();
      delivered_.emplace_back(client_of(ip + 12, load_be16(ip + 20)), i);
    }
  }

  std::mt19937 random_;
  std::vector<std::unique_ptr<MemoryNode>> nodes_;
  std::vector<NodeIndex> owners_;
  uint8_t key_ = 0;
  uint32_t epoch_ = 1;
  uint64_t now_ns_ = kNow;
  int clients_ = 0;
  std::map<int, int> seen_;  ///< packets by client
  std::vector<std::pair<int, NodeIndex>> delivered_;
  std::map<int, std::multiset<NodeIndex>> by_client_;
};

}  // namespace

TEST_CASE("in handovers under traffic every packet is delivered once, by its connection's node") {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Cluster cluster(seed);
    for (int round = 0; round < 3; ++round) {
      cluster.traffic();
      cluster.hand_over();
    }
    cluster.check_packets();
  }
}

TEST_CASE("after handovers under traffic every connection's owner and its bucket's know of it") {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Cluster cluster(seed);
    for (int round = 0; round < 3; ++round) {
      cluster.traffic();
      cluster.hand_over();
    }
    cluster.check_packets();
    cluster.check_tables();
  }
}

}  // namespace flowsieve::test
