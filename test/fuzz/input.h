// What the fuzz targets that play read: the input, byte by byte, and what they say when a demand is
// not met.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <source_location>
#include <vector>

namespace flowsieve_fuzz {

/// Ends the process, and says which demand was not met.
inline void demand(bool holds, std::source_location at = std::source_location::current()) {
  if (holds) return;
  std::fprintf(stderr, "The demand at %s:%u was not met.\n", at.file_name(), at.line());
  __builtin_trap();
}

/// The fuzzer's input; zeros behind its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::vector<uint8_t> bytes(size_t count) {
    count = std::min(count, left_);
    std::vector<uint8_t> taken(data_, data_ + count);
    data_ += count;
    left_ -= count;
    return taken;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

}  // namespace flowsieve_fuzz
