// Between JavaScript values and the engine's types. The TypeScript layer has validated what comes
// down; here only that is checked again what could corrupt memory. Many values cross as one typed
// array, not as many small objects.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "decide/decide.h"
#include "wire/link.h"
#include "worker/worker.h"

namespace flowsieve::addon {

/// A JavaScript Error with `code` (argument, privilege, missing, system, format, state).
Napi::Error to_js_error(Napi::Env env, const Error& error);
/// The value, or throws it as a JavaScript error.
template <typename T>
T value_or_throw(Napi::Env env, Result<T> result) {
  if (!result) throw to_js_error(env, result.error());
  return std::move(result.value());
}

/// {hash, key: Buffer(40), fields, sourcePrefixIpv4, …, symmetric, buckets, rules}
DistributionOptions to_distribution(const Napi::Object& from);
/// A Uint16Array with the owner of each bucket that has one; behind them, where `distribution` has
/// it, stands the one of what is refused.
std::vector<NodeIndex> to_owners(const Napi::Value& value, const Distribution& distribution);
/// {ports: Uint16Array, configs: [{id, serverIdLength, nonceLength, encodesLength, key: Buffer(16) | null}],
/// servers: [{serverId: Buffer, node}]}
QuicLbOptions to_quic(const Napi::Object& from);
/// {distribution, epoch, self, owners: Uint16Array, tracking, monitoring, forwards, quic?}
Criteria to_criteria(const Napi::Object& from);
/// {capacity, openingShare, timeouts: number[15] in seconds, nodes, self, addresses: Buffer | null,
/// linkAddresses: string[] (without addresses: a gateway's), bothDirections, sampleEvery, fragments, holdBytes, holdMs}
WorkerOptions to_worker_options(const Napi::Object& from);
/// {address: Buffer(16), firstPort, lastPort, owner}[]
Reserved to_reserved(const Napi::Array& from);
/// none, node, clientChosen, …
const char* quic_id_name(QuicId id);
LinkType to_link_type(const Napi::Value& name);
/// Sixteen bytes each.
std::vector<Address> to_addresses(const Napi::Value& buffer);
/// 01:00:5e:00:00:64
Mac to_mac(const Napi::Value& value);
std::string to_text(const Mac& mac);

/// {counts: Float64Array, drops: Float64Array}, in the order of vocabulary().
Napi::Object from_counters(Napi::Env env, const Counters& counters);
Napi::Object from_sizes(Napi::Env env, const TableSizes& sizes);
Napi::Value from_bytes(Napi::Env env, const void* data, size_t size);
/// Plain structs, one behind the other, as one Buffer.
template <typename T>
Napi::Value from_structs(Napi::Env env, const std::vector<T>& structs) {
  return from_bytes(env, structs.data(), structs.size() * sizeof(T));
}

/// Every list of words that both layers share: drops, counters, hash layout version, struct sizes.
Napi::Value vocabulary(const Napi::CallbackInfo& info);

}  // namespace flowsieve::addon
