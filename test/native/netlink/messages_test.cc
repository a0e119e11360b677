#include "netlink/messages.h"

#include <doctest/doctest.h>
#include <linux/netlink.h>

#include <cerrno>
#include <vector>

namespace flowsieve::test {
namespace {

/// A message of `length` with `payload`, padded.
void put(std::vector<uint8_t>& bytes, uint32_t length, std::vector<uint8_t> payload) {
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(length >> 8 * i));
  for (int i = 0; i < 12; ++i) bytes.push_back(static_cast<uint8_t>(i == 0 ? 0x14 : 0));
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  while (bytes.size() % 4 != 0) bytes.push_back(0);
}

}  // namespace

TEST_CASE("messages and attributes are walked with their padding") {
  std::vector<uint8_t> bytes;
  put(bytes, 17, {9});
  put(bytes, 16, {});
  MessageWalk walk({bytes.data(), bytes.size()});
  NetlinkMessage message;
  REQUIRE(walk.next(message));
  CHECK(message.type == 0x14);
  CHECK(message.payload.size == 1);
  REQUIRE(walk.next(message));
  CHECK(message.payload.size == 0);
  CHECK_FALSE(walk.next(message));
  CHECK_FALSE(walk.damaged());

  const std::vector<uint8_t> attributes = {5, 0, 1, 0x80, 7, 0, 0, 0, 6, 0, 2, 0x40, 1, 2};
  AttributeWalk inner({attributes.data(), attributes.size()});
  NetlinkAttribute attribute;
  REQUIRE(inner.next(attribute));
  CHECK(attribute.type == 1);  // without the flag for nesting
  CHECK(attribute.value.size == 1);
  REQUIRE(inner.next(attribute));
  CHECK(attribute.type == 2);
  CHECK(attribute.value.size == 2);
  CHECK_FALSE(inner.next(attribute));
  CHECK_FALSE(inner.damaged());
}

TEST_CASE("a length that does not fit ends the walk and is told") {
  for (const uint32_t length : {0u, 15u, 21u, 0xffffffffu, 0x80000000u}) {
    std::vector<uint8_t> bytes;
    put(bytes, length, {1, 2, 3, 4});
    MessageWalk walk({bytes.data(), bytes.size()});
    NetlinkMessage message;
    CHECK_FALSE(walk.next(message));
    CHECK(walk.damaged());
  }
  for (const uint8_t length : {0, 3, 9, 255}) {
    const std::vector<uint8_t> bytes = {length, 0, 1, 0, 1, 2, 3, 4};
    AttributeWalk walk({bytes.data(), bytes.size()});
    NetlinkAttribute attribute;
    CHECK_FALSE(walk.next(attribute));
    CHECK(walk.damaged());
  }
  const std::vector<uint8_t> rest = {1, 2, 3};
  MessageWalk short_message({rest.data(), rest.size()});
  NetlinkMessage message;
  CHECK_FALSE(short_message.next(message));
  CHECK(short_message.damaged());
}

TEST_CASE("the error that ends an answer") {
  const std::vector<uint8_t> missing = {0xfe, 0xff, 0xff, 0xff};
  NetlinkMessage message{.type = NLMSG_ERROR, .payload = {missing.data(), missing.size()}};
  CHECK(netlink_errno(message) == ENOENT);
  const std::vector<uint8_t> most = {0, 0, 0, 0x80};
  message.payload = {most.data(), most.size()};
  CHECK(netlink_errno(message) == EPROTO);
  message.payload = {};
  CHECK(netlink_errno(message) == EPROTO);
  message.type = NLMSG_DONE;
  CHECK(netlink_errno(message) == 0);
}

}  // namespace flowsieve::test
