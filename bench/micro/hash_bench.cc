// What one hash costs: at 12 bytes (IPv4 addresses and ports), 37 (everything selected, IPv6) and
// 40 (the connection table's key). Before anything is measured each function gives one golden
// value, so that no wrong answer is ever timed.
//
// Time/op is latency: every input depends on the hash before it, as a packet's look-up depends on
// its hash.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "allocation/distribution.h"
#include "hash/crc32c.h"
#include "hash/jhash.h"
#include "hash/siphash.h"
#include "hash/table_hash.h"
#include "hash/toeplitz.h"

namespace flowsieve {
namespace {

/// The bytes 00 01 02 …, which most published values are of.
struct Counting {
  std::array<uint8_t, 64> bytes;

  constexpr Counting() : bytes{} {
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<uint8_t>(i);
    }
  }
};
constexpr Counting kCounting;

void expect(const char* what, uint64_t expected, uint64_t received) {
  if (expected != received) {
    std::fprintf(stderr, "Expected %llx for %s but received %llx.\n",
                 static_cast<unsigned long long>(expected), what,
                 static_cast<unsigned long long>(received));
    std::abort();
  }
}

/// One golden value of each; their sources stand in test/native/hash.
bool check_answers() {
  const uint8_t* bytes = kCounting.bytes.data();
  const uint8_t rss[] = {66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6};
  expect("SipHash-2-4", 0xa129ca6149be45e5, siphash24(SipKey::from_bytes(bytes), bytes, 15));
  expect("Toeplitz", 0x51ccc178, ToeplitzTable(kToeplitzDefaultKey)(rss, sizeof rss));
  expect("Toeplitz by bits", 0x51ccc178, toeplitz_bitwise(kToeplitzDefaultKey, rss, sizeof rss));
  expect("CRC-32C", 0x46dd794e, crc32c(bytes, 32));
  expect("CRC-32C by table", 0x46dd794e, ~crc32c_raw_table(0xffffffff, bytes, 32));
  expect("jhash", 0x91d0e462, jhash(bytes, 37, 0xdeadbeef));
  expect("the table's hash", 0x11970cba087dcf4b, TableHash(0)({1, 2, 3, 4, 5}));
  return true;
}
const bool kAnswersChecked = check_answers();

/// Runs `hash` over state.range(0) bytes, the first of which come from the hash before.
template <typename Hash>
void run_chain(benchmark::State& state, Hash&& hash) {
  std::array<uint8_t, 64> input = kCounting.bytes;
  const size_t size = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    const auto value = hash(input.data(), size);
    std::memcpy(input.data(), &value, sizeof value);
    benchmark::DoNotOptimize(input.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}

void hash_siphash(benchmark::State& state) {
  const SipKey key = SipKey::from_bytes(kCounting.bytes.data());
  run_chain(state, [&](const uint8_t* data, size_t size) { return siphash24(key, data, size); });
}

void hash_toeplitz(benchmark::State& state) {
  const ToeplitzTable table(kToeplitzDefaultKey);
  run_chain(state, [&](const uint8_t* data, size_t size) { return table(data, size); });
}

void hash_toeplitz_bitwise(benchmark::State& state) {
  run_chain(state, [](const uint8_t* data, size_t size) {
    return toeplitz_bitwise(kToeplitzDefaultKey, data, size);
  });
}

void hash_crc32c(benchmark::State& state) {
  run_chain(state, [](const uint8_t* data, size_t size) { return crc32c(data, size); });
}

void hash_crc32c_table(benchmark::State& state) {
  run_chain(state, [](const uint8_t* data, size_t size) {
    return ~crc32c_raw_table(0xffffffff, data, size);
  });
}

void hash_jhash(benchmark::State& state) {
  run_chain(state, [](const uint8_t* data, size_t size) { return jhash(data, size, 0); });
}

void hash_table_key(benchmark::State& state) {
  const TableHash hash(1);
  run_chain(state,
            [&](const uint8_t* data, size_t) { return hash(static_cast<const void*>(data)); });
}

BENCHMARK(hash_siphash)->Arg(12)->Arg(37)->Arg(40);
BENCHMARK(hash_toeplitz)->Arg(12)->Arg(37);
BENCHMARK(hash_toeplitz_bitwise)->Arg(12)->Arg(37);
BENCHMARK(hash_crc32c)->Arg(12)->Arg(37)->Arg(40);
BENCHMARK(hash_crc32c_table)->Arg(12)->Arg(37)->Arg(40);
BENCHMARK(hash_jhash)->Arg(12)->Arg(37)->Arg(40);
BENCHMARK(hash_table_key)->Arg(40);

/// Layout, hash and bucket of a connection: what an opening packet costs. Argument:
/// the HashFunction.
void distribution_bucket(benchmark::State& state) {
  DistributionOptions options;
  options.hash = static_cast<HashFunction>(state.range(0));
  options.key = kToeplitzDefaultKey;
  options.symmetric = state.range(1) != 0;
  const Distribution distribution(options);
  const uint8_t client[4] = {198, 51, 100, 7}, server[4] = {192, 0, 2, 100};
  const Address source = mapped_ipv4(client), destination = mapped_ipv4(server);
  uint16_t port = 40000;
  for (auto _ : state) {
    const uint32_t bucket = distribution.bucket({Family::kIpv4, source, destination, port, 443, 6});
    port = static_cast<uint16_t>(port + bucket + 1);
    benchmark::DoNotOptimize(port);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(distribution_bucket)
    ->ArgNames({"hash", "symmetric"})
    ->ArgsProduct({{0, 1, 2, 3}, {0, 1}});

}  // namespace
}  // namespace flowsieve
