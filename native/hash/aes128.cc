#include "hash/aes128.h"

#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <wmmintrin.h>
#endif

namespace flowsieve {
namespace {

using Table = std::array<uint8_t, 256>;
using State = std::array<uint8_t, Aes128::kBlockBytes>;

/// Times x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
constexpr uint8_t times_x(uint8_t value) {
  return static_cast<uint8_t>((value << 1) ^ ((value >> 7) * 0x1b));
}

constexpr uint8_t multiply(uint8_t a, uint8_t b) {
  uint8_t product = 0;
  for (; b != 0; b >>= 1, a = times_x(a)) {
    if (b & 1) product ^= a;
  }
  return product;
}

/// Of every byte the inverse in the field (0 for 0), then the affine map of FIPS 197 5.1.1.
constexpr Table make_s_box() {
  Table box{};
  // 3 generates the field, so its powers go through all bytes but 0, and those of its inverse, f6,
  // through their inverses.
  uint8_t power = 1, inverse = 1;
  do {
    uint8_t mapped = 0x63;
    for (int shift = 0; shift < 5; ++shift) mapped ^= std::rotl(inverse, shift);
    box[power] = mapped;
    power = multiply(power, 0x03);
    inverse = multiply(inverse, 0xf6);
  } while (power != 1);
  box[0] = 0x63;
  return box;
}

constexpr Table inverted(const Table& box) {
  Table inverse{};
  for (size_t i = 0; i < box.size(); ++i) inverse[box[i]] = static_cast<uint8_t>(i);
  return inverse;
}

constexpr Table kSBox = make_s_box();
constexpr Table kInverseSBox = inverted(kSBox);

void substitute(State& state, const Table& box) {
  for (uint8_t& byte : state) byte = box[byte];
}

/// Row r moves by r columns: to the left, or with `back` to the right.
void shift_rows(State& state, bool back) {
  const State before = state;
  for (size_t i = 0; i < state.size(); ++i) {
    const size_t row = i % 4;
    state[i] = before[(i + 4 * (back ? 4 - row : row)) % state.size()];
  }
}

/// Multiplies every column by the circulant matrix 2 3 1 1: of each byte 2a + 3b + c + d, with what
/// follows it in the column.
void mix_columns(State& state) {
  for (size_t column = 0; column < state.size(); column += 4) {
    uint8_t* bytes = &state[column];
    const uint8_t first = bytes[0], all = bytes[0] ^ bytes[1] ^ bytes[2] ^ bytes[3];
    for (size_t i = 0; i < 4; ++i) {
      bytes[i] ^= all ^ times_x(bytes[i] ^ (i < 3 ? bytes[i + 1] : first));
    }
  }
}

/// The inverse, 14 11 13 9, which is the product of 2 3 1 1 and 5 0 4 0.
void unmix_columns(State& state) {
  for (size_t column = 0; column < state.size(); column += 4) {
    uint8_t* bytes = &state[column];
    const uint8_t even = times_x(times_x(bytes[0] ^ bytes[2]));
    const uint8_t odd = times_x(times_x(bytes[1] ^ bytes[3]));
    for (size_t i = 0; i < 4; ++i) bytes[i] ^= i % 2 == 0 ? even : odd;
  }
  mix_columns(state);
}

void add_key(State& state, const uint8_t* key) {
  for (size_t i = 0; i < state.size(); ++i) state[i] ^= key[i];
}

#if defined(__x86_64__)

bool has_aes() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("aes") != 0;
}

// Until this is initialised it is false, and a caller from another file's initialiser merely takes
// the plain twin.
const bool kNative = has_aes();

#endif

}  // namespace

Aes128::Aes128(const uint8_t* key) {
  std::memcpy(keys_.data(), key, kKeyBytes);
  uint8_t round_constant = 1;
  for (size_t i = kKeyBytes; i < keys_.size(); i += 4) {
    uint8_t word[4];
    std::memcpy(word, &keys_[i - 4], sizeof(word));
    if (i % kKeyBytes == 0) {
      const uint8_t first = word[0];
      word[0] = kSBox[word[1]] ^ round_constant;
      word[1] = kSBox[word[2]];
      word[2] = kSBox[word[3]];
      word[3] = kSBox[first];
      round_constant = times_x(round_constant);
    }
    for (size_t k = 0; k < 4; ++k) keys_[i + k] = keys_[i + k - kKeyBytes] ^ word[k];
  }
  inverse_keys_ = keys_;
  for (size_t round = 1; round < kRounds; ++round) {
    State inner;
    std::memcpy(inner.data(), &keys_[round * kBlockBytes], inner.size());
    unmix_columns(inner);
    std::memcpy(&inverse_keys_[round * kBlockBytes], inner.data(), inner.size());
  }
}

void Aes128::encrypt_plain(const uint8_t* in, uint8_t* out) const {
  State state;
  std::memcpy(state.data(), in, state.size());
  add_key(state, keys_.data());
  for (size_t round = 1; round <= kRounds; ++round) {
    substitute(state, kSBox);
    shift_rows(state, false);
    if (round < kRounds) mix_columns(state);
    add_key(state, &keys_[round * kBlockBytes]);
  }
  std::memcpy(out, state.data(), state.size());
}

void Aes128::decrypt_plain(const uint8_t* in, uint8_t* out) const {
  State state;
  std::memcpy(state.data(), in, state.size());
  for (size_t round = kRounds; round >= 1; --round) {
    add_key(state, &keys_[round * kBlockBytes]);
    if (round < kRounds) unmix_columns(state);
    shift_rows(state, true);
    substitute(state, kInverseSBox);
  }
  add_key(state, keys_.data());
  std::memcpy(out, state.data(), state.size());
}

#if defined(__x86_64__)

// Only these two functions are compiled for AES-NI, so that the file needs no flags and runs on
// every x86-64.
__attribute__((target("aes"))) void Aes128::encrypt_native(const uint8_t* in, uint8_t* out) const {
  const auto* keys = reinterpret_cast<const __m128i*>(keys_.data());
  __m128i state = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
  state = _mm_xor_si128(state, keys[0]);
  for (size_t round = 1; round < kRounds; ++round) state = _mm_aesenc_si128(state, keys[round]);
  state = _mm_aesenclast_si128(state, keys[kRounds]);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), state);
}

__attribute__((target("aes"))) void Aes128::decrypt_native(const uint8_t* in, uint8_t* out) const {
  const auto* keys = reinterpret_cast<const __m128i*>(inverse_keys_.data());
  __m128i state = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
  state = _mm_xor_si128(state, keys[kRounds]);
  for (size_t round = kRounds - 1; round >= 1; --round) {
    state = _mm_aesdec_si128(state, keys[round]);
  }
  state = _mm_aesdeclast_si128(state, keys[0]);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), state);
}

void Aes128::encrypt(const uint8_t* in, uint8_t* out) const {
  kNative ? encrypt_native(in, out) : encrypt_plain(in, out);
}

void Aes128::decrypt(const uint8_t* in, uint8_t* out) const {
  kNative ? decrypt_native(in, out) : decrypt_plain(in, out);
}

bool Aes128::is_accelerated() {
  return kNative;
}

#else

void Aes128::encrypt(const uint8_t* in, uint8_t* out) const {
  encrypt_plain(in, out);
}

void Aes128::decrypt(const uint8_t* in, uint8_t* out) const {
  decrypt_plain(in, out);
}

bool Aes128::is_accelerated() {
  return false;
}

#endif

}  // namespace flowsieve
