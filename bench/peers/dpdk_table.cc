// DPDK's cuckoo hash, as its documentation has it for flows: keys in bursts, states in an array of
// the application by the position that the hash gives each key.
#include "dpdk.h"
#include "table_subject.h"

#if defined(PEERS_DPDK)

#include <rte_hash.h>
#include <rte_hash_crc.h>

#include <array>
#include <bit>

#include "figures.h"

namespace flowsieve::peers {
namespace {

class DpdkTable final : public Table {
 public:
  explicit DpdkTable(uint32_t capacity)
      : heap_(heap_bytes(capacity)),
        hash_(make(capacity, heap_)),
        pages_(sizeof(Place) * places(capacity)),
        states_(static_cast<Place*>(pages_.data())) {}
  ~DpdkTable() override { rte_hash_free(hash_); }

  uint32_t packets(const Key* keys, Tick now) override {
    std::array<const void*, kBurst> wanted;
    for (uint32_t i = 0; i < kBurst; ++i) wanted[i] = &keys[i];
    std::array<int32_t, kBurst> positions;
    rte_hash_lookup_bulk(hash_, wanted.data(), kBurst, positions.data());
    for (const int32_t position : positions) {
      if (position >= 0) __builtin_prefetch(&states_[position], 1);
    }
    uint32_t found = 0;
    for (const int32_t position : positions) {
      if (position < 0) continue;
      states_[position].state.packet(now);
      ++found;
    }
    return found;
  }
  uint32_t turnover(const Key* closing, const Key* opening, Tick now) override {
    uint32_t done = 0;
    for (uint32_t i = 0; i < kBurst; ++i) {
      done += rte_hash_del_key(hash_, &closing[i]) >= 0 && open(opening[i], now);
    }
    return done;
  }
  bool open(const Key& key, Tick now) override {
    // A key that is there already would answer with its position, too; nobody here opens one twice.
    const int32_t position = rte_hash_add_key(hash_, &key);
    if (position < 0) return false;
    states_[position].state = State::at(now);
    return true;
  }
  std::optional<State> look(const Key& key) override {
    const int32_t position = rte_hash_lookup(hash_, &key);
    return position < 0 ? std::nullopt : std::optional<State>(states_[position].state);
  }
  uint32_t size() const override { return static_cast<uint32_t>(rte_hash_count(hash_)); }

 private:
  struct alignas(32) Place {  // never across two cache lines
    State state;
  };

  /// As much room as ours gives itself: of five places four are taken.
  static uint32_t entries(uint32_t capacity) { return capacity + capacity / 4; }
  static uint32_t places(uint32_t capacity) { return entries(capacity) + 1; }
  /// Keys of 48 bytes, buckets of 64 for eight places and a ring of free places, both powers of
  /// two, and some change: no more, for the heap touches all that it is given.
  static size_t heap_bytes(uint32_t capacity) {
    return size_t{48} * places(capacity) + std::bit_ceil(size_t{places(capacity)}) * (8 + 4) +
           (size_t{256} << 10);
  }
  static rte_hash* make(uint32_t capacity, const DpdkHeap& heap) {
    rte_hash_parameters parameters{};
    parameters.name = heap.name().c_str();
    parameters.entries = entries(capacity);
    parameters.key_len = sizeof(Key);
    parameters.hash_func = rte_hash_crc;
    parameters.socket_id = heap.socket();
    rte_hash* hash = rte_hash_create(&parameters);
    expect(hash != nullptr, "DPDK to make a hash");
    return hash;
  }

  DpdkHeap heap_;  // destroyed last: the hash stands in it
  rte_hash* hash_;
  Pages pages_;
  Place* states_;
};

}  // namespace

TableSubject dpdk_table() {
  return {"DPDK rte_hash bulk", "its CRC32C hash; lookup_bulk of 32; add and delete one by one",
          dpdk_missing(),
          [](uint32_t capacity, Room) { return std::make_unique<DpdkTable>(capacity); }};
}

}  // namespace flowsieve::peers

#else

namespace flowsieve::peers {

TableSubject dpdk_table() {
  return {"DPDK rte_hash bulk", "", dpdk_missing(), nullptr};
}

}  // namespace flowsieve::peers

#endif
