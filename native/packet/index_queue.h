// A queue of the indexes 0 … capacity-1, each in it at most once, that gives up any of them in
// O(1): a doubly linked list whose links stand in one array, closed over a sentinel. Orders by age,
// and free lists.
#pragma once

#include <cstdint>
#include <vector>

namespace flowsieve {

class IndexQueue {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  enum class Fill : uint8_t { kEmpty, kAll };

  IndexQueue(uint32_t capacity, Fill fill) : links_(size_t{capacity} + 1), end_(capacity) {
    links_[end_] = {end_, end_};
    for (uint32_t i = 0; fill == Fill::kAll && i < capacity; ++i) push(i);
  }

  bool empty() const { return links_[end_].next == end_; }
  uint32_t size() const { return size_; }
  /// The one that has been in it longest, or kNone.
  uint32_t front() const { return empty() ? kNone : links_[end_].next; }

  void push(uint32_t index) {
    links_[index] = {links_[end_].previous, end_};
    links_[links_[end_].previous].next = index;
    links_[end_].previous = index;
    ++size_;
  }

  /// Takes out `index`, which is in it.
  void remove(uint32_t index) {
    const Links links = links_[index];
    links_[links.previous].next = links.next;
    links_[links.next].previous = links.previous;
    --size_;
  }

  uint32_t pop() {
    const uint32_t index = front();
    if (index != kNone) remove(index);
    return index;
  }

 private:
  struct Links {
    uint32_t previous = 0, next = 0;
  };
  std::vector<Links> links_;
  uint32_t end_;
  uint32_t size_ = 0;
};

}  // namespace flowsieve
