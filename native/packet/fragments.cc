#include "packet/fragments.h"

#include <cstring>

namespace flowsieve {

static_assert(sizeof(FragmentKey) == TableHash::kKeyBytes);

FragmentTracker::FragmentTracker(const FragmentLimits& limits, uint64_t seed)
    : limits_(limits),
      hash_(seed),
      remembered_(limits.datagrams),
      remembered_index_(limits.datagrams),
      remembered_age_(limits.datagrams, IndexQueue::Fill::kEmpty),
      remembered_free_(limits.datagrams, IndexQueue::Fill::kAll),
      held_(limits.held_frames),
      waiting_index_(limits.held_frames),
      held_age_(limits.held_frames, IndexQueue::Fill::kEmpty),
      held_free_(limits.held_frames, IndexQueue::Fill::kAll),
      arena_(limits.held_bytes) {}

uint32_t FragmentTracker::find_remembered(const FragmentKey& key) const {
  return remembered_index_.find(
      hash_(&key), [this, &key](uint32_t index) { return remembered_[index].key == key; });
}

uint32_t FragmentTracker::find_waiting(const FragmentKey& key) const {
  return waiting_index_.find(hash_(&key),
                             [this, &key](uint32_t index) { return held_[index].key == key; });
}

const Datagram* FragmentTracker::find(const FragmentKey& key, uint64_t now_ns) const {
  const uint32_t index = find_remembered(key);
  if (index == KeyIndex::kNone) return nullptr;
  const Remembered& entry = remembered_[index];
  return is_over(entry.since_ns, limits_.remember_ns, now_ns) ? nullptr : &entry.datagram;
}

void FragmentTracker::remember(const FragmentKey& key, const Datagram& datagram, uint64_t now_ns) {
  if (remembered_.empty()) return;
  if (const uint32_t old = find_remembered(key); old != KeyIndex::kNone) forget(old);
  const uint32_t index = place_to_remember(now_ns);
  remembered_[index] = {key, datagram, now_ns};
  remembered_index_.insert(hash_(&key), index);
  remembered_age_.push(index);
}

/// A free place, made by forgetting the oldest datagram if need be.
uint32_t FragmentTracker::place_to_remember(uint64_t now_ns) {
  if (remembered_free_.empty()) {
    const uint32_t oldest = remembered_age_.front();
    if (!is_over(remembered_[oldest].since_ns, limits_.remember_ns, now_ns)) ++overwritten_;
    forget(oldest);
  }
  return remembered_free_.pop();
}

void FragmentTracker::forget(uint32_t index) {
  remembered_index_.erase(hash_(&remembered_[index].key), index);
  remembered_age_.remove(index);
  remembered_free_.push(index);
}

void FragmentTracker::forget_old(uint64_t now_ns) {
  for (uint32_t index = remembered_age_.front();
       index != IndexQueue::kNone &&
       is_over(remembered_[index].since_ns, limits_.remember_ns, now_ns);
       index = remembered_age_.front()) {
    forget(index);
  }
}

bool FragmentTracker::hold(const FragmentKey& key, const HeldFrame& frame, uint64_t now_ns) {
  if (held_free_.empty() || frame.bytes.size > limits_.held_bytes) return false;
  const uint32_t bytes = static_cast<uint32_t>(frame.bytes.size);
  const uint32_t block = arena_.take(bytes);
  if (block == BlockArena::kNone) return false;
  const uint32_t index = held_free_.pop();
  uint8_t* copy = arena_.at(block);
  if (bytes > 0) std::memcpy(copy, frame.bytes.data, bytes);
  Held& held = held_[index];
  held.frame = frame;
  held.frame.bytes = {copy, bytes};
  held.key = key;
  held.since_ns = now_ns;
  held.block = block;
  held_age_.push(index);
  chain(index);
  return true;
}

/// Puts a new frame behind those of its datagram, or makes it the first of one.
void FragmentTracker::chain(uint32_t index) {
  held_[index].next = KeyIndex::kNone;
  held_[index].last = index;
  const uint32_t first = find_waiting(held_[index].key);
  if (first == KeyIndex::kNone) {
    waiting_index_.insert(hash_(&held_[index].key), index);
    return;
  }
  held_[held_[first].last].next = index;
  held_[first].last = index;
}

/// Takes the oldest frame of all out of its chain. It is the first of that chain, since chains are
/// in order of arrival too.
void FragmentTracker::unchain_oldest(uint32_t index) {
  const uint64_t hash = hash_(&held_[index].key);
  const uint32_t next = held_[index].next;
  if (next == KeyIndex::kNone) {
    waiting_index_.erase(hash, index);
    return;
  }
  held_[next].last = held_[index].last;
  waiting_index_.replace(hash, index, next);
}

void FragmentTracker::free_held(uint32_t index) {
  Held& held = held_[index];
  arena_.give_back(held.block, static_cast<uint32_t>(held.frame.bytes.size));
  held_age_.remove(index);
  held_free_.push(index);
}

}  // namespace flowsieve
