// What the kernel says over netlink(7): a datagram holds messages, a message's payload a fixed
// header and attributes, an attribute perhaps attributes again.
//
//   | length | type | flags | sequence | port | payload ...      | padding | next message ...
//   0        4      6       8          12     16                  to a multiple of 4
//
//   | length | type | value ... | padding | next attribute ...
//   0        2      4            to a multiple of 4
//
// Lengths count their own header. Nothing here trusts one: a walk ends, and says that it was
// damaged, at the first length that does not fit. Headers are in the machine's byte order; what is
// in attributes is for their readers.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace flowsieve {

struct NetlinkMessage {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t sequence = 0;
  uint32_t port = 0;  ///< the receiver's, as the kernel knows it; 0 in notifications
  Bytes payload;      ///< without header and padding; dies with the datagram
};

/// Walks the messages of one datagram.
class MessageWalk {
 public:
  explicit MessageWalk(Bytes datagram) : rest_(datagram) {}
  /// False at the end, or where the rest makes no message.
  bool next(NetlinkMessage& message);
  /// Something was left that makes no message.
  bool damaged() const { return damaged_; }

 private:
  Bytes rest_;
  bool damaged_ = false;
};

struct NetlinkAttribute {
  uint16_t type = 0;  ///< without the flags for nesting and byte order
  Bytes value;
};

/// Walks the attributes of a payload's rest, or of an attribute's value.
class AttributeWalk {
 public:
  explicit AttributeWalk(Bytes attributes) : rest_(attributes) {}
  bool next(NetlinkAttribute& attribute);
  bool damaged() const { return damaged_; }

 private:
  Bytes rest_;
  bool damaged_ = false;
};

/// The `errno` that an NLMSG_ERROR or NLMSG_DONE carries as a positive number; 0 for success,
/// EPROTO for a payload that is too short to carry one.
int netlink_errno(const NetlinkMessage& message);

}  // namespace flowsieve
