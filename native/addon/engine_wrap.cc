#include "addon/engine_wrap.h"

#include "addon/convert.h"
#include "addon/dispatch.h"
#include "addon/handover.h"
#include "addon/reconcile.h"
#include "addon/task.h"

namespace flowsieve::addon {
namespace {

LinkMode to_link_mode(const std::string& name) {
  if (name == "unicast") return LinkMode::kUnicast;
  return name == "none" ? LinkMode::kNone : LinkMode::kMulticast;
}

std::vector<GatewayNetwork> to_networks(const Napi::Array& from) {
  std::vector<GatewayNetwork> networks;
  for (uint32_t i = 0; i < from.Length(); ++i) {
    const auto network = from.Get(i).As<Napi::Object>();
    networks.push_back({network.Get("interface").As<Napi::String>().Utf8Value(),
                        to_mac(network.Get("linkAddress")),
                        to_addresses(network.Get("addresses"))});
  }
  return networks;
}

EngineOptions to_engine_options(const Napi::Object& from) {
  EngineOptions options;
  const auto worker = from.Get("worker").As<Napi::Object>();
  options.worker = to_worker_options(worker);
  options.workers = std::max(1u, from.Get("workers").As<Napi::Number>().Uint32Value());
  options.interface = from.Get("interface").As<Napi::String>().Utf8Value();
  options.device = from.Get("device").As<Napi::String>().Utf8Value();
  options.dispatch = from.Get("dispatch").ToBoolean();
  options.bypass = from.Get("bypass").ToBoolean();
  options.gather_ns = from.Get("gatherMicroseconds").As<Napi::Number>().Uint32Value() * 1000;
  options.link = to_link_mode(from.Get("link").As<Napi::String>().Utf8Value());
  if (options.link != LinkMode::kNone) options.cluster_mac = to_mac(from.Get("linkAddress"));
  const Napi::Value networks = from.Get("networks");
  if (networks.IsArray()) {
    options.networks = to_networks(networks.As<Napi::Array>());
  } else {
    options.addresses = to_addresses(worker.Get("addresses"));
  }
  return options;
}

Napi::Value undefined(Napi::Env env, std::monostate&) {
  return env.Undefined();
}

}  // namespace

Napi::Function EngineWrap::define(Napi::Env env) {
  using Self = EngineWrap;
  return DefineClass(env, "Engine",
                     {InstanceMethod<&Self::start>("start"),
                      InstanceMethod<&Self::stop>("stop"),
                      InstanceMethod<&Self::close>("close"),
                      InstanceMethod<&Self::announce>("announce"),
                      InstanceMethod<&Self::set_open_until>("setOpenUntil"),
                      InstanceMethod<&Self::reserve>("reserve"),
                      InstanceMethod<&Self::prepare>("prepare"),
                      InstanceMethod<&Self::hold>("hold"),
                      InstanceMethod<&Self::release>("release"),
                      InstanceMethod<&Self::acquire>("acquire"),
                      InstanceMethod<&Self::takeover>("takeover"),
                      InstanceMethod<&Self::replace_criteria>("replaceCriteria"),
                      InstanceMethod<&Self::adopt>("adopt"),
                      InstanceMethod<&Self::clear_contested>("clearContested"),
                      InstanceMethod<&Self::expect>("expect"),
                      InstanceMethod<&Self::unexpect>("unexpect"),
                      InstanceMethod<&Self::clear_expectations>("clearExpectations"),
                      InstanceMethod<&Self::expectations>("expectations"),
                      InstanceMethod<&Self::export_list>("exportList"),
                      InstanceMethod<&Self::import_list>("importList"),
                      InstanceMethod<&Self::set_hops>("setHops"),
                      InstanceMethod<&Self::set_active_until>("setActiveUntil"),
                      InstanceMethod<&Self::connections>("connections"),
                      InstanceMethod<&Self::reconcile>("reconcile"),
                      InstanceMethod<&Self::snapshot>("snapshot")});
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info) {
  const EngineOptions options = to_engine_options(info[0].As<Napi::Object>());
  const Criteria criteria = to_criteria(info[1].As<Napi::Object>());
  self_ = criteria.allocation.self;
  engine_ = value_or_throw(info.Env(), Engine::create(options, criteria));
}

std::shared_ptr<Engine> EngineWrap::open_engine(Napi::Env env) const {
  if (engine_) return engine_;
  throw to_js_error(env, {ErrorCode::kState, "Expected an open engine but received a closed one."});
}

void EngineWrap::start(const Napi::CallbackInfo& info) {
  value_or_throw(info.Env(), open_engine(info.Env())->start());
}

/// A promise that `work(engine)` has been done.
template <typename Work>
Napi::Value EngineWrap::do_later(Napi::Env env, Work work) const {
  return Task<std::monostate>::run(
      Value(),
      [engine = open_engine(env), work = std::move(work)]() -> Status {
        work(*engine);
        return ok_status();
      },
      undefined);
}

/// A promise of convert(env, work(engine)).
template <typename Work, typename Convert>
Napi::Value EngineWrap::ask_later(Napi::Env env, Work work, Convert convert) const {
  using Answer = decltype(work(*engine_));
  return Task<Answer>::run(
      Value(),
      [engine = open_engine(env), work = std::move(work)]() mutable -> Result<Answer> {
        return work(*engine);
      },
      [convert](Napi::Env then, Answer& answer) -> Napi::Value { return convert(then, answer); });
}

Napi::Value EngineWrap::stop(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [](Engine& engine) { engine.stop(); });
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

Napi::Value EngineWrap::announce(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [](Engine& engine) { engine.announce(); });
}

void EngineWrap::set_open_until(const Napi::CallbackInfo& info) {
  open_engine(info.Env())->set_open_until(to_uint64(info[0]));
}

Napi::Value EngineWrap::reserve(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [reserved = to_reserved(info[0].As<Napi::Array>())](Engine& engine) {
    engine.reserve(reserved);
  });
}

Napi::Value EngineWrap::prepare(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [transition = to_transition(info[0], self_)](Engine& engine) {
    engine.prepare(transition);
  });
}

Napi::Value EngineWrap::hold(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [](Engine& engine) { engine.hold(); });
}

Napi::Value EngineWrap::release(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [](Engine& engine) { engine.release(); });
}

Napi::Value EngineWrap::acquire(const Napi::CallbackInfo& info) {
  return ask_later(
      info.Env(), [losers = to_nodes(info[0])](Engine& engine) { return engine.acquire(losers); },
      from_resolved);
}

Napi::Value EngineWrap::takeover(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [transition = to_transition(info[0], self_)](Engine& engine) {
    engine.takeover(transition);
  });
}

Napi::Value EngineWrap::replace_criteria(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [criteria = to_criteria(info[0].As<Napi::Object>())](Engine& engine) {
    engine.replace_criteria(criteria);
  });
}

Napi::Value EngineWrap::adopt(const Napi::CallbackInfo& info) {
  return ask_later(
      info.Env(), [dead = to_nodes(info[0])](Engine& engine) { return engine.adopt(dead); },
      [](Napi::Env env, uint64_t adopted) {
        return Napi::Number::New(env, static_cast<double>(adopted));
      });
}

Napi::Value EngineWrap::clear_contested(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [](Engine& engine) { engine.clear_contested(); });
}

Napi::Value EngineWrap::expect(const Napi::CallbackInfo& info) {
  return ask_later(
      info.Env(),
      [expectation = to_expectation(info[0])](Engine& engine) {
        return engine.expect(expectation);
      },
      from_outcome);
}

/// unexpect(owner, id)
Napi::Value EngineWrap::unexpect(const Napi::CallbackInfo& info) {
  const auto owner = static_cast<NodeIndex>(info[0].As<Napi::Number>().Uint32Value());
  return ask_later(
      info.Env(),
      [owner, id = to_uint64(info[1])](Engine& engine) { return engine.unexpect(owner, id); },
      [](Napi::Env env, bool was_there) { return Napi::Boolean::New(env, was_there); });
}

Napi::Value EngineWrap::clear_expectations(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [](Engine& engine) { engine.clear_expectations(); });
}

Napi::Value EngineWrap::expectations(const Napi::CallbackInfo& info) {
  return ask_later(
      info.Env(), [](Engine& engine) { return engine.expectations(); }, from_expectations);
}

Napi::Value EngineWrap::export_list(const Napi::CallbackInfo& info) {
  return ask_later(
      info.Env(),
      [asked = to_export_request(info, open_engine(info.Env())->workers())](Engine& engine) {
        return engine.export_list(asked.kind, asked.to, asked.worker, asked.cursor, asked.limit);
      },
      from_block);
}

Napi::Value EngineWrap::import_list(const Napi::CallbackInfo& info) {
  return ask_later(
      info.Env(),
      [records = to_records(info[0]), sender_now = info[1].As<Napi::Number>().Uint32Value(),
       owners = to_owner_table(info[2]), kind = to_list_kind(info[3])](Engine& engine) mutable {
        return engine.import_list(kind, records, sender_now, owners);
      },
      from_imported);
}

Napi::Value EngineWrap::set_hops(const Napi::CallbackInfo& info) {
  return do_later(info.Env(), [hops = to_hops(info[0])](Engine& engine) { engine.set_hops(hops); });
}

void EngineWrap::set_active_until(const Napi::CallbackInfo& info) {
  open_engine(info.Env())->set_active_until(to_uint64(info[0]));
}

/// connections(worker, cursor, limit)
Napi::Value EngineWrap::connections(const Napi::CallbackInfo& info) {
  const uint32_t worker = info[0].As<Napi::Number>().Uint32Value();
  const uint64_t cursor = to_uint64(info[1]);
  const uint32_t limit = info[2].As<Napi::Number>().Uint32Value();
  check_worker(info.Env(), worker, open_engine(info.Env())->workers());
  return ask_later(
      info.Env(), [=](Engine& engine) { return engine.connections(worker, cursor, limit); },
      from_block);
}

Napi::Value EngineWrap::reconcile(const Napi::CallbackInfo& info) {
  return Task<ReconcileReport>::run(
      Value(),
      [engine = open_engine(info.Env()),
       options = to_reconcile_options(info[0].As<Napi::Object>())] {
        return engine->reconcile(options);
      },
      [](Napi::Env env, ReconcileReport& report) { return from_reconcile_report(env, report); });
}

Napi::Value EngineWrap::snapshot(const Napi::CallbackInfo& info) {
  return ask_later(info.Env(), [](Engine& engine) { return engine.snapshot(); }, from_snapshots);
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
