#include "engine/routing.h"

#include <netinet/in.h>

#include <array>
#include <cstring>

#include "wire/fanout.h"

namespace flowsieve {
namespace {

// A packet without anything behind its IP header, of a protocol that is never looked into: so only
// the addresses count, as they do for every packet of the connection but the errors about it.
constexpr uint8_t kPlainProtocol = IPPROTO_UDP;

uint32_t steering_hash(const Key& key) {
  std::array<uint8_t, 40> header{};
  if (key.family == Family::kIpv6) {
    header[0] = 0x60;
    header[6] = kPlainProtocol;
    std::memcpy(header.data() + 8, key.source.data(), sizeof(Address));
    std::memcpy(header.data() + 24, key.destination.data(), sizeof(Address));
    return fanout_hash({header.data(), 40});
  }
  header[0] = 0x45;
  header[9] = kPlainProtocol;
  std::memcpy(header.data() + 12, key.source.data() + 12, 4);
  std::memcpy(header.data() + 16, key.destination.data() + 12, 4);
  return fanout_hash({header.data(), 20});
}

}  // namespace

uint32_t worker_of(const Key& key, uint32_t workers) {
  return workers == 1 ? 0 : steering_hash(key) % workers;
}

void translate_owners(std::span<Record> records, std::span<const NodeIndex> owners) {
  for (Record& record : records) {
    record.owner = record.owner < owners.size() ? owners[record.owner] : kUnknownNode;
  }
}

}  // namespace flowsieve
