// Whose a packet of unknown connection is, and whose its connection: once more, straight from the
// tables of docs/decisions/cluster-protocol.md, to hold the worker's word against.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "decide/decide.h"

namespace flowsieve_fuzz {

using namespace flowsieve;

inline constexpr NodeIndex kSelf = 0;

struct View {
  Distribution distribution;
  std::vector<NodeIndex> owner;
  uint32_t epoch = 0;

  NodeIndex owner_of(const Key& flow) const {
    return owner[distribution.bucket(header_fields(flow))];
  }
  NodeIndex owner_of(const Record& record) const {
    return owner_of(record.flags & kClientIsDestination ? reversed(record.key) : record.key);
  }
};

/// A transition as its steps have been told.
struct Announced {
  View next;
  std::set<NodeIndex> dead;
  bool holding = false, released = false;
  std::set<NodeIndex> acquired;
};

struct Rule {
  NodeIndex owner = 0;
  bool hold = false;
  bool contested = false;
};

struct Rules {
  View view;
  std::optional<Announced> transition;
  std::optional<View> former;  ///< from COMMIT to CLEAR

  Rule of(const Packet& packet) const {
    Rule rule{.owner = view.owner_of(packet.flow)};
    if (transition && packet.kind == Kind::kFlow) rule = during(*transition, packet.flow);
    if (former && rule.owner == kSelf) rule.contested |= former->owner_of(packet.flow) != kSelf;
    rule.contested &= packet.kind == Kind::kFlow;
    return rule;
  }

  NodeIndex next_owner(const Record& record) const {
    return transition ? transition->next.owner_of(record) : view.owner_of(record);
  }
  NodeIndex heir(const Record& record) const {
    const bool takeover = transition && !transition->dead.empty();
    return takeover ? transition->next.owner_of(record) : view.owner_of(record);
  }

 private:
  Rule during(const Announced& change, const Key& flow) const {
    const NodeIndex before = view.owner_of(flow), after = change.next.owner_of(flow);
    if (before == after) return {.owner = before};
    if (before == kSelf && !change.released) return {.owner = kSelf, .contested = true};
    if (before == kSelf) return {.owner = after};
    if (after != kSelf) return {.owner = before};
    if (change.acquired.count(before)) return {.owner = kSelf, .contested = true};
    return {.owner = before, .hold = change.holding};
  }
};

}  // namespace flowsieve_fuzz
