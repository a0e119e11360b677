#include "netlink/netlink.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace flowsieve {
namespace {

/// The kernel makes the pieces of a dump as large as the reader's buffer, up to this.
constexpr size_t kBufferBytes = 64 * 1024;
/// How long the kernel may take for the next piece, which it makes while it is asked.
constexpr timeval kPatience{5, 0};

Result<Descriptor> open_netlink(int protocol, const std::string& feature) {
  Descriptor socket{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)};
  if (!socket.open()) {
    if (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT) {
      return Error{ErrorCode::kMissing, "Expected a kernel with " + feature +
                                            " but received one that has no such netlink family."};
    }
    return system_error("opening a netlink socket for " + feature);
  }
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&self), sizeof(self)) != 0) {
    return system_error("binding a netlink socket for " + feature);
  }
  return socket;
}

/// Receives one datagram that the kernel itself has sent; 0 bytes for another's. False: `errno`.
bool receive_datagram(int fd, int flags, std::vector<uint8_t>& buffer, Bytes& datagram) {
  sockaddr_nl sender{};
  socklen_t length = sizeof(sender);
  const ssize_t got = recvfrom(fd, buffer.data(), buffer.size(), flags,
                               reinterpret_cast<sockaddr*>(&sender), &length);
  if (got < 0) return false;
  datagram = {buffer.data(), sender.nl_pid == 0 ? static_cast<size_t>(got) : 0};
  return true;
}

Error feature_error(int number, const std::string& feature) {
  if (number == ENOENT || number == EOPNOTSUPP || number == EPROTONOSUPPORT || number == EINVAL) {
    return {ErrorCode::kMissing, "Expected a kernel with " + feature +
                                     " but received one that answers: " + std::strerror(number) +
                                     "."};
  }
  errno = number;
  return system_error("listing with " + feature);
}

/// Sends `request` and hands the messages of the answer to `on_message`, up to its end.
/// `on_message` returns false for what it could not read.
Result<ListCounts> dump(const Descriptor& socket, const std::vector<uint8_t>& request,
                        uint32_t sequence, const std::string& feature,
                        const std::function<bool(const NetlinkMessage&, ListCounts&)>& on_message) {
  if (setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience)) != 0) {
    return system_error("setting a netlink socket's time limit");
  }
  if (send(socket.get(), request.data(), request.size(), 0) < 0) {
    return feature_error(errno, feature);
  }
  ListCounts counts;
  std::vector<uint8_t> buffer(kBufferBytes);
  for (;;) {
    Bytes datagram;
    if (!receive_datagram(socket.get(), 0, buffer, datagram)) {
      if (errno == EINTR) continue;
      return feature_error(errno, feature);
    }
    MessageWalk walk(datagram);
    for (NetlinkMessage message; walk.next(message);) {
      if (message.sequence != sequence) continue;
      if (message.type == NLMSG_DONE || message.type == NLMSG_ERROR) {
        const int number = netlink_errno(message);
        if (number != 0) return feature_error(number, feature);
        return counts;
      }
      if (!on_message(message, counts)) ++counts.malformed;
    }
    if (walk.damaged()) ++counts.malformed;
  }
}

std::string name_of(uint8_t protocol) {
  switch (protocol) {
    case 6:
      return "tcp_diag";
    case 17:
      return "udp_diag";
    case 132:
      return "sctp_diag";
    default:
      return "inet_diag for protocol " + std::to_string(protocol);
  }
}

constexpr const char* kConntrack = "nf_conntrack_netlink";

}  // namespace

Result<ListCounts> list_sockets(uint8_t protocol, Family family,
                                const std::function<void(const OpenSocket&)>& visit) {
  constexpr uint32_t kSequence = 1;
  const std::string feature = name_of(protocol);
  auto socket = open_netlink(NETLINK_SOCK_DIAG, feature);
  if (!socket) return socket.error();
  return dump(socket.value(), sockets_request(protocol, family, kSequence), kSequence, feature,
              [&](const NetlinkMessage& message, ListCounts& counts) {
                OpenSocket open;
                const ReadSocket read = read_socket(message, protocol, open);
                if (read == ReadSocket::kSocket) {
                  ++counts.read;
                  visit(open);
                }
                return read != ReadSocket::kMalformed;
              });
}

Result<ListCounts> list_tracked(Family family, uint32_t status_bits,
                                const std::function<void(const TrackedConnection&)>& visit) {
  constexpr uint32_t kSequence = 1;
  auto socket = open_netlink(NETLINK_NETFILTER, kConntrack);
  if (!socket) return socket.error();
  return dump(
      socket.value(), tracked_request(family, status_bits, kSequence), kSequence, kConntrack,
      [&](const NetlinkMessage& message, ListCounts& counts) {
        TrackedConnection connection;
        const ReadTracked read = read_tracked(message, connection);
        if (read == ReadTracked::kConnection && (connection.status & status_bits) == status_bits) {
          ++counts.read;
          visit(connection);
        }
        return read != ReadTracked::kMalformed;
      });
}

TrackedEvents::TrackedEvents(Descriptor socket)
    : socket_(std::move(socket)), buffer_(kBufferBytes) {}

Result<std::unique_ptr<TrackedEvents>> TrackedEvents::open(const Wanted& wanted,
                                                           uint32_t receive_bytes) {
  // That the groups can be joined proves nothing: they are numbers. That a list can be had does.
  const auto listed = list_tracked(Family::kIpv4, UINT32_MAX, [](const TrackedConnection&) {});
  if (!listed) return listed.error();
  auto socket = open_netlink(NETLINK_NETFILTER, kConntrack);
  if (!socket) return socket.error();
  const int bytes = static_cast<int>(receive_bytes);
  // Beyond the limit of net.core.rmem_max, which is for those without privilege.
  if (setsockopt(socket.value().get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0) {
    return system_error("sizing the queue of conntrack events");
  }
  const auto join = [&](bool is_wanted, int group) {
    return !is_wanted || setsockopt(socket.value().get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
                                    &group, sizeof(group)) == 0;
  };
  if (!join(wanted.beginnings, NFNLGRP_CONNTRACK_NEW) ||
      !join(wanted.changes, NFNLGRP_CONNTRACK_UPDATE) ||
      !join(wanted.ends, NFNLGRP_CONNTRACK_DESTROY)) {
    return system_error("joining the groups of conntrack events");
  }
  return std::unique_ptr<TrackedEvents>(new TrackedEvents(std::move(socket.value())));
}

size_t TrackedEvents::receive(size_t datagrams,
                              const std::function<void(const TrackedConnection&)>& visit) {
  size_t received = 0;
  while (received < datagrams) {
    Bytes datagram;
    if (!receive_datagram(socket_.get(), MSG_DONTWAIT, buffer_, datagram)) {
      if (errno == EINTR) continue;
      if (errno != ENOBUFS) return received;
      ++lost_;
      continue;
    }
    ++received;
    MessageWalk walk(datagram);
    for (NetlinkMessage message; walk.next(message);) {
      TrackedConnection connection;
      const ReadTracked read = read_tracked(message, connection);
      if (read == ReadTracked::kConnection) visit(connection);
      malformed_ += read == ReadTracked::kMalformed;
    }
    malformed_ += walk.damaged();
  }
  return received;
}

}  // namespace flowsieve
