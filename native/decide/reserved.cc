#include "decide/reserved.h"

#include <algorithm>
#include <utility>

namespace flowsieve {
namespace {

bool is_before(const Address& one, uint16_t port, const Address& other, uint16_t other_port) {
  const int order = std::memcmp(one.data(), other.data(), sizeof(Address));
  return order < 0 || (order == 0 && port < other_port);
}

}  // namespace

Reserved::Reserved(std::vector<Reservation> list) : list_(std::move(list)) {
  std::sort(list_.begin(), list_.end(), [](const Reservation& one, const Reservation& other) {
    return is_before(one.address, one.first_port, other.address, other.first_port);
  });
}

NodeIndex Reserved::owner_of(const Key& flow) const {
  // The last one that does not begin behind the destination is the only one that can hold it.
  const auto behind = std::upper_bound(
      list_.begin(), list_.end(), flow, [](const Key& key, const Reservation& each) {
        return is_before(key.destination, key.destination_port, each.address, each.first_port);
      });
  if (behind == list_.begin()) return kNobody;
  const Reservation& found = *(behind - 1);
  const bool holds = found.address == flow.destination && flow.destination_port <= found.last_port;
  return holds ? found.owner : kNobody;
}

}  // namespace flowsieve
