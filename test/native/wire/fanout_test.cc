#include "wire/fanout.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

#include "support/packet_builder.h"
#include "wire/classic_bpf.h"

namespace flowsieve::test {

namespace {

uint32_t by_program(const ByteVector& ip) {
  static const Program program = fanout_program();
  const bool ipv6 = !ip.empty() && ip[0] >> 4 == 6;
  return ClassicBpf::run(program, {{ip.data(), ip.size()}, uint16_t(ipv6 ? 0x86dd : 0x0800)});
}

uint32_t by_twin(const ByteVector& ip) {
  return fanout_hash({ip.data(), ip.size()});
}

/// Both, after seeing that they agree.
uint32_t steer(const ByteVector& ip) {
  CHECK(by_program(ip) == by_twin(ip));
  return by_twin(ip);
}

constexpr const char* kClient = "198.51.100.7";
constexpr const char* kServer = "192.0.2.100";
constexpr const char* kRouter = "203.0.113.1";
constexpr const char* kClient6 = "2001:db8:1::7";
constexpr const char* kServer6 = "2001:db8::100";
constexpr const char* kRouter6 = "2001:db8:ffff::1";

ByteVector tcp4() {
  return PacketBuilder::raw().ipv4(kClient, kServer).tcp(40000, 80).syn().build();
}
ByteVector tcp6() {
  return PacketBuilder::raw().ipv6(kClient6, kServer6).tcp(40000, 80).syn().build();
}

}  // namespace

TEST_CASE("both directions and all ports and protocols of two hosts go to the same worker") {
  const uint32_t there = steer(tcp4());
  CHECK(there != 0);
  CHECK(steer(PacketBuilder::raw().ipv4(kServer, kClient).tcp(80, 40000).ack().build()) == there);
  CHECK(steer(PacketBuilder::raw().ipv4(kClient, kServer).udp(5000, 53).payload(9).build()) ==
        there);
  CHECK(steer(PacketBuilder::raw().ipv4(kClient, kServer).echo_request(7).build()) == there);
  CHECK(
      steer(PacketBuilder::raw().ipv4(kClient, kServer).options({1, 1, 1, 1}).tcp(1, 2).build()) ==
      there);
  const uint32_t there6 = steer(tcp6());
  CHECK(there6 != 0);
  CHECK(steer(PacketBuilder::raw().ipv6(kServer6, kClient6).tcp(80, 40000).ack().build()) ==
        there6);
  CHECK(steer(PacketBuilder::raw().ipv6(kClient6, kServer6).echo_request(7).build()) == there6);
}

TEST_CASE("every fragment goes where the whole datagram would have gone") {
  const ByteVector whole4 =
      PacketBuilder::ethernet().ipv4(kClient, kServer).udp(5000, 53).payload(4000).build();
  for (const ByteVector& frame : fragments_of(whole4, 1500)) {
    CHECK(steer({frame.begin() + 14, frame.end()}) == by_twin(tcp4()));
  }
  const ByteVector whole6 =
      PacketBuilder::ethernet().ipv6(kClient6, kServer6).udp(5000, 53).payload(4000).build();
  for (const ByteVector& frame : fragments_of(whole6, 1500)) {
    CHECK(steer({frame.begin() + 14, frame.end()}) == by_twin(tcp6()));
  }
}

TEST_CASE("a router's ICMP error goes where the connection is that it quotes") {
  const ByteVector sent4 =
      PacketBuilder::raw().ipv4(kServer, kClient).tcp(80, 40000).ack().payload(64).build();
  for (const int type : {3, 4, 5, 11, 12}) {
    CAPTURE(type);
    CHECK(steer(PacketBuilder::raw()
                    .ipv4(kRouter, kServer)
                    .icmp_error(uint8_t(type), 0, sent4)
                    .build()) == by_twin(tcp4()));
  }
  const ByteVector sent6 =
      PacketBuilder::raw().ipv6(kServer6, kClient6).tcp(80, 40000).ack().payload(64).build();
  for (const int type : {1, 2, 3, 4}) {
    CAPTURE(type);
    CHECK(steer(PacketBuilder::raw()
                    .ipv6(kRouter6, kServer6)
                    .icmp_error(uint8_t(type), 0, sent6)
                    .build()) == by_twin(tcp6()));
  }
  CHECK(steer(PacketBuilder::raw()
                  .ipv6(kRouter6, kServer6)
                  .hop_by_hop()
                  .destination_options(16)
                  .routing(24)
                  .icmp_error(2, 0, sent6)
                  .build()) == by_twin(tcp6()));
}

TEST_CASE("an ICMP message that is no error is steered by its own addresses") {
  const uint32_t router = steer(PacketBuilder::raw().ipv4(kRouter, kServer).udp(1, 2).build());
  CHECK(steer(PacketBuilder::raw().ipv4(kRouter, kServer).icmp(13).payload(40).build()) == router);
  // A later fragment has no ICMP header, whatever its bytes look like.
  const ByteVector later = PacketBuilder::raw()
                               .ipv4(kRouter, kServer)
                               .fragment(1480, false)
                               .icmp_error(3, 0, tcp4())
                               .build();
  CHECK(steer(later) == router);
}

TEST_CASE("what is cut short inside its headers goes to worker 0") {
  const ByteVector error =
      PacketBuilder::raw().ipv4(kRouter, kServer).icmp_error(3, 0, tcp4()).build();
  for (size_t size = 0; size < error.size(); ++size) {
    CAPTURE(size);
    const ByteVector cut(error.begin(), error.begin() + static_cast<ptrdiff_t>(size));
    const uint32_t hash = steer(cut);
    if (size < 20 + 8 + 20) CHECK(hash == 0);
  }
  const Program program = fanout_program();
  CHECK(ClassicBpf::run(program, {{error.data(), error.size()}, 0x0806}) == 0);
}

TEST_CASE("program and twin agree on a hundred thousand mangled packets") {
  std::mt19937 random(20240611);  // any seed: the two must agree on every packet
  const std::vector<ByteVector> seeds = {
      tcp4(), tcp6(), PacketBuilder::raw().ipv4(kRouter, kServer).icmp_error(3, 4, tcp4()).build(),
      PacketBuilder::raw().ipv6(kRouter6, kServer6).hop_by_hop().icmp_error(2, 0, tcp6()).build(),
      PacketBuilder::raw()
          .ipv6(kClient6, kServer6)
          .routing(24)
          .destination_options()
          .udp(1, 2)
          .build()};
  size_t disagreements = 0;
  for (int round = 0; round < 100'000; ++round) {
    ByteVector packet = seeds[random() % seeds.size()];
    for (size_t flips = random() % 4; flips > 0; --flips) {
      // The version stays: it decides the ethertype, which the kernel takes from the link header.
      packet[1 + random() % (packet.size() - 1)] = static_cast<uint8_t>(random());
    }
    if (random() % 4 == 0) packet.resize(1 + random() % packet.size());
    if (random() % 4 == 0) packet[0] = static_cast<uint8_t>((packet[0] & 0xf0) | (random() & 0xf));
    if (by_program(packet) != by_twin(packet)) ++disagreements;
  }
  CHECK(disagreements == 0);
}

TEST_CASE("clients numbered in any step spread over all workers") {
  for (const uint32_t workers : {2u, 3u, 4u, 8u}) {
    for (const uint32_t step : {1u, 2u, 4u, 8u, 16u, 256u}) {
      CAPTURE(workers);
      CAPTURE(step);
      std::map<uint32_t, int> counts;
      for (uint32_t i = 0; i < 1024; ++i) {
        ByteVector packet = tcp4();
        store_be32(packet.data() + 12, 0x0a000000 + i * step);
        ++counts[by_twin(packet) % workers];
      }
      for (uint32_t worker = 0; worker < workers; ++worker) {
        // Within half of the even share.
        CHECK(counts[worker] > static_cast<int>(1024 / workers / 2));
        CHECK(counts[worker] < static_cast<int>(1024 / workers * 3 / 2));
      }
    }
  }
}

}  // namespace flowsieve::test
