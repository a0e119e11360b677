// CRC-32C (Castagnoli), in its two forms.
//
//   raw:      register = start; for every byte: one step; the register is the answer. This is
//             what the SSE4.2 instruction crc32 and DPDK's rte_hash_crc compute.
//   RFC 3720: the register starts at ffffffff and is complemented at the end. This is what iSCSI,
//             SCTP and ext4 mean by CRC32C.
//
// Polynomial 1EDC6F41, both bit orders reflected (82F63B78 in the code). Three implementations of
// the raw form agree by test: the dispatching crc32c_raw (SSE4.2 where the processor has it,
// asked once at start), a table of 256 entries (everywhere else, aarch64 included), and bit by
// bit, the definition.
//
// As a hash it spreads well and is quick, and it is linear: with any seed the same pairs of inputs
// collide. A distribution by CRC32C can be aimed at by whoever likes; SipHash is for that.
//
// Source: RFC 3720 12.1 and B.4; G. Castagnoli et al., "Optimization of Cyclic Redundancy-Check
// Codes with 24 and 32 Parity Bits", IEEE Transactions on Communications 41(6), 1993.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flowsieve {

/// The register after `size` bytes at `data`, started at `start`. May be continued: the answer is
/// the next call's start.
uint32_t crc32c_raw(uint32_t start, const uint8_t* data, size_t size);

/// Its plain twins.
uint32_t crc32c_raw_table(uint32_t start, const uint8_t* data, size_t size);
uint32_t crc32c_raw_bitwise(uint32_t start, const uint8_t* data, size_t size);

/// True when crc32c_raw runs on the processor's own instruction.
bool crc32c_is_accelerated();

/// The RFC 3720 form. `seed` is xored into the initial register: 0 gives the RFC's values.
inline uint32_t crc32c(const uint8_t* data, size_t size, uint32_t seed = 0) {
  return ~crc32c_raw(0xffffffff ^ seed, data, size);
}

}  // namespace flowsieve
