#include "hash/jhash.h"

#include <bit>

#include "base/bytes.h"

namespace flowsieve {
namespace {

struct State {
  uint32_t a, b, c;

  void mix() {
    a = (a - c) ^ std::rotl(c, 4);
    c += b;
    b = (b - a) ^ std::rotl(a, 6);
    a += c;
    c = (c - b) ^ std::rotl(b, 8);
    b += a;
    a = (a - c) ^ std::rotl(c, 16);
    c += b;
    b = (b - a) ^ std::rotl(a, 19);
    a += c;
    c = (c - b) ^ std::rotl(b, 4);
    b += a;
  }

  void finish() {
    c = (c ^ b) - std::rotl(b, 14);
    a = (a ^ c) - std::rotl(c, 11);
    b = (b ^ a) - std::rotl(a, 25);
    c = (c ^ b) - std::rotl(b, 16);
    a = (a ^ c) - std::rotl(c, 4);
    b = (b ^ a) - std::rotl(a, 14);
    c = (c ^ b) - std::rotl(b, 24);
  }
};

}  // namespace

uint32_t jhash(const uint8_t* data, size_t size, uint32_t initval) {
  const uint32_t start = 0xdeadbeef + static_cast<uint32_t>(size) + initval;
  State state{start, start, start};
  if (size == 0) {
    return state.c;
  }
  // The last block, of 1 … 12 bytes, is not mixed but finished: hence ">" and not ">=".
  while (size > 12) {
    state.a += load_le32(data);
    state.b += load_le32(data + 4);
    state.c += load_le32(data + 8);
    state.mix();
    data += 12;
    size -= 12;
  }
  uint8_t last[12] = {};
  std::memcpy(last, data, size);
  state.a += load_le32(last);
  state.b += load_le32(last + 4);
  state.c += load_le32(last + 8);
  state.finish();
  return state.c;
}

}  // namespace flowsieve
