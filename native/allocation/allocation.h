// The map bucket -> node. It is computed above (lib/allocation) and only looked up here.
#pragma once

#include <cstdint>
#include <vector>

namespace flowsieve {

/// The index under which this process knows a node. The layer above gives one to every name that it
/// meets and keeps it for the life of the process (lib/native/criteria.ts), because records carry
/// it. Another process may know the same node by another index.
using NodeIndex = uint16_t;

/// Owns what is no node's: buckets before there is an allocation, and what a rule refuses.
inline constexpr NodeIndex kNobody = UINT16_MAX;

struct Allocation {
  uint32_t epoch = 0;            ///< grows with every change
  NodeIndex self = 0;            ///< this node
  std::vector<NodeIndex> owner;  ///< one entry for whatever Distribution::bucket() may say

  bool is_mine(uint32_t bucket) const { return owner[bucket] == self; }
};

}  // namespace flowsieve
