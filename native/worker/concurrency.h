// How many connections go on at the same time: what tells whether packets are worth waiting for
// (wire/pace.h).
//
// As many as come between two packets of the same one. So now and then a packet's connection is
// remembered, if there is more of it to come, and those are counted that come until it comes
// again, or for five milliseconds: it waits for something else then, and so may they. A mean is
// kept over eight such connections. They are counted by 64 kinds, by their hashes, so that there
// cannot be more than 64 and several may count as one.
//
// Of a client that opens connections one after the other, whatever is remembered comes again
// at once: hence "if there is more of it to come". And what is sent without waiting for anything
// comes again at once as well, however many others go on: of such a train the last is remembered.
#pragma once

#include <bit>
#include <cstdint>

namespace flowsieve {

class Concurrency {
 public:
  /// A packet of the connection with that hash came at `now_ns`. True: a connection is wanted to be
  /// remembered; begin() with this one, if there is more of it to come.
  bool saw(uint64_t hash, uint64_t now_ns) {
    if (waiting_) {
      if (hash == remembered_ && between_ == kind(hash) && now_ns - begin_ns_ < kTrainNs) {
        waiting_ = false;
        return true;
      }
      between_ |= kind(hash);
      if (hash != remembered_ && now_ns - begin_ns_ < kPatienceNs) return false;
      of_eight_ += static_cast<uint32_t>(std::popcount(between_)) - of_eight_ / 8;
      waiting_ = false;
      pass_by_ = kPassBy;
    }
    // Not always the next: one that is busier than all others would be remembered for ever.
    if (pass_by_ == 0) return true;
    --pass_by_;
    return false;
  }
  void begin(uint64_t hash, uint64_t now_ns) {
    remembered_ = hash;
    begin_ns_ = now_ns;
    between_ = kind(hash);
    waiting_ = true;
  }

  /// 0 to 64.
  uint32_t mean() const { return of_eight_ / 8; }

 private:
  static constexpr uint64_t kPatienceNs = 5'000'000;
  /// Less than anybody takes to answer. Packets that follow each other so closely, with no other's
  /// in between, are a train.
  static constexpr uint64_t kTrainNs = 10'000;
  static constexpr uint32_t kPassBy = 7;

  static uint64_t kind(uint64_t hash) { return uint64_t{1} << (hash >> 58); }

  uint64_t remembered_ = 0;
  uint64_t begin_ns_ = 0;
  uint64_t between_ = 0;  ///< the kinds of the remembered connection and of those since
  uint32_t of_eight_ = 0;
  uint32_t pass_by_ = 0;
  bool waiting_ = false;
};

}  // namespace flowsieve
