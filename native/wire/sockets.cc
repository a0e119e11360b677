#include "wire/sockets.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "wire/link.h"

namespace flowsieve {

namespace {

/// A socket as the kernel names it.
struct Named {
  uint8_t family;
  inet_diag_sockid id;
};

struct Request {
  nlmsghdr header{};
  inet_diag_req_v2 body{};
};
static_assert(sizeof(Request) == NLMSG_LENGTH(sizeof(inet_diag_req_v2)));

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

  Status ask(Request request) {
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_seq = ++sequence_;
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    const ssize_t sent = sendto(socket_.get(), &request, sizeof request, 0,
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
      int rest = static_cast<int>(got);
      for (auto* header = reinterpret_cast<const nlmsghdr*>(buffer_.data());
           NLMSG_OK(header, static_cast<unsigned>(rest)); header = NLMSG_NEXT(header, rest)) {
        if (header->nlmsg_seq != sequence_) continue;  // of an answer that was given up
        if (header->nlmsg_type == NLMSG_DONE) return 0;
        if (header->nlmsg_type == NLMSG_ERROR) {
          return -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
        }
        const auto* message = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
        if (header->nlmsg_len >= NLMSG_LENGTH(sizeof *message)) {
          each(Named{message->idiag_family, message->id});
        }
      }
    }
  }

 private:
  explicit Diag(Descriptor socket) : socket_(std::move(socket)), buffer_(64 * 1024) {}

  Descriptor socket_;
  std::vector<uint8_t> buffer_;  // on the heap, and so aligned for the headers in it
  uint32_t sequence_ = 0;
};

Status list(Diag& diag, uint8_t family, std::span<const Address> local,
            std::vector<Named>& sockets) {
  Request request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = family;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = kStates;
  if (Status asked = diag.ask(request); !asked) return asked;
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
  Request request;
  request.header.nlmsg_type = SOCK_DESTROY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.body.sdiag_family = socket.family;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = kAllStates;
  request.body.id = socket.id;
  if (Status asked = diag.ask(request); !asked) return asked.error();
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
