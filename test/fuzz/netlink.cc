// What somebody might say over netlink: the first byte is the protocol that was asked for, the
// rest a datagram.
#include "fuzz/fuzz.h"
#include "fuzz/input.h"
#include "netlink/conntrack.h"
#include "netlink/inet_diag.h"

FLOWSIEVE_FUZZ_TARGET(netlink, data, size) {
  using namespace flowsieve;
  using flowsieve_fuzz::demand;
  if (size == 0) return;
  const Bytes datagram{data + 1, size - 1};
  MessageWalk walk(datagram);
  size_t messages = 0;
  for (NetlinkMessage message; walk.next(message); ++messages) {
    demand(message.payload.data >= datagram.data &&
           message.payload.data + message.payload.size <= datagram.data + datagram.size);
    (void)netlink_errno(message);
    OpenSocket socket;
    if (read_socket(message, data[0], socket) == ReadSocket::kSocket) {
      demand(socket.key.protocol == data[0] && socket.key.zero == 0);
      const bool ipv4 = socket.key.family == Family::kIpv4;
      demand(!ipv4 ||
             (is_mapped_ipv4(socket.key.source) && is_mapped_ipv4(socket.key.destination)));
      demand(!socket.both_families || (socket.any_remote && socket.any_local_address && !ipv4));
      demand(socket.state != SocketState::kListen);
    }
    TrackedConnection connection;
    if (read_tracked(message, connection) == ReadTracked::kConnection) {
      demand(connection.original.protocol == connection.reply.protocol);
      demand(connection.original.family == connection.reply.family);
      demand(reversed(connection.translated()) == connection.reply);
      (void)is_ending(connection);
    }
  }
  // Every message takes its header at least, so a walk ends.
  demand(messages <= datagram.size / 16);
}
