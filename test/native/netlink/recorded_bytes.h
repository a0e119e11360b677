// Recorded datagrams back into bytes, and all their messages through a reader.
#pragma once

#include <string>
#include <vector>

#include "netlink/messages.h"

namespace flowsieve::test {

inline std::vector<uint8_t> from_hex(const std::string& digits) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

/// Calls visit(message) for every message of the datagrams; true when nothing was damaged.
template <typename Visit>
bool each_message(const std::vector<std::string>& datagrams, Visit visit) {
  for (const std::string& digits : datagrams) {
    const std::vector<uint8_t> bytes = from_hex(digits);
    MessageWalk walk({bytes.data(), bytes.size()});
    for (NetlinkMessage message; walk.next(message);) visit(message);
    if (walk.damaged()) return false;
  }
  return true;
}

}  // namespace flowsieve::test
