#include "netlink/request.h"

#include <linux/netlink.h>

#include <cstring>
#include <utility>

#include "base/bytes.h"

namespace flowsieve {

RequestBuilder::RequestBuilder(uint16_t type, uint16_t flags, uint32_t sequence) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  header.nlmsg_seq = sequence;
  add(&header, sizeof(header));
}

void RequestBuilder::add(const void* data, size_t size) {
  const uint8_t* bytes = static_cast<const uint8_t*>(data);
  bytes_.insert(bytes_.end(), bytes, bytes + size);
  bytes_.resize((bytes_.size() + 3) & ~size_t{3});
}

void RequestBuilder::add_attribute(uint16_t type, const void* value, size_t size) {
  static_assert(sizeof(nlattr) == NLA_HDRLEN);  // no padding between it and the value
  const nlattr header{static_cast<uint16_t>(NLA_HDRLEN + size), type};
  add(&header, sizeof(header));
  add(value, size);
}

void RequestBuilder::add_be32(uint16_t type, uint32_t value) {
  uint8_t bytes[4];
  store_be32(bytes, value);
  add_attribute(type, bytes, sizeof(bytes));
}

std::vector<uint8_t> RequestBuilder::finish() {
  const uint32_t length = static_cast<uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &length, sizeof(length));
  return std::exchange(bytes_, {});
}

}  // namespace flowsieve
