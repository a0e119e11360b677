// Packets of unknown connections that wait until a handover has told whose they are.
//
//   push --> | oldest | ... | youngest |   in order of arrival, whatever bucket they are of
//               |        |
//               |        `-- resolve(visit): those that visit() decides leave, the others stay
//               `-- expire: waited longer than limits.hold_ns
//
// Order is kept: what is resolved is visited in order of arrival, so that the SYN of a connection
// is decided before its data. Bounded in bytes and, as every frame takes a block of them at least,
// in frames. When full it refuses: what waits is never given up for a newcomer. All memory is
// taken at construction. Time is handed in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "allocation/allocation.h"
#include "packet/block_arena.h"
#include "packet/index_queue.h"
#include "packet/key_index.h"
#include "packet/packet.h"
#include "wire/source.h"

namespace flowsieve {

struct HoldLimits {
  uint32_t bytes = 1024 * 1024;    ///< of frames, in blocks of BlockArena::kBlockBytes
  uint64_t hold_ns = 200'000'000;  ///< how long one waits
};

/// A packet that waits, with all that its decision needs.
struct HeldPacket {
  /// push() copies the bytes; what expire() and resolve() show is the copy, which dies when the
  /// function called returns.
  Frame frame;
  Packet packet;
  Key key;  ///< as stored
  bool reversed = false;
  uint64_t hash = 0;         ///< of the key, in the worker's table
  uint32_t epoch = 0;        ///< in which it came
  NodeIndex loser = 0;       ///< whose release it waits for
  uint64_t received_ns = 0;  ///< when it came
  uint64_t since_ns = 0;     ///< since when it waits
};

class HoldQueue {
 public:
  explicit HoldQueue(const HoldLimits& limits);

  /// Copies the packet and its bytes; false when there is no room.
  bool push(const HeldPacket& packet);
  /// Another packet of this connection waits already.
  bool contains(const Key& key, uint64_t hash) const;
  uint32_t size() const { return age_.size(); }

  /// Hands every packet whose time is over to take(const HeldPacket&), the oldest first, and
  /// forgets it. `take` must not call the queue.
  template <typename Take>
  void expire(uint64_t now_ns, Take&& take) {
    for (uint32_t index = age_.front(); index != IndexQueue::kNone && is_over(index, now_ns);
         index = age_.front()) {
      take(static_cast<const HeldPacket&>(places_[index].packet));
      age_.remove(index);
      free(index);
    }
  }

  /// Shows every packet to visit(HeldPacket&), in order of arrival, and forgets those for which it
  /// returns true. `visit` must not call the queue.
  template <typename Visit>
  void resolve(Visit&& visit) {
    for (uint32_t left = age_.size(); left > 0; --left) {
      // Once round: what stays goes behind what has not been visited yet.
      const uint32_t index = age_.pop();
      if (visit(places_[index].packet)) {
        free(index);
      } else {
        age_.push(index);
      }
    }
  }

 private:
  struct Place {
    HeldPacket packet;
    uint32_t block = 0;
    bool indexed = false;  ///< the one of its connection that contains() finds
  };

  bool is_over(uint32_t index, uint64_t now_ns) const {
    const uint64_t since_ns = places_[index].packet.since_ns;
    return now_ns >= since_ns && now_ns - since_ns >= hold_ns_;
  }
  void free(uint32_t index);

  uint64_t hold_ns_;
  BlockArena arena_;
  std::vector<Place> places_;
  KeyIndex index_;
  IndexQueue age_;
  IndexQueue free_;
};

}  // namespace flowsieve
