#include "hash/siphash.h"

#include <bit>

#include "base/bytes.h"

namespace flowsieve {
namespace {

struct State {
  uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }

  void absorb(uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

}  // namespace

SipKey SipKey::from_bytes(const uint8_t bytes[16]) {
  return {load_le64(bytes), load_le64(bytes + 8)};
}

uint64_t siphash24(const SipKey& key, const uint8_t* data, size_t size) {
  // The initial state is the ASCII text "somepseudorandomlygeneratedbytes" under the key
  // (section 2.1 of the paper).
  State state{key.k0 ^ 0x736f6d6570736575, key.k1 ^ 0x646f72616e646f6d, key.k0 ^ 0x6c7967656e657261,
              key.k1 ^ 0x7465646279746573};

  const size_t whole = size & ~size_t{7};
  for (size_t i = 0; i < whole; i += 8) {
    state.absorb(load_le64(data + i));
  }
  // The last word: what is left over, and the length's low byte on top, so that
  // trailing zeros count.
  uint64_t last = static_cast<uint64_t>(size) << 56;
  for (size_t i = whole; i < size; ++i) {
    last |= uint64_t{data[i]} << (8 * (i - whole));
  }
  state.absorb(last);

  state.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) {
    state.round();
  }
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace flowsieve
