// What the node itself sends from a cluster address: the other half of its own connections, of
// which only the ends and the first reply matter.
//
// Replies leave by the normal routes, which need not be the capture interface; so this listens on
// all interfaces, loopback excepted. The kernel's filter leaves, of TCP, only packets with SYN, FIN
// or RST, and of everything else all; of each the first kSnapBytes, in a ring of small slots.
// Frames begin at the IP header (LinkType::kRawIp), outgoing = true.
//
// The price: the kernel offers every packet that this machine sends to the filter.
//
// Two things a reader may wonder about: a packet that leaves through a stack of interfaces (VLAN or
// bond above a NIC, a bridge) is seen once on each of them; and a super-packet that carries a FIN
// is one frame, as in the stack.
#pragma once

#include <memory>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "wire/link.h"
#include "wire/ring_slots.h"
#include "wire/source.h"

namespace flowsieve {

class WatchSource : public Source {
 public:
  /// IPv6 with eight extension headers of 24 bytes still fits.
  static constexpr uint32_t kSnapBytes = 256;

  /// One source per worker, in the workers' order, steered like the capture ring: worker i sees
  /// what belongs to its connections. They live and die together (wire/fanout.h).
  static Result<std::vector<std::unique_ptr<WatchSource>>> open(
      const std::vector<Address>& addresses, size_t workers);

  size_t receive(std::span<Frame> burst) override;
  int poll_fd() const override { return socket_.get(); }
  void collect_drops(Counters& counters) override;

 private:
  WatchSource(Descriptor socket, RingSlots slots)
      : socket_(std::move(socket)), slots_(std::move(slots)) {}
  static Result<std::unique_ptr<WatchSource>> open_one();

  Descriptor socket_;
  RingSlots slots_;  // unmapped before the socket closes
  IdleSocket idle_;
};

}  // namespace flowsieve
