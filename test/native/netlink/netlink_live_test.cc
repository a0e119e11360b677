// Lists and events of a real kernel, in a namespace of its own.
#include "netlink/netlink.h"

#include <linux/netfilter/nf_conntrack_common.h>

#include "wire/inet_sockets.h"
#include "wire/namespace.h"

namespace flowsieve::test {
namespace {

constexpr uint8_t kTcp = 6;

void reset_on_close(const Descriptor& socket) {
  const linger none{.l_onoff = 1, .l_linger = 0};
  REQUIRE(setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &none, sizeof(none)) == 0);
}

constexpr const char* kTrack =
    "nft -f - <<EOF\n"
    "table ip t {\n"
    " chain n { type nat hook output priority -100\n"
    "  tcp dport 8080 redirect to :80\n"
    " }\n"
    "}\n"
    "EOF\n";

}  // namespace

TEST_CASE("an open TCP connection is in the list, with both ends, and gone when it was reset") {
  FLOWSIEVE_LIVE_TEST("an open TCP connection is in the list");
  Namespace space;
  REQUIRE(space.shell("ip addr add 192.0.2.100/32 dev lo"));
  const Descriptor server = bound_socket(space, SOCK_STREAM, "192.0.2.100", 80);
  std::string problem;
  const auto list = [&] {
    return space.run([&] {
      std::vector<OpenSocket> sockets;
      const auto counts = list_sockets(
          kTcp, Family::kIpv4, [&](const OpenSocket& socket) { sockets.push_back(socket); });
      if (!counts) problem = counts.error().message;
      if (counts && counts.value().malformed != 0) problem = "malformed";
      return sockets;
    });
  };
  std::vector<OpenSocket> during;
  {
    const Descriptor client = connected_socket(space, SOCK_STREAM, "192.0.2.100", 80);
    during = list();
    reset_on_close(client);
  }
  CHECK(problem == "");
  REQUIRE(during.size() == 2);
  CHECK(during[0].key == reversed(during[1].key));
  CHECK(list().empty());
}

TEST_CASE("a protocol that the kernel has no list of is named") {
  FLOWSIEVE_LIVE_TEST("a protocol that the kernel has no list of");
  const Namespace space;
  std::string problem;
  ErrorCode code = ErrorCode::kState;
  space.run([&] {
    const auto counts = list_sockets(200, Family::kIpv4, [](const OpenSocket&) {});
    if (counts) return;
    problem = counts.error().message;
    code = counts.error().code;
  });
  CHECK(code == ErrorCode::kMissing);
  CHECK(problem ==
        "Expected a kernel with inet_diag for protocol 200 but received one that answers: No such "
        "file or directory.");
}

TEST_CASE("tracked connections are listed, chosen by their bits, and told of as they begin") {
  FLOWSIEVE_LIVE_TEST("tracked connections are listed");
  Namespace space;
  REQUIRE(space.shell("ip addr add 192.0.2.100/32 dev lo"));
  REQUIRE(space.shell(kTrack));
  const Descriptor server = bound_socket(space, SOCK_STREAM, "0.0.0.0", 80);
  std::string problem;
  const auto noted = [&problem](const auto& result) {
    if (!result) problem = result.error().message;
    return result.ok();
  };
  auto told = space.run([&] {
    auto opened = TrackedEvents::open({.beginnings = true, .changes = false, .ends = true});
    return noted(opened) ? std::move(opened.value()) : nullptr;
  });
  REQUIRE(problem == "");
  const Descriptor client = connected_socket(space, SOCK_STREAM, "192.0.2.100", 8080);
  const Descriptor plain = connected_socket(space, SOCK_STREAM, "192.0.2.100", 80);
  const auto list = [&](uint32_t bits) {
    return space.run([&] {
      std::vector<TrackedConnection> listed;
      noted(list_tracked(Family::kIpv4, bits, [&](const TrackedConnection& connection) {
        listed.push_back(connection);
      }));
      return listed;
    });
  };
  CHECK(list(0).size() == 2);
  const std::vector<TrackedConnection> rewritten = list(IPS_DST_NAT);
  CHECK(problem == "");
  REQUIRE(rewritten.size() == 1);
  CHECK(rewritten[0].original.destination_port == 8080);
  CHECK(rewritten[0].translated().destination_port == 80);

  std::vector<TrackedConnection> events;
  told->receive(64, [&](const TrackedConnection& event) { events.push_back(event); });
  REQUIRE(events.size() == 2);
  CHECK(events[0].event == TrackedEvent::kNew);
  CHECK(events[0].original == rewritten[0].original);
  CHECK(events[0].is_translated());
  CHECK_FALSE(events[1].is_translated());
  CHECK(told->lost() + told->malformed() == 0);
}

TEST_CASE("a queue of events that overflows is told, and later events come") {
  FLOWSIEVE_LIVE_TEST("a queue of events that overflows");
  Namespace space;
  REQUIRE(space.shell(kTrack));
  auto told = space.run([&] {
    auto opened = TrackedEvents::open({}, 4096);
    return opened ? std::move(opened.value()) : nullptr;
  });
  REQUIRE(told);
  const auto talk = [&](uint16_t from, uint16_t to) {
    for (uint16_t port = from; port < to; ++port) {
      const Descriptor end = connected_socket(space, SOCK_DGRAM, "127.0.0.1", port);
      REQUIRE(send(end.get(), "?", 1, 0) == 1);
    }
  };
  size_t before = 0, after = 0;
  talk(1000, 1200);
  told->receive(1000, [&](const TrackedConnection&) { ++before; });
  CHECK(before < 200);
  CHECK(told->lost() >= 1);
  talk(2000, 2001);
  told->receive(1000, [&](const TrackedConnection&) { ++after; });
  CHECK(after >= 1);
}

}  // namespace flowsieve::test
