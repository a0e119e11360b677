#include "hash/crc32c.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "hex.h"

namespace flowsieve {
namespace {

struct Vector {
  const char* message;
  uint32_t crc;
};

// RFC 3720, section B.4.
constexpr Vector kRfc3720[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000",
     0x8a9136aa},  // 32 bytes of 00
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     0x62a8ab43},  // 32 bytes of ff
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 0x46dd794e},  // 00 .. 1f
    {"1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100", 0x113fdb5c},  // 1f .. 00
    {"01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000"
     "000",
     0xd9963a56},  // iSCSI read command PDU
};

struct RawVector {
  size_t size;  // of the message 00 01 02 …
  uint32_t start;
  uint32_t value;
};

// DPDK, app/test/test_hash_functions.c (hash_values_crc): the register without complements.
constexpr RawVector kRaw[] = {
    {1, 0x00000000, 0x00000000},  {2, 0x00000000, 0xf26b8303},  {4, 0x00000000, 0x91545164},
    {8, 0x00000000, 0x06040eb1},  {16, 0x00000000, 0x9bb99201}, {32, 0x00000000, 0xcc4c4fe4},
    {48, 0x00000000, 0x14a90993}, {64, 0x00000000, 0xf8a5dd8c}, {9, 0x00000000, 0xcaa1ad0b},
    {13, 0x00000000, 0x7ac1e03e}, {37, 0x00000000, 0x43f44466}, {40, 0x00000000, 0x4a11475e},
    {1, 0xdeadbeef, 0xbdfd3980},  {2, 0xdeadbeef, 0x70204542},  {4, 0xdeadbeef, 0x98cd4c70},
    {8, 0xdeadbeef, 0xd52c702f},  {16, 0xdeadbeef, 0x41fc0e1c}, {32, 0xdeadbeef, 0x3905f65c},
    {48, 0xdeadbeef, 0x94bff47f}, {64, 0xdeadbeef, 0x1bab102d}, {9, 0xdeadbeef, 0xf4a2c645},
    {13, 0xdeadbeef, 0xbf441539}, {37, 0xdeadbeef, 0x789c104f}, {40, 0xdeadbeef, 0x53028d3e},
};

using Raw = uint32_t (*)(uint32_t, const uint8_t*, size_t);
constexpr Raw kImplementations[] = {crc32c_raw, crc32c_raw_table, crc32c_raw_bitwise};

TEST_CASE("CRC-32C gives the values of RFC 3720") {
  for (const Vector& row : kRfc3720) {
    const std::vector<uint8_t> message = from_hex(row.message);
    CHECK(crc32c(message.data(), message.size()) == row.crc);
    for (const Raw raw : kImplementations) {
      CHECK(~raw(0xffffffff, message.data(), message.size()) == row.crc);
    }
  }
}

TEST_CASE("the raw CRC-32C gives DPDK's values, in all three implementations") {
  for (const RawVector& row : kRaw) {
    CAPTURE(row.size);
    for (const Raw raw : kImplementations) {
      CHECK(raw(row.start, counting(row.size).data(), row.size) == row.value);
    }
  }
}

TEST_CASE("the instruction, the table and the bits agree for random bytes at every alignment") {
  MESSAGE("CRC-32C by the processor's instruction: " << crc32c_is_accelerated());
  std::mt19937_64 random(3720);
  std::vector<uint8_t> bytes(128);
  for (int round = 0; round < 4000; ++round) {
    for (uint8_t& byte : bytes) {
      byte = static_cast<uint8_t>(random());
    }
    const size_t shift = random() % 16, size = random() % 100;
    const uint32_t start = static_cast<uint32_t>(random());
    const uint32_t expected = crc32c_raw_bitwise(start, bytes.data() + shift, size);
    CHECK(crc32c_raw(start, bytes.data() + shift, size) == expected);
    CHECK(crc32c_raw_table(start, bytes.data() + shift, size) == expected);
  }
}

TEST_CASE("a raw CRC-32C may be continued where it stopped") {
  const std::vector<uint8_t> message = counting(40);
  const uint32_t whole = crc32c_raw(7, message.data(), message.size());
  for (size_t cut = 0; cut <= message.size(); ++cut) {
    const uint32_t first = crc32c_raw(7, message.data(), cut);
    CHECK(crc32c_raw(first, message.data() + cut, message.size() - cut) == whole);
  }
}

}  // namespace
}  // namespace flowsieve
