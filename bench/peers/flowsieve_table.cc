// Ours, as the worker uses it: a burst in three passes, so that the cache misses of its packets run
// side by side. And once more with the packets one after the other, to tell how much of the
// difference to others the bursts are, and how much the layout.
#include <array>

#include "table/ahead.h"
#include "table_subject.h"

namespace flowsieve::peers {
namespace {

class OneByOne : public Table {
 public:
  explicit OneByOne(uint32_t capacity) : table_(options(capacity), 0) {}

  uint32_t packets(const Key* keys, Tick now) override {
    uint32_t found = 0;
    for (uint32_t i = 0; i < kBurst; ++i) found += packet(keys[i], table_.hash(keys[i]), now);
    return found;
  }
  uint32_t turnover(const Key* closing, const Key* opening, Tick now) override {
    uint32_t done = 0;
    for (uint32_t i = 0; i < kBurst; ++i) {
      done +=
          replace(closing[i], table_.hash(closing[i]), opening[i], table_.hash(opening[i]), now);
    }
    return done;
  }
  bool open(const Key& key, Tick now) override { return enter(key, table_.hash(key), now); }
  std::optional<State> look(const Key& key) override {
    const Slot slot = table_.find(key, table_.hash(key));
    if (slot == kNoSlot) return std::nullopt;
    const Record& record = table_.at(slot);
    State state = State::at(record.opened);
    state.packet(record.last_seen);
    state.status = record.status;
    return state;
  }
  uint32_t size() const override { return table_.sizes().own + table_.sizes().others; }

 protected:
  static TableOptions options(uint32_t capacity) {
    TableOptions options;
    options.populate = true;  // as on the live path
    options.capacity = capacity;
    options.seed = 42;
    return options;
  }
  bool packet(const Key& key, uint64_t hash, Tick now) {
    const Slot slot = table_.find(key, hash);
    if (slot == kNoSlot) return false;
    table_.touch(slot, now);
    if (table_.at(slot).status != ConnectionStatus::kEstablished) {
      table_.set_status(slot, ConnectionStatus::kEstablished, now);
    }
    return true;
  }
  bool enter(const Key& key, uint64_t hash, Tick now) {
    if (table_.find(key, hash) != kNoSlot) return false;
    Record record;
    record.key = key;
    record.last_seen = now;
    record.opened = now;
    record.status = ConnectionStatus::kEstablished;
    return table_.insert(record, hash).slot != kNoSlot;
  }
  bool replace(const Key& closing, uint64_t closing_hash, const Key& opening, uint64_t opening_hash,
               Tick now) {
    const Slot slot = table_.find(closing, closing_hash);
    if (slot == kNoSlot) return false;
    table_.erase(slot);
    return enter(opening, opening_hash, now);
  }

  ConnectionTable table_;
};

class Bursts final : public OneByOne {
 public:
  using OneByOne::OneByOne;

  uint32_t packets(const Key* keys, Tick now) override {
    const Hashes hashes = hash_and_prefetch(keys);
    Ahead<kBurst> ahead(table_);
    for (const uint64_t hash : hashes) ahead.find(hash);
    ahead.finish();
    uint32_t found = 0;
    for (uint32_t i = 0; i < kBurst; ++i) found += packet(keys[i], hashes[i], now);
    return found;
  }
  uint32_t turnover(const Key* closing, const Key* opening, Tick now) override {
    const Hashes closing_hashes = hash_and_prefetch(closing);
    const Hashes opening_hashes = hash_and_prefetch(opening);
    Ahead<kBurst> ahead(table_);
    for (const uint64_t hash : closing_hashes) ahead.close(hash);
    for (const uint64_t hash : opening_hashes) ahead.open(hash, ConnectionStatus::kEstablished);
    ahead.finish();
    uint32_t done = 0;
    for (uint32_t i = 0; i < kBurst; ++i) {
      done += replace(closing[i], closing_hashes[i], opening[i], opening_hashes[i], now);
    }
    return done;
  }

 private:
  using Hashes = std::array<uint64_t, kBurst>;

  Hashes hash_and_prefetch(const Key* keys) const {
    Hashes hashes;
    for (uint32_t i = 0; i < kBurst; ++i) {
      hashes[i] = table_.hash(keys[i]);
      table_.prefetch(hashes[i]);
    }
    return hashes;
  }
};

}  // namespace

TableSubject flowsieve_table() {
  return {"flowsieve", "bursts of 32 in three passes; keeps a timer for each connection as well",
          "", [](uint32_t capacity, Room) { return std::make_unique<Bursts>(capacity); }};
}

TableSubject flowsieve_table_one_by_one() {
  return {"flowsieve, one by one", "the same table without bursts", "",
          [](uint32_t capacity, Room) { return std::make_unique<OneByOne>(capacity); }, true};
}

}  // namespace flowsieve::peers
