#include "netlink/reset.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "netlink/messages.h"
#include "netlink/request.h"

namespace flowsieve {
namespace {

/// A socket as the kernel names it.
struct Named {
  uint8_t family;
  inet_diag_sockid id;
};

constexpr uint32_t kAllStates = 0xfff;
constexpr uint32_t kStates =
    kAllStates & ~(1u << TCP_LISTEN | 1u << TCP_TIME_WAIT | 1u << TCP_CLOSE);

Error missing(const char* what) {
  return {ErrorCode::kMissing,
          std::string("Expected a kernel that ") + what +
              " for the reset of connections (CONFIG_INET_DIAG_DESTROY) but received one that "
              "does not."};
}

/// The local address, as Address has it: IPv4 mapped, also for sockets of either family.
Address local_of(const Named& socket) {
  if (socket.family == AF_INET) {
    return mapped_ipv4(reinterpret_cast<const uint8_t*>(socket.id.idiag_src));
  }
  Address address;
  std::memcpy(address.data(), socket.id.idiag_src, address.size());
  return address;
}

/// A question to the kernel about sockets, and its answer.
class Diag {
 public:
  static Result<Diag> open() {
    Descriptor socket{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)};
    if (!socket.open() && errno == EPROTONOSUPPORT) return missing("lists its sockets");
    if (!socket.open()) return system_error("opening a socket to list connections");
    return Diag(std::move(socket));
  }

  Status ask(uint16_t type, uint16_t flags, const inet_diag_req_v2& body) {
    RequestBuilder builder(type, static_cast<uint16_t>(NLM_F_REQUEST | flags), ++sequence_);
    builder.add(&body, sizeof body);
    const std::vector<uint8_t> request = builder.finish();
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    const ssize_t sent = sendto(socket_.get(), request.data(), request.size(), 0,
                                reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
    if (sent < 0) return system_error("asking the kernel about its connections");
    return ok_status();
  }

  /// Reads until the answer has ended; each(Named) for every socket in it. The kernel's error
  /// number (0: none), or why nothing could be read.
  template <typename Each>
  Result<int> read(Each&& each) {
    for (;;) {
      const ssize_t got = recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return system_error("reading the kernel's list of connections");
      MessageWalk walk({buffer_.data(), static_cast<size_t>(got)});
      for (NetlinkMessage message; walk.next(message);) {
        if (message.sequence != sequence_) continue;  // of an answer that was given up
        if (message.type == NLMSG_DONE) return 0;
        if (message.type == NLMSG_ERROR) return netlink_errno(message);
        inet_diag_msg socket;
        if (!message.payload.has(0, sizeof socket)) continue;
        std::memcpy(&socket, message.payload.data, sizeof socket);
        each(Named{socket.idiag_family, socket.id});
      }
    }
  }

 private:
  explicit Diag(Descriptor socket) : socket_(std::move(socket)), buffer_(64 * 1024) {}

  Descriptor socket_;
  std::vector<uint8_t> buffer_;
  uint32_t sequence_ = 0;
};

Status list(Diag& diag, uint8_t family, std::span<const Address> local,
            std::vector<Named>& sockets) {
  inet_diag_req_v2 body{};
  body.sdiag_family = family;
  body.sdiag_protocol = IPPROTO_TCP;
  body.idiag_states = kStates;
  if (Status asked = diag.ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, body); !asked) return asked;
  const Result<int> answered = diag.read([&](const Named& socket) {
    if (std::find(local.begin(), local.end(), local_of(socket)) != local.end()) {
      sockets.push_back(socket);
    }
  });
  if (!answered) return answered.error();
  if (answered.value() == ENOENT) return missing("lists its TCP sockets");
  if (answered.value() == 0) return ok_status();
  errno = answered.value();
  return system_error("listing the kernel's connections");
}

/// The kernel's error number, 0 when the socket has been ended.
Result<int> destroy(Diag& diag, const Named& socket) {
  inet_diag_req_v2 body{};
  body.sdiag_family = socket.family;
  body.sdiag_protocol = IPPROTO_TCP;
  body.idiag_states = kAllStates;
  body.id = socket.id;
  if (Status asked = diag.ask(SOCK_DESTROY, NLM_F_ACK, body); !asked) return asked.error();
  return diag.read([](const Named&) {});
}

}  // namespace

Result<SocketsReset> reset_sockets(std::span<const Address> local) {
  auto opened = Diag::open();
  if (!opened) return opened.error();
  Diag& diag = opened.value();
  // An application that listens on :: has its IPv4 connections in the other family's list.
  std::vector<Named> sockets;
  for (const uint8_t family : {AF_INET, AF_INET6}) {
    if (Status listed = list(diag, family, local, sockets); !listed) return listed.error();
  }
  SocketsReset result;
  for (const Named& socket : sockets) {
    const Result<int> ended = destroy(diag, socket);
    if (!ended) return ended.error();
    const int number = ended.value();
    if (number == EOPNOTSUPP) return missing("ends connections on request");
    if (number == EPERM) {
      errno = number;
      return system_error("resetting a connection");
    }
    result.reset += number == 0;
    result.failed += number != 0 && number != ENOENT;
  }
  return result;
}

}  // namespace flowsieve
