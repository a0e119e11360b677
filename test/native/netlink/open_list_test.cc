// Which entries of a table the operating system's list keeps open, by example and against a plain
// twin.
#include "netlink/open_list.h"

#include <doctest/doctest.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>

#include <random>

#include "netlink/plain_open_list.h"
#include "netlink/recorded.h"
#include "netlink/recorded_bytes.h"
#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

constexpr uint8_t kTcp = 6, kUdp = 17, kSctp = 132;

Scope cluster() {
  return Scope::of_addresses({address_of("192.0.2.100"), address_of("2001:db8::100")});
}

OpenSocket connected(const Key& key, SocketState state = SocketState::kEstablished) {
  return {.key = key, .state = state};
}

OpenSocket bound(const char* address, uint16_t port, bool both_families = false) {
  OpenSocket socket;
  socket.key.destination = address_of(address);
  socket.key.destination_port = port;
  socket.key.protocol = kUdp;
  socket.key.family =
      std::string(address).find(':') == std::string::npos ? Family::kIpv4 : Family::kIpv6;
  socket.any_remote = true;
  socket.any_local_address =
      socket.key.destination == address_of("0.0.0.0") || socket.key.destination == Address{};
  socket.both_families = both_families;
  return socket;
}

TrackedConnection tracked(const Key& original, const Key& translated, uint8_t state) {
  TrackedConnection connection;
  connection.original = original;
  connection.reply = reversed(translated);
  connection.state = state;
  return connection;
}

}  // namespace

TEST_CASE("four identifiers: the socket's own connection is open, its neighbours are not") {
  OpenList list(cluster(), {}, 1);
  list.add(connected(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.100", 80)));
  CHECK(list.is_open(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.100", 80)));
  CHECK_FALSE(list.is_open(key_of(kTcp, "10.0.0.8", 4000, "192.0.2.100", 80)));
  CHECK_FALSE(list.is_open(key_of(kTcp, "10.0.0.9", 4001, "192.0.2.100", 80)));
  CHECK_FALSE(list.is_open(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.101", 80)));
  CHECK_FALSE(list.is_open(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.100", 81)));
  CHECK_FALSE(list.is_open(key_of(kUdp, "10.0.0.9", 4000, "192.0.2.100", 80)));
}

TEST_CASE("three identifiers: the fourth may be anything, and nothing is restored") {
  // A proxy that is handed its connections with its own address for a destination.
  OpenList list(cluster(), {.destination = false}, 1);
  list.add(connected(key_of(kTcp, "10.0.0.9", 4000, "127.0.0.1", 80)));
  CHECK(list.is_open(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.100", 80)));
  CHECK_FALSE(list.is_open(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.100", 81)));
  CHECK_FALSE(list.is_open(key_of(kTcp, "10.0.0.9", 4001, "192.0.2.100", 80)));
  CHECK(list.restorable().empty());

  OpenList ports(cluster(), {.destination_port = false}, 1);
  ports.add(connected(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.100", 3128)));
  CHECK(ports.is_open(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.100", 80)));
  CHECK_FALSE(ports.is_open(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.101", 80)));
}

TEST_CASE("UDP sockets that are not connected keep open what their address and port receive") {
  OpenList list(cluster(), {}, 1);
  list.add(bound("192.0.2.100", 53));
  list.add(bound("0.0.0.0", 54));
  list.add(bound("::", 55, true));
  list.add(bound("::", 56, false));
  CHECK(list.is_open(key_of(kUdp, "10.0.0.9", 4000, "192.0.2.100", 53)));
  CHECK_FALSE(list.is_open(key_of(kUdp, "10.0.0.9", 4000, "192.0.2.101", 53)));
  CHECK_FALSE(list.is_open(key_of(kTcp, "10.0.0.9", 4000, "192.0.2.100", 53)));
  CHECK(list.is_open(key_of(kUdp, "10.0.0.9", 4000, "192.0.2.101", 54)));
  CHECK_FALSE(list.is_open(key_of(kUdp, "2001:db8::9", 4000, "2001:db8::100", 54)));
  CHECK(list.is_open(key_of(kUdp, "2001:db8::9", 4000, "2001:db8::100", 55)));
  CHECK(list.is_open(key_of(kUdp, "10.0.0.9", 4000, "192.0.2.100", 55)));
  CHECK(list.is_open(key_of(kUdp, "2001:db8::9", 4000, "2001:db8::100", 56)));
  CHECK_FALSE(list.is_open(key_of(kUdp, "10.0.0.9", 4000, "192.0.2.100", 56)));
  CHECK(list.restorable().empty());
}

TEST_CASE("what is restored: what is open at a cluster address, half open as OPENING") {
  OpenList list(cluster(), {}, 1);
  const auto add = [&](uint16_t port, const char* local, SocketState state) {
    list.add(connected(key_of(kTcp, "10.0.0.9", port, local, 80), state));
  };
  add(1, "192.0.2.100", SocketState::kEstablished);
  add(2, "192.0.2.100", SocketState::kCloseWait);
  add(3, "192.0.2.100", SocketState::kSynReceived);
  add(4, "192.0.2.100", SocketState::kTimeWait);
  add(5, "192.0.2.1", SocketState::kEstablished);
  list.add(connected(key_of(kSctp, "10.0.0.9", 6, "192.0.2.100", 80)));
  REQUIRE(list.restorable().size() == 3);
  CHECK(list.restorable()[0].key == key_of(kTcp, "10.0.0.9", 1, "192.0.2.100", 80));
  CHECK(list.restorable()[0].status == ConnectionStatus::kEstablished);
  CHECK(list.restorable()[1].status == ConnectionStatus::kEstablished);
  CHECK(list.restorable()[2].status == ConnectionStatus::kOpening);
  // What lingers needs its packets, though nobody should enter it.
  CHECK(list.is_open(key_of(kTcp, "10.0.0.9", 4, "192.0.2.100", 80)));
}

TEST_CASE("an SCTP association is open between any two of its addresses") {
  OpenList list(cluster(), {}, 1);
  list.add(connected(key_of(kSctp, "10.0.0.9", 6, "192.0.2.100", 80)));
  CHECK(list.is_open(key_of(kSctp, "10.1.0.9", 6, "192.0.2.100", 80)));
  CHECK_FALSE(list.is_open(key_of(kSctp, "10.0.0.9", 7, "192.0.2.100", 80)));
}

TEST_CASE("translated connections stand under their original address") {
  const Key original = key_of(kTcp, "10.0.0.9", 4000, "192.0.2.100", 8080);
  const Key local = key_of(kTcp, "10.0.0.9", 4000, "10.1.1.1", 80);
  SUBCASE("to this machine, while its socket is open") {
    OpenList list(cluster(), {}, 1);
    list.set_listed(kTcp);
    list.add(connected(local));
    list.add(tracked(original, local, TCP_CONNTRACK_ESTABLISHED), true);
    CHECK(list.is_open(original));
    REQUIRE(list.restorable().size() == 1);
    CHECK(list.restorable()[0].key == original);
  }
  SUBCASE("to this machine, and no socket") {
    OpenList list(cluster(), {}, 1);
    list.set_listed(kTcp);
    list.add(tracked(original, local, TCP_CONNTRACK_ESTABLISHED), true);
    CHECK_FALSE(list.is_open(original));
    CHECK(list.restorable().empty());
  }
  SUBCASE("to another machine, until the tracking has seen it end") {
    OpenList list(cluster(), {}, 1);
    list.set_listed(kTcp);
    list.add(tracked(original, local, TCP_CONNTRACK_ESTABLISHED), false);
    CHECK(list.is_open(original));
    OpenList ended(cluster(), {}, 1);
    ended.add(tracked(original, local, TCP_CONNTRACK_TIME_WAIT), false);
    CHECK_FALSE(ended.is_open(original));
  }
  SUBCASE("of other addresses they are nobody's business here") {
    OpenList list(cluster(), {}, 1);
    const Key elsewhere = key_of(kTcp, "10.0.0.9", 4000, "192.0.2.7", 8080);
    list.add(tracked(elsewhere, local, TCP_CONNTRACK_ESTABLISHED), false);
    CHECK_FALSE(list.is_open(elsewhere));
  }
}

TEST_CASE("what a kernel has told: sockets and translations together") {
  OpenList list(cluster(), {}, 7);
  const auto add_sockets = [&](const std::vector<std::string>& datagrams, uint8_t protocol) {
    each_message(datagrams, [&](const NetlinkMessage& message) {
      OpenSocket socket;
      if (read_socket(message, protocol, socket) == ReadSocket::kSocket) list.add(socket);
    });
    list.set_listed(protocol);
  };
  add_sockets(recorded::kTcp4, kTcp);
  add_sockets(recorded::kTcp6, kTcp);
  add_sockets(recorded::kUdp4, kUdp);
  add_sockets(recorded::kUdp6, kUdp);
  for (const auto& answer : {recorded::kTracked4, recorded::kTracked6}) {
    each_message(answer, [&](const NetlinkMessage& message) {
      TrackedConnection connection;
      if (read_tracked(message, connection) == ReadTracked::kConnection) list.add(connection, true);
    });
  }
  CHECK(list.is_open(key_of(kTcp, "10.0.0.9", 40000, "192.0.2.100", 80)));
  CHECK(list.is_open(key_of(kTcp, "10.0.0.9", 40003, "192.0.2.100", 81)));
  CHECK(list.is_open(key_of(kTcp, "2001:db8::9", 40004, "2001:db8::100", 81)));
  CHECK(list.is_open(key_of(kTcp, "10.0.0.9", 40005, "192.0.2.100", 8080)));
  CHECK(list.is_open(key_of(kTcp, "10.0.0.9", 40006, "192.0.2.100", 3128)));
  CHECK(list.is_open(key_of(kUdp, "203.0.113.9", 999, "192.0.2.100", 5060)));
  CHECK_FALSE(list.is_open(key_of(kTcp, "10.0.0.9", 40009, "192.0.2.100", 80)));
  // The datagram to 53 was translated to 5353, where only IPv4 is listened to.
  CHECK_FALSE(list.is_open(key_of(kUdp, "2001:db8::9", 40008, "2001:db8::100", 53)));
}

TEST_CASE("the list and its plain twin agree about everything") {
  std::mt19937 random(20);
  const auto one_of = [&](std::initializer_list<int> all) {
    return *(all.begin() + random() % all.size());
  };
  const char* addresses4[] = {"10.0.0.1", "10.0.0.2", "192.0.2.100", "127.0.0.1"};
  const char* addresses6[] = {"2001:db8::1", "2001:db8::2", "2001:db8::100", "::1"};
  const auto any_key = [&](bool to_cluster) {
    const bool four = random() % 2 == 0;
    const auto& all = four ? addresses4 : addresses6;
    return key_of(static_cast<uint8_t>(one_of({6, 17, 132})), all[random() % 2],
                  static_cast<uint16_t>(1 + random() % 3), all[to_cluster ? 2 : 2 + random() % 2],
                  static_cast<uint16_t>(1 + random() % 3));
  };
  size_t open = 0, closed = 0;
  for (int round = 0; round < 2000; ++round) {
    MatchFields match;
    switch (random() % 5) {
      case 0:
        match.source = false;
        break;
      case 1:
        match.source_port = false;
        break;
      case 2:
        match.destination = false;
        break;
      case 3:
        match.destination_port = false;
        break;
      default:
        break;
    }
    OpenList list(cluster(), match, random());
    PlainOpenList plain({address_of("192.0.2.100"), address_of("2001:db8::100")}, match);
    for (const uint8_t protocol : {kTcp, kUdp, kSctp}) list.set_listed(protocol);
    for (size_t i = random() % 6; i-- > 0;) {
      OpenSocket socket = connected(any_key(false));
      if (random() % 3 == 0) {
        const bool any = random() % 2 == 0;
        const bool four = socket.key.family == Family::kIpv4;
        socket = bound(any ? (four ? "0.0.0.0" : "::") : (four ? addresses4 : addresses6)[2],
                       socket.key.destination_port, any && !four && random() % 2 == 0);
      }
      list.add(socket);
      plain.add(socket);
    }
    for (size_t i = random() % 4; i-- > 0;) {
      const Key original = any_key(random() % 4 != 0);
      Key translated = original;
      translated.destination = address_of(
          (original.family == Family::kIpv4 ? addresses4 : addresses6)[2 + random() % 2]);
      translated.destination_port = static_cast<uint16_t>(1 + random() % 3);
      const TrackedConnection connection = tracked(
          original, translated,
          static_cast<uint8_t>(one_of({TCP_CONNTRACK_ESTABLISHED, TCP_CONNTRACK_TIME_WAIT})));
      const bool local = random() % 2 == 0;
      list.add(connection, local);
      plain.add(connection, local);
    }
    for (int i = 0; i < 20; ++i) {
      const Key key = any_key(true);
      REQUIRE(list.is_open(key) == plain.is_open(key));
      ++(list.is_open(key) ? open : closed);
    }
  }
  CHECK(open > 1000);
  CHECK(closed > 1000);
}

TEST_CASE("a set of hashes keeps what it was given, zero among it") {
  HashSet set;
  for (uint64_t i = 0; i < 10'000; ++i) set.add(i * 0x9e3779b97f4a7c15u);
  for (uint64_t i = 0; i < 10'000; ++i) CHECK(set.contains(i * 0x9e3779b97f4a7c15u));
  CHECK_FALSE(set.contains(5));
  CHECK(set.size() == 10'000);
}

}  // namespace flowsieve::test
