// Connections by number, for the table's tests.
#pragma once

#include <cstdint>

#include "table/table.h"

namespace table_test {

using namespace flowsieve;

/// The key number `n`: half of them IPv6, a mixture of protocols.
inline Key key(uint32_t n, uint8_t protocol = 6) {
  Key key;
  key.protocol = protocol;
  const uint8_t client[4] = {10, static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 8),
                             static_cast<uint8_t>(n)};
  const uint8_t server[4] = {192, 0, 2, 100};
  if (n % 2 == 0) {
    key.source = mapped_ipv4(client);
    key.destination = mapped_ipv4(server);
  } else {
    key.family = Family::kIpv6;
    key.source = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    for (int i = 0; i < 4; ++i) key.source[12 + i] = client[i];
    key.destination = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
  }
  key.source_port = static_cast<uint16_t>(1024 + n % 60000);
  key.destination_port = 80;
  return key;
}

inline Record record(uint32_t n, ConnectionStatus status, Tick now, uint16_t owner = 0) {
  Record record;
  record.key = key(n);
  record.last_seen = record.opened = now;
  record.epoch = 3;
  record.owner = owner;
  record.bucket = static_cast<uint16_t>(n % 256);
  record.status = status;
  return record;
}

inline Inserted enter(ConnectionTable& table, const Record& record) {
  return table.insert(record, table.hash(record.key));
}
inline Slot find(const ConnectionTable& table, uint32_t n) {
  const Key wanted = key(n);
  return table.find(wanted, table.hash(wanted));
}

inline constexpr auto kOpening = ConnectionStatus::kOpening;
inline constexpr auto kEstablished = ConnectionStatus::kEstablished;
inline constexpr auto kClosing = ConnectionStatus::kClosing;

}  // namespace table_test
