#include "wire/tun.h"

#include <doctest/doctest.h>

namespace flowsieve::test {

// As the kernel writes it for TCP over IPv4 behind an Ethernet header (linux/virtio_net.h):
// 14 + 20 + 32 bytes of headers.
TEST_CASE("offsets of an offload header lose the link header") {
  OffloadHeader stripped;
  REQUIRE(strip_link_header({1, 1, 66, 1448, 34, 16}, 14, 9000, stripped));
  CHECK(stripped.flags == 1);
  CHECK(stripped.gso_type == 1);
  CHECK(stripped.hdr_len == 52);
  CHECK(stripped.gso_size == 1448);
  CHECK(stripped.csum_start == 20);
  CHECK(stripped.csum_offset == 16);
}

TEST_CASE("a plain packet has a plain offload header") {
  OffloadHeader stripped;
  REQUIRE(strip_link_header({0, 0, 0, 0, 0, 0}, 14, 40, stripped));
  CHECK(stripped.flags == 0);
  CHECK(stripped.csum_start == 0);
  CHECK(stripped.hdr_len == 0);
  REQUIRE(strip_link_header({2, 0, 0, 0, 0, 0}, 14, 40, stripped));
  CHECK(stripped.flags == 2);
}

TEST_CASE("a header length beyond the packet is brought down to it") {
  OffloadHeader stripped;
  REQUIRE(strip_link_header({1, 4, 2014, 1428, 54, 16}, 14, 1500, stripped));
  CHECK(stripped.hdr_len == 1500);
}

TEST_CASE("offload headers that do not fit their packet are refused") {
  OffloadHeader stripped;
  CHECK_FALSE(strip_link_header({1, 0, 0, 0, 13, 16}, 14, 1500, stripped));  // sums the link header
  CHECK_FALSE(strip_link_header({1, 0, 0, 0, 34, 16}, 14, 37, stripped));    // sum behind the end
  CHECK_FALSE(
      strip_link_header({1, 1, 10, 1448, 34, 16}, 14, 9000, stripped));  // headers end before IP
  CHECK_FALSE(strip_link_header({1, 1, 66, 0, 34, 16}, 14, 9000, stripped));  // segments of nothing
}

}  // namespace flowsieve::test
