// The Toeplitz hash of receive-side scaling, so that a node's bucket can agree with the queue that
// its network card chose.
//
//   key     k0 k1 k2 k3 …              (bits, the most significant of the first byte first)
//   input   bit 0 set: answer ^= k0 … k31
//           bit 1 set: answer ^= k1 … k32
//           bit n set: answer ^= kn … kn+31
//
// A key of 40 bytes covers 36 bytes of input (two IPv6 addresses and two ports). Input bits further
// on use the key from its start again: the key is a ring, as in the register that RSS describes as
// shifted left. One byte more, the protocol, is all that this is needed for.
//
// The hash is linear in the input and in the key: whoever knows the key can aim, and a bad key (all
// zero, a short period) spreads badly. kToeplitzDefaultKey is the one that drivers come with and
// that everybody knows.
//
// Two implementations agree by test: bit by bit (the definition), and one table of 256 answers for
// every byte position, 37 KiB, made once for a key.
//
// Source: Microsoft, "RSS hashing functions" and "Verifying the RSS hash calculation"; H. Krawczyk,
// "New Hash Functions for Message Authentication", EUROCRYPT 1995.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace flowsieve {

inline constexpr size_t kToeplitzKeyBytes = 40;
inline constexpr size_t kToeplitzInputMax = 37;

using ToeplitzKey = std::array<uint8_t, kToeplitzKeyBytes>;

/// The key of the RSS verification suite.
inline constexpr ToeplitzKey kToeplitzDefaultKey = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

/// Bit by bit: the plain twin, for input of any length.
uint32_t toeplitz_bitwise(const ToeplitzKey& key, const uint8_t* data, size_t size);

/// The tables of one key.
class ToeplitzTable {
 public:
  explicit ToeplitzTable(const ToeplitzKey& key);

  /// The hash of `size` <= kToeplitzInputMax bytes at `data`.
  uint32_t operator()(const uint8_t* data, size_t size) const {
    uint32_t answer = 0;
    for (size_t i = 0; i < size; ++i) {
      answer ^= answers_[i][data[i]];
    }
    return answer;
  }

 private:
  std::array<std::array<uint32_t, 256>, kToeplitzInputMax> answers_;
};

}  // namespace flowsieve
