#include "addon/convert.h"

#include "addon/dispatch.h"

#include <sys/random.h>

#include <cstdio>
#include <cstring>

#include "addon/convert_rules.h"

namespace flowsieve::addon {
namespace {

uint32_t number(const Napi::Object& from, const char* name) {
  return from.Get(name).As<Napi::Number>().Uint32Value();
}
bool boolean(const Napi::Object& from, const char* name) {
  return from.Get(name).As<Napi::Boolean>().Value();
}
std::string text(const Napi::Object& from, const char* name) {
  return from.Get(name).As<Napi::String>().Utf8Value();
}

[[noreturn]] void refuse(Napi::Env env, const std::string& message) {
  throw to_js_error(env, {ErrorCode::kArgument, message});
}

/// The seed of table hashes: nobody outside may know which keys collide.
uint64_t random_seed() {
  uint64_t seed = 0;
  const ssize_t got = getrandom(&seed, sizeof(seed), 0);
  if (got != sizeof(seed)) seed ^= monotonic_ns() * 0x9e3779b97f4a7c15u;
  return seed;
}

}  // namespace

Napi::Error to_js_error(Napi::Env env, const Error& error) {
  static constexpr const char* kCodes[] = {"argument", "privilege", "missing",
                                           "system",   "format",    "state"};
  Napi::Error made = Napi::Error::New(env, error.message);
  made.Set("code", Napi::String::New(env, kCodes[static_cast<size_t>(error.code)]));
  return made;
}

DistributionOptions to_distribution(const Napi::Object& from) {
  DistributionOptions options;
  const std::string hash = text(from, "hash");
  if (hash == "siphash")
    options.hash = HashFunction::kSipHash;
  else if (hash == "toeplitz")
    options.hash = HashFunction::kToeplitz;
  else if (hash == "crc32c")
    options.hash = HashFunction::kCrc32c;
  else if (hash == "jhash")
    options.hash = HashFunction::kJhash;
  else
    refuse(from.Env(), "Expected a known hash function but received '" + hash + "'.");

  const auto key = from.Get("key").As<Napi::Uint8Array>();
  if (key.ByteLength() != options.key.size()) {
    refuse(from.Env(), "Expected 40 bytes for the distribution's key but received " +
                           std::to_string(key.ByteLength()) + ".");
  }
  std::memcpy(options.key.data(), key.Data(), options.key.size());
  options.fields = static_cast<uint8_t>(number(from, "fields"));
  options.source_prefix_ipv4 = static_cast<uint8_t>(number(from, "sourcePrefixIpv4"));
  options.source_prefix_ipv6 = static_cast<uint8_t>(number(from, "sourcePrefixIpv6"));
  options.destination_prefix_ipv4 = static_cast<uint8_t>(number(from, "destinationPrefixIpv4"));
  options.destination_prefix_ipv6 = static_cast<uint8_t>(number(from, "destinationPrefixIpv6"));
  if (options.source_prefix_ipv4 > 32 || options.destination_prefix_ipv4 > 32 ||
      options.source_prefix_ipv6 > 128 || options.destination_prefix_ipv6 > 128) {
    refuse(from.Env(), "Expected prefixes of at most 32 and 128 bits but received longer ones.");
  }
  options.symmetric = boolean(from, "symmetric");
  options.buckets = number(from, "buckets");
  const uint32_t buckets = options.buckets;
  if (buckets < 16 || buckets > 65536 || (buckets & (buckets - 1)) != 0) {
    refuse(from.Env(),
           "Expected a power of two from 16 to 65536 for the number of buckets but "
           "received " +
               std::to_string(buckets) + ".");
  }
  options.rules = to_rules(from.Get("rules"));
  return options;
}

std::vector<NodeIndex> to_owners(const Napi::Value& value, const Distribution& distribution) {
  const auto owners = value.As<Napi::Uint16Array>();
  if (owners.ElementLength() != distribution.owned_buckets()) {
    refuse(value.Env(),
           "Expected one owner for each of " + std::to_string(distribution.owned_buckets()) +
               " buckets but received " + std::to_string(owners.ElementLength()) + ".");
  }
  std::vector<NodeIndex> owner(owners.Data(), owners.Data() + owners.ElementLength());
  owner.resize(distribution.buckets_in_all(), kNobody);
  return owner;
}

namespace {

QuicConfig to_quic_config(const Napi::Object& from) {
  QuicConfig config{.id = static_cast<uint8_t>(number(from, "id")),
                    .server_id_length = static_cast<uint8_t>(number(from, "serverIdLength")),
                    .nonce_length = static_cast<uint8_t>(number(from, "nonceLength")),
                    .encodes_length = boolean(from, "encodesLength")};
  const bool fits = config.server_id_length >= 1 && config.server_id_length <= kQuicServerIdMax &&
                    config.nonce_length >= kQuicNonceMin &&
                    config.server_id_length + config.nonce_length <= int{kQuicPlaintextMax};
  if (config.id >= kQuicConfigs || !fits) {
    refuse(from.Env(),
           "Expected a QUIC-LB config id from 0 to 6 and lengths of at most 19 octets.");
  }
  const Napi::Value key = from.Get("key");
  if (key.IsNull()) return config;
  const auto bytes = key.As<Napi::Uint8Array>();
  config.key.emplace();
  if (bytes.ByteLength() != config.key->size()) {
    refuse(from.Env(), "Expected 16 bytes for the key of a QUIC-LB config but received " +
                           std::to_string(bytes.ByteLength()) + ".");
  }
  std::memcpy(config.key->data(), bytes.Data(), config.key->size());
  return config;
}

QuicServer to_quic_server(const Napi::Object& from) {
  QuicServer server{.id = {}, .node = static_cast<NodeIndex>(number(from, "node"))};
  const auto bytes = from.Get("serverId").As<Napi::Uint8Array>();
  if (bytes.ByteLength() > server.id.size()) {
    refuse(from.Env(), "Expected at most 15 bytes for a server id but received " +
                           std::to_string(bytes.ByteLength()) + ".");
  }
  std::memcpy(server.id.data(), bytes.Data(), bytes.ByteLength());
  return server;
}

}  // namespace

QuicLbOptions to_quic(const Napi::Object& from) {
  QuicLbOptions options;
  const auto ports = from.Get("ports").As<Napi::Uint16Array>();
  if (ports.ElementLength() > kQuicPortsMax) refuse(from.Env(), "Expected at most 16 QUIC ports.");
  options.ports.assign(ports.Data(), ports.Data() + ports.ElementLength());
  const auto configs = from.Get("configs").As<Napi::Array>();
  for (uint32_t i = 0; i < configs.Length(); ++i) {
    options.configs.push_back(to_quic_config(configs.Get(i).As<Napi::Object>()));
  }
  const auto servers = from.Get("servers").As<Napi::Array>();
  for (uint32_t i = 0; i < servers.Length(); ++i) {
    options.servers.push_back(to_quic_server(servers.Get(i).As<Napi::Object>()));
  }
  return options;
}

const char* quic_id_name(QuicId id) {
  static constexpr const char* kNames[] = {"none",         "node",   "clientChosen",
                                           "unconfigured", "length", "nobody"};
  return kNames[static_cast<size_t>(id)];
}

Criteria to_criteria(const Napi::Object& from) {
  Criteria criteria{
      .distribution = Distribution(to_distribution(from.Get("distribution").As<Napi::Object>())),
      .allocation = {}};
  criteria.allocation.epoch = number(from, "epoch");
  criteria.allocation.self = static_cast<NodeIndex>(number(from, "self"));
  criteria.allocation.owner = to_owners(from.Get("owners"), criteria.distribution);
  criteria.tracking = text(from, "tracking") == "own" ? Tracking::kOwn : Tracking::kObserve;
  criteria.monitoring = boolean(from, "monitoring");
  criteria.forwards = boolean(from, "forwards");
  const Napi::Value quic = from.Get("quic");
  if (quic.IsObject()) {
    criteria.quic = std::make_shared<const QuicLb>(to_quic(quic.As<Napi::Object>()));
  }
  const Napi::Value dispatching = from.Get("dispatching");
  if (dispatching.IsObject()) criteria.dispatching = to_dispatching(dispatching.As<Napi::Object>());
  return criteria;
}

Scope to_open_scope(const Napi::Array& link_addresses) {
  if (link_addresses.Length() == 0) return Scope::of_everything();
  std::vector<LinkAddress> all;
  for (uint32_t i = 0; i < link_addresses.Length(); ++i) {
    all.push_back(to_mac(link_addresses.Get(i)));
  }
  return Scope::of_gateway(std::move(all));
}

Reserved to_reserved(const Napi::Array& from) {
  std::vector<Reservation> list;
  for (uint32_t i = 0; i < from.Length(); ++i) {
    const auto each = from.Get(i).As<Napi::Object>();
    const std::vector<Address> address = to_addresses(each.Get("address"));
    if (address.size() != 1) refuse(from.Env(), "Expected one address in a reservation.");
    list.push_back({address[0], static_cast<uint16_t>(number(each, "firstPort")),
                    static_cast<uint16_t>(number(each, "lastPort")),
                    static_cast<NodeIndex>(number(each, "owner"))});
  }
  return Reserved(std::move(list));
}

WorkerOptions to_worker_options(const Napi::Object& from) {
  WorkerOptions options;
  options.table.capacity = number(from, "capacity");
  options.table.opening_share = from.Get("openingShare").As<Napi::Number>().DoubleValue();
  options.table.self = static_cast<NodeIndex>(number(from, "self"));
  options.table.nodes = number(from, "nodes");
  const Napi::Value seed = from.Get("seed");
  bool exact = true;
  options.table.seed =
      seed.IsBigInt() ? seed.As<Napi::BigInt>().Uint64Value(&exact) : random_seed();
  const auto timeouts = from.Get("timeouts").As<Napi::Array>();
  if (timeouts.Length() != kTimeoutClasses * 3) refuse(from.Env(), "Expected 15 timeouts.");
  for (uint32_t i = 0; i < timeouts.Length(); ++i) {
    const double seconds = timeouts.Get(i).As<Napi::Number>().DoubleValue();
    options.table.timeouts.ticks[i / 3][i % 3] = static_cast<Tick>(seconds * kTicksPerSecond);
  }
  const auto fragments = from.Get("fragments").As<Napi::Object>();
  options.fragments.held_frames = number(fragments, "held");
  options.fragments.held_bytes = number(fragments, "heldBytes");
  options.fragments.hold_ns =
      static_cast<uint64_t>(fragments.Get("holdSeconds").As<Napi::Number>().DoubleValue() * 1e9);
  options.hold.bytes = number(from, "holdBytes");
  options.hold.hold_ns =
      static_cast<uint64_t>(from.Get("holdMs").As<Napi::Number>().DoubleValue() * 1e6);
  const Napi::Value addresses = from.Get("addresses");
  options.scope = addresses.IsNull() ? to_open_scope(from.Get("linkAddresses").As<Napi::Array>())
                                     : Scope::of_addresses(to_addresses(addresses));
  options.both_directions = boolean(from, "bothDirections");
  options.sample_every = number(from, "sampleEvery");
  const Napi::Value by_owner = from.Get("countOwners");
  options.table.by_owner = by_owner.IsBoolean() && by_owner.As<Napi::Boolean>();
  return options;
}

LinkType to_link_type(const Napi::Value& name) {
  const std::string link = name.As<Napi::String>().Utf8Value();
  if (link == "ethernet") return LinkType::kEthernet;
  if (link == "raw") return LinkType::kRawIp;
  refuse(name.Env(), "Expected ethernet or raw for the link type but received '" + link + "'.");
}

std::vector<Address> to_addresses(const Napi::Value& buffer) {
  const auto bytes = buffer.As<Napi::Uint8Array>();
  std::vector<Address> addresses(bytes.ByteLength() / sizeof(Address));
  if (addresses.size() > Scope::kAddressesMax) {
    refuse(buffer.Env(), "Expected at most 256 cluster addresses but received " +
                             std::to_string(addresses.size()) + ".");
  }
  if (!addresses.empty()) {
    std::memcpy(addresses.data(), bytes.Data(), addresses.size() * sizeof(Address));
  }
  return addresses;
}

Mac to_mac(const Napi::Value& value) {
  Mac mac{};
  const std::string text = value.As<Napi::String>().Utf8Value();
  unsigned parts[6];
  if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x", &parts[0], &parts[1], &parts[2],
                  &parts[3], &parts[4], &parts[5]) != 6) {
    throw to_js_error(value.Env(), {ErrorCode::kArgument,
                                    "Expected a MAC address for the link "
                                    "address but received '" +
                                        text + "'."});
  }
  for (size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<uint8_t>(parts[i]);
  return mac;
}

std::string to_text(const Mac& mac) {
  char text[18];
  std::snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                mac[4], mac[5]);
  return text;
}

Napi::Object from_counters(Napi::Env env, const Counters& counters) {
  auto counts = Napi::Float64Array::New(env, kCounterCount);
  for (size_t i = 0; i < kCounterCount; ++i) counts[i] = static_cast<double>(counters.counts[i]);
  auto drops = Napi::Float64Array::New(env, kDropCount);
  for (size_t i = 0; i < kDropCount; ++i) drops[i] = static_cast<double>(counters.drops[i]);
  auto made = Napi::Object::New(env);
  made.Set("counts", counts);
  made.Set("drops", drops);
  return made;
}

Napi::Object from_sizes(Napi::Env env, const TableSizes& sizes) {
  auto made = Napi::Object::New(env);
  made.Set("own", sizes.own);
  made.Set("others", sizes.others);
  made.Set("capacity", sizes.capacity);
  made.Set("opening", sizes.opening);
  made.Set("established", sizes.established);
  made.Set("closing", sizes.closing);
  return made;
}

Napi::Value from_bytes(Napi::Env env, const void* data, size_t size) {
  return size == 0 ? Napi::Buffer<uint8_t>::New(env, 0)
                   : Napi::Buffer<uint8_t>::Copy(env, static_cast<const uint8_t*>(data), size);
}

Napi::Value vocabulary(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto drops = Napi::Array::New(env);
  for (size_t i = 0; i < kDropCount; ++i) {
    auto entry = Napi::Object::New(env);
    entry.Set("name", std::string(kDropInfo[i].name));
    entry.Set("malformed", kDropInfo[i].malformed);
    entry.Set("text", std::string(kDropInfo[i].text));
    drops.Set(static_cast<uint32_t>(i), entry);
  }
  auto counters = Napi::Array::New(env);
  for (size_t i = 0; i < kCounterCount; ++i) {
    auto entry = Napi::Object::New(env);
    entry.Set("name", std::string(kCounterInfo[i].name));
    entry.Set("text", std::string(kCounterInfo[i].text));
    counters.Set(static_cast<uint32_t>(i), entry);
  }
  auto made = Napi::Object::New(env);
  made.Set("drops", drops);
  made.Set("counters", counters);
  made.Set("hashLayoutVersion", kHashLayoutVersion);
  made.Set("recordBytes", static_cast<uint32_t>(sizeof(Record)));
  made.Set("endedBytes", static_cast<uint32_t>(sizeof(Ended)));
  made.Set("expectationBytes", static_cast<uint32_t>(sizeof(Expectation)));
  return made;
}

}  // namespace flowsieve::addon
