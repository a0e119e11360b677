// What netlink says, byte by byte as rtnetlink(7) has it, and what is not to be believed.
#include "wire/hops.h"

#include <doctest/doctest.h>

#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

ByteVector attribute(uint16_t type, const ByteVector& value) {
  const auto length = static_cast<uint16_t>(4 + value.size());
  ByteVector bytes{static_cast<uint8_t>(length), static_cast<uint8_t>(length >> 8),
                   static_cast<uint8_t>(type), static_cast<uint8_t>(type >> 8)};
  bytes.insert(bytes.end(), value.begin(), value.end());
  bytes.resize((bytes.size() + 3) / 4 * 4);
  return bytes;
}

ByteVector message(uint16_t type, ByteVector body, const std::vector<ByteVector>& attributes) {
  for (const ByteVector& each : attributes) body.insert(body.end(), each.begin(), each.end());
  const auto length = static_cast<uint32_t>(16 + body.size());
  ByteVector bytes{static_cast<uint8_t>(length),
                   static_cast<uint8_t>(length >> 8),
                   0,
                   0,
                   static_cast<uint8_t>(type),
                   static_cast<uint8_t>(type >> 8),
                   0,
                   0,
                   1,
                   0,
                   0,
                   0,
                   0,
                   0,
                   0,
                   0};
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

// struct rtmsg: family, lengths, tos, table, protocol, scope, type (1: unicast), flags.
const ByteVector kRoute4{2, 32, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0};
// struct ndmsg: family, padding, interface, state, flags, type.
ByteVector neighbour4(uint8_t state) {
  return {2, 0, 0, 0, 3, 0, 0, 0, state, 0, 0, 1};
}

std::optional<Route> route_of(const ByteVector& bytes) {
  return read_route({bytes.data(), bytes.size()}, address_of("198.51.100.9"));
}

}  // namespace

TEST_CASE("a route over a router, with a source address and an MTU of its own") {
  const auto route = route_of(message(
      24, kRoute4,
      {attribute(1, {198, 51, 100, 9}), attribute(4, {3, 0, 0, 0}), attribute(5, {192, 0, 2, 254}),
       attribute(7, {192, 0, 2, 1}), attribute(8, attribute(2, {0x78, 0x05, 0, 0}))}));
  REQUIRE(route);
  CHECK(route->interface == 3);
  CHECK_FALSE(route->on_link);
  CHECK(route->next_hop == address_of("192.0.2.254"));
  CHECK(route->source == address_of("192.0.2.1"));
  CHECK(route->mtu == 1400);
}

TEST_CASE("a route on the link: the next hop is the node") {
  const auto route = route_of(message(24, kRoute4, {attribute(4, {3, 0, 0, 0})}));
  REQUIRE(route);
  CHECK(route->on_link);
  CHECK(route->next_hop == address_of("198.51.100.9"));
  CHECK(route->mtu == 0);
}

TEST_CASE("what is no unicast route, has no interface or is cut is none") {
  ByteVector local = kRoute4;
  local[7] = 2;
  CHECK_FALSE(route_of(message(24, local, {attribute(4, {3, 0, 0, 0})})));
  CHECK_FALSE(route_of(message(24, kRoute4, {})));
  CHECK_FALSE(route_of(message(28, kRoute4, {attribute(4, {3, 0, 0, 0})})));
  const ByteVector whole = message(24, kRoute4, {attribute(4, {3, 0, 0, 0})});
  for (size_t size = 0; size < whole.size(); ++size) {
    CHECK_FALSE(route_of(ByteVector(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size))));
  }
  ByteVector long_attribute = whole;
  long_attribute[28] = 200;
  CHECK_FALSE(route_of(long_attribute));
}

TEST_CASE("neighbours: known while the kernel still believes in them") {
  const std::vector<ByteVector> known{attribute(1, {192, 0, 2, 254}),
                                      attribute(2, {2, 0, 0, 0, 0, 9})};
  const auto state = [&](uint8_t number, const std::vector<ByteVector>& attributes) {
    const ByteVector bytes = message(28, neighbour4(number), attributes);
    const auto entry = read_neighbour({bytes.data(), bytes.size()});
    REQUIRE(entry);
    CHECK(entry->interface == 3);
    return entry->state;
  };
  for (const uint8_t usable : {0x02, 0x04, 0x08, 0x10, 0x80}) {
    CHECK(state(usable, known) == Neighbour::kReachable);
  }
  CHECK(state(0x20, known) == Neighbour::kFailed);
  CHECK(state(0x01, known) == Neighbour::kNone);
  CHECK(state(0x02, {known[0]}) == Neighbour::kNone);
}

}  // namespace flowsieve::test
