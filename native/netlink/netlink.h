// Sockets of netlink(7): lists that the kernel is asked for, and events that it tells of by itself.
//
//   list_sockets()  -- NETLINK_SOCK_DIAG -->   TCP, UDP, SCTP; IPv4, IPv6       (inet_diag.h)
//   list_tracked()  -- NETLINK_NETFILTER -->   what nf_conntrack follows        (conntrack.h)
//   TrackedEvents   <- NETLINK_NETFILTER --    NEW, UPDATE, DESTROY as they happen
//
// A list is no picture of one moment: the kernel walks its tables in pieces, and what changes in
// between may be in it twice or not at all. Whoever draws a conclusion from what is missing asks
// twice. Messages that make no sense are counted and passed over.
//
// All of it needs CAP_NET_ADMIN but list_sockets(), and sees the network namespace of the thread
// that opens it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/descriptor.h"
#include "base/status.h"
#include "netlink/conntrack.h"
#include "netlink/inet_diag.h"

namespace flowsieve {

/// What a list came to.
struct ListCounts {
  uint64_t read = 0;       ///< handed to the caller
  uint64_t malformed = 0;  ///< messages, or datagrams' rests, that could not be read
};

/// Hands every socket of `protocol` and `family` but the listening ones to `visit`. kMissing when
/// the kernel cannot list that protocol; the error names what it lacks.
Result<ListCounts> list_sockets(uint8_t protocol, Family family,
                                const std::function<void(const OpenSocket&)>& visit);

/// Hands every connection of `family` that the kernel tracks, and of which all `status_bits` are
/// set (enum ip_conntrack_status; 0: all), to `visit`. kMissing when the kernel has no
/// nf_conntrack_netlink, kPrivilege without CAP_NET_ADMIN.
Result<ListCounts> list_tracked(Family family, uint32_t status_bits,
                                const std::function<void(const TrackedConnection&)>& visit);

/// What the kernel's connection tracking does, from open() on.
class TrackedEvents {
 public:
  /// Which events are wanted.
  struct Wanted {
    bool beginnings = true;
    bool changes = true;
    bool ends = true;
  };

  /// `receive_bytes`: of the queue in which the kernel leaves events. Errors as of list_tracked().
  /// The kernel begins to track only when something asks for it: an nftables rule with `ct` or
  /// `nat`, for example.
  static Result<std::unique_ptr<TrackedEvents>> open(const Wanted& wanted,
                                                     uint32_t receive_bytes = 4u << 20);

  /// Hands what has come to `visit`, at most `datagrams` of the kernel's, without waiting; returns
  /// how many of those there were. Not thread-safe.
  size_t receive(size_t datagrams, const std::function<void(const TrackedConnection&)>& visit);

  /// Readable when something has come.
  int poll_fd() const { return socket_.get(); }
  /// How many times the kernel had to leave events out because the queue was full. After such a
  /// loss only a list tells how things are.
  uint64_t lost() const { return lost_; }
  uint64_t malformed() const { return malformed_; }

 private:
  explicit TrackedEvents(Descriptor socket);

  Descriptor socket_;
  std::vector<uint8_t> buffer_;
  uint64_t lost_ = 0;
  uint64_t malformed_ = 0;
};

}  // namespace flowsieve
