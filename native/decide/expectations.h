// Expected connections: those that belong to a node by name, whatever their bucket
// (docs/decisions/expected-connections.md).
//
//   packet's flow --mask 1--> masked key --hash--> index_ -> expectations_[place]
//                 --mask 2--> ...                            (what the mask leaves out is zero)
//
// A mask says which identifiers are exact. There are few of them, kept in the order in which
// expectations go before each other, and one look-up is made for each: so a packet costs the same
// whether there is one expectation of a mask or thousands.
//
// All memory is taken at construction. Belongs to one worker.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "allocation/allocation.h"
#include "base/clock.h"
#include "hash/table_hash.h"
#include "packet/key.h"
#include "packet/key_index.h"

namespace flowsieve {

/// How far an expectation has come on this node. It never goes back.
enum class ExpectationState : uint8_t {
  kPending = 1,  ///< a matching packet is its bucket's still
  kActive = 2,   ///< the owner's
  kEnding = 3,   ///< the owner's, but not for long
};

// Bits of Expectation::exact.
inline constexpr uint8_t kExactSourcePort = 1;
inline constexpr uint8_t kExactDestinationPort = 2;

/// One expectation; as it stands it also travels to newcomers.
struct Expectation {
  /// From the client to the server, as an unknown packet runs. Zero where it may be anything.
  Key key;
  uint64_t id = 0;   ///< of the owner's making; no two of one node are the same
  Tick expires = 0;  ///< shown only: that it ends is said by its owner
  NodeIndex owner = 0;
  uint8_t source_prefix = 0;       ///< leading bits of the address: at most 32 or 128
  uint8_t destination_prefix = 0;  ///< the same
  uint8_t exact = 0;               ///< which ports are exact
  ExpectationState state = ExpectationState::kPending;
  uint8_t once = 0;  ///< 1: ends when its owner has seen it matched
  uint8_t zero[5] = {};
};
static_assert(sizeof(Expectation) == 64, "lib/native/expectations.ts reads this layout");

/// True when it could have been made by another node: known family and state, prefixes that fit,
/// zeros wherever anything is allowed.
bool is_well_formed(const Expectation& expectation);

/// The bits of the key that an expectation with such a mask looks at.
Key masked(const Key& key, const Expectation& mask);

/// What the expectations say of a packet of unknown connection.
struct Expected {
  const Expectation* match = nullptr;  ///< whose owner the packet belongs to; null: its bucket's
  /// One that is about to decide, or to decide no more: not all nodes may think of it alike.
  const Expectation* doubt = nullptr;
};

class Expectations {
 public:
  static constexpr uint32_t kMax = 16'384;
  static constexpr uint32_t kOfNodeMax = 4096;
  static constexpr uint32_t kMasksMax = 16;
  /// Connections that are remembered as left to somebody while an expectation is in doubt.
  static constexpr size_t kLeftMax = 1024;

  enum class Outcome : uint8_t {
    kDone,
    kFull,      ///< kMax are there
    kNodeFull,  ///< kOfNodeMax of this owner are
    kMasks,     ///< it would need one mask more than kMasksMax
    kTaken,     ///< another has the same identifiers
    kMalformed,
  };

  /// `seed` is of the hash.
  explicit Expectations(uint64_t seed);

  /// Enters the expectation, or moves the state of the one with this owner and id on.
  Outcome put(const Expectation& expectation);
  /// True when it was there.
  bool erase(NodeIndex owner, uint64_t id);
  /// All of these nodes'; how many.
  size_t erase_of(std::span<const NodeIndex> owners);
  void clear();

  /// What there is for `flow`, a packet's in its own direction.
  Expected match(const Key& flow) const;
  /// The packet that match() was asked about was this expectation's.
  void count(const Expectation& expectation);

  /// This node has left the connection `key` (as stored) to another, while `doubt` was in doubt.
  void leave(const Expectation& doubt, const Key& key);
  /// Hands what was left while that expectation was in doubt to take(const Key&), and forgets it.
  template <typename Take>
  void take_left(NodeIndex owner, uint64_t id, Take&& take) {
    std::erase_if(left_, [&](const Left& left) {
      if (left.owner != owner || left.id != id) return false;
      take(left.key);
      return true;
    });
  }
  void forget_left() { left_.clear(); }
  /// An expectation in doubt matches.
  bool is_in_doubt(const Key& flow) const { return match(flow).doubt != nullptr; }

  uint32_t size() const { return used_.size(); }
  /// How many packets have met it on this worker; 0 for one that is not there.
  uint64_t matched(NodeIndex owner, uint64_t id) const;
  const Expectation* find(NodeIndex owner, uint64_t id) const;
  /// All, in no order.
  template <typename Visit>
  void visit(Visit&& visit) const {
    for (const uint32_t place : used_) visit(places_[place].expectation, places_[place].matched);
  }

 private:
  struct Place {
    Expectation expectation;
    uint64_t hash = 0;     ///< of the masked key
    uint64_t id_hash = 0;  ///< of owner and id
    uint64_t matched = 0;
    uint32_t position = 0;  ///< in used_
  };
  /// Which identifiers are exact; `order` sorts masks.
  struct Mask {
    uint32_t order = 0;
    Family family = Family::kIpv4;
    uint8_t source_prefix = 0, destination_prefix = 0, exact = 0;
    uint32_t count = 0;  ///< expectations that have it
  };
  struct Left {
    Key key;
    uint64_t id;
    NodeIndex owner;
  };

  uint32_t place_of(NodeIndex owner, uint64_t id) const;
  uint32_t find_masked(const Key& key, uint64_t hash, uint32_t order) const;
  uint64_t hash_of(const Key& masked_key, uint32_t order) const;
  bool add_mask(const Expectation& expectation);
  void remove_mask(const Expectation& expectation);

  TableHash hash_;
  std::vector<Place> places_;
  std::vector<uint32_t> used_;  // indexes of places_
  std::vector<uint32_t> free_;
  std::vector<uint16_t> of_owner_;  // how many, by NodeIndex
  KeyIndex by_key_;
  KeyIndex by_id_;
  std::array<Mask, kMasksMax> masks_{};
  uint32_t mask_count_ = 0;
  std::vector<Left> left_;
};

}  // namespace flowsieve
