// Link headers: what is IP, what is not, and where it begins.
#include <doctest/doctest.h>

#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

constexpr const char* kA = "10.0.0.1";
constexpr const char* kB = "10.0.0.2";

void check_ip_at(const ByteVector& frame, LinkType link, uint16_t offset) {
  const Packet packet = parse_whole(frame, link);
  CHECK(packet.drop == Drop::kNone);
  CHECK(packet.ip);
  CHECK(packet.kind == Kind::kFlow);
  CHECK(packet.ip_offset == offset);
}

void check_not_ip(const ByteVector& frame, LinkType link) {
  const Packet packet = parse_whole(frame, link);
  CHECK(packet.drop == Drop::kNone);
  CHECK_FALSE(packet.ip);
  CHECK(packet.kind == Kind::kNonIp);
}

Drop drop_of(const ByteVector& frame, LinkType link) {
  return parse_whole(frame, link).drop;
}

}  // namespace

TEST_CASE("Ethernet: the IP header begins behind 14 bytes") {
  check_ip_at(PacketBuilder::ethernet().ipv4(kA, kB).udp(1, 2).build(), LinkType::kEthernet, 14);
  check_ip_at(PacketBuilder::ethernet().ipv6("2001:db8::1", "2001:db8::2").udp(1, 2).build(),
              LinkType::kEthernet, 14);
}

TEST_CASE(
    "Ethernet: each of the four tag ethertypes is walked, and the tag is not part of the key") {
  const Packet untagged = parse_whole(PacketBuilder::ethernet().ipv4(kA, kB).udp(1, 2).build());
  for (const uint16_t tpid : {0x8100, 0x88a8, 0x9100, 0x9200}) {
    const ByteVector frame = PacketBuilder::ethernet().vlan(5, tpid).ipv4(kA, kB).udp(1, 2).build();
    check_ip_at(frame, LinkType::kEthernet, 18);
    CHECK(parse_whole(frame).flow == untagged.flow);
  }
}

TEST_CASE("Ethernet: four tags are walked, a fifth is malformed") {
  auto four = PacketBuilder::ethernet().vlan(1, 0x88a8).vlan(2).vlan(3).vlan(4);
  auto five = four;
  check_ip_at(four.ipv4(kA, kB).udp(1, 2).build(), LinkType::kEthernet, 30);
  const Packet packet = parse_whole(five.vlan(5).ipv4(kA, kB).udp(1, 2).build());
  CHECK(packet.drop == Drop::kLinkTags);
  CHECK_FALSE(packet.ip);
}

TEST_CASE("Ethernet: ARP, MPLS, PPPoE and 802.3 with LLC are not IP, tagged or not") {
  for (const uint16_t type : {0x0806, 0x8847, 0x8848, 0x8863, 0x8864, 0x0026}) {
    check_not_ip(PacketBuilder::ethernet().ethertype(type).payload(46).build(),
                 LinkType::kEthernet);
    check_not_ip(PacketBuilder::ethernet().vlan(5).ethertype(type).payload(46).build(),
                 LinkType::kEthernet);
  }
}

TEST_CASE(
    "Ethernet: a frame that ends before its ethertype is short, one that the snap length cut is "
    "not malformed") {
  ByteVector frame = PacketBuilder::ethernet().build();
  frame.resize(13);
  CHECK(drop_of(frame, LinkType::kEthernet) == Drop::kFrameShort);
  CHECK(parse({frame.data(), 13}, 60, LinkType::kEthernet).drop == Drop::kCutShort);
  CHECK(drop_of({}, LinkType::kEthernet) == Drop::kFrameShort);
  ByteVector tagged = PacketBuilder::ethernet().vlan(5).build();
  tagged.resize(17);
  CHECK(drop_of(tagged, LinkType::kEthernet) == Drop::kFrameShort);
}

TEST_CASE("Linux cooked v1: 16 bytes, tags behind them") {
  check_ip_at(PacketBuilder::cooked1().ipv4(kA, kB).udp(1, 2).build(), LinkType::kLinuxCooked1, 16);
  check_ip_at(PacketBuilder::cooked1().vlan(5).ipv4(kA, kB).udp(1, 2).build(),
              LinkType::kLinuxCooked1, 20);
  check_not_ip(PacketBuilder::cooked1().ethertype(0x0806).payload(28).build(),
               LinkType::kLinuxCooked1);
  CHECK(drop_of(ByteVector(15), LinkType::kLinuxCooked1) == Drop::kFrameShort);
}

TEST_CASE("Linux cooked v2: 20 bytes, tags behind them") {
  check_ip_at(PacketBuilder::cooked2().ipv4(kA, kB).udp(1, 2).build(), LinkType::kLinuxCooked2, 20);
  check_ip_at(PacketBuilder::cooked2().vlan(5).ipv4(kA, kB).udp(1, 2).build(),
              LinkType::kLinuxCooked2, 24);
  check_not_ip(PacketBuilder::cooked2().ethertype(0x0806).payload(28).build(),
               LinkType::kLinuxCooked2);
  ByteVector frame = PacketBuilder::cooked2().ipv4(kA, kB).build();
  frame.resize(19);  // the ethertype is there, the header is not
  CHECK(drop_of(frame, LinkType::kLinuxCooked2) == Drop::kFrameShort);
}

TEST_CASE("BSD loopback: the families of IPv4 and of every system's IPv6, in either byte order") {
  for (const bool big_endian : {false, true}) {
    check_ip_at(PacketBuilder::loopback(2, big_endian).ipv4(kA, kB).udp(1, 2).build(),
                LinkType::kBsdLoopback, 4);
    for (const uint32_t family : {10, 24, 28, 30}) {
      check_ip_at(PacketBuilder::loopback(family, big_endian).ipv6("::1", "::1").udp(1, 2).build(),
                  LinkType::kBsdLoopback, 4);
    }
    check_not_ip(PacketBuilder::loopback(7, big_endian).payload(20).build(),
                 LinkType::kBsdLoopback);
  }
  CHECK(drop_of({2, 0, 0}, LinkType::kBsdLoopback) == Drop::kFrameShort);
}

TEST_CASE("raw IP: the version tells, anything else is not IP") {
  check_ip_at(PacketBuilder::raw().ipv4(kA, kB).udp(1, 2).build(), LinkType::kRawIp, 0);
  check_ip_at(PacketBuilder::raw().ipv6("::1", "::1").udp(1, 2).build(), LinkType::kRawIp, 0);
  check_not_ip({0x50, 0, 0, 0}, LinkType::kRawIp);
  check_not_ip({}, LinkType::kRawIp);
  CHECK(parse({nullptr, 0}, 40, LinkType::kRawIp).drop == Drop::kCutShort);
}

}  // namespace flowsieve::test
