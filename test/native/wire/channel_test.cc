// What a channel takes for one of its frames. The layout is the one drawn in wire/channel.h.
#include "wire/channel.h"

#include <doctest/doctest.h>

#include <vector>

namespace flowsieve::test {

namespace {

constexpr Mac kTo{0x01, 0x00, 0x5e, 0x00, 0x00, 0x64};

/// A frame written byte by byte: `length` is what it says of its payload.
std::vector<uint8_t> frame_of(const Mac& to, uint16_t type, uint16_t length, size_t payload,
                              size_t padding) {
  std::vector<uint8_t> frame(to.begin(), to.end());
  frame.insert(frame.end(), {0x02, 0, 0, 0, 0, 0x07});
  frame.insert(frame.end(), {static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type)});
  frame.insert(frame.end(), {static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)});
  frame.insert(frame.end(), payload, 0xab);
  frame.insert(frame.end(), padding, 0);
  return frame;
}

size_t payload_of(const std::vector<uint8_t>& frame) {
  const Bytes payload = read_channel_frame({frame.data(), frame.size()}, kTo);
  for (size_t i = 0; i < payload.size; ++i) CHECK(payload.data[i] == 0xab);
  return payload.size;
}

}  // namespace

TEST_CASE("a frame's payload is as long as it says, whatever padding follows") {
  CHECK(payload_of(frame_of(kTo, 0x88b5, 5, 5, 39)) == 5);
  CHECK(payload_of(frame_of(kTo, 0x88b5, 300, 300, 0)) == 300);
  CHECK(payload_of(frame_of(kTo, 0x88b5, 1480, 1480, 0)) == 1480);
}

TEST_CASE("a frame that says more than is there, or nothing, or too much, has no payload") {
  CHECK(payload_of(frame_of(kTo, 0x88b5, 45, 44, 0)) == 0);
  CHECK(payload_of(frame_of(kTo, 0x88b5, 0xffff, 44, 0)) == 0);
  CHECK(payload_of(frame_of(kTo, 0x88b5, 0, 44, 0)) == 0);
  CHECK(payload_of(frame_of(kTo, 0x88b5, 1481, 1481, 0)) == 0);
}

TEST_CASE("a frame to another address or of another EtherType has no payload") {
  CHECK(payload_of(frame_of({0x01, 0x00, 0x5e, 0x00, 0x00, 0x65}, 0x88b5, 44, 44, 0)) == 0);
  CHECK(payload_of(frame_of(kBroadcastMac, 0x88b5, 44, 44, 0)) == 0);
  CHECK(payload_of(frame_of(kTo, 0x88b6, 44, 44, 0)) == 0);
}

TEST_CASE("a frame that ends anywhere before its payload has none, and nothing is read behind it") {
  const std::vector<uint8_t> whole = frame_of(kTo, 0x88b5, 4, 4, 0);
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    CHECK(payload_of(cut) == 0);
  }
  CHECK(payload_of(whole) == 4);
}

}  // namespace flowsieve::test
