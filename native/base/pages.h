// Memory that is taken once, when a table is made, and never grows: zeroed pages straight from the
// kernel, on huge pages where the kernel has them, because a random look into a hundred megabytes
// otherwise costs a TLB miss beside its cache miss.
//
// The kernel backs a page when it is first touched, or by populate(). Without that resident memory
// begins near nothing, but connections fall on random places, so that a table soon stands in memory
// whole (with huge pages after some hundred connections). Plan with size(), not with what the
// process shows at first.
//
// A program that the process starts does not inherit them (without_children): a fork would copy the
// page tables of the whole table, and afterwards each page that a packet changes would be copied
// before it is.
#pragma once

#include <cstddef>
#include <utility>

namespace flowsieve {

/// Keeps the mapping of `bytes` at `data`, which begins on a page, from being inherited by programs
/// that the process starts.
void without_children(void* data, size_t bytes);

class Pages {
 public:
  Pages() = default;
  /// Takes at least `bytes` zeroed bytes; throws std::bad_alloc when the kernel has not that much.
  explicit Pages(size_t bytes);
  ~Pages();
  Pages(Pages&& other) noexcept { swap(other); }
  Pages& operator=(Pages&& other) noexcept {
    swap(other);
    return *this;
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  /// Has the kernel back all of it now. Zeroing a huge page takes a fraction of a millisecond, which
  /// else the packet waits that touches it first.
  void populate() const;

  void* data() const { return data_; }
  size_t size() const { return size_; }  ///< bytes asked for

 private:
  void swap(Pages& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(mapped_, other.mapped_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  void* base_ = nullptr;  // as mapped; data_ lies behind it, on a huge page's boundary
  size_t mapped_ = 0;
  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace flowsieve
