// From the wire through the ring into a real network stack and back.
#include "wire/tun.h"

#include "support/packet_builder.h"
#include "wire/inet_sockets.h"
#include "wire/live_node.h"
#include "wire/namespace.h"

namespace flowsieve::test {

namespace {

constexpr const char* kCluster4 = "192.0.2.100";
constexpr const char* kCluster6 = "2001:db8::100";

uint8_t pattern(size_t at) {
  return static_cast<uint8_t>(at * 31 >> 3);
}

/// Sends `total` bytes to `address`; returns how many arrived as they were sent.
size_t transfer(const Wire& wire, const std::string& address, size_t total) {
  const Descriptor listener = bound_socket(wire.here, SOCK_STREAM, address, 8080);
  REQUIRE(listener.open());
  size_t right = 0;
  std::thread server([&] {
    const Descriptor peer(accept(listener.get(), nullptr, nullptr));
    std::vector<uint8_t> buffer(1 << 20);
    for (ssize_t got; peer.open() && (got = read(peer.get(), buffer.data(), buffer.size())) > 0;) {
      for (ssize_t i = 0; i < got; ++i) {
        if (buffer[size_t(i)] != pattern(right)) return;
        ++right;
      }
    }
  });
  {
    const Descriptor client = connected_socket(wire.there, SOCK_STREAM, address, 8080);
    CHECK(client.open());
    std::vector<uint8_t> data(total);
    for (size_t i = 0; i < total; ++i) data[i] = pattern(i);
    for (size_t sent = 0; client.open() && sent < total;) {
      const ssize_t put = write(client.get(), data.data() + sent, total - sent);
      if (put <= 0) break;
      sent += size_t(put);
    }
  }
  server.join();
  return right;
}

}  // namespace

TEST_CASE("super-packets of a real TCP connection reach the stack whole and right") {
  FLOWSIEVE_LIVE_TEST("super-packets of a real TCP connection");
  for (const char* address : {kCluster4, kCluster6}) {
    CAPTURE(address);
    Wire wire;
    LiveNode node(wire.here, kCluster4, kCluster6);
    constexpr size_t kTotal = 20 << 20;
    CHECK(transfer(wire, address, kTotal) == kTotal);
    const LiveNode::Seen& seen = node.stop();
    CHECK(seen.answered > 0);
    CHECK(seen.super_packets > 0);
    CHECK(seen.longest > 9000);
    CHECK(seen.partial_checksums > 0);
    CHECK(seen.refused == 0);
  }
}

TEST_CASE("a jumbo network's packets reach the stack though the device has the common MTU") {
  FLOWSIEVE_LIVE_TEST("a jumbo network's packets reach the stack");
  Wire wire;
  REQUIRE(wire.here.shell("ip link set v0 mtu 9000"));
  REQUIRE(wire.there.shell(
      "ip link set v1 mtu 9000 && ethtool -K v1 tso off gso off tx off >/dev/null"));
  LiveNode node(wire.here, kCluster4, kCluster6);
  constexpr size_t kTotal = 5 << 20;
  CHECK(transfer(wire, kCluster4, kTotal) == kTotal);
  CHECK(node.stop().longest > 8000);
}

TEST_CASE("a datagram with a partial checksum reaches the stack, and so does one with a full one") {
  FLOWSIEVE_LIVE_TEST("a datagram with a partial checksum");
  for (const bool offload : {true, false}) {
    CAPTURE(offload);
    Wire wire;
    if (!offload) REQUIRE(wire.there.shell("ethtool -K v1 tx off >/dev/null"));
    LiveNode node(wire.here, kCluster4, kCluster6);
    for (const char* address : {kCluster4, kCluster6}) {
      CAPTURE(address);
      const Descriptor server = bound_socket(wire.here, SOCK_DGRAM, address, 5353);
      const Descriptor client = connected_socket(wire.there, SOCK_DGRAM, address, 5353);
      REQUIRE(server.open());
      REQUIRE(client.open());
      CHECK(send(client.get(), "abc", 3, 0) == 3);
      char buffer[16];
      SocketAddress from("0.0.0.0", 0);
      from.size = sizeof from.storage;
      REQUIRE(recvfrom(server.get(), buffer, sizeof buffer, 0,
                       reinterpret_cast<sockaddr*>(&from.storage), &from.size) == 3);
      CHECK(sendto(server.get(), "defg", 4, 0, from.get(), from.size) == 4);
      CHECK(recv(client.get(), buffer, sizeof buffer, 0) == 4);
    }
    CHECK((node.stop().partial_checksums > 0) == offload);
  }
}

TEST_CASE("packets that the device does not take are refused one by one") {
  FLOWSIEVE_LIVE_TEST("packets that the device does not take");
  Namespace where;
  auto queues = where.run([] {
    auto opened = TunDelivery::open(TunOptions{"fst0", 1400}, 3);
    return opened ? std::move(opened.value()) : std::vector<std::unique_ptr<TunDelivery>>{};
  });
  REQUIRE(queues.size() == 3);
  CHECK(where.run([] { return read_link("fst0").value().mtu; }) == 1400);
  CHECK(where.run([] { return read_link("fst0").value().up; }));
  const ByteVector bytes =
      PacketBuilder::ethernet().ipv4("192.0.2.2", kCluster4).udp(1, 2).padding(20).build();
  Frame good;
  good.bytes = {bytes.data(), bytes.size()};
  Frame wrong = good;
  wrong.offload.flags = 1;
  wrong.offload.csum_start = 9;  // inside the link header
  const Accepted packets[] = {{&good, 14, 28}, {&wrong, 14, 28}, {&good, 14, 28}, {&good, 14, 60}};
  CHECK(queues[1]->deliver(packets) == 2);
  CHECK(queues[2]->deliver({packets, 1}) == 1);
  REQUIRE(where.shell("ip link set fst0 down"));
  CHECK(queues[0]->deliver(packets) == 0);
}

TEST_CASE("a device that somebody else has is not shared") {
  FLOWSIEVE_LIVE_TEST("a device that somebody else has");
  Namespace where;
  const auto open = [&] {
    return where.run([] {
      return std::make_unique<decltype(TunDelivery::open({}, 1))>(TunDelivery::open({}, 1));
    });
  };
  const auto first = open();
  REQUIRE(first->ok());
  const auto second = open();
  REQUIRE_FALSE(second->ok());
  CHECK(second->error().code == ErrorCode::kState);
}

}  // namespace flowsieve::test
