#include "addon/handover.h"

#include <cstring>
#include <string>
#include <utility>

#include "addon/convert.h"
#include "addon/dispatch.h"

namespace flowsieve::addon {
namespace {

static_assert(sizeof(Record) == 64, "lib/native/records.ts reads this layout");

constexpr std::pair<const char*, ListKind> kListKinds[] = {
    {"tables", ListKind::kTables}, {"own", ListKind::kOwn},
    {"moving", ListKind::kMoving}, {"released", ListKind::kReleased},
    {"claims", ListKind::kClaims}, {"contested", ListKind::kContested},
};

[[noreturn]] void refuse(Napi::Env env, const std::string& message) {
  throw to_js_error(env, {ErrorCode::kArgument, message});
}

Napi::Value from_audit(Napi::Env env, const std::vector<AuditEpoch>& audit) {
  auto made = Napi::Array::New(env, audit.size());
  for (uint32_t i = 0; i < audit.size(); ++i) {
    auto epoch = Napi::Object::New(env);
    epoch.Set("epoch", audit[i].epoch);
    epoch.Set("seen", static_cast<double>(audit[i].seen));
    epoch.Set("seenSum", Napi::BigInt::New(env, audit[i].seen_sum));
    epoch.Set("taken", static_cast<double>(audit[i].taken));
    epoch.Set("takenSum", Napi::BigInt::New(env, audit[i].taken_sum));
    made.Set(i, epoch);
  }
  return made;
}

Napi::Value from_snapshot(Napi::Env env, const WorkerSnapshot& snapshot) {
  Napi::Object made = from_counters(env, snapshot.counters);
  made.Set("sizes", from_sizes(env, snapshot.sizes));
  made.Set("fragmentsWaiting", snapshot.fragments_waiting);
  made.Set("now", snapshot.now);
  made.Set("memoryBytes", static_cast<double>(snapshot.memory_bytes));
  made.Set("samples", from_structs(env, snapshot.samples));
  made.Set("held", snapshot.held);
  made.Set("contested", static_cast<double>(snapshot.contested));
  made.Set("nodes", from_nodes(env, snapshot.nodes));
  made.Set("audit", from_audit(env, snapshot.audit));
  return made;
}

}  // namespace

Transition to_transition(const Napi::Value& value, NodeIndex self) {
  const auto from = value.As<Napi::Object>();
  Transition transition{
      .distribution = Distribution(to_distribution(from.Get("distribution").As<Napi::Object>())),
      .next = {.epoch = from.Get("epoch").As<Napi::Number>().Uint32Value(),
               .self = self,
               .owner = {}},
      .dead = to_nodes(from.Get("dead")),
      .acquired = {}};
  transition.next.owner = to_owners(from.Get("owners"), transition.distribution);
  return transition;
}

std::vector<NodeIndex> to_nodes(const Napi::Value& value) {
  const auto from = value.As<Napi::Array>();
  std::vector<NodeIndex> nodes;
  nodes.reserve(from.Length());
  for (uint32_t i = 0; i < from.Length(); ++i) {
    const uint32_t index = from.Get(i).As<Napi::Number>().Uint32Value();
    if (index >= UINT16_MAX) {
      refuse(value.Env(),
             "Expected node indexes below 65535 but received " + std::to_string(index) + ".");
    }
    nodes.push_back(static_cast<NodeIndex>(index));
  }
  return nodes;
}

std::vector<NodeIndex> to_owner_table(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint16_array) {
    refuse(value.Env(), "Expected a Uint16Array of owners but received something else.");
  }
  const auto owners = value.As<Napi::Uint16Array>();
  return {owners.Data(), owners.Data() + owners.ElementLength()};
}

ListKind to_list_kind(const Napi::Value& value) {
  if (value.IsUndefined()) return ListKind::kMoving;
  const std::string name = value.As<Napi::String>().Utf8Value();
  for (const auto& [word, kind] : kListKinds) {
    if (name == word) return kind;
  }
  refuse(value.Env(), "Expected a known kind of list but received '" + name + "'.");
}

std::vector<Record> to_records(const Napi::Value& value) {
  const auto bytes = value.As<Napi::Uint8Array>();
  if (bytes.ByteLength() % sizeof(Record) != 0) {
    refuse(value.Env(), "Expected whole records of 64 bytes but received " +
                            std::to_string(bytes.ByteLength()) + " bytes.");
  }
  std::vector<Record> records(bytes.ByteLength() / sizeof(Record));
  if (!records.empty()) std::memcpy(records.data(), bytes.Data(), bytes.ByteLength());
  return records;
}

uint64_t to_uint64(const Napi::Value& bigint) {
  bool lossless = false;
  return bigint.As<Napi::BigInt>().Uint64Value(&lossless);
}

void check_worker(Napi::Env env, uint32_t worker, uint32_t workers) {
  if (worker < workers) return;
  refuse(env, "Expected a worker below " + std::to_string(workers) + " but received " +
                  std::to_string(worker) + ".");
}

ExportRequest to_export_request(const Napi::CallbackInfo& info, uint32_t workers) {
  const ExportRequest request{
      .kind = to_list_kind(info[0]),
      .to = static_cast<NodeIndex>(info[1].As<Napi::Number>().Uint32Value()),
      .worker = info[2].As<Napi::Number>().Uint32Value(),
      .cursor = to_uint64(info[3]),
      .limit = info[4].As<Napi::Number>().Uint32Value()};
  check_worker(info.Env(), request.worker, workers);
  return request;
}

Expectation to_expectation(const Napi::Value& value) {
  const auto bytes = value.As<Napi::Uint8Array>();
  Expectation expectation;
  if (bytes.ByteLength() == sizeof(Expectation)) {
    std::memcpy(&expectation, bytes.Data(), sizeof(Expectation));
    if (is_well_formed(expectation)) return expectation;
  }
  refuse(value.Env(), "Expected a well-formed expectation of 64 bytes but received " +
                          std::to_string(bytes.ByteLength()) + " others.");
}

Napi::Value from_outcome(Napi::Env env, Expectations::Outcome outcome) {
  static constexpr const char* kNames[] = {"done",  "full",  "nodeFull",
                                           "masks", "taken", "malformed"};
  return Napi::String::New(env, kNames[static_cast<size_t>(outcome)]);
}

Napi::Value from_expectations(Napi::Env env, const ExpectationList& list) {
  auto matched = Napi::Float64Array::New(env, list.matched.size());
  for (size_t i = 0; i < list.matched.size(); ++i) {
    matched[i] = static_cast<double>(list.matched[i]);
  }
  auto made = Napi::Object::New(env);
  made.Set("expectations", from_structs(env, list.expectations));
  made.Set("matched", matched);
  made.Set("now", list.now);
  return made;
}

Napi::Value from_block(Napi::Env env, const RecordBlock& block) {
  auto made = Napi::Object::New(env);
  made.Set("records", from_structs(env, block.records));
  made.Set("cursor", Napi::BigInt::New(env, block.cursor));
  made.Set("now", block.now);
  return made;
}

Napi::Value from_imported(Napi::Env env, const ConnectionTable::Imported& imported) {
  auto made = Napi::Object::New(env);
  made.Set("inserted", imported.inserted);
  made.Set("corrected", imported.corrected);
  made.Set("known", imported.known);
  made.Set("refused", imported.refused);
  made.Set("full", imported.full);
  made.Set("evicted", imported.evicted);
  made.Set("disputed", imported.disputed);
  return made;
}

Napi::Value from_resolved(Napi::Env env, const Resolved& resolved) {
  auto made = Napi::Object::New(env);
  made.Set("opened", static_cast<double>(resolved.opened));
  made.Set("followed", static_cast<double>(resolved.followed));
  made.Set("expired", static_cast<double>(resolved.expired));
  return made;
}

Napi::Value from_snapshots(Napi::Env env, std::span<const WorkerSnapshot> snapshots) {
  auto made = Napi::Array::New(env, snapshots.size());
  for (uint32_t i = 0; i < snapshots.size(); ++i) made.Set(i, from_snapshot(env, snapshots[i]));
  return made;
}

}  // namespace flowsieve::addon
