// A worker takes bursts of frames from a source and does six things with each burst, in this order:
//
//   receive -> parse -> scope -> find -> decide -> deliver
//
// It owns one table, one fragment tracker and one set of counters, and shares nothing: whoever
// wants to change or see something of it does so between two turns (room engine). It has no thread,
// no clock and no file descriptor of its own, so that a test, a replay and the live path run the
// very same code.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "decide/decide.h"
#include "decide/scope.h"
#include "packet/fragments.h"
#include "wire/source.h"
#include "worker/ledger.h"

namespace flowsieve {

struct WorkerOptions {
  TableOptions table;
  FragmentLimits fragments;
  Scope scope;
  /// Both directions of the connections arrive from the wire (captures, gateways), not only the
  /// clients' packets.
  bool both_directions = false;
  /// One in so many entered connections is kept as a sample for those who look on; 0 = none.
  uint32_t sample_every = 0;
};

/// What a turn did with one frame, for `explain`.
struct Trace {
  Packet packet;
  Decision decision;
  bool held = false;  ///< a later fragment that waits for its first one
};

class Worker : private ConnectionListener {
 public:
  static constexpr size_t kSamplesMax = 64;

  /// `delivery` must outlive the worker; `responder` and `ledger` may be null. `now_ns` is where
  /// the worker's time begins.
  Worker(const WorkerOptions& options, Criteria criteria, Delivery& delivery, Responder* responder,
         Ledger* ledger, uint64_t now_ns);

  /// One burst from `source`: the six verbs. Frames without a time of their own happened at
  /// `now_ns`. Returns how many there were.
  size_t turn(Source& source, uint64_t now_ns);

  /// Lets time pass: connections and fragments whose time is over leave. At most `budget` timers
  /// are looked at.
  void age(uint64_t now_ns, size_t budget);

  /// Takes effect with the next turn. The table stays as it is: that is the point.
  void replace_criteria(Criteria criteria) { criteria_ = std::move(criteria); }

  const Criteria& criteria() const { return criteria_; }
  ConnectionTable& table() { return table_; }
  const Counters& counters() const { return counters_; }
  Tick now() const { return to_tick(now_ns_); }
  uint32_t fragments_waiting() const { return fragments_.held_frames(); }

  /// Adds what `source` has lost since the last time to the counters.
  void collect_drops(Source& source) { source.collect_drops(counters_); }

  /// Gives up what waits for a first fragment: there will be no more frames.
  void abandon_fragments();

  /// Connections entered since the last call, sampled.
  std::vector<Record> take_samples();

  /// What the last turn did, frame by frame. Valid until the next turn.
  std::span<const Trace> traces() const { return {traces_.data(), frame_count_}; }
  std::span<const Frame> frames() const { return {frames_.data(), frame_count_}; }

 private:
  void entered(Slot slot, const Record& record) override;
  void leaving(Slot slot, const Record& record, bool timed_out) override;

  void parse_burst();
  void scope_burst();
  void find_burst();
  void decide_burst(Source& source, uint64_t now_ns);
  void deliver_burst();

  void decide_frame(size_t i, Source& source);
  void follow_fragment(size_t i, Source& source);
  Decision decide_follower(const Frame& frame, Packet& packet, const Datagram& datagram);
  void first_fragment(const Packet& packet, const Decision& decision);
  Decision decide_subject(const Frame& frame, const Subject& subject, uint64_t hash);
  void settle(const Frame& frame, const Packet& packet, const Decision& decision);
  void queue(const Frame& frame, const Packet& packet);
  void deliver(std::span<const Accepted> packets);
  void pass_time(uint64_t time_ns);
  void expire(Slot slot);

  WorkerOptions options_;
  Criteria criteria_;
  Delivery& delivery_;
  Responder* responder_;
  Ledger* ledger_;
  ConnectionTable table_;
  FragmentTracker fragments_;
  Counters counters_;
  uint64_t now_ns_;

  // One burst, structure of arrays: each verb walks one of them.
  std::array<Frame, kBurst> frames_;
  std::array<Trace, kBurst> traces_;
  std::array<Subject, kBurst> subjects_;
  std::array<uint64_t, kBurst> hashes_;
  std::array<bool, kBurst> in_scope_{};
  std::array<Accepted, kBurst> accepted_;
  size_t frame_count_ = 0;
  size_t accepted_count_ = 0;

  std::vector<Record> samples_;
  uint32_t entered_since_sample_ = 0;
};

}  // namespace flowsieve
