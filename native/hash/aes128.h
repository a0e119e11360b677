// AES-128 over single blocks, as QUIC-LB needs it (docs/decisions/quic.md): no modes, no streams.
//
//   state   16 bytes, column by column: byte i stands in row i % 4, column i / 4
//   encrypt AddRoundKey, then nine times SubBytes ShiftRows MixColumns AddRoundKey, and once more
//           without MixColumns
//   decrypt the inverse steps in the other order
//
// Two implementations agree by test, and with the examples of FIPS 197: the processor's own
// instructions (x86-64 with AES-NI, asked for at the start) and the plain twin, by the definition,
// everywhere else. The plain twin looks bytes up in a table of 256, so that its time depends on the
// cache: what is encrypted here hides a server id and nobody's data.
//
// Source: FIPS 197 (2001, updated 2023).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace flowsieve {

class Aes128 {
 public:
  static constexpr size_t kKeyBytes = 16, kBlockBytes = 16;

  /// `key`: kKeyBytes bytes, which are not needed afterwards.
  explicit Aes128(const uint8_t* key);

  /// One block from `in` to `out`, which may be the same.
  void encrypt(const uint8_t* in, uint8_t* out) const;
  void decrypt(const uint8_t* in, uint8_t* out) const;

  /// Their plain twins.
  void encrypt_plain(const uint8_t* in, uint8_t* out) const;
  void decrypt_plain(const uint8_t* in, uint8_t* out) const;

  /// True when encrypt() and decrypt() run on the processor's own instructions.
  static bool is_accelerated();

 private:
  static constexpr size_t kRounds = 10;
  using RoundKeys = std::array<uint8_t, (kRounds + 1) * kBlockBytes>;

  void encrypt_native(const uint8_t* in, uint8_t* out) const;
  void decrypt_native(const uint8_t* in, uint8_t* out) const;

  alignas(16) RoundKeys keys_;
  /// Those of the "equivalent inverse cipher" (FIPS 197 5.3.5), which the instructions take: the
  /// inner ones through the inverse MixColumns.
  alignas(16) RoundKeys inverse_keys_;
};

}  // namespace flowsieve
