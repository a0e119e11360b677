// Busy connections of other nodes whose packets need not come to the worker: something before it
// discards them, as the worker would, and notes when the last one came.
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
  uint64_t last_seen_ns = 0;  ///< CLOCK_MONOTONIC; its last packet that was discarded, or earlier
};

class FlowBypass {
 public:
  virtual ~FlowBypass() = default;
  /// From now on packets of this key, in this direction, are discarded before the worker sees them,
  /// as long as none comes more than `timeout` after the one before, the last at `last_seen_ns`.
  /// False when there is no room.
  virtual bool begin(const Key& key, uint64_t last_seen_ns, Tick timeout) = 0;
  /// They come again; when the last was discarded. Nothing when there was no bypass.
  virtual std::optional<uint64_t> end(const Key& key) = 0;
  /// When the last one was discarded, of a bypass that goes on.
  virtual std::optional<uint64_t> last_seen_ns(const Key& key) = 0;
  /// Ends some, and says which; how many. 0: there are none.
  virtual size_t end_some(std::span<Bypassed> ended) = 0;
};

}  // namespace flowsieve
