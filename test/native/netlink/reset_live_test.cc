// Resetting the kernel's connections, on real sockets over the loopback of an own namespace.
#include "netlink/reset.h"

#include <sys/syscall.h>

#include <cerrno>
#include <vector>

#include "support/packet_builder.h"
#include "wire/inet_sockets.h"
#include "wire/namespace.h"

namespace flowsieve::test {

namespace {

/// A server's listening socket on `address`, and connections that it has accepted.
struct Server {
  struct Pair {
    Descriptor client, accepted;
  };
  const Namespace& where;
  std::string address;
  uint16_t port;
  Descriptor listening;
  std::vector<Pair> pairs;

  Server(const Namespace& in, const std::string& at, uint16_t number, int connections,
         const std::string& bound = "")
      : where(in), address(at), port(number) {
    listening = bound_socket(where, SOCK_STREAM, bound.empty() ? at : bound, number);
    REQUIRE(listening.open());
    for (int i = 0; i < connections; ++i) connect();
  }

  void connect() {
    Pair pair;
    pair.client = connected_socket(where, SOCK_STREAM, address, port);
    REQUIRE(pair.client.open());
    pair.accepted = Descriptor(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(pair.accepted.open());
    pairs.push_back(std::move(pair));
  }
};

/// The error with which reading from a socket ends; 0 when something or the end came.
int error_of_reading(const Descriptor& socket) {
  char byte = 0;
  return recv(socket.get(), &byte, 1, 0) < 0 ? errno : 0;
}

/// True when a byte from the client comes to the server.
bool works(const Server::Pair& pair) {
  char byte = 'x';
  return send(pair.client.get(), &byte, 1, MSG_NOSIGNAL) == 1 &&
         recv(pair.accepted.get(), &byte, 1, MSG_DONTWAIT) == 1;
}

Result<SocketsReset> reset(const Namespace& where, const std::vector<Address>& local) {
  Result<SocketsReset> done = Error{ErrorCode::kState, "not tried"};
  where.run([&] { done = reset_sockets(local); });
  return done;
}

Namespace& with_addresses(Namespace& where) {
  REQUIRE(
      where.shell("ip addr add 192.0.2.100/32 dev lo && ip addr add 192.0.2.101/32 dev lo && "
                  "ip -6 addr add 2001:db8::100/128 dev lo nodad"));
  return where;
}

}  // namespace

TEST_CASE("connections at one of the addresses are reset for both sides, others go on") {
  FLOWSIEVE_LIVE_TEST("connections at one of the addresses are reset");
  Namespace where;
  with_addresses(where);
  Server reset4(where, "192.0.2.100", 8001, 3), kept(where, "192.0.2.101", 8002, 2),
      reset6(where, "2001:db8::100", 8003, 2);
  const auto done = reset(where, {address_of("192.0.2.100"), address_of("2001:db8::100")});
  REQUIRE_MESSAGE(done.ok(), done.error().message);
  // The clients' ends have those addresses too: over loopback the kernel takes the
  // destination's as the source's.
  CHECK(done.value().failed == 0);
  CHECK(done.value().reset >= 5);
  for (const Server* server : {&reset4, &reset6}) {
    for (const auto& [client, accepted] : server->pairs) {
      const int seen = error_of_reading(client);
      CHECK((seen == ECONNRESET || seen == ECONNABORTED));
      CHECK(error_of_reading(accepted) != 0);
    }
  }
  for (const auto& pair : kept.pairs) CHECK(works(pair));
}

TEST_CASE("the peer of a connection that was reset sees ECONNRESET, the application its end") {
  FLOWSIEVE_LIVE_TEST("the peer of a connection that was reset sees ECONNRESET");
  Wire wire;
  const Descriptor listening = bound_socket(wire.here, SOCK_STREAM, "192.0.2.1", 8001);
  const Descriptor client = connected_socket(wire.there, SOCK_STREAM, "192.0.2.1", 8001);
  REQUIRE(client.open());
  const Descriptor accepted(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(accepted.open());
  const auto done = reset(wire.here, {address_of("192.0.2.1")});
  REQUIRE(done.ok());
  CHECK(done.value().reset == 1);
  CHECK(done.value().failed == 0);
  CHECK(error_of_reading(client) == ECONNRESET);
  CHECK(error_of_reading(accepted) == ECONNABORTED);
}

TEST_CASE("the listening socket stays: who connects anew is served") {
  FLOWSIEVE_LIVE_TEST("the listening socket stays");
  Namespace where;
  with_addresses(where);
  Server server(where, "192.0.2.100", 8001, 1);
  REQUIRE(reset(where, {address_of("192.0.2.100")}).ok());
  server.connect();
  CHECK(works(server.pairs.back()));
}

TEST_CASE("an IPv4 connection of an application that listens on :: is found in the other family") {
  FLOWSIEVE_LIVE_TEST("an IPv4 connection of an application that listens on ::");
  Wire wire;
  const Descriptor listening = bound_socket(wire.here, SOCK_STREAM, "::", 8001);
  const Descriptor client = connected_socket(wire.there, SOCK_STREAM, "192.0.2.1", 8001);
  REQUIRE(client.open());
  const auto done = reset(wire.here, {address_of("192.0.2.1")});
  REQUIRE(done.ok());
  CHECK(done.value().reset == 1);
  CHECK(error_of_reading(client) == ECONNRESET);
}

TEST_CASE("more connections than one answer of the kernel can hold are all reset") {
  FLOWSIEVE_LIVE_TEST("more connections than one answer of the kernel can hold");
  constexpr int kConnections = 400;
  Wire wire;
  const Descriptor listening = bound_socket(wire.here, SOCK_STREAM, "192.0.2.1", 8001);
  std::vector<Descriptor> ends;
  for (int i = 0; i < kConnections; ++i) {
    ends.push_back(connected_socket(wire.there, SOCK_STREAM, "192.0.2.1", 8001));
    REQUIRE(ends.back().open());
    ends.emplace_back(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  const auto done = reset(wire.here, {address_of("192.0.2.1")});
  REQUIRE(done.ok());
  CHECK(done.value().reset == kConnections);
  CHECK(done.value().failed == 0);
  CHECK(reset(wire.here, {address_of("192.0.2.1")}).value().reset == 0);
}

TEST_CASE("where nothing is open nothing is reset; without the privilege that is said") {
  FLOWSIEVE_LIVE_TEST("where nothing is open nothing is reset");
  Namespace where;
  with_addresses(where);
  const auto none = reset(where, {address_of("192.0.2.100")});
  REQUIRE(none.ok());
  CHECK(none.value().reset == 0);
  Server server(where, "192.0.2.100", 8001, 1);
  Result<SocketsReset> refused = Error{ErrorCode::kState, "not tried"};
  where.run([&] {
    // Only this thread loses its privileges.
    if (syscall(SYS_setresuid, 65534, 65534, 65534) == 0) {
      refused = reset_sockets(std::vector{address_of("192.0.2.100")});
    }
  });
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kPrivilege);
  CHECK(works(server.pairs.front()));
}

}  // namespace flowsieve::test
