#include "allocation/rules.h"

#include <algorithm>
#include <cassert>

namespace flowsieve {
namespace {

template <typename T>
bool contains(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

/// The rule matches this address and protocol, whatever the port. Null: an address, or a protocol,
/// that no rule names.
bool matches(const Rule& rule, const Address* address, std::optional<uint8_t> protocol) {
  const bool address_fits =
      rule.addresses.empty() || (address && contains(rule.addresses, *address));
  const bool protocol_fits =
      rule.protocols.empty() || (protocol && contains(rule.protocols, *protocol));
  const bool ports_fit = rule.ports.empty() || (protocol && has_ports(*protocol));
  return address_fits && protocol_fits && ports_fit;
}

bool matches_port(const Rule& rule, uint32_t port) {
  const auto fits = [port](PortRange range) { return range.first <= port && port <= range.last; };
  return rule.ports.empty() || std::any_of(rule.ports.begin(), rule.ports.end(), fits);
}

/// Where the answer may change: at the first port of a range, and behind its last.
std::vector<uint32_t> borders(const std::vector<Rule>& rules, const std::vector<uint16_t>& which) {
  std::vector<uint32_t> ports{0};
  for (const uint16_t i : which) {
    for (const PortRange range : rules[i].ports) {
      ports.push_back(range.first);
      if (range.last < UINT16_MAX) ports.push_back(range.last + 1u);
    }
  }
  std::sort(ports.begin(), ports.end());
  ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
  return ports;
}

}  // namespace

void RuleTable::number_addresses(const std::vector<Rule>& rules) {
  for (const Rule& rule : rules) {
    for (const Address& address : rule.addresses) {
      if (!contains(addresses_, address)) addresses_.push_back(address);
    }
  }
}

std::vector<std::optional<uint8_t>> RuleTable::number_protocols(const std::vector<Rule>& rules) {
  // Those with ports have a class each, named or not: a rule may ask for ports alone.
  std::vector<std::optional<uint8_t>> of_class{std::nullopt};
  const auto number = [&](uint8_t protocol) {
    if (class_of_protocol_[protocol] != 0) return;
    class_of_protocol_[protocol] = static_cast<uint16_t>(of_class.size());
    of_class.emplace_back(protocol);
  };
  for (unsigned protocol = 0; protocol < 256; ++protocol) {
    if (has_ports(static_cast<uint8_t>(protocol))) number(static_cast<uint8_t>(protocol));
  }
  for (const Rule& rule : rules) {
    for (const uint8_t protocol : rule.protocols) number(protocol);
  }
  return of_class;
}

void RuleTable::add_group(const std::vector<Rule>& rules, const Address* address,
                          std::optional<uint8_t> protocol) {
  begin_of_group_.push_back(static_cast<uint32_t>(intervals_.size()));
  std::vector<uint16_t> which;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (matches(rules[i], address, protocol)) which.push_back(static_cast<uint16_t>(i));
  }
  uint32_t last = UINT32_MAX;
  for (const uint32_t port : borders(rules, which)) {
    const auto first = std::find_if(which.begin(), which.end(),
                                    [&](uint16_t i) { return matches_port(rules[i], port); });
    const uint16_t rule = first == which.end() ? kNoRule : *first;
    if (rule != last) intervals_.push_back({static_cast<uint16_t>(port), rule});
    last = rule;
  }
}

RuleTable::RuleTable(const std::vector<Rule>& rules) {
  assert(rules.size() <= kRulesMax);
  number_addresses(rules);
  const auto of_class = number_protocols(rules);
  classes_ = of_class.size();
  for (size_t place = 0; place <= addresses_.size(); ++place) {
    const Address* address = place == 0 ? nullptr : &addresses_[place - 1];
    for (const auto protocol : of_class) add_group(rules, address, protocol);
  }
  begin_of_group_.push_back(static_cast<uint32_t>(intervals_.size()));
}

uint16_t RuleTable::find(const Address& destination, uint8_t protocol, uint16_t port) const {
  size_t place = 0;
  for (size_t i = 0; i < addresses_.size(); ++i) {
    if (addresses_[i] == destination) place = i + 1;
  }
  const size_t group = place * classes_ + class_of_protocol_[protocol];
  const Interval* begin = intervals_.data() + begin_of_group_[group];
  const Interval* end = intervals_.data() + begin_of_group_[group + 1];
  // The first interval begins at port 0, so there is always one before.
  const Interval* behind = std::upper_bound(
      begin, end, port, [](uint16_t wanted, const Interval& each) { return wanted < each.first; });
  return behind[-1].rule;
}

}  // namespace flowsieve
