// Forwarding: any frame with any offload header that a ring could give, over any way. The first bytes
// choose the offload header, the room and the way; the rest is the packet.
#include <cstdlib>

#include "fuzz/fuzz.h"
#include "wire/split.h"
#include "wire/too_big.h"

FLOWSIEVE_FUZZ_TARGET(forward, data, size) {
  using namespace flowsieve;
  constexpr size_t kChoices = 14;
  if (size < kChoices) return;
  const Bytes packet{data + kChoices, size - kChoices};
  OffloadHeader offload;
  offload.flags = data[0];
  offload.gso_type = data[1];
  offload.hdr_len = load_be16(data + 2);
  offload.gso_size = load_be16(data + 4);
  offload.csum_start = load_be16(data + 6);
  offload.csum_offset = load_be16(data + 8);
  const uint32_t room = load_be16(data + 10);
  Hop hop;
  hop.mode = static_cast<ForwardMode>(data[12] % 3);
  const uint8_t four[4] = {192, 0, 2, 1};
  if ((data[13] & 1) != 0) hop.local = hop.remote = mapped_ipv4(four);

  Splitter splitter(packet, offload);
  const bool whole = hop.mode == ForwardMode::kMac;
  const Fit fit = splitter.fit(room, whole);
  Outer outer;
  if (fit == Fit::kWhole) (void)write_outer(hop, {packet, {}, offload}, 1, outer);
  if (fit == Fit::kPieces) {
    Inner piece;
    size_t pieces = 0, bytes = 0;
    while (splitter.next(piece)) {
      const size_t length = piece.head.size + piece.tail.size;
      // Each fits, stands where it may, and there is an end.
      if (length > room || piece.head.size > kPieceHeadMax || ++pieces > packet.size) std::abort();
      if (piece.offload.gso_type != 0) std::abort();
      bytes += length;
      (void)write_outer(hop, piece, 1, outer);
    }
    if (pieces == 0 || bytes + kPieceHeadMax < packet.size) std::abort();
  }
  TooBig error;
  if (write_too_big(packet, room, error) && error.size > error.message.size()) std::abort();
}
