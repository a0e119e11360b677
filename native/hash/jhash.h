// jhash: Bob Jenkins' lookup3 as the Linux kernel uses it (include/linux/jhash.h), for clusters
// that come from the kernel's cluster match and want every client to stay with its node.
//
// Three 32-bit words of state start at 0xdeadbeef + length + initval and take in 12 bytes at a
// time. Words are read little-endian here; the kernel reads them in the machine's order, so that
// the two agree on every little-endian machine. The kernel's jhash_1word(w, initval) and
// jhash2(words, n, initval) are this function over 4 and 4 n bytes.
//
// It is not keyed: the initval moves the values, but whoever knows it (or tries all 2^32) can aim.
// SipHash is for that.
//
// Source: B. Jenkins, lookup3.c, May 2006 (public domain), http://burtleburtle.net/bob/hash/.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flowsieve {

/// jhash of `size` bytes at `data`, started with `initval`.
uint32_t jhash(const uint8_t* data, size_t size, uint32_t initval);

}  // namespace flowsieve
