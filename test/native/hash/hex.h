// Bytes written as hexadecimal digits, as the published vectors write them; and the
// bytes 00 01 02 …
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace flowsieve {

inline std::vector<uint8_t> from_hex(std::string_view digits) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(
        static_cast<uint8_t>(std::stoul(std::string(digits.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

inline std::vector<uint8_t> counting(size_t size) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<uint8_t>(i);
  }
  return bytes;
}

}  // namespace flowsieve
