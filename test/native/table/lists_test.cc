#include <doctest/doctest.h>

#include <map>
#include <random>
#include <vector>

#include "table/records.h"
#include "table/table.h"

using namespace table_test;

namespace {

TableOptions options(uint32_t capacity, uint64_t seed = 1) {
  TableOptions options;
  options.capacity = capacity;
  options.seed = seed;
  options.nodes = 8;
  return options;
}

std::vector<Record> export_all(const ConnectionTable& table, size_t block) {
  std::vector<Record> all;
  std::vector<Record> out(block);
  uint64_t cursor = 0;
  while (const size_t count = table.export_block(cursor, out)) {
    all.insert(all.end(), out.begin(), out.begin() + static_cast<ptrdiff_t>(count));
  }
  CHECK(table.export_block(cursor, out) == 0);
  return all;
}

ConnectionTable::Imported import_one(ConnectionTable& table, const Record& record) {
  return table.import_block({&record, 1}, 1000, 500);
}

}  // namespace

TEST_CASE("lists: a list taken in blocks of any size holds every record once") {
  ConnectionTable table(options(500), 0);
  for (uint32_t n = 0; n < 400; ++n) enter(table, record(n, kEstablished, 0));
  for (const size_t block : {1u, 2u, 14u, 15u, 16u, 399u, 400u, 401u, 5000u}) {
    std::map<uint16_t, int> seen;
    const std::vector<Record> all = export_all(table, block);
    CHECK(all.size() == 400);
    for (const Record& entry : all) ++seen[entry.key.source_port];
    CHECK(seen.size() == 400);
  }
}

TEST_CASE("lists: an empty table's list is empty, and so is a block of nothing") {
  ConnectionTable table(options(100), 0);
  CHECK(export_all(table, 10).empty());
  enter(table, record(1, kEstablished, 0));
  uint64_t cursor = 0;
  CHECK(table.export_block(cursor, {}) == 0);
  cursor = UINT64_MAX;
  std::vector<Record> out(4);
  CHECK(table.export_block(cursor, out) == 0);
}

TEST_CASE("lists: what stays during the export comes once, whatever else comes and goes") {
  std::mt19937 random(5);
  ConnectionTable table(options(2000), 0);
  for (uint32_t n = 0; n < 1800; ++n) enter(table, record(n, kEstablished, 0));
  std::map<uint32_t, int> seen;
  std::vector<Record> out(64);
  uint64_t cursor = 0;
  uint32_t next = 10'000;
  while (const size_t count = table.export_block(cursor, out)) {
    for (size_t i = 0; i < count; ++i) ++seen[out[i].key.source_port - 1024u];
    for (int i = 0; i < 40; ++i) {
      const Slot slot = find(table, random() % 600);  // only the first 600 ever leave
      if (slot != kNoSlot) table.erase(slot);
      enter(table, record(next++, kEstablished, 0));
    }
  }
  for (uint32_t n = 600; n < 1800; ++n) CHECK(seen[n] == 1);
}

TEST_CASE("lists: a choice by bucket looks at a bounded number of entries in each call") {
  ConnectionTable table(options(3000), 0);
  for (uint32_t n = 0; n < 2560; ++n) enter(table, record(n, kEstablished, 0));
  std::vector<Record> out(4);
  uint64_t cursor = 0;
  size_t chosen = 0;
  size_t calls = 0;
  while (cursor < table.slots()) {
    const uint64_t before = cursor;
    size_t looked = 0;
    const size_t count = table.export_block(cursor, out, 100, [&](const Record& entry) {
      ++looked;
      return entry.bucket == 17;
    });
    for (size_t i = 0; i < count; ++i) CHECK(out[i].bucket == 17);
    CHECK(cursor > before);
    CHECK(looked <= 100 + ChunkIndex::kWidth);
    chosen += count;
    ++calls;
  }
  CHECK(chosen == 10);
  CHECK(calls >= 2560 / (100 + ChunkIndex::kWidth));
}

TEST_CASE("lists: a walk through a table that is nearly empty takes a call for many chunks") {
  ConnectionTable table(options(30'000), 0);
  enter(table, record(1, kEstablished, 0));
  const size_t chunks = table.slots() / ChunkIndex::kWidth;
  const auto calls = [&](auto&& step) {
    size_t made = 0;
    for (uint64_t cursor = 0; cursor < table.slots(); ++made) step(cursor);
    return made;
  };
  std::vector<Record> out(4);
  size_t found = 0;
  const size_t exports = calls([&](uint64_t& cursor) {
    found += table.export_block(cursor, out, 100, [](const Record&) { return true; });
  });
  const size_t visits = calls(
      [&](uint64_t& cursor) { table.visit(cursor, 100, [&](Slot, const Record&) { ++found; }); });
  CHECK(found == 2);
  CHECK(exports <= chunks / 100 + 2);
  CHECK(visits <= chunks / 100 + 2);
  CHECK(visits >= chunks / 101);
}

TEST_CASE("lists: what one table gives another takes, with ages in the receiver's time") {
  ConnectionTable sender(options(500, 1), 900);
  for (uint32_t n = 0; n < 300; ++n) {
    Record entry = record(n, n % 2 ? kEstablished : kClosing, 900 + n % 50, n % 8);
    entry.opened = 800;
    entry.seen_here = kConfirmed;
    enter(sender, entry);
  }
  ConnectionTable receiver(options(500, 2), 5'000'000);
  std::vector<Record> out(70);
  uint64_t cursor = 0;
  ConnectionTable::Imported sum;
  while (const size_t count = sender.export_block(cursor, out)) {
    sum.inserted += receiver.import_block({out.data(), count}, 1000, 5'000'000).inserted;
  }
  CHECK(sum.inserted == 300);
  for (uint32_t n = 0; n < 300; ++n) {
    const Record& entry = receiver.at(find(receiver, n));
    CHECK(entry.last_seen == 5'000'000 - 100 + n % 50);
    CHECK(entry.opened == 5'000'000 - 200);
    CHECK(entry.owner == n % 8);
    CHECK(entry.bucket == n % 256);
    CHECK(entry.epoch == 3);
    CHECK((entry.flags & kImported) != 0);
  }
  CHECK(receiver.check_invariants() == "");
  // The first closing ones (100 ticks old on arrival) end when they would have ended
  // where they came from.
  size_t expired = 0;
  const auto count_expired = [&](Slot, const Record&) { ++expired; };
  receiver.advance(5'000'000 + 99, SIZE_MAX, count_expired);
  CHECK(expired == 0);
  receiver.advance(5'000'000 + 100, SIZE_MAX, count_expired);
  CHECK(expired == 6);
}

TEST_CASE("lists: an age greater than the receiver's clock is carried through its zero") {
  ConnectionTable table(options(16), 50);
  Record entry = record(1, kEstablished, 100'000, 1);
  CHECK(table.import_block({&entry, 1}, 100'400, 50).inserted == 1);
  CHECK(table.at(find(table, 1)).last_seen == 50u - 400u);
  CHECK(table.check_invariants() == "");
  size_t expired = 0;
  const auto count_expired = [&](Slot, const Record&) { ++expired; };
  table.advance(50 + 74'400 - 401, SIZE_MAX, count_expired);
  CHECK(expired == 0);
  table.advance(50 + 74'400 - 400, SIZE_MAX, count_expired);
  CHECK(expired == 1);
}

TEST_CASE("lists: a record that no table can have written is refused") {
  const auto refused = [](void (*spoil)(Record&)) {
    ConnectionTable table(options(16), 0);
    Record entry = record(2, kEstablished, 900, 7);
    spoil(entry);
    const ConnectionTable::Imported result = import_one(table, entry);
    CHECK(result.refused + result.inserted == 1);
    CHECK(table.sizes().others == result.inserted);
    CHECK(table.check_invariants() == "");
    return result.refused == 1;
  };
  CHECK_FALSE(refused([](Record&) {}));
  CHECK(refused([](Record& entry) { entry.status = static_cast<ConnectionStatus>(3); }));
  CHECK(refused([](Record& entry) { entry.status = static_cast<ConnectionStatus>(255); }));
  CHECK_FALSE(refused([](Record& entry) { entry.flags = 0xff; }));
  CHECK(refused([](Record& entry) { entry.key.family = static_cast<Family>(0); }));
  CHECK(refused([](Record& entry) { entry.key.family = static_cast<Family>(5); }));
  CHECK_FALSE(refused([](Record& entry) { entry.key.family = Family::kIpv6; }));
  CHECK(refused([](Record& entry) { entry.key.zero = 1; }));
  CHECK(refused([](Record& entry) { entry.reopened = 2; }));
  CHECK(refused([](Record& entry) { entry.zero = 0x80; }));
  CHECK(refused([](Record& entry) { entry.bypassed = 1; }));
  CHECK(refused([](Record& entry) { entry.behind = static_cast<uint8_t>(entry.epoch + 1); }));
  CHECK(refused([](Record& entry) { entry.expected = 2; }));
  CHECK(refused([](Record& entry) { entry.key.source[11] = 0; }));
  CHECK(refused([](Record& entry) { entry.key.destination[0] = 0x20; }));
  CHECK(refused([](Record& entry) { entry.owner = 8; }));
  CHECK(refused([](Record& entry) { entry.owner = UINT16_MAX; }));
  CHECK(refused([](Record& entry) { entry.last_seen = 1001; }));
  CHECK_FALSE(refused([](Record& entry) { entry.last_seen = 1000; }));
  CHECK(refused([](Record& entry) { entry.opened = 901; }));
}

TEST_CASE("lists: a record older than any timeout is refused, so that its age cannot wrap around") {
  for (const Tick age : {1u << 30, (1u << 30) + 1, (1u << 31) - 1, 1u << 31, UINT32_MAX}) {
    CAPTURE(age);
    ConnectionTable table(options(16), 500);
    Record entry = record(1, kEstablished, 1000u - age, 1);
    const auto result = import_one(table, entry);
    CHECK(result.refused == (age != 1u << 30));
    CHECK(result.inserted == 0);  // its time is over
    table.advance(501, SIZE_MAX, [](Slot, const Record&) {});
    CHECK(table.sizes().others == 0);
  }
}

TEST_CASE("lists: the limit of owners follows the number of nodes") {
  ConnectionTable table(options(16), 0);
  const Record entry = record(1, kEstablished, 900, 9);
  CHECK(import_one(table, entry).refused == 1);
  table.set_nodes(10);
  CHECK(import_one(table, entry).inserted == 1);
}

TEST_CASE("lists: a list is bound by the same places as packets are, and says what found none") {
  ConnectionTable table(options(16), 0);
  std::vector<Record> list;
  for (uint32_t n = 0; n < 10; ++n) list.push_back(record(n, kOpening, 900, 1));
  ConnectionTable::Imported result = table.import_block(list, 1000, 500);
  CHECK(result.inserted == 4);
  CHECK(result.full == 6);
  list.clear();
  for (uint32_t n = 100; n < 120; ++n) list.push_back(record(n, kEstablished, 900, 1));
  result = table.import_block(list, 1000, 500);
  CHECK(result.inserted == 16);
  CHECK(result.evicted == 4);
  CHECK(result.full == 4);
  CHECK(table.check_invariants() == "");
}

TEST_CASE("lists: a later connection that is opening finds no place beyond the openings' share") {
  ConnectionTable table(options(16), 0);
  enter(table, record(1, kClosing, 400, 2));
  for (uint32_t n = 2; n < 6; ++n) enter(table, record(n, kOpening, 400, 2));
  Record later = record(1, kOpening, 980, 1);
  ConnectionTable::Imported result = import_one(table, later);
  // As when its opening packet comes: what has closed is gone, and it is not tracked.
  CHECK(result.full == 1);
  CHECK(result.corrected == 0);
  CHECK(find(table, 1) == kNoSlot);
  CHECK(table.sizes().opening == 4);
  CHECK(table.check_invariants() == "");
  CHECK(import_one(table, later).full == 1);
  // One that is opening already gives its own place.
  later = record(2, kOpening, 980, 1);
  later.reopened = 1;
  CHECK(import_one(table, later).corrected == 1);
  CHECK(table.sizes().opening == 4);
  CHECK(table.check_invariants() == "");
}
