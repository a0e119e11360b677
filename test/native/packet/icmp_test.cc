// ICMP and ICMPv6: queries are connections, errors follow the connection that they quote,
// neighbours' talk is control.
#include <doctest/doctest.h>

#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

// A client speaks to the cluster; a router on the way answers the cluster's packets with errors.
constexpr const char* kClient = "198.51.100.7";
constexpr const char* kCluster = "192.0.2.100";
constexpr const char* kRouter = "203.0.113.1";
constexpr const char* kClient6 = "2001:db8:7::7";
constexpr const char* kCluster6 = "2001:db8::100";
constexpr const char* kRouter6 = "2001:db8:1::1";

PacketBuilder from_router() {
  return PacketBuilder::ethernet().ipv4(kRouter, kCluster);
}
PacketBuilder from_router6() {
  return PacketBuilder::ethernet().ipv6(kRouter6, kCluster6);
}
PacketBuilder quoted() {
  return PacketBuilder::raw().ipv4(kCluster, kClient);
}
PacketBuilder quoted6() {
  return PacketBuilder::raw().ipv6(kCluster6, kClient6);
}

/// An error quoting `quote` is about `flow`, in the direction of the quoted destination.
void check_error(const ByteVector& frame, const Key& flow) {
  const Packet packet = parse_whole(frame);
  CHECK(packet.drop == Drop::kNone);
  CHECK(packet.kind == Kind::kError);
  CHECK(packet.flow == flow);
}

void check_unusable(const ByteVector& frame) {
  const Packet packet = parse_whole(frame);
  CHECK(packet.drop == Drop::kQuoteUnusable);
  CHECK_FALSE(is_malformed(packet.drop));
  CHECK(packet.ip);
}

const Key kTcp = key_of(6, kClient, 40000, kCluster, 80);
const Key kTcp6 = key_of(6, kClient6, 40000, kCluster6, 80);

}  // namespace

TEST_CASE("ICMP queries: the identifier is the port of the side that asks") {
  const std::pair<uint8_t, uint8_t> queries[] = {{8, 0}, {13, 14}, {15, 16}, {17, 18}};
  for (const auto& [asks, answers] : queries) {
    const Packet request = parse_whole(PacketBuilder::ethernet()
                                           .ipv4(kClient, kCluster)
                                           .icmp(asks, 0, 0x004d0001)
                                           .payload(12)
                                           .build());
    const Packet reply = parse_whole(PacketBuilder::ethernet()
                                         .ipv4(kCluster, kClient)
                                         .icmp(answers, 0, 0x004d0001)
                                         .payload(12)
                                         .build());
    CHECK(request.kind == Kind::kFlow);
    CHECK(request.flow == key_of(1, kClient, 77, kCluster, 0));
    CHECK_FALSE(request.query_reply);
    CHECK(reply.kind == Kind::kFlow);
    CHECK(reply.flow == reversed(request.flow));
    CHECK(reply.query_reply);
  }
}

TEST_CASE("ICMPv6 echo: the identifier is the port of the side that asks") {
  const Packet request =
      parse_whole(PacketBuilder::ethernet().ipv6(kClient6, kCluster6).echo_request(77).build());
  const Packet reply =
      parse_whole(PacketBuilder::ethernet().ipv6(kCluster6, kClient6).echo_reply(77).build());
  CHECK(request.flow == key_of(58, kClient6, 77, kCluster6, 0));
  CHECK(reply.flow == reversed(request.flow));
  CHECK(reply.query_reply);
}

TEST_CASE("an ICMP message of fewer than 4 bytes, and a query of fewer than 8, is malformed") {
  CHECK(parse_whole(PacketBuilder::ethernet()
                        .ipv4(kClient, kCluster)
                        .total_length(23)
                        .echo_request(1)
                        .build())
            .drop == Drop::kTransportShort);
  CHECK(parse_whole(PacketBuilder::ethernet()
                        .ipv4(kClient, kCluster)
                        .total_length(27)
                        .echo_request(1)
                        .build())
            .drop == Drop::kTransportShort);
  CHECK(parse_whole(PacketBuilder::ethernet()
                        .ipv6(kClient6, kCluster6)
                        .payload_length(7)
                        .echo_request(1)
                        .build())
            .drop == Drop::kTransportShort);
}

TEST_CASE(
    "the two ICMPs belong to their families: in the other one they are just protocol numbers") {
  CHECK(parse_whole(PacketBuilder::ethernet()
                        .ipv4(kClient, kCluster)
                        .next(58)
                        .payload({135, 0, 0, 0})
                        .build())
            .flow == key_of(58, kClient, 0, kCluster, 0));
  CHECK(parse_whole(PacketBuilder::ethernet()
                        .ipv6(kClient6, kCluster6)
                        .next(1)
                        .payload({8, 0, 0, 0, 0, 7, 0, 0})
                        .build())
            .flow == key_of(1, kClient6, 0, kCluster6, 0));
}

TEST_CASE("other ICMP types are connections without ports") {
  CHECK(parse_whole(from_router().icmp(30).build()).flow == key_of(1, kRouter, 0, kCluster, 0));
  CHECK(parse_whole(from_router6().icmp(139).build()).flow ==
        key_of(58, kRouter6, 0, kCluster6, 0));
  CHECK(parse_whole(from_router6().icmp(200).build()).kind == Kind::kFlow);
  CHECK(parse_whole(PacketBuilder::ethernet().ipv6(kRouter6, "ff02::1").icmp(200).build()).kind ==
        Kind::kControl);
}

TEST_CASE(
    "router discovery, neighbour discovery and multicast listeners are control, wherever they go") {
  for (const uint8_t type : {9, 10})
    CHECK(parse_whole(from_router().icmp(type).build()).kind == Kind::kControl);
  for (const uint8_t type :
       {130, 131, 132, 133, 134, 135, 136, 137, 138, 141, 142, 143, 148, 149, 151, 152, 153}) {
    CHECK(parse_whole(from_router6().icmp(type).payload(16).build()).kind == Kind::kControl);
  }
}

TEST_CASE(
    "every ICMP error type follows the quoted connection, as if the quoted destination had sent "
    "it") {
  const ByteVector quote = quoted().tcp(80, 40000).ack().build();
  for (const uint8_t type : {3, 4, 5, 11, 12})
    check_error(from_router().icmp_error(type, 0, quote).build(), kTcp);
}

TEST_CASE("every ICMPv6 type below 128 is an error (RFC 4443 2.1), known or not") {
  const ByteVector quote = quoted6().tcp(80, 40000).ack().build();
  for (const uint8_t type : {1, 2, 3, 4, 5, 99, 100, 101, 127})
    check_error(from_router6().icmp_error(type, 0, quote).build(), kTcp6);
  CHECK(parse_whole(from_router6().icmp_error(0, 0, quote).build()).kind == Kind::kFlow);
}

TEST_CASE("RFC 792's quote, the IP header and 8 bytes, is enough, though its length says more") {
  ByteVector quote = quoted().tcp(80, 40000).ack().payload(1000).build();
  quote.resize(28);
  check_error(from_router().icmp_error(3, 4, quote).build(), kTcp);
  quote.resize(24);  // the ports alone
  check_error(from_router().icmp_error(3, 4, quote).build(), kTcp);
  quote.resize(23);
  check_unusable(from_router().icmp_error(3, 4, quote).build());
}

TEST_CASE("quotes with options, extension headers and of every transport are understood") {
  check_error(
      from_router().icmp_error(3, 3, quoted().options({1, 1, 1, 1}).udp(53, 5000).build()).build(),
      key_of(17, kClient, 5000, kCluster, 53));
  check_error(from_router().icmp_error(3, 3, quoted().sctp(3868, 3869).build()).build(),
              key_of(132, kClient, 3869, kCluster, 3868));
  check_error(from_router().icmp_error(11, 0, quoted().gre().payload(4).build()).build(),
              key_of(47, kClient, 0, kCluster, 0));
  check_error(from_router().icmp_error(11, 0, quoted().ah(24).tcp(80, 40000).build()).build(),
              kTcp);
  check_error(
      from_router6()
          .icmp_error(2, 0, quoted6().hop_by_hop().destination_options(16).tcp(80, 40000).build())
          .build(),
      kTcp6);
}

TEST_CASE("a quoted query names the connection of its identifier") {
  check_error(
      from_router()
          .icmp_error(3, 1, PacketBuilder::raw().ipv4(kClient, kCluster).echo_request(77).build())
          .build(),
      key_of(1, kCluster, 0, kClient, 77));
  check_error(from_router().icmp_error(3, 1, quoted().echo_reply(77).build()).build(),
              key_of(1, kClient, 77, kCluster, 0));
  check_error(from_router6().icmp_error(1, 0, quoted6().echo_reply(77).build()).build(),
              key_of(58, kClient6, 77, kCluster6, 0));
}

TEST_CASE("a quoted first fragment names its connection, a later one none") {
  check_error(from_router()
                  .icmp_error(11, 1, quoted().fragment(0, true).udp(53, 5000).payload(4).build())
                  .build(),
              key_of(17, kClient, 5000, kCluster, 53));
  check_error(from_router6()
                  .icmp_error(3, 1, quoted6().ipv6_fragment(1, 0, true).tcp(80, 40000).build())
                  .build(),
              kTcp6);
  check_unusable(from_router()
                     .icmp_error(11, 1, quoted().fragment(1480, false).udp(53, 5000).build())
                     .build());
  check_unusable(
      from_router6()
          .icmp_error(3, 1, quoted6().ipv6_fragment(1, 1280, false).tcp(80, 40000).build())
          .build());
}

TEST_CASE(
    "an error that quotes an error, neighbours' talk or nothing readable is unusable, not "
    "malformed") {
  check_unusable(
      from_router()
          .icmp_error(3, 1, quoted().icmp_error(3, 3, quoted().udp(1, 2).build()).build())
          .build());
  check_unusable(from_router6().icmp_error(1, 3, quoted6().icmp(135).payload(16).build()).build());
  check_unusable(from_router().icmp_error(3, 1, quoted().igmp().build()).build());
  check_unusable(
      from_router()
          .icmp_error(3, 1,
                      PacketBuilder::raw().ipv4(kCluster, "224.0.0.5").next(89).payload(8).build())
          .build());
  check_unusable(from_router().icmp_error(3, 1, ByteVector(28)).build());
  check_unusable(from_router().icmp_error(3, 1, ByteVector(10, 0x45)).build());
  check_unusable(from_router().icmp(3, 1).build());
  check_unusable(
      from_router().total_length(24).icmp(3, 1).build());  // not even its own second word
  check_unusable(from_router().icmp_error(3, 1, quoted().ihl(4).udp(1, 2).build()).build());
  check_unusable(
      from_router().icmp_error(3, 1, quoted().total_length(10).udp(1, 2).build()).build());
  check_unusable(
      from_router6()
          .icmp_error(1, 0, quoted6().destination_options().extension_length(9).udp(1, 2).build())
          .build());
}

TEST_CASE("what follows the quoted packet (RFC 4884 extensions) is not read as a part of it") {
  ByteVector quote = quoted().next(17).payload(3).build();
  quote.resize(128);
  check_unusable(from_router().icmp_error(3, 1, quote).build());
}

TEST_CASE("a quote cut by the snap length is cut short, and one cut behind the ports is not") {
  const ByteVector frame =
      from_router().icmp_error(3, 3, quoted().tcp(80, 40000).ack().payload(100).build()).build();
  const uint32_t wire = static_cast<uint32_t>(frame.size());
  const size_t ports_end = 14 + 20 + 8 + 20 + 4;
  CHECK(parse({frame.data(), ports_end}, wire, LinkType::kEthernet).flow == kTcp);
  for (size_t captured = 34; captured < ports_end; ++captured) {
    CHECK(parse({frame.data(), captured}, wire, LinkType::kEthernet).drop == Drop::kCutShort);
  }
}

TEST_CASE("an error that is itself fragmented is one, as far as its first fragment goes") {
  const auto frames = fragments_of(
      from_router().icmp_error(3, 3, quoted().tcp(80, 40000).payload(400).build()).build(), 200);
  const Packet packet = parse_whole(frames[0]);
  CHECK(packet.kind == Kind::kError);
  CHECK(packet.is_fragment);
  CHECK(packet.flow == kTcp);
}

}  // namespace flowsieve::test
