// The table against a plain twin: random operations on both, and after each the same answer. Where
// the table may choose (whom it evicts), the twin checks that the choice was allowed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "table/records.h"
#include "table/table.h"

using namespace table_test;

namespace {

struct ByBytes {
  bool operator()(const Key& a, const Key& b) const { return std::memcmp(&a, &b, sizeof(Key)) < 0; }
};

bool same(const Record& a, const Record& b) {
  return std::memcmp(&a, &b, sizeof(Record)) == 0;
}

class Model {
 public:
  Model(uint32_t capacity, double share, uint64_t seed, Tick begin)
      : random_(seed),
        options_(make_options(capacity, share, seed)),
        now_(begin),
        table_(options_, begin) {
    // A pool larger than the table, so that it is full most of the time; half of the
    // keys share one tag.
    for (uint32_t n = 0; pool_.size() < capacity * 3 / 2; ++n) {
      const Key candidate = key(n, n % 5 == 0 ? 17 : 6);
      if (pool_.size() % 2 == 0 || capacity > 1000 ||
          static_cast<uint8_t>(table_.hash(candidate)) == 0xa7) {
        pool_.push_back(candidate);
      }
    }
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      if (i % std::max(1, steps / 40) == 0) compare();
    }
    compare();
    now_ += kLongest;
    advance(SIZE_MAX);
    CHECK(twin_.empty());
    compare();
  }

  // Told by the table.
  void leaving(Slot slot, const Record& record, bool timed_out) {
    CHECK_FALSE(timed_out);
    const auto at = twin_.find(record.key);
    REQUIRE(at != twin_.end());
    REQUIRE(same(at->second, table_.at(slot)));
    CHECK(twin_.size() == options_.capacity);
    CHECK(record.status != kEstablished);
    if (record.status == kOpening) CHECK(newcomer_ != kOpening);
    twin_.erase(at);
    ++evicted_;
  }

  uint64_t evicted() const { return evicted_; }
  uint64_t refused() const { return refused_; }
  uint64_t expired() const { return expired_; }

 private:
  static constexpr Tick kLongest = 5000;

  static TableOptions make_options(uint32_t capacity, double share, uint64_t seed) {
    TableOptions options;
    options.capacity = capacity;
    options.opening_share = share;
    options.seed = seed * 77;
    options.self = 2;
    options.nodes = 5;
    options.timeouts = {{{30, 4000, 20}, {40, 700, 60}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}};
    return options;
  }

  const Key& any_key() { return pool_[random_() % pool_.size()]; }
  ConnectionStatus any_status() {
    // Mostly established, so that the table fills up.
    const uint32_t choice = random_() % 10;
    return choice < 2 ? kOpening : choice < 9 ? kEstablished : kClosing;
  }
  Tick deadline(const Record& record) const {
    return record.last_seen + options_.timeouts.of(record.key.protocol, record.status);
  }
  uint32_t count(ConnectionStatus status) const {
    return static_cast<uint32_t>(std::count_if(twin_.begin(), twin_.end(), [&](const auto& entry) {
      return entry.second.status == status;
    }));
  }

  Slot find(const Key& wanted) {
    const Slot slot = table_.find(wanted, table_.hash(wanted));
    const auto at = twin_.find(wanted);
    REQUIRE((slot != kNoSlot) == (at != twin_.end()));
    if (slot != kNoSlot) REQUIRE(same(table_.at(slot), at->second));
    return slot;
  }

  void step() {
    const Key wanted = any_key();
    const Slot slot = find(wanted);
    const uint32_t choice = random_() % 100;
    if (choice == 0) return exchange();
    if (choice < 4) {
      now_ += 1 + random_() % (choice == 1 ? 300 : 3);
      return advance(choice == 2 ? random_() % 8 : SIZE_MAX);
    }
    if (slot == kNoSlot) return insert(wanted);
    Record& twin = twin_[wanted];
    if (choice < 50) {
      table_.touch(slot, now_);
      twin.last_seen = now_;
    } else if (choice < 75) {
      const ConnectionStatus status = any_status();
      table_.set_status(slot, status, now_);
      twin.status = status;
      twin.last_seen = now_;
    } else if (choice < 85) {
      twin.owner = static_cast<uint16_t>(random_() % 5);
      table_.set_owner(slot, twin.owner);
    } else if (choice < 90) {
      twin.flags |= kFinFromClient;
      table_.add_flags(slot, kFinFromClient);
    } else {
      table_.erase(slot);
      twin_.erase(wanted);
    }
  }

  void insert(const Key& wanted) {
    Record entry = record(0, any_status(), now_, static_cast<uint16_t>(random_() % 5));
    entry.key = wanted;
    newcomer_ = entry.status;
    const uint32_t openings = count(kOpening);
    const uint32_t closings = count(kClosing);
    const size_t before = twin_.size();
    const uint64_t evicted_before = evicted_;
    const Inserted inserted = table_.insert(entry, table_.hash(wanted), this);
    const bool over_share = entry.status == kOpening &&
                            openings >= std::floor(options_.capacity * options_.opening_share);
    switch (inserted.outcome) {
      case InsertOutcome::kOpeningShare:
        CHECK(over_share);
        break;
      case InsertOutcome::kFull:
        CHECK(before == options_.capacity);
        // Where a hand's round covers the whole table, full means that there was no victim at all.
        if (table_.slots() / ChunkIndex::kWidth <= ConnectionTable::kVictimHand) {
          CHECK(closings == 0);
          CHECK((entry.status == kOpening || openings == 0));
        }
        break;
      case InsertOutcome::kInserted:
        CHECK(before < options_.capacity);
        break;
      case InsertOutcome::kEvictedOpening:
      case InsertOutcome::kEvictedClosing:
        CHECK(before == options_.capacity);
        break;
    }
    const bool is_in = inserted.slot != kNoSlot;
    CHECK(is_in == (inserted.outcome != InsertOutcome::kFull &&
                    inserted.outcome != InsertOutcome::kOpeningShare));
    if (over_share) CHECK_FALSE(is_in);
    CHECK(evicted_ - evicted_before == (inserted.outcome == InsertOutcome::kEvictedOpening ||
                                        inserted.outcome == InsertOutcome::kEvictedClosing));
    if (is_in) twin_[wanted] = entry;
    refused_ += !is_in;
  }

  void advance(size_t budget) {
    const size_t looked = table_.advance(now_, budget, [&](Slot slot, const Record& record) {
      const auto at = twin_.find(record.key);
      REQUIRE(at != twin_.end());
      REQUIRE(same(at->second, table_.at(slot)));
      REQUIRE_FALSE(Wheel::is_later(deadline(record), now_));
      twin_.erase(at);
      ++expired_;
    });
    CHECK(looked <= budget);
    if (looked == budget) return;
    for (const auto& entry : twin_) REQUIRE(Wheel::is_later(deadline(entry.second), now_));
  }

  /// Everything goes to another table in blocks, and comes back to this one.
  void exchange() {
    advance(SIZE_MAX);  // no list tells of what is over
    TableOptions options = options_;
    options.seed ^= 5;
    options.opening_share = 1;
    ConnectionTable other(options, 17);
    std::vector<Record> block(1 + random_() % 40);
    uint64_t cursor = 0;
    uint32_t inserted = 0;
    while (const size_t count = table_.export_block(cursor, block)) {
      for (Record& entry : block) entry.seen_here |= kConfirmed;
      inserted += other.import_block({block.data(), count}, now_, 17).inserted;
    }
    REQUIRE(inserted == twin_.size());
    REQUIRE(other.check_invariants() == "");
    cursor = 0;
    uint32_t known = 0;
    while (const size_t count = other.export_block(cursor, block)) {
      for (Record& entry : std::span(block).first(count)) {
        const auto at = twin_.find(entry.key);
        REQUIRE(at != twin_.end());
        REQUIRE(17 - entry.last_seen == now_ - at->second.last_seen);
        entry.owner = static_cast<uint16_t>(random_() % 5);
        entry.seen_here |= kConfirmed;
        // Nobody else's word makes a node's own connection another's, or confirms it.
        const bool own = at->second.owner == options_.self;
        if (!own) at->second.owner = entry.owner;
        if (!own || entry.owner == options_.self) at->second.seen_here |= kConfirmed;
      }
      const auto result = table_.import_block({block.data(), count}, 17, now_);
      known += result.known + result.corrected;
    }
    REQUIRE(known == twin_.size());
  }

  void compare() {
    REQUIRE(table_.check_invariants() == "");
    const TableSizes sizes = table_.sizes();
    REQUIRE(sizes.own + sizes.others == twin_.size());
    REQUIRE(sizes.own == std::count_if(twin_.begin(), twin_.end(),
                                       [](const auto& entry) { return entry.second.owner == 2; }));
    REQUIRE(sizes.opening == count(kOpening));
    REQUIRE(sizes.established == count(kEstablished));
    REQUIRE(sizes.closing == count(kClosing));
    for (const Key& wanted : pool_) find(wanted);
    REQUIRE(table_.longest_probe() <= 12);
  }

  std::mt19937_64 random_;
  TableOptions options_;
  Tick now_;
  ConnectionTable table_;
  std::vector<Key> pool_;
  std::map<Key, Record, ByBytes> twin_;
  ConnectionStatus newcomer_ = kOpening;
  uint64_t evicted_ = 0, refused_ = 0, expired_ = 0;
};

}  // namespace

TEST_CASE("table model: tiny and middle tables do what a plain map does, full and in heavy churn") {
  uint64_t evicted = 0, refused = 0, expired = 0;
  for (const uint32_t capacity : {16u, 17u, 30u, 100u, 500u, 3000u}) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      CAPTURE(capacity);
      CAPTURE(seed);
      const Tick begin = seed == 2 ? UINT32_MAX - 2000 : 1000 * static_cast<Tick>(seed);
      Model model(capacity, seed == 3 ? 1.0 : 0.25, seed * 1000 + capacity, begin);
      model.run(capacity >= 3000 ? 12'000 : 8000);
      evicted += model.evicted();
      refused += model.refused();
      expired += model.expired();
    }
  }
  MESSAGE("evicted ", evicted, ", refused ", refused, ", expired ", expired);
  CHECK(evicted > 500);
  CHECK(refused > 500);
  CHECK(expired > 5000);
}
