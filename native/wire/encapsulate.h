// What a forwarded packet wears on its way to its node: a fresh Ethernet header, and where the node
// is beyond a router an outer IP header, with UDP and GUE or without.
//
//   mac   | Ethernet |                            IP packet |     direct, on one link
//   ipip  | Ethernet | outer IP |                 IP packet |     RFC 2003, RFC 4213, RFC 2473
//   gue   | Ethernet | outer IP | UDP | GUE (4) | IP packet |     draft-ietf-intarea-gue, variant 0
//
// The IP packet itself is not changed: not its TTL either, as the cluster is one element and one
// hop. Of either family inside, either outside:
//
//   protocol / next header   4 for an IPv4 packet, 41 for an IPv6 one; in GUE the same in its
//                            proto/ctype field
//   outer DF                 IPv4: that of an inner IPv4 packet (RFC 2003 3.1), set for IPv6 ones;
//                            identification 0 where it is set (RFC 6864 4.1), else a counter
//   outer TTL / hop limit    64
//   outer DSCP and ECN       the inner ones (RFC 2983 uniform model, RFC 6040 normal mode)
//   flow label, GUE port     from the inner addresses and ports, so that routers spread flows and
//                            keep each together (RFC 6438; the port is 49152 and above)
//   outer UDP checksum       IPv4: none (0); IPv6: computed, as a receiver need not take 0
//                            (RFC 8200 8.1). Where the inner checksum is partial, what it will add
//                            up to is known all the same: the complement of its pseudo header
//                            ("local checksum offload" of the kernel's checksum-offloads.rst)
//
// Pure: bytes in, bytes out. Sending is forwarder.h's.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "wire/link.h"
#include "wire/source.h"

namespace flowsieve {

enum class ForwardMode : uint8_t { kMac, kIpip, kGue };

/// The port at which GUE is received (IANA).
inline constexpr uint16_t kGuePort = 6080;

/// The way to a node: what its packets wear, and by which interface they leave.
struct Hop {
  ForwardMode mode = ForwardMode::kMac;
  bool known = false;   ///< the next hop's link address is; otherwise nothing can be sent
  int interface = 0;    ///< index
  Mac source{};         ///< of that interface
  Mac destination{};    ///< of the node itself, or of the router towards it
  uint32_t mtu = 1500;  ///< of the way: the largest IP packet, outer headers included
  Address local{};      ///< outer source; not for kMac
  Address remote{};     ///< outer destination: the node's address; not for kMac
  uint16_t port = kGuePort;
};

inline constexpr size_t kEthernetBytes = 14;
/// Ethernet, IPv6, UDP, GUE.
inline constexpr size_t kOuterMax = kEthernetBytes + 40 + 8 + 4;

/// Bytes between the Ethernet header and the packet.
uint32_t overhead_of(const Hop& hop);
/// The largest packet that fits on the way.
uint32_t room_of(const Hop& hop);

/// A packet about to be sent: its beginning, which may have been changed, and the rest, which
/// stands where it came.
struct Inner {
  Bytes head;             ///< from the IP header on
  Bytes tail;             ///< what follows; head.size is even where there is one
  OffloadHeader offload;  ///< offsets from the IP header; never a super-packet with kIpip, kGue
};

struct Outer {
  std::array<uint8_t, kOuterMax> bytes;
  uint8_t size = 0;
  OffloadHeader offload;  ///< offsets from the frame's first byte
};

/// Writes what goes before `inner`. `identification` is that of an outer IPv4 header which may be
/// fragmented. False when the packet is no IP or its offload header does not fit it.
bool write_outer(const Hop& hop, const Inner& inner, uint16_t identification, Outer& outer);

/// The same number for all packets of a flow, fragments (which have no ports) apart.
uint32_t flow_entropy(Bytes packet);

}  // namespace flowsieve
