// How a packet fits on a way that is narrower than it is, and the pieces that it goes in.
//
// Three things are split:
//   super-packet, before encapsulation   into the segments that it was put together from: a
//                                        tunnel's offload cannot be said to the kernel here
//   super-packet that may be fragmented  into smaller TCP segments, where its own are too large
//   IPv4 packet that may be fragmented   into fragments (RFC 791 3.2), of which the first holds the
//                                        whole checksum if that was partial
// Anything else that is too large is told to its sender: TooBig (icmp.h).
//
//   packet   | IP | TCP |  payload ........................ |
//   piece 0  | IP'| TCP'| --> tail                              head: copied and changed
//   piece 1  | IP'| TCP'|           --> tail                    tail: where it came
//
// A segment's IPv4 identification and TCP sequence number grow from piece to piece; FIN and PSH are
// the last one's, CWR the first one's. Its checksum stays partial, for the sum over the pseudo
// header is changed by nothing but the length. Pure; no allocation.
#pragma once

#include <array>
#include <cstdint>

#include "wire/encapsulate.h"

namespace flowsieve {

enum class Fit : uint8_t {
  kWhole,   ///< as it is
  kPieces,  ///< split
  kTooBig,  ///< its sender must send smaller ones
  kUnfit,   ///< neither: headers and offload header do not agree, or nobody can split it
};

/// IPv4 with options or IPv6 with some extension headers, and TCP with options.
inline constexpr size_t kPieceHeadMax = 192;

class Splitter {
 public:
  /// `offload`: of the packet, offsets from its IP header. The packet's bytes must outlive this.
  Splitter(Bytes packet, const OffloadHeader& offload);

  /// Looks at `room`, the largest packet that the way takes. `super_packets`: it takes these whole,
  /// and their segments must fit.
  Fit fit(uint32_t room, bool super_packets);

  /// After fit() said kPieces: the next one, false when there are no more. `piece` points into the
  /// splitter and the packet, until the next call.
  bool next(Inner& piece);

  /// Copies what of the current piece is the splitter's own.
  size_t head_bytes() const { return head_size_; }

 private:
  bool read();
  bool begin_fragments(uint32_t room);
  void next_segment(Inner& piece);
  void next_fragment(Inner& piece);
  void finish_ipv4(size_t bytes);

  Bytes packet_;
  OffloadHeader offload_;
  bool readable_ = false;
  bool ipv4_ = false;
  bool may_fragment_ = false;
  bool segments_ = false;  ///< pieces are segments, not fragments
  uint32_t header_ = 0;    ///< bytes before the payload that is split
  uint32_t step_ = 0;      ///< payload bytes of a piece
  uint32_t done_ = 0;      ///< payload bytes that are out
  uint16_t index_ = 0;     ///< of the next piece
  uint16_t checksum_ = 0;  ///< of the whole, where fragments need it
  std::array<uint8_t, kPieceHeadMax> head_;
  size_t head_size_ = 0;
};

}  // namespace flowsieve
