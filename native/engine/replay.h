// A capture through a worker: the same six verbs as on the live path, with the capture's own clock,
// a ledger instead of a TUN device, and nobody to answer. What `flowsieve replay` and `flowsieve
// explain` show comes from here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "wire/capture.h"
#include "wire/memory.h"
#include "worker/worker.h"

namespace flowsieve {

/// One frame, explained: what was read in it and what was decided, and out of which bytes.
struct Explained {
  uint64_t number = 0;  ///< of the frame in the capture, from 1
  uint64_t time_ns = 0;
  uint32_t captured = 0;
  uint32_t wire_bytes = 0;
  Trace trace;
  /// The bytes that the bucket is computed from; empty when there is no connection to hash.
  std::vector<uint8_t> hashed;
  uint64_t hash = 0;
  uint32_t bucket = 0;
  /// The place of the rule for its connection, or RuleTable::kNoRule.
  uint16_t rule = RuleTable::kNoRule;
};

class Replay {
 public:
  /// Over a capture file. Errors: those of CaptureSource::open, kArgument for a table that cannot
  /// be, kSystem for want of memory.
  static Result<std::unique_ptr<Replay>> open(const std::string& path, const WorkerOptions& options,
                                              Criteria criteria);
  /// Over one frame in memory, which is copied.
  static Result<std::unique_ptr<Replay>> of_frame(std::vector<uint8_t> frame, LinkType link,
                                                  const WorkerOptions& options, Criteria criteria);

  /// Works off up to `frames` frames. False when the capture has ended: then every connection has
  /// been closed into take_ended().
  bool run(uint64_t frames);
  /// The same for one burst, and tells what happened to each of its frames; empty at the end.
  std::vector<Explained> explain();

  /// Connections that ended since the last call; after the end, those too that were still open, in
  /// the order of their first packet.
  std::vector<Ended> take_ended() { return ledger_.take_ended(); }

  const Counters& counters() const { return worker_.counters(); }
  const std::vector<uint64_t>& packets_by_owner() const { return ledger_.packets_by_owner(); }
  /// Why the reading ended early; empty when it did not.
  std::string damage() const { return capture_ ? capture_->damage() : std::string(); }
  /// An error that ended it: a link type that is not read.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  static Result<std::unique_ptr<Replay>> make(std::unique_ptr<Source> source,
                                              CaptureSource* capture, const WorkerOptions& options,
                                              Criteria criteria);
  Replay(std::unique_ptr<Source> source, CaptureSource* capture, const WorkerOptions& options,
         Criteria criteria);
  void finish();

  std::unique_ptr<Source> source_;
  CaptureSource* capture_;  // source_, when it is a capture
  MemoryDelivery delivery_;
  Ledger ledger_;
  Worker worker_;
  std::optional<Error> failure_;
  uint64_t frames_done_ = 0;
  bool finished_ = false;
};

}  // namespace flowsieve
