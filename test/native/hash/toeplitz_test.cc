#include "hash/toeplitz.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "hex.h"

namespace flowsieve {
namespace {

struct Vector {
  const char* source;
  uint16_t source_port;
  const char* destination;
  uint16_t destination_port;
  uint32_t of_addresses;
  uint32_t of_addresses_and_ports;
};

// Microsoft, "Verifying the RSS hash calculation"; the same values in DPDK (app/test/test_thash.c).
constexpr Vector kPublished[] = {
    {"66.9.149.187", 2794, "161.142.100.80", 1766, 0x323e8fc2, 0x51ccc178},
    {"199.92.111.2", 14230, "65.69.140.83", 4739, 0xd718262a, 0xc626b0ea},
    {"24.19.198.95", 12898, "12.22.207.184", 38024, 0xd2d0a5de, 0x5c2b394a},
    {"38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xafc7327f},
    {"153.39.163.191", 44251, "202.188.127.2", 1303, 0x5d1809c5, 0x10e828a2},
    {"3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2cc18cd5, 0x40207d3d},
    {"3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0f0c461c, 0xdde51bbf},
    {"3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4b61e985,
     0x02d1feef},
};

void append_address(std::vector<uint8_t>& bytes, const char* text) {
  uint8_t address[16];
  const bool ipv6 = std::strchr(text, ':') != nullptr;
  REQUIRE(inet_pton(ipv6 ? AF_INET6 : AF_INET, text, address) == 1);
  bytes.insert(bytes.end(), address, address + (ipv6 ? 16 : 4));
}

void append_port(std::vector<uint8_t>& bytes, uint16_t port) {
  bytes.push_back(static_cast<uint8_t>(port >> 8));
  bytes.push_back(static_cast<uint8_t>(port));
}

TEST_CASE("Toeplitz gives the values of the RSS verification suite, by bits and by tables") {
  const ToeplitzTable table(kToeplitzDefaultKey);
  for (const Vector& row : kPublished) {
    CAPTURE(row.source);
    std::vector<uint8_t> input;
    append_address(input, row.source);
    append_address(input, row.destination);
    CHECK(toeplitz_bitwise(kToeplitzDefaultKey, input.data(), input.size()) == row.of_addresses);
    CHECK(table(input.data(), input.size()) == row.of_addresses);
    append_port(input, row.source_port);
    append_port(input, row.destination_port);
    CHECK(toeplitz_bitwise(kToeplitzDefaultKey, input.data(), input.size()) ==
          row.of_addresses_and_ports);
    CHECK(table(input.data(), input.size()) == row.of_addresses_and_ports);
  }
}

TEST_CASE("the default Toeplitz key is that of the RSS verification suite") {
  const std::vector<uint8_t> published =
      from_hex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa");
  CHECK(std::vector<uint8_t>(kToeplitzDefaultKey.begin(), kToeplitzDefaultKey.end()) == published);
}

TEST_CASE("Toeplitz by tables agrees with Toeplitz by bits for random keys and inputs") {
  std::mt19937_64 random(20240607);
  for (int round = 0; round < 50; ++round) {
    ToeplitzKey key;
    for (uint8_t& byte : key) {
      byte = static_cast<uint8_t>(random());
    }
    const ToeplitzTable table(key);
    for (size_t size = 0; size <= kToeplitzInputMax; ++size) {
      std::vector<uint8_t> input(size);
      for (uint8_t& byte : input) {
        byte = static_cast<uint8_t>(random());
      }
      CAPTURE(size);
      CHECK(table(input.data(), size) == toeplitz_bitwise(key, input.data(), size));
    }
  }
}

TEST_CASE("one set bit of input answers with the 32 bits of key that stand there, the key a ring") {
  const std::vector<uint8_t> bytes = counting(kToeplitzKeyBytes);
  ToeplitzKey key;
  std::copy(bytes.begin(), bytes.end(), key.begin());
  const ToeplitzTable table(key);
  std::vector<uint8_t> input(kToeplitzInputMax);
  input[0] = 0x80;
  CHECK(table(input.data(), input.size()) == 0x00010203);
  input[0] = 0x01;  // seven bits on: 00 01 02 03 04 shifted left by seven
  CHECK(table(input.data(), input.size()) == 0x00810182);
  input[0] = 0;
  input[36] = 0x80;
  CHECK(table(input.data(), input.size()) == 0x24252627);
  input[36] = 0x01;  // 24 25 26 27 00 shifted left by seven: the ring begins anew
  CHECK(table(input.data(), input.size()) == 0x12931380);
}

}  // namespace
}  // namespace flowsieve
