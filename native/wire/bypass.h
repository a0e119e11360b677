// The bypass of a capture ring: an extended BPF program on its socket, in the place of the classic
// filter, keeps out what belongs to a busy connection before the kernel copies it and wakes the
// worker (docs/decisions/bypass.md). What becomes of the packet then it notes for another program
// (wire/early_verdict.h); without that one, another node's packet is discarded as before, by the
// guard.
//
//   classic filter -> IPv4 or IPv6, whole, TCP or UDP behind? -> its key in the map?
//     -> SYN, FIN, RST, or later than the timeout: this bypass is over -> to the ring
//     -> own, and the kernel has taken a VLAN tag out -> to the ring
//     -> otherwise: enter the time, count, note, keep out
//
// What the program is not sure of goes to the ring: other protocols, fragments, IPv6 extension
// headers. It looks at no lengths and checksums: a malformed packet of such a connection is taken
// for one that belongs to it.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/descriptor.h"
#include "base/status.h"
#include "count/counters.h"
#include "wire/bpf.h"
#include "wire/early_verdict.h"
#include "wire/flow_bypass.h"

namespace flowsieve {

class RingBypass : public FlowBypass {
 public:
  /// Connections that are bypassed at the same time. To end them all takes 64 calls of the kernel.
  static constexpr uint32_t kConnectionsMax = 16'384;

  /// `arrival` says what is let in at all. Without `early` nothing is delivered. kPrivilege without
  /// CAP_BPF or root, kMissing on a kernel without what it takes (Linux 5.11).
  static Result<std::unique_ptr<RingBypass>> open(const Program& arrival,
                                                  std::shared_ptr<EarlyVerdict> early = {});

  /// In the place of the filter that the socket has.
  Status attach(int socket) const;
  int program() const { return program_.get(); }

  bool delivers() const override { return early_ != nullptr; }
  bool begin(const Key& key, Bypass what, uint64_t last_seen_ns, Tick timeout) override;
  std::optional<uint64_t> end(const Key& key) override;
  std::optional<uint64_t> last_seen_ns(const Key& key) override;
  size_t end_some(std::span<Bypassed> ended) override;

  /// Adds what has been bypassed since the last time to the counters, as the worker counts it.
  void collect(Counters& counters);

 private:
  /// What the program has counted, of each kind of bypass.
  struct Totals {
    uint64_t packets = 0, bytes = 0, ip_bytes = 0;
  };
  RingBypass(std::shared_ptr<EarlyVerdict> early, Descriptor flows, Descriptor totals,
             Descriptor program);
  Totals collect(Bypass what);

  std::shared_ptr<EarlyVerdict> early_;
  Descriptor flows_, totals_, program_;
  std::array<Totals, 2> collected_;
  std::vector<Key> keys_;  // room for end_some()
};

}  // namespace flowsieve
