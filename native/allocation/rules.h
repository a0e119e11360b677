// Port rules: an ordered list, of which the first that matches a packet of unknown connection says
// what is done with it. What none matches is distributed as the distribution says.
//
//   { addresses, protocols, ports } -> distribute (by other fields) | single | refuse | pass
//
// The list is compiled once into sorted intervals, so that a look costs a few comparisons, however
// many rules there are, and no memory:
//
//   destination address --linear--> place 0 … n --.
//                                                 |--> group --binary search--> interval -> rule
//   protocol ------------table----> class 0 … m --'              by port
//
// A place or class of 0 stands for everything that no rule names. A group lists the intervals of
// ports, in ascending order and without gaps, each with the first rule that matches it.
//
// What it does not look at: the source, since a rule belongs to a service and not to a client.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"

namespace flowsieve {

enum class RuleAction : uint8_t {
  kDistribute,  ///< by its bucket, of the fields that the rule names
  kSingle,      ///< all of it to one node
  kRefuse,      ///< to nobody: discarded and counted
  kPass,        ///< to every node's own kernel: not cluster traffic
};

/// Ports `first` to `last`, both included; first <= last.
struct PortRange {
  uint16_t first, last;
  bool operator==(const PortRange&) const = default;
};

/// Which header fields count, and how many leading bits of the addresses. The fields are bits,
/// kFieldSource and so on (allocation/distribution.h).
struct HashedFields {
  uint8_t fields = 0;
  uint8_t source_prefix_ipv4 = 32, source_prefix_ipv6 = 128;
  uint8_t destination_prefix_ipv4 = 32, destination_prefix_ipv6 = 128;
  bool operator==(const HashedFields&) const = default;
};

struct Rule {
  std::vector<Address> addresses{};  ///< destinations; empty: any
  std::vector<uint8_t> protocols{};  ///< IANA numbers; empty: any
  /// Destination ports; empty: any. A rule with ports matches only protocols that have them
  /// (has_ports()).
  std::vector<PortRange> ports{};
  RuleAction action = RuleAction::kDistribute;
  HashedFields hashed{};  ///< of kDistribute
  bool operator==(const Rule&) const = default;
};

/// TCP, UDP and SCTP. The identifier of an ICMP query stands where ports do, and is none.
inline constexpr bool has_ports(uint8_t protocol) {
  return protocol == 6 || protocol == 17 || protocol == 132;
}

/// Immutable once made.
class RuleTable {
 public:
  static constexpr size_t kRulesMax = 64;
  /// Of all rules together: bounds the memory of a table.
  static constexpr size_t kPortRangesMax = 512;
  static constexpr uint16_t kNoRule = UINT16_MAX;

  /// At most kRulesMax rules with kPortRangesMax ranges. Allocates; nothing else here does.
  explicit RuleTable(const std::vector<Rule>& rules);

  /// The place in the list of the first rule that matches, or kNoRule.
  uint16_t find(const Address& destination, uint8_t protocol, uint16_t port) const;

 private:
  struct Interval {
    uint16_t first;  ///< ports from here to the next one's first
    uint16_t rule;
  };

  void number_addresses(const std::vector<Rule>& rules);
  /// The protocol of each class; class 0 has none.
  std::vector<std::optional<uint8_t>> number_protocols(const std::vector<Rule>& rules);
  void add_group(const std::vector<Rule>& rules, const Address* address,
                 std::optional<uint8_t> protocol);

  std::vector<Address> addresses_;
  std::array<uint16_t, 256> class_of_protocol_{};
  size_t classes_ = 1;
  std::vector<uint32_t> begin_of_group_;  ///< by place * classes_ + class, and one behind the last
  std::vector<Interval> intervals_;
};

}  // namespace flowsieve
