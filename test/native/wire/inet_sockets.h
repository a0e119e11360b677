// Ordinary sockets inside a namespace, of either family.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstring>

#include "wire/namespace.h"

namespace flowsieve::test {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  SocketAddress(const std::string& text, uint16_t port) {
    auto* four = reinterpret_cast<sockaddr_in*>(&storage);
    auto* six = reinterpret_cast<sockaddr_in6*>(&storage);
    if (inet_pton(AF_INET, text.c_str(), &four->sin_addr) == 1) {
      four->sin_family = AF_INET;
      four->sin_port = htons(port);
      size = sizeof *four;
    } else {
      inet_pton(AF_INET6, text.c_str(), &six->sin6_addr);
      six->sin6_family = AF_INET6;
      six->sin6_port = htons(port);
      size = sizeof *six;
    }
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// A socket of `type` bound to an address inside `where`, listening if it can; reading gives up
/// after ten seconds.
inline Descriptor bound_socket(const Namespace& where, int type, const std::string& address,
                               uint16_t port) {
  const SocketAddress at(address, port);
  return Descriptor(where.run([&] {
    const int fd = socket(at.storage.ss_family, type | SOCK_CLOEXEC, 0);
    const timeval patience{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (bind(fd, at.get(), at.size) != 0) return -1;
    if (type == SOCK_STREAM && listen(fd, 8) != 0) return -1;
    return fd;
  }));
}

/// A socket of `type` connected from inside `where`; -1 when that fails.
inline Descriptor connected_socket(const Namespace& where, int type, const std::string& address,
                                   uint16_t port) {
  const SocketAddress to(address, port);
  return Descriptor(where.run([&] {
    const int fd = socket(to.storage.ss_family, type | SOCK_CLOEXEC, 0);
    const timeval patience{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return connect(fd, to.get(), to.size) == 0 ? fd : -1;
  }));
}

}  // namespace flowsieve::test
