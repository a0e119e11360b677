#include "table/chunk_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <vector>

using namespace flowsieve;

TEST_CASE("tag match: the plain form and the processor's agree with a loop, byte by byte") {
  std::mt19937_64 random(1);
  alignas(16) uint8_t bytes[16];
  for (int round = 0; round < 200'000; ++round) {
    // Few different values, among them those where a carry would show: 0, 1, 0x7f, 0x80, 0xff.
    constexpr uint8_t kValues[] = {0, 1, 2, 0x7e, 0x7f, 0x80, 0x81, 0xfe, 0xff};
    for (uint8_t& byte : bytes) {
      byte = round % 2 ? kValues[random() % std::size(kValues)] : static_cast<uint8_t>(random());
    }
    const uint8_t wanted =
        round % 3 ? kValues[random() % std::size(kValues)] : static_cast<uint8_t>(random());
    uint32_t expected = 0;
    for (uint32_t i = 0; i < 16; ++i) expected |= uint32_t{bytes[i] == wanted} << i;
    REQUIRE(match_bytes_plain(bytes, wanted) == expected);
    REQUIRE(match_bytes(bytes, wanted) == expected);
  }
}

TEST_CASE("chunk index: prime_from gives the smallest prime from a number on") {
  std::vector<bool> composite(20'000);
  for (uint32_t i = 2; i < composite.size(); ++i) {
    for (uint32_t j = 2 * i; j < composite.size(); j += i) composite[j] = true;
  }
  uint32_t next = 19'997;
  for (uint32_t n = 19'997; n >= 2; --n) {
    if (!composite[n]) next = n;
    if (n < 19'990) REQUIRE(prime_from(n) == next);
  }
  CHECK(prime_from(0) == 2);
  CHECK(prime_from(5'592'406) == 5'592'407);  // primes from a published table
}

TEST_CASE("chunk index: the path of every hash visits every chunk once") {
  std::mt19937_64 random(2);
  for (const uint32_t chunks : {2u, 3u, 5u, 11u, 101u, 1009u}) {
    ChunkIndex index(chunks);
    for (int i = 0; i < 50; ++i) {
      const uint64_t hash = i == 0 ? 0 : i == 1 ? UINT64_MAX : random();
      std::set<uint32_t> seen;
      uint32_t chunk = index.first_chunk(hash);
      for (uint32_t k = 0; k < chunks; ++k, chunk = index.next_chunk(chunk, index.step(hash))) {
        CHECK(chunk < chunks);
        seen.insert(chunk);
      }
      CHECK(seen.size() == chunks);
    }
  }
}

TEST_CASE(
    "chunk index: what it says is free is what it gives, as long as the first chunk has room") {
  ChunkIndex index(11);
  std::mt19937_64 random(3);
  for (uint32_t i = 0; i < index.slots(); ++i) {
    const uint64_t hash = random();
    const Slot free = index.first_free(hash);
    const Slot given = index.place(hash);
    const bool full = index.first_chunk(hash) != given / ChunkIndex::kWidth;
    CHECK(free == (full ? kNoSlot : given));
  }
}

TEST_CASE(
    "chunk index: it can be filled to the last slot and emptied again, with one path for all") {
  ChunkIndex index(5);
  // One hash but for its class: with fewer than sixteen of a class beyond a chunk, all counts stay
  // exact.
  const auto hash = [](uint64_t i) { return 42 | i % ChunkIndex::kClasses << 32; };
  std::vector<Slot> slots;
  for (uint32_t i = 0; i < index.slots(); ++i) slots.push_back(index.place(hash(i)));
  CHECK(slots.size() == 70);
  CHECK(std::set<Slot>(slots.begin(), slots.end()).size() == 70);
  CHECK(index.place(42) == kNoSlot);
  CHECK(index.place(~uint64_t{42}) == kNoSlot);
  CHECK(index.overflow(index.first_chunk(42), 3) == 14);
  for (uint32_t i = 0; i < slots.size(); ++i) {
    CHECK(index.find(hash(i), [&](Slot at) { return at == slots[i]; }) == slots[i]);
  }
  for (uint32_t of = 0; of < ChunkIndex::kClasses; ++of) {
    CHECK(index.probe_length(hash(of), kNoSlot) == 5);
    CHECK(index.find(hash(of), [](Slot) { return false; }) == kNoSlot);
  }
  for (uint32_t i = 0; i < slots.size(); ++i) index.remove(slots[i], hash(i));
  CHECK(index.size() == 0);
  for (uint32_t chunk = 0; chunk < 5; ++chunk) {
    CHECK(index.occupied(chunk) == 0);
    for (uint32_t of = 0; of < ChunkIndex::kClasses; ++of) CHECK(index.overflow(chunk, of) == 0);
  }
  CHECK(index.probe_length(42, kNoSlot) == 1);
}

TEST_CASE("chunk index: a look goes on only where an entry of its own class has passed") {
  for (uint64_t passing = 0; passing < ChunkIndex::kClasses; ++passing) {
    ChunkIndex index(101);
    for (uint32_t i = 0; i < ChunkIndex::kWidth; ++i) index.place(7);
    CHECK(index.probe_length(7, kNoSlot) == 1);  // it is full, but nobody has passed
    const Slot beyond = index.place(7 | passing << 32);
    CHECK(index.probe_length(7 | passing << 32, beyond) == 2);
    for (uint64_t of = 0; of < ChunkIndex::kClasses; ++of) {
      uint32_t looked = 0;
      CHECK(index.find(7 | of << 32, [&](Slot) { return ++looked, false; }) == kNoSlot);
      CHECK(looked == ChunkIndex::kWidth + (of == passing));
      CHECK(index.probe_length(7 | of << 32, kNoSlot) == (of == passing ? 2 : 1));
    }
    index.remove(beyond, 7 | passing << 32);
    CHECK(index.probe_length(7 | passing << 32, kNoSlot) == 1);
  }
}

TEST_CASE("chunk index: what may be asked for ahead is what a look reads first") {
  std::mt19937_64 random(8);
  ChunkIndex index(53);
  std::vector<std::pair<uint64_t, Slot>> held;
  for (uint32_t i = 0; i < index.slots() * 9 / 10; ++i) {
    const uint64_t hash = random() & 0xffffffffffffff07;  // eight tags, which agree often
    held.emplace_back(hash, index.place(hash));
  }
  // After churn there are entries beyond chunks that have room.
  for (int i = 0; i < 5000; ++i) {
    auto& [hash, slot] = held[random() % held.size()];
    index.remove(slot, hash);
    hash = random() & 0xffffffffffffff07;
    slot = index.place(hash);
  }
  const auto agreeing = [&](uint32_t chunk, uint64_t hash) {
    std::set<Slot> slots;
    for (Slot slot = chunk * ChunkIndex::kWidth; slot < (chunk + 1) * ChunkIndex::kWidth; ++slot) {
      if (index.tag_at(slot) == ChunkIndex::tag(hash)) slots.insert(slot);
    }
    return slots;
  };
  uint32_t leave = 0, second = 0, stay = 0;
  const auto check = [&](uint64_t hash) {
    const uint32_t first = index.first_chunk(hash);
    const uint32_t next = index.next_chunk(first, index.step(hash));
    std::set<Slot> visited, visited_second;
    index.visit_candidates(hash, [&](Slot slot) { visited.insert(slot); });
    index.visit_second_candidates(hash, [&](Slot slot) { visited_second.insert(slot); });
    CHECK(visited == agreeing(first, hash));
    CHECK(visited_second == agreeing(next, hash));
    const bool passed = index.overflow(first, ChunkIndex::overflow_class(hash)) > 0;
    CHECK(index.leaves_first(hash) == (visited.empty() && passed));
  };
  for (const auto& [hash, slot] : held) {
    check(hash);
    stay += slot / ChunkIndex::kWidth == index.first_chunk(hash);
    leave += index.leaves_first(hash);
    second += index.leaves_first(hash) && index.probe_length(hash, slot) == 2;
  }
  for (int i = 0; i < 2000; ++i) check(random());
  MESSAGE(stay, " of ", held.size(), " in their first chunk, ", leave, " looks leave it, ", second,
          " end in the second");
  CHECK(stay > held.size() / 2);
  CHECK(leave > 20);
  CHECK(second > 10);
}

TEST_CASE("chunk index: classes are even among the hashes of one chunk, in the largest index too") {
  std::mt19937_64 random(4);
  for (const uint32_t chunks : {101u, 16'777'213u}) {
    const ChunkIndex index(chunks);
    for (int i = 0; i < 100; ++i) {
      const uint64_t first = random() >> 32;
      const uint32_t chunk = index.first_chunk(first << 32);
      // To the end of the chunk's hashes and back over 256 of them.
      uint64_t end = first;
      for (uint64_t step = 1u << 31; step != 0; step /= 2) {
        if (end + step <= UINT32_MAX && index.first_chunk((end + step) << 32) == chunk) end += step;
      }
      std::array<uint32_t, ChunkIndex::kClasses> of{};
      for (uint64_t upper = end + 1; upper-- > end + 1 - std::min<uint64_t>(end + 1, 256);) {
        of[ChunkIndex::overflow_class(upper << 32)] += index.first_chunk(upper << 32) == chunk;
      }
      const auto [least, most] = std::minmax_element(of.begin(), of.end());
      CHECK(*most <= *least + 1);
      CHECK(*least >= 63);
    }
  }
}

TEST_CASE("chunk index: a counter at its end stays there and loses nobody") {
  ChunkIndex index(101);
  std::vector<Slot> slots;
  constexpr uint32_t kSeated = ChunkIndex::kWidth;
  for (uint32_t i = 0; i < kSeated + 14; ++i) slots.push_back(index.place(7));
  const uint32_t first = index.first_chunk(7);
  CHECK(index.overflow(first, 0) == 14);  // the last number that is exact
  index.remove(slots.back(), 7);
  CHECK(index.overflow(first, 0) == 13);
  slots.back() = index.place(7);
  for (uint32_t i = 0; i < 600; ++i) slots.push_back(index.place(7));
  CHECK(index.overflow(first, 0) == ChunkIndex::kOverflowMax);
  while (slots.size() > 100) {
    index.remove(slots.back(), 7);
    slots.pop_back();
  }
  CHECK(index.overflow(first, 0) == ChunkIndex::kOverflowMax);
  for (const Slot slot : slots) CHECK(index.find(7, [&](Slot at) { return at == slot; }) == slot);
  while (!slots.empty()) {
    index.remove(slots.back(), 7);
    slots.pop_back();
  }
  CHECK(index.overflow(first, 0) == ChunkIndex::kOverflowMax);
  CHECK(index.find(7, [](Slot) { return true; }) == kNoSlot);
  // Its neighbour in the same byte has not moved.
  CHECK(index.overflow(first, 1) == 0);
}

namespace {

/// The overflow counters once more, one number each: who is to pass which chunk says the path.
class PlainCounters {
 public:
  explicit PlainCounters(const ChunkIndex& index) : index_(index), passed_(index.chunks()) {}
  void place(uint64_t hash, Slot slot) {
    each_passed(hash, slot, [](uint32_t& count) { count += count < ChunkIndex::kOverflowMax; });
  }
  void remove(uint64_t hash, Slot slot) {
    each_passed(hash, slot, [](uint32_t& count) { count -= count < ChunkIndex::kOverflowMax; });
  }
  bool agree() const {
    for (uint32_t chunk = 0; chunk < index_.chunks(); ++chunk) {
      for (uint32_t of = 0; of < ChunkIndex::kClasses; ++of) {
        if (index_.overflow(chunk, of) != passed_[chunk][of]) return false;
      }
    }
    return true;
  }

 private:
  template <typename Count>
  void each_passed(uint64_t hash, Slot slot, Count&& count) {
    for (uint32_t chunk = index_.first_chunk(hash); chunk != slot / ChunkIndex::kWidth;
         chunk = index_.next_chunk(chunk, index_.step(hash))) {
      count(passed_[chunk][ChunkIndex::overflow_class(hash)]);
    }
  }

  const ChunkIndex& index_;
  std::vector<std::array<uint32_t, ChunkIndex::kClasses>> passed_;
};

/// Random places and removals with hashes of few bits, so that chunks overflow and tags
/// agree all the time.
void churn(uint32_t chunks, uint64_t mask, double load, uint64_t seed) {
  std::mt19937_64 random(seed);
  ChunkIndex index(chunks);
  PlainCounters plain(index);
  const size_t limit = static_cast<size_t>(index.slots() * load);
  std::map<uint64_t, Slot> slot_of;  // by identity
  std::map<Slot, uint64_t> identity_at;
  std::map<uint64_t, uint64_t> hash_of;
  std::vector<uint64_t> live;
  for (uint64_t identity = 0; identity < 20'000; ++identity) {
    if (live.size() < limit && (live.empty() || random() % 100 < 55)) {
      const uint64_t hash = random() & mask;
      const Slot slot = index.place(hash);
      REQUIRE(slot != kNoSlot);
      REQUIRE(identity_at.emplace(slot, identity).second);
      plain.place(hash, slot);
      slot_of[identity] = slot;
      hash_of[identity] = hash;
      live.push_back(identity);
    } else {
      const size_t at = random() % live.size();
      const uint64_t gone = live[at];
      live[at] = live.back();
      live.pop_back();
      index.remove(slot_of[gone], hash_of[gone]);
      plain.remove(hash_of[gone], slot_of[gone]);
      identity_at.erase(slot_of[gone]);
    }
    if (identity % 64 == 0) REQUIRE(plain.agree());
    const uint64_t wanted = live.empty() ? 0 : live[random() % live.size()];
    if (!live.empty()) {
      REQUIRE(index.find(hash_of[wanted], [&](Slot slot) {
        return identity_at.at(slot) == wanted;
      }) == slot_of[wanted]);
    }
  }
  CHECK(index.size() == live.size());
  CHECK(plain.agree());
}

}  // namespace

TEST_CASE("chunk index: everything is found at its place under churn, with hashes good and bad") {
  churn(2, ~uint64_t{0}, 1.0, 1);
  churn(3, 0xff, 1.0, 2);                 // one path for all
  churn(11, 0xe000000000000003, 0.8, 3);  // few chunks, four tags
  churn(53, 0xffffffff000000ff, 1.0, 4);  // every step is 1
  churn(101, ~uint64_t{0}, 0.8, 5);
  churn(11, 0xfffffffc000000ff, 0.95, 7);  // one class for all
  churn(101, 0x00000000ffffffff, 0.9, 6);  // everybody begins in chunk 0
}
