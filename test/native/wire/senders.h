// What the live tests send with.
#pragma once

#include <doctest/doctest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>

#include "support/packet_builder.h"
#include "wire/namespace.h"

namespace flowsieve::test {

/// Puts frames on an interface as they are.
class RawSender {
 public:
  RawSender(const Namespace& where, const char* interface)
      : socket_(where.run([&] {
          const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
          sockaddr_ll to{};
          to.sll_family = AF_PACKET;
          to.sll_ifindex = static_cast<int>(if_nametoindex(interface));
          return bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 ? fd : -1;
        })) {
    REQUIRE(socket_.open());
  }
  void send(const ByteVector& frame) const {
    REQUIRE(::send(socket_.get(), frame.data(), frame.size(), 0) == ssize_t(frame.size()));
  }

 private:
  Descriptor socket_;
};

}  // namespace flowsieve::test
