// What a node that answers from a cluster address is seen to send.
#include "wire/watch.h"

#include <netinet/tcp.h>
#include <poll.h>

#include <array>
#include <set>

#include "packet/packet.h"
#include "support/packet_builder.h"
#include "wire/inet_sockets.h"
#include "wire/namespace.h"

namespace flowsieve::test {

namespace {

struct Watched {
  Packet packet;
  uint32_t wire_bytes;
  size_t captured;
};

std::vector<Watched> receive_all(WatchSource& watch) {
  std::vector<Watched> seen;
  std::array<Frame, kBurst> burst;
  for (;;) {
    const size_t count = watch.receive(burst);
    for (size_t i = 0; i < count; ++i) {
      CHECK(burst[i].outgoing);
      CHECK(burst[i].link == LinkType::kRawIp);
      CHECK_FALSE(burst[i].partial);
      seen.push_back({parse(burst[i].bytes, burst[i].wire_bytes, burst[i].link),
                      burst[i].wire_bytes, burst[i].bytes.size});
      CHECK(seen.back().packet.drop == Drop::kNone);
    }
    if (count > 0) continue;
    pollfd ready{watch.poll_fd(), POLLIN, 0};
    if (poll(&ready, 1, 200) <= 0) return seen;
  }
}

std::unique_ptr<WatchSource> open_watch(const Namespace& where,
                                        const std::vector<Address>& addresses) {
  auto watch = where.run([&] {
    auto opened = WatchSource::open(addresses, 1);
    return opened ? std::move(opened.value()[0]) : nullptr;
  });
  REQUIRE(watch != nullptr);
  return watch;
}

/// A connection from `there` to the cluster address on `here`: some data, then the server
/// closes, or resets.
void converse(const Wire& wire, const std::string& address, bool reset) {
  const Descriptor listener = bound_socket(wire.here, SOCK_STREAM, address, 8080);
  REQUIRE(listener.open());
  const Descriptor client = connected_socket(wire.there, SOCK_STREAM, address, 8080);
  REQUIRE(client.open());
  Descriptor server(accept(listener.get(), nullptr, nullptr));
  char buffer[64];
  for (int i = 0; i < 5; ++i) {
    REQUIRE(write(client.get(), "question", 8) == 8);
    REQUIRE(read(server.get(), buffer, sizeof buffer) == 8);
    REQUIRE(write(server.get(), "answer", 6) == 6);
    REQUIRE(read(client.get(), buffer, sizeof buffer) == 6);
  }
  if (reset) {
    const linger now{1, 0};
    setsockopt(server.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  server = Descriptor();
  (void)!read(client.get(), buffer, sizeof buffer);
}

}  // namespace

TEST_CASE("of a TCP conversation the watch sees the server's SYN and how it ends, and no more") {
  FLOWSIEVE_LIVE_TEST("of a TCP conversation the watch sees");
  for (const char* address : {"192.0.2.100", "2001:db8::100"}) {
    for (const bool reset : {false, true}) {
      CAPTURE(address);
      CAPTURE(reset);
      Wire wire;
      wire.settle_ipv6();
      REQUIRE(wire.here.shell(
          "ip addr add 192.0.2.100/32 dev v0 && ip addr add 2001:db8::100/128 dev v0 nodad"));
      const auto watch =
          open_watch(wire.here, {address_of("192.0.2.100"), address_of("2001:db8::100")});
      usleep(200'000);
      converse(wire, address, reset);
      size_t syn = 0, fin = 0, rst = 0, plain = 0;
      for (const Watched& seen : receive_all(*watch)) {
        if (seen.packet.kind == Kind::kControl)
          continue;  // neighbour discovery by the cluster address
        CHECK(seen.packet.flow.source == address_of(address));
        CHECK(seen.packet.flow.source_port == 8080);
        const uint8_t flags = seen.packet.tcp_flags;
        syn += (flags & kTcpSyn) != 0;
        fin += (flags & kTcpFin) != 0;
        rst += (flags & kTcpRst) != 0;
        plain += (flags & (kTcpSyn | kTcpFin | kTcpRst)) == 0;
      }
      CHECK(syn == 1);
      CHECK(fin == (reset ? 0 : 1));
      CHECK(rst == (reset ? 1 : 0));
      CHECK(plain == 0);
    }
  }
}

TEST_CASE(
    "a datagram from a cluster address is watched, cut to its headers, one from a node address is "
    "not") {
  FLOWSIEVE_LIVE_TEST("a datagram from a cluster address is watched");
  Wire wire;
  REQUIRE(
      wire.here.shell("ip addr add 192.0.2.100/32 dev v0 && ip addr add 198.51.100.1/32 dev lo"));
  const auto watch = open_watch(wire.here, {address_of("192.0.2.100")});
  for (const char* source : {"192.0.2.1", "192.0.2.100"}) {
    for (const char* destination : {"192.0.2.2", "198.51.100.1"}) {  // the wire, the loopback
      const Descriptor sender = bound_socket(wire.here, SOCK_DGRAM, source, 53);
      const SocketAddress to(destination, 5353);
      const ByteVector data(1000, 7);
      CHECK(sendto(sender.get(), data.data(), data.size(), 0, to.get(), to.size) == 1000);
    }
  }
  const std::vector<Watched> seen = receive_all(*watch);
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].packet.flow.source == address_of("192.0.2.100"));
  CHECK(seen[0].packet.flow.destination == address_of("192.0.2.2"));
  CHECK(seen[0].captured == WatchSource::kSnapBytes);
  CHECK(seen[0].wire_bytes == 1028);
  CHECK(seen[0].packet.ip_bytes == 1028);
}

TEST_CASE("replies are watched on whatever interface they leave by") {
  FLOWSIEVE_LIVE_TEST("replies are watched on whatever interface");
  Wire wire;
  REQUIRE(wire.here.shell(
      "ip link add w0 type veth peer name w1 && ip link set w0 up && ip link set w1 up && "
      "ip addr add 203.0.113.1/24 dev w0 && ip addr add 192.0.2.100/32 dev v0 && "
      "ip neigh add 203.0.113.2 lladdr 02:00:00:00:00:09 dev w0"));
  const auto watch = open_watch(wire.here, {address_of("192.0.2.100")});
  const Descriptor sender = bound_socket(wire.here, SOCK_DGRAM, "192.0.2.100", 53);
  const SocketAddress to("203.0.113.2", 5353);
  CHECK(sendto(sender.get(), "abc", 3, 0, to.get(), to.size) == 3);
  CHECK(receive_all(*watch).size() == 1);
}

}  // namespace flowsieve::test
