#include "hash/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace flowsieve {
namespace {

constexpr uint32_t kPolynomialReflected = 0x82f63b78;

constexpr uint32_t step_bitwise(uint32_t value) {
  for (int bit = 0; bit < 8; ++bit) {
    value = (value >> 1) ^ (value & 1 ? kPolynomialReflected : 0);
  }
  return value;
}

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    table[byte] = step_bitwise(byte);
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)

// Only this function is compiled for SSE4.2, so that the file needs no flags and runs
// on every x86-64.
__attribute__((target("sse4.2"))) uint32_t crc32c_raw_sse42(uint32_t start, const uint8_t* data,
                                                            size_t size) {
  uint64_t value = start;
  for (; size >= 8; data += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    value = _mm_crc32_u64(value, word);
  }
  uint32_t narrow = static_cast<uint32_t>(value);
  if (size >= 4) {
    uint32_t word;
    std::memcpy(&word, data, 4);
    narrow = _mm_crc32_u32(narrow, word);
    data += 4;
    size -= 4;
  }
  for (; size > 0; ++data, --size) {
    narrow = _mm_crc32_u8(narrow, *data);
  }
  return narrow;
}

bool has_sse42() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse4.2") != 0;
}

// Until this is initialised it is false, and a caller from another file's initialiser merely takes
// the table.
const bool kSse42 = has_sse42();

#endif

}  // namespace

uint32_t crc32c_raw_bitwise(uint32_t start, const uint8_t* data, size_t size) {
  uint32_t value = start;
  for (size_t i = 0; i < size; ++i) {
    value = step_bitwise(value ^ data[i]);
  }
  return value;
}

uint32_t crc32c_raw_table(uint32_t start, const uint8_t* data, size_t size) {
  uint32_t value = start;
  for (size_t i = 0; i < size; ++i) {
    value = (value >> 8) ^ kTable[(value ^ data[i]) & 0xff];
  }
  return value;
}

#if defined(__x86_64__)

uint32_t crc32c_raw(uint32_t start, const uint8_t* data, size_t size) {
  return kSse42 ? crc32c_raw_sse42(start, data, size) : crc32c_raw_table(start, data, size);
}

bool crc32c_is_accelerated() {
  return kSse42;
}

#else

uint32_t crc32c_raw(uint32_t start, const uint8_t* data, size_t size) {
  return crc32c_raw_table(start, data, size);
}

bool crc32c_is_accelerated() {
  return false;
}

#endif

}  // namespace flowsieve
