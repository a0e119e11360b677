#include "wire/ring_program.h"

#include <doctest/doctest.h>
#include <linux/if_packet.h>

#include "support/packet_builder.h"
#include "wire/classic_bpf.h"

namespace flowsieve::test {

namespace {

const std::vector<Address> kCluster = {address_of("192.0.2.100"), address_of("2001:db8::100"),
                                       address_of("192.0.2.101")};
constexpr uint32_t kSnap = 256;
constexpr uint16_t kLoopback = 772;
constexpr Mac kOther{2, 0, 0, 0, 0, 9};

Skb skb_of(const ByteVector& ip, uint8_t packet_type) {
  return {{ip.data(), ip.size()}, uint16_t(ip[0] >> 4 == 6 ? 0x86dd : 0x0800), packet_type};
}

bool arrives(const ByteVector& ip, const std::vector<Address>& addresses = kCluster) {
  return ClassicBpf::run(arrival_filter(addresses), skb_of(ip, PACKET_HOST)) > 65550;
}

bool watched(const ByteVector& ip) {
  const uint32_t bytes =
      ClassicBpf::run(departure_filter(kCluster, kSnap), skb_of(ip, PACKET_OUTGOING));
  CHECK((bytes == 0 || bytes == kSnap));
  return bytes == kSnap;
}

PacketBuilder from4(const char* source = "192.0.2.100") {
  return PacketBuilder::raw().ipv4(source, "198.51.100.7");
}
PacketBuilder from6(const char* source = "2001:db8::100") {
  return PacketBuilder::raw().ipv6(source, "2001:db8:1::7");
}

}  // namespace

TEST_CASE("only what goes to a cluster address enters the capture ring") {
  const auto to4 = [](const char* address) {
    return PacketBuilder::raw().ipv4("198.51.100.7", address).tcp(1, 2).build();
  };
  const auto to6 = [](const char* address) {
    return PacketBuilder::raw().ipv6("2001:db8:1::7", address).tcp(1, 2).build();
  };
  CHECK(arrives(to4("192.0.2.100")));
  CHECK(arrives(to4("192.0.2.101")));
  CHECK_FALSE(arrives(to4("192.0.2.102")));
  CHECK_FALSE(arrives(to4("224.0.0.1")));
  CHECK(arrives(to6("2001:db8::100")));
  CHECK(arrives(to6("ff02::1:ff00:100")));
  CHECK_FALSE(arrives(to6("2001:db8::101")));
  CHECK_FALSE(arrives(to6("2001:db8:0:1::100")));
  CHECK_FALSE(arrives(to6("2001:db9::100")));
  CHECK(arrives(to4("192.0.2.102"), {}));
  CHECK(arrives(to6("2001:db8::101"), {}));
}

TEST_CASE("what is not IP enters the capture ring, what this node sends does not") {
  const ByteVector arp(28, 1);
  CHECK(ClassicBpf::run(arrival_filter(kCluster), {{arp.data(), arp.size()}, 0x0806}) > 0);
  const ByteVector own = from4().tcp(80, 40000).syn().build();
  CHECK(ClassicBpf::run(arrival_filter({}), skb_of(own, PACKET_OUTGOING)) == 0);
}

TEST_CASE("a gateway's ring has what is sent to the cluster MAC, ARP and solicitations") {
  constexpr Mac kGateway{2, 0, 0x5e, 0, 0, 0x64};
  const auto enters = [&](const PacketBuilder& frame, const Mac& to,
                          uint8_t packet_type = PACKET_OTHERHOST) {
    ByteVector bytes = frame.build();
    std::copy(to.begin(), to.end(), bytes.begin());
    const uint16_t type = load_be16(bytes.data() + 12);
    const Bytes whole{bytes.data(), bytes.size()};
    return ClassicBpf::run(gateway_filter(kGateway),
                           {whole.from(14), type, packet_type, 1, whole}) > 65550;
  };
  const auto udp4 = PacketBuilder::ethernet().ipv4("198.51.100.7", "203.0.113.9").udp(1, 2);
  const auto udp6 = PacketBuilder::ethernet().ipv6("2001:db8:1::7", "2001:db8:2::9").udp(1, 2);
  CHECK(enters(udp4, kGateway));
  CHECK(enters(udp6, kGateway));
  CHECK_FALSE(enters(udp4, kGateway, PACKET_OUTGOING));
  for (size_t i = 0; i < kGateway.size(); ++i) {
    Mac other = kGateway;
    other[i] ^= 0x10;
    CHECK_FALSE(enters(udp4, other));
    CHECK_FALSE(enters(udp6, other));
  }
  CHECK_FALSE(enters(udp4, kBroadcastMac, PACKET_BROADCAST));
  const Mac group{0x33, 0x33, 0xff, 0, 1, 0};
  const auto icmp6 = [](uint8_t type) {
    return PacketBuilder::ethernet().ipv6("2001:db8::2", "ff02::1:ff00:100").icmp(type).payload(16);
  };
  CHECK(enters(icmp6(135), group, PACKET_MULTICAST));
  for (const uint8_t other : {128, 133, 134, 136, 143}) {
    CHECK_FALSE(enters(icmp6(other), group, PACKET_MULTICAST));
  }
  CHECK_FALSE(enters(PacketBuilder::ethernet().ipv6("2001:db8::2", "ff02::fb").udp(5353, 5353),
                     {0x33, 0x33, 0, 0, 0, 0xfb}, PACKET_MULTICAST));
  CHECK(enters(PacketBuilder::ethernet().ethertype(0x0806).payload(28), kBroadcastMac));
  CHECK(enters(PacketBuilder::ethernet().vlan(5).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2), kOther));
}

TEST_CASE("the watch sees the ends of TCP connections and all of other protocols") {
  CHECK(watched(from4().tcp(80, 40000).syn().ack().build()));
  CHECK(watched(from4().tcp(80, 40000).fin().ack().build()));
  CHECK(watched(from4().tcp(80, 40000).rst().build()));
  CHECK(watched(from4().options({1, 1, 1, 1}).tcp(80, 40000).fin().build()));
  CHECK_FALSE(watched(from4().tcp(80, 40000).ack().payload(100).build()));
  CHECK_FALSE(watched(from4().options({1, 1, 1, 1}).tcp(80, 40000).psh().ack().build()));
  CHECK(watched(from4().udp(53, 5000).payload(10).build()));
  CHECK(watched(from4().echo_reply(1).build()));
  CHECK(watched(from6().tcp(80, 40000).syn().ack().build()));
  CHECK(watched(from6().hop_by_hop().destination_options(16).tcp(80, 40000).fin().build()));
  CHECK_FALSE(watched(from6().tcp(80, 40000).ack().payload(100).build()));
  CHECK_FALSE(watched(from6().hop_by_hop().tcp(80, 40000).ack().build()));
  CHECK(watched(from6().udp(53, 5000).payload(10).build()));
}

TEST_CASE("the watch sees only what this node sends from a cluster address, not by loopback") {
  CHECK_FALSE(watched(from4("192.0.2.2").udp(53, 5000).build()));
  CHECK_FALSE(watched(from6("2001:db8::2").udp(53, 5000).build()));
  const ByteVector reply = from4().udp(53, 5000).build();
  const Program filter = departure_filter(kCluster, kSnap);
  CHECK(ClassicBpf::run(filter, skb_of(reply, PACKET_HOST)) == 0);
  Skb looped = skb_of(reply, PACKET_OUTGOING);
  looped.hardware_type = kLoopback;
  CHECK(ClassicBpf::run(filter, looped) == 0);
}

TEST_CASE("filters for the most addresses allowed stay below the kernel's limit") {
  std::vector<Address> many;
  for (size_t i = 0; i < kFilterAddressesMax; ++i) {
    Address address = address_of("2001:db8::");
    store_be32(address.data() + 12, static_cast<uint32_t>(i));
    many.push_back(address);
  }
  CHECK(departure_filter(many, kSnap).size() <= BPF_MAXINSNS);
  CHECK(arrival_filter(many).size() <= BPF_MAXINSNS);
  const ByteVector last =
      PacketBuilder::raw().ipv6("2001:db8:1::7", "2001:db8::ff").udp(1, 2).build();
  CHECK(arrives(last, many));
}

}  // namespace flowsieve::test
