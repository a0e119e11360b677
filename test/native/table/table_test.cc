#include "table/table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <stdexcept>
#include <vector>

#include "table/ahead.h"
#include "table/records.h"

using namespace table_test;

namespace {

TableOptions options(uint32_t capacity, double share = 0.25) {
  TableOptions options;
  options.capacity = capacity;
  options.opening_share = share;
  options.seed = 99;
  return options;
}

/// Enters established connections from number `first` on until the table is full; returns the
/// number behind the last.
uint32_t fill(ConnectionTable& table, uint32_t first, Tick now = 0) {
  for (;; ++first) {
    if (table.sizes().own + table.sizes().others == table.sizes().capacity) return first;
    REQUIRE(enter(table, record(first, kEstablished, now)).outcome == InsertOutcome::kInserted);
  }
}

size_t advance(ConnectionTable& table, Tick now) {
  size_t expired = 0;
  table.advance(now, SIZE_MAX, [&](Slot, const Record&) { ++expired; });
  return expired;
}

struct Leavers {
  std::vector<Record> records;
  void leaving(Slot, const Record& record, bool timed_out) {
    CHECK_FALSE(timed_out);
    records.push_back(record);
  }
};

}  // namespace

TEST_CASE("table: a capacity, share or timeout that cannot be is refused in words") {
  for (const uint32_t capacity : {0u, 15u, (64u << 20) + 1, UINT32_MAX}) {
    const auto made = ConnectionTable::create(options(capacity), 0);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code == ErrorCode::kArgument);
    CHECK(made.error().message ==
          "Expected 16 to 67108864 connections for the table's capacity but received " +
              std::to_string(capacity) + ".");
    CHECK_THROWS_AS(ConnectionTable(options(capacity), 0), std::invalid_argument);
  }
  for (const double share : {-0.1, 1.01, std::nan("")}) {
    CHECK_FALSE(ConnectionTable::create(options(100, share), 0).ok());
  }
  TableOptions zero = options(100);
  zero.timeouts.ticks[1][1] = 0;
  CHECK_FALSE(ConnectionTable::create(zero, 0).ok());
  zero.timeouts.ticks[1][1] = UINT32_MAX;
  CHECK_FALSE(ConnectionTable::create(zero, 0).ok());
  CHECK(ConnectionTable::create(options(16), 0).ok());
}

TEST_CASE(
    "table: memory is near 98 bytes for each connection of the capacity, whatever the capacity") {
  for (const uint32_t capacity : {100'000u, 131'073u, 1'000'000u, 1'050'000u}) {
    const ConnectionTable table(options(capacity), 0);
    const double bytes = static_cast<double>(table.memory_bytes()) / capacity;
    CAPTURE(capacity);
    // 14 slots of 64 + 8 bytes and 16 bytes of tags for 10.5 connections make 97.5.
    CHECK(bytes > 97);
    CHECK(bytes < 98);
    CHECK(table.slots() >= capacity / 0.75);
  }
}

TEST_CASE("table: what is entered is found, by its own key only") {
  ConnectionTable table(options(1000), 0);
  for (uint32_t n = 0; n < 1000; ++n) {
    const Inserted inserted = enter(table, record(n, kEstablished, 0, n % 3));
    REQUIRE(inserted.outcome == InsertOutcome::kInserted);
    REQUIRE(table.at(inserted.slot).key == key(n));
  }
  for (uint32_t n = 0; n < 1000; ++n) {
    const Slot slot = find(table, n);
    REQUIRE(slot != kNoSlot);
    CHECK(table.at(slot).owner == n % 3);
    CHECK(table.find(reversed(key(n)), table.hash(reversed(key(n)))) == kNoSlot);
  }
  for (uint32_t n = 1000; n < 3000; ++n) CHECK(find(table, n) == kNoSlot);
  CHECK(table.sizes().own == 334);
  CHECK(table.sizes().others == 666);
  CHECK(table.check_invariants() == "");
}

TEST_CASE("table: an IPv6 packet with a mapped address is not the IPv4 connection") {
  ConnectionTable table(options(16), 0);
  Record four = record(2, kEstablished, 0);
  Record six = four;
  six.key.family = Family::kIpv6;
  enter(table, four);
  CHECK(table.find(six.key, table.hash(six.key)) == kNoSlot);
  enter(table, six);
  CHECK(table.find(six.key, table.hash(six.key)) != table.find(four.key, table.hash(four.key)));
}

TEST_CASE("table: keys whose tags and chunks agree stay apart") {
  ConnectionTable table(options(64), 0);
  std::vector<uint32_t> alike;
  for (uint32_t n = 0; alike.size() < 16; ++n) {
    if (static_cast<uint8_t>(table.hash(key(n))) == 0x55) alike.push_back(n);
  }
  for (const uint32_t n : alike) enter(table, record(n, kEstablished, 0));
  for (size_t i = 0; i < alike.size(); i += 2) table.erase(find(table, alike[i]));
  for (size_t i = 0; i < alike.size(); ++i) {
    CHECK((find(table, alike[i]) != kNoSlot) == (i % 2 == 1));
  }
  CHECK(table.check_invariants() == "");
}

TEST_CASE("table: counts follow status, owner and removal") {
  ConnectionTable table(options(100), 0);
  enter(table, record(1, kOpening, 0, 0));
  enter(table, record(2, kEstablished, 0, 1));
  enter(table, record(3, kClosing, 0, 2));
  CHECK(table.sizes().own == 1);
  CHECK(table.sizes().others == 2);
  table.set_status(find(table, 1), kEstablished, 1);
  CHECK(table.sizes().opening == 0);
  CHECK(table.sizes().established == 2);
  table.set_owner(find(table, 2), 0);
  CHECK(table.sizes().own == 2);
  table.set_owner(find(table, 2), 0);
  CHECK(table.sizes().own == 2);
  table.set_owner(find(table, 1), 5);
  CHECK(table.sizes().own == 1);
  CHECK(table.sizes().others == 2);
  table.erase(find(table, 2));
  CHECK(table.sizes().own == 0);
  CHECK(table.sizes().established == 1);
  CHECK(table.sizes().closing == 1);
  CHECK(table.check_invariants() == "");
}

TEST_CASE("table: OPENING entries get floor(capacity * share) places and no more") {
  ConnectionTable table(options(101, 0.25), 0);
  for (uint32_t n = 0; n < 25; ++n) {
    CHECK(enter(table, record(n, kOpening, 0)).outcome == InsertOutcome::kInserted);
  }
  const Inserted refused = enter(table, record(25, kOpening, 0));
  CHECK(refused.outcome == InsertOutcome::kOpeningShare);
  CHECK(refused.slot == kNoSlot);
  CHECK(enter(table, record(26, kEstablished, 0)).outcome == InsertOutcome::kInserted);
  // One that becomes established makes room for the next.
  table.set_status(find(table, 3), kEstablished, 0);
  CHECK(enter(table, record(25, kOpening, 0)).outcome == InsertOutcome::kInserted);
}

TEST_CASE("table: a share of nothing tracks no OPENING, a share of one lets them fill the table") {
  ConnectionTable none(options(16, 0), 0);
  CHECK(enter(none, record(1, kOpening, 0)).outcome == InsertOutcome::kOpeningShare);
  ConnectionTable all(options(16, 1), 0);
  for (uint32_t n = 0; n < 16; ++n) {
    CHECK(enter(all, record(n, kOpening, 0)).outcome == InsertOutcome::kInserted);
  }
  CHECK(enter(all, record(16, kOpening, 0)).outcome == InsertOutcome::kOpeningShare);
}

TEST_CASE("table: at capacity an ESTABLISHED takes the place of an OPENING, which is announced") {
  ConnectionTable table(options(160), 0);
  enter(table, record(9000, kOpening, 7));
  fill(table, 0);
  Leavers leavers;
  const Record newcomer = record(9001, kEstablished, 8);
  const Inserted inserted = table.insert(newcomer, table.hash(newcomer.key), &leavers);
  CHECK(inserted.outcome == InsertOutcome::kEvictedOpening);
  REQUIRE(leavers.records.size() == 1);
  CHECK(leavers.records[0].key == key(9000));
  CHECK(find(table, 9000) == kNoSlot);
  CHECK(find(table, 9001) == inserted.slot);
  CHECK(table.check_invariants() == "");
}

TEST_CASE("table: at capacity an OPENING evicts neither OPENING nor ESTABLISHED") {
  ConnectionTable table(options(160), 0);
  enter(table, record(9000, kOpening, 7));
  fill(table, 0);
  CHECK(enter(table, record(9001, kOpening, 8)).outcome == InsertOutcome::kFull);
  CHECK(find(table, 9000) != kNoSlot);
}

TEST_CASE(
    "table: at capacity anything takes the place of a CLOSING, before an OPENING of its chunk") {
  for (const ConnectionStatus status : {kOpening, kEstablished, kClosing}) {
    ConnectionTable table(options(16), 0);  // two chunks, each on every path
    enter(table, record(9000, kClosing, 7));
    fill(table, 0);
    CHECK(enter(table, record(9001, status, 8)).outcome == InsertOutcome::kEvictedClosing);
    CHECK(find(table, 9000) == kNoSlot);
    CHECK(find(table, 9001) != kNoSlot);
    CHECK(table.check_invariants() == "");
  }
}

TEST_CASE("table: full of ESTABLISHED it refuses, and every connection stays") {
  ConnectionTable table(options(160), 0);
  const uint32_t behind = fill(table, 0);
  for (uint32_t n = behind; n < behind + 50; ++n) {
    CHECK(enter(table, record(n, kEstablished, 0)).outcome == InsertOutcome::kFull);
    CHECK(enter(table, record(n, kOpening, 0)).outcome == InsertOutcome::kFull);
  }
  for (uint32_t n = 0; n < behind; ++n) CHECK(find(table, n) != kNoSlot);
}

TEST_CASE("table: a victim anywhere is found by as many inserts as the hand needs for one round") {
  ConnectionTable table(options(12'000), 0);
  enter(table, record(90'000, kOpening, 7));
  uint32_t next = fill(table, 0);
  uint32_t refused = 0;
  while (enter(table, record(next, kEstablished, 0)).outcome == InsertOutcome::kFull) {
    ++next;
    ++refused;
  }
  const uint32_t chunks = table.slots() / ChunkIndex::kWidth;
  CHECK(refused <= chunks / ConnectionTable::kVictimHand + 1);
  CHECK(find(table, 90'000) == kNoSlot);
}

TEST_CASE("table: the longest unseen of a chunk's OPENING entries goes first") {
  ConnectionTable table(options(16, 1), 0);
  for (uint32_t n = 0; n < 16; ++n) enter(table, record(n, kOpening, 100 + n));
  Leavers leavers;
  for (uint32_t n = 100; n < 108; ++n) {
    const Record newcomer = record(n, kEstablished, 200);
    CHECK(table.insert(newcomer, table.hash(newcomer.key), &leavers).outcome ==
          InsertOutcome::kEvictedOpening);
  }
  // Two chunks: whichever a newcomer begins with, it takes that one's oldest, so that
  // times rise by chunk.
  uint32_t out_of_order = 0;
  for (size_t i = 1; i < leavers.records.size(); ++i) {
    out_of_order += leavers.records[i].last_seen < leavers.records[i - 1].last_seen;
  }
  CHECK(leavers.records.size() == 8);
  CHECK(out_of_order < 4);
}

TEST_CASE("table: each protocol and status has its own timeout, kept to the tick") {
  const Timeouts timeouts = default_timeouts();
  const auto seconds = [&](TimeoutClass of, ConnectionStatus status) {
    return timeouts.ticks[static_cast<size_t>(of)][static_cast<size_t>(status)] / kTicksPerSecond;
  };
  CHECK(seconds(TimeoutClass::kTcp, kOpening) == 30);
  CHECK(seconds(TimeoutClass::kTcp, kEstablished) == 7440);
  CHECK(seconds(TimeoutClass::kTcp, kClosing) == 20);
  CHECK(seconds(TimeoutClass::kUdp, kOpening) == 30);
  CHECK(seconds(TimeoutClass::kUdp, kEstablished) == 120);
  CHECK(seconds(TimeoutClass::kIcmp, kEstablished) == 30);
  CHECK(seconds(TimeoutClass::kSctp, kEstablished) == 7440);
  CHECK(seconds(TimeoutClass::kSctp, kClosing) == 20);
  CHECK(seconds(TimeoutClass::kOther, kEstablished) == 600);

  for (const uint8_t protocol : {6, 17, 1, 58, 132, 47}) {
    for (const ConnectionStatus status : {kOpening, kEstablished, kClosing}) {
      const Tick begin = 12'345;
      ConnectionTable table(options(16), begin);
      Record entry = record(4, status, begin);
      entry.key.protocol = protocol;
      enter(table, entry);
      const Tick timeout = timeouts.of(protocol, status);
      CHECK(advance(table, begin + timeout - 1) == 0);
      CHECK(advance(table, begin + timeout) == 1);
      CHECK(table.sizes().others + table.sizes().own == 0);
    }
  }
}

TEST_CASE("table: a packet puts the timeout off, also a packet just before it") {
  ConnectionTable table(options(16), 0);
  enter(table, record(1, kOpening, 0));
  advance(table, 299);
  table.touch(find(table, 1), 299);
  CHECK(advance(table, 598) == 0);
  CHECK(advance(table, 599) == 1);
}

TEST_CASE("table: a time that goes backward does not age a connection") {
  ConnectionTable table(options(16), 1000);
  enter(table, record(1, kOpening, 1000));
  table.touch(find(table, 1), 10);
  CHECK(table.at(find(table, 1)).last_seen == 1000);
  CHECK(advance(table, 500) == 0);
  CHECK(advance(table, 1299) == 0);
  CHECK(advance(table, 1300) == 1);
}

TEST_CASE("table: a closed connection lingers for the closing timeout, not for the established") {
  ConnectionTable table(options(16), 0);
  enter(table, record(1, kEstablished, 0));
  advance(table, 50);
  table.set_status(find(table, 1), kClosing, 50);
  CHECK(table.check_invariants() == "");
  CHECK(advance(table, 249) == 0);
  CHECK(advance(table, 250) == 1);
}

TEST_CASE("table: a longer timeout holds although the timer is filed for the shorter") {
  ConnectionTable table(options(16), 0);
  enter(table, record(1, kOpening, 0));
  table.set_status(find(table, 1), kEstablished, 5);
  CHECK(advance(table, 74'404) == 0);
  CHECK(advance(table, 74'405) == 1);
}

TEST_CASE("table: expiry stops at its budget and goes on from there") {
  ConnectionTable table(options(1000, 1), 0);
  for (uint32_t n = 0; n < 1000; ++n) enter(table, record(n, kOpening, 0));
  size_t expired = 0;
  size_t calls = 0;
  while (expired < 1000) {
    REQUIRE(++calls < 50);
    CHECK(table.advance(300, 64, [&](Slot, const Record&) { ++expired; }) <= 64);
    CHECK(table.check_invariants() == "");
  }
  CHECK(calls >= 16);
}

TEST_CASE("table: what expires may take others with it") {
  ConnectionTable table(options(100, 1), 0);
  for (uint32_t n = 0; n < 100; ++n) enter(table, record(n, kOpening, 0));
  size_t expired = 0;
  table.advance(300, SIZE_MAX, [&](Slot slot, const Record&) {
    ++expired;
    for (uint32_t n = 0; n < 100; n += 3) {
      const Slot other = find(table, n);
      if (other != kNoSlot && other != slot) table.erase(other);
    }
  });
  CHECK(expired >= 66);
  CHECK(table.sizes().own == 0);
  CHECK(table.check_invariants() == "");
}

TEST_CASE(
    "table: to ask ahead for a burst changes nothing, with every packet beyond its chunk too") {
  ConnectionTable table(options(64), 0);
  const uint32_t next = fill(table, 0);
  const TableSizes before = table.sizes();
  std::array<uint64_t, 32> hashes;
  for (uint32_t first = 0; first < 2 * next; ++first) {
    for (uint32_t i = 0; i < hashes.size(); ++i) hashes[i] = table.hash(key(first + i));
    // The fullest lists that there can be: all packets may end their connections, or the same one
    // that is beyond its chunk comes all the time.
    if (table.is_beyond(hashes[0])) hashes.fill(hashes[0]);
    Ahead<32> ahead(table);
    for (uint32_t i = 0; i < hashes.size(); ++i) {
      first % 2 ? ahead.close(hashes[i]) : ahead.find(hashes[i]);
      ahead.open(hashes[i], kOpening);
    }
    ahead.finish();
  }
  CHECK(table.sizes().established == before.established);
  CHECK(table.sizes().own == before.own);
  CHECK(table.check_invariants() == "");
}

TEST_CASE("table: paths stay short at full capacity, however long the churn") {
  ConnectionTable table(options(60'000), 0);
  ChunkIndex twin(chunks_for(60'000));  // the same, seen from within
  std::map<uint32_t, Slot> places;
  uint32_t oldest = 0;
  uint32_t next = fill(table, 0);
  const auto place = [&](uint32_t n) { places[n] = twin.place(table.hash(key(n))); };
  for (uint32_t n = 0; n < next; ++n) place(n);
  for (int i = 0; i < 600'000; ++i) {
    twin.remove(places.at(oldest), table.hash(key(oldest)));
    places.erase(oldest);
    table.erase(find(table, oldest++));
    place(next);
    REQUIRE(enter(table, record(next++, kEstablished, 0)).outcome == InsertOutcome::kInserted);
  }
  uint32_t longest_miss = 0;
  uint64_t misses = 0;
  for (uint32_t n = next; n < next + 60'000; ++n) {
    const uint32_t length = twin.probe_length(table.hash(key(n)), kNoSlot);
    longest_miss = std::max(longest_miss, length);
    misses += length;
  }
  MESSAGE("longest path of an entry: ", table.longest_probe(), " chunks; of a miss: ", longest_miss,
          ", on average ", static_cast<double>(misses) / 60'000);
  CHECK(table.longest_probe() <= 10);
  CHECK(longest_miss <= 13);
  CHECK(misses < 60'000 * 1.4);
  CHECK(table.check_invariants() == "");
}
