// The map bucket -> node. It is computed above (lib/allocation) and only looked up here.
#pragma once

#include <cstdint>
#include <vector>

namespace flowsieve {

/// The index under which this process knows a node. The layer above gives one to every name that it
/// meets and keeps it for the life of the process (lib/native/criteria.ts), because records carry
/// it. Another process may know the same node by another index.
using NodeIndex = uint16_t;

/// No node has this index: the owner of buckets that are nobody's.
inline constexpr NodeIndex kNoNode = 0xffff;

struct Allocation {
  uint32_t epoch = 0;            ///< grows with every change
  NodeIndex self = 0;            ///< this node
  std::vector<NodeIndex> owner;  ///< one entry per bucket; the size is a power of two

  bool is_mine(uint32_t bucket) const { return owner[bucket] == self; }
};

}  // namespace flowsieve
