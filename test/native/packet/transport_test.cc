// TCP, UDP, SCTP and everything that has no ports.
#include <doctest/doctest.h>

#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

constexpr const char* kA = "10.0.0.1";
constexpr const char* kB = "10.0.0.2";
constexpr const char* kA6 = "2001:db8::1";
constexpr const char* kB6 = "2001:db8::2";

PacketBuilder four() {
  return PacketBuilder::ethernet().ipv4(kA, kB);
}
PacketBuilder six() {
  return PacketBuilder::ethernet().ipv6(kA6, kB6);
}

/// The same frame with only `captured` bytes of it, cut by a snap length.
Packet parse_cut(const ByteVector& frame, size_t captured) {
  return parse({frame.data(), captured}, static_cast<uint32_t>(frame.size()), LinkType::kEthernet);
}

}  // namespace

TEST_CASE("TCP: ports in host order, flags as they stand") {
  const Packet packet = parse_whole(four().tcp(40000, 80).psh().ack().payload(5).build());
  CHECK(packet.flow == key_of(6, kA, 40000, kB, 80));
  CHECK(packet.tcp_flags == 0x18);
  CHECK(packet.transport_offset == 34);
  CHECK_FALSE(packet.opening);
}

TEST_CASE("TCP: SYN without ACK opens, nothing else does") {
  CHECK(parse_whole(four().tcp(1, 2).syn().build()).opening);
  CHECK(parse_whole(six().tcp(1, 2).syn().payload(10).build()).opening);  // fast open, RFC 7413
  CHECK_FALSE(parse_whole(four().tcp(1, 2).syn().ack().build()).opening);
  CHECK_FALSE(parse_whole(four().tcp(1, 2).ack().build()).opening);
  CHECK_FALSE(parse_whole(four().tcp(1, 2).fin().ack().build()).opening);
  CHECK_FALSE(parse_whole(four().tcp(1, 2).rst().build()).opening);
}

TEST_CASE("TCP: fewer than 20 bytes are malformed, though the IP header is good") {
  for (const uint16_t bytes : {0, 3, 4, 13, 14, 19}) {
    const Packet packet = parse_whole(four().total_length(20 + bytes).tcp(1, 2).syn().build());
    CHECK(packet.drop == Drop::kTransportShort);
    CHECK(packet.ip);
  }
}

TEST_CASE("TCP: a data offset below five words is malformed, though the IP header is good") {
  for (const uint8_t words : {0, 4}) {
    const Packet packet = parse_whole(four().tcp(1, 2).syn().data_offset(words).build());
    CHECK(packet.drop == Drop::kTcpOffset);
    CHECK(packet.ip);
  }
  CHECK(parse_whole(four().tcp(1, 2).syn().tcp_options({2, 4, 5, 180}).build()).drop ==
        Drop::kNone);
}

TEST_CASE("TCP: cut by the snap length it is usable as long as the flags are there") {
  const ByteVector frame = four().tcp(1, 2).syn().payload(10).build();
  CHECK(parse_cut(frame, 34 + 14).opening);
  for (const size_t captured : {34, 37, 38, 47})
    CHECK(parse_cut(frame, captured).drop == Drop::kCutShort);
}

TEST_CASE("UDP: ports; fewer than 8 bytes are malformed") {
  CHECK(parse_whole(four().udp(5000, 53).build()).flow == key_of(17, kA, 5000, kB, 53));
  CHECK(parse_whole(six().udp(5000, 53).build()).flow == key_of(17, kA6, 5000, kB6, 53));
  CHECK(parse_whole(four().total_length(27).udp(1, 2).build()).drop == Drop::kTransportShort);
  CHECK_FALSE(parse_whole(four().udp(1, 2).build()).opening);  // opens by being unknown
}

TEST_CASE("UDP: its own length and checksum are not judged (offload leaves them undone)") {
  CHECK(parse_whole(four().udp(1, 2).udp_length(0).build()).drop == Drop::kNone);
  CHECK(parse_whole(four().udp(1, 2).udp_length(9000).build()).drop == Drop::kNone);
  CHECK(parse_whole(four().udp(1, 2).patch(6, {0x12, 0x34}).build()).drop == Drop::kNone);
}

TEST_CASE("SCTP: INIT opens, ABORT and SHUTDOWN COMPLETE close, other chunks do neither") {
  Packet packet = parse_whole(four().sctp(3868, 3869).init().build());
  CHECK(packet.flow == key_of(132, kA, 3868, kB, 3869));
  CHECK(packet.opening);
  CHECK_FALSE(packet.sctp_closing);
  CHECK(parse_whole(four().sctp(1, 2).abort().build()).sctp_closing);
  CHECK(parse_whole(four().sctp(1, 2).shutdown_complete().build()).sctp_closing);
  for (const uint8_t chunk : {0, 2, 3, 4, 5, 7, 8, 9, 10, 11}) {
    packet = parse_whole(four().sctp(1, 2).chunk(chunk).build());
    CHECK(packet.drop == Drop::kNone);
    CHECK_FALSE(packet.opening);
    CHECK_FALSE(packet.sctp_closing);
  }
}

TEST_CASE("SCTP: the common header must be there, a chunk need not") {
  CHECK(parse_whole(four().sctp(1, 2).build()).drop == Drop::kNone);
  CHECK(parse_whole(four().total_length(31).sctp(1, 2).build()).drop == Drop::kTransportShort);
  const ByteVector frame = four().sctp(1, 2).init().build();
  CHECK(parse_cut(frame, 34 + 13).opening);
  CHECK(parse_cut(frame, 34 + 12).drop == Drop::kCutShort);
}

TEST_CASE("GRE, ESP and IP in IP are connections of the outer addresses and the protocol") {
  CHECK(parse_whole(four().gre().ipv4("192.0.2.1", "192.0.2.2").udp(1, 2).build()).flow ==
        key_of(47, kA, 0, kB, 0));
  CHECK(parse_whole(four().esp().payload(40).build()).flow == key_of(50, kA, 0, kB, 0));
  CHECK(parse_whole(six().esp().payload(40).build()).flow == key_of(50, kA6, 0, kB6, 0));
  CHECK(parse_whole(four().ipv4("192.0.2.1", "192.0.2.2").udp(1, 2).build()).flow ==
        key_of(4, kA, 0, kB, 0));
  CHECK(parse_whole(four().ipv6(kA6, kB6).udp(1, 2).build()).flow == key_of(41, kA, 0, kB, 0));
  const Packet packet = parse_whole(four().gre().payload(8).build());
  CHECK(packet.kind == Kind::kFlow);
  CHECK(packet.transport_offset == 34);
  CHECK_FALSE(packet.opening);
}

TEST_CASE("a protocol that nobody knows is a connection too, even without a byte of content") {
  CHECK(parse_whole(four().next(253).build()).flow == key_of(253, kA, 0, kB, 0));
  CHECK(parse_whole(six().next(253).payload(1).build()).flow == key_of(253, kA6, 0, kB6, 0));
}

TEST_CASE("IGMP is control wherever it goes") {
  CHECK(parse_whole(PacketBuilder::ethernet().ipv4(kA, "224.0.0.22").igmp().build()).kind ==
        Kind::kControl);
  CHECK(parse_whole(PacketBuilder::ethernet().ipv4(kA, "239.1.2.3").igmp().build()).kind ==
        Kind::kControl);
}

TEST_CASE("routing protocols to link-local multicast are control, to anybody else connections") {
  for (const uint8_t protocol : {88, 89, 103, 112}) {  // EIGRP, OSPF, PIM, VRRP
    CHECK(parse_whole(
              PacketBuilder::ethernet().ipv4(kA, "224.0.0.255").next(protocol).payload(20).build())
              .kind == Kind::kControl);
    CHECK(parse_whole(
              PacketBuilder::ethernet().ipv6(kA6, "ff02::5").next(protocol).payload(20).build())
              .kind == Kind::kControl);
    CHECK(parse_whole(
              PacketBuilder::ethernet().ipv4(kA, "224.0.1.0").next(protocol).payload(20).build())
              .kind == Kind::kFlow);
    CHECK(parse_whole(
              PacketBuilder::ethernet().ipv6(kA6, "ff05::5").next(protocol).payload(20).build())
              .kind == Kind::kFlow);
    CHECK(parse_whole(four().next(protocol).payload(20).build()).kind == Kind::kFlow);
  }
}

TEST_CASE(
    "UDP to link-local multicast is a connection (mDNS, LLMNR), and so is a ping of all "
    "neighbours") {
  CHECK(
      parse_whole(PacketBuilder::ethernet().ipv4(kA, "224.0.0.251").udp(5353, 5353).build()).kind ==
      Kind::kFlow);
  CHECK(parse_whole(PacketBuilder::ethernet().ipv6(kA6, "ff02::fb").udp(5353, 5353).build()).kind ==
        Kind::kFlow);
  CHECK(parse_whole(PacketBuilder::ethernet().ipv6(kA6, "ff02::1").echo_request(7).build()).kind ==
        Kind::kFlow);
}

}  // namespace flowsieve::test
