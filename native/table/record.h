// One connection: exactly one cache line, for IPv4 and IPv6 alike. It is also the format in which
// lists travel between nodes.
//
//   0     40          44       48      52      54       56       57      58     60     64
//   | key | last_seen | opened | epoch | owner | bucket | status | flags | zero | zero |
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "packet/key.h"

namespace flowsieve {

enum class ConnectionStatus : uint8_t { kOpening, kEstablished, kClosing };

// Bits of Record::flags.
/// The client's packets run from key.destination to key.source.
inline constexpr uint8_t kClientIsDestination = 1;
inline constexpr uint8_t kMidstream = 2;  ///< entered by a packet that does not open connections
inline constexpr uint8_t kFinFromClient = 4;
inline constexpr uint8_t kFinFromServer = 8;
inline constexpr uint8_t kClosedByFin = 16;  ///< both sides' FIN came, and no RST before
inline constexpr uint8_t kClosedByRst = 32;  ///< an RST came before both sides' FIN had
inline constexpr uint8_t kImported = 64;     ///< came with a list, not with a packet

struct Record {
  Key key;
  Tick last_seen = 0;
  Tick opened = 0;
  uint32_t epoch = 0;   ///< of the allocation when the connection was entered
  uint16_t owner = 0;   ///< node index
  uint16_t bucket = 0;  ///< when the connection was entered
  ConnectionStatus status = ConnectionStatus::kOpening;
  uint8_t flags = 0;
  uint16_t zero = 0;
  uint32_t zero2 = 0;
};
static_assert(sizeof(Record) == 64);
static_assert(offsetof(Record, last_seen) == 40 && offsetof(Record, opened) == 44 &&
              offsetof(Record, epoch) == 48 && offsetof(Record, owner) == 52 &&
              offsetof(Record, bucket) == 54 && offsetof(Record, status) == 56 &&
              offsetof(Record, flags) == 57 && offsetof(Record, zero) == 58);
// Records travel as they stand in memory; a big-endian machine would need to swap them.
static_assert(std::endian::native == std::endian::little);

}  // namespace flowsieve
