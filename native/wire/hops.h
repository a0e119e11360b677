// The way to a node, as the host's routes and neighbours have it (rtnetlink(7)): by which
// interface, over which router, from which address, with which MTU, and to which link address.
//
//   RTM_GETROUTE  node address          -> interface, gateway or none, source address, MTU
//   RTM_NEWNEIGH  next hop, NTF_USE     the kernel looks after the entry as if it had sent something
//                                       itself: it resolves what is unknown and probes what is stale
//   RTM_GETNEIGH  next hop              -> link address, state
//
// Asked again and again (every second), this keeps the neighbour fresh, and a node that got another
// link address is found by the kernel's own means. Blocks for as long as netlink takes, which does
// not wait for the network; not for the packet path.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/status.h"
#include "wire/link.h"

namespace flowsieve {

/// What the kernel says of a next hop's link address.
enum class Neighbour : uint8_t {
  kNone,       ///< no entry, or one that has just been made: nothing is known yet
  kReachable,  ///< known, and confirmed of late or about to be
  kFailed,     ///< nobody answers
};

struct Route {
  int interface = 0;    ///< index
  Address next_hop{};   ///< the router, or the node itself
  bool on_link = true;  ///< no router is between
  Address source{};     ///< the host's own address towards the node
  uint32_t mtu = 0;     ///< of the route, where it has one of its own; else 0
};

/// What was found out about one node.
struct Way {
  bool routed = false;  ///< there is a route; otherwise nothing below says anything
  Route route;
  LinkInfo link;  ///< the route's interface
  Neighbour neighbour = Neighbour::kNone;
  Mac mac{};  ///< of the next hop; only with kReachable
};

/// One answer of netlink, from its header on. Nothing when it is another message, or not whole.
std::optional<Route> read_route(Bytes message, const Address& to);
struct NeighbourEntry {
  int interface = 0;
  Address address{};
  Neighbour state = Neighbour::kNone;
  Mac mac{};
};
std::optional<NeighbourEntry> read_neighbour(Bytes message);

/// The ways to `nodes`, in their order.
Result<std::vector<Way>> find_ways(std::span<const Address> nodes);

}  // namespace flowsieve
