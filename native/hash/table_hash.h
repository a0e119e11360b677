// The connection table's own hash: 40 bytes of key (five 64-bit words) to 64 bits, in a
// few nanoseconds.
//
//   w0 ^ k0 --.          w2 ^ k2 --.
//             x fold               x fold          w4 ^ k4 --.
//   w1 ^ k1 --'  |       w3 ^ k3 --'  |                      x fold ---> x k6, fold ---> hash
//                `---- xor with k5 ---+----------------------'
//
// fold(a, b) multiplies two 64-bit numbers to 128 bits and xors the halves, the step of wyhash and
// Abseil's mixer. Multiplying pairs of (word, secret) is the scheme of NH (Black et al., "UMAC:
// Fast and Secure Message Authentication", CRYPTO 1999); with xor for addition and the fold its
// proof does not carry over as it stands, so avalanche and spread are measured (test/native/hash).
// k0 … k6 are drawn from one 64-bit seed by splitmix64.
//
// Why keyed, and why not a CRC: whoever can send packets chooses keys. With a CRC the whole hash is
// linear over GF(2), crc(seed, key) = crc(0, key) ^ f(seed, length), so that two keys which collide
// under one seed collide under every seed: the seed hides nothing, and a sender who once computes a
// few million colliding keys fills one stretch of the table for good. Here which keys collide
// depends on k0 … k6.
//
// What it does not promise: it is no cryptographic function. It holds as long as nobody sees its
// values, and they never leave the process: lists that travel hold keys, not hashes. It is
// therefore also free to differ between machines of different byte order. What nodes must agree on,
// the bucket, is another hash (allocation/distribution.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace flowsieve {

/// Steps `state` and returns the next of a sequence of well-mixed numbers (Steele, Lea, Flood:
/// "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014; constants of variant 13 of
/// Stafford's mixer).
inline constexpr uint64_t splitmix64(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/// The plain twin of fold_multiply, from four products of 32-bit halves; what runs where there is
/// no 128-bit integer.
inline constexpr uint64_t fold_multiply_plain(uint64_t a, uint64_t b) {
  const uint64_t a_low = a & 0xffffffff, a_high = a >> 32;
  const uint64_t b_low = b & 0xffffffff, b_high = b >> 32;
  const uint64_t low = a_low * b_low;
  // None of the two sums below can overflow: (2^32-1)^2 + 2 (2^32-1) = 2^64-1.
  const uint64_t middle = a_high * b_low + (low >> 32);
  const uint64_t other = a_low * b_high + (middle & 0xffffffff);
  const uint64_t product_high = a_high * b_high + (middle >> 32) + (other >> 32);
  const uint64_t product_low = other << 32 | (low & 0xffffffff);
  return product_high ^ product_low;
}

/// The upper xor the lower half of the 128-bit product.
inline constexpr uint64_t fold_multiply(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
#else
  return fold_multiply_plain(a, b);
#endif
}

class TableHash {
 public:
  static constexpr size_t kKeyBytes = 40;

  /// `seed` is random in production (the table's creator hands it in); a fixed one makes a
  /// test repeatable.
  explicit constexpr TableHash(uint64_t seed) {
    for (uint64_t& secret : secrets_) {
      secret = splitmix64(seed);
    }
    // An even multiplier would lose the top bit of what it multiplies.
    secrets_[6] |= 1;
  }

  /// The hash of kKeyBytes bytes at `key`, of any alignment.
  uint64_t operator()(const void* key) const {
    std::array<uint64_t, 5> words;
    std::memcpy(words.data(), key, kKeyBytes);
    return (*this)(words);
  }

  constexpr uint64_t operator()(const std::array<uint64_t, 5>& words) const {
    const uint64_t source = fold_multiply(words[0] ^ secrets_[0], words[1] ^ secrets_[1]);
    const uint64_t destination = fold_multiply(words[2] ^ secrets_[2], words[3] ^ secrets_[3]);
    const uint64_t all = fold_multiply(source ^ destination ^ secrets_[5], words[4] ^ secrets_[4]);
    return fold_multiply(all, secrets_[6]);
  }

 private:
  std::array<uint64_t, 7> secrets_{};
};

}  // namespace flowsieve
