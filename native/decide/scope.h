// Which packets are the cluster's, and how their connection's key is stored.
//
// Three scopes:
//   addresses   the packet goes to a cluster address (or comes from one): the other side is the
//               client, and a key is stored client -> server;
//   gateway     the frame goes to one of the cluster's link addresses and carries a packet that can
//               be forwarded, whatever its addresses;
//   everything  a capture without a configuration.
//
// In the last two nothing tells which side is the client: a key is stored in ascending order of its
// endpoints and the record remembers which of them spoke first.
#pragma once

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "packet/packet.h"

namespace flowsieve {

/// An Ethernet address.
using LinkAddress = std::array<uint8_t, 6>;

class Scope {
 public:
  static constexpr size_t kAddressesMax = 256;

  /// At most kAddressesMax addresses; IPv4 ones mapped (base/address.h).
  static Scope of_addresses(std::vector<Address> addresses) {
    Scope scope;
    scope.addresses_ = std::move(addresses);
    return scope;
  }
  static Scope of_everything() {
    Scope scope;
    scope.everything_ = true;
    return scope;
  }
  /// What is sent to one of these link addresses; at least one.
  static Scope of_gateway(std::vector<LinkAddress> link_addresses) {
    Scope scope = of_everything();
    scope.link_addresses_ = std::move(link_addresses);
    return scope;
  }

  /// Linear: a cluster has a handful of addresses, and they share one or two cache lines.
  bool contains(const Address& address) const {
    return everything_ || std::any_of(addresses_.begin(), addresses_.end(),
                                      [&](const Address& each) { return is_same(each, address); });
  }

  bool is_gateway() const { return !link_addresses_.empty(); }

  /// Whether a gateway forwards `packet`, which came in `frame`. A frame without a link header (a
  /// capture of raw IP) was meant for the gateway.
  bool forwards(Bytes frame, LinkType link, const Packet& packet) const {
    return (link != LinkType::kEthernet || is_sent_to_cluster(frame)) &&
           is_forwardable(packet.ip_destination);
  }

  /// True when `key` has to be reversed before it is stored or looked up.
  bool stores_reversed(const Key& key) const {
    return everything_ ? is_descending(key) : !contains(key.destination);
  }

 private:
  bool is_sent_to_cluster(Bytes frame) const {
    return std::any_of(link_addresses_.begin(), link_addresses_.end(), [&](const auto& address) {
      return frame.has(0, address.size()) &&
             std::memcmp(frame.data, address.data(), address.size()) == 0;
    });
  }

  /// Neither a group (RFC 1112 4, RFC 4291 2.7), nor all hosts of a link (RFC 919 7), nor an address
  /// that is good on one link alone (RFC 3927 7, RFC 4291 2.5.6).
  static bool is_forwardable(const Address& address) {
    if (address == mapped_ipv4(address.data() + 12)) {
      const uint8_t* ipv4 = address.data() + 12;
      return ipv4[0] < 224 && !(ipv4[0] == 169 && ipv4[1] == 254);
    }
    return address[0] != 0xff && !(address[0] == 0xfe && (address[1] & 0xc0) == 0x80);
  }

  std::vector<Address> addresses_;
  std::vector<LinkAddress> link_addresses_;
  bool everything_ = false;
};

}  // namespace flowsieve
