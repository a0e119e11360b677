#include "hash/siphash.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "hex.h"

namespace flowsieve {
namespace {

// vectors_sip64 of the authors' reference implementation (veorq/SipHash, vectors.h; CC0):
// message n is the bytes 00 01 … n-1, the key 00 01 … 0f; the value is written as its eight
// little-endian bytes.
constexpr const char* kPublished[] = {
    "310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785",
    "b7877127e09427cf", "8da699cd64557618", "cee3fe586e46c9cb", "37d1018bf50002ab",
    "6224939a79f5f593", "b0e4a90bdf82009e", "f3b9dd94c5bb5d7a", "a7ad6b22462fb3f4",
    "fbe50e86bc8f1e75", "903d84c02756ea14", "eef27a8e90ca23f7", "e545be4961ca29a1",
    "db9bc2577fcc2a3f", "9447be2cf5e99a69", "9cd38d96f0b3c14b", "bd6179a71dc96dbb",
    "98eea21af25cd6be", "c7673b2eb0cbf2d0", "883ea3e395675393", "c8ce5ccd8c030ca8",
    "94af49f6c650adb8", "eab8858ade92e1bc", "f315bb5bb835d817", "adcf6b0763612e2f",
    "a5c91da7acaa4dde", "716595876650a2a6", "28ef495c53a387ad", "42c341d8fa92d832",
    "ce7cf2722f512771", "e37859f94623f3a7", "381205bb1ab0e012", "ae97a10fd434e015",
    "b4a31508beff4d31", "81396229f0907902", "4d0cf49ee5d4dcca", "5c73336a76d8bf9a",
    "d0a704536ba93e0e", "925958fcd6420cad", "a915c29bc8067318", "952b79f3bc0aa6d4",
    "f21df2e41d4535f9", "87577519048f53a9", "10a56cf5dfcd9adb", "eb75095ccd986cd0",
    "51a9cb9ecba312e6", "96afadfc2ce666c7", "72fe52975a4364ee", "5a1645b276d592a1",
    "b274cb8ebf87870a", "6f9bb4203de7b381", "eaecb2a30b22a87f", "9924a43cc1315724",
    "bd838d3aafbf8db7", "0b1a2a3265d51aea", "135079a3231ce660", "932b2846e4d70666",
    "e1915f5cb1eca46c", "f325965ca16d629f", "575ff28e60381be5", "724506eb4c328a95",
};

SipKey counting_key() {
  return SipKey::from_bytes(counting(16).data());
}

TEST_CASE("SipHash-2-4 gives the 64 values that its authors publish") {
  size_t size = 0;
  for (const char* expected : kPublished) {
    CAPTURE(size);
    uint64_t value = siphash24(counting_key(), counting(size).data(), size);
    std::vector<uint8_t> bytes;
    for (int i = 0; i < 8; ++i, value >>= 8) {
      bytes.push_back(static_cast<uint8_t>(value));
    }
    CHECK(bytes == from_hex(expected));
    ++size;
  }
  CHECK(size == 64);
}

TEST_CASE("SipHash of the paper's appendix is a129ca6149be45e5") {
  CHECK(siphash24(counting_key(), counting(15).data(), 15) == 0xa129ca6149be45e5);
}

TEST_CASE("SipHash does not care where in memory the message stands") {
  const std::vector<uint8_t> message = counting(37);
  const uint64_t expected = siphash24(counting_key(), message.data(), message.size());
  std::vector<uint8_t> room(64);
  for (size_t shift = 0; shift < 9; ++shift) {
    std::copy(message.begin(), message.end(), room.begin() + static_cast<std::ptrdiff_t>(shift));
    CHECK(siphash24(counting_key(), room.data() + shift, message.size()) == expected);
  }
}

TEST_CASE("every bit of SipHash's key and of its length counts") {
  const std::vector<uint8_t> message(24);
  const uint64_t expected = siphash24({0, 0}, message.data(), 16);
  for (int bit = 0; bit < 64; ++bit) {
    CHECK(siphash24({uint64_t{1} << bit, 0}, message.data(), 16) != expected);
    CHECK(siphash24({0, uint64_t{1} << bit}, message.data(), 16) != expected);
  }
  CHECK(siphash24({0, 0}, message.data(), 15) != expected);
  CHECK(siphash24({0, 0}, message.data(), 17) != expected);
}

}  // namespace
}  // namespace flowsieve
