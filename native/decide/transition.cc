#include "decide/transition.h"

namespace flowsieve {

Claim claim(const Transition& transition, const HeaderFields& fields, uint32_t bucket,
            NodeIndex old_owner, NodeIndex self) {
  const uint32_t next_bucket =
      transition.same_distribution ? bucket : transition.distribution.bucket(fields);
  const NodeIndex new_owner = transition.next.owner[next_bucket];
  const bool refused = transition.distribution.is_nobodys(next_bucket);
  if (old_owner == new_owner) return {.owner = old_owner};
  if (old_owner == self) {
    return transition.released ? Claim{.owner = new_owner, .refused = refused}
                               : Claim{.owner = self, .contested = true};
  }
  if (new_owner == self) {
    if (transition.has_acquired(old_owner)) return {.owner = self, .contested = true};
    return {.owner = old_owner, .hold = transition.holding, .tracked = true};
  }
  return {.owner = old_owner};
}

bool is_same(const Distribution& one, const Distribution& other) {
  // Names every option, so that a new one cannot be forgotten here: it would not compile.
  const auto& [hash1, key1, fields1, s4a, s6a, d4a, d6a, symmetric1, buckets1, rules1] =
      one.options();
  const auto& [hash2, key2, fields2, s4b, s6b, d4b, d6b, symmetric2, buckets2, rules2] =
      other.options();
  return hash1 == hash2 && key1 == key2 && fields1 == fields2 && s4a == s4b && s6a == s6b &&
         d4a == d4b && d6a == d6b && symmetric1 == symmetric2 && buckets1 == buckets2 &&
         rules1 == rules2;
}

}  // namespace flowsieve
