// Anything as the two directions of a control connection, in segments of any order: what is
// announced has a port, and what was announced from whole lines is announced whatever the pieces.
//
//   input: segments, each | direction and jump 1 | length 1 | bytes |
#include "packet/ftp.h"
#include "fuzz.h"
#include "fuzz/input.h"

namespace {

using namespace flowsieve;
using flowsieve_fuzz::demand;

void look(const std::vector<FtpData>& found) {
  for (const FtpData& data : found) {
    demand(data.port != 0);
    demand(data.passive || data.address);
  }
}

/// The same bytes in one piece, and byte by byte, each twice.
void compare(const std::vector<uint8_t>& bytes) {
  FtpControl whole, pieces;
  std::vector<FtpData> once, bit_by_bit;
  whole.begin_client(0);
  pieces.begin_client(0);
  whole.from_client(0, {bytes.data(), bytes.size()}, once);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int twice = 0; twice < 2; ++twice) {
      pieces.from_client(static_cast<uint32_t>(i), {bytes.data() + i, 1}, bit_by_bit);
    }
  }
  demand(once.size() == bit_by_bit.size());
  for (size_t i = 0; i < once.size(); ++i) {
    demand(once[i].port == bit_by_bit[i].port && once[i].address == bit_by_bit[i].address);
  }
}

}  // namespace

FLOWSIEVE_FUZZ_TARGET(ftp, data, size) {
  flowsieve_fuzz::Input input(data, size);
  FtpControl control;
  std::vector<FtpData> found;
  uint32_t client = 0xffff'ff00, server = 0;
  control.begin_client(client);
  control.begin_server(server);
  while (!input.empty()) {
    const uint8_t how = input.byte();
    const std::vector<uint8_t> bytes = input.bytes(input.byte());
    uint32_t& next = how & 1 ? server : client;
    // Mostly in order; else before or behind what was expected.
    const uint32_t at = how & 2 ? next + static_cast<uint32_t>(how >> 2) - 32 : next;
    const Bytes segment{bytes.data(), bytes.size()};
    if (how & 1) {
      control.from_server(at, segment, found);
    } else {
      control.from_client(at, segment, found);
    }
    if (!(how & 2)) next += static_cast<uint32_t>(bytes.size());
    if (!(how & 1)) compare(bytes);
  }
  look(found);
}
