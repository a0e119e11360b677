// A worker whose source keeps busy connections away from it, beside one that sees every packet: the same decisions, the same table, the same ends.
#include "wire/flow_bypass.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

#include "support/quic_client.h"
#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

struct ByBytes {
  bool operator()(const Key& one, const Key& other) const {
    return std::memcmp(&one, &other, sizeof(Key)) < 0;
  }
};

/// What the program in the kernel does, in memory.
class PlainBypass final : public FlowBypass {
 public:
  /// Nothing: the frame goes to the worker.
  std::optional<Bypass> keeps_out(const ByteVector& frame, double at) {
    const auto size = static_cast<uint32_t>(frame.size());
    const Packet packet = parse({frame.data(), frame.size()}, size, LinkType::kEthernet);
    const auto found = known_.find(packet.flow);
    if (packet.kind != Kind::kFlow || found == known_.end()) return std::nullopt;
    Value& value = found->second;
    if (packet.tcp_flags & (kTcpSyn | kTcpFin | kTcpRst)) value.over = true;
    const Tick deadline = to_tick(value.last_seen_ns) + value.timeout;
    if (to_tick(nanoseconds(at)) >= deadline) value.over = true;
    if (value.over) return std::nullopt;
    value.last_seen_ns = nanoseconds(at);
    ++(value.what == Bypass::kDeliver ? delivered : discarded);
    return value.what;
  }
  bool discards(const ByteVector& frame, double at) {
    return keeps_out(frame, at) == Bypass::kDiscard;
  }

  bool delivers() const override { return may_deliver; }
  bool begin(const Key& key, Bypass what, uint64_t last_seen_ns, Tick timeout) override {
    if (known_.size() >= most && known_.count(key) == 0) return false;
    known_[key] = {last_seen_ns, timeout, what, false};
    return true;
  }
  std::optional<uint64_t> end(const Key& key) override {
    const auto last = last_seen_ns(key);
    known_.erase(key);
    return last;
  }
  std::optional<uint64_t> last_seen_ns(const Key& key) override {
    const auto found = known_.find(key);
    if (found == known_.end()) return std::nullopt;
    return found->second.last_seen_ns;
  }
  size_t end_some(std::span<Bypassed> ended) override {
    size_t count = 0;
    while (count < ended.size() && !known_.empty()) {
      ended[count++] = {known_.begin()->first, known_.begin()->second.last_seen_ns};
      known_.erase(known_.begin());
    }
    return count;
  }

  bool knows(const Key& key) const { return known_.count(key) > 0; }
  size_t size() const { return known_.size(); }

  bool may_deliver = true;
  size_t most = SIZE_MAX;  ///< there is room for
  size_t discarded = 0, delivered = 0;

 private:
  struct Value {
    uint64_t last_seen_ns;
    Tick timeout;
    Bypass what;
    bool over;
  };
  std::map<Key, Value, ByBytes> known_;
};

/// Short ones, so that connections end while they are bypassed.
Setup short_timeouts() {
  Setup setup;
  for (const auto kind : {TimeoutClass::kTcp, TimeoutClass::kUdp}) {
    setup.timeouts.ticks[static_cast<size_t>(kind)][1] = 5 * kTicksPerSecond;
  }
  return setup;
}

/// A node with a bypass, of which every bucket is another's.
struct Bystander {
  PlainBypass bypass;
  TestNode node;

  explicit Bystander(const Setup& setup = {}) : node(setup) {
    node.worker().set_bypass(&bypass);
    node.give_all_buckets_to(1);
  }
  /// A connection that is busy until it is bypassed.
  void keep_busy(const TcpClient& tcp, double at) {
    node.see(tcp.syn(), at);
    for (int i = 0; i < 8 && !bypass.knows(tcp.key()); ++i) node.see(tcp.data(), at);
  }
};

bool same(const List& one, const List& other) {
  return one.size() == other.size() &&
         std::memcmp(one.data(), other.data(), one.size() * sizeof(Record)) == 0;
}

List sorted(List list) {
  std::sort(list.begin(), list.end(), [](const Record& one, const Record& other) {
    return std::memcmp(&one.key, &other.key, sizeof(Key)) < 0;
  });
  return list;
}

}  // namespace

TEST_CASE("bypass: of a busy connection, another node's or an own one; not of a silent one") {
  Bystander bystander;
  auto& [bypass, node] = bystander;
  node.give_all_buckets_to(0);
  const TcpClient own;
  bystander.keep_busy(own, 1);
  CHECK(bypass.knows(own.key()));
  CHECK(bypass.keeps_out(own.data().build(), 1) == Bypass::kDeliver);

  node.give_all_buckets_to(1);
  const TcpClient busy{.port = 41000}, silent{.port = 42000};
  bystander.keep_busy(busy, 2);
  node.see(silent.syn(), 2);
  CHECK(bypass.knows(busy.key()));
  CHECK(node.record(busy.key())->bypassed == 1);
  CHECK_FALSE(bypass.knows(silent.key()));
}

TEST_CASE("bypass: a connection lives as long as its packets come, wherever they are discarded") {
  Bystander bystander(short_timeouts());
  auto& [bypass, node] = bystander;
  const TcpClient tcp;
  bystander.keep_busy(tcp, 1);
  REQUIRE(bypass.knows(tcp.key()));
  CHECK(bypass.discards(tcp.data().build(), 5));
  node.age(9);
  CHECK(node.status(tcp.key()) == kEstablished);
  node.age(10.5);
  CHECK(node.status(tcp.key()) == std::nullopt);
  CHECK(bypass.size() == 0);
}

TEST_CASE("bypass: whoever comes again after a silence is decided by when the last packet came") {
  Bystander bystander(short_timeouts());
  auto& [bypass, node] = bystander;
  const TcpClient tcp;
  bystander.keep_busy(tcp, 1);
  CHECK(bypass.discards(tcp.data().build(), 5));
  node.give_all_buckets_to(0);
  // Without the time of the discarded one the connection would be over, and this node's.
  CHECK(node.see(tcp.fin(), 8).decision.packet_class == 4);
}

TEST_CASE("bypass: ends before anybody asks for connections, and with its connection's place") {
  Bystander bystander;
  auto& [bypass, node] = bystander;
  const TcpClient tcp;
  bystander.keep_busy(tcp, 1);
  CHECK(bypass.discards(tcp.data().build(), 3));
  node.worker().end_bypass();
  CHECK(bypass.size() == 0);
  CHECK(node.record(tcp.key())->bypassed == 0);
  CHECK(node.record(tcp.key())->last_seen == to_tick(nanoseconds(3)));

  bystander.keep_busy(tcp, 4);
  REQUIRE(bypass.knows(tcp.key()));
  node.see(tcp.fin(), 5);
  node.see(tcp.syn(), 6);  // reopens
  CHECK_FALSE(bypass.knows(tcp.key()));
}

TEST_CASE("bypass: leaves its room to others when its connection closes") {
  for (const bool reset : {false, true}) {
    Bystander bystander;
    auto& [bypass, node] = bystander;
    const TcpClient tcp;
    bystander.keep_busy(tcp, 1);
    CHECK(bypass.discards(tcp.data().build(), 3));
    node.see(reset ? tcp.rst() : tcp.fin(), 4);
    CHECK(node.status(tcp.key()) == kClosing);
    CHECK(bypass.size() == 0);
    CHECK(node.record(tcp.key())->bypassed == 0);
    CHECK(node.record(tcp.key())->last_seen == to_tick(nanoseconds(4)));
    node.see(tcp.data(), 5);
    CHECK(bypass.size() == 0);
  }
}

TEST_CASE("bypass: where many connections go on, begins only when one has lasted a little") {
  Bystander bystander;
  auto& [bypass, node] = bystander;
  const auto each_of_32 = [&](const auto& act) {
    for (uint16_t i = 0; i < 32; ++i) act(TcpClient{.port = static_cast<uint16_t>(40000 + i)});
  };
  each_of_32([&](const TcpClient& tcp) { node.see(tcp.syn(), 1); });
  bypass.most = 0;  // so that all packets come, and the worker sees how many go on
  for (int i = 0; i < 20; ++i) each_of_32([&](const TcpClient& tcp) { node.see(tcp.data(), 1); });
  bypass.most = SIZE_MAX;
  each_of_32([&](const TcpClient& tcp) { node.see(tcp.data(), 1.15); });
  CHECK(bypass.size() == 0);
  each_of_32([&](const TcpClient& tcp) { node.see(tcp.data(), 1.2); });
  CHECK(bypass.size() == 32);
}

TEST_CASE("bypass: of own connections only where somebody delivers them, and all nodes know them") {
  const auto bypassed = [](bool may_deliver, Tracking tracking) {
    Setup setup;
    setup.tracking = tracking;
    Bystander bystander(setup);
    bystander.bypass.may_deliver = may_deliver;
    bystander.node.give_all_buckets_to(0);
    bystander.keep_busy(TcpClient(), 1);
    return bystander.bypass.knows(TcpClient().key());
  };
  CHECK(bypassed(true, Tracking::kObserve));
  CHECK_FALSE(bypassed(false, Tracking::kObserve));
  CHECK_FALSE(bypassed(true, Tracking::kOwn));
}

TEST_CASE(
    "bypass: of an own connection begins after its burst, and only if that was all there was") {
  const TcpClient tcp;
  const auto bypassed = [&](const std::vector<ByteVector>& burst) {
    Bystander bystander;
    bystander.node.give_all_buckets_to(0);
    bystander.node.see(tcp.syn(), 1);
    bystander.node.see_burst(burst, 1);
    return bystander.bypass.knows(tcp.key());
  };
  const ByteVector data = tcp.data().build();
  CHECK(bypassed({data, data}));
  CHECK_FALSE(bypassed(std::vector<ByteVector>(kBurst, data)));
  CHECK_FALSE(bypassed({data, tcp.fin().build()}));
}

TEST_CASE("bypass: of UDP flows, but where connection ids decide") {
  const auto bypassed = [](bool quic) {
    Setup setup;
    if (quic) setup.quic = shared_quic();
    Bystander bystander(setup);
    for (int i = 0; i < 12; ++i) bystander.node.see(UdpClient().datagram(), 1);
    return bystander.bypass.knows(UdpClient().key());
  };
  CHECK(bypassed(false));
  CHECK_FALSE(bypassed(true));
}

TEST_CASE("bypass: none begins within a second after somebody asked for connections") {
  Bystander bystander;
  auto& [bypass, node] = bystander;
  const TcpClient tcp;
  node.see(tcp.syn(), 1);
  node.worker().end_bypass();
  for (int i = 0; i < 20; ++i) node.see(tcp.data(), 1.9);
  CHECK_FALSE(bypass.knows(tcp.key()));
  for (int i = 0; i < 8; ++i) node.see(tcp.data(), 2);
  CHECK(bypass.knows(tcp.key()));
}

TEST_CASE("bypass: without room none is tried for a tick") {
  Bystander bystander;
  auto& [bypass, node] = bystander;
  bypass.most = 1;
  const TcpClient first{.port = 41000}, second{.port = 42000};
  bystander.keep_busy(first, 1);
  bystander.keep_busy(second, 1);
  CHECK_FALSE(bypass.knows(second.key()));
  bypass.most = 2;
  node.see(second.data(), 1.01);
  CHECK_FALSE(bypass.knows(second.key()));
  node.see(second.data(), 1.3);
  CHECK(bypass.knows(second.key()));
}

TEST_CASE("bypass: none begins during a handover") {
  Bystander bystander;
  auto& [bypass, node] = bystander;
  const TcpClient tcp;
  node.prepare(all_of(0));
  bystander.keep_busy(tcp, 1);
  CHECK(bypass.size() == 0);
}

TEST_CASE("bypass: ends after ten seconds, and begins anew where packets still come") {
  Bystander bystander;
  auto& [bypass, node] = bystander;
  const TcpClient tcp;
  bystander.keep_busy(tcp, 1);
  node.age(9);
  CHECK(bypass.knows(tcp.key()));
  node.age(12);
  CHECK_FALSE(bypass.knows(tcp.key()));
  for (int i = 0; i < 8; ++i) node.see(tcp.data(), 12);
  CHECK(bypass.knows(tcp.key()));
}

TEST_CASE("bypass: decides and remembers what a worker does that sees everything") {
  size_t discarded = 0, delivered = 0;
  for (uint32_t seed = 1; seed <= 120; ++seed) {
    std::mt19937 random(seed);
    TestNode plain(short_timeouts()), bypassing(short_timeouts());
    PlainBypass bypass;
    if (seed % 2 != 0) bypass.most = 6;
    bypassing.worker().set_bypass(&bypass);
    double at = 1;
    for (int step = 0; step < 600; ++step) {
      const auto below = [&](uint32_t end) { return static_cast<uint32_t>(random() % end); };
      at += below(8) == 0 ? 0.1 * below(70) : 0.01 * below(5);
      const TcpClient tcp{.port = static_cast<uint16_t>(40000 + below(12))};
      const uint32_t what = below(24);
      if (what == 0) {
        std::vector<NodeIndex> owners(kTestBuckets);
        for (NodeIndex& owner : owners) owner = static_cast<NodeIndex>(below(kTestNodes));
        bypassing.worker().end_bypass();
        plain.allocate(owners);
        bypassing.allocate(owners);
      }
      const PacketBuilder frame = what == 1   ? tcp.syn()
                                  : what == 2 ? tcp.fin()
                                  : what == 3 ? tcp.rst()
                                              : tcp.data();
      const ByteVector bytes =
          below(3) == 0 ? UdpClient{.port = tcp.port}.datagram().build() : frame.build();
      const Trace expected = plain.see(bytes, at);
      if (const auto what = bypass.keeps_out(bytes, at)) {
        const bool own = *what == Bypass::kDeliver;
        CHECK(expected.decision.verdict == (own ? Verdict::kDeliver : Verdict::kDiscard));
        CHECK(expected.decision.packet_class == (own ? 2 : 4));
        bypassing.age(at);
      } else {
        const Trace trace = bypassing.see(bytes, at);
        CHECK(trace.decision.packet_class == expected.decision.packet_class);
        CHECK(trace.decision.owner == expected.decision.owner);
      }
      if (what == 4) {
        bypassing.worker().end_bypass();
        const List known = sorted(plain.list(ListKind::kTables, 1));
        CHECK(same(sorted(bypassing.list(ListKind::kTables, 1)), known));
      }
    }
    CHECK(bypassing.worker().table().check_invariants() == "");
    discarded += bypass.discarded;
    delivered += bypass.delivered;
  }
  CHECK(discarded > 400);
  CHECK(delivered > 200);
}
