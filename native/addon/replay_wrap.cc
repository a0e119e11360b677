#include "addon/replay_wrap.h"

#include "addon/convert.h"
#include "addon/task.h"

namespace flowsieve::addon {
namespace {

static_assert(sizeof(Ended) == 120, "lib/native/records.ts reads this layout");

const char* name_of(Kind kind) {
  static constexpr const char* kNames[] = {"nonIp", "control", "flow", "error", "fragment"};
  return kNames[static_cast<size_t>(kind)];
}

const char* name_of(Verdict verdict) {
  static constexpr const char* kNames[] = {"pass", "deliver", "discard", "forward"};
  return kNames[static_cast<size_t>(verdict)];
}

Napi::Object from_explained(Napi::Env env, const Explained& line) {
  const Packet& packet = line.trace.packet;
  const Decision& decision = line.trace.decision;
  auto made = Napi::Object::New(env);
  made.Set("number", static_cast<double>(line.number));
  made.Set("timeNs", Napi::BigInt::New(env, line.time_ns));
  made.Set("captured", line.captured);
  made.Set("wireBytes", line.wire_bytes);
  made.Set("drop", std::string(info(packet.drop).name));
  made.Set("kind", name_of(packet.kind));
  made.Set("ip", packet.ip);
  made.Set("ipBytes", packet.ip_bytes);
  made.Set("isFragment", packet.is_fragment);
  made.Set("opening", packet.opening);
  made.Set("tcpFlags", packet.tcp_flags);
  made.Set("ipSource", from_bytes(env, packet.ip_source.data(), sizeof(Address)));
  made.Set("ipDestination", from_bytes(env, packet.ip_destination.data(), sizeof(Address)));
  made.Set("flow", from_bytes(env, &packet.flow, sizeof(Key)));
  made.Set("hashed", from_structs(env, line.hashed));
  made.Set("hash", Napi::BigInt::New(env, line.hash));
  made.Set("bucket", line.bucket);
  made.Set("verdict", name_of(decision.verdict));
  made.Set("packetClass", decision.packet_class);
  made.Set("owner", decision.owner);
  made.Set("byBucket", decision.by_bucket);
  made.Set("byId", decision.by_id);
  made.Set("quic", quic_id_name(decision.quic));
  made.Set("tracked", decision.slot != kNoSlot);
  made.Set("held", line.trace.held);
  made.Set("passed", decision.passed);
  made.Set("rule", line.rule == RuleTable::kNoRule ? -1 : static_cast<int>(line.rule));
  return made;
}

}  // namespace

Napi::Function ReplayWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Replay",
      {InstanceMethod<&ReplayWrap::run>("run"), InstanceMethod<&ReplayWrap::explain>("explain"),
       InstanceMethod<&ReplayWrap::summary>("summary")});
}

ReplayWrap::ReplayWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ReplayWrap>(info) {
  const Napi::Env env = info.Env();
  const auto input = info[0].As<Napi::Object>();
  const WorkerOptions options = to_worker_options(info[1].As<Napi::Object>());
  Criteria criteria = to_criteria(info[2].As<Napi::Object>());
  if (input.Has("path")) {
    const std::string path = input.Get("path").As<Napi::String>().Utf8Value();
    replay_ = value_or_throw(env, Replay::open(path, options, std::move(criteria)));
    return;
  }
  const auto frame = input.Get("frame").As<Napi::Uint8Array>();
  std::vector<uint8_t> bytes(frame.Data(), frame.Data() + frame.ByteLength());
  replay_ = value_or_throw(env, Replay::of_frame(std::move(bytes), to_link_type(input.Get("link")),
                                                 options, std::move(criteria)));
}

Napi::Value ReplayWrap::run(const Napi::CallbackInfo& info) {
  struct Step {
    bool more;
    std::vector<Ended> ended;
  };
  const auto frames = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
  return Task<Step>::run(
      Value(),
      [this, frames]() -> Result<Step> {
        Step step{replay_->run(frames), {}};
        if (replay_->failure()) return *replay_->failure();
        step.ended = replay_->take_ended();
        return step;
      },
      [](Napi::Env env, Step& step) -> Napi::Value {
        auto made = Napi::Object::New(env);
        made.Set("done", !step.more);
        made.Set("ended", from_structs(env, step.ended));
        return made;
      });
}

Napi::Value ReplayWrap::explain(const Napi::CallbackInfo&) {
  using Lines = std::vector<Explained>;
  return Task<Lines>::run(
      Value(),
      [this]() -> Result<Lines> {
        Lines lines = replay_->explain();
        if (lines.empty() && replay_->failure()) return *replay_->failure();
        return lines;
      },
      [](Napi::Env env, Lines& lines) -> Napi::Value {
        auto made = Napi::Array::New(env, lines.size());
        for (uint32_t i = 0; i < lines.size(); ++i) made.Set(i, from_explained(env, lines[i]));
        return made;
      });
}

Napi::Value ReplayWrap::summary(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto owners = Napi::Array::New(env);
  uint32_t index = 0;
  for (const uint64_t packets : replay_->packets_by_owner()) {
    owners.Set(index++, static_cast<double>(packets));
  }
  Napi::Object made = from_counters(env, replay_->counters());
  made.Set("packetsByOwner", owners);
  made.Set("damage", replay_->damage());
  return made;
}

}  // namespace flowsieve::addon
