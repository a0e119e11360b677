// MemoryNode, as JavaScript sees it: new MemoryNode(workerOptions, criteria, nowNs), push(),
// turn(), age(), backlog, and the operations of a handover as the engine has them, but at once.
// close() gives its megabytes back: JavaScript cannot see them, and would let thousands of nodes
// stand until the machine is full. Nothing may be called afterwards.
#pragma once

#include <napi.h>

#include <memory>

#include "engine/memory_node.h"

namespace flowsieve::addon {

class MemoryNodeWrap : public Napi::ObjectWrap<MemoryNodeWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit MemoryNodeWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value push(const Napi::CallbackInfo& info);
  /// Buffer[]: the first bytes of what has been delivered since the last turn.
  Napi::Value turn(const Napi::CallbackInfo& info);
  void age(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  Napi::Value backlog(const Napi::CallbackInfo& info);

  void set_open_until(const Napi::CallbackInfo& info);
  void prepare(const Napi::CallbackInfo& info);
  void hold(const Napi::CallbackInfo& info);
  void release(const Napi::CallbackInfo& info);
  Napi::Value acquire(const Napi::CallbackInfo& info);
  void takeover(const Napi::CallbackInfo& info);
  void replace_criteria(const Napi::CallbackInfo& info);
  Napi::Value adopt(const Napi::CallbackInfo& info);
  void clear_contested(const Napi::CallbackInfo& info);
  Napi::Value expect(const Napi::CallbackInfo& info);
  Napi::Value unexpect(const Napi::CallbackInfo& info);
  void clear_expectations(const Napi::CallbackInfo& info);
  Napi::Value expectations(const Napi::CallbackInfo& info);
  Napi::Value export_list(const Napi::CallbackInfo& info);
  Napi::Value import_list(const Napi::CallbackInfo& info);
  Napi::Value snapshot(const Napi::CallbackInfo& info);

  std::unique_ptr<MemoryNode> node_;
  NodeIndex self_ = 0;
};

}  // namespace flowsieve::addon
