// SipHash-2-4 with 64 bits of output: the distribution's default hash.
//
// A keyed pseudorandom function made for short inputs: two rounds of add, rotate, xor for every
// eight bytes and four at the end, over a state of four 64-bit words. Whoever does not know the 16
// bytes of key can neither predict a value nor find two inputs that agree in it more often than by
// chance. For the cluster this means: nobody outside can aim all his connections at one node.
//
// Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012. Bytes
// are read little-endian, as the paper does, on every machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flowsieve {

struct SipKey {
  uint64_t k0 = 0;  ///< bytes 0 … 7 of the key, little-endian
  uint64_t k1 = 0;  ///< bytes 8 … 15

  /// From the 16 bytes of key in the paper's order.
  static SipKey from_bytes(const uint8_t bytes[16]);
};

/// SipHash-2-4 of `size` bytes at `data`.
uint64_t siphash24(const SipKey& key, const uint8_t* data, size_t size);

}  // namespace flowsieve
