#include "wheel/wheel.h"

#include <bit>

namespace flowsieve {

Wheel::Wheel(uint32_t capacity, Tick now)
    : pages_((size_t{capacity} + kFirstIndex) * sizeof(Link)),
      links_(static_cast<Link*>(pages_.data())),
      capacity_(capacity),
      now_(now) {
  for (uint32_t head = kFirstHead; head < kFirstIndex; ++head) links_[head] = {head, head};
}

void Wheel::schedule(uint32_t index, Tick deadline) {
  const uint32_t position = index + kFirstIndex;
  if (links_[position].next != 0) unlink(position);
  link(position, slot_of(deadline));
}

void Wheel::cancel(uint32_t index) {
  const uint32_t position = index + kFirstIndex;
  if (links_[position].next != 0) unlink(position);
}

uint32_t Wheel::slot_of(Tick deadline) const {
  // Never the present itself: its slot may be the one that is being worked off.
  if (!is_later(deadline, now_)) deadline = now_ + 1;
  if (deadline - now_ > kSpanMax) deadline = now_ + kSpanMax;
  const uint32_t differing = deadline ^ now_;
  const uint32_t level = differing < 1u << 8 ? 0 : differing < 1u << 16 ? 1 : 2;
  return level * kWidth + (deadline >> 8 * level & (kWidth - 1));
}

void Wheel::link(uint32_t position, uint32_t slot) {
  const uint32_t head = kFirstHead + slot;
  const uint32_t last = links_[head].previous;
  links_[position] = {head, last};
  links_[last].next = position;
  links_[head].previous = position;
  set_occupied(slot);
}

void Wheel::unlink(uint32_t position) {
  const Link link = links_[position];
  links_[link.previous].next = link.next;
  links_[link.next].previous = link.previous;
  links_[position] = {0, 0};
  if (link.next == link.previous && is_head(link.next)) clear_occupied(link.next - kFirstHead);
}

uint32_t Wheel::first_occupied(uint32_t level, uint32_t from) const {
  if (from >= kWidth) return kWidth;
  const uint64_t* words = &occupied_[level * (kWidth / 64)];
  uint64_t word = words[from / 64] & ~uint64_t{0} << from % 64;
  for (uint32_t i = from / 64;;) {
    if (word != 0) return i * 64 + static_cast<uint32_t>(std::countr_zero(word));
    if (++i == kWidth / 64) return kWidth;
    word = words[i];
  }
}

Tick Wheel::start_of(uint32_t slot) const {
  const uint32_t shift = slot / kWidth * 8;
  const uint32_t present = now_ >> shift & (kWidth - 1);
  // On levels 0 and 1 a slot's digit is always ahead of the present's. On level 2 the digits go
  // round; the present's own digit then means a whole turn ahead.
  uint32_t ahead = (slot % kWidth - present) & (kWidth - 1);
  if (ahead == 0) ahead = kWidth;
  return ((now_ >> shift) + ahead) << shift;
}

bool Wheel::step(Tick target) {
  // What a level holds comes before anything of the level above it, so the first find
  // is the earliest.
  uint32_t level = 0;
  uint32_t digit = kWidth;
  for (; level < kLevels; ++level) {
    const uint32_t behind = (now_ >> 8 * level & (kWidth - 1)) + 1;
    digit = first_occupied(level, behind);
    if (digit == kWidth && level == kLevels - 1) digit = first_occupied(level, 0);
    if (digit != kWidth) break;
  }
  if (digit != kWidth) {
    const uint32_t slot = level * kWidth + digit;
    const Tick start = start_of(slot);
    if (start - now_ <= target - now_) {
      now_ = start;
      due_ = slot;
      return true;
    }
  }
  now_ = target;
  return false;
}

}  // namespace flowsieve
