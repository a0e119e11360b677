// A change of the allocation, while it is under way: who decides a packet of unknown connection,
// so that every one is decided by exactly one node although no two nodes change at the same moment.
//
// With `old` = the owner of its bucket by the current criteria and `new` = by the next ones:
//
//                before                                        later
//   old = new    that node
//   self = old   this node, contested          (release)       new
//   self = new   old, tracked   (hold) held    (acquire)       this node, contested
//   neither      old                                           new, with the next criteria
//
// What a rule refuses by the current criteria is refused, whatever the next ones say: nobody holds
// it, and nobody opens it before its own change.
//
// "Contested" connections, also those that a gainer opens after its own change while others may
// still decide by the criteria before (Former), are those that another node may have noted under another owner. They are
// remembered, so that they can be told to the others.
//
// The order in time is the protocol's (docs/decisions/cluster-protocol.md): every gainer holds
// before any loser releases, and acquires only when it has merged what the loser opened.
#pragma once

#include <cstdint>
#include <vector>

#include "allocation/allocation.h"
#include "allocation/distribution.h"

namespace flowsieve {

struct Transition {
  Distribution distribution;  ///< of the next criteria
  Allocation next;
  std::vector<NodeIndex> dead{};    ///< of a takeover: the nodes that lose their buckets
  bool holding = false;             ///< as gainer: packets wait
  bool released = false;            ///< as loser: the next owner decides
  std::vector<uint8_t> acquired{};  ///< as gainer, by NodeIndex: 1 = that loser has released
  /// The next distribution is the current one, so that one hash gives both buckets. Set by
  /// whoever holds the current one.
  bool same_distribution = false;

  bool has_acquired(NodeIndex loser) const { return loser < acquired.size() && acquired[loser]; }
};

/// The criteria before the current ones, as long as other nodes may still decide by them: what this
/// node opens in the buckets that it has gained since is contested, too.
struct Former {
  Distribution distribution;
  std::vector<NodeIndex> owner;    ///< by bucket
  bool same_distribution = false;  ///< as the current one

  /// They give a packet of unknown connection to `node`; `bucket` is by the current criteria.
  bool gives(const HeaderFields& fields, uint32_t bucket, NodeIndex node) const {
    return owner[same_distribution ? bucket : distribution.bucket(fields)] == node;
  }
};

/// Whose a packet of unknown connection is during a transition.
struct Claim {
  NodeIndex owner;         ///< while held: the loser
  bool hold = false;       ///< undecided
  bool contested = false;  ///< this node's, and others may have noted it otherwise
  bool tracked = false;    ///< another's, to be noted by this node in any case
  bool refused = false;    ///< nobody's, by a rule
};

/// `fields` of the packet; `bucket` and `old_owner` are what the current criteria say of it.
Claim claim(const Transition& transition, const HeaderFields& fields, uint32_t bucket,
            NodeIndex old_owner, NodeIndex self);

/// True when both give every packet the same bucket because they are the same.
bool is_same(const Distribution& one, const Distribution& other);

}  // namespace flowsieve
