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

void RequestBuilder::add_be32(uint16_t type, uint32_t value) {
  struct {
    nlattr header;
    uint8_t value[4];
  } attribute{};
  static_assert(sizeof(attribute) == 8);
  attribute.header.nla_len = sizeof(attribute);
  attribute.header.nla_type = type;
  store_be32(attribute.value, value);
  add(&attribute, sizeof(attribute));
}

std::vector<uint8_t> RequestBuilder::finish() {
  const uint32_t length = static_cast<uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &length, sizeof(length));
  return std::exchange(bytes_, {});
}

}  // namespace flowsieve
