// Resets the kernel's TCP connections at given local addresses: what `drain` does at its end to
// connections that are still open, so that their clients connect anew (to another node) at once
// instead of waiting for answers that will not come.
//
// The kernel lists its sockets and ends one on request (sock_diag(7), SOCK_DESTROY, RFC 9293's
// ABORT): the peer receives an RST, the application ECONNABORTED. Needs CAP_NET_ADMIN in the
// network namespace of the sockets, and a kernel built with CONFIG_INET_DIAG_DESTROY.
#pragma once

#include <cstdint>
#include <span>

#include "base/address.h"
#include "base/status.h"

namespace flowsieve {

struct SocketsReset {
  uint32_t reset = 0;
  uint32_t failed = 0;  ///< the kernel refused; one that ended by itself meanwhile is in neither
};

/// Resets every TCP socket whose local address is one of `local`, in every state but LISTEN and
/// TIME_WAIT (there is nobody left to tell). kMissing when the kernel cannot, kPrivilege when it
/// may not. Blocks for some microseconds per socket.
Result<SocketsReset> reset_sockets(std::span<const Address> local);

}  // namespace flowsieve
