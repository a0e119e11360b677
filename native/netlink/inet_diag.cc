#include "netlink/inet_diag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <cstring>

#include "netlink/request.h"
#include "packet/protocols.h"

namespace flowsieve {
namespace {

constexpr uint32_t bit(SocketState state) {
  return 1u << static_cast<uint8_t>(state);
}

/// What is asked for. Listening sockets have no connection, and states that later kernels added
/// beyond these have none either.
constexpr uint32_t kAskedStates =
    bit(SocketState::kEstablished) | bit(SocketState::kSynSent) | bit(SocketState::kSynReceived) |
    bit(SocketState::kFinWait1) | bit(SocketState::kFinWait2) | bit(SocketState::kTimeWait) |
    bit(SocketState::kClose) | bit(SocketState::kCloseWait) | bit(SocketState::kLastAck) |
    bit(SocketState::kClosing) | bit(SocketState::kNewSynReceived);

Address address_of(const __be32 (&words)[4], Family family) {
  uint8_t bytes[16];
  std::memcpy(bytes, words, sizeof(bytes));
  if (family == Family::kIpv4) return mapped_ipv4(bytes);
  Address address;
  std::memcpy(address.data(), bytes, sizeof(bytes));
  return address;
}

bool is_unspecified(const Address& address) {
  const uint8_t none[4] = {};
  return address == Address{} || address == mapped_ipv4(none);
}

bool is_mapped(const Address& address) {
  return address == mapped_ipv4(address.data() + 12);
}

/// An IPv6 socket that a client reached over IPv4. One end alone may be mapped while the other is
/// unspecified.
bool speaks_ipv4(const Key& key) {
  return (is_mapped(key.destination) && (is_mapped(key.source) || key.source == Address{})) ||
         (is_mapped(key.source) && key.destination == Address{});
}

/// False for what is no connection and takes no packets of one.
bool read_state(uint8_t told, uint8_t protocol, OpenSocket& socket) {
  if (protocol == kProtocolSctp) {
    // Associations have states of their own, and what has no remote end is an endpoint.
    socket.state = SocketState::kEstablished;
    return !socket.any_remote;
  }
  socket.state = static_cast<SocketState>(told);
  return told <= static_cast<uint8_t>(SocketState::kNewSynReceived) &&
         (kAskedStates & bit(socket.state)) != 0;
}

}  // namespace

ReadSocket read_socket(const NetlinkMessage& message, uint8_t protocol, OpenSocket& socket) {
  socket = OpenSocket{};
  if (message.type != SOCK_DIAG_BY_FAMILY) return ReadSocket::kOther;
  inet_diag_msg told;
  if (!message.payload.has(0, sizeof(told))) return ReadSocket::kMalformed;
  std::memcpy(&told, message.payload.data, sizeof(told));
  if (told.idiag_family != AF_INET && told.idiag_family != AF_INET6) return ReadSocket::kOther;

  Key& key = socket.key;
  key.family = told.idiag_family == AF_INET ? Family::kIpv4 : Family::kIpv6;
  key.protocol = protocol;
  key.source = address_of(told.id.idiag_dst, key.family);
  key.destination = address_of(told.id.idiag_src, key.family);
  key.source_port = load_be16(reinterpret_cast<const uint8_t*>(&told.id.idiag_dport));
  key.destination_port = load_be16(reinterpret_cast<const uint8_t*>(&told.id.idiag_sport));
  socket.any_remote = is_unspecified(key.source) && key.source_port == 0;
  if (!read_state(told.idiag_state, protocol, socket)) return ReadSocket::kOther;
  socket.any_local_address = is_unspecified(key.destination);

  // Without word about it a socket is taken to speak IPv6 only: what it does not have it cannot
  // keep open.
  bool v6_only = true;
  AttributeWalk walk(message.payload.from(sizeof(told)));
  for (NetlinkAttribute attribute; walk.next(attribute);) {
    if (attribute.type != INET_DIAG_SKV6ONLY) continue;
    if (attribute.value.size != 1) return ReadSocket::kMalformed;
    v6_only = attribute.value.data[0] != 0;
  }
  if (walk.damaged()) return ReadSocket::kMalformed;
  if (key.family == Family::kIpv6 && speaks_ipv4(key)) {
    key.family = Family::kIpv4;
    if (key.source == Address{}) key.source = mapped_ipv4(key.source.data());
    if (key.destination == Address{}) key.destination = mapped_ipv4(key.destination.data());
  } else {
    socket.both_families =
        key.family == Family::kIpv6 && socket.any_remote && socket.any_local_address && !v6_only;
  }
  return ReadSocket::kSocket;
}

std::vector<uint8_t> sockets_request(uint8_t protocol, Family family, uint32_t sequence) {
  RequestBuilder request(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sequence);
  inet_diag_req_v2 wanted{};
  wanted.sdiag_family = family == Family::kIpv4 ? AF_INET : AF_INET6;
  wanted.sdiag_protocol = protocol;
  // Asked for closed ones, the kernel would tell of the endpoints that associations belong to.
  wanted.idiag_states =
      protocol == kProtocolSctp ? kAskedStates & ~bit(SocketState::kClose) : kAskedStates;
  request.add(&wanted, sizeof(wanted));
  return request.finish();
}

}  // namespace flowsieve
