// One worker without threads, devices and a clock: frames are pushed into a queue that stands for
// the ring, and time is handed in. Whatever the live engine does in a handover, this does with the
// very same worker, at once and repeatably; the simulator of the cluster protocol runs many of them
// in one process.
//
//   push(frame) --> queue --turn(now, frames)--> Worker --> take_delivered()
//
// Everything a worker delivers, during a turn or because something that it held was resolved, waits
// for take_delivered().
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/snapshot.h"
#include "wire/memory.h"
#include "worker/worker.h"

namespace flowsieve {

class MemoryNode {
 public:
  /// Frames that may wait, as the ring has so many slots; more are lost and counted.
  static constexpr size_t kQueueMax = 4096;

  /// kArgument for a table that cannot be, kSystem for want of memory.
  static Result<std::unique_ptr<MemoryNode>> create(const WorkerOptions& options, Criteria criteria,
                                                    uint64_t now_ns);

  /// An Ethernet frame comes; copied. False when the queue is full. `received_ns`: when, by this
  /// node's clock; 0 = when it is looked at.
  bool push(Bytes frame, uint64_t received_ns = 0);
  size_t backlog() const { return queue_.waiting(); }
  /// Decides up to `frames` of what waits, at `now_ns`.
  void turn(uint64_t now_ns, uint64_t frames);
  void age(uint64_t now_ns);
  /// What has been delivered since the last call, from the IP header on.
  std::vector<MemoryDelivery::Packet> take_delivered();

  // As of the engine, without waiting.
  void set_open_until(uint64_t ns) { worker_.set_open_until(ns); }
  void prepare(const Transition& transition) { worker_.prepare(transition); }
  void hold() { worker_.hold(); }
  void release();
  Resolved acquire(std::span<const NodeIndex> losers) { return worker_.acquire(losers); }
  void takeover(const Transition& transition) { worker_.takeover(transition); }
  void replace_criteria(const Criteria& criteria);
  uint64_t adopt(std::span<const NodeIndex> dead);
  void clear_contested() { worker_.clear_contested(); }
  Expectations::Outcome expect(const Expectation& expectation);
  bool unexpect(NodeIndex owner, uint64_t id);
  void clear_expectations() { worker_.clear_expectations(); }
  ExpectationList expectations() const;
  RecordBlock export_list(ListKind kind, NodeIndex to, uint64_t cursor, size_t limit);
  ConnectionTable::Imported import_list(ListKind kind, std::span<Record> records, Tick sender_now,
                                        std::span<const NodeIndex> owners);
  WorkerSnapshot snapshot();

 private:
  /// The ring's stand-in. Frames that were given out stay until the next receive().
  class Queue final : public Source {
   public:
    size_t receive(std::span<Frame> burst) override;
    void collect_drops(Counters& counters) override;
    bool push(Bytes frame, uint64_t received_ns);
    size_t waiting() const { return frames_.size() - given_; }
    void allow(uint64_t frames) { allowed_ = frames; }

   private:
    struct Waiting {
      std::vector<uint8_t> bytes;
      uint64_t received_ns;
    };
    std::deque<Waiting> frames_;
    size_t given_ = 0;      ///< at the front, still in use
    uint64_t allowed_ = 0;  ///< may be given out before the next allow()
    uint64_t lost_ = 0;
  };

  MemoryNode(const WorkerOptions& options, Criteria criteria, uint64_t now_ns);
  WorkerOptions with_clock(WorkerOptions options) const;
  void decide_received();

  Queue queue_;
  MemoryDelivery delivery_;
  uint64_t now_ns_;
  Worker worker_;
};

}  // namespace flowsieve
