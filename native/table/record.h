// One connection: exactly one cache line, for IPv4 and IPv6 alike. It is also the format in which
// lists travel between nodes.
//
// 0     40          44       48      52      54       56       57      58          59   63     64
// | key | last_seen | opened | epoch | owner | bucket | status | flags | seen_here | *… | zero |
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
/// Its beginning came with a list, not with a packet, or its end is only concluded: other lists may
/// know more of it.
inline constexpr uint8_t kImported = 64;
/// Opened by this node while a handover moved its bucket. This node's own knowledge: never travels.
inline constexpr uint8_t kContested = 128;

// Bits of Record::seen_here: what this node knows beyond the packets that all see. First what it
// has sent itself, and no other node can have seen. Few of them travel.
inline constexpr uint8_t kServerReplied = 1;
inline constexpr uint8_t kServerFin = 2;
inline constexpr uint8_t kServerRst = 4;
inline constexpr uint8_t kClosedHere = 8;  ///< it has closed by a packet, not by a list alone
/// It was a dead node's, and gives way to that one should it live after all. Travels.
inline constexpr uint8_t kAdopted = 16;
/// Its owner has said itself that it is that, perhaps to others, who have passed it on. Travels.
inline constexpr uint8_t kConfirmed = 32;
/// Of an inherited flow (kAdopted) that neither TCP nor SCTP ends: this node has answered it.
inline constexpr uint8_t kAnswered = 64;
/// No packet has ended it: that follows from the death of the node whose it was thought to be. If
/// it is another's, and goes on, that one's word takes the end back. Travels.
inline constexpr uint8_t kConcluded = 128;

struct Record {
  Key key;
  Tick last_seen = 0;
  Tick opened = 0;
  uint32_t epoch = 0;   ///< of the allocation when the connection was entered
  uint16_t owner = 0;   ///< node index
  uint16_t bucket = 0;  ///< when the connection was entered
  ConnectionStatus status = ConnectionStatus::kOpening;
  uint8_t flags = 0;
  uint8_t seen_here = 0;  ///< this node's own knowledge
  /// 1: its opening packet found a closed connection with the same key. Anything else may have
  /// been the repetition of one that this node had not seen.
  uint8_t reopened = 0;
  /// 1: an expectation gave it to its owner, not its bucket.
  uint8_t expected = 0;
  /// 1: its packets do not come to the worker, and last_seen may lie behind (wire/flow_bypass.h). Never
  /// travels.
  uint8_t bypassed = 0;
  /// So many epochs before `epoch` its first packet was seen (255: or more): it waited, or was
  /// decided anew since. The audit counts it there.
  uint8_t behind = 0;
  uint8_t zero = 0;
};
static_assert(sizeof(Record) == 64);
static_assert(offsetof(Record, last_seen) == 40 && offsetof(Record, opened) == 44 &&
              offsetof(Record, epoch) == 48 && offsetof(Record, owner) == 52 &&
              offsetof(Record, bucket) == 54 && offsetof(Record, status) == 56 &&
              offsetof(Record, flags) == 57 && offsetof(Record, seen_here) == 58);
// Records travel as they stand in memory; a big-endian machine would need to swap them.
static_assert(std::endian::native == std::endian::little);

/// How far an epoch lies behind another, as Record::behind has it.
inline uint8_t epochs_behind(uint32_t seen, uint32_t epoch) {
  const uint32_t distance = epoch > seen ? epoch - seen : 0;
  return static_cast<uint8_t>(distance < 255 ? distance : 255);
}

/// It has closed, as far as anybody can tell without having seen a packet that did it.
inline bool is_concluded(const Record& record) {
  return record.status == ConnectionStatus::kClosing && (record.seen_here & kConcluded) != 0;
}

/// The status with what only this node has seen. `status` itself is what every node has come to
/// alike, and timers, shares and port reuse go by that alone.
inline ConnectionStatus shown_status(const Record& record) {
  if (record.seen_here & (kServerFin | kServerRst)) return ConnectionStatus::kClosing;
  if (record.status == ConnectionStatus::kOpening && record.seen_here & kServerReplied) {
    return ConnectionStatus::kEstablished;
  }
  return record.status;
}

}  // namespace flowsieve
