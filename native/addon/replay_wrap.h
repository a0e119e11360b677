// Replay, as JavaScript sees it: new Replay({path} | {frame, link}, workerOptions, criteria),
// run(frames), explain(), summary().
#pragma once

#include <napi.h>

#include <memory>

#include "engine/replay.h"

namespace flowsieve::addon {

class ReplayWrap : public Napi::ObjectWrap<ReplayWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ReplayWrap(const Napi::CallbackInfo& info);

 private:
  /// Promise<{done, ended: Buffer of Ended}>. One call at a time.
  Napi::Value run(const Napi::CallbackInfo& info);
  /// Promise<object[]>: what one burst of frames was and what became of it; empty at the end.
  Napi::Value explain(const Napi::CallbackInfo& info);
  /// {counters, packetsByOwner, damage}
  Napi::Value summary(const Napi::CallbackInfo& info);

  std::unique_ptr<Replay> replay_;
};

}  // namespace flowsieve::addon
