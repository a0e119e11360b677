// What a forwarded packet wears, against the packet builder: a second implementation of every header
// and checksum, which knows nothing of tunnels but that two IP layers may follow each other.
#include "wire/encapsulate.h"

#include <doctest/doctest.h>

#include "support/packet_builder.h"
#include "wire/offload.h"

namespace flowsieve::test {
namespace {

constexpr Mac kFrom{0x02, 0, 0, 0, 0, 0x11}, kTo{0x02, 0, 0, 0, 0, 0x22};

struct Ends {
  const char *from, *to;
};
constexpr Ends kOuter4{"203.0.113.1", "198.51.100.9"}, kOuter6{"2001:db8:1::1", "2001:db8:2::9"};

Hop hop_of(ForwardMode mode, const Ends& outer) {
  Hop hop;
  hop.mode = mode;
  hop.known = true;
  hop.source = kFrom;
  hop.destination = kTo;
  hop.local = address_of(outer.from);
  hop.remote = address_of(outer.to);
  return hop;
}

PacketBuilder& with_inner(PacketBuilder& builder, bool ipv4) {
  if (ipv4) {
    builder.ipv4("192.0.2.200", "192.0.2.100").dont_fragment();
  } else {
    builder.ipv6("2001:db8::200", "2001:db8::100");
  }
  return builder.tcp(40000, 80).ack().payload(101);
}

ByteVector inner_packet(bool ipv4) {
  PacketBuilder builder = PacketBuilder::raw();
  return with_inner(builder, ipv4).build();
}

ByteVector encapsulated(const Hop& hop, const ByteVector& inner, const OffloadHeader& offload = {},
                        uint16_t identification = 7) {
  Outer outer;
  REQUIRE(write_outer(hop, {{inner.data(), inner.size()}, {}, offload}, identification, outer));
  ByteVector frame(outer.bytes.begin(), outer.bytes.begin() + outer.size);
  frame.insert(frame.end(), inner.begin(), inner.end());
  return frame;
}

ByteVector with_macs(ByteVector frame) {
  std::copy(kTo.begin(), kTo.end(), frame.begin());
  std::copy(kFrom.begin(), kFrom.end(), frame.begin() + 6);
  return frame;
}

void add_outer(PacketBuilder& builder, const Ends& outer, bool outer4) {
  if (outer4) {
    builder.ipv4(outer.from, outer.to).identification(0).dont_fragment();
  } else {
    builder.ipv6(outer.from, outer.to);
  }
}

/// The flow label is the encapsulator's choice: taken over, so that the rest can be compared.
void take_label(ByteVector& expected, const ByteVector& frame) {
  expected[15] = static_cast<uint8_t>((expected[15] & 0xf0) | (frame[15] & 0x0f));
  std::copy(frame.begin() + 16, frame.begin() + 18, expected.begin() + 16);
}

}  // namespace

TEST_CASE("by MAC a packet gets a fresh Ethernet header and nothing else") {
  for (const bool ipv4 : {true, false}) {
    const ByteVector inner = inner_packet(ipv4);
    PacketBuilder expected = PacketBuilder::ethernet();
    CHECK(encapsulated(hop_of(ForwardMode::kMac, kOuter4), inner) ==
          with_macs(with_inner(expected, ipv4).build()));
  }
}

TEST_CASE("IP in IP: either family in either") {
  for (const bool inner4 : {true, false}) {
    for (const bool outer4 : {true, false}) {
      CAPTURE(inner4);
      CAPTURE(outer4);
      const Ends& ends = outer4 ? kOuter4 : kOuter6;
      const Hop hop = hop_of(ForwardMode::kIpip, ends);
      CHECK(overhead_of(hop) == (outer4 ? 20 : 40));
      const ByteVector frame = encapsulated(hop, inner_packet(inner4));
      PacketBuilder builder = PacketBuilder::ethernet();
      add_outer(builder, ends, outer4);
      ByteVector expected = with_macs(with_inner(builder, inner4).build());
      if (!outer4) take_label(expected, frame);
      CHECK(frame == expected);
    }
  }
}

TEST_CASE("GUE: either family in either, with a UDP checksum where IPv6 needs one") {
  for (const bool inner4 : {true, false}) {
    for (const bool outer4 : {true, false}) {
      CAPTURE(inner4);
      CAPTURE(outer4);
      const Ends& ends = outer4 ? kOuter4 : kOuter6;
      const Hop hop = hop_of(ForwardMode::kGue, ends);
      CHECK(overhead_of(hop) == (outer4 ? 32 : 52));
      const ByteVector inner = inner_packet(inner4);
      const ByteVector frame = encapsulated(hop, inner);
      const size_t udp = outer4 ? 34 : 54;
      const uint16_t port = load_be16(frame.data() + udp);
      CHECK(port >= 49152);
      PacketBuilder builder = PacketBuilder::ethernet();
      add_outer(builder, ends, outer4);
      ByteVector payload(4 + inner.size());
      payload[1] = inner4 ? 4 : 41;
      std::copy(inner.begin(), inner.end(), payload.begin() + 4);
      builder.udp(port, 6080).payload(payload);
      ByteVector expected = with_macs(builder.build());
      if (outer4) {
        expected[udp + 6] = expected[udp + 7] = 0;
      } else {
        take_label(expected, frame);
      }
      CHECK(frame == expected);
    }
  }
}

TEST_CASE(
    "GUE over IPv6: the UDP checksum is that of the packet as it will be, if inside is partial") {
  for (const bool inner4 : {true, false}) {
    const ByteVector whole = inner_packet(inner4);
    ByteVector partial = whole;
    const size_t transport = inner4 ? 20 : 40;
    // What the field holds before the sum over the transport is added: that of the pseudo header.
    const ByteVector pseudo = [&] {
      ByteVector bytes(whole.begin() + (inner4 ? 12 : 8),
                       whole.begin() + static_cast<ptrdiff_t>(transport));
      const size_t length = whole.size() - transport;
      bytes.insert(bytes.end(),
                   {0, 6, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)});
      return bytes;
    }();
    uint32_t sum = 0;
    for (size_t i = 0; i < pseudo.size(); i += 2) sum += load_be16(pseudo.data() + i);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    store_be16(partial.data() + transport + 16, static_cast<uint16_t>(sum));
    OffloadHeader offload;
    offload.flags = kNeedsChecksum;
    offload.csum_start = static_cast<uint16_t>(transport);
    offload.csum_offset = 16;
    const Hop hop = hop_of(ForwardMode::kGue, kOuter6);
    const ByteVector from_partial = encapsulated(hop, partial, offload);
    const ByteVector from_whole = encapsulated(hop, whole);
    CHECK(load_be16(from_partial.data() + 60) == load_be16(from_whole.data() + 60));
    Outer outer;
    REQUIRE(write_outer(hop, {{partial.data(), partial.size()}, {}, offload}, 0, outer));
    CHECK(outer.offload.flags == kNeedsChecksum);
    CHECK(outer.offload.csum_start == outer.size + transport);
  }
}

TEST_CASE("the outer header takes over DSCP, ECN and DF; without DF it has an identification") {
  ByteVector inner = PacketBuilder::raw().ipv4("192.0.2.200", "192.0.2.100").udp(5, 6).build();
  inner[1] = 0xb9;
  const ByteVector frame = encapsulated(hop_of(ForwardMode::kIpip, kOuter4), inner, {}, 0x1234);
  CHECK(frame[15] == 0xb9);
  CHECK(load_be16(frame.data() + 18) == 0x1234);
  CHECK(load_be16(frame.data() + 20) == 0);
  const ByteVector over6 = encapsulated(hop_of(ForwardMode::kIpip, kOuter6), inner);
  CHECK(((over6[14] & 0x0f) << 4 | over6[15] >> 4) == 0xb9);
}

TEST_CASE("all packets of a flow have the same entropy, those of flows differ") {
  const auto entropy = [](PacketBuilder builder) {
    const ByteVector bytes = builder.build();
    return flow_entropy({bytes.data(), bytes.size()});
  };
  const auto tcp = [](uint16_t port, size_t payload) {
    return PacketBuilder::raw().ipv4("192.0.2.200", "192.0.2.100").tcp(port, 80).payload(payload);
  };
  CHECK(entropy(tcp(40000, 10)) == entropy(tcp(40000, 700)));
  CHECK(entropy(tcp(40000, 10)) != entropy(tcp(40001, 10)));
}

TEST_CASE("what is no IP packet, or does not agree with its offload header, is not encapsulated") {
  const Hop hop = hop_of(ForwardMode::kIpip, kOuter4);
  Outer outer;
  const ByteVector noise(60, 0x31);
  CHECK_FALSE(write_outer(hop, {{noise.data(), noise.size()}, {}, {}}, 0, outer));
  const ByteVector inner = inner_packet(true);
  OffloadHeader offload;
  offload.flags = kNeedsChecksum;
  offload.csum_start = static_cast<uint16_t>(inner.size());
  CHECK_FALSE(write_outer(hop, {{inner.data(), inner.size()}, {}, offload}, 0, outer));
  CHECK_FALSE(write_outer(hop, {{inner.data(), 12}, {}, {}}, 0, outer));
  const ByteVector huge = PacketBuilder::raw().ipv4("1.2.3.4", "5.6.7.8").payload(65510).build();
  CHECK_FALSE(write_outer(hop, {{huge.data(), huge.size()}, {}, {}}, 0, outer));
}

}  // namespace flowsieve::test
