#include "hash/jhash.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "hex.h"

namespace flowsieve {
namespace {

struct Vector {
  size_t size;  // of the message 00 01 02 …
  uint32_t initval;
  uint32_t value;
};

// DPDK, app/test/test_hash_functions.c (hash_values_jhash); the same function as Linux jhash().
constexpr Vector kPublished[] = {
    {1, 0x00000000, 0x8ba9414b},  {2, 0x00000000, 0xdf0d39c9},  {4, 0x00000000, 0xe4cf1d42},
    {8, 0x00000000, 0xd4ccb93c},  {16, 0x00000000, 0x5e84eafc}, {32, 0x00000000, 0x21362cfe},
    {48, 0x00000000, 0x2f4775ab}, {64, 0x00000000, 0x9ff036cc}, {9, 0x00000000, 0xeca51474},
    {13, 0x00000000, 0xbc9d6816}, {37, 0x00000000, 0x12926a31}, {40, 0x00000000, 0x1c9fa888},
    {1, 0xdeadbeef, 0x5c62c303},  {2, 0xdeadbeef, 0x1b8cf784},  {4, 0xdeadbeef, 0x8270ac65},
    {8, 0xdeadbeef, 0x05fa6668},  {16, 0xdeadbeef, 0x762df861}, {32, 0xdeadbeef, 0xda088f2f},
    {48, 0xdeadbeef, 0x59614cd4}, {64, 0xdeadbeef, 0x7a94f690}, {9, 0xdeadbeef, 0xdc1e4993},
    {13, 0xdeadbeef, 0x30825494}, {37, 0xdeadbeef, 0x91d0e462}, {40, 0xdeadbeef, 0x768087fc},
};

TEST_CASE("jhash gives DPDK's values") {
  for (const Vector& row : kPublished) {
    CAPTURE(row.size);
    CHECK(jhash(counting(row.size).data(), row.size, row.initval) == row.value);
  }
}

TEST_CASE("jhash gives the values that lookup3.c's own self-test prints for its sentence") {
  // driver5 of lookup3.c: hashlittle of this text with initval 0 and 1, and of nothing with 0.
  constexpr std::string_view kText = "Four score and seven years ago";
  const uint8_t* text = reinterpret_cast<const uint8_t*>(kText.data());
  CHECK(jhash(text, kText.size(), 0) == 0x17770551);
  CHECK(jhash(text, kText.size(), 1) == 0xcd628161);
  CHECK(jhash(nullptr, 0, 0) == 0xdeadbeef);
}

TEST_CASE("jhash does not care where in memory the message stands") {
  const std::vector<uint8_t> message = counting(37);
  const uint32_t expected = jhash(message.data(), message.size(), 5);
  std::vector<uint8_t> room(64);
  for (size_t shift = 1; shift < 8; ++shift) {
    std::copy(message.begin(), message.end(), room.begin() + static_cast<std::ptrdiff_t>(shift));
    CHECK(jhash(room.data() + shift, message.size(), 5) == expected);
  }
}

}  // namespace
}  // namespace flowsieve
