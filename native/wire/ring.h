// Frames from the capture interface: an AF_PACKET socket per worker with a ring of small slots.
//
// A slot holds any ordinary frame. GRO and TSO super-packets and jumbo frames are larger than a
// slot; the kernel then puts the beginning into the ring and a reference to the whole packet into
// the socket's receive queue, and says so in the slot (PACKET_COPY_THRESH, TP_STATUS_COPY). The
// beginning is enough to decide; only what is accepted is read from the queue:
//
//   ring    | a | B' | c | D' | e |        B', D': beginnings, partial = true
//   queue   | B | D |                      the n-th COPY slot and the n-th entry: the same packet
//
// Ring and queue keep step because the kernel takes the slot and appends the entry under one lock;
// where the queue is full (its limit is queue_bytes) the slot lacks TP_STATUS_COPY, the frame
// cannot be completed and counts as Drop::kRingTruncated. Entries that nobody asked for are
// discarded, unread, in order: before a later entry is read and at the next receive(). Still every
// entry that is read is compared with its slot (offload header, length, first bytes), and entries
// are passed over until they match.
//
// Frames of a burst, their headers and what complete() read stay valid until the next receive(),
// which gives the slots back. Before waiting on poll_fd() call receive() until it returns 0: the
// kernel reports the ring readable while the last slot is still ours.
//
// VLAN tags that the kernel took out of a frame are no part of a connection's key and are not
// delivered either (delivery begins at the IP header); they come with the frame for those who
// answer on the link. Not done here: putting a ring back after its interface was deleted and made
// anew. An interface that goes down and up again is no matter.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/status.h"
#include "wire/bypass.h"
#include "wire/link.h"
#include "wire/ring_slots.h"
#include "wire/source.h"

namespace flowsieve {

struct RingOptions {
  std::string interface;
  uint32_t slot_bytes = 2048;       ///< power of two; about 80 bytes of it are the kernel's
  uint32_t slots = 4096;            ///< power of two; at line rate some milliseconds
  uint32_t queue_bytes = 64 << 20;  ///< limit, not allocation, of what large frames may occupy
  /// Only IP packets to these are let into the ring (and all that is not IP, and IPv6 multicast);
  /// empty = everything.
  std::vector<Address> addresses;
  /// For gateways, instead of `addresses`: only IP packets in frames to this address (and all that
  /// is not IP, and neighbour solicitations).
  std::optional<Mac> cluster_mac;
  uint8_t ingress = 0;                  ///< what frames say of the interface that they came by
  bool bypass = false;                  ///< keep busy connections out of the ring (wire/bypass.h)
  std::shared_ptr<EarlyVerdict> early;  ///< with a bypass: carries out what it has decided
};

class RingSource : public Source {
 public:
  /// One source per worker, in the workers' order, joined by fanout when there are several. They
  /// live and die together (wire/fanout.h).
  static Result<std::vector<std::unique_ptr<RingSource>>> open(const RingOptions& options,
                                                               size_t workers);
  RingSource(const RingSource&) = delete;
  RingSource& operator=(const RingSource&) = delete;
  ~RingSource() override;

  size_t receive(std::span<Frame> burst) override;
  bool complete(Frame& frame) override;
  int poll_fd() const override { return socket_.get(); }
  FlowBypass* bypass() override { return bypass_.get(); }
  void collect_drops(Counters& counters) override;

  // receive() in its parts, for whoever joins several rings (wire/joined.h).

  /// Gives the slots of the last burst back.
  void begin_burst();
  /// When the next frame came, in nanoseconds of CLOCK_REALTIME; UINT64_MAX when there is none.
  uint64_t next_ns() const;
  /// Takes that frame.
  void take(const Clocks& clocks, Frame& frame) { fill(slots_.take(), clocks, frame); }
  /// No more are taken in this burst; there were `count`, of whichever ring.
  void end_burst(size_t count);

 private:
  RingSource(Descriptor socket, RingSlots slots, uint8_t* arena, uint8_t ingress);
  static Result<std::unique_ptr<RingSource>> open_one(const RingOptions& options,
                                                      const LinkInfo& link);
  Status open_filter(const Program& arrival, const RingOptions& options);
  void fill(const tpacket2_hdr* slot, const Clocks& clocks, Frame& frame);
  void discard_queued(uint16_t count);
  bool read_queued(Frame& frame);

  Descriptor socket_;
  std::unique_ptr<RingBypass> bypass_;
  RingSlots slots_;  // unmapped before the socket closes
  uint8_t* arena_;   ///< where completed frames stand
  size_t arena_used_ = 0;
  uint16_t queued_ = 0;        ///< entries that belong to this burst
  uint16_t queue_passed_ = 0;  ///< of them, read or discarded
  IdleSocket idle_;
  uint64_t truncated_ = 0;
  uint8_t ingress_ = 0;
};

}  // namespace flowsieve
