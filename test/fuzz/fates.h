// What became of each packet, kept beside the worker from what it said and what it delivered: so
// that one that is delivered twice is seen, or one that was not this node's, or came too late.
//
//   flying --turn--> handed (delivered, or refused by the device: nobody tries again)
//                    left     to another node, whose death may bring it back by recall()
//                    refused  past the lease, whose new beginning may bring it back
//                    held     waits for a handover; the steps of that hand it out or drop it
//                    fragment waits for its first fragment
//                    over     for good
#pragma once

#include <vector>

#include "fuzz/packets.h"
#include "worker/worker.h"

namespace flowsieve_fuzz {

using namespace flowsieve;

/// What the worker is doing, so who may be delivered.
enum class Doing : uint8_t { kNothing, kPassing, kTurn, kStep, kRecall };

enum class State : uint8_t { kFlying, kHanded, kLeft, kRefused, kHeld, kFragment, kOver };

struct Fate {
  State state = State::kFlying;
  NodeIndex owner = 0;       ///< of what is left: to whom
  uint64_t since_ns = 0;     ///< of what is held: since when; left or refused: when it came
  bool may_be_left = false;  ///< was held, and may have been left or refused without a word
};

inline bool opens_surely(const Packet& packet) {
  return packet.kind == Kind::kFlow && packet.opening;
}

/// Reads every byte that it is given, so that the address sanitizer sees a packet that leaves its
/// frame, and refuses some.
class Fates final : public Delivery {
 public:
  uint32_t begin() {
    fates_.emplace_back();
    return static_cast<uint32_t>(fates_.size() - 1);
  }

  size_t deliver(std::span<const Accepted> packets) override {
    size_t taken = 0;
    for (const Accepted& packet : packets) {
      const Bytes bytes = packet.frame->bytes;
      demand(packet.ip_offset <= bytes.size);
      const size_t end = std::min<size_t>(packet.ip_offset + size_t{packet.ip_bytes}, bytes.size);
      uint32_t sum = 0;
      for (size_t i = packet.ip_offset; i < end; ++i) sum += bytes.data[i];
      total = total + sum;
      (sum % 8 == 0 ? refused : taken) += 1;
      // Nothing that opens a connection is delivered past the lease.
      const Packet parsed = parse(bytes, packet.frame->wire_bytes, packet.frame->link);
      demand(!lease_over || !opens_surely(parsed));
      if (const auto number = number_of(bytes.data, end)) hand(fates_.at(*number), parsed);
    }
    delivered += taken;
    return taken;
  }

  Fate& at(uint32_t number) { return fates_.at(number); }

  /// What is held no more has been handed out, left to another or dropped.
  void nothing_is_held() {
    for (Fate& fate : fates_) {
      if (fate.state != State::kHeld) continue;
      fate.state = fate.may_be_left ? State::kLeft : State::kOver;
    }
  }

  Doing doing = Doing::kNothing;
  bool lease_over = false;
  uint64_t now_ns = 0;   ///< of the worker
  uint64_t hold_ns = 0;  ///< how long it may hold
  std::vector<NodeIndex> dead;
  volatile uint32_t total = 0;
  uint64_t delivered = 0, refused = 0;

 private:
  void hand(Fate& fate, const Packet& packet) {
    const State before = fate.state;
    fate.state = State::kHanded;
    const bool late_fragment = before == State::kFragment && packet.kind == Kind::kFragment;
    switch (doing) {
      case Doing::kNothing:
        return demand(false);
      case Doing::kPassing:
        demand(before == State::kRefused ||
               (fate.may_be_left && (before == State::kHeld || before == State::kLeft)));
        return demand(opens(packet) && now_ns - fate.since_ns <= RecallRing::kAgeMax);
      case Doing::kTurn:
        return demand(before == State::kFlying || late_fragment);
      case Doing::kStep:
        if (late_fragment) return;
        demand(before == State::kHeld);
        return demand(now_ns - fate.since_ns < hold_ns);
      case Doing::kRecall:
        demand(before == State::kLeft || (before == State::kHeld && fate.may_be_left));
        demand(opens(packet) && now_ns - fate.since_ns <= RecallRing::kAgeMax);
        if (fate.may_be_left) return;
        return demand(std::find(dead.begin(), dead.end(), fate.owner) != dead.end());
    }
  }

  std::vector<Fate> fates_;
};

}  // namespace flowsieve_fuzz
