// What lib/native/addon.ts loads.
#include <napi.h>

#include <cstring>

#include "addon/convert.h"
#include "addon/detour_wrap.h"
#include "addon/dispatch.h"
#include "addon/engine_wrap.h"
#include "addon/memory_node_wrap.h"
#include "addon/replay_wrap.h"
#include "addon/wire_wrap.h"
#include "base/precedence.h"
#include "decide/connection_id.h"

namespace flowsieve::addon {
namespace {

/// hash(distribution, key: Buffer(40)) -> {hashed, hash, bucket, rule}
Napi::Value hash(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Distribution distribution(to_distribution(info[0].As<Napi::Object>()));
  const auto bytes = info[1].As<Napi::Uint8Array>();
  if (bytes.ByteLength() != sizeof(Key)) {
    throw to_js_error(env, {ErrorCode::kArgument, "Expected a key of 40 bytes but received " +
                                                      std::to_string(bytes.ByteLength()) + "."});
  }
  Key key;
  std::memcpy(&key, bytes.Data(), sizeof(key));
  const HeaderFields fields = header_fields(key);
  uint8_t layout[kHashedBytesMax];
  const size_t size = distribution.layout(fields, layout);
  auto made = Napi::Object::New(env);
  made.Set("hashed", from_bytes(env, layout, size));
  made.Set("hash", Napi::BigInt::New(env, distribution.hash(fields)));
  made.Set("bucket", distribution.bucket(fields));
  const uint16_t rule = distribution.rule(fields);
  made.Set("rule", rule == RuleTable::kNoRule ? -1 : static_cast<int>(rule));
  return made;
}

/// readConnectionId(quic, datagram: Buffer) -> {id, node}: what read_connection_id() says of a UDP
/// payload
Napi::Value read_quic_datagram(const Napi::CallbackInfo& info) {
  const QuicLb quic(to_quic(info[0].As<Napi::Object>()));
  const auto bytes = info[1].As<Napi::Uint8Array>();
  const QuicAnswer answer = read_connection_id(quic, Bytes{bytes.Data(), bytes.ByteLength()});
  auto made = Napi::Object::New(info.Env());
  made.Set("id", quic_id_name(answer.id));
  made.Set("node", answer.node);
  return made;
}

/// runInRealTime(): all threads of the process
Napi::Value run_in_real_time_now(const Napi::CallbackInfo& info) {
  (void)value_or_throw(info.Env(), run_in_real_time());
  return info.Env().Undefined();
}

Napi::Object start(Napi::Env env, Napi::Object exports) {
  exports.Set("vocabulary", Napi::Function::New(env, vocabulary));
  exports.Set("hash", Napi::Function::New(env, hash));
  exports.Set("readConnectionId", Napi::Function::New(env, read_quic_datagram));
  exports.Set("findClashes", Napi::Function::New(env, find_clashes_on_link));
  exports.Set("findWays", Napi::Function::New(env, find_ways_now));
  exports.Set("Replay", ReplayWrap::define(env));
  exports.Set("Engine", EngineWrap::define(env));
  exports.Set("MemoryNode", MemoryNodeWrap::define(env));
  exports.Set("WireChannel", WireChannelWrap::define(env));
  exports.Set("FtpDetour", FtpDetourWrap::define(env));
  exports.Set("resetSockets", Napi::Function::New(env, reset_sockets_at));
  exports.Set("runInRealTime", Napi::Function::New(env, run_in_real_time_now));
  return exports;
}

}  // namespace

NODE_API_MODULE(flowsieve, start)

}  // namespace flowsieve::addon
