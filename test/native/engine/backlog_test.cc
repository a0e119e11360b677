// The barrier, over sources that are nothing but numbers.
#include "engine/backlog.h"

#include <doctest/doctest.h>

#include <vector>

namespace flowsieve::test {

namespace {

/// Turns that find so many frames each; afterwards a full burst for ever. How many were taken.
size_t turns_taken(const std::vector<size_t>& bursts, uint64_t slots) {
  size_t taken = 0;
  decide_backlog([&] { return taken < bursts.size() ? bursts[taken++] : (++taken, kBurst); },
                 slots);
  return taken;
}

}  // namespace

TEST_CASE("the backlog is decided when a turn finds the ring empty") {
  CHECK(turns_taken({0}, 4096) == 1);
  CHECK(turns_taken({kBurst - 1}, 4096) == 1);
  CHECK(turns_taken({kBurst, kBurst, 3}, 4096) == 3);
  CHECK(turns_taken({kBurst, 0}, 4096) == 2);
}

TEST_CASE("where packets come faster than they are decided, a ring's worth of them is enough") {
  CHECK(turns_taken({}, 4096) == 4096 / kBurst);
  CHECK(turns_taken({}, 4097) == 4096 / kBurst + 1);
}

}  // namespace flowsieve::test
