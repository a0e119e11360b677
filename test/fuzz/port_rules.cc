// Any list of port rules: compiled, it gives every packet the rule that the plain walk through the
// list gives it, and a bucket that the distribution says it has.
//
//   input:  rules, each [action and protocol, addresses, how many ranges, ranges of four bytes];
//           ends with the input. Then every border of a range is asked for, and its neighbours.
#include "allocation/distribution.h"
#include "fuzz/fuzz.h"
#include "fuzz/input.h"
#include "native/allocation/plain_rules.h"

namespace {

using namespace flowsieve;
using namespace flowsieve_fuzz;

constexpr uint8_t kProtocols[] = {6, 17, 132, 1, 58, 47};

Address address(uint8_t number) {
  const uint8_t bytes[4] = {192, 0, 2, number};
  return mapped_ipv4(bytes);
}

uint16_t port(Input& input) {
  const unsigned high = input.byte();
  return static_cast<uint16_t>(high << 8 | input.byte());
}

Rule read_rule(Input& input, size_t ranges_left) {
  const uint8_t head = input.byte(), addresses = input.byte();
  Rule rule;
  rule.action = static_cast<RuleAction>(head & 3);
  rule.hashed.fields = static_cast<uint8_t>(1 + (head >> 6));
  for (size_t i = 0; i < std::size(kProtocols); ++i) {
    if (((head >> 2) & 7) == i + 1) rule.protocols.push_back(kProtocols[i]);
  }
  for (uint8_t i = 0; i < 4; ++i) {
    if (addresses >> i & 1) rule.addresses.push_back(address(i));
  }
  for (size_t i = std::min<size_t>(input.byte() & 15, ranges_left); i > 0; --i) {
    const uint16_t one = port(input), other = port(input);
    rule.ports.push_back({std::min(one, other), std::max(one, other)});
  }
  return rule;
}

void check(const Distribution& distribution, const std::vector<Rule>& rules, uint8_t number,
           uint8_t protocol, uint16_t port) {
  const Address destination = address(number), source = address(200);
  const HeaderFields fields{Family::kIpv4, source, destination, 1, port, protocol};
  const uint16_t expected = plain::find_rule(rules, destination, protocol, port);
  demand(distribution.rule(fields) == expected);
  const uint32_t bucket = distribution.bucket(fields), buckets = distribution.options().buckets;
  demand(bucket < distribution.buckets_in_all());
  if (expected == UINT16_MAX || rules[expected].action == RuleAction::kDistribute) {
    demand(bucket < buckets);
  } else if (rules[expected].action == RuleAction::kSingle) {
    const auto end = rules.begin() + expected;
    const auto before = std::count_if(
        rules.begin(), end, [](const Rule& rule) { return rule.action == RuleAction::kSingle; });
    demand(bucket == buckets + static_cast<uint32_t>(before));
  } else {
    demand(distribution.is_nobodys(bucket) && bucket >= distribution.owned_buckets());
  }
  const bool passes = expected != UINT16_MAX && rules[expected].action == RuleAction::kPass;
  demand(distribution.passes(fields) == passes && (!passes || distribution.has_passes()));
}

}  // namespace

FLOWSIEVE_FUZZ_TARGET(port_rules, data, size) {
  Input input(data, size);
  DistributionOptions options;
  options.buckets = 16;
  size_t ranges = 0;
  std::vector<uint16_t> borders{0, 80, UINT16_MAX};
  while (!input.empty() && options.rules.size() < RuleTable::kRulesMax) {
    options.rules.push_back(read_rule(input, RuleTable::kPortRangesMax - ranges));
    ranges += options.rules.back().ports.size();
    for (const PortRange range : options.rules.back().ports) {
      for (const int step : {-1, 0, 1}) {
        borders.push_back(static_cast<uint16_t>(range.first + step));
        borders.push_back(static_cast<uint16_t>(range.last + step));
      }
    }
  }
  const Distribution distribution(options);
  for (const uint16_t border : borders) {
    for (uint8_t number = 0; number < 5; ++number) {
      for (const uint8_t protocol : {6, 17, 132, 1, 58, 47, 99}) {
        check(distribution, options.rules, number, protocol, border);
      }
    }
  }
}
