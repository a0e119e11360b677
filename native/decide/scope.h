// Which packets are the cluster's, and how their connection's key is stored.
//
// Two scopes:
//   addresses   the packet goes to a cluster address (or comes from one): the other side is the
//               client, and a key is stored client -> server;
//   everything  a capture without a configuration, later a gateway: nothing tells which side is the
//               client, so a key is stored in ascending order of its endpoints and the record
//               remembers which of them spoke first.
#pragma once

#include <algorithm>
#include <vector>

#include "packet/packet.h"

namespace flowsieve {

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

  /// Linear: a cluster has a handful of addresses, and they share one or two cache lines.
  bool contains(const Address& address) const {
    return everything_ ||
           std::find(addresses_.begin(), addresses_.end(), address) != addresses_.end();
  }

  /// True when `key` has to be reversed before it is stored or looked up.
  bool stores_reversed(const Key& key) const {
    return everything_ ? is_descending(key) : !contains(key.destination);
  }

 private:
  std::vector<Address> addresses_;
  bool everything_ = false;
};

}  // namespace flowsieve
