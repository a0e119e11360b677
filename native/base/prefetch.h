// Asking for a cache line before it is read.
#pragma once

namespace flowsieve {

/// Asks for the cache line at `address`; an address that is not mapped does no harm.
///
/// The empty statement stays in any build. Without it GCC 12 finds that a function which does
/// nothing but ask has no effect, and drops its calls: the look-ups of a burst then wait for each
/// record in turn, at two to three times the cost.
[[gnu::always_inline]] inline void prefetch_line(const void* address) {
  __builtin_prefetch(address);
  asm volatile("" : : "r"(address));
}

}  // namespace flowsieve
