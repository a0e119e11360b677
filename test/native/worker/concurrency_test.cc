// How many connections go on at the same time, as a worker sees it.
#include "worker/concurrency.h"

#include <doctest/doctest.h>

#include <random>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

/// Microseconds between two packets.
constexpr uint64_t kGap = 50;

/// A node that sees packets one by one, kGap apart.
class Onlooker {
 public:
  void see(const PacketBuilder& packet, uint64_t gap = kGap) {
    node_.see(packet, static_cast<double>(us_ += gap) / 1e6);
  }
  /// Nothing comes for a while.
  void wait(uint64_t us) { us_ += us; }
  /// So many open, each with a port of its own from `port` on.
  void open(uint16_t port, uint16_t count) {
    for (uint16_t i = 0; i < count; ++i) {
      see(TcpClient{.port = static_cast<uint16_t>(port + i)}.syn());
      see(TcpClient{.port = static_cast<uint16_t>(port + i)}.ack());
    }
  }
  uint32_t concurrency() { return node_.worker().concurrency(); }

 private:
  TestNode node_;
  uint64_t us_ = 0;
};

}  // namespace

TEST_CASE("concurrency: of open connections that send in turn, as many as there are") {
  for (const uint16_t count : {1, 2, 5, 8}) {
    CAPTURE(count);
    Onlooker node;
    node.open(1000, count);
    for (uint16_t i = 0; i < 1000; ++i) {
      node.see(TcpClient{.port = static_cast<uint16_t>(1000 + i % count)}.data());
    }
    CHECK(node.concurrency() <= count);
    // Two may be of one kind.
    CHECK(node.concurrency() * 10 >= count * 7);
  }
}

TEST_CASE("concurrency: of many that send at random, many") {
  Onlooker node;
  node.open(1000, 500);
  std::mt19937 random(1);
  for (int i = 0; i < 5000; ++i) {
    node.see(TcpClient{.port = static_cast<uint16_t>(1000 + random() % 500)}.data());
  }
  CHECK(node.concurrency() >= 24);
  CHECK(node.concurrency() <= 64);
}

TEST_CASE("concurrency: one client that opens a connection for each request is one") {
  Onlooker node;
  for (uint16_t i = 0; i < 2000; ++i) {
    const TcpClient tcp{.port = static_cast<uint16_t>(1000 + i)};
    for (const auto& packet : {tcp.syn(), tcp.ack(), tcp.data(), tcp.fin(), tcp.ack()}) {
      node.see(packet);
    }
    if (i > 20) CHECK(node.concurrency() <= 2);
  }
}

TEST_CASE("concurrency: many clients that open a connection for each request are many") {
  Onlooker node;
  // Each step of a connection comes so many connections after the one before.
  for (uint16_t i = 400; i < 3000; ++i) {
    const TcpClient opens{.port = static_cast<uint16_t>(1000 + i)};
    const TcpClient asks{.port = static_cast<uint16_t>(1000 + i - 100)};
    const TcpClient ends{.port = static_cast<uint16_t>(1000 + i - 300)};
    for (const auto& packet : {opens.syn(), asks.ack(), asks.data(), ends.fin(), ends.ack()}) {
      node.see(packet);
    }
  }
  CHECK(node.concurrency() >= 12);
}

TEST_CASE("concurrency: what is sent in trains does not look like one connection") {
  for (const int train : {2, 3, 7, 8, 9, 16}) {
    CAPTURE(train);
    Onlooker node;
    node.open(1000, 40);
    for (uint16_t i = 0; i < 1000; ++i) {
      for (int n = 0; n < train; ++n) {
        node.see(TcpClient{.port = static_cast<uint16_t>(1000 + i % 40)}.data(), n > 0 ? 2 : kGap);
      }
    }
    CHECK(node.concurrency() >= 20);
  }
}

TEST_CASE("concurrency: one client that opens connections one after the other, in trains, is one") {
  Onlooker node;
  for (uint16_t i = 0; i < 2000; ++i) {
    const TcpClient tcp{.port = static_cast<uint16_t>(1000 + i)};
    node.see(tcp.syn());
    node.see(tcp.ack());
    node.see(tcp.data(), 2);
    node.see(tcp.ack());
    node.see(tcp.fin(), 2);
    if (i > 20) CHECK(node.concurrency() <= 2);
  }
}

TEST_CASE(
    "concurrency: one connection that is busier than all others is not the only one that counts") {
  Onlooker node;
  node.open(1000, 201);
  for (uint16_t i = 0; i < 2000; ++i) {
    node.see(TcpClient{.port = 1000}.data());
    node.see(TcpClient{.port = static_cast<uint16_t>(1001 + i % 200)}.data());
  }
  CHECK(node.concurrency() >= 8);
}

TEST_CASE("concurrency: after silence it is learned anew within some packets") {
  Onlooker node;
  node.open(1000, 200);
  for (uint16_t i = 0; i < 2000; ++i) {
    node.see(TcpClient{.port = static_cast<uint16_t>(1000 + i % 200)}.data());
  }
  REQUIRE(node.concurrency() >= 24);
  node.wait(1'000'000);
  for (uint16_t i = 0; i < 300; ++i) node.see(TcpClient{.port = 1000}.data());
  CHECK(node.concurrency() <= 2);
}
