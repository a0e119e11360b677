#include "addon/detour_wrap.h"

#include <utility>

#include "addon/convert.h"

namespace flowsieve::addon {
namespace {

/// Announcements that may wait for JavaScript; what finds no room goes on unexpected after a while.
constexpr size_t kWaitingMax = 1024;

/// Calls onData(token, key). Plain calls that are checked, for the reason of wire_wrap.cc.
void hand_over(napi_env env, napi_value on_data, const Announced& announced) {
  napi_value undefined = nullptr, arguments[2] = {};
  if (napi_get_undefined(env, &undefined) != napi_ok ||
      napi_create_double(env, static_cast<double>(announced.token), &arguments[0]) != napi_ok ||
      napi_create_buffer_copy(env, sizeof(Key), &announced.data, nullptr, &arguments[1]) !=
          napi_ok) {
    return;
  }
  napi_call_function(env, undefined, on_data, 2, arguments, nullptr);
}

DetourOptions to_detour_options(const Napi::Object& from) {
  DetourOptions options;
  options.device = from.Get("device").As<Napi::String>().Utf8Value();
  options.tap = from.Get("tap").As<Napi::String>().Utf8Value();
  options.mark = from.Get("mark").As<Napi::Number>().Uint32Value();
  const auto ports = from.Get("ports").As<Napi::Array>();
  for (uint32_t i = 0; i < ports.Length(); ++i) {
    options.ports.push_back(static_cast<uint16_t>(ports.Get(i).As<Napi::Number>().Uint32Value()));
  }
  options.addresses = to_addresses(from.Get("addresses"));
  return options;
}

}  // namespace

struct FtpDetourWrap::Shared {
  Napi::ThreadSafeFunction on_data;
  bool closed = false;  ///< JavaScript's thread only
  DetourCounts counts_at_end;
};

Napi::Function FtpDetourWrap::define(Napi::Env env) {
  using Self = FtpDetourWrap;
  return DefineClass(
      env, "FtpDetour",
      {InstanceMethod<&Self::release>("release"), InstanceMethod<&Self::counts>("counts"),
       InstanceMethod<&Self::close>("close")});
}

FtpDetourWrap::FtpDetourWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<FtpDetourWrap>(info), shared_(std::make_shared<Shared>()) {
  const Napi::Env env = info.Env();
  const auto options = info[0].As<Napi::Object>();
  shared_->on_data = Napi::ThreadSafeFunction::New(env, options.Get("onData").As<Napi::Function>(),
                                                   "flowsieve", kWaitingMax, 1);
  shared_->on_data.Unref(env);
  const auto deliver = [shared = shared_](Napi::Env to, Napi::Function on_data, Announced* data) {
    const std::unique_ptr<Announced> announced(data);
    if (!shared->closed) hand_over(to, on_data, *announced);
  };
  auto opened = FtpDetour::open(
      to_detour_options(options), [shared = shared_.get(), deliver](const Announced& announced) {
        auto copy = std::make_unique<Announced>(announced);
        if (shared->on_data.NonBlockingCall(copy.get(), deliver) == napi_ok) {
          (void)copy.release();  // deliver's
        }
      });
  if (!opened) {
    shared_->on_data.Release();
    throw to_js_error(env, opened.error());
  }
  detour_ = std::move(opened.value());
  napi_add_env_cleanup_hook(env, end_at_exit, this);
  Ref();  // until close()
}

FtpDetourWrap::~FtpDetourWrap() {
  end();
}

void FtpDetourWrap::end_at_exit(void* self) {
  static_cast<FtpDetourWrap*>(self)->end();
}

/// Joins the thread; on JavaScript's thread, any number of times.
void FtpDetourWrap::end() {
  if (!detour_) return;
  shared_->counts_at_end = detour_->counts();
  detour_.reset();
  shared_->closed = true;
  shared_->on_data.Release();
}

void FtpDetourWrap::release(const Napi::CallbackInfo& info) {
  if (detour_) detour_->release(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
}

Napi::Value FtpDetourWrap::counts(const Napi::CallbackInfo& info) {
  const DetourCounts counts = detour_ ? detour_->counts() : shared_->counts_at_end;
  auto made = Napi::Object::New(info.Env());
  made.Set("announced", static_cast<double>(counts.announced));
  made.Set("foreign", static_cast<double>(counts.foreign));
  made.Set("held", static_cast<double>(counts.held));
  made.Set("expired", static_cast<double>(counts.expired));
  made.Set("dropped", static_cast<double>(counts.dropped));
  return made;
}

void FtpDetourWrap::close(const Napi::CallbackInfo& info) {
  if (!detour_) return;
  end();
  napi_remove_env_cleanup_hook(info.Env(), end_at_exit, this);
  Unref();
}

}  // namespace flowsieve::addon
