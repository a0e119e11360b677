// The worker's whole turn, from the frame to the verdict: parse, scope, find, decide, and a
// delivery that only counts. What remains of the live path is the ring and the TUN device.
//
//   --benchmark_filter='turn/'        one packet, by mix; the argument is the open connections
//   --benchmark_filter='worker/'      what a worker costs to make, and in memory once it is full
//
// Every mix first opens its connections and checks by the counters that each was decided as it had
// to be; after the timing the counters have to say the same of every packet timed. Frames are
// written into 32 buffers, over and over: 54 bytes of Ethernet, IPv4 and TCP, in random order of
// connections, so that each packet's entry is a stranger to the cache.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "wire/memory.h"
#include "worker/worker.h"

namespace {

using namespace flowsieve;

constexpr uint32_t kSmall = 1 << 16;
constexpr uint32_t kLarge = 1'000'000;
constexpr uint32_t kHuge = 10'000'000;
constexpr uint32_t kFloodOfClients = 0x800000;  ///< clients from here on are nobody's connections
constexpr uint8_t kSyn = 0x02, kAck = 0x10, kFin = 0x11;
constexpr uint64_t kTurnNs = 32'000;  ///< a million packets a second

/// 54 bytes of frame, rewritten for each packet.
struct TcpFrame {
  uint8_t bytes[54] = {2, 0,    0, 0,  0, 1, 2, 0,  0, 0, 0, 2,   0x08, 0, 0x45, 0, 0, 40, 0,
                       0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 0, 192, 0,    2, 100,  0, 0, 0,  80};

  /// The frame of client number `n`, below 2^24.
  void set(uint32_t n, uint8_t flags) {
    bytes[27] = static_cast<uint8_t>(n >> 16);
    bytes[28] = static_cast<uint8_t>(n >> 8);
    bytes[29] = static_cast<uint8_t>(n);
    store_be16(&bytes[34], static_cast<uint16_t>(1024 + n % 60'000));
    bytes[46] = 0x50;
    bytes[47] = flags;
  }
};

/// Says which packet comes next.
class Mix {
 public:
  virtual ~Mix() = default;
  virtual void next(TcpFrame& frame) = 0;
};

/// Packets of open connections, in a random order that is made beforehand.
class Hits final : public Mix {
 public:
  explicit Hits(uint32_t connections) : order_(connections) {
    for (uint32_t n = 0; n < connections; ++n) order_[n] = n;
    std::shuffle(order_.begin(), order_.end(), std::mt19937(7));
  }
  void next(TcpFrame& frame) override {
    frame.set(order_[position_], kAck);
    if (++position_ == order_.size()) position_ = 0;
  }

 private:
  std::vector<uint32_t> order_;
  size_t position_ = 0;
};

/// SYNs of ever new clients.
class SynFlood final : public Mix {
 public:
  void next(TcpFrame& frame) override {
    frame.set(kFloodOfClients + (n_ = n_ * 5 + 3) % kFloodOfClients, kSyn);
  }

 private:
  uint32_t n_ = 1;
};

/// Web-like: 4096 connections at a time, each a SYN, an ACK, eight packets more, a FIN and an ACK;
/// then another client comes in its place.
class Web final : public Mix {
 public:
  Web() : live_(4096) {
    for (uint32_t& place : live_) place = new_client();
    phases_.resize(live_.size());
  }
  void next(TcpFrame& frame) override {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    const size_t i = static_cast<size_t>(state_ >> 52);
    const uint8_t phase = phases_[i]++;
    frame.set(live_[i], phase == 0 ? kSyn : phase == 10 ? kFin : kAck);
    if (phase < 11) return;
    phases_[i] = 0;
    live_[i] = new_client();
  }

 private:
  uint32_t new_client() { return kFloodOfClients + client_++ % kFloodOfClients; }

  std::vector<uint32_t> live_;
  std::vector<uint8_t> phases_;
  uint32_t client_ = 0;
  uint64_t state_ = 1;
};

class MixSource final : public Source {
 public:
  explicit MixSource(Mix& mix, uint64_t packets = UINT64_MAX) : mix_(mix), left_(packets) {}
  size_t receive(std::span<Frame> burst) override {
    const size_t count = std::min<uint64_t>(burst.size(), left_);
    left_ -= count;
    for (size_t i = 0; i < count; ++i) {
      mix_.next(buffers_[i]);
      burst[i] = Frame{};
      burst[i].bytes = {buffers_[i].bytes, sizeof(TcpFrame)};
      burst[i].wire_bytes = sizeof(TcpFrame);
    }
    return count;
  }

 private:
  Mix& mix_;
  uint64_t left_;
  TcpFrame buffers_[kBurst];
};

/// Each connection's SYN and ACK, one after the other.
class Openings final : public Mix {
 public:
  void next(TcpFrame& frame) override {
    frame.set(n_ / 2, n_ % 2 ? kAck : kSyn);
    ++n_;
  }

 private:
  uint32_t n_ = 0;
};

[[noreturn]] void wrong(const char* what, uint64_t expected, uint64_t received) {
  std::fprintf(stderr, "Expected %llu %s but received %llu.\n",
               static_cast<unsigned long long>(expected), what,
               static_cast<unsigned long long>(received));
  std::abort();
}
void expect(const char* what, uint64_t expected, uint64_t received) {
  if (expected != received) wrong(what, expected, received);
}

/// A worker with its delivery and its open connections.
class World {
 public:
  /// Node 0 of `nodes`; bucket b is node (b + shift) % nodes'.
  World(uint32_t connections, uint32_t capacity, unsigned nodes, unsigned shift)
      : delivery_(MemoryDelivery::Keep::kCountsOnly),
        worker_(options(capacity), criteria(nodes, shift), delivery_, nullptr, nullptr, 0) {
    Openings openings;
    MixSource source(openings, uint64_t{connections} * 2);
    while (turn(source) > 0) {
    }
    const Counters& counters = worker_.counters();
    expect("connections open", connections, worker_.table().sizes().established);
    expect("openings", connections, counters[Count::kClass1] + counters[Count::kClass3]);
    expect("packets that followed", connections,
           counters[Count::kClass2] + counters[Count::kClass4]);
    expect("packets delivered", counters[Count::kClass1] + counters[Count::kClass2],
           delivery_.packets());
  }

  size_t turn(Source& source) {
    now_ns_ += kTurnNs;
    const size_t count = worker_.turn(source, now_ns_);
    worker_.age(now_ns_, 64);
    return count;
  }
  Worker& worker() { return worker_; }
  const Counters& counters() const { return worker_.counters(); }

  static WorkerOptions options(uint32_t capacity) {
    const uint8_t cluster[4] = {192, 0, 2, 100};
    WorkerOptions options;
    options.table.capacity = capacity;
    options.table.populate = true;  // as on the live path
    options.table.seed = 42;
    options.scope = Scope::of_addresses({mapped_ipv4(cluster)});
    return options;
  }
  static Criteria criteria(unsigned nodes, unsigned shift) {
    Criteria criteria{.distribution = Distribution(DistributionOptions{}),
                      .allocation = {.owner = std::vector<NodeIndex>(256)}};
    for (unsigned bucket = 0; bucket < 256; ++bucket) {
      criteria.allocation.owner[bucket] = static_cast<NodeIndex>((bucket % nodes) + shift);
    }
    return criteria;
  }

 private:
  MemoryDelivery delivery_;
  Worker worker_;
  uint64_t now_ns_ = 0;
};

/// Times turns over `mix`; afterwards check(packets, grown) looks at what the counters gained.
template <typename Check>
void run(benchmark::State& state, World& world, Mix& mix, Check&& check) {
  MixSource source(mix);
  const Counters before = world.counters();
  for (auto _ : state) world.turn(source);
  const double packets = static_cast<double>(state.iterations()) * kBurst;
  state.SetItemsProcessed(static_cast<int64_t>(packets));
  state.counters["ns_per_packet"] =
      benchmark::Counter(packets * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["open_connections"] = static_cast<double>(state.range(0));
  const auto grown = [&](Count counter) { return world.counters()[counter] - before[counter]; };
  check(static_cast<uint64_t>(packets), grown);
}

uint32_t connections_of(const benchmark::State& state) {
  return static_cast<uint32_t>(state.range(0));
}

/// Google Benchmark calls a bench several times to find its number of iterations; the connections
/// are opened once.
World& world_of(const char* name, uint32_t connections, uint32_t capacity, unsigned nodes,
                unsigned shift) {
  static std::map<std::pair<std::string, uint32_t>, std::unique_ptr<World>> worlds;
  auto& world = worlds[{name, connections}];
  if (!world) {
    worlds.clear();  // one at a time: they are large
    auto& fresh = worlds[{name, connections}];
    fresh = std::make_unique<World>(connections, capacity, nodes, shift);
    return *fresh;
  }
  return *world;
}

void own_hits(benchmark::State& state) {
  const uint32_t connections = connections_of(state);
  World& world = world_of("own", connections, connections, 1, 0);
  Hits hits(connections);
  run(state, world, hits, [](uint64_t packets, auto&& grown) {
    expect("packets of class 2", packets, grown(Count::kClass2));
    expect("packets delivered", packets, grown(Count::kDelivered));
  });
}

void foreign_hits(benchmark::State& state) {
  const uint32_t connections = connections_of(state);
  World& world = world_of("foreign", connections, connections, 1, 1);
  Hits hits(connections);
  run(state, world, hits, [](uint64_t packets, auto&& grown) {
    expect("packets of class 4", packets, grown(Count::kClass4));
    expect("packets discarded", packets, grown(Count::kDiscarded));
  });
}

/// A third of the openings are this node's; none of them is entered once the share is used up.
void syn_flood(benchmark::State& state) {
  const uint32_t connections = connections_of(state);
  World& world = world_of("flood", connections, connections * 2, 3, 0);
  static SynFlood flood;  // goes on where the last call stopped: its clients are to be new ones
  MixSource before(flood);
  while (world.worker().table().sizes().opening < connections / 2) world.turn(before);
  run(state, world, flood, [](uint64_t packets, auto&& grown) {
    // Openings time out as the flood goes on, and others take their places.
    expect("packets of classes 1 to 4", packets,
           grown(Count::kClass1) + grown(Count::kClass2) + grown(Count::kClass3) +
               grown(Count::kClass4));
    if (grown(Count::kOpeningUntracked) == 0 && packets > 1000) wrong("untracked openings", 1, 0);
  });
}

void web(benchmark::State& state) {
  const uint32_t connections = connections_of(state);
  World& world = world_of("web", connections, connections * 2, 3, 0);
  static Web traffic;
  run(state, world, traffic, [&](uint64_t packets, auto&& grown) {
    expect("packets delivered and discarded", packets,
           grown(Count::kDelivered) + grown(Count::kDiscarded));
    const double own = static_cast<double>(grown(Count::kDelivered)) / static_cast<double>(packets);
    if (packets > 100'000 && (own < 0.3 || own > 0.37)) wrong("percent own", 33, own * 100);
    state.counters["own_share"] = own;
  });
}

#define ALL_SIZES Arg(kSmall)->Arg(kLarge)->Arg(kHuge)
BENCHMARK(own_hits)->Name("turn/own_hits")->ALL_SIZES;
BENCHMARK(foreign_hits)->Name("turn/foreign_hits")->ALL_SIZES;
BENCHMARK(syn_flood)->Name("turn/syn_flood")->Arg(kSmall)->Arg(kLarge);
BENCHMARK(web)->Name("turn/web_third_own")->Arg(kSmall)->Arg(kLarge);

/// Connections of so many nodes in equal shares, seen by one of them.
void shares(benchmark::State& state) {
  const auto nodes = static_cast<unsigned>(state.range(0));
  World world(kSmall, kSmall, nodes, 0);
  Hits hits(kSmall);
  MixSource source(hits);
  const Counters before = world.counters();
  for (auto _ : state) world.turn(source);
  const uint64_t packets = static_cast<uint64_t>(state.iterations()) * kBurst;
  expect("packets delivered and discarded", packets,
         world.counters()[Count::kDelivered] + world.counters()[Count::kDiscarded] -
             before[Count::kDelivered] - before[Count::kDiscarded]);
  state.SetItemsProcessed(static_cast<int64_t>(packets));
}
BENCHMARK(shares)->Name("turn/share_of_nodes")->Arg(1)->Arg(3)->Arg(16);

/// A worker on each core, with nothing in common.
void cores(benchmark::State& state) {
  World world(kSmall, kSmall, 3, 0);
  Hits hits(kSmall);
  MixSource source(hits);
  for (auto _ : state) world.turn(source);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * kBurst);
}
BENCHMARK(cores)->Name("turn/cores")->ThreadRange(1, 2)->UseRealTime();

/// From nothing to the first packet that could be decided.
void construct(benchmark::State& state) {
  MemoryDelivery delivery(MemoryDelivery::Keep::kCountsOnly);
  for (auto _ : state) {
    Worker worker(World::options(kLarge), World::criteria(3, 0), delivery, nullptr, nullptr, 0);
    benchmark::DoNotOptimize(worker.table().slots());
  }
}
BENCHMARK(construct)->Name("worker/construct")->Unit(benchmark::kMillisecond);

/// The process's resident bytes.
uint64_t resident_bytes() {
  unsigned long total = 0, resident = 0;
  FILE* statm = std::fopen("/proc/self/statm", "r");
  if (!statm || std::fscanf(statm, "%lu %lu", &total, &resident) != 2) std::abort();
  std::fclose(statm);
  return uint64_t{resident} * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

/// Opens a million connections in a worker with room for just so many.
void fill(benchmark::State& state) {
  for (auto _ : state) {
    const uint64_t before = resident_bytes();
    World world(kLarge, kLarge, 3, 0);
    const double resident = static_cast<double>(resident_bytes() - before);
    const double table = static_cast<double>(world.worker().table().memory_bytes());
    state.counters["rss_bytes"] = resident;
    state.counters["rss_bytes_per_connection"] = resident / kLarge;
    state.counters["table_bytes_per_connection"] = table / kLarge;
  }
}
BENCHMARK(fill)->Name("worker/fill")->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
