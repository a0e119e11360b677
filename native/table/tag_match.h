// Which of sixteen bytes equal one byte: the inner step of every look into the table, in the form
// that the processor offers and in a plain form for all others. The plain one is always compiled,
// so that a test can hold the two against each other.
#pragma once

#include <cstdint>

#include "base/bytes.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace flowsieve {

/// A 1 in each bit i of the result for which bytes[i] == wanted.
inline uint32_t match_bytes_plain(const uint8_t bytes[16], uint8_t wanted) {
  constexpr uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  uint32_t mask = 0;
  for (int half = 0; half < 2; ++half) {
    const uint64_t differing = load_le64(bytes + 8 * half) ^ wanted * 0x0101010101010101u;
    // The top bit of a byte is set here exactly when the byte is zero: adding 0x7f carries into it
    // for every non-zero low part, and no sum carries beyond its byte.
    const uint64_t equal = ~(((differing & kLow) + kLow) | differing | kLow);
    // Gathers the eight top bits into the top byte.
    mask |= static_cast<uint32_t>((equal >> 7) * 0x0102040810204080u >> 56) << 8 * half;
  }
  return mask;
}

/// The same; `bytes` is 16-byte aligned.
inline uint32_t match_bytes(const uint8_t bytes[16], uint8_t wanted) {
#if defined(__SSE2__)
  const __m128i held = _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
  const __m128i equal = _mm_cmpeq_epi8(held, _mm_set1_epi8(static_cast<char>(wanted)));
  return static_cast<uint32_t>(_mm_movemask_epi8(equal));
#else
  return match_bytes_plain(bytes, wanted);
#endif
}

}  // namespace flowsieve
