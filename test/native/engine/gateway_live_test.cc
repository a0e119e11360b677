// The engine as a gateway between two real networks: the kernel forwards what it delivers, and
// nothing else.
//
//   client (v1) --- v0 [ node: engine, TUN ] w0 --- w1 (server)
#include "engine/engine_node.h"

namespace flowsieve::test {

namespace {

constexpr Mac kClientSide{2, 0, 0x5e, 0, 1, 1}, kServerSide{2, 0, 0x5e, 0, 1, 2};

/// The node has forwarding switched off, and no route leads around the cluster addresses
/// 192.0.2.100 and 203.0.113.100 (2001:db8::100 and 2001:db8:2::100).
struct Between {
  Wire wire;  ///< here: the node, there: the client
  Namespace server;

  Between() {
    REQUIRE(
        server.shell("sysctl -qw net.ipv6.conf.all.accept_dad=0 "
                     "net.ipv6.conf.default.accept_dad=0"));
    REQUIRE(wire.here.shell(
        "ip link add w0 address 02:00:00:00:00:03 type veth peer name w1 address 02:00:00:00:00:04 "
        "netns " +
        server.path() +
        " && ip addr add 203.0.113.1/24 dev w0 && ip addr add 2001:db8:2::1/64 dev w0 nodad && "
        "ip link set w0 up && sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 "
        "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 "
        "net.ipv4.conf.v0.arp_ignore=1 net.ipv4.conf.w0.arp_ignore=1 "
        "net.ipv4.conf.v0.arp_announce=2 net.ipv4.conf.w0.arp_announce=2"));
    REQUIRE(server.shell(
        "ip addr add 203.0.113.2/24 dev w1 && ip addr add 2001:db8:2::2/64 dev w1 nodad && "
        "ip link set w1 up && ip route add default via 203.0.113.100 && "
        "ip -6 route add default via 2001:db8:2::100"));
    REQUIRE(
        wire.there.shell("ip route add default via 192.0.2.100 && "
                         "ip -6 route add default via 2001:db8::100"));
  }
};

EngineOptions gateway_options(uint32_t workers) {
  EngineOptions options = engine_options(workers);
  options.worker.scope = Scope::of_gateway({kClientSide, kServerSide});
  options.interface.clear();
  options.addresses.clear();
  options.networks = {
      {"v0", kClientSide, {address_of("192.0.2.100"), address_of("2001:db8::100")}},
      {"w0", kServerSide, {address_of("203.0.113.100"), address_of("2001:db8:2::100")}},
  };
  return options;
}

Criteria gateway_criteria() {
  Criteria criteria = all_buckets_of(0);
  criteria.distribution = Distribution(gateway_distribution());
  criteria.forwards = true;
  return criteria;
}

bool pings(const Namespace& where, const std::string& address) {
  return where.shell("ping -n -q -i 0.02 -c 5 -W 2 " + address + " > /dev/null");
}

}  // namespace

TEST_CASE("live: a gateway forwards between two networks, in both directions, by one table") {
  FLOWSIEVE_LIVE_TEST("engine as a gateway");
  for (const uint32_t workers : {1u, 3u}) {
    const Between between;
    const Namespace& node = between.wire.here;
    auto opened = open_engine(node, gateway_options(workers), gateway_criteria());
    REQUIRE_MESSAGE(opened.ok(), opened.error().message);
    Engine& engine = *opened.value();
    REQUIRE(
        node.shell("ip link set flowsieve0 up && ip addr add 192.0.2.100/32 dev flowsieve0 && "
                   "ip addr add 203.0.113.100/32 dev flowsieve0 && "
                   "sysctl -qw net.ipv4.conf.flowsieve0.forwarding=1"));
    REQUIRE(engine.start().ok());
    CHECK(pings(between.wire.there, "203.0.113.2"));
    CHECK(pings(between.server, "192.0.2.2"));
    CHECK(pings(between.wire.there, "192.0.2.100"));
    CHECK(pings(between.wire.there, "203.0.113.100"));
    // Five requests and five replies of each ping that was forwarded, and the requests of the
    // others: each once, in one entry for both directions.
    const auto snapshots = engine.snapshot();
    const Counters counters = sum_of(snapshots);
    CHECK(counters[Count::kDelivered] == 30);
    CHECK(counters[Count::kClass1] == 4);
    CHECK(counters[Count::kClass2] == 26);
    CHECK(counters[Count::kResolutionAnswered] >= 2);
    CHECK(sizes_of(snapshots).own == 4);
  }
}

TEST_CASE("live: a gateway that owns nothing forwards nothing, and neither does the kernel") {
  FLOWSIEVE_LIVE_TEST("engine as a gateway");
  const Between between;
  const Namespace& node = between.wire.here;
  auto opened = open_engine(node, gateway_options(1), [] {
    Criteria criteria = gateway_criteria();
    criteria.allocation.owner = all_of(1);
    return criteria;
  }());
  REQUIRE_MESSAGE(opened.ok(), opened.error().message);
  REQUIRE(node.shell("ip link set flowsieve0 up && sysctl -qw net.ipv4.ip_forward=1"));
  REQUIRE(opened.value()->start().ok());
  CHECK_FALSE(between.wire.there.shell("ping -n -q -i 0.02 -c 3 -W 1 203.0.113.2 > /dev/null"));
  const Counters counters = sum_of(opened.value()->snapshot());
  CHECK(counters[Count::kDelivered] == 0);
  CHECK(counters[Count::kDiscarded] == 3);
  CHECK(sizes_of(opened.value()->snapshot()).others == 1);
}

TEST_CASE("live: what is reserved reaches its node, whoever has the bucket") {
  FLOWSIEVE_LIVE_TEST("engine as a gateway");
  const Between between;
  const Namespace& node = between.wire.here;
  auto opened = open_engine(node, gateway_options(2), [] {
    Criteria criteria = gateway_criteria();
    criteria.allocation.owner = all_of(1);
    return criteria;
  }());
  REQUIRE_MESSAGE(opened.ok(), opened.error().message);
  Engine& engine = *opened.value();
  REQUIRE(node.shell("ip link set flowsieve0 up"));
  REQUIRE(engine.start().ok());
  engine.reserve(Reserved({{address_of("203.0.113.1"), 0, 65535, 0}}));
  CHECK(pings(between.wire.there, "203.0.113.1"));  // the node's address on the far side
  const Counters counters = sum_of(engine.snapshot());
  CHECK(counters[Count::kReserved] == 5);
  CHECK(counters[Count::kDelivered] == 5);
  CHECK(sizes_of(engine.snapshot()).own == 0);
}

}  // namespace flowsieve::test
