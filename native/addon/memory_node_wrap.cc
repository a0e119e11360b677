#include "addon/memory_node_wrap.h"

#include <algorithm>

#include "addon/convert.h"
#include "addon/handover.h"

namespace flowsieve::addon {
namespace {

/// So many bytes of a delivered packet come up: all headers, and what a simulation marks it by.
constexpr size_t kShownBytes = 128;

}  // namespace

Napi::Function MemoryNodeWrap::define(Napi::Env env) {
  using Self = MemoryNodeWrap;
  return DefineClass(env, "MemoryNode",
                     {InstanceMethod<&Self::push>("push"),
                      InstanceMethod<&Self::turn>("turn"),
                      InstanceMethod<&Self::age>("age"),
                      InstanceMethod<&Self::close>("close"),
                      InstanceAccessor<&Self::backlog>("backlog"),
                      InstanceMethod<&Self::set_open_until>("setOpenUntil"),
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
                      InstanceMethod<&Self::snapshot>("snapshot")});
}

MemoryNodeWrap::MemoryNodeWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<MemoryNodeWrap>(info) {
  const WorkerOptions options = to_worker_options(info[0].As<Napi::Object>());
  Criteria criteria = to_criteria(info[1].As<Napi::Object>());
  self_ = criteria.allocation.self;
  node_ = value_or_throw(info.Env(),
                         MemoryNode::create(options, std::move(criteria), to_uint64(info[2])));
}

Napi::Value MemoryNodeWrap::push(const Napi::CallbackInfo& info) {
  const auto frame = info[0].As<Napi::Uint8Array>();
  const uint64_t received_ns = info[1].IsUndefined() ? 0 : to_uint64(info[1]);
  return Napi::Boolean::New(info.Env(),
                            node_->push({frame.Data(), frame.ByteLength()}, received_ns));
}

Napi::Value MemoryNodeWrap::turn(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  node_->turn(to_uint64(info[0]), info[1].As<Napi::Number>().Uint32Value());
  const auto delivered = node_->take_delivered();
  auto made = Napi::Array::New(env, delivered.size());
  for (uint32_t i = 0; i < delivered.size(); ++i) {
    const auto& bytes = delivered[i].bytes;
    made.Set(i, from_bytes(env, bytes.data(), std::min(bytes.size(), kShownBytes)));
  }
  return made;
}

void MemoryNodeWrap::close(const Napi::CallbackInfo&) {
  node_.reset();
}

void MemoryNodeWrap::age(const Napi::CallbackInfo& info) {
  node_->age(to_uint64(info[0]));
}

Napi::Value MemoryNodeWrap::backlog(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(node_->backlog()));
}

void MemoryNodeWrap::set_open_until(const Napi::CallbackInfo& info) {
  node_->set_open_until(to_uint64(info[0]));
}

void MemoryNodeWrap::prepare(const Napi::CallbackInfo& info) {
  node_->prepare(to_transition(info[0], self_));
}

void MemoryNodeWrap::hold(const Napi::CallbackInfo&) {
  node_->hold();
}

void MemoryNodeWrap::release(const Napi::CallbackInfo&) {
  node_->release();
}

Napi::Value MemoryNodeWrap::acquire(const Napi::CallbackInfo& info) {
  return from_resolved(info.Env(), node_->acquire(to_nodes(info[0])));
}

void MemoryNodeWrap::takeover(const Napi::CallbackInfo& info) {
  node_->takeover(to_transition(info[0], self_));
}

void MemoryNodeWrap::replace_criteria(const Napi::CallbackInfo& info) {
  node_->replace_criteria(to_criteria(info[0].As<Napi::Object>()));
}

Napi::Value MemoryNodeWrap::adopt(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(node_->adopt(to_nodes(info[0]))));
}

void MemoryNodeWrap::clear_contested(const Napi::CallbackInfo&) {
  node_->clear_contested();
}

Napi::Value MemoryNodeWrap::expect(const Napi::CallbackInfo& info) {
  return from_outcome(info.Env(), node_->expect(to_expectation(info[0])));
}

Napi::Value MemoryNodeWrap::unexpect(const Napi::CallbackInfo& info) {
  const auto owner = static_cast<NodeIndex>(info[0].As<Napi::Number>().Uint32Value());
  return Napi::Boolean::New(info.Env(), node_->unexpect(owner, to_uint64(info[1])));
}

void MemoryNodeWrap::clear_expectations(const Napi::CallbackInfo&) {
  node_->clear_expectations();
}

Napi::Value MemoryNodeWrap::expectations(const Napi::CallbackInfo& info) {
  return from_expectations(info.Env(), node_->expectations());
}

Napi::Value MemoryNodeWrap::export_list(const Napi::CallbackInfo& info) {
  const ExportRequest asked = to_export_request(info, 1);
  return from_block(info.Env(),
                    node_->export_list(asked.kind, asked.to, asked.cursor, asked.limit));
}

Napi::Value MemoryNodeWrap::import_list(const Napi::CallbackInfo& info) {
  std::vector<Record> records = to_records(info[0]);
  const Tick sender_now = info[1].As<Napi::Number>().Uint32Value();
  return from_imported(info.Env(), node_->import_list(to_list_kind(info[3]), records, sender_now,
                                                      to_owner_table(info[2])));
}

Napi::Value MemoryNodeWrap::snapshot(const Napi::CallbackInfo& info) {
  const WorkerSnapshot snapshot = node_->snapshot();
  return from_snapshots(info.Env(), {&snapshot, 1});
}

}  // namespace flowsieve::addon
