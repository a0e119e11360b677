// Bounded reading of network byte order. A Bytes is a window on memory that somebody else owns;
// every read names its offset and is checked against the window, so that a parser cannot run past
// what was captured.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace flowsieve {

/// A read-only window: `data` is not owned and must outlive the window.
struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;

  /// True when `count` bytes stand at `offset`; written so that it cannot overflow.
  constexpr bool has(size_t offset, size_t count) const {
    return offset <= size && count <= size - offset;
  }
  /// The window from `offset` on; empty when `offset` lies behind the end.
  constexpr Bytes from(size_t offset) const {
    return offset <= size ? Bytes{data + offset, size - offset} : Bytes{data + size, 0};
  }
  /// The first `count` bytes, or all when there are fewer.
  constexpr Bytes first(size_t count) const { return {data, count < size ? count : size}; }
};

// The loads below take a pointer that the caller has already checked with Bytes::has.
inline uint16_t load_be16(const uint8_t* p) {
  return static_cast<uint16_t>(p[0] << 8 | p[1]);
}
inline uint32_t load_be32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}
inline uint16_t load_le16(const uint8_t* p) {
  return static_cast<uint16_t>(p[1] << 8 | p[0]);
}
inline uint32_t load_le32(const uint8_t* p) {
  return uint32_t{p[3]} << 24 | uint32_t{p[2]} << 16 | uint32_t{p[1]} << 8 | p[0];
}
inline uint64_t load_le64(const uint8_t* p) {
  return uint64_t{load_le32(p + 4)} << 32 | load_le32(p);
}

inline void store_le16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
}
inline void store_be16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}
inline void store_be32(uint8_t* p, uint32_t v) {
  store_be16(p, static_cast<uint16_t>(v >> 16));
  store_be16(p + 2, static_cast<uint16_t>(v));
}

}  // namespace flowsieve
