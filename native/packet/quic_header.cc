#include "packet/quic_header.h"

namespace flowsieve {
namespace {

constexpr uint8_t kLongForm = 0x80;
constexpr size_t kVersionAt = 1, kLengthAt = 5, kLongIdAt = 6, kShortIdAt = 1;
constexpr uint32_t kVersion1 = 1, kVersion2 = 0x6b3343cf;

/// The type bits of a Handshake packet: 2 in version 1, and in version 2 all types are one further.
bool is_handshake(uint8_t first, uint32_t version) {
  const uint8_t type = (first >> 4) & 3;
  return (version == kVersion1 && type == 2) || (version == kVersion2 && type == 3);
}

}  // namespace

QuicHeader read_quic_header(Bytes datagram) {
  if (datagram.size == 0) return {};
  const uint8_t first = datagram.data[0];
  if ((first & kLongForm) == 0) {
    return {.choice = QuicIdChoice::kServer, .is_long = false, .id = datagram.from(kShortIdAt)};
  }
  if (!datagram.has(0, kLongIdAt)) return {};
  const uint8_t length = datagram.data[kLengthAt];
  if (!datagram.has(kLongIdAt, length)) return {};
  const bool handshake = is_handshake(first, load_be32(datagram.data + kVersionAt));
  return {.choice = handshake ? QuicIdChoice::kServer : QuicIdChoice::kClient,
          .is_long = true,
          .id = {datagram.data + kLongIdAt, length}};
}

}  // namespace flowsieve
