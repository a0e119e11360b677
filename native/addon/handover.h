// What the operations of a handover take and give, between JavaScript values and the engine's
// types: the same for the live engine and for a node in memory.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <vector>

#include "decide/transition.h"
#include "engine/snapshot.h"
#include "worker/worker.h"

namespace flowsieve::addon {

/// {distribution, epoch, owners: Uint16Array, dead: number[]}, as it is for node `self`.
Transition to_transition(const Napi::Value& value, NodeIndex self);
/// number[]
std::vector<NodeIndex> to_nodes(const Napi::Value& value);
/// Uint16Array: by the sender's index of a node, this process's.
std::vector<NodeIndex> to_owner_table(const Napi::Value& value);
/// Refuses a kind that is none; nothing is an ordinary one, "moving".
ListKind to_list_kind(const Napi::Value& value);
/// A Buffer of whole records, copied.
std::vector<Record> to_records(const Napi::Value& value);
uint64_t to_uint64(const Napi::Value& bigint);
/// Refuses a worker that is not below `workers`.
void check_worker(Napi::Env env, uint32_t worker, uint32_t workers);

/// exportList(kind, to, worker, cursor, limit)
struct ExportRequest {
  ListKind kind;
  NodeIndex to;
  uint32_t worker;
  uint64_t cursor;
  size_t limit;
};
/// Refuses a kind that is none, and a worker that is not below `workers`.
ExportRequest to_export_request(const Napi::CallbackInfo& info, uint32_t workers);

/// A Buffer with one Expectation; refuses one that could not be.
Expectation to_expectation(const Napi::Value& value);
/// done, full, nodeFull, masks, taken or malformed
Napi::Value from_outcome(Napi::Env env, Expectations::Outcome outcome);
/// {expectations: Buffer, matched: Float64Array, now}
Napi::Value from_expectations(Napi::Env env, const ExpectationList& list);

/// {records: Buffer, cursor: bigint, now}
Napi::Value from_block(Napi::Env env, const RecordBlock& block);
/// {inserted, corrected, known, refused, full, evicted, disputed}
Napi::Value from_imported(Napi::Env env, const ConnectionTable::Imported& imported);
/// {opened, followed, expired}
Napi::Value from_resolved(Napi::Env env, const Resolved& resolved);
/// An array, one object for each worker.
Napi::Value from_snapshots(Napi::Env env, std::span<const WorkerSnapshot> snapshots);

}  // namespace flowsieve::addon
