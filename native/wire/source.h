// The seam at the wire. A worker takes bursts of frames from a Source and hands its own to a
// Delivery; whether behind them stand an AF_PACKET ring and a TUN device, a capture file or memory
// is nothing the worker could find out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "count/counters.h"
#include "packet/packet.h"

namespace flowsieve {

class FlowBypass;

/// The kernel's struct virtio_net_hdr, native byte order (its own header is not C++: it names a
/// member `class`). Goes before every packet of a ring with PACKET_VNET_HDR and of a TUN device
/// with IFF_VNET_HDR.
struct OffloadHeader {
  uint8_t flags = 0;         ///< VIRTIO_NET_HDR_F_*
  uint8_t gso_type = 0;      ///< VIRTIO_NET_HDR_GSO_*; 0 = not a super-packet
  uint16_t hdr_len = 0;      ///< bytes of all headers, from the first byte of the frame
  uint16_t gso_size = 0;     ///< payload bytes per segment
  uint16_t csum_start = 0;   ///< where summing begins, from the first byte of the frame
  uint16_t csum_offset = 0;  ///< where the sum goes, from csum_start
};
static_assert(sizeof(OffloadHeader) == 10);

/// One frame as it came from the wire. `bytes` stay valid until the source's next receive().
struct Frame {
  Bytes bytes;              ///< what was captured, from the link header on
  uint32_t wire_bytes = 0;  ///< the frame's length on the wire, >= bytes.size
  uint64_t time_ns = 0;     ///< of arrival, by the worker's clock; 0 = when it is looked at
  LinkType link = LinkType::kEthernet;
  bool outgoing = false;   ///< this node sent it
  uint8_t ingress = 0;     ///< by which of several interfaces it came
  OffloadHeader offload;   ///< GSO and partial checksum state; offsets from the frame's first byte
  bool partial = false;    ///< `bytes` are only the headers' part; complete() fetches the rest
  uint16_t handle = 0;     ///< the source's own mark for complete(); nobody else reads it
  uint16_t vlan_tpid = 0;  ///< of a tag that the kernel took out of the frame; 0 = none
  uint16_t vlan_tci = 0;   ///< that tag's priority and VLAN
};

inline constexpr size_t kBurst = 32;

class Source {
 public:
  virtual ~Source() = default;
  /// Up to burst.size() frames; 0 when there are none now (live) or no more (file,
  /// memory). Never blocks.
  virtual size_t receive(std::span<Frame> burst) = 0;
  /// Makes a partial frame whole: afterwards `frame.bytes` are all of it, until the next receive().
  /// Called only for what is accepted (a foreign super-packet costs no copy), before it is
  /// delivered or kept, in the order of the burst. False when the rest is not to be had; the source
  /// counts that (Drop::kRingTruncated). True at once for a frame that is not partial.
  virtual bool complete(Frame& frame) { return !frame.partial; }
  /// A file descriptor that poll(2) reports readable when receive() may return frames; -1 for
  /// sources that never wait.
  virtual int poll_fd() const { return -1; }
  /// True when a source that never waits has come to its end.
  virtual bool exhausted() const { return false; }
  /// What keeps busy connections of other nodes away from receive(); null where nothing does.
  virtual FlowBypass* bypass() { return nullptr; }
  /// What the source itself lost since the last call, by reason (ring full, truncated).
  virtual void collect_drops(Counters& counters) { (void)counters; }
};

/// One packet that is this node's own, or in a dispatcher its owner's.
struct Accepted {
  const Frame* frame;
  uint16_t ip_offset;  ///< where delivery begins: the link header is not delivered
  uint32_t ip_bytes;   ///< from there on; what follows in the frame is padding
  uint16_t owner = 0;  ///< the node whose packet it is (NodeIndex)
};

class Delivery {
 public:
  virtual ~Delivery() = default;
  /// Hands the packets over in order; returns how many were taken (the rest were refused one by one
  /// and are lost).
  virtual size_t deliver(std::span<const Accepted> packets) = 0;
  /// What the delivery itself has counted since the last call.
  virtual void collect(Counters& counters) { (void)counters; }
};

/// Answers link-address questions (ARP, neighbour solicitation) for the cluster addresses.
class Responder {
 public:
  virtual ~Responder() = default;
  /// True when `frame` was such a question for a cluster address and has been answered.
  virtual bool answer(const Frame& frame) = 0;
};

}  // namespace flowsieve
