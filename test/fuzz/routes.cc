// What netlink answers: any bytes for a route or a neighbour. The first byte chooses the family.
#include <cstdlib>

#include "fuzz/fuzz.h"
#include "wire/hops.h"

FLOWSIEVE_FUZZ_TARGET(routes, data, size) {
  using namespace flowsieve;
  if (size < 1) return;
  const uint8_t four[4] = {192, 0, 2, 1};
  const Address to = (data[0] & 1) != 0 ? mapped_ipv4(four) : Address{0x20, 0x01, 0x0d, 0xb8};
  const Bytes message{data + 1, size - 1};
  const auto route = read_route(message, to);
  if (route && (route->interface <= 0 || (route->on_link && route->next_hop != to))) std::abort();
  (void)read_neighbour(message);
}
