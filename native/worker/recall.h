// The recall: the newest opening packets that this node left to others, or refused past its lease.
// When another node dies, those that it should have answered and may not have are delivered by the
// owner of their bucket, and when the lease begins again, those that were this node's own: instead
// of waiting for the client to send them again.
//
// A ring: the oldest gives its place. Only small packets are kept, as openings are. All memory is
// taken at construction.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "allocation/allocation.h"
#include "packet/key.h"
#include "wire/source.h"

namespace flowsieve {

class RecallRing {
 public:
  static constexpr size_t kPlaces = 1024;
  static constexpr size_t kFrameBytesMax = 256;
  static constexpr uint64_t kAgeMax = 1'500'000'000;  ///< nanoseconds

  struct Entry {
    Frame frame;  ///< without its bytes
    Key key;      ///< as stored
    uint64_t hash = 0;
    uint64_t time_ns = 0;  ///< when it came
    uint32_t epoch = 0;    ///< in which it came
    NodeIndex owner = 0;   ///< to whom it was left, or this node, without a lease
    bool kept = false;
    uint16_t size = 0;
    std::array<uint8_t, kFrameBytesMax> bytes;
  };

  /// `places`: 0 for a node without a cluster, else kPlaces.
  explicit RecallRing(size_t places) : entries_(places) {}

  /// False when the packet is none that can be kept.
  bool add(const Frame& frame, const Key& key, uint64_t hash, NodeIndex owner, uint32_t epoch,
           uint64_t time_ns);

  /// Shows every entry that is not too old to visit(const Frame&, const Entry&), the oldest first,
  /// and forgets those for which it returns true. The frame is whole and dies with the call.
  template <typename Visit>
  void resolve(uint64_t now_ns, Visit&& visit) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      Entry& entry = entries_[(next_ + i) % entries_.size()];
      if (!entry.kept || now_ns > entry.time_ns + kAgeMax) continue;
      Frame frame = entry.frame;
      frame.bytes = {entry.bytes.data(), entry.size};
      if (visit(static_cast<const Frame&>(frame), static_cast<const Entry&>(entry))) {
        entry.kept = false;
      }
    }
  }

 private:
  std::vector<Entry> entries_;
  size_t next_ = 0;  // the place of the oldest
};

}  // namespace flowsieve
