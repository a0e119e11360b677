// A frame, read: where its headers are, which connection it belongs to and what it says about
// that connection.
//
// parse() never allocates, never throws and never reads outside `frame`; what it cannot use comes
// back with a drop reason. It knows nothing of the cluster: whether a packet is the cluster's is
// asked later (room decide).
//
// The walk, each step bounded:
//   link header (Ethernet with up to 4 tags of 802.1Q/802.1ad, cooked v1/v2, BSD loopback, raw IP)
//   -> IPv4 with options | IPv6 with at most kExtensionHeadersMax extension headers; AH in both
//   -> fragment fields
//   -> TCP, UDP, SCTP ports | ICMP query identifier | ICMP error: the quoted packet, reversed
//      | nothing
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "count/counters.h"
#include "packet/key.h"

namespace flowsieve {

/// What stands at the first byte of a frame. The values are ours; the capture reader maps
/// LINKTYPE_* numbers to them.
enum class LinkType : uint8_t { kEthernet, kRawIp, kLinuxCooked1, kLinuxCooked2, kBsdLoopback };

/// How a packet relates to connections.
enum class Kind : uint8_t {
  kNonIp,    ///< ARP, MPLS, PPPoE …: nothing of ours
  kControl,  ///< neighbour discovery, MLD, IGMP, link-local control: never a connection
  kFlow,     ///< belongs to the connection `flow`
  /// ICMP or ICMPv6 error: `flow` is the quoted packet's, reversed, as if the quoted
  /// destination had sent it.
  kError,
  kFragment,  ///< a fragment that is not the first: only `fragment` tells its connection
};

inline constexpr int kExtensionHeadersMax = 8;
inline constexpr int kLinkTagsMax = 4;

// TCP flags as they stand in the header's byte 13 (RFC 9293 3.1).
inline constexpr uint8_t kTcpFin = 0x01, kTcpSyn = 0x02, kTcpRst = 0x04, kTcpAck = 0x10;

/// What all fragments of one datagram share (RFC 791: source, destination, protocol,
/// identification; RFC 8200 4.5 leaves the protocol out, it is 0 then).
struct FragmentKey {
  Address source{};
  Address destination{};
  uint32_t identification = 0;
  uint8_t protocol = 0;
  Family family = Family::kIpv4;
  uint16_t zero = 0;

  bool operator==(const FragmentKey& other) const {
    return std::memcmp(this, &other, sizeof(FragmentKey)) == 0;
  }
};
static_assert(sizeof(FragmentKey) == 40);

/// Every frame clears and fills one.
struct Packet {
  Key flow;             ///< kFlow, kError: the connection, in the packet's own direction
  Address ip_source{};  ///< from the outer header
  Address ip_destination{};
  uint32_t identification = 0;    ///< of the datagram, only when is_fragment
  uint32_t ip_bytes = 0;          ///< IP total length; the frame's rest when that is 0 (offload)
  uint16_t ip_offset = 0;         ///< of the IP header from the frame's first byte
  uint16_t transport_offset = 0;  ///< of the transport header, likewise; 0 when unknown
  Kind kind = Kind::kNonIp;
  Drop drop = Drop::kNone;        ///< anything else: malformed or unusable, and `kind` says nothing
  uint8_t tcp_flags = 0;          ///< 0 unless TCP and captured
  bool opening = false;           ///< TCP SYN without ACK, SCTP INIT; others open by being unknown
  bool sctp_closing = false;      ///< SCTP ABORT, SHUTDOWN-COMPLETE: the RST and last FIN of SCTP
  bool query_reply = false;       ///< ICMP echo reply and the like: never opens
  bool is_fragment = false;       ///< any fragment, the first included
  bool ip = false;                ///< an IP header was recognised, whatever came of the rest
  Family family = Family::kIpv4;  ///< of the outer header
  uint8_t fragment_protocol = 0;  ///< as FragmentKey has it, only when is_fragment

  /// What all fragments of its datagram share; only when is_fragment.
  FragmentKey fragment() const {
    return {ip_source, ip_destination, identification, fragment_protocol, family, 0};
  }
};
static_assert(sizeof(Packet) == 96);

/// Reads one frame. `frame` holds the captured bytes, `wire_bytes` (>= frame.size) is the frame's
/// length before any snap length cut it: a length field beyond `wire_bytes` is malformed, bytes
/// between the two are merely not there.
Packet parse(Bytes frame, uint32_t wire_bytes, LinkType link);

}  // namespace flowsieve
