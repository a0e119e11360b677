// Pieces of packets: put together again by the test, and their checksums computed anew.
#include "wire/split.h"

#include <doctest/doctest.h>

#include "support/packet_builder.h"
#include "wire/offload.h"
#include "wire/too_big.h"

namespace flowsieve::test {
namespace {

uint16_t sum_of(const ByteVector& bytes, uint32_t sum = 0) {
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += load_be16(bytes.data() + i);
  if (bytes.size() % 2 == 1) sum += uint32_t{bytes.back()} << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

/// The folded sum of the pseudo header of `packet`, whose transport begins at `transport`.
uint16_t pseudo_sum(const ByteVector& packet, size_t transport, uint8_t protocol) {
  const bool ipv4 = packet[0] >> 4 == 4;
  const ByteVector addresses(packet.begin() + (ipv4 ? 12 : 8), packet.begin() + (ipv4 ? 20 : 40));
  return sum_of(addresses, static_cast<uint32_t>(protocol + packet.size() - transport));
}

/// A super-packet of `payload` bytes as a ring gives it: partial checksum, segments of `segment`.
struct Super {
  ByteVector bytes;
  OffloadHeader offload;
};

Super super_tcp(bool ipv4, size_t payload, uint16_t segment, bool dont_fragment = true) {
  PacketBuilder builder = PacketBuilder::raw();
  if (ipv4) {
    builder.ipv4("192.0.2.200", "192.0.2.100").identification(0xfffe);
    if (dont_fragment) builder.dont_fragment();
  } else {
    builder.ipv6("2001:db8::200", "2001:db8::100");
  }
  Super super;
  super.bytes = builder.tcp(40000, 80)
                    .tcp_options(ByteVector{1, 1, 1, 0})
                    .ack()
                    .psh()
                    .fin()
                    .payload(payload)
                    .build();
  const size_t transport = ipv4 ? 20 : 40;
  super.bytes[transport + 13] |= 0x80;  // CWR
  store_be32(super.bytes.data() + transport + 4, 0xfffffff0);
  store_be16(super.bytes.data() + transport + 16, pseudo_sum(super.bytes, transport, 6));
  super.offload.flags = kNeedsChecksum;
  super.offload.gso_type = static_cast<uint8_t>((ipv4 ? kSegmentTcp4 : kSegmentTcp6) | kSegmentEcn);
  super.offload.gso_size = segment;
  super.offload.csum_start = static_cast<uint16_t>(transport);
  super.offload.csum_offset = 16;
  return super;
}

std::vector<ByteVector> pieces_of(const Super& super, uint32_t room, Fit expected = Fit::kPieces) {
  Splitter splitter({super.bytes.data(), super.bytes.size()}, super.offload);
  REQUIRE(splitter.fit(room, false) == expected);
  std::vector<ByteVector> pieces;
  Inner piece;
  while (expected == Fit::kPieces && splitter.next(piece)) {
    ByteVector bytes(piece.head.data, piece.head.data + piece.head.size);
    bytes.insert(bytes.end(), piece.tail.data, piece.tail.data + piece.tail.size);
    pieces.push_back(bytes);
  }
  return pieces;
}

bool ipv4_sum_is_right(const ByteVector& packet) {
  const ByteVector header(packet.begin(), packet.begin() + (packet[0] & 15) * 4);
  return sum_of(header) == 0xffff;
}

}  // namespace

TEST_CASE("a super-packet before encapsulation: its segments, each a packet of its own") {
  for (const bool ipv4 : {true, false}) {
    CAPTURE(ipv4);
    const Super super = super_tcp(ipv4, 3100, 1000);
    const size_t transport = ipv4 ? 20 : 40, header = transport + 24;
    const std::vector<ByteVector> pieces = pieces_of(super, 1500);
    REQUIRE(pieces.size() == 4);
    ByteVector payload;
    for (size_t i = 0; i < pieces.size(); ++i) {
      CAPTURE(i);
      const ByteVector& piece = pieces[i];
      CHECK(piece.size() == header + (i < 3 ? 1000 : 100));
      if (ipv4) {
        CHECK(load_be16(piece.data() + 2) == piece.size());
        CHECK(load_be16(piece.data() + 4) == static_cast<uint16_t>(0xfffe + i));
        CHECK(ipv4_sum_is_right(piece));
      } else {
        CHECK(load_be16(piece.data() + 4) == piece.size() - 40);
      }
      CHECK(load_be32(piece.data() + transport + 4) ==
            static_cast<uint32_t>(0xfffffff0u + 1000 * i));
      const uint8_t flags = piece[transport + 13];
      CHECK((flags & 0x80) == (i == 0 ? 0x80 : 0));
      CHECK((flags & 0x09) == (i == 3 ? 0x09 : 0));
      CHECK((flags & 0x10) == 0x10);
      // Partial: the sum of this piece's own pseudo header.
      CHECK(load_be16(piece.data() + transport + 16) == pseudo_sum(piece, transport, 6));
      payload.insert(payload.end(), piece.begin() + static_cast<ptrdiff_t>(header), piece.end());
    }
    CHECK(payload ==
          ByteVector(super.bytes.begin() + static_cast<ptrdiff_t>(header), super.bytes.end()));
  }
}

TEST_CASE("a super-packet whose segments do not fit: too big, or smaller segments where it may") {
  CHECK(pieces_of(super_tcp(false, 3000, 1440), 1400, Fit::kTooBig).empty());
  CHECK(pieces_of(super_tcp(true, 3000, 1440), 1400, Fit::kTooBig).empty());
  for (const ByteVector& piece : pieces_of(super_tcp(true, 3000, 1440, false), 1400)) {
    CHECK(piece.size() <= 1400);
  }
  const Super super = super_tcp(true, 3000, 1440);
  Splitter splitter({super.bytes.data(), super.bytes.size()}, super.offload);
  CHECK(splitter.fit(1500, true) == Fit::kWhole);
  CHECK(splitter.fit(1400, true) == Fit::kTooBig);
}

TEST_CASE("a UDP super-packet: its datagrams") {
  Super super;
  super.bytes = PacketBuilder::raw()
                    .ipv6("2001:db8::200", "2001:db8::100")
                    .udp(5000, 443)
                    .payload(2500)
                    .build();
  store_be16(super.bytes.data() + 46, pseudo_sum(super.bytes, 40, 17));
  super.offload.flags = kNeedsChecksum;
  super.offload.gso_type = kSegmentUdp;
  super.offload.gso_size = 1200;
  super.offload.csum_start = 40;
  super.offload.csum_offset = 6;
  const std::vector<ByteVector> pieces = pieces_of(super, 1500);
  REQUIRE(pieces.size() == 3);
  for (const ByteVector& piece : pieces) {
    CHECK(load_be16(piece.data() + 44) == piece.size() - 40);
    CHECK(load_be16(piece.data() + 46) == pseudo_sum(piece, 40, 17));
  }
  CHECK(pieces[2].size() == 48 + 100);
}

TEST_CASE("an IPv4 packet that may be fragmented: the fragments of the packet builder") {
  const ByteVector whole = PacketBuilder::raw()
                               .ipv4("192.0.2.200", "192.0.2.100")
                               .identification(0x1234)
                               .udp(5000, 53)
                               .payload(3000)
                               .build();
  const std::vector<ByteVector> expected = fragments_of(whole, 1400, 0x1234, LinkType::kRawIp);
  SUBCASE("whole checksum") {
    CHECK(pieces_of({whole, {}}, 1400) == expected);
  }
  SUBCASE("partial checksum") {
    Super super{whole, {}};
    store_be16(super.bytes.data() + 26, pseudo_sum(whole, 20, 17));
    super.offload.flags = kNeedsChecksum;
    super.offload.csum_start = 20;
    super.offload.csum_offset = 6;
    CHECK(pieces_of(super, 1400) == expected);
  }
}

TEST_CASE("a fragment of a fragment keeps its place, and the last one knows that there is more") {
  const ByteVector middle = PacketBuilder::raw()
                                .ipv4("192.0.2.200", "192.0.2.100")
                                .fragment(1480, true)
                                .payload(1480)
                                .build();
  const std::vector<ByteVector> pieces = pieces_of({middle, {}}, 1000);
  REQUIRE(pieces.size() == 2);
  CHECK(load_be16(pieces[0].data() + 6) == (0x2000 | 1480 / 8));
  CHECK(load_be16(pieces[1].data() + 6) == (0x2000 | (1480 + 976) / 8));
}

TEST_CASE("of the options only those are in later fragments that are to be copied") {
  // Record route (7, not copied), a copied one (0x94: router alert), and no operation.
  const ByteVector whole = PacketBuilder::raw()
                               .ipv4("192.0.2.200", "192.0.2.100")
                               .options({7, 3, 4, 0x94, 4, 0, 0, 1})
                               .udp(1, 2)
                               .payload(2000)
                               .build();
  const std::vector<ByteVector> pieces = pieces_of({whole, {}}, 1000);
  REQUIRE(pieces.size() == 3);
  CHECK((pieces[0][0] & 15) == 7);
  CHECK((pieces[1][0] & 15) == 6);
  CHECK(ByteVector(pieces[1].begin() + 20, pieces[1].begin() + 24) == ByteVector{0x94, 4, 0, 0});
  for (const ByteVector& piece : pieces) CHECK(ipv4_sum_is_right(piece));
}

TEST_CASE("what may not be split, or says nothing that can be relied on") {
  CHECK(pieces_of({PacketBuilder::raw()
                       .ipv4("1.2.3.4", "5.6.7.8")
                       .dont_fragment()
                       .udp(1, 2)
                       .payload(2000)
                       .build(),
                   {}},
                  1400, Fit::kTooBig)
            .empty());
  CHECK(
      pieces_of(
          {PacketBuilder::raw().ipv6("2001:db8::1", "2001:db8::2").udp(1, 2).payload(2000).build(),
           {}},
          1400, Fit::kTooBig)
          .empty());
  Super unpartial = super_tcp(true, 3000, 1000);
  unpartial.offload.flags = 0;
  CHECK(pieces_of(unpartial, 1400, Fit::kUnfit).empty());
  Super beyond = super_tcp(true, 3000, 1000);
  beyond.offload.csum_start = 4000;
  CHECK(pieces_of(beyond, 1400, Fit::kUnfit).empty());
  CHECK(pieces_of({ByteVector(40, 0x31), {}}, 1400, Fit::kUnfit).empty());
}

TEST_CASE("too big: what a router says, as the packet builder writes it") {
  TooBig error;
  const ByteVector four = PacketBuilder::raw()
                              .ipv4("192.0.2.200", "192.0.2.100")
                              .dont_fragment()
                              .tcp(40000, 80)
                              .ack()
                              .payload(1448)
                              .build();
  REQUIRE(write_too_big({four.data(), four.size()}, 1480, error));
  CHECK(error.to == address_of("192.0.2.200"));
  const ByteVector quoted(four.begin(), four.begin() + 548);
  ByteVector expected = PacketBuilder::raw()
                            .ipv4("192.0.2.1", "192.0.2.200")
                            .icmp(3, 4, 1480)
                            .payload(quoted)
                            .build();
  CHECK(ByteVector(error.message.begin(),
                   error.message.begin() + static_cast<ptrdiff_t>(error.size)) ==
        ByteVector(expected.begin() + 20, expected.end()));

  const ByteVector six = PacketBuilder::raw()
                             .ipv6("2001:db8::200", "2001:db8::100")
                             .tcp(40000, 80)
                             .ack()
                             .payload(1440)
                             .build();
  REQUIRE(write_too_big({six.data(), six.size()}, 1460, error));
  CHECK(error.size == 1240);
  CHECK(error.message[0] == 2);
  CHECK(load_be32(error.message.data() + 4) == 1460);
  CHECK(std::equal(six.begin(), six.begin() + 1232, error.message.begin() + 8));
  REQUIRE(write_too_big({six.data(), six.size()}, 1000, error));
  CHECK(load_be32(error.message.data() + 4) == 1280);
}

TEST_CASE("nothing is said of errors, of later fragments, and to nobody") {
  TooBig error;
  const auto says = [&](const PacketBuilder& builder) {
    const ByteVector bytes = builder.build();
    return write_too_big({bytes.data(), bytes.size()}, 1400, error);
  };
  const ByteVector quoted =
      PacketBuilder::raw().ipv4("192.0.2.100", "192.0.2.200").tcp(80, 40000).build();
  CHECK_FALSE(
      says(PacketBuilder::raw().ipv4("192.0.2.200", "192.0.2.100").icmp_error(3, 1, quoted)));
  CHECK_FALSE(says(
      PacketBuilder::raw().ipv4("192.0.2.200", "192.0.2.100").fragment(1480, true).payload(1480)));
  for (const char* nobody : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"}) {
    CHECK_FALSE(says(PacketBuilder::raw().ipv4(nobody, "192.0.2.100").udp(1, 2)));
  }
  CHECK_FALSE(says(PacketBuilder::raw().ipv6("ff02::1", "2001:db8::100").udp(1, 2)));
  CHECK(says(PacketBuilder::raw().ipv4("192.0.2.200", "192.0.2.100").echo_request(1)));
}

}  // namespace flowsieve::test
