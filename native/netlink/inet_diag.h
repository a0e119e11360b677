// The sockets that the operating system has open, as sock_diag(7) tells of them. This is the parser
// and the request; nothing here has a socket (netlink/netlink.h has).
//
// A socket's own end is the destination of what it receives, so a key runs from the remote end to
// the local one: client -> server where the node is the server. An SCTP association may have
// several addresses at either end; its key has one of each.
//
// Source: linux/inet_diag.h; net/ipv4/inet_diag.c, udp_diag.c and net/sctp/diag.c of the kernel.
#pragma once

#include <cstdint>
#include <vector>

#include "netlink/messages.h"
#include "packet/key.h"

namespace flowsieve {

/// Of a socket: the states of TCP (net/tcp_states.h), which the kernel uses for all protocols.
enum class SocketState : uint8_t {
  kEstablished = 1,  ///< also a UDP socket that is connected
  kSynSent,
  kSynReceived,
  kFinWait1,
  kFinWait2,
  kTimeWait,
  kClose,  ///< also a UDP socket that is not connected
  kCloseWait,
  kLastAck,
  kListen,
  kClosing,
  kNewSynReceived,
};

struct OpenSocket {
  /// Remote end -> local end. An IPv6 socket between mapped addresses speaks IPv4, and so says its
  /// key.
  Key key;
  SocketState state = SocketState::kClose;  ///< of an SCTP association always kEstablished
  bool any_remote = false;                  ///< not connected: takes packets from everywhere
  bool any_local_address = false;           ///< bound to no address: takes packets to each of them
  bool both_families = false;               ///< bound to no IPv6 address, and takes IPv4 as well
};

enum class ReadSocket : uint8_t {
  kSocket,
  kOther,  ///< not a message about a socket, or one of a family that is not IP
  kMalformed,
};

/// Reads a message of a dump of `protocol`, which the message itself does not name.
ReadSocket read_socket(const NetlinkMessage& message, uint8_t protocol, OpenSocket& socket);

/// A request for all sockets of a protocol and family but those that listen. `sequence` comes back
/// with the answer.
std::vector<uint8_t> sockets_request(uint8_t protocol, Family family, uint32_t sequence);

}  // namespace flowsieve
