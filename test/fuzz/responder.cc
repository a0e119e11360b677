// Address resolution as anybody on the link may send it. The first four bytes choose what the
// kernel says about the frame.
#include "wire/responder.h"

#include <cstdlib>

#include "fuzz/fuzz.h"

FLOWSIEVE_FUZZ_TARGET(responder, data, size) {
  using namespace flowsieve;
  if (size < 4) return;
  const uint8_t four[4] = {192, 0, 2, 100};
  const Resolution resolution{
      {2, 0, 0, 0, 0, 1},
      {1, 0, 0x5e, 0, 0, 0x64},
      {mapped_ipv4(four), Address{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}}};
  Frame frame;
  frame.bytes = {data + 4, size - 4};
  frame.offload.flags = data[0] & 3;
  frame.vlan_tpid = (data[1] & 1) != 0 ? 0x8100 : 0;
  frame.vlan_tci = data[2];
  ResolutionFrame answer;
  size_t bytes = 0;
  const Asked asked = answer_resolution(resolution, frame, answer, bytes);
  // An answer goes out from the node's own address and is never a question that another node
  // would answer in turn.
  if ((asked == Asked::kAnswered) != (bytes > 0) || bytes > answer.size()) std::abort();
  if (asked == Asked::kAnswered) {
    Frame again;
    again.bytes = {answer.data(), bytes};
    ResolutionFrame second;
    if (answer_resolution(resolution, again, second, bytes) == Asked::kAnswered) std::abort();
    if (answer[6] != 2 || answer[11] != 1) std::abort();
  }
  Address address{};
  Mac mac{};
  (void)read_claim(resolution, frame, address, mac);
}
