#include "hash/toeplitz.h"

namespace flowsieve {
namespace {

/// Key bits `bit` … `bit` + 31, the key taken as a ring.
uint32_t key_window(const ToeplitzKey& key, size_t bit) {
  uint64_t five_bytes = 0;
  for (size_t i = 0; i < 5; ++i) {
    five_bytes = five_bytes << 8 | key[(bit / 8 + i) % kToeplitzKeyBytes];
  }
  return static_cast<uint32_t>(five_bytes >> (8 - bit % 8));
}

}  // namespace

uint32_t toeplitz_bitwise(const ToeplitzKey& key, const uint8_t* data, size_t size) {
  uint32_t answer = 0;
  for (size_t bit = 0; bit < size * 8; ++bit) {
    if (data[bit / 8] >> (7 - bit % 8) & 1) {
      answer ^= key_window(key, bit);
    }
  }
  return answer;
}

ToeplitzTable::ToeplitzTable(const ToeplitzKey& key) {
  for (size_t position = 0; position < kToeplitzInputMax; ++position) {
    std::array<uint32_t, 256>& answers = answers_[position];
    answers[0] = 0;
    // The hash is linear: a byte's answer is that of the byte without its lowest set bit, and that
    // bit's window.
    for (unsigned byte = 1; byte < 256; ++byte) {
      const unsigned lowest = static_cast<unsigned>(__builtin_ctz(byte));
      answers[byte] = answers[byte & (byte - 1)] ^ key_window(key, position * 8 + 7 - lowest);
    }
  }
}

}  // namespace flowsieve
