#include "addon/engine_wrap.h"

#include <cstdio>

#include "addon/convert.h"
#include "addon/task.h"

namespace flowsieve::addon {
namespace {

Mac to_mac(const Napi::Value& value) {
  Mac mac{};
  const std::string text = value.As<Napi::String>().Utf8Value();
  unsigned parts[6];
  if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x", &parts[0], &parts[1], &parts[2],
                  &parts[3], &parts[4], &parts[5]) != 6) {
    throw to_js_error(value.Env(), {ErrorCode::kArgument,
                                    "Expected a MAC address for the link "
                                    "address but received '" +
                                        text + "'."});
  }
  for (size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<uint8_t>(parts[i]);
  return mac;
}

std::string to_text(const Mac& mac) {
  char text[18];
  std::snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                mac[4], mac[5]);
  return text;
}

LinkMode to_link_mode(const std::string& name) {
  if (name == "unicast") return LinkMode::kUnicast;
  return name == "none" ? LinkMode::kNone : LinkMode::kMulticast;
}

EngineOptions to_engine_options(const Napi::Object& from) {
  EngineOptions options;
  const auto worker = from.Get("worker").As<Napi::Object>();
  options.worker = to_worker_options(worker);
  options.workers = std::max(1u, from.Get("workers").As<Napi::Number>().Uint32Value());
  options.interface = from.Get("interface").As<Napi::String>().Utf8Value();
  options.device = from.Get("device").As<Napi::String>().Utf8Value();
  options.link = to_link_mode(from.Get("link").As<Napi::String>().Utf8Value());
  if (options.link != LinkMode::kNone) options.cluster_mac = to_mac(from.Get("linkAddress"));
  options.addresses = to_addresses(worker.Get("addresses"));
  return options;
}

Napi::Value from_snapshot(Napi::Env env, const WorkerSnapshot& snapshot) {
  Napi::Object made = from_counters(env, snapshot.counters);
  made.Set("sizes", from_sizes(env, snapshot.sizes));
  made.Set("fragmentsWaiting", snapshot.fragments_waiting);
  made.Set("now", snapshot.now);
  made.Set("memoryBytes", static_cast<double>(snapshot.memory_bytes));
  made.Set("samples", from_structs(env, snapshot.samples));
  return made;
}

Napi::Value undefined(Napi::Env env, std::monostate&) {
  return env.Undefined();
}

}  // namespace

Napi::Function EngineWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Engine",
      {InstanceMethod<&EngineWrap::start>("start"), InstanceMethod<&EngineWrap::stop>("stop"),
       InstanceMethod<&EngineWrap::close>("close"),
       InstanceMethod<&EngineWrap::replace_criteria>("replaceCriteria"),
       InstanceMethod<&EngineWrap::snapshot>("snapshot"),
       InstanceMethod<&EngineWrap::connections>("connections"),
       InstanceMethod<&EngineWrap::announce>("announce")});
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info) {
  const EngineOptions options = to_engine_options(info[0].As<Napi::Object>());
  const Criteria criteria = to_criteria(info[1].As<Napi::Object>());
  engine_ = value_or_throw(info.Env(), Engine::create(options, criteria));
}

std::shared_ptr<Engine> EngineWrap::open_engine(Napi::Env env) const {
  if (engine_) return engine_;
  throw to_js_error(env, {ErrorCode::kState, "Expected an open engine but received a closed one."});
}

void EngineWrap::start(const Napi::CallbackInfo& info) {
  value_or_throw(info.Env(), open_engine(info.Env())->start());
}

Napi::Value EngineWrap::stop(const Napi::CallbackInfo& info) {
  return Task<std::monostate>::run(
      Value(),
      [engine = open_engine(info.Env())]() -> Status {
        engine->stop();
        return ok_status();
      },
      undefined);
}

/// Stops, and gives rings, device and memory back when the last call under way is done.
Napi::Value EngineWrap::close(const Napi::CallbackInfo&) {
  return Task<std::monostate>::run(
      Value(),
      [engine = std::exchange(engine_, nullptr)]() mutable -> Status {
        if (engine) engine->stop();
        engine.reset();
        return ok_status();
      },
      undefined);
}

Napi::Value EngineWrap::replace_criteria(const Napi::CallbackInfo& info) {
  return Task<std::monostate>::run(
      Value(),
      [engine = open_engine(info.Env()),
       criteria = to_criteria(info[0].As<Napi::Object>())]() -> Status {
        engine->replace_criteria(criteria);
        return ok_status();
      },
      undefined);
}

Napi::Value EngineWrap::snapshot(const Napi::CallbackInfo& info) {
  using Snapshots = std::vector<WorkerSnapshot>;
  return Task<Snapshots>::run(
      Value(),
      [engine = open_engine(info.Env())]() -> Result<Snapshots> { return engine->snapshot(); },
      [](Napi::Env env, Snapshots& snapshots) -> Napi::Value {
        auto made = Napi::Array::New(env, snapshots.size());
        for (uint32_t i = 0; i < snapshots.size(); ++i) {
          made.Set(i, from_snapshot(env, snapshots[i]));
        }
        return made;
      });
}

Napi::Value EngineWrap::connections(const Napi::CallbackInfo& info) {
  const auto engine = open_engine(info.Env());
  const uint32_t worker = info[0].As<Napi::Number>().Uint32Value();
  bool lossless = false;
  const uint64_t cursor = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  const uint32_t limit = info[2].As<Napi::Number>().Uint32Value();
  if (worker >= engine->workers()) {
    throw to_js_error(info.Env(), {ErrorCode::kArgument,
                                   "Expected a worker below " + std::to_string(engine->workers()) +
                                       " but received " + std::to_string(worker) + "."});
  }
  return Task<RecordBlock>::run(
      Value(),
      [engine, worker, cursor, limit]() -> Result<RecordBlock> {
        return engine->connections(worker, cursor, limit);
      },
      [](Napi::Env env, RecordBlock& block) -> Napi::Value {
        auto made = Napi::Object::New(env);
        made.Set("records", from_structs(env, block.records));
        made.Set("cursor", Napi::BigInt::New(env, block.cursor));
        made.Set("now", block.now);
        return made;
      });
}

Napi::Value EngineWrap::announce(const Napi::CallbackInfo& info) {
  return Task<std::monostate>::run(
      Value(),
      [engine = open_engine(info.Env())]() -> Status {
        engine->announce();
        return ok_status();
      },
      undefined);
}

Napi::Value find_clashes_on_link(const Napi::CallbackInfo& info) {
  const std::string interface = info[0].As<Napi::String>().Utf8Value();
  const std::vector<Address> addresses = to_addresses(info[1]);
  const Mac mac = to_mac(info[2]);
  const int wait_ms = info[3].As<Napi::Number>().Int32Value();
  using Clashes = std::vector<Clash>;
  return Task<Clashes>::run(
      Napi::Object::New(info.Env()),
      [=]() -> Result<Clashes> { return find_clashes(interface, addresses, mac, wait_ms); },
      [](Napi::Env env, Clashes& clashes) -> Napi::Value {
        auto made = Napi::Array::New(env, clashes.size());
        for (uint32_t i = 0; i < clashes.size(); ++i) {
          auto clash = Napi::Object::New(env);
          clash.Set("address", from_bytes(env, clashes[i].address.data(), sizeof(Address)));
          clash.Set("linkAddress", to_text(clashes[i].mac));
          made.Set(i, clash);
        }
        return made;
      });
}

}  // namespace flowsieve::addon
