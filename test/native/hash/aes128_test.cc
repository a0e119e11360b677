#include "hash/aes128.h"

#include <doctest/doctest.h>

#include <random>

#include "hex.h"

namespace flowsieve {
namespace {

using Bytes16 = std::vector<uint8_t>;

struct Example {
  const char *key, *plaintext, *ciphertext;
};

constexpr Example kPublished[] = {
    // FIPS 197, appendix B.
    {"2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734",
     "3925841d02dc09fbdc118597196a0b32"},
    // FIPS 197, appendix C.1.
    {"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
     "69c4e0d86a7b0430d8cdb78070b4c55a"},
    // NIST SP 800-38A, F.1.1 (ECB-AES128).
    {"2b7e151628aed2a6abf7158809cf4f3c", "6bc1bee22e409f96e93d7e117393172a",
     "3ad77bb40d7a3660a89ecaf32466ef97"},
    {"2b7e151628aed2a6abf7158809cf4f3c", "ae2d8a571e03ac9c9eb76fac45af8e51",
     "f5d3d58503b9699de785895a96fdbaaf"},
    {"2b7e151628aed2a6abf7158809cf4f3c", "30c81c46a35ce411e5fbc1191a0a52ef",
     "43b1cd7f598ece23881b00e3ed030688"},
    {"2b7e151628aed2a6abf7158809cf4f3c", "f69f2445df4f9b17ad2b417be66c3710",
     "7b0c785e27e8ad3f8223207104725dd4"},
};

Bytes16 random_block(std::mt19937_64& random) {
  Bytes16 block(Aes128::kBlockBytes);
  for (uint8_t& byte : block) byte = static_cast<uint8_t>(random());
  return block;
}

TEST_CASE("AES-128 gives the values of FIPS 197 and SP 800-38A, both ways, in both forms") {
  for (const auto& [key, plaintext, ciphertext] : kPublished) {
    const Aes128 aes(from_hex(key).data());
    Bytes16 out(16);
    aes.encrypt(from_hex(plaintext).data(), out.data());
    CHECK(out == from_hex(ciphertext));
    aes.encrypt_plain(from_hex(plaintext).data(), out.data());
    CHECK(out == from_hex(ciphertext));
    aes.decrypt(from_hex(ciphertext).data(), out.data());
    CHECK(out == from_hex(plaintext));
    aes.decrypt_plain(from_hex(ciphertext).data(), out.data());
    CHECK(out == from_hex(plaintext));
  }
}

TEST_CASE("AES-128: the processor's instructions agree with the plain twin") {
  MESSAGE("accelerated here: " << Aes128::is_accelerated());
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    const Aes128 aes(random_block(random).data());
    const Bytes16 in = random_block(random);
    Bytes16 fast(16), plain(16);
    aes.encrypt(in.data(), fast.data());
    aes.encrypt_plain(in.data(), plain.data());
    REQUIRE(fast == plain);
    aes.decrypt(in.data(), fast.data());
    aes.decrypt_plain(in.data(), plain.data());
    REQUIRE(fast == plain);
    aes.encrypt(plain.data(), plain.data());  // in place, and back
    REQUIRE(plain == in);
  }
}

}  // namespace
}  // namespace flowsieve
