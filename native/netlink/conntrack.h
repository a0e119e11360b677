// The kernel's connection tracking (nf_conntrack) as ctnetlink tells of it: what each connection is
// called before and after address translation.
//
//   original    as its first packet came      client 10.0.0.9:4000 -> cluster 192.0.2.100:80
//   reply       as its answers come           server 10.1.1.1:8080 -> client 10.0.0.9:4000
//   translated  reply reversed: as its packets leave after translation
//                                             client 10.0.0.9:4000 -> server 10.1.1.1:8080
//
// Without translation original and translated are the same. This is the parser and the requests;
// nothing here has a socket (netlink/netlink.h has).
//
// Source: linux/netfilter/nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c of the
// kernel.
#pragma once

#include <cstdint>
#include <vector>

#include "netlink/messages.h"
#include "packet/key.h"

namespace flowsieve {

/// Why the kernel tells of a connection.
enum class TrackedEvent : uint8_t {
  kNew,      ///< of a dump: it is there; of a listener: it has begun
  kUpdate,   ///< its state, or what is known of it, has changed
  kDestroy,  ///< it is over
};

/// One connection that the kernel tracks.
struct TrackedConnection {
  Key original;
  Key reply;
  TrackedEvent event = TrackedEvent::kNew;
  /// Bits of enum ip_conntrack_status (linux/netfilter/nf_conntrack_common.h).
  uint32_t status = 0;
  uint32_t id = 0;         ///< of the kernel's; 0 when it was not told
  uint32_t timeout_s = 0;  ///< seconds that are left; 0 when they were not told
  uint16_t zone = 0;
  /// TCP: enum tcp_conntrack (linux/netfilter/nf_conntrack_tcp.h); SCTP: enum sctp_conntrack; 0
  /// when it was not told.
  uint8_t state = 0;

  Key translated() const { return reversed(reply); }
  /// Its source, its destination or both are rewritten.
  bool is_translated() const { return !(translated() == original); }
};

/// True when the connection has ended as far as the kernel's tracking can tell, and only lingers
/// (TCP and SCTP), or is over.
bool is_ending(const TrackedConnection& connection);

/// What a message of the conntrack subsystem was.
enum class ReadTracked : uint8_t {
  kConnection,  ///< read
  kOther,       ///< of another subsystem or kind, or of a protocol family that is not IP
  kMalformed,   ///< not what the kernel's headers say
};

/// Reads a message of a dump or of a listener.
ReadTracked read_tracked(const NetlinkMessage& message, TrackedConnection& connection);

/// A request for everything that the kernel tracks in one family, of which every bit of
/// `status_bits` (0: all of it) is set. An older kernel does not know the choice and tells of all:
/// whoever asks looks again. `sequence` comes back with the answer.
std::vector<uint8_t> tracked_request(Family family, uint32_t status_bits, uint32_t sequence);

}  // namespace flowsieve
