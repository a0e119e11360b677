// The link below the cluster address: what the capture interface is, and which link-layer addresses
// it must let in.
//
// A node receives what is sent to the cluster MAC without ever owning it: the interface joins that
// address as a member (packet(7), PACKET_ADD_MEMBERSHIP), which the kernel undoes by itself when
// the socket closes, also after a crash.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/descriptor.h"
#include "base/status.h"

namespace flowsieve {

using Mac = std::array<uint8_t, 6>;

inline constexpr Mac kBroadcastMac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
/// All IPv6 nodes of a link, ff02::1 (RFC 2464 7).
inline constexpr Mac kAllNodesMac{0x33, 0x33, 0, 0, 0, 1};

/// The lowest bit of the first byte: group address (IEEE 802).
inline bool is_multicast(const Mac& mac) {
  return (mac[0] & 1) != 0;
}

/// ff02::1:ffXX:XXXX for an IPv6 address (RFC 4291 2.7.1).
Address solicited_node_address(const Address& address);
/// The Ethernet group address of an IPv6 multicast address (RFC 2464 7).
Mac multicast_mac(const Address& group);

struct LinkInfo {
  int index = 0;
  Mac mac{};
  uint32_t mtu = 0;
  bool up = false;
  bool ethernet = false;  ///< frames begin with an Ethernet header; false for tunnels and the like
};

/// Reads what an interface is; kMissing when there is none of that name.
Result<LinkInfo> read_link(const std::string& interface);

/// The capture interface's membership in link-layer groups, for as long as the object lives.
class Membership {
 public:
  /// Joins every address: groups as PACKET_MR_MULTICAST, others as PACKET_MR_UNICAST.
  static Result<Membership> join(const LinkInfo& link, const std::vector<Mac>& macs);

 private:
  explicit Membership(Descriptor socket) : socket_(std::move(socket)) {}
  Descriptor socket_;
};

/// What a node must let in for `addresses` behind `cluster_mac`: the MAC itself and, for IPv6 ones,
/// their solicited-node groups and all nodes (where answers to address probes go).
std::vector<Mac> needed_memberships(const Mac& cluster_mac, const std::vector<Address>& addresses);

}  // namespace flowsieve
