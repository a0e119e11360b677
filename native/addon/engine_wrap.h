// Engine, as JavaScript sees it: new Engine(options, criteria) opens everything or throws. What has
// to wait for workers returns a promise.
#pragma once

#include <napi.h>

#include <memory>

#include "engine/engine.h"

namespace flowsieve::addon {

class EngineWrap : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit EngineWrap(const Napi::CallbackInfo& info);

 private:
  void start(const Napi::CallbackInfo& info);
  Napi::Value stop(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value announce(const Napi::CallbackInfo& info);

  // The steps of a handover, and lists (engine/engine.h).
  void set_open_until(const Napi::CallbackInfo& info);
  Napi::Value reserve(const Napi::CallbackInfo& info);
  Napi::Value prepare(const Napi::CallbackInfo& info);
  Napi::Value hold(const Napi::CallbackInfo& info);
  Napi::Value release(const Napi::CallbackInfo& info);
  Napi::Value acquire(const Napi::CallbackInfo& info);
  Napi::Value takeover(const Napi::CallbackInfo& info);
  Napi::Value replace_criteria(const Napi::CallbackInfo& info);
  Napi::Value adopt(const Napi::CallbackInfo& info);
  Napi::Value clear_contested(const Napi::CallbackInfo& info);
  Napi::Value expect(const Napi::CallbackInfo& info);
  Napi::Value unexpect(const Napi::CallbackInfo& info);
  Napi::Value clear_expectations(const Napi::CallbackInfo& info);
  Napi::Value expectations(const Napi::CallbackInfo& info);
  Napi::Value export_list(const Napi::CallbackInfo& info);
  Napi::Value import_list(const Napi::CallbackInfo& info);
  Napi::Value set_hops(const Napi::CallbackInfo& info);
  void set_active_until(const Napi::CallbackInfo& info);
  Napi::Value connections(const Napi::CallbackInfo& info);
  Napi::Value reconcile(const Napi::CallbackInfo& info);
  Napi::Value snapshot(const Napi::CallbackInfo& info);

  template <typename Work>
  Napi::Value do_later(Napi::Env env, Work work) const;
  template <typename Work, typename Convert>
  Napi::Value ask_later(Napi::Env env, Work work, Convert convert) const;
  /// The engine, shared with calls that are under way; throws when it has been closed.
  std::shared_ptr<Engine> open_engine(Napi::Env env) const;

  std::shared_ptr<Engine> engine_;
  NodeIndex self_ = 0;
};

/// findClashes(interface, addresses, linkAddress, waitMs) -> Promise<{address, linkAddress}[]>
Napi::Value find_clashes_on_link(const Napi::CallbackInfo& info);

}  // namespace flowsieve::addon
