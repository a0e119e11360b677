// IPv4 and IPv6 headers: lengths, options, extension headers, fragments.
#include <doctest/doctest.h>

#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

constexpr const char* kA4 = "10.0.0.1";
constexpr const char* kB4 = "10.0.0.2";
constexpr const char* kA6 = "2001:db8::1";
constexpr const char* kB6 = "2001:db8::2";

PacketBuilder four() {
  return PacketBuilder::ethernet().ipv4(kA4, kB4);
}
PacketBuilder six() {
  return PacketBuilder::ethernet().ipv6(kA6, kB6);
}

/// A malformed IP header: counted, and not an IP packet.
void check_bad_header(const ByteVector& frame, Drop drop) {
  const Packet packet = parse_whole(frame);
  CHECK(packet.drop == drop);
  CHECK(is_malformed(packet.drop));
  CHECK_FALSE(packet.ip);
  CHECK_FALSE(packet.is_fragment);
}

/// The transport was found where it stands, behind everything that is to be walked.
void check_udp_at(const ByteVector& frame, uint16_t transport_offset, const Key& flow) {
  const Packet packet = parse_whole(frame);
  CHECK(packet.drop == Drop::kNone);
  CHECK(packet.kind == Kind::kFlow);
  CHECK(packet.transport_offset == transport_offset);
  CHECK(packet.flow == flow);
}

const Key kFlow4 = key_of(17, kA4, 5000, kB4, 53);
const Key kFlow6 = key_of(17, kA6, 5000, kB6, 53);

}  // namespace

TEST_CASE("IPv4: addresses, length and family come from the header") {
  const Packet packet = parse_whole(four().udp(5000, 53).payload(12).build());
  CHECK(packet.ip_source == address_of(kA4));
  CHECK(packet.ip_destination == address_of(kB4));
  CHECK(packet.ip_bytes == 40);
  CHECK(packet.flow == kFlow4);
  CHECK(packet.flow.family == Family::kIpv4);
}

TEST_CASE("IPv6: addresses, length and family come from the header") {
  const Packet packet = parse_whole(six().udp(5000, 53).payload(12).build());
  CHECK(packet.ip_source == address_of(kA6));
  CHECK(packet.ip_destination == address_of(kB6));
  CHECK(packet.ip_bytes == 60);
  CHECK(packet.flow == kFlow6);
  CHECK(packet.flow.family == Family::kIpv6);
}

TEST_CASE("an IPv4-mapped address in a real IPv6 packet is another connection than the IPv4 one") {
  const Packet packet = parse_whole(
      PacketBuilder::ethernet().ipv6("::ffff:10.0.0.1", "::ffff:10.0.0.2").udp(5000, 53).build());
  CHECK(packet.flow.source == kFlow4.source);
  CHECK_FALSE(packet.flow == kFlow4);
}

TEST_CASE("the version in the header tells the family, and another version is malformed") {
  check_bad_header(four().version(5).udp(1, 2).build(), Drop::kIpVersion);
  check_bad_header(six().version(0).udp(1, 2).build(), Drop::kIpVersion);
}

TEST_CASE("IPv4 options are skipped, up to the longest header") {
  check_udp_at(four().options(ByteVector(4, 1)).udp(5000, 53).build(), 38, kFlow4);
  check_udp_at(four().options(ByteVector(40, 1)).udp(5000, 53).build(), 74, kFlow4);
}

TEST_CASE("IPv4: a header length below five words, or beyond the frame, is malformed") {
  check_bad_header(four().ihl(4).udp(1, 2).build(), Drop::kIpHeader);
  check_bad_header(four().ihl(0).udp(1, 2).build(), Drop::kIpHeader);
  check_bad_header(four().ihl(15).udp(1, 2).build(), Drop::kIpHeader);
}

TEST_CASE(
    "a frame that ends inside the fixed IP header is malformed, and behind the ethertype already") {
  for (const size_t ip_bytes : {0, 1, 19}) {
    ByteVector frame = four().udp(1, 2).build();
    frame.resize(14 + ip_bytes);
    check_bad_header(frame, Drop::kIpHeader);
    CHECK(parse({frame.data(), frame.size()}, 60, LinkType::kEthernet).drop == Drop::kCutShort);
  }
  ByteVector frame = six().udp(1, 2).build();
  frame.resize(14 + 39);
  check_bad_header(frame, Drop::kIpHeader);
}

TEST_CASE(
    "IPv4: a total length beyond the packet's original length, or below the header, is malformed") {
  check_bad_header(four().total_length(29).udp(1, 2).build(), Drop::kIpLength);
  check_bad_header(four().total_length(19).udp(1, 2).build(), Drop::kIpLength);
  check_bad_header(four().options(ByteVector(4, 1)).total_length(23).udp(1, 2).build(),
                   Drop::kIpLength);
}

TEST_CASE("IPv6: a payload length beyond the packet's original length is malformed") {
  check_bad_header(six().payload_length(9).udp(1, 2).build(), Drop::kIpLength);
}

TEST_CASE(
    "a length that the snap length cut is believed: it is measured against the original length") {
  for (auto builder : {four(), six()}) {
    const ByteVector frame = builder.tcp(1, 2).syn().payload(1000).build();
    const Packet packet =
        parse({frame.data(), 80}, static_cast<uint32_t>(frame.size()), LinkType::kEthernet);
    CHECK(packet.drop == Drop::kNone);
    CHECK(packet.ip_bytes == frame.size() - 14);
    CHECK(packet.opening);
    // One byte less on the wire, and the header lies.
    CHECK(parse({frame.data(), 80}, static_cast<uint32_t>(frame.size()) - 1, LinkType::kEthernet)
              .drop == Drop::kIpLength);
  }
}

TEST_CASE(
    "a capture that has more bytes than it says were on the wire is believed about what it has") {
  const ByteVector frame = four().udp(5000, 53).payload(100).build();
  const Packet packet = parse({frame.data(), frame.size()}, 60, LinkType::kEthernet);
  CHECK(packet.drop == Drop::kNone);
  CHECK(packet.ip_bytes == 128);
}

TEST_CASE("length 0 means the frame's rest (offload), measured on the wire") {
  ByteVector frame = four().total_length(0).tcp(1, 2).ack().payload(100).build();
  CHECK(parse_whole(frame).drop == Drop::kNone);
  CHECK(parse_whole(frame).ip_bytes == 140);
  CHECK(parse({frame.data(), frame.size()}, 90'014, LinkType::kEthernet).ip_bytes == 90'000);
  frame = six().payload_length(0).tcp(1, 2).ack().payload(100).build();
  CHECK(parse_whole(frame).drop == Drop::kNone);
  CHECK(parse_whole(frame).ip_bytes == 160);
}

TEST_CASE("IPv6 payload length 0 with nothing following is just that: a header alone") {
  const Packet packet = parse_whole(six().next(59).padding(6).build());
  CHECK(packet.drop == Drop::kNone);
  CHECK(packet.ip_bytes == 40);
  CHECK(packet.flow == key_of(59, kA6, 0, kB6, 0));
}

TEST_CASE("bytes behind the IP packet are padding: neither counted nor read") {
  CHECK(parse_whole(four().udp(1, 2).padding(18).build()).ip_bytes == 28);
  // The padding would complete the header; it is not part of it.
  CHECK(parse_whole(four().total_length(24).udp(1, 2).padding(18).build()).drop ==
        Drop::kTransportShort);
  CHECK(parse_whole(six().payload_length(4).udp(1, 2).padding(18).build()).drop ==
        Drop::kTransportShort);
}

TEST_CASE("each IPv6 extension header is walked by its own length") {
  check_udp_at(six().hop_by_hop(8).udp(5000, 53).build(), 62, kFlow6);
  check_udp_at(six().hop_by_hop(264).udp(5000, 53).build(), 318, kFlow6);
  check_udp_at(six().routing(24).udp(5000, 53).build(), 78, kFlow6);
  check_udp_at(six().destination_options(16).udp(5000, 53).build(), 70, kFlow6);
  check_udp_at(six().mobility(8).udp(5000, 53).build(), 62, kFlow6);
  check_udp_at(six().hip(40).udp(5000, 53).build(), 94, kFlow6);
  check_udp_at(six().shim6(8).udp(5000, 53).build(), 62, kFlow6);
  check_udp_at(six().ah(24).udp(5000, 53).build(), 78,
               kFlow6);  // RFC 4302 2.2: words of four, minus two
  check_udp_at(six().ah(12).udp(5000, 53).build(), 66, kFlow6);
  check_udp_at(six().ipv6_fragment(1, 0, false).udp(5000, 53).build(), 62, kFlow6);
}

TEST_CASE("IPv6: the order that RFC 8200 4.1 recommends is walked whole") {
  check_udp_at(six()
                   .hop_by_hop()
                   .destination_options()
                   .routing()
                   .ipv6_fragment(1, 0, false)
                   .ah(24)
                   .destination_options()
                   .udp(5000, 53)
                   .build(),
               14 + 40 + 5 * 8 + 24, kFlow6);
}

TEST_CASE("AH is walked behind IPv4 too, and IPv6's extension headers are not") {
  check_udp_at(four().ah(24).udp(5000, 53).build(), 58, kFlow4);
  CHECK(parse_whole(four().destination_options().udp(5000, 53).build()).flow ==
        key_of(60, kA4, 0, kB4, 0));
}

TEST_CASE("eight extension headers are walked, a ninth is malformed") {
  auto eight = six();
  for (int i = 0; i < 8; ++i) eight.destination_options();
  auto nine = eight;
  check_udp_at(eight.udp(5000, 53).build(), 14 + 40 + 64, kFlow6);
  check_bad_header(nine.destination_options().udp(5000, 53).build(), Drop::kExtensionLimit);
}

TEST_CASE("a chain that ends with next header 59 names no transport, whatever stands behind it") {
  const Packet packet = parse_whole(six().destination_options().next(59).payload(20).build());
  CHECK(packet.drop == Drop::kNone);
  CHECK(packet.flow == key_of(59, kA6, 0, kB6, 0));
}

TEST_CASE("a mobility header with nothing behind it is a protocol of its own (RFC 6275 6.1.1)") {
  const Packet packet = parse_whole(six().mobility().next(59).build());
  CHECK(packet.kind == Kind::kFlow);
  CHECK(packet.flow == key_of(135, kA6, 0, kB6, 0));
  CHECK(packet.transport_offset == 54);
}

TEST_CASE("an extension header that ends outside the packet is malformed") {
  check_bad_header(six().destination_options().extension_length(2).udp(1, 2).build(),
                   Drop::kExtensionHeader);
  check_bad_header(six().ah(24).extension_length(255).udp(1, 2).build(), Drop::kExtensionHeader);
  check_bad_header(six().next(60).payload(4).build(), Drop::kExtensionHeader);
  check_bad_header(six().next(44).payload(7).build(), Drop::kExtensionHeader);
}

TEST_CASE("a bad AH behind IPv4 is malformed, but the IPv4 header was good") {
  const Packet packet = parse_whole(four().ah(24).extension_length(200).udp(1, 2).build());
  CHECK(packet.drop == Drop::kExtensionHeader);
  CHECK(packet.ip);
}

TEST_CASE("a chain that the snap length cut is not malformed, and it is IP") {
  const ByteVector frame = six().hop_by_hop(64).udp(1, 2).build();
  const Packet packet =
      parse({frame.data(), 60}, static_cast<uint32_t>(frame.size()), LinkType::kEthernet);
  CHECK(packet.drop == Drop::kCutShort);
  CHECK(packet.ip);
  CHECK_FALSE(is_malformed(packet.drop));
}

// ---------------------------------------------------------------- fragments

TEST_CASE("IPv4: the first fragment carries its ports, later ones only what all share") {
  const auto frames = fragments_of(four().udp(5000, 53).payload(3000).build(), 1500, 0xbeef);
  REQUIRE(frames.size() == 3);
  const FragmentKey key{address_of(kA4), address_of(kB4), 0xbeef, 17, Family::kIpv4, 0};
  for (size_t i = 0; i < frames.size(); ++i) {
    const Packet packet = parse_whole(frames[i]);
    CHECK(packet.drop == Drop::kNone);
    CHECK(packet.is_fragment);
    CHECK(packet.fragment() == key);
    CHECK(packet.kind == (i == 0 ? Kind::kFlow : Kind::kFragment));
    CHECK(packet.transport_offset == (i == 0 ? 34 : 0));
  }
  CHECK(parse_whole(frames[0]).flow == kFlow4);
}

TEST_CASE(
    "IPv6: the first fragment carries its ports, later ones only what all share, without the "
    "protocol") {
  const auto frames =
      fragments_of(six().hop_by_hop().udp(5000, 53).payload(3000).build(), 1280, 0xdeadbeef);
  REQUIRE(frames.size() == 3);
  const FragmentKey key{address_of(kA6), address_of(kB6), 0xdeadbeef, 0, Family::kIpv6, 0};
  for (size_t i = 0; i < frames.size(); ++i) {
    const Packet packet = parse_whole(frames[i]);
    CHECK(packet.drop == Drop::kNone);
    CHECK(packet.is_fragment);
    CHECK(packet.fragment() == key);
    CHECK(packet.kind == (i == 0 ? Kind::kFlow : Kind::kFragment));
  }
  CHECK(parse_whole(frames[0]).flow == kFlow6);
}

TEST_CASE("an atomic fragment is a whole packet (RFC 6946), and don't-fragment is no fragment") {
  CHECK_FALSE(parse_whole(six().ipv6_fragment(7, 0, false).tcp(1, 2).syn().build()).is_fragment);
  CHECK(parse_whole(six().ipv6_fragment(7, 0, false).tcp(1, 2).syn().build()).opening);
  CHECK_FALSE(parse_whole(four().dont_fragment().udp(1, 2).build()).is_fragment);
}

TEST_CASE("reserved bits in a fragment header are ignored (RFC 8200 4.5)") {
  CHECK_FALSE(parse_whole(six().ipv6_fragment(7, 0, false).patch(1, {0xff, 0, 6}).udp(1, 2).build())
                  .is_fragment);
  CHECK_FALSE(parse_whole(four().patch(6, {0x80}).udp(1, 2).build()).is_fragment);
}

TEST_CASE("a later fragment's data is not read: it may look like anything") {
  // Were these first fragments, headers would have to follow and be whole.
  CHECK(parse_whole(six().ipv6_fragment(7, 1280, false).next(60).payload(3).build()).kind ==
        Kind::kFragment);
  CHECK(parse_whole(four().fragment(1480, false).next(51).payload(3).build()).kind ==
        Kind::kFragment);
  CHECK(parse_whole(four().fragment(1480, false).next(1).payload({3, 0, 0}).build()).kind ==
        Kind::kFragment);
}

TEST_CASE(
    "the fragments of an authenticated IPv4 packet share the protocol that the IP header names") {
  const auto frames = fragments_of(four().ah(24).udp(5000, 53).payload(200).build(), 100);
  const Packet first = parse_whole(frames[0]), later = parse_whole(frames[1]);
  CHECK(first.flow == kFlow4);
  CHECK(first.fragment().protocol == 51);
  CHECK(later.kind == Kind::kFragment);
  CHECK(first.fragment() == later.fragment());
}

TEST_CASE("a first fragment needs the ports alone, and says of TCP what it has") {
  // 8 bytes of TCP: the smallest first fragment that is not the last.
  Packet packet = parse_whole(
      four().fragment(0, true).next(6).payload({0x9c, 0x40, 0, 80, 0, 0, 0, 0}).build());
  CHECK(packet.drop == Drop::kNone);
  CHECK(packet.flow == key_of(6, kA4, 40000, kB4, 80));
  CHECK(packet.tcp_flags == 0);
  CHECK_FALSE(packet.opening);
  // 16 bytes include the flags.
  packet = parse_whole(four().fragment(0, true).tcp(40000, 80).syn().payload(4).build());
  CHECK(packet.opening);
}

TEST_CASE(
    "a fragment that is empty, unaligned or ends beyond 65535 is malformed, but IP and a "
    "fragment") {
  const auto check_bad = [](const ByteVector& frame) {
    const Packet packet = parse_whole(frame);
    CHECK(packet.drop == Drop::kFragmentLength);
    CHECK(packet.ip);
    CHECK(packet.is_fragment);
  };
  check_bad(four().fragment(8, false).build());
  check_bad(four().fragment(0, true).build());
  check_bad(four().fragment(8, true).payload(12).build());
  check_bad(four().fragment(65528, false).payload(8).build());
  check_bad(four().fragment(65512, false).payload(4).build());  // 20 + 65512 + 4
  check_bad(six().ipv6_fragment(1, 8, false).build());
  check_bad(six().ipv6_fragment(1, 8, true).payload(12).build());
  check_bad(six().ipv6_fragment(1, 65528, false).payload(8).build());
  check_bad(six().hop_by_hop().ipv6_fragment(1, 65520, false).payload(8).build());  // 8 + 65520 + 8
}

TEST_CASE("the last fragment may have any length, up to the very end") {
  CHECK(parse_whole(four().fragment(8, false).next(17).payload(1).build()).kind == Kind::kFragment);
  CHECK(parse_whole(four().fragment(65512, false).next(17).payload(3).build()).kind ==
        Kind::kFragment);
  CHECK(parse_whole(six().ipv6_fragment(1, 65528, false).next(17).payload(7).build()).kind ==
        Kind::kFragment);
}

TEST_CASE("IPv6: a first fragment must hold the whole chain (RFC 7112)") {
  const Packet packet = parse_whole(
      six().ipv6_fragment(1, 0, true).next(60).payload({17, 2, 0, 0, 0, 0, 0, 0}).build());
  CHECK(packet.drop == Drop::kExtensionHeader);
}

TEST_CASE("a later fragment cut by the snap length is still followed") {
  const auto frames = fragments_of(four().udp(1, 2).payload(3000).build(), 1500);
  CHECK(parse({frames[1].data(), 34}, static_cast<uint32_t>(frames[1].size()), LinkType::kEthernet)
            .kind == Kind::kFragment);
}

}  // namespace flowsieve::test
