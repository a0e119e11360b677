// Builds a netlink request: header, a fixed part, attributes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace flowsieve {

class RequestBuilder {
 public:
  RequestBuilder(uint16_t type, uint16_t flags, uint32_t sequence);
  /// The fixed part; before any attribute.
  void add(const void* data, size_t size);
  void add_attribute(uint16_t type, const void* value, size_t size);
  /// An attribute of four bytes in network order.
  void add_be32(uint16_t type, uint32_t value);
  /// The request with its length filled in. The builder is used up.
  std::vector<uint8_t> finish();

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace flowsieve
