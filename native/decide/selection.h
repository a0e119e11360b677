// What a dispatcher decides with besides the criteria: which nodes are down, and, where opening
// packets are not left to their buckets, among which nodes it chooses.
//
// Every connection is remembered with its owner, so a dispatcher may choose as it likes: the
// choice is made once, by the opening packet, and the table keeps it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "allocation/allocation.h"
#include "table/table.h"

namespace flowsieve {

/// A node that opening packets may go to.
struct Candidate {
  NodeIndex node = kNobody;
  double weight = 1;  ///< above 0
};

struct Dispatching {
  bool on = false;                      ///< false: a node decides for itself
  std::vector<uint8_t> down{};          ///< by NodeIndex: 1 = its health checks fail
  std::vector<Candidate> candidates{};  ///< empty: buckets decide

  bool is_down(NodeIndex node) const { return node < down.size() && down[node] != 0; }
};

/// The candidate with the fewest connections for its weight when it had one more. Of several such
/// ones `preferred` (the owner of the bucket) if it is among them, else the first. `candidates`
/// must not be empty; the table must count by owner.
NodeIndex with_fewest(std::span<const Candidate> candidates, const ConnectionTable& table,
                      NodeIndex preferred);

}  // namespace flowsieve
