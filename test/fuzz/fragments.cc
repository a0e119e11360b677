// The fragment tracker under any sequence of operations, beside its model.
//
// Input: six bytes of limits (datagrams, held frames, held bytes / 256, hold time, memory, seed),
// then operations of three bytes.
#include <cstdlib>

#include "fuzz/fuzz.h"
#include "native/packet/fragment_model.h"

FLOWSIEVE_FUZZ_TARGET(fragments, data, size) {
  if (size < 6) return;
  const flowsieve::FragmentLimits limits{.datagrams = data[0] % 32u,
                                         .held_frames = data[1] % 32u,
                                         .held_bytes = data[2] * 256u,
                                         .hold_ns = data[3] * 8u + 1u,
                                         .remember_ns = data[4] * 8u + 1u};
  if (flowsieve::test::run_fragment_operations(data + 6, size - 6, limits, data[5])) std::abort();
}
