// Classic BPF programs for packet sockets: a small assembler, and the filters that keep a ring to
// what matters. Extended ones are in wire/bpf.h.
//
// Every load is relative to the network header (SKF_NET_OFF), so that one program fits frames with
// and without a link header, and a VLAN tag that the kernel has taken out makes no difference. A
// load beyond the packet ends the program with 0: rejected.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "wire/link.h"

namespace flowsieve {

using Program = std::vector<sock_filter>;

/// Addresses that a filter program can hold: 9 to 11 instructions each stay far below the kernel's
/// limit of 4096.
inline constexpr size_t kFilterAddressesMax = 256;

/// Writes a program front to back. Conditional jumps reach only 255 instructions; here each is a
/// pair of a short conditional one and an unconditional one, which reaches everywhere.
class Assembler {
 public:
  using Label = size_t;

  Label label();
  void place(Label label);
  void op(uint16_t code, uint32_t k = 0) { program_.push_back({code, 0, 0, k}); }
  void jump(Label target);
  /// `test` is BPF_JEQ, BPF_JGT, BPF_JGE or BPF_JSET of the accumulator with `k`.
  void jump_if(uint16_t test, uint32_t k, Label target);
  void jump_unless(uint16_t test, uint32_t k, Label target);
  /// Loads from the network header on: `size` is BPF_B, BPF_H or BPF_W; `indexed` adds register X.
  void load(uint16_t size, uint32_t offset, bool indexed = false);
  /// Loads one of the kernel's own fields (SKF_AD_*).
  void load_field(uint32_t field);
  /// From the IPv6 header over at most `headers` hop-by-hop, routing and destination options
  /// headers: leaves the offset of what follows them in X and in the accumulator its
  /// protocol number.
  void skip_extension_headers(int headers);
  /// The finished program; all labels used must have been placed.
  Program finish();

 private:
  static constexpr size_t kUnplaced = ~size_t{0};
  struct Jump {
    size_t at;
    Label target;
  };
  Program program_;
  std::vector<size_t> places_;
  std::vector<Jump> jumps_;
};

/// For the capture ring: IP packets only when they go to one of `addresses` or, in IPv6, to a
/// multicast group (neighbour solicitations); everything that is not IP; nothing that this node
/// itself sends. Without addresses all IP passes.
Program arrival_filter(const std::vector<Address>& addresses);

/// The same for a gateway: IP packets only in frames to `cluster_mac`; everything that is not IP,
/// and IPv6 neighbour solicitations, which go to groups; nothing that this node itself sends.
Program gateway_filter(const Mac& cluster_mac);

/// For the watch: what this node sends from one of `addresses` by any interface but loopback. Of
/// TCP only SYN, FIN and RST, of others all; at most `snap_bytes` of each.
Program departure_filter(const std::vector<Address>& addresses, uint32_t snap_bytes);

/// Rejects everything, while a group of sockets is being put together.
Program closed_filter();

Status attach_filter(int socket, const Program& program);

}  // namespace flowsieve
