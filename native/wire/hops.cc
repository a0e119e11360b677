#include "wire/hops.h"

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netlink/messages.h"
#include "netlink/request.h"

namespace flowsieve {
namespace {

constexpr size_t kAnswerMax = 32 * 1024;
constexpr timeval kAnswerWait{1, 0};

/// Calls each(type, value) for the attributes in `bytes`; stops at one that is not whole.
template <typename Each>
void walk_attributes(Bytes bytes, Each&& each) {
  AttributeWalk walk(bytes);
  for (NetlinkAttribute attribute; walk.next(attribute);) each(attribute.type, attribute.value);
}

/// The message's body of type T and what stands behind it; nothing when it is of another type.
template <typename T>
std::optional<Bytes> open_message(Bytes datagram, uint16_t type, T& body) {
  NetlinkMessage message;
  if (!MessageWalk(datagram).next(message) || message.type != type) return std::nullopt;
  if (!message.payload.has(0, sizeof body)) return std::nullopt;
  std::memcpy(&body, message.payload.data, sizeof body);
  return message.payload.from(NLMSG_ALIGN(sizeof body));
}

/// An attribute as an address of `family`.
bool read_address(Bytes bytes, uint8_t family, Address& address) {
  if (family == AF_INET && bytes.size == 4) {
    address = mapped_ipv4(bytes.data);
    return true;
  }
  if (family == AF_INET6 && bytes.size == 16) {
    std::memcpy(address.data(), bytes.data, 16);
    return true;
  }
  return false;
}

uint32_t read_number(Bytes bytes) {
  uint32_t number = 0;
  if (bytes.size >= sizeof number) std::memcpy(&number, bytes.data, sizeof number);
  return number;
}

Neighbour state_of(uint16_t state) {
  if ((state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)) !=
      0) {
    return Neighbour::kReachable;
  }
  return (state & NUD_FAILED) != 0 ? Neighbour::kFailed : Neighbour::kNone;
}

class Netlink {
 public:
  static Result<Netlink> open() {
    Descriptor socket{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
    if (!socket.open()) return system_error("opening a socket to ask for routes");
    if (setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerWait, sizeof kAnswerWait) != 0) {
      return system_error("bounding the wait for routes");
    }
    return Netlink(std::move(socket));
  }

  /// The answer to a question about an address, which is its attribute `about`; nothing where the
  /// kernel says no. Valid until the next call.
  template <typename T>
  std::optional<Bytes> ask(uint16_t type, uint16_t flags, const T& body, uint16_t about,
                           const Address& address) {
    RequestBuilder builder(type, static_cast<uint16_t>(NLM_F_REQUEST | flags), ++sequence_);
    builder.add(&body, sizeof body);
    const size_t skip = is_mapped_ipv4(address) ? 12 : 0;
    builder.add_attribute(about, address.data() + skip, address.size() - skip);
    const std::vector<uint8_t> request = builder.finish();
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    if (sendto(socket_.get(), request.data(), request.size(), 0,
               reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0) {
      return std::nullopt;
    }
    for (;;) {
      const ssize_t got = recv(socket_.get(), answer_.data(), answer_.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return std::nullopt;
      const Bytes answer{answer_.data(), static_cast<size_t>(got)};
      NetlinkMessage message;
      if (!MessageWalk(answer).next(message)) return std::nullopt;
      if (message.sequence != sequence_) continue;  // of one that was given up
      if (message.type == NLMSG_ERROR || message.type == NLMSG_DONE) return std::nullopt;
      return answer;
    }
  }

 private:
  explicit Netlink(Descriptor socket) : socket_(std::move(socket)), answer_(kAnswerMax) {}

  Descriptor socket_;
  std::vector<uint8_t> answer_;
  uint32_t sequence_ = 0;
};

uint8_t netlink_family(const Address& address) {
  return is_mapped_ipv4(address) ? AF_INET : AF_INET6;
}

std::optional<Route> find_route(Netlink& netlink, const Address& to) {
  rtmsg body{};
  body.rtm_family = netlink_family(to);
  body.rtm_dst_len = is_mapped_ipv4(to) ? 32 : 128;
  const std::optional<Bytes> answer = netlink.ask(RTM_GETROUTE, 0, body, RTA_DST, to);
  return answer ? read_route(*answer, to) : std::nullopt;
}

std::optional<NeighbourEntry> find_neighbour(Netlink& netlink, const Route& route) {
  ndmsg body{};
  body.ndm_family = netlink_family(route.next_hop);
  body.ndm_ifindex = route.interface;
  body.ndm_flags = NTF_USE;
  // An acknowledgement is no answer.
  (void)netlink.ask(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, body, NDA_DST, route.next_hop);
  body.ndm_flags = 0;
  const std::optional<Bytes> answer = netlink.ask(RTM_GETNEIGH, 0, body, NDA_DST, route.next_hop);
  return answer ? read_neighbour(*answer) : std::nullopt;
}

Way find_way(Netlink& netlink, const Address& to) {
  Way way;
  const std::optional<Route> route = find_route(netlink, to);
  char name[IF_NAMESIZE];
  if (!route || if_indextoname(static_cast<unsigned>(route->interface), name) == nullptr) {
    return way;
  }
  const Result<LinkInfo> link = read_link(name);
  if (!link || !link.value().ethernet) return way;
  way.routed = true;
  way.route = *route;
  way.link = link.value();
  const std::optional<NeighbourEntry> neighbour = find_neighbour(netlink, *route);
  if (neighbour && neighbour->interface == route->interface) {
    way.neighbour = neighbour->state;
    way.mac = neighbour->mac;
  }
  return way;
}

}  // namespace

std::optional<Route> read_route(Bytes message, const Address& to) {
  rtmsg body;
  const std::optional<Bytes> attributes = open_message(message, RTM_NEWROUTE, body);
  if (!attributes || body.rtm_type != RTN_UNICAST) return std::nullopt;
  Route route;
  route.next_hop = to;
  walk_attributes(*attributes, [&](int type, Bytes value) {
    switch (type) {
      case RTA_OIF:
        route.interface = static_cast<int>(read_number(value));
        break;
      case RTA_GATEWAY:
        if (read_address(value, body.rtm_family, route.next_hop)) route.on_link = false;
        break;
      case RTA_VIA:  // a router of the other family (RFC 5549)
        if (value.size > 2) {
          uint16_t family = 0;
          std::memcpy(&family, value.data, sizeof family);
          if (read_address(value.from(2), static_cast<uint8_t>(family), route.next_hop)) {
            route.on_link = false;
          }
        }
        break;
      case RTA_PREFSRC:
        (void)read_address(value, body.rtm_family, route.source);
        break;
      case RTA_METRICS:
        walk_attributes(value, [&](int metric, Bytes number) {
          if (metric == RTAX_MTU) route.mtu = read_number(number);
        });
        break;
      default:
        break;
    }
  });
  if (route.interface <= 0) return std::nullopt;
  return route;
}

std::optional<NeighbourEntry> read_neighbour(Bytes message) {
  ndmsg body;
  const std::optional<Bytes> attributes = open_message(message, RTM_NEWNEIGH, body);
  if (!attributes) return std::nullopt;
  NeighbourEntry entry;
  entry.interface = body.ndm_ifindex;
  entry.state = state_of(body.ndm_state);
  bool has_mac = false;
  walk_attributes(*attributes, [&](int type, Bytes value) {
    if (type == NDA_DST) (void)read_address(value, body.ndm_family, entry.address);
    if (type == NDA_LLADDR && value.size == entry.mac.size()) {
      std::memcpy(entry.mac.data(), value.data, entry.mac.size());
      has_mac = true;
    }
  });
  if (!has_mac && entry.state == Neighbour::kReachable) entry.state = Neighbour::kNone;
  return entry;
}

Result<std::vector<Way>> find_ways(std::span<const Address> nodes) {
  auto opened = Netlink::open();
  if (!opened) return opened.error();
  std::vector<Way> ways;
  ways.reserve(nodes.size());
  for (const Address& node : nodes) ways.push_back(find_way(opened.value(), node));
  return ways;
}

}  // namespace flowsieve
