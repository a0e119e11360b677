#include "wire/responder.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/clock.h"

namespace flowsieve {

namespace {

/// A raw socket on `link`; with protocol 0 it only sends.
Result<Descriptor> open_link_socket(const LinkInfo& link, uint16_t protocol) {
  Descriptor socket{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket.open()) return system_error("opening a packet socket");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = link.index;
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_error("binding a packet socket to the capture interface");
  }
  return socket;
}

Result<LinkInfo> read_ethernet(const std::string& interface) {
  Result<LinkInfo> link = read_link(interface);
  if (link && !link.value().ethernet) {
    return Error{ErrorCode::kArgument,
                 "Expected an Ethernet interface to resolve cluster addresses on but received '" +
                     interface + "'."};
  }
  return link;
}

Status send_frame(int socket, const ResolutionFrame& frame, size_t bytes, const char* what) {
  if (send(socket, frame.data(), bytes, MSG_DONTWAIT) < 0) return system_error(what);
  return ok_status();
}

void listen_once(int socket, const Resolution& resolution, std::vector<Clash>& clashes) {
  uint8_t bytes[2048];
  sockaddr_ll from{};
  socklen_t from_bytes = sizeof from;
  ssize_t got = 0;
  while ((got = recvfrom(socket, bytes, sizeof bytes, MSG_DONTWAIT,
                         reinterpret_cast<sockaddr*>(&from), &from_bytes)) >= 0) {
    Frame frame;
    frame.bytes = {bytes, static_cast<size_t>(got)};
    Clash clash;
    if (from.sll_pkttype != PACKET_OUTGOING &&
        read_claim(resolution, frame, clash.address, clash.mac) &&
        std::none_of(clashes.begin(), clashes.end(), [&clash](const Clash& known) {
          return known.address == clash.address && known.mac == clash.mac;
        })) {
      clashes.push_back(clash);
    }
    from_bytes = sizeof from;
  }
}

}  // namespace

Result<std::unique_ptr<LinkResponder>> LinkResponder::open(const std::string& interface,
                                                           const Mac& cluster_mac,
                                                           const std::vector<Address>& addresses,
                                                           bool router) {
  const Result<LinkInfo> link = read_ethernet(interface);
  if (!link) return link.error();
  Result<Descriptor> socket = open_link_socket(link.value(), 0);
  if (!socket) return socket.error();
  return std::unique_ptr<LinkResponder>(new LinkResponder(
      std::move(socket.value()), Resolution{link.value().mac, cluster_mac, addresses, router}));
}

bool LinkResponder::answer(const Frame& frame) {
  ResolutionFrame answer;
  size_t bytes = 0;
  const Asked asked = answer_resolution(resolution_, frame, answer, bytes);
  if (asked == Asked::kMalformed) ++malformed_;
  if (asked != Asked::kAnswered) return false;
  return send(socket_.get(), answer.data(), bytes, MSG_DONTWAIT) >= 0;
}

Status LinkResponder::announce() {
  for (const Address& address : resolution_.addresses) {
    ResolutionFrame frame;
    const size_t bytes = write_announcement(resolution_, address, frame);
    if (Status sent = send_frame(socket_.get(), frame, bytes, "announcing a cluster address");
        !sent) {
      return sent;
    }
  }
  return ok_status();
}

Result<std::vector<Clash>> find_clashes(const std::string& interface,
                                        const std::vector<Address>& addresses,
                                        const Mac& cluster_mac, int wait_ms) {
  const Result<LinkInfo> link = read_ethernet(interface);
  if (!link) return link.error();
  // Answers to a solicitation without a source address go to all nodes.
  const Result<Membership> membership = Membership::join(link.value(), {kAllNodesMac});
  if (!membership) return membership.error();
  Result<Descriptor> socket = open_link_socket(link.value(), ETH_P_ALL);
  if (!socket) return socket.error();
  const Resolution resolution{link.value().mac, cluster_mac, addresses};
  for (const Address& address : addresses) {
    ResolutionFrame frame;
    const size_t bytes = write_probe(resolution, address, frame);
    if (Status sent = send_frame(socket.value().get(), frame, bytes, "probing a cluster address");
        !sent) {
      return sent.error();
    }
  }
  std::vector<Clash> clashes;
  const uint64_t end_ns = monotonic_ns() + static_cast<uint64_t>(wait_ms) * 1'000'000;
  for (uint64_t now_ns = monotonic_ns(); now_ns < end_ns; now_ns = monotonic_ns()) {
    pollfd ready{socket.value().get(), POLLIN, 0};
    poll(&ready, 1, static_cast<int>((end_ns - now_ns + 999'999) / 1'000'000));
    listen_once(socket.value().get(), resolution, clashes);
  }
  return clashes;
}

}  // namespace flowsieve
