// Busy connections whose packets need not come to the worker: something before it discards another
// node's and delivers own ones, as the worker would, and notes when the last one came.
//
// The table stays what it would be without: a record whose packets are bypassed says so
// (Record::bypassed), and before anybody goes by when its last packet came, that is fetched. Packets
// that change a status (SYN, FIN, RST) always come to the worker, and the first of them ends the
// bypass of its connection, as does one that comes when the connection is over by its timeout.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.h"
#include "packet/key.h"

namespace flowsieve {

/// A connection that is not bypassed any more.
struct Bypassed {
  Key key;
  uint64_t last_seen_ns = 0;  ///< CLOCK_MONOTONIC; its last packet that was bypassed, or earlier
};

/// What becomes of a bypassed connection's packets.
enum class Bypass : uint8_t { kDiscard, kDeliver };

class FlowBypass {
 public:
  virtual ~FlowBypass() = default;
  /// Whether it can do more than discard.
  virtual bool delivers() const = 0;
  /// From now on packets of this key, in this direction, do not come to the worker, as long as none
  /// comes more than `timeout` after the one before, the last at `last_seen_ns`. False when there is
  /// no room.
  virtual bool begin(const Key& key, Bypass what, uint64_t last_seen_ns, Tick timeout) = 0;
  /// They come again; when the last was bypassed. Nothing when there was no bypass.
  virtual std::optional<uint64_t> end(const Key& key) = 0;
  /// When the last one was bypassed, of a bypass that goes on.
  virtual std::optional<uint64_t> last_seen_ns(const Key& key) = 0;
  /// Ends some, and says which; how many. 0: there are none.
  virtual size_t end_some(std::span<Bypassed> ended) = 0;
};

}  // namespace flowsieve
