// The map bucket -> node. It is computed above (lib/allocation) and only looked up here.
#pragma once

#include <cstdint>
#include <vector>

namespace flowsieve {

/// Index of a node in the order in which the configuration of every node lists them.
using NodeIndex = uint16_t;

struct Allocation {
  uint32_t epoch = 0;            ///< grows with every change
  NodeIndex self = 0;            ///< this node
  std::vector<NodeIndex> owner;  ///< one entry per bucket; the size is a power of two

  bool is_mine(uint32_t bucket) const { return owner[bucket] == self; }
};

}  // namespace flowsieve
