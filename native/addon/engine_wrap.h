// Engine, as JavaScript sees it: new Engine(options, criteria) opens everything or throws; start(),
// stop(), replaceCriteria(), snapshot(), connections(), announce(), close().
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
  Napi::Value replace_criteria(const Napi::CallbackInfo& info);
  Napi::Value snapshot(const Napi::CallbackInfo& info);
  Napi::Value connections(const Napi::CallbackInfo& info);
  Napi::Value announce(const Napi::CallbackInfo& info);

  /// The engine, shared with calls that are under way; throws when it has been closed.
  std::shared_ptr<Engine> open_engine(Napi::Env env) const;

  std::shared_ptr<Engine> engine_;
};

/// findClashes(interface, addresses, linkAddress, waitMs) -> Promise<{address, linkAddress}[]>
Napi::Value find_clashes_on_link(const Napi::CallbackInfo& info);

}  // namespace flowsieve::addon
