// An IP address of either family in 16 bytes, network order. IPv4 stands in the last four bytes of
// ::ffff:0:0/96 (RFC 4291 2.5.5.2).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace flowsieve {

using Address = std::array<uint8_t, 16>;

enum class Family : uint8_t { kIpv4 = 4, kIpv6 = 6 };

/// As ==, but two words compared in place: that of std::array calls memcmp.
inline bool is_same(const Address& one, const Address& other) {
  return std::memcmp(one.data(), other.data(), sizeof(Address)) == 0;
}

/// An IPv4 address (four bytes in network order) as an Address.
inline Address mapped_ipv4(const uint8_t* four) {
  Address address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
#if defined(__SSE2__)
  // Stored at once: read back whole, what was stored in pieces would have to wait for all of them.
  int32_t last;
  std::memcpy(&last, four, 4);
  const __m128i words = _mm_set_epi32(last, static_cast<int32_t>(0xffff0000), 0, 0);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(address.data()), words);
#else
  std::memcpy(address.data() + 12, four, 4);
#endif
  return address;
}

/// True for an Address that stands for an IPv4 one (::ffff:0:0/96).
inline bool is_mapped_ipv4(const Address& address) {
  return is_same(address, mapped_ipv4(address.data() + 12));
}

/// The Family that an address of the cluster has.
inline Family family_of(const Address& address) {
  return is_mapped_ipv4(address) ? Family::kIpv4 : Family::kIpv6;
}

}  // namespace flowsieve
