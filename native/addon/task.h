// Work that may take long, off JavaScript's thread: run() returns a promise, `work` runs on the
// thread pool and must not touch JavaScript, `convert` turns its result into a value afterwards.
// `owner` is kept alive meanwhile, so that `work` may use the C++ object in it.
#pragma once

#include <napi.h>

#include <functional>
#include <optional>
#include <utility>

#include "addon/convert.h"
#include "base/status.h"

namespace flowsieve::addon {

template <typename T>
class Task : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result<T>()>;
  using Convert = std::function<Napi::Value(Napi::Env, T&)>;

  static Napi::Promise run(const Napi::Object& owner, Work work, Convert convert) {
    auto* task = new Task(owner, std::move(work), std::move(convert));  // deletes itself when done
    const Napi::Promise promise = task->deferred_.Promise();
    task->Queue();
    return promise;
  }

 protected:
  void Execute() override { result_.emplace(work_()); }

  void OnOK() override {
    Napi::HandleScope scope(Env());
    if (!result_->ok()) {
      deferred_.Reject(to_js_error(Env(), result_->error()).Value());
      return;
    }
    deferred_.Resolve(convert_(Env(), result_->value()));
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Task(const Napi::Object& owner, Work work, Convert convert)
      : Napi::AsyncWorker(owner.Env(), "flowsieve"),
        deferred_(owner.Env()),
        owner_(Napi::Persistent(owner)),
        work_(std::move(work)),
        convert_(std::move(convert)) {}

  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference owner_;
  Work work_;
  Convert convert_;
  std::optional<Result<T>> result_;
};

}  // namespace flowsieve::addon
