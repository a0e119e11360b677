// What a comparison with the operating system's list takes and gives, between JavaScript values and
// the engine's types.
#pragma once

#include <napi.h>

#include "engine/reconcile.h"

namespace flowsieve::addon {

/// {match: {source, sourcePort, destination, destinationPort}, conntrack: auto | always | never,
/// dry, anywhere, named}
ReconcileOptions to_reconcile_options(const Napi::Object& from);
/// {checked, dropped, closed, restored, unmatched, noRoom, left, sockets, tracked, malformed,
/// conntrack, keys: Buffer, outcomes: string[]}
Napi::Value from_reconcile_report(Napi::Env env, const ReconcileReport& report);

}  // namespace flowsieve::addon
