#include "addon/convert_rules.h"

#include <cstring>
#include <string>

#include "addon/convert.h"

namespace flowsieve::addon {
namespace {

[[noreturn]] void refuse(Napi::Env env, const std::string& message) {
  throw to_js_error(env, {ErrorCode::kArgument, message});
}

RuleAction to_action(const Napi::Value& value) {
  const std::string name = value.As<Napi::String>().Utf8Value();
  if (name == "distribute") return RuleAction::kDistribute;
  if (name == "single") return RuleAction::kSingle;
  if (name == "refuse") return RuleAction::kRefuse;
  if (name == "pass") return RuleAction::kPass;
  refuse(value.Env(), "Expected a known action of a rule but received '" + name + "'.");
}

uint8_t prefix(const Napi::Object& from, const char* name, uint32_t max) {
  const uint32_t bits = from.Get(name).As<Napi::Number>().Uint32Value();
  if (bits > max) {
    refuse(from.Env(), "Expected a prefix of at most " + std::to_string(max) +
                           " bits in a rule but received " + std::to_string(bits) + ".");
  }
  return static_cast<uint8_t>(bits);
}

HashedFields to_hashed_fields(const Napi::Object& from) {
  return {static_cast<uint8_t>(from.Get("fields").As<Napi::Number>().Uint32Value()),
          prefix(from, "sourcePrefixIpv4", 32), prefix(from, "sourcePrefixIpv6", 128),
          prefix(from, "destinationPrefixIpv4", 32), prefix(from, "destinationPrefixIpv6", 128)};
}

std::vector<PortRange> to_port_ranges(const Napi::Value& value) {
  const auto numbers = value.As<Napi::Uint16Array>();
  std::vector<PortRange> ranges(numbers.ElementLength() / 2);
  for (size_t i = 0; i < ranges.size(); ++i) {
    ranges[i] = {numbers[2 * i], numbers[2 * i + 1]};
    if (ranges[i].first > ranges[i].last)
      refuse(value.Env(), "Expected ascending ports in a rule.");
  }
  return ranges;
}

Rule to_rule(const Napi::Object& from) {
  Rule rule;
  rule.addresses = to_addresses(from.Get("addresses"));
  const auto protocols = from.Get("protocols").As<Napi::Array>();
  for (uint32_t i = 0; i < protocols.Length(); ++i) {
    rule.protocols.push_back(
        static_cast<uint8_t>(protocols.Get(i).As<Napi::Number>().Uint32Value()));
  }
  rule.ports = to_port_ranges(from.Get("ports"));
  rule.action = to_action(from.Get("action"));
  rule.hashed = to_hashed_fields(from);
  return rule;
}

}  // namespace

std::vector<Rule> to_rules(const Napi::Value& value) {
  if (value.IsUndefined()) return {};
  const auto from = value.As<Napi::Array>();
  if (from.Length() > RuleTable::kRulesMax) {
    refuse(value.Env(), "Expected at most " + std::to_string(RuleTable::kRulesMax) +
                            " rules but received " + std::to_string(from.Length()) + ".");
  }
  std::vector<Rule> rules;
  size_t ranges = 0;
  for (uint32_t i = 0; i < from.Length(); ++i) {
    rules.push_back(to_rule(from.Get(i).As<Napi::Object>()));
    ranges += rules.back().ports.size();
  }
  if (ranges > RuleTable::kPortRangesMax) {
    refuse(value.Env(), "Expected at most " + std::to_string(RuleTable::kPortRangesMax) +
                            " ranges of ports in all rules but received " + std::to_string(ranges) +
                            ".");
  }
  return rules;
}

}  // namespace flowsieve::addon
