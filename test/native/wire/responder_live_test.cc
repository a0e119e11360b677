// The responder before a real kernel's neighbour table.
#include "support/packet_builder.h"
#include "wire/live_node.h"
#include "wire/namespace.h"
#include "wire/responder.h"

namespace flowsieve::test {

namespace {

constexpr const char* kCluster4 = "192.0.2.100";
constexpr const char* kCluster6 = "2001:db8::100";

/// True when the kernel at the other end has `address` at `mac`.
bool neighbour_is(const Wire& wire, const char* address, const char* mac) {
  return wire.there.shell(std::string("ip neigh show ") + address + " dev v1 | grep -q 'lladdr " +
                          mac + "'");
}

std::vector<Clash> clashes(const Wire& wire, const Mac& mac) {
  std::string problem;
  auto found = wire.there.run([&] {
    auto result = find_clashes("v1", {address_of(kCluster4), address_of(kCluster6)}, mac, 300);
    if (!result) problem = result.error().message;
    return result ? result.value() : std::vector<Clash>{};
  });
  CHECK(problem == "");
  return found;
}

}  // namespace

TEST_CASE(
    "a kernel that asks for the cluster addresses learns the cluster MAC and gets its pings "
    "answered") {
  FLOWSIEVE_LIVE_TEST("a kernel that asks for the cluster addresses");
  Wire wire;
  wire.settle_ipv6();
  LiveNode node(wire.here, kCluster4, kCluster6);
  CHECK(wire.there.shell("ping -c 1 -W 2 192.0.2.100 >/dev/null"));
  CHECK(wire.there.shell("ping -c 1 -W 2 2001:db8::100 >/dev/null"));
  CHECK(neighbour_is(wire, kCluster4, "01:00:5e:00:00:64"));
  CHECK(neighbour_is(wire, kCluster6, "01:00:5e:00:00:64"));
  CHECK(node.stop().answered >= 2);
}

TEST_CASE("a kernel that probes for a cluster address finds it taken") {
  FLOWSIEVE_LIVE_TEST("a kernel that probes for a cluster address");
  Wire wire;
  wire.settle_ipv6();
  LiveNode node(wire.here, kCluster4, kCluster6);
  // Duplicate address detection by the kernel itself: the address becomes `dadfailed`.
  REQUIRE(
      wire.there.shell("sysctl -qw net.ipv6.conf.all.accept_dad=1 net.ipv6.conf.v1.accept_dad=1"));
  REQUIRE(wire.there.shell("ip addr add 2001:db8::100/64 dev v1"));
  CHECK(wire.there.shell(
      "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "
      "ip addr show dev v1 | grep -q dadfailed && exit 0; sleep 0.1; done; exit 1"));
}

TEST_CASE("an announcement reaches neighbour tables that have the old MAC") {
  FLOWSIEVE_LIVE_TEST("an announcement reaches neighbour tables");
  Wire wire;
  wire.settle_ipv6();
  for (const char* address : {kCluster4, kCluster6}) {
    REQUIRE(wire.there.shell(std::string("ip neigh add ") + address +
                             " lladdr 02:00:00:00:00:99 nud stale dev v1"));
  }
  const bool announced = wire.here.run([] {
    auto responder =
        LinkResponder::open("v0", kClusterMac, {address_of(kCluster4), address_of(kCluster6)});
    return responder && responder.value()->announce();
  });
  CHECK(announced);
  CHECK(neighbour_is(wire, kCluster4, "01:00:5e:00:00:64"));
  CHECK(neighbour_is(wire, kCluster6, "01:00:5e:00:00:64"));
}

TEST_CASE("somebody who has a cluster address with a MAC of its own is found, the cluster is not") {
  FLOWSIEVE_LIVE_TEST("somebody who has a cluster address");
  {
    Wire wire;
    CHECK(clashes(wire, kClusterMac).empty());
    REQUIRE(wire.here.shell(
        "ip addr add 192.0.2.100/24 dev v0 && ip addr add 2001:db8::100/64 dev v0 nodad"));
    wire.settle_ipv6();
    usleep(200'000);  // the address joins its solicited-node group in the background
    const std::vector<Clash> found = clashes(wire, kClusterMac);
    REQUIRE(found.size() == 2);
    for (const Clash& clash : found) CHECK(clash.mac == Mac{0x02, 0, 0, 0, 0, 0x01});
    CHECK(found[0].address != found[1].address);
  }
  Wire wire;
  wire.settle_ipv6();
  LiveNode node(wire.here, kCluster4, kCluster6);
  CHECK(clashes(wire, kClusterMac).empty());
  CHECK(clashes(wire, Mac{0x01, 0, 0x5e, 0, 0, 0x65}).size() == 2);
}

}  // namespace flowsieve::test
