// What is a certain node's by configuration, whatever tables and allocation say: its own node
// addresses, and the ports of the cluster addresses that are its alone.
//
// A node opens connections too: its applications, or its kernel when it translates addresses. Their
// first packet leaves from here and no other node sees it; the answers must come back here, from the
// first one on. Addresses and ports that are divided beforehand need nobody to be told in time.
#pragma once

#include <cstdint>
#include <vector>

#include "allocation/allocation.h"
#include "packet/packet.h"

namespace flowsieve {

/// Packets to `address` and a port (or ICMP query identifier) from `first_port` to `last_port`,
/// both included; from 0 on also those of protocols without ports.
struct Reservation {
  Address address{};
  uint16_t first_port = 0;
  uint16_t last_port = UINT16_MAX;
  NodeIndex owner = kNobody;
};

class Reserved {
 public:
  Reserved() = default;
  /// No two of the list overlap.
  explicit Reserved(std::vector<Reservation> list);

  bool empty() const { return list_.empty(); }

  /// Whose a packet is that goes to the destination of `flow`, an ICMP error about one that came
  /// from there included; kNobody where that is not reserved.
  NodeIndex owner_of(const Key& flow) const;

 private:
  std::vector<Reservation> list_;  ///< by address, then port: a packet costs a binary search
};

}  // namespace flowsieve
