#include "netlink/messages.h"

#include <linux/netlink.h>

#include <cerrno>
#include <cstring>

namespace flowsieve {
namespace {

/// Where the next one begins: padded, but the last may lack its padding.
Bytes behind(Bytes rest, size_t length) {
  return rest.from((length + 3) & ~size_t{3});
}

}  // namespace

bool MessageWalk::next(NetlinkMessage& message) {
  if (rest_.size == 0) return false;
  nlmsghdr header;
  if (!rest_.has(0, sizeof(header))) {
    damaged_ = true;
    return false;
  }
  std::memcpy(&header, rest_.data, sizeof(header));
  if (header.nlmsg_len < sizeof(header) || !rest_.has(0, header.nlmsg_len)) {
    damaged_ = true;
    return false;
  }
  message.type = header.nlmsg_type;
  message.flags = header.nlmsg_flags;
  message.sequence = header.nlmsg_seq;
  message.port = header.nlmsg_pid;
  message.payload = {rest_.data + sizeof(header), header.nlmsg_len - sizeof(header)};
  rest_ = behind(rest_, header.nlmsg_len);
  return true;
}

bool AttributeWalk::next(NetlinkAttribute& attribute) {
  if (rest_.size == 0) return false;
  nlattr header;
  if (!rest_.has(0, sizeof(header))) {
    damaged_ = true;
    return false;
  }
  std::memcpy(&header, rest_.data, sizeof(header));
  if (header.nla_len < sizeof(header) || !rest_.has(0, header.nla_len)) {
    damaged_ = true;
    return false;
  }
  attribute.type = header.nla_type & NLA_TYPE_MASK;
  attribute.value = {rest_.data + sizeof(header), header.nla_len - sizeof(header)};
  rest_ = behind(rest_, header.nla_len);
  return true;
}

int netlink_errno(const NetlinkMessage& message) {
  int32_t error = 0;
  if (!message.payload.has(0, sizeof(error))) {
    // A dump's end says nothing when all went well on old kernels.
    return message.type == NLMSG_DONE && message.payload.size == 0 ? 0 : EPROTO;
  }
  std::memcpy(&error, message.payload.data, sizeof(error));
  if (error == INT32_MIN) return EPROTO;
  return error < 0 ? -error : error;
}

}  // namespace flowsieve
