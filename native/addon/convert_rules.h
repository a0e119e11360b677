// Port rules as they come from JavaScript.
#pragma once

#include <napi.h>

#include <vector>

#include "allocation/rules.h"

namespace flowsieve::addon {

/// An array of {addresses: Buffer, sixteen bytes each; protocols: number[]; ports: Uint16Array of
/// first and last; action: distribute | single | refuse | pass; fields, sourcePrefixIpv4, …}.
/// Undefined: none. Throws what RuleTable could not take.
std::vector<Rule> to_rules(const Napi::Value& value);

}  // namespace flowsieve::addon
