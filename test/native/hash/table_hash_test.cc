#include "hash/table_hash.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include <vector>

#include "uniformity.h"

namespace flowsieve {
namespace {

using Words = std::array<uint64_t, 5>;

// Values of a second implementation with integers of any length (Python): fold by one
// long multiplication.
TEST_CASE("the table's hash gives the values of an implementation with long integers") {
  const Words zero{}, small{1, 2, 3, 4, 5};
  Words large{};
  for (uint64_t i = 0; i < 5; ++i) {
    large[i] = uint64_t{0x0123456789abcdef} * (i + 1);
  }
  CHECK(TableHash(0)(zero) == 0x8016a50fe50287b2);
  CHECK(TableHash(0)(small) == 0x11970cba087dcf4b);
  CHECK(TableHash(0)(large) == 0x515162585d99a625);
  CHECK(TableHash(42)(zero) == 0x0d8d821bb747bfff);
  CHECK(TableHash(42)(small) == 0x7a3c499b318df9b9);
  CHECK(TableHash(42)(large) == 0x3a4d55846104ae76);
}

TEST_CASE("splitmix64 gives its published sequence for the seed 1234567") {
  uint64_t state = 1234567;
  CHECK(splitmix64(state) == 6457827717110365317u);
  CHECK(splitmix64(state) == 3203168211198807973u);
  CHECK(splitmix64(state) == 9817491932198370423u);
  CHECK(splitmix64(state) == 4593380528125082431u);
  CHECK(splitmix64(state) == 16408922859458223821u);
}

TEST_CASE("the folded multiplication agrees with its plain twin") {
  const uint64_t edges[] = {0, 1, 2, 0xffffffff, 0x100000000, uint64_t{1} << 63, ~uint64_t{0}};
  for (const uint64_t a : edges) {
    for (const uint64_t b : edges) {
      CHECK(fold_multiply(a, b) == fold_multiply_plain(a, b));
    }
  }
  std::mt19937_64 random(64);
  for (int i = 0; i < 100000; ++i) {
    const uint64_t a = random() >> (random() % 64), b = random() >> (random() % 64);
    REQUIRE(fold_multiply(a, b) == fold_multiply_plain(a, b));
  }
}

TEST_CASE("the table's hash of bytes is that of their words, at any alignment") {
  Words words;
  std::mt19937_64 random(40);
  for (uint64_t& word : words) {
    word = random();
  }
  const TableHash hash(7);
  char room[48];
  for (size_t shift = 0; shift < 8; ++shift) {
    std::memcpy(room + shift, words.data(), sizeof words);
    CHECK(hash(static_cast<const void*>(room + shift)) == hash(words));
  }
}

/// The largest distance from one half, over all pairs of (input bit, output bit), of the share of
/// keys for which flipping the one flips the other.
double worst_avalanche(uint64_t seed, const std::vector<Words>& keys) {
  const TableHash hash(seed);
  double worst = 0;
  for (size_t bit = 0; bit < 320; ++bit) {
    std::array<uint32_t, 64> flips{};
    for (const Words& key : keys) {
      Words other = key;
      other[bit / 64] ^= uint64_t{1} << bit % 64;
      const uint64_t changed = hash(key) ^ hash(other);
      for (size_t i = 0; i < 64; ++i) {
        flips[i] += changed >> i & 1;
      }
    }
    for (const uint32_t count : flips) {
      const double share = static_cast<double>(count) / static_cast<double>(keys.size());
      worst = std::max(worst, std::abs(share - 0.5));
    }
  }
  return worst;
}

/// Keys as they are met: IPv4 clients of one server, ports and addresses counting up.
Words ipv4_key(uint32_t client, uint16_t port) {
  uint8_t bytes[40] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10};
  std::memcpy(bytes + 13, &client, 3);
  std::memcpy(bytes + 16, bytes, 12);
  const uint8_t server[4] = {192, 0, 2, 100};
  std::memcpy(bytes + 28, server, 4);
  const uint16_t https = 443;
  std::memcpy(bytes + 32, &port, 2);
  std::memcpy(bytes + 34, &https, 2);
  bytes[36] = 6;
  bytes[37] = 4;
  Words words;
  std::memcpy(words.data(), bytes, sizeof words);
  return words;
}

TEST_CASE("flipping any bit of the key flips every bit of the hash about every second time") {
  std::mt19937_64 random(99);
  std::vector<Words> arbitrary(8192), real(8192);
  for (Words& key : arbitrary) {
    for (uint64_t& word : key) {
      word = random();
    }
  }
  for (size_t i = 0; i < real.size(); ++i) {
    real[i] = ipv4_key(static_cast<uint32_t>(i / 64), static_cast<uint16_t>(32768 + i));
  }
  // The standard deviation of a share is 0.0055; the worst of 20,480 lies near 4.2 of them.
  for (const uint64_t seed : {1, 2, 3}) {
    CHECK(worst_avalanche(seed, arbitrary) < 0.035);
    CHECK(worst_avalanche(seed, real) < 0.035);
  }
}

TEST_CASE("the table's hash spreads counted-up connections evenly, in its low and its high bits") {
  for (const uint64_t seed : {0, 1, 77}) {
    const TableHash hash(seed);
    CellCounts low(4096), middle(4096), high(4096);
    for (uint32_t i = 0; i < 100000; ++i) {
      const uint64_t value = hash(ipv4_key(i >> 6, static_cast<uint16_t>(1024 + (i & 63))));
      low.add(value & 4095);
      middle.add(value >> 26 & 4095);
      high.add(value >> 52);
    }
    CHECK(low.unevenness() < kUnevennessMax);
    CHECK(middle.unevenness() < kUnevennessMax);
    CHECK(high.unevenness() < kUnevennessMax);
  }
}

TEST_CASE("keys that collide under one seed do not collide under another") {
  // 2^16 keys, 2^20 cells: about 2,000 pairs meet under any one seed, and under a second seed about
  // one pair in 2^20 of those does again. Under a CRC it would be all of them.
  constexpr uint64_t kCells = 1 << 20;
  const TableHash first(1), second(2);
  std::vector<uint32_t> holder(kCells, UINT32_MAX);
  int collisions = 0, again = 0;
  for (uint32_t i = 0; i < 65536; ++i) {
    const Words key = ipv4_key(i, 40000);
    uint32_t& cell = holder[first(key) % kCells];
    if (cell != UINT32_MAX) {
      ++collisions;
      again += second(key) % kCells == second(ipv4_key(cell, 40000)) % kCells;
    }
    cell = i;
  }
  CHECK(collisions > 1800);
  CHECK(collisions < 2250);
  CHECK(again <= 2);
}

TEST_CASE("a million connections have a million different hashes") {
  const TableHash hash(5);
  std::vector<uint64_t> values;
  values.reserve(1000000);
  for (uint32_t i = 0; i < 1000000; ++i) {
    values.push_back(hash(ipv4_key(i >> 8, static_cast<uint16_t>(1024 + (i & 255)))));
  }
  std::sort(values.begin(), values.end());
  CHECK(std::adjacent_find(values.begin(), values.end()) == values.end());
}

}  // namespace
}  // namespace flowsieve
