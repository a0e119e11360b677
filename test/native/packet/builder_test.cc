// The builder itself: its frames are what the RFCs' senders would send. Sums are verified the
// receiver's way, known bytes are compared.
#include <doctest/doctest.h>

#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

/// RFC 1071: over data that includes its own checksum the sum is all ones.
bool sums_up(const ByteVector& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

ByteVector slice(const ByteVector& bytes, size_t from, size_t to) {
  return {bytes.begin() + static_cast<long>(from), bytes.begin() + static_cast<long>(to)};
}

/// Addresses, zero-extended protocol and length, then the segment.
ByteVector with_pseudo_header(const ByteVector& packet, size_t addresses, size_t transport,
                              uint8_t protocol) {
  ByteVector all = slice(packet, addresses, packet[0] >> 4 == 4 ? 20 : 40);
  const size_t length = packet.size() - transport;
  all.insert(all.end(),
             {0, protocol, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)});
  all.insert(all.end(), packet.begin() + static_cast<long>(transport), packet.end());
  return all;
}

}  // namespace

TEST_CASE("the builder's IPv4 header is the known one, checksum included") {
  // Worked out by hand (RFC 1071): the words add up to 2479c, folded to 479e; the
  // complement is b861.
  const ByteVector packet = PacketBuilder::raw()
                                .ipv4("192.168.0.1", "192.168.0.199")
                                .identification(0)
                                .dont_fragment()
                                .udp(1, 2)
                                .payload(87)
                                .build();
  CHECK(slice(packet, 0, 20) == ByteVector{0x45, 0,    0,    0x73, 0, 0, 0x40, 0,    0x40, 0x11,
                                           0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,    0xc7});
}

TEST_CASE(
    "the builder's transport checksums are good, with options, extension headers and odd lengths") {
  ByteVector packet = PacketBuilder::raw()
                          .ipv4("10.0.0.1", "10.0.0.2")
                          .options({1, 1, 1, 1})
                          .tcp(1, 2)
                          .syn()
                          .payload(7)
                          .build();
  CHECK(sums_up(slice(packet, 0, 24)));
  CHECK(sums_up(with_pseudo_header(packet, 12, 24, 6)));
  packet = PacketBuilder::raw()
               .ipv6("2001:db8::1", "2001:db8::2")
               .hop_by_hop(16)
               .udp(1, 2)
               .payload(7)
               .build();
  CHECK(sums_up(with_pseudo_header(packet, 8, 56, 17)));
  packet =
      PacketBuilder::raw().ipv6("2001:db8::1", "2001:db8::2").echo_request(1).payload(5).build();
  CHECK(sums_up(with_pseudo_header(packet, 8, 40, 58)));
  packet = PacketBuilder::raw().ipv4("10.0.0.1", "10.0.0.2").echo_request(1).payload(5).build();
  CHECK(sums_up(slice(packet, 20, packet.size())));
}

TEST_CASE("the fragments of a packet, put together, are the packet again") {
  for (const auto& builder : {PacketBuilder::ethernet().ipv4("10.0.0.1", "10.0.0.2"),
                              PacketBuilder::ethernet().ipv6("2001:db8::1", "2001:db8::2")}) {
    const ByteVector whole = PacketBuilder(builder).udp(1, 2).payload(2000).build();
    const size_t head = whole[14] >> 4 == 4 ? 34 : 54, fragment_head = head == 34 ? 34 : 62;
    ByteVector data;
    for (const ByteVector& frame : fragments_of(whole, 1280)) {
      CHECK(frame.size() <= 14 + 1280);
      data.insert(data.end(), frame.begin() + static_cast<long>(fragment_head), frame.end());
    }
    CHECK(data == slice(whole, head, whole.size()));
  }
}

TEST_CASE("what a test falsifies stays false") {
  const ByteVector packet = PacketBuilder::raw()
                                .ipv4("10.0.0.1", "10.0.0.2")
                                .total_length(7)
                                .ihl(3)
                                .tcp(1, 2)
                                .data_offset(2)
                                .build();
  CHECK(load_be16(packet.data() + 2) == 7);
  CHECK((packet[0] & 15) == 3);
  CHECK((packet[32] >> 4) == 2);
}

}  // namespace flowsieve::test
