// What a dispatcher's engine takes and gives, between JavaScript values and the engine's types.
#pragma once

#include <napi.h>

#include <vector>

#include "decide/selection.h"
#include "engine/snapshot.h"
#include "wire/encapsulate.h"

namespace flowsieve::addon {

/// {down: number[], candidates: [node, weight][]}: node indexes.
Dispatching to_dispatching(const Napi::Object& from);
/// [{node, mode, interface, source, destination, mtu, local, remote, port}], as a list by NodeIndex;
/// nodes that are not in it have no known hop. `destination`: a MAC, or null where it is not known.
std::vector<Hop> to_hops(const Napi::Value& value);
/// Float64Array: packets, bytes, connections of each node, by NodeIndex.
Napi::Value from_nodes(Napi::Env env, const std::vector<NodeCounts>& nodes);

/// findWays(addresses: Buffer) -> promise of [{routed, onLink, interface, nextHop, source, mtu,
/// linkMtu, linkAddress, state, nextLinkAddress}]
Napi::Value find_ways_now(const Napi::CallbackInfo& info);

}  // namespace flowsieve::addon
