// The look-up of port rules a second time: rule by rule, range by range, as docs/decisions/port-rules.md
// says it.
#pragma once

#include <algorithm>
#include <vector>

#include "allocation/rules.h"

namespace plain {

inline uint16_t find_rule(const std::vector<flowsieve::Rule>& rules,
                          const flowsieve::Address& destination, uint8_t protocol, uint16_t port) {
  for (size_t i = 0; i < rules.size(); ++i) {
    const flowsieve::Rule& rule = rules[i];
    bool address = rule.addresses.empty(), number = rule.protocols.empty();
    bool in_range = rule.ports.empty();
    for (const auto& each : rule.addresses) address |= each == destination;
    for (const uint8_t each : rule.protocols) number |= each == protocol;
    const bool ports = protocol == 6 || protocol == 17 || protocol == 132;
    for (const auto& each : rule.ports)
      in_range |= ports && port >= each.first && port <= each.last;
    if (address && number && in_range) return static_cast<uint16_t>(i);
  }
  return UINT16_MAX;
}

}  // namespace plain
