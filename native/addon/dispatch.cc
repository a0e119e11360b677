#include "addon/dispatch.h"

#include "addon/convert.h"
#include "addon/task.h"
#include "wire/hops.h"

namespace flowsieve::addon {
namespace {

Error expected(const char* what) {
  return {ErrorCode::kArgument, std::string("Expected ") + what + " but received something else."};
}

NodeIndex to_node(const Napi::Value& value) {
  const uint32_t node = value.As<Napi::Number>().Uint32Value();
  if (node >= kNobody) throw to_js_error(value.Env(), expected("the index of a node"));
  return static_cast<NodeIndex>(node);
}

Address to_address(const Napi::Value& value) {
  const std::vector<Address> addresses = to_addresses(value);
  if (addresses.size() != 1) throw to_js_error(value.Env(), expected("one address of 16 bytes"));
  return addresses[0];
}

ForwardMode to_mode(const std::string& name) {
  if (name == "gue") return ForwardMode::kGue;
  return name == "ipip" ? ForwardMode::kIpip : ForwardMode::kMac;
}

Hop to_hop(const Napi::Object& from) {
  Hop hop;
  hop.mode = to_mode(from.Get("mode").As<Napi::String>().Utf8Value());
  hop.interface = from.Get("interface").As<Napi::Number>().Int32Value();
  hop.source = to_mac(from.Get("source"));
  hop.known = !from.Get("destination").IsNull();
  if (hop.known) hop.destination = to_mac(from.Get("destination"));
  hop.mtu = from.Get("mtu").As<Napi::Number>().Uint32Value();
  hop.port = static_cast<uint16_t>(from.Get("port").As<Napi::Number>().Uint32Value());
  if (hop.mode == ForwardMode::kMac) return hop;
  hop.local = to_address(from.Get("local"));
  hop.remote = to_address(from.Get("remote"));
  if (is_mapped_ipv4(hop.local) != is_mapped_ipv4(hop.remote)) {
    throw to_js_error(from.Env(), expected("outer addresses of one family"));
  }
  return hop;
}

const char* name_of(Neighbour state) {
  switch (state) {
    case Neighbour::kReachable:
      return "reachable";
    case Neighbour::kFailed:
      return "failed";
    case Neighbour::kNone:
      break;
  }
  return "none";
}

Napi::Value from_way(Napi::Env env, const Way& way) {
  const auto address = [&](const Address& bytes) {
    return from_bytes(env, bytes.data(), bytes.size());
  };
  auto made = Napi::Object::New(env);
  made.Set("routed", way.routed);
  made.Set("onLink", way.route.on_link);
  made.Set("interface", way.route.interface);
  made.Set("nextHop", address(way.route.next_hop));
  made.Set("source", address(way.route.source));
  made.Set("mtu", way.route.mtu);
  made.Set("linkMtu", way.link.mtu);
  made.Set("linkAddress", to_text(way.link.mac));
  made.Set("state", std::string(name_of(way.neighbour)));
  made.Set("nextLinkAddress", to_text(way.mac));
  return made;
}

}  // namespace

Dispatching to_dispatching(const Napi::Object& from) {
  Dispatching dispatching;
  dispatching.on = true;
  const auto down = from.Get("down").As<Napi::Array>();
  for (uint32_t i = 0; i < down.Length(); ++i) {
    const NodeIndex node = to_node(down.Get(i));
    if (dispatching.down.size() <= node) dispatching.down.resize(size_t{node} + 1);
    dispatching.down[node] = 1;
  }
  const auto candidates = from.Get("candidates").As<Napi::Array>();
  for (uint32_t i = 0; i < candidates.Length(); ++i) {
    const auto pair = candidates.Get(i).As<Napi::Array>();
    const double weight = pair.Get(1u).As<Napi::Number>().DoubleValue();
    if (!(weight > 0)) throw to_js_error(from.Env(), expected("a weight above 0"));
    dispatching.candidates.push_back({to_node(pair.Get(0u)), weight});
  }
  return dispatching;
}

std::vector<Hop> to_hops(const Napi::Value& value) {
  const auto list = value.As<Napi::Array>();
  std::vector<Hop> hops;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const auto from = list.Get(i).As<Napi::Object>();
    const NodeIndex node = to_node(from.Get("node"));
    if (hops.size() <= node) hops.resize(size_t{node} + 1);
    hops[node] = to_hop(from);
  }
  return hops;
}

Napi::Value from_nodes(Napi::Env env, const std::vector<NodeCounts>& nodes) {
  auto made = Napi::Float64Array::New(env, nodes.size() * 3);
  for (size_t i = 0; i < nodes.size(); ++i) {
    made[3 * i] = static_cast<double>(nodes[i].packets);
    made[3 * i + 1] = static_cast<double>(nodes[i].bytes);
    made[3 * i + 2] = static_cast<double>(nodes[i].connections);
  }
  return made;
}

Napi::Value find_ways_now(const Napi::CallbackInfo& info) {
  using Ways = std::vector<Way>;
  const auto bytes = info[0].As<Napi::Uint8Array>();
  std::vector<Address> nodes(bytes.ByteLength() / sizeof(Address));
  if (!nodes.empty()) std::memcpy(nodes.data(), bytes.Data(), nodes.size() * sizeof(Address));
  return Task<Ways>::run(
      Napi::Object::New(info.Env()),
      [nodes = std::move(nodes)]() -> Result<Ways> { return find_ways(nodes); },
      [](Napi::Env env, Ways& ways) -> Napi::Value {
        auto made = Napi::Array::New(env, ways.size());
        for (uint32_t i = 0; i < ways.size(); ++i) made.Set(i, from_way(env, ways[i]));
        return made;
      });
}

}  // namespace flowsieve::addon
