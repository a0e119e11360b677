#include "worker/hold.h"

#include <cstring>

namespace flowsieve {

HoldQueue::HoldQueue(const HoldLimits& limits)
    : hold_ns_(limits.hold_ns),
      arena_(limits.bytes),
      places_(arena_.free_blocks()),
      index_(arena_.free_blocks()),
      age_(arena_.free_blocks(), IndexQueue::Fill::kEmpty),
      free_(arena_.free_blocks(), IndexQueue::Fill::kAll) {}

bool HoldQueue::push(const HeldPacket& packet) {
  const Bytes bytes = packet.frame.bytes;
  if (free_.empty() || bytes.size > UINT32_MAX) return false;
  const uint32_t block = arena_.take(static_cast<uint32_t>(bytes.size));
  if (block == BlockArena::kNone) return false;
  uint8_t* copy = arena_.at(block);
  if (bytes.size > 0) std::memcpy(copy, bytes.data, bytes.size);
  const uint32_t index = free_.pop();
  const bool first = !contains(packet.key, packet.hash);
  places_[index] = {packet, block, first};
  places_[index].packet.frame.bytes = {copy, bytes.size};
  if (first) index_.insert(packet.hash, index);
  age_.push(index);
  return true;
}

bool HoldQueue::contains(const Key& key, uint64_t hash) const {
  const auto is_it = [&](uint32_t index) { return places_[index].packet.key == key; };
  return index_.find(hash, is_it) != KeyIndex::kNone;
}

void HoldQueue::free(uint32_t index) {
  Place& place = places_[index];
  if (place.indexed) index_.erase(place.packet.hash, index);
  arena_.give_back(place.block, static_cast<uint32_t>(place.packet.frame.bytes.size));
  free_.push(index);
}

}  // namespace flowsieve
