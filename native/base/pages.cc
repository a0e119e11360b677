#include "base/pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace flowsieve {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

void without_children(void* data, size_t bytes) {
  (void)madvise(data, bytes, MADV_DONTFORK);  // refused only for what is no mapping
}

Pages::Pages(size_t bytes) : size_(bytes) {
  // Kernels before 6.7 do not align a mapping to huge pages by themselves; the slack is address
  // space, not memory.
  const bool large = bytes >= kHugePage;
  mapped_ = large ? bytes + kHugePage : bytes;
  base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base_ == MAP_FAILED) throw std::bad_alloc();
  without_children(base_, mapped_);
  data_ = base_;
  if (!large) return;
  const size_t beyond = reinterpret_cast<uintptr_t>(base_) % kHugePage;
  data_ = static_cast<char*>(base_) + (beyond == 0 ? 0 : kHugePage - beyond);
  // A kernel without huge pages refuses; ordinary pages hold the same table, a little slower.
  (void)madvise(data_, bytes, MADV_HUGEPAGE);
}

void Pages::populate() const {
  // Kernels before 5.14 do not know it; there the first touch of each page takes its time.
  if (data_ != nullptr) (void)madvise(data_, size_, MADV_POPULATE_WRITE);
}

Pages::~Pages() {
  if (base_ != nullptr) munmap(base_, mapped_);
}

}  // namespace flowsieve
