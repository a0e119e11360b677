// Fragments: the first one of a datagram has the ports and decides; the later ones follow it, by
// what all fragments of a datagram share. Nothing is put together here: each fragment is decided
// and delivered by itself, the receiver reassembles.
//
//   first fragment --decided--> remember(key, datagram) --> release(key): those that waited,
//                                                           in order of arrival
//   later fragment --> find(key) --known---> goes the same way
//                               `-not yet--> hold(key) --+--> released by its first fragment
//                                                        `--> expire(): hold_ns are over
//
//   remembered  [ key, datagram, since ]  x limits.datagrams    ordered by age, found by hash
//   held        [ frame, since, next   ]  x limits.held_frames  ordered by age, chained by datagram
//   arena       [ bytes of held frames ]    limits.held_bytes
//
// What it does when full, and under a flood:
//   - remember() always succeeds. The datagram that was remembered first goes; if its time was not
//     over yet that is counted (overwritten()). A flood of first fragments so shortens the memory
//     from remember_ns to datagrams / rate: with the defaults 10,000 first fragments a second leave
//     100 ms, and the fragments of one datagram come within a few.
//   - hold() refuses. What is held is never given up for a newcomer, so a flood of later fragments
//     without first ones delays nobody who keeps the order, and those that it shuts out are counted
//     by the caller.
//   - The same key again (a new datagram that got an old identification, or the first fragment a
//     second time) takes the place of what was remembered, and is as young as a new one.
//
// Not promised: a later fragment that overtakes the first one of *its* datagram, while an older
// datagram with the same key is still remembered, follows the older one. Sources do not use an
// identification again within a datagram's lifetime (RFC 6864 4.1).
//
// All memory is taken at construction. Time is handed in and should not go back; where it does,
// nothing expires early.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "hash/table_hash.h"
#include "packet/block_arena.h"
#include "packet/index_queue.h"
#include "packet/key_index.h"
#include "packet/packet.h"

namespace flowsieve {

struct FragmentLimits {
  uint32_t datagrams = 1024;              ///< whose first fragment is remembered
  uint32_t held_frames = 256;             ///< later fragments that wait
  uint32_t held_bytes = 1024 * 1024;      ///< of these frames, in blocks of BlockArena::kBlockBytes
  uint64_t hold_ns = 1'000'000'000;       ///< how long one waits
  uint64_t remember_ns = 30'000'000'000;  ///< how long a first fragment speaks for its datagram
};

/// What the first fragment decided.
struct Datagram {
  Key flow;
  Kind kind = Kind::kFlow;
  uint8_t verdict = 0;  ///< the caller's; nothing here looks at it
  uint16_t owner = 0;   ///< likewise
};

/// A later fragment that waits.
struct HeldFrame {
  /// hold() copies them; release() and expire() show the copy, which dies when the
  /// function called returns.
  Bytes bytes;
  uint32_t wire_bytes = 0;
  uint64_t time_ns = 0;
  LinkType link = LinkType::kEthernet;
  Packet packet;
  std::array<uint8_t, 16> extra{};  ///< the caller's own, its offload header for example
};

class FragmentTracker {
 public:
  /// `seed` keys the hash: random in production, fixed in tests.
  FragmentTracker(const FragmentLimits& limits, uint64_t seed);

  /// What the first fragment of this datagram decided, or null. Valid until the next call that is
  /// not const.
  const Datagram* find(const FragmentKey& key, uint64_t now_ns) const;

  void remember(const FragmentKey& key, const Datagram& datagram, uint64_t now_ns);

  /// Keeps a copy of `frame`; false when there is no room.
  bool hold(const FragmentKey& key, const HeldFrame& frame, uint64_t now_ns);

  /// Hands every frame that waits for `key` to `take(const HeldFrame&)`, in order of arrival, and
  /// forgets it. `take` must not call the tracker.
  template <typename Take>
  void release(const FragmentKey& key, Take take) {
    uint32_t index = find_waiting(key);
    if (index == KeyIndex::kNone) return;
    waiting_index_.erase(hash_(&key), index);
    while (index != KeyIndex::kNone) {
      const uint32_t next = held_[index].next;
      take(const_frame(index));
      free_held(index);
      index = next;
    }
  }

  /// Hands every frame whose time is over to `take(const HeldFrame&)`, the oldest first, and
  /// forgets it; forgets datagrams too. `take` must not call the tracker.
  template <typename Take>
  void expire(uint64_t now_ns, Take take) {
    for (uint32_t index = held_age_.front();
         index != IndexQueue::kNone && is_over(held_[index].since_ns, limits_.hold_ns, now_ns);
         index = held_age_.front()) {
      unchain_oldest(index);
      take(const_frame(index));
      free_held(index);
    }
    forget_old(now_ns);
  }

  uint32_t held_frames() const { return held_age_.size(); }
  uint32_t datagrams() const { return remembered_age_.size(); }
  /// Bytes of the arena that can still be given to held frames, if they fit into its gaps.
  uint32_t free_bytes() const { return arena_.free_blocks() * BlockArena::kBlockBytes; }
  /// Datagrams that had to go before their time.
  uint64_t overwritten() const { return overwritten_; }

 private:
  struct Remembered {
    FragmentKey key;
    Datagram datagram;
    uint64_t since_ns = 0;
  };
  struct Held {
    HeldFrame frame;
    FragmentKey key;
    uint64_t since_ns = 0;
    uint32_t next = KeyIndex::kNone;  ///< of the same datagram, in order of arrival
    uint32_t last = KeyIndex::kNone;  ///< of the same datagram; only the first of a chain knows it
    uint32_t block = 0;
  };

  static bool is_over(uint64_t since_ns, uint64_t span_ns, uint64_t now_ns) {
    return now_ns >= since_ns && now_ns - since_ns >= span_ns;
  }
  const HeldFrame& const_frame(uint32_t index) const { return held_[index].frame; }
  uint32_t find_remembered(const FragmentKey& key) const;
  uint32_t find_waiting(const FragmentKey& key) const;
  uint32_t place_to_remember(uint64_t now_ns);
  void forget(uint32_t index);
  void forget_old(uint64_t now_ns);
  void chain(uint32_t index);
  void unchain_oldest(uint32_t index);
  void free_held(uint32_t index);

  FragmentLimits limits_;
  TableHash hash_;

  std::vector<Remembered> remembered_;
  KeyIndex remembered_index_;
  IndexQueue remembered_age_;
  IndexQueue remembered_free_;

  std::vector<Held> held_;
  KeyIndex waiting_index_;  ///< the first held frame of each datagram
  IndexQueue held_age_;
  IndexQueue held_free_;
  BlockArena arena_;

  uint64_t overwritten_ = 0;
};

}  // namespace flowsieve
