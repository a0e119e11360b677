// General hash maps: one class for all of them, as their interfaces are the standard library's.
#include <array>
#include <unordered_map>

#include "crc_hash.h"
#include "table_subject.h"

#if defined(PEERS_ABSL)
#include <absl/container/flat_hash_map.h>
#endif
#if defined(PEERS_BOOST)
#include <boost/unordered/unordered_flat_map.hpp>
#endif
#if defined(PEERS_HOPSCOTCH)
#include <tsl/hopscotch_map.h>
#endif

namespace flowsieve::peers {
namespace {

template <typename Map>
class MapTable : public Table {
 public:
  MapTable(uint32_t capacity, Room room) {
    if (room == Room::kReserved) map_.reserve(capacity);
  }

  uint32_t packets(const Key* keys, Tick now) override {
    uint32_t found = 0;
    for (uint32_t i = 0; i < kBurst; ++i) found += write(map_.find(keys[i]), now);
    return found;
  }
  uint32_t turnover(const Key* closing, const Key* opening, Tick now) override {
    uint32_t done = 0;
    for (uint32_t i = 0; i < kBurst; ++i) {
      done += map_.erase(closing[i]) == 1 && open(opening[i], now);
    }
    return done;
  }
  bool open(const Key& key, Tick now) override {
    return map_.try_emplace(key, State::at(now)).second;
  }
  std::optional<State> look(const Key& key) override {
    const auto at = map_.find(key);
    return at == map_.end() ? std::nullopt : std::optional<State>(at->second);
  }
  uint32_t size() const override { return static_cast<uint32_t>(map_.size()); }

 protected:
  bool write(typename Map::iterator at, Tick now) {
    if (at == map_.end()) return false;
    state_of(at).packet(now);
    return true;
  }
  static State& state_of(typename Map::iterator at) {
    if constexpr (requires { at.value(); }) {
      return at.value();  // hopscotch_map's pairs are read-only
    } else {
      return at->second;
    }
  }

  Map map_;
};

constexpr const char* kHashNote = "CRC32C as hash, of 40 bytes, multiplied once";

template <typename Peer>
std::function<std::unique_ptr<Table>(uint32_t, Room)> maker() {
  return [](uint32_t capacity, Room room) { return std::make_unique<Peer>(capacity, room); };
}

[[maybe_unused]] TableSubject not_installed(const char* name, const char* package) {
  return {name, "", std::string(package) + " is not installed", nullptr, false};
}

#if defined(PEERS_ABSL)
using AbslMap = absl::flat_hash_map<Key, State, CrcHash>;

/// The only one of the maps that can ask for the memory of a key before it looks: it may, as ours
/// does.
class AbslTable final : public MapTable<AbslMap> {
 public:
  using MapTable::MapTable;

  uint32_t packets(const Key* keys, Tick now) override {
    std::array<size_t, kBurst> hashes;
    for (uint32_t i = 0; i < kBurst; ++i) {
      hashes[i] = map_.hash_function()(keys[i]);
      map_.prefetch(keys[i]);
    }
    uint32_t found = 0;
    for (uint32_t i = 0; i < kBurst; ++i) found += write(map_.find(keys[i], hashes[i]), now);
    return found;
  }
  uint32_t turnover(const Key* closing, const Key* opening, Tick now) override {
    for (uint32_t i = 0; i < kBurst; ++i) {
      map_.prefetch(closing[i]);
      map_.prefetch(opening[i]);
    }
    return MapTable::turnover(closing, opening, now);
  }
};
#endif

}  // namespace

TableSubject unordered_map_table() {
  return {"std::unordered_map", kHashNote, "",
          maker<MapTable<std::unordered_map<Key, State, CrcHash>>>()};
}

TableSubject absl_table() {
#if defined(PEERS_ABSL)
  return {"absl::flat_hash_map", std::string(kHashNote) + "; bursts of 32 with its prefetch()", "",
          maker<AbslTable>()};
#else
  return not_installed("absl::flat_hash_map", "libabsl-dev");
#endif
}

TableSubject boost_table() {
#if defined(PEERS_BOOST)
  return {"boost::unordered_flat_map", kHashNote, "",
          maker<MapTable<boost::unordered_flat_map<Key, State, CrcHash>>>()};
#else
  return not_installed("boost::unordered_flat_map", "libboost1.81-dev");
#endif
}

TableSubject hopscotch_table() {
#if defined(PEERS_HOPSCOTCH)
  return {"tsl::hopscotch_map", kHashNote, "",
          maker<MapTable<tsl::hopscotch_map<Key, State, CrcHash>>>()};
#else
  return not_installed("tsl::hopscotch_map", "libtsl-hopscotch-map-dev");
#endif
}

std::vector<TableSubject> table_subjects() {
  return {flowsieve_table(),     flowsieve_table_one_by_one(),
          unordered_map_table(), absl_table(),
          boost_table(),         hopscotch_table(),
          dpdk_table()};
}

}  // namespace flowsieve::peers
