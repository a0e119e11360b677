// The barrier of a release: "received from now on" must not mean "looked at from now on".
//
// A worker goes through its ring with a lag. A loser that began to decide by the next view while
// packets of an earlier moment still stand in its ring would leave them to the gainer, which may
// have seen them before it held anything and left them to the loser: nobody would take them. So the
// loser first decides all that its ring had received by then.
//
// It is enough that the ring was found empty once, or that as many frames as it has slots have been
// decided: whatever stood in it at the beginning is done then, however much has come since. A frame
// that the kernel is just writing may fall on either side; the gainer has been holding for the
// guard's time, and has it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wire/source.h"

namespace flowsieve {

/// Calls turn(), which decides a burst from a source of `slots` places in all and returns its size, until
/// all that had been received is decided.
template <typename Turn>
void decide_backlog(Turn&& turn, uint64_t slots) {
  for (uint64_t decided = 0; decided < slots;) {
    const size_t burst = turn();
    if (burst < kBurst) return;
    decided += burst;
  }
}

}  // namespace flowsieve
