// The promise of handovers, under random traffic and every interleaving that the protocol allows:
// every packet of every connection is delivered by exactly one node, always the same.
//
//   packet --> wire of each node --some later than others--> ring of each node --> its turns
//
// Each node works through its ring with a lag of its own, the steps of a handover come to the nodes
// in random order and with traffic between any two of them, and lists are under way for a while.
// What the test knows is only what a client knows: which packets it has sent, and from whom their
// answers would have come.
//
// Nodes also die, with what they had not worked off. Then a client waits for an answer to its SYN,
// and acknowledges that at once; and what the living promise is less in one point: of what was sent
// while the dead node's buckets had no living owner, to connections that were the dead one's or
// nobody's, they may drop packets. But never an opening: every client has its answer in the end.
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kSeeds = 6;
#else
constexpr int kSeeds = 40;
#endif

struct Mode {
  Tracking tracking = Tracking::kObserve;
  bool changes_distribution = false;
  double opening_share = 0.25;
  int deaths = 0;  ///< of nodes, in as many of the changes
};

/// One connection from its opening on; the same client may have several, one after the other.
struct Life {
  int client = 0;
  double opened = 0;
  bool opening = true;  ///< nothing but SYNs so far
  int taker = -1;       ///< the living node that delivers it
  bool answered = false;
};

class Model {
 public:
  Model(const Mode& mode, uint64_t seed)
      : mode_(mode),
        random_(seed),
        cluster_({.capacity = 4096,
                  .opening_share = mode.opening_share,
                  .tracking = mode.tracking,
                  .hold = {.hold_ns = 10'000'000'000}}) {}

  void run(int handovers) {
    for (int i = 0; i < handovers; ++i) {
      traffic(100);
      i % 2 == 1 && i / 2 < mode_.deaths ? takeover() : handover();
    }
    traffic(100);
    for (const NodeIndex i : living_) catch_up(i);
    uint64_t taken = 0;
    for (const NodeIndex i : living_) {
      catch_up(i);  // with the last acknowledgements
      TestNode& node = cluster_.node(i);
      CHECK(node.worker().held() == 0);
      CHECK(node.worker().contested() == 0);
      CHECK(node.worker().table().check_invariants() == "");
      CHECK(node.drops(Drop::kHoldExpired) + node.drops(Drop::kHoldFull) == 0);
      held += node.count(Count::kHeld);
      recalled += node.count(Count::kRecalled);
      for (const AuditEpoch& sums : node.worker().audit().epochs()) taken += sums.taken;
    }
    for (const auto& [number, packet] : packets_) {
      REQUIRE((packet.deliveries == 1 || packet.may_be_lost));
    }
    lives = lives_.size();
    // By nobody twice, and by somebody all.
    if (mode_.deaths == 0) CHECK(taken == lives);
  }

  uint64_t lives = 0, held = 0, recalled = 0, disputed = 0;

 private:
  struct Sent {
    size_t life;
    int deliveries = 0;  ///< by living nodes
    bool may_be_lost = false;
  };

  size_t below(size_t n) { return random_() % n; }

  /// A few packets and turns, between any two steps of a handover.
  void traffic(size_t most) {
    for (size_t steps = below(most + 1); steps > 0; --steps) {
      now_ += 0.003;
      send();
      for (const NodeIndex i : living_) {
        if (below(4)) arrive(i);
        if (below(5) == 0) work(i, below(40));
      }
    }
  }

  static TcpClient tcp_of(int client) {
    return {.address = client % 2 ? "198.51.100.7" : "2001:db8::7",
            .port = static_cast<uint16_t>(30'000 + client)};
  }

  void send() {
    const int client = static_cast<int>(below(kClients));
    const auto known = current_.find(client);
    const TcpClient tcp = tcp_of(client);
    if (known == current_.end()) {
      if (now_ >= rests_until_[client]) open(client, tcp);
      return;
    }
    Life& life = lives_[known->second];
    const size_t choice = below(10);
    if (choice < 2 && life.opening) return transmit(tcp.syn(), known->second);
    if (mode_.deaths > 0 && !life.answered) return;
    if (choice == 9 && now_ - life.opened > 0.4) {
      transmit(tcp.fin(), known->second);
      current_.erase(known);  // the next packet of this client is a SYN: port reuse
      rests_until_[client] = now_ + kRest;
      return;
    }
    life.opening = false;
    transmit(tcp.to_server().ack(), known->second);
  }

  void open(int client, const TcpClient& tcp) {
    current_[client] = lives_.size();
    lives_.push_back({.client = client, .opened = now_});
    transmit(tcp.syn(), lives_.size() - 1);
  }

  /// The packet's number travels in its payload.
  void transmit(PacketBuilder frame, size_t life) {
    const uint32_t number = static_cast<uint32_t>(packets_.size());
    ByteVector payload(4);
    store_be32(payload.data(), number);
    const ByteVector bytes = frame.payload(payload).build();
    for (const NodeIndex i : living_) wires_[i].push_back(bytes);
    packets_[number] = {.life = life, .may_be_lost = bereft_ && lives_[life].taker < 0};
  }

  void arrive(NodeIndex node) {
    rings_[node].insert(rings_[node].end(), wires_[node].begin(), wires_[node].end());
    wires_[node].clear();
  }
  void arrive_everywhere() {
    for (const NodeIndex i : living_) arrive(i);
  }

  void work(NodeIndex node, size_t frames) {
    auto& ring = rings_[node];
    for (frames = std::min(frames, ring.size()); frames > 0;) {
      const size_t burst = std::min(frames, 1 + below(kBurst));
      cluster_.node(node).see_burst({ring.begin(), ring.begin() + static_cast<long>(burst)}, now_);
      ring.erase(ring.begin(), ring.begin() + static_cast<long>(burst));
      frames -= burst;
    }
    check_deliveries(node);
  }

  void check_deliveries(NodeIndex node) {
    MemoryDelivery& delivery = cluster_.node(node).delivery();
    for (const auto& packet : delivery.kept()) {
      Sent& sent = packets_.at(load_be32(packet.bytes.data() + packet.bytes.size() - 4));
      Life& life = lives_[sent.life];
      REQUIRE(++sent.deliveries == 1);  // never two
      if (life.taker < 0) life.taker = node;
      REQUIRE(life.taker == node);  // a connection stays where it is
      if (!life.answered) answered(life, sent.life);
    }
    delivery.clear();
  }

  void answered(Life& life, size_t number) {
    life.answered = true;
    if (mode_.deaths == 0) return;
    life.opening = false;
    transmit(tcp_of(life.client).to_server().ack(), number);
  }

  std::vector<NodeIndex> shuffled() {
    std::vector<NodeIndex> nodes = living_;
    std::shuffle(nodes.begin(), nodes.end(), random_);
    return nodes;
  }

  /// Every node in turn, with traffic before each.
  template <typename Step>
  void each_node(Step step) {
    for (const NodeIndex i : shuffled()) {
      traffic(8);
      step(i);
    }
  }

  /// Before a list is made or merged, what has been received is decided: it speaks of packets that
  /// both nodes have seen.
  void catch_up(NodeIndex node) {
    arrive(node);
    work(node, SIZE_MAX);
  }

  /// A list from every node to every other, under way for a while.
  template <typename Then>
  void each_pair(ListKind kind, Then then) {
    for (const NodeIndex to : shuffled()) {
      for (const NodeIndex from : shuffled()) {
        if (from == to) continue;
        catch_up(from);
        const List list = cluster_.node(from).list(kind, to, 1 + below(30));
        traffic(4);
        catch_up(to);
        disputed += cluster_.node(to).merge(list, cluster_.node(from)).disputed;
        then(to, from);
        check_deliveries(to);
      }
    }
  }

  std::vector<NodeIndex> random_owners() {
    std::vector<NodeIndex> owners(kTestBuckets);
    for (NodeIndex& owner : owners) owner = living_[below(living_.size())];
    return owners;
  }

  /// A node is gone at once, with what is on the way to it and in its ring. Of the connections it had
  /// the living know only what they have seen themselves.
  NodeIndex die() {
    const size_t which = below(living_.size());
    const NodeIndex dead = living_[which];
    living_.erase(living_.begin() + static_cast<long>(which));
    for (auto& [number, packet] : packets_) {
      Life& life = lives_[packet.life];
      if (life.taker >= 0 && life.taker != dead) continue;
      packet.may_be_lost = true;
      if (life.taker == dead) packet.deliveries = 0;
    }
    for (Life& life : lives_) {
      if (life.taker == dead) life.taker = -1;
    }
    return dead;
  }

  void takeover() {
    const NodeIndex dead = die();
    bereft_ = true;
    traffic(40);
    std::vector<NodeIndex> owners = cluster_.node(living_[0]).worker().criteria().allocation.owner;
    for (NodeIndex& owner : owners) {
      if (owner == dead) owner = living_[below(living_.size())];
    }
    each_node([&](NodeIndex i) { cluster_.node(i).takeover(owners, {dead}); });
    each_pair(ListKind::kClaims, [](NodeIndex, NodeIndex) {});
    each_node([&](NodeIndex i) { adopt(i, dead); });
    each_node([&](NodeIndex i) {
      catch_up(i);
      cluster_.node(i).commit();
      adopt(i, dead);
    });
    each_pair(ListKind::kContested, [](NodeIndex, NodeIndex) {});
    each_node([&](NodeIndex i) { cluster_.node(i).worker().clear_contested(); });
    bereft_ = false;
    for (const NodeIndex i : living_) catch_up(i);
    for (const auto& [client, life] : current_) REQUIRE(lives_[life].answered);
  }

  void adopt(NodeIndex node, NodeIndex dead) {
    cluster_.node(node).recall({dead});
    cluster_.node(node).adopt({dead});
    cluster_.node(node).acquire({dead});
    check_deliveries(node);
  }

  void handover() {
    const std::vector<NodeIndex> owners = random_owners();
    DistributionOptions distribution =
        cluster_.node(living_[0]).worker().criteria().distribution.options();
    if (mode_.changes_distribution && below(2)) {
      distribution.hash = below(2) ? HashFunction::kJhash : HashFunction::kSipHash;
      distribution.key[0] = static_cast<uint8_t>(random_());
    }
    each_node([&](NodeIndex i) { cluster_.node(i).prepare(owners, distribution); });
    each_pair(ListKind::kMoving, [](NodeIndex, NodeIndex) {});
    each_node([&](NodeIndex i) { cluster_.node(i).hold(); });
    if (below(5) == 0) {
      each_node([&](NodeIndex i) { cluster_.node(i).roll_back(); });
      each_pair(ListKind::kContested, [](NodeIndex, NodeIndex) {});
      each_node([&](NodeIndex i) { cluster_.node(i).worker().clear_contested(); });
      return;
    }
    arrive_everywhere();  // the guard
    each_node([&](NodeIndex i) {
      arrive(i);
      work(i, SIZE_MAX);
      cluster_.node(i).release();
    });
    each_pair(ListKind::kReleased,
              [&](NodeIndex to, NodeIndex from) { cluster_.node(to).acquire({from}); });
    each_node([&](NodeIndex i) {
      cluster_.node(i).commit();
      check_deliveries(i);
    });
    each_pair(ListKind::kContested, [](NodeIndex, NodeIndex) {});
    each_node([&](NodeIndex i) { cluster_.node(i).worker().clear_contested(); });
  }

  static constexpr size_t kClients = 800;
  /// A client does not use a port again before all nodes know that the connection has closed: a
  /// second by the rules, and as much again as nodes lag and lists are under way.
  static constexpr double kRest = 1.5;

  Mode mode_;
  std::mt19937_64 random_;
  TestCluster cluster_;
  std::vector<NodeIndex> living_{0, 1, 2};
  bool bereft_ = false;  ///< a dead node's buckets have no owner yet
  double now_ = 1;
  std::array<std::deque<ByteVector>, kTestNodes> wires_, rings_;
  std::vector<Life> lives_;
  std::map<int, size_t> current_;      ///< by client
  std::map<int, double> rests_until_;  ///< by client
  std::map<uint32_t, Sent> packets_;
};

void run(const Mode& mode) {
  uint64_t lives = 0, held = 0, recalled = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    Model model(mode, static_cast<uint64_t>(seed));
    model.run(7);
    CHECK(model.disputed == 0);
    lives += model.lives;
    held += model.held;
    recalled += model.recalled;
  }
  // Without many of either the test would say little.
  CHECK(lives > static_cast<uint64_t>(kSeeds) * 300);
  CHECK(held > static_cast<uint64_t>(kSeeds) * (mode.deaths > 0 ? 10 : 40));
  if (mode.deaths > 0) CHECK(recalled > static_cast<uint64_t>(kSeeds) * 2);
}

}  // namespace

TEST_CASE("handovers, any order of events: every packet once, every connection on one node") {
  run({});
}

TEST_CASE("handovers, any order of events: the same in tracking own") {
  run({.tracking = Tracking::kOwn});
}

TEST_CASE("handovers, any order of events: the same while the criteria change") {
  run({.changes_distribution = true});
  run({.tracking = Tracking::kOwn, .changes_distribution = true});
}

TEST_CASE(
    "handovers and deaths: every client is answered, and no connection of the living breaks") {
  run({.deaths = 1});
  run({.deaths = 2});
}

TEST_CASE("handovers and deaths: the same in tracking own") {
  run({.tracking = Tracking::kOwn, .deaths = 1});
  run({.tracking = Tracking::kOwn, .deaths = 2});
}

TEST_CASE("handovers without lag: all nodes have seen the same openings, and taken each once") {
  std::mt19937_64 random(3);
  TestCluster cluster;
  double now = 1;
  std::set<uint16_t> opened;
  const auto traffic = [&] {
    for (size_t n = random() % 60; n > 0; --n) {
      const auto port = static_cast<uint16_t>(30'000 + random() % 900);
      const TcpClient tcp{.port = port};
      const bool known = !opened.insert(port).second;
      cluster.see(known && random() % 2 ? tcp.ack() : tcp.syn(), now += 0.0003);
    }
  };
  for (int i = 0; i < 14; ++i) {
    std::vector<NodeIndex> owners(kTestBuckets);
    for (NodeIndex& owner : owners) owner = static_cast<NodeIndex>(random() % 3);
    traffic();
    cluster.prepare(owners);
    traffic();
    cluster.exchange(ListKind::kMoving);
    traffic();
    cluster.hold();
    traffic();
    cluster.release();
    traffic();
    cluster.acquire();
    traffic();
    cluster.commit();
    cluster.settle();
  }
  const auto epochs = [&](NodeIndex i) { return cluster.node(i).worker().audit().epochs(); };
  uint64_t seen = 0;
  for (size_t e = 0; e < Audit::kEpochs; ++e) {
    CAPTURE(e);
    AuditEpoch all;
    for (NodeIndex i = 0; i < kTestNodes; ++i) {
      CHECK(epochs(i)[e].seen == epochs(0)[e].seen);
      CHECK(epochs(i)[e].seen_sum == epochs(0)[e].seen_sum);
      all.taken += epochs(i)[e].taken;
      all.taken_sum += epochs(i)[e].taken_sum;
    }
    CHECK(all.taken == epochs(0)[e].seen);
    CHECK(all.taken_sum == epochs(0)[e].seen_sum);
    seen += epochs(0)[e].seen;
  }
  CHECK(seen > 500);
}
