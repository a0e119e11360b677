#include "decide/selection.h"

namespace flowsieve {

NodeIndex with_fewest(std::span<const Candidate> candidates, const ConnectionTable& table,
                      NodeIndex preferred) {
  NodeIndex best = preferred;
  double least = 0;
  bool found = false;
  for (const Candidate& candidate : candidates) {
    const double load = (table.connections_of(candidate.node) + 1.0) / candidate.weight;
    const bool better = load < least || (load == least && candidate.node == preferred);
    if (found && !better) continue;
    best = candidate.node;
    least = load;
    found = true;
  }
  return best;
}

}  // namespace flowsieve
