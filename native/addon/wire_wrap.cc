#include "addon/wire_wrap.h"

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "addon/convert.h"
#include "addon/task.h"
#include "netlink/reset.h"

namespace flowsieve::addon {
namespace {

/// Frames that may wait for JavaScript: what a cluster sends in some seconds.
constexpr size_t kWaitingMax = 1024;

struct Arrived {
  std::vector<uint8_t> payload;
  Mac source;
};

/// Calls onFrame(payload, source). What it throws stays pending, and Node reports it. Plain calls
/// that are checked: at the end of its environment JavaScript cannot be run any more, but what
/// waits is still brought here, and an exception would end the process.
void hand_over(napi_env env, napi_value on_frame, const Arrived& frame) {
  const std::string source = to_text(frame.source);
  napi_value undefined = nullptr, arguments[2] = {};
  if (napi_get_undefined(env, &undefined) != napi_ok ||
      napi_create_buffer_copy(env, frame.payload.size(), frame.payload.data(), nullptr,
                              &arguments[0]) != napi_ok ||
      napi_create_string_utf8(env, source.data(), source.size(), &arguments[1]) != napi_ok) {
    return;
  }
  napi_call_function(env, undefined, on_frame, 2, arguments, nullptr);
}

}  // namespace

struct WireChannelWrap::Shared {
  Napi::ThreadSafeFunction on_frame;
  std::atomic<uint64_t> overflow{0};
  bool closed = false;          ///< JavaScript's thread only
  ChannelCounts counts_at_end;  ///< what was counted when the channel was closed
};

Napi::Function WireChannelWrap::define(Napi::Env env) {
  using Self = WireChannelWrap;
  return DefineClass(env, "WireChannel",
                     {InstanceMethod<&Self::send>("send"), InstanceMethod<&Self::close>("close"),
                      InstanceMethod<&Self::counts>("counts")});
}

WireChannelWrap::WireChannelWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<WireChannelWrap>(info), shared_(std::make_shared<Shared>()) {
  const Napi::Env env = info.Env();
  const auto options = info[0].As<Napi::Object>();
  shared_->on_frame = Napi::ThreadSafeFunction::New(
      env, options.Get("onFrame").As<Napi::Function>(), "flowsieve", kWaitingMax, 1);
  shared_->on_frame.Unref(env);

  const auto deliver = [shared = shared_](Napi::Env to, Napi::Function on_frame, Arrived* frame) {
    const std::unique_ptr<Arrived> arrived(frame);
    if (!shared->closed) hand_over(to, on_frame, *arrived);
  };
  auto opened = WireChannel::open(
      options.Get("interface").As<Napi::String>().Utf8Value(), to_mac(options.Get("linkAddress")),
      [shared = shared_.get(), deliver](Bytes payload, const Mac& source) {
        auto frame =
            std::make_unique<Arrived>(Arrived{{payload.data, payload.data + payload.size}, source});
        if (shared->on_frame.NonBlockingCall(frame.get(), deliver) == napi_ok) {
          (void)frame.release();  // deliver's
        } else {
          shared->overflow.fetch_add(1, std::memory_order_relaxed);
        }
      });
  if (!opened) {
    shared_->on_frame.Release();
    throw to_js_error(env, opened.error());
  }
  channel_ = std::move(opened.value());
  // Hooks run in the reverse order of their making: this one before the function's own, which
  // would leave the thread with a function that is gone.
  napi_add_env_cleanup_hook(env, end_at_exit, this);
  Ref();  // until close(): a channel that nobody holds still receives
}

WireChannelWrap::~WireChannelWrap() {
  end();
}

void WireChannelWrap::end_at_exit(void* self) {
  static_cast<WireChannelWrap*>(self)->end();
}

/// Joins the thread; on JavaScript's thread, any number of times.
void WireChannelWrap::end() {
  if (!channel_) return;
  shared_->counts_at_end = channel_->counts();
  channel_.reset();
  shared_->closed = true;
  shared_->on_frame.Release();
}

Napi::Value WireChannelWrap::send(const Napi::CallbackInfo& info) {
  const auto payload = info[0].As<Napi::Uint8Array>();
  const bool sent = channel_ && channel_->send({payload.Data(), payload.ByteLength()});
  return Napi::Boolean::New(info.Env(), sent);
}

void WireChannelWrap::close(const Napi::CallbackInfo& info) {
  if (!channel_) return;
  end();
  napi_remove_env_cleanup_hook(info.Env(), end_at_exit, this);
  Unref();
}

Napi::Value WireChannelWrap::counts(const Napi::CallbackInfo& info) {
  const ChannelCounts counts = channel_ ? channel_->counts() : shared_->counts_at_end;
  const auto overflow = shared_->overflow.load(std::memory_order_relaxed);
  auto made = Napi::Object::New(info.Env());
  made.Set("received", static_cast<double>(counts.received));
  made.Set("foreign", static_cast<double>(counts.foreign));
  made.Set("overflow", static_cast<double>(overflow));
  return made;
}

Napi::Value reset_sockets_at(const Napi::CallbackInfo& info) {
  return Task<SocketsReset>::run(
      Napi::Object::New(info.Env()),
      [addresses = to_addresses(info[0])]() -> Result<SocketsReset> {
        return reset_sockets(addresses);
      },
      [](Napi::Env env, SocketsReset& result) -> Napi::Value {
        auto made = Napi::Object::New(env);
        made.Set("reset", result.reset);
        made.Set("failed", result.failed);
        return made;
      });
}

}  // namespace flowsieve::addon
