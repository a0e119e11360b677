// One body, two lives: under libFuzzer it is the fuzz target; in the native tests it is a test case
// that replays the target's corpus, so that what the fuzzer once found stays found.
//
//   FLOWSIEVE_FUZZ_TARGET(parser, data, size) { parse({data, size}, ...); }
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef FLOWSIEVE_FUZZ_AS_TEST

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace flowsieve_fuzz {

using Body = void (*)(const uint8_t* data, size_t size);

/// Feeds every file of test/fuzz/corpus/`name` to `body`; returns how many there were.
inline size_t replay_corpus(const char* name, Body body) {
  size_t files = 0;
  const std::string folder = std::string(FLOWSIEVE_ROOT) + "/test/fuzz/corpus/" + name;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    // A copy of exactly the right size, so that the address sanitizer sees a read past its end.
    const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
    body(exact.data(), exact.size());
    ++files;
  }
  return files;
}

}  // namespace flowsieve_fuzz

#define FLOWSIEVE_FUZZ_TARGET(name, data, size)                         \
  static void fuzz_body_##name(const uint8_t* data, size_t size);       \
  TEST_CASE("fuzz corpus replay: " #name) {                             \
    CHECK(flowsieve_fuzz::replay_corpus(#name, &fuzz_body_##name) > 0); \
  }                                                                     \
  static void fuzz_body_##name([[maybe_unused]] const uint8_t* data, [[maybe_unused]] size_t size)

#else

#define FLOWSIEVE_FUZZ_TARGET(name, data, size)                             \
  static void fuzz_body_##name(const uint8_t* data, size_t size);           \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    fuzz_body_##name(data, size);                                           \
    return 0;                                                               \
  }                                                                         \
  static void fuzz_body_##name([[maybe_unused]] const uint8_t* data, [[maybe_unused]] size_t size)

#endif
