// The hash that all general maps get: about the cheapest that is good enough, so that the map is
// compared and not its hash. CRC32C over the 40 bytes of a key, five instructions on x86-64, then a
// multiplication that spreads the 32 bits over 64: maps take bits from either end. Ours pays more,
// for a hash that a sender of packets cannot aim at (hash/table_hash.h says why CRC does not do).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hash/crc32c.h"
#include "hash/table_hash.h"
#include "packet/key.h"

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#endif

namespace flowsieve::peers {

struct CrcHash {
  using is_avalanching = void;  ///< tells Boost that it need not mix once more

  size_t operator()(const Key& key) const {
    return fold_multiply(crc(key) + 1, 0x9e3779b97f4a7c15);
  }

 private:
  static uint64_t crc(const Key& key) {
#if defined(__SSE4_2__)
    uint64_t words[5];
    std::memcpy(words, &key, sizeof(words));
    uint64_t value = 0;
    for (const uint64_t word : words) value = _mm_crc32_u64(value, word);
    return value;
#else
    return crc32c_raw(0, reinterpret_cast<const uint8_t*>(&key), sizeof(key));
#endif
  }
};
static_assert(sizeof(Key) == 40);

}  // namespace flowsieve::peers
