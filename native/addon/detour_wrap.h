// FtpDetour, as JavaScript sees it: new FtpDetour({device, tap, mark, ports, addresses,
// onData(token, data)}), release(token), counts(), close(). It keeps neither the event loop nor the
// process alive, and lives until close() or the end of its environment.
#pragma once

#include <napi.h>

#include <memory>

#include "wire/detour.h"

namespace flowsieve::addon {

class FtpDetourWrap : public Napi::ObjectWrap<FtpDetourWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit FtpDetourWrap(const Napi::CallbackInfo& info);
  ~FtpDetourWrap() override;

 private:
  /// What thread and JavaScript share.
  struct Shared;

  void release(const Napi::CallbackInfo& info);
  /// {announced, foreign, held, expired, dropped}
  Napi::Value counts(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  static void end_at_exit(void* self);
  void end();

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<FtpDetour> detour_;  // goes before shared_, which its thread uses
};

}  // namespace flowsieve::addon
