// The connection table under packets: what one look costs, alone and in bursts of 32, against a
// plain peer, and in one structure against two. Every bench checks its answer before it is timed.
//
//   --benchmark_filter='table/'   all of it; the argument is the number of connections
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <unordered_map>
#include <vector>

#include "table/ahead.h"
#include "table/table.h"

namespace {

using namespace flowsieve;

constexpr size_t kBurst = 32;
constexpr uint32_t kSmall = 1 << 16;
constexpr uint32_t kLarge = 1'000'000;

Key key(uint32_t n) {
  Key key;
  key.protocol = 6;
  const uint8_t client[4] = {10, static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 8),
                             static_cast<uint8_t>(n)};
  const uint8_t server[4] = {192, 0, 2, 100};
  key.source = mapped_ipv4(client);
  key.destination = mapped_ipv4(server);
  key.source_port = static_cast<uint16_t>(1024 + n * 7 % 60000);
  key.destination_port = 80;
  return key;
}

/// Two of three connections are others'.
Record record(uint32_t n) {
  Record record;
  record.key = key(n);
  record.owner = static_cast<uint16_t>(n % 3);
  record.status = ConnectionStatus::kEstablished;
  record.seen_here = kConfirmed;  // else no list would bring a node connections of its own
  return record;
}

TableOptions options(uint32_t capacity) {
  TableOptions options;
  options.capacity = capacity;
  options.seed = 42;
  return options;
}

void enter(ConnectionTable& table, uint32_t n) {
  const Record entry = record(n);
  if (table.insert(entry, table.hash(entry.key)).slot == kNoSlot) std::abort();
}

/// A table filled to `load` of its capacity.
std::unique_ptr<ConnectionTable> filled(uint32_t capacity, double load = 1) {
  auto table = std::make_unique<ConnectionTable>(options(capacity), 0);
  for (uint32_t n = 0; n < capacity * load; ++n) enter(*table, n);
  return table;
}

/// Full, and every connection has since been replaced three times: entries stay beyond chunks that
/// have room again. The keys of the last `capacity` numbers below 4 * capacity are there.
std::unique_ptr<ConnectionTable> churned(uint32_t capacity) {
  auto table = filled(capacity);
  for (uint32_t n = capacity; n < 4 * capacity; ++n) {
    table->erase(table->find(key(n - capacity), table->hash(key(n - capacity))));
    enter(*table, n);
  }
  return table;
}

/// Keys in random order, as packets bring them: copied beforehand, so that reading
/// them is a stream.
std::vector<Key> packets(uint32_t first, uint32_t count) {
  std::vector<Key> keys(count);
  for (uint32_t i = 0; i < count; ++i) keys[i] = key(first + i);
  std::shuffle(keys.begin(), keys.end(), std::mt19937(7));
  keys.resize(count / kBurst * kBurst);
  return keys;
}

void report(benchmark::State& state, const ConnectionTable& table) {
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBurst));
  state.counters["bytes/conn"] = static_cast<double>(table.memory_bytes()) / table.sizes().capacity;
}

/// Walks `keys` burst by burst, one burst per iteration.
template <typename Work>
void each_burst(benchmark::State& state, const std::vector<Key>& keys, Work&& work) {
  size_t at = 0;
  for (auto _ : state) {
    work(&keys[at]);
    at += kBurst;
    if (at == keys.size()) at = 0;
  }
}

void three_passes(ConnectionTable& table, const Key* keys, Tick now, uint32_t& found) {
  std::array<uint64_t, kBurst> hashes;
  for (size_t i = 0; i < kBurst; ++i) {
    hashes[i] = table.hash(keys[i]);
    table.prefetch(hashes[i]);
  }
  Ahead<kBurst> ahead(table);
  for (const uint64_t hash : hashes) ahead.find(hash);
  ahead.finish();
  for (size_t i = 0; i < kBurst; ++i) {
    const Slot slot = table.find(keys[i], hashes[i]);
    if (slot == kNoSlot) continue;
    table.touch(slot, now);
    ++found;
  }
}

/// Bursts of `keys`, of which all are in the table, or none.
void look_up(benchmark::State& state, ConnectionTable& table, const std::vector<Key>& keys,
             bool there) {
  uint32_t found = 0;
  Tick now = 1;
  three_passes(table, keys.data(), now, found);
  if (found != (there ? kBurst : 0)) {
    return state.SkipWithError(there ? "expected every key to be found"
                                     : "expected no key to be found");
  }
  each_burst(state, keys, [&](const Key* burst) { three_passes(table, burst, ++now, found); });
  report(state, table);
}

void table_hit_burst(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  look_up(state, *filled(capacity), packets(0, capacity), true);
}

void table_hit_single(benchmark::State& state) {
  const auto table = filled(static_cast<uint32_t>(state.range(0)));
  const auto keys = packets(0, static_cast<uint32_t>(state.range(0)));
  Tick now = 1;
  for (const Key& wanted : keys) {
    if (table->find(wanted, table->hash(wanted)) == kNoSlot) {
      return state.SkipWithError("expected every key to be found");
    }
  }
  each_burst(state, keys, [&](const Key* burst) {
    ++now;
    for (size_t i = 0; i < kBurst; ++i) {
      table->touch(table->find(burst[i], table->hash(burst[i])), now);
    }
  });
  report(state, *table);
}

void table_miss_burst(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  look_up(state, *filled(capacity), packets(capacity, capacity), false);
}

void table_hit_churned(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  look_up(state, *churned(capacity), packets(3 * capacity, capacity), true);
}

void table_miss_churned(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  look_up(state, *churned(capacity), packets(4 * capacity, capacity), false);
}

/// A connection is opened while another closes: the table stays at 90 % of its capacity.
void table_open_close(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  const auto table = filled(capacity, 0.9);
  const uint32_t live = table->sizes().own + table->sizes().others;
  uint32_t next = live;
  uint32_t oldest = 0;
  std::array<uint64_t, kBurst> opening, closing;
  for (auto _ : state) {
    for (size_t i = 0; i < kBurst; ++i) {
      opening[i] = table->hash(key((next + i) & 0xffffff));
      closing[i] = table->hash(key((oldest + i) & 0xffffff));
      table->prefetch(opening[i]);
      table->prefetch(closing[i]);
    }
    Ahead<kBurst> ahead(*table);
    for (size_t i = 0; i < kBurst; ++i) {
      ahead.close(closing[i]);
      ahead.open(opening[i], ConnectionStatus::kEstablished);
    }
    ahead.finish();
    for (size_t i = 0; i < kBurst; ++i) {
      table->insert(record((next + i) & 0xffffff), opening[i]);
      table->erase(table->find(key((oldest + i) & 0xffffff), closing[i]));
    }
    next += kBurst;
    oldest += kBurst;
  }
  if (table->sizes().own + table->sizes().others != live) state.SkipWithError("lost count");
  report(state, *table);
}

// One structure or two: the own third and the others' two thirds in tables of their own. Nothing
// but the table says whose a packet is, so a look begins with one of them and goes on to the other
// when it finds nothing.
struct Two {
  ConnectionTable own, others;
  explicit Two(uint32_t capacity)
      : own(options(capacity / 3 + 1), 0), others(options(capacity), 0) {
    for (uint32_t n = 0; n < capacity; ++n) enter(n % 3 == 0 ? own : others, n);
  }
  size_t memory_bytes() const { return own.memory_bytes() + others.memory_bytes(); }
};

void two_tables(Two& two, const Key* keys, Tick now, uint32_t& found) {
  std::array<uint64_t, kBurst> hashes;
  for (size_t i = 0; i < kBurst; ++i) {
    hashes[i] = two.own.hash(keys[i]);
    two.own.prefetch(hashes[i]);
    two.others.prefetch(hashes[i]);
  }
  Ahead<kBurst> own(two.own), others(two.others);
  for (const uint64_t hash : hashes) {
    own.find(hash);
    others.find(hash);
  }
  own.finish();
  others.finish();
  for (size_t i = 0; i < kBurst; ++i) {
    Slot slot = two.own.find(keys[i], hashes[i]);
    if (slot != kNoSlot) {
      two.own.touch(slot, now);
      ++found;
      continue;
    }
    slot = two.others.find(keys[i], hashes[i]);
    if (slot == kNoSlot) continue;
    two.others.touch(slot, now);
    ++found;
  }
}

void table_two_hit_burst(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  Two two(capacity);
  const auto keys = packets(0, capacity);
  uint32_t found = 0;
  Tick now = 1;
  two_tables(two, keys.data(), now, found);
  if (found != kBurst) return state.SkipWithError("expected every key to be found");
  each_burst(state, keys, [&](const Key* burst) { two_tables(two, burst, ++now, found); });
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBurst));
  state.counters["bytes/conn"] = static_cast<double>(two.memory_bytes()) / capacity;
}

void table_two_miss_burst(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  Two two(capacity);
  const auto keys = packets(capacity, capacity);
  uint32_t found = 0;
  two_tables(two, keys.data(), 1, found);
  if (found != 0) return state.SkipWithError("expected no key to be found");
  each_burst(state, keys, [&](const Key* burst) { two_tables(two, burst, 1, found); });
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBurst));
  state.counters["bytes/conn"] = static_cast<double>(two.memory_bytes()) / capacity;
}

// The plain peer: the standard library's map with the same hash.
struct Hasher {
  TableHash hash{42};
  size_t operator()(const Key& key) const { return hash(&key); }
};

void table_peer_unordered_map(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  std::unordered_map<Key, Record, Hasher> map;
  map.reserve(capacity);
  for (uint32_t n = 0; n < capacity; ++n) map.emplace(key(n), record(n));
  const auto keys = packets(0, capacity);
  for (const Key& wanted : keys) {
    if (!map.contains(wanted)) return state.SkipWithError("expected every key to be found");
  }
  Tick now = 1;
  each_burst(state, keys, [&](const Key* burst) {
    ++now;
    for (size_t i = 0; i < kBurst; ++i) map.find(burst[i])->second.last_seen = now;
  });
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBurst));
}

/// Timers that fire: all connections are due within 300 ticks, filed in random order of their slots,
/// and half of them have been refreshed since, so that they are asked and stay.
void table_expire(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    auto table = std::make_unique<ConnectionTable>(options(capacity), 0);
    std::mt19937 random(5);
    for (uint32_t n = 0; n < capacity; ++n) {
      Record entry = record(n);
      entry.status = ConnectionStatus::kClosing;
      entry.last_seen = random() % 300;
      const Slot slot = table->insert(entry, table->hash(entry.key)).slot;
      if (n % 2 != 0) table->touch(slot, 1000);
    }
    uint32_t expired = 0;
    state.ResumeTiming();
    for (Tick now = 1; now <= 600; ++now) {
      while (table->advance(now, 64, [&](Slot, const Record&) { ++expired; }) == 64) {
      }
    }
    if (expired != capacity / 2) state.SkipWithError("expected every other connection to expire");
    state.PauseTiming();
    table.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * capacity);
}

/// The dearest insert there is: a full table in which the look for a victim finds none.
void table_refused_insert(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  auto table = filled(capacity, 0.9999);
  uint32_t n = capacity;
  while (table->sizes().established < capacity - 1) enter(*table, n++);
  Record lingering = record(n++);  // one victim in a million keeps the search from being skipped
  lingering.status = ConnectionStatus::kClosing;
  table->insert(lingering, table->hash(lingering.key));
  Record newcomer = record(n);
  newcomer.status = ConnectionStatus::kOpening;
  uint64_t evicted = 0;
  for (auto _ : state) {
    newcomer.key = key(++n & 0xffffff);
    const Inserted inserted = table->insert(newcomer, table->hash(newcomer.key));
    if (inserted.slot != kNoSlot) {
      ++evicted;
      table->set_status(inserted.slot, ConnectionStatus::kClosing, 1);
    }
  }
  state.counters["evicted"] = static_cast<double>(evicted);
}

/// How many chunks a look reads when a full index has been churned, by its load in percent.
void index_churned(benchmark::State& state) {
  constexpr uint32_t kEntries = 200'000;
  const auto chunks = static_cast<uint32_t>(kEntries * 100.0 / state.range(0) / ChunkIndex::kWidth);
  ChunkIndex index(prime_from(chunks));
  std::mt19937_64 random(3);
  std::vector<std::pair<uint64_t, Slot>> entries(kEntries);
  for (auto& [hash, slot] : entries) slot = index.place(hash = random());
  const auto replace_all = [&] {
    for (auto& [hash, slot] : entries) {
      index.remove(slot, hash);
      slot = index.place(hash = random());
    }
  };
  for (int turnover = 0; turnover < 3; ++turnover) replace_all();
  for (auto _ : state) replace_all();
  uint64_t hits = 0, misses = 0;
  for (const auto& [hash, slot] : entries) {
    hits += index.probe_length(hash, slot);
    misses += index.probe_length(random(), kNoSlot);
  }
  state.SetItemsProcessed(state.iterations() * kEntries);
  state.counters["chunks/hit"] = static_cast<double>(hits) / kEntries;
  state.counters["chunks/miss"] = static_cast<double>(misses) / kEntries;
}

/// A list leaves in blocks of 1024 records and enters another table.
void table_export_import(benchmark::State& state) {
  const uint32_t capacity = static_cast<uint32_t>(state.range(0));
  const auto sender = filled(capacity);
  std::vector<Record> block(1024);
  for (auto _ : state) {
    state.PauseTiming();
    auto receiver = std::make_unique<ConnectionTable>(options(capacity), 0);
    state.ResumeTiming();
    uint64_t cursor = 0;
    uint32_t inserted = 0;
    while (const size_t count = sender->export_block(cursor, block)) {
      inserted += receiver->import_block({block.data(), count}, 1, 1).inserted;
    }
    if (inserted != capacity) state.SkipWithError("expected every record to arrive");
    state.PauseTiming();
    receiver.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * capacity);
}

#define BOTH_SIZES Arg(kSmall)->Arg(kLarge)
BENCHMARK(table_hit_burst)->Name("table/hit_burst")->BOTH_SIZES;
BENCHMARK(table_two_hit_burst)->Name("table/two_hit_burst")->BOTH_SIZES;
BENCHMARK(table_hit_single)->Name("table/hit_single")->BOTH_SIZES;
BENCHMARK(table_peer_unordered_map)->Name("table/peer_unordered_map_hit")->BOTH_SIZES;
BENCHMARK(table_miss_burst)->Name("table/miss_burst")->BOTH_SIZES;
BENCHMARK(table_two_miss_burst)->Name("table/two_miss_burst")->BOTH_SIZES;
BENCHMARK(table_hit_churned)->Name("table/hit_churned")->BOTH_SIZES;
BENCHMARK(table_miss_churned)->Name("table/miss_churned")->BOTH_SIZES;
BENCHMARK(table_open_close)->Name("table/open_close")->BOTH_SIZES;
BENCHMARK(table_refused_insert)->Name("table/refused_insert")->Arg(kLarge);
BENCHMARK(table_expire)
    ->Name("table/expire")
    ->BOTH_SIZES->Iterations(3)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(index_churned)
    ->Name("index/churned")
    ->Arg(70)
    ->Arg(75)
    ->Arg(80)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(table_export_import)
    ->Name("table/export_import")
    ->Arg(kLarge)
    ->Unit(benchmark::kMillisecond);

}  // namespace
