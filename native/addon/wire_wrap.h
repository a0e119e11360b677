// The wire beside the packets' path, as JavaScript sees it: heartbeats in raw frames, and the reset
// of the kernel's connections.
//
// A channel's frames come from its own thread through a bounded queue: where JavaScript does not
// keep up, frames are lost and counted. A channel keeps neither the event loop nor the process
// alive, and lives until close() or the end of its environment.
#pragma once

#include <napi.h>

#include <memory>

#include "wire/channel.h"

namespace flowsieve::addon {

class WireChannelWrap : public Napi::ObjectWrap<WireChannelWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit WireChannelWrap(const Napi::CallbackInfo& info);
  ~WireChannelWrap() override;

 private:
  /// What thread and JavaScript share.
  struct Shared;

  Napi::Value send(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  /// {received, foreign, overflow}
  Napi::Value counts(const Napi::CallbackInfo& info);
  static void end_at_exit(void* self);
  void end();

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<WireChannel> channel_;  // goes before shared_, which its thread uses
};

/// resetSockets(addresses: Buffer) -> Promise<{reset, failed}>
Napi::Value reset_sockets_at(const Napi::CallbackInfo& info);

}  // namespace flowsieve::addon
