// The dispatcher's delivery: every accepted packet goes to its node.
//
//   accepted -> hop of its owner -> fits? --whole, pieces--> header before it -> packet socket
//                                     `----too big---------> ICMP error to its sender
//
// Packets leave by a packet socket with the offload header before each (PACKET_VNET_HDR), so that a
// partial checksum is completed, and directly a super-packet segmented, by whoever is last able to:
// the interface, or the kernel for it. A burst is one system call, or a few. What is copied is
// headers alone; a payload is sent from where it came.
//
// The hops are made above (wire/hops.h resolves them) and replaced as a whole between two bursts.
//
// Of a pair of dispatchers both decide every packet, and the active one forwards. Which one that is
// stands in active_until(): past that moment nothing leaves, whatever the process above is doing.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "allocation/allocation.h"
#include "base/status.h"
#include "wire/encapsulate.h"
#include "wire/split.h"
#include "wire/too_big.h"

namespace flowsieve {

/// What went to one node.
struct Forwarded {
  uint64_t packets = 0;
  uint64_t bytes = 0;  ///< from the IP header on
};

class Forwarder : public Delivery {
 public:
  static Result<std::unique_ptr<Forwarder>> open();
  ~Forwarder() override;

  /// Packets whose hop is unknown, that are too big or that this side of the pair leaves to the
  /// other are taken and counted; refused are those that the kernel does not take.
  size_t deliver(std::span<const Accepted> packets) override;
  void collect(Counters& counters) override;

  /// By NodeIndex. On the worker's thread.
  void set_hops(std::vector<Hop> hops);
  /// By NodeIndex; what a node has got stays when its hop changes.
  const std::vector<Forwarded>& forwarded() const { return forwarded_; }

  /// Nothing leaves from `ns` (CLOCK_MONOTONIC) on; UINT64_MAX: no end, 0: a standby. Any thread.
  void set_active_until(uint64_t ns) { active_until_.store(ns, std::memory_order_relaxed); }

 private:
  struct Outgoing;
  struct Batch;
  Forwarder(Descriptor socket, std::unique_ptr<TooBigSender> errors);

  void forward(const Accepted& packet);
  void forward_pieces(const Hop& hop, Splitter& splitter);
  bool put(const Hop& hop, const Inner& inner);
  void report_too_big(const Hop& hop, Bytes packet);
  void flush();

  Descriptor socket_;
  std::unique_ptr<TooBigSender> errors_;
  std::vector<Hop> hops_;
  std::vector<Forwarded> forwarded_;
  std::atomic<uint64_t> active_until_{UINT64_MAX};
  std::unique_ptr<Batch> batch_;
  Counters counts_;          ///< since the last collect()
  uint64_t now_ns_ = 0;      ///< of the burst under way
  uint16_t identification_;  ///< of the next outer IPv4 header that may be fragmented
};

}  // namespace flowsieve
