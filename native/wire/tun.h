// Delivery into the node's own network stack: a TUN device that carries the cluster addresses, one
// queue per worker.
//
// Every packet is written as | offload header | IP packet |. The offload header is the ring's, its
// offsets reduced by the link header that is not delivered; so a super-packet goes in as one, and a
// partial checksum stays for the stack to take as it would have taken it from the wire. Bytes
// behind the IP packet (Ethernet padding) are not written.
//
// The device's MTU does not bound what is written to it, neither super-packets nor frames from a
// jumbo network: the stack checks it only when it sends, and nothing is routed to this device. So
// it keeps the capture interface's MTU, for those who look.
//
// The addresses, and the settings that make the stack accept packets from here (rp_filter), are set
// by whoever opens the device.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "wire/link.h"
#include "wire/source.h"

namespace flowsieve {

struct TunOptions {
  std::string device = "flowsieve0";
  uint32_t mtu = 1500;
};

class TunDelivery : public Delivery {
 public:
  /// Makes the device, with one queue per worker, and brings it up. It vanishes with the last of
  /// the queues. A device of that name must not exist yet (kState).
  static Result<std::vector<std::unique_ptr<TunDelivery>>> open(const TunOptions& options,
                                                                size_t workers);

  /// Refused are packets that the kernel does not take (device down, no memory) and super-packets
  /// whose offload header does not fit them.
  size_t deliver(std::span<const Accepted> packets) override;

 private:
  explicit TunDelivery(Descriptor queue) : queue_(std::move(queue)) {}
  Descriptor queue_;
};

/// The offload header for an IP packet of `ip_bytes` that began at `ip_offset` of the frame to
/// which `offload` belonged. False when the two do not fit.
bool strip_link_header(const OffloadHeader& offload, uint16_t ip_offset, uint32_t ip_bytes,
                       OffloadHeader& stripped);

}  // namespace flowsieve
