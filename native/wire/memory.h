// Source and Delivery without a wire: frames that are in memory or made on demand, for tests,
// benches and floods. The worker runs over them exactly as over a ring and a TUN device.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <vector>

#include "wire/source.h"

namespace flowsieve {

/// Owns the bytes of frames; the Frames that it hands out point into it and die with it.
class FrameStore {
 public:
  /// Copies `bytes`; `wire_bytes` is raised to their number when it is smaller.
  void add(Bytes bytes, uint64_t time_ns = 0, LinkType link = LinkType::kEthernet,
           uint32_t wire_bytes = 0);
  /// The frames in the order in which they were added; valid until the next add().
  std::vector<Frame> frames() const;
  size_t size() const { return places_.size(); }

 private:
  struct Place {
    size_t offset, bytes;
    Frame frame;  // without its bytes
  };
  std::vector<uint8_t> arena_;
  std::vector<Place> places_;
};

class MemorySource final : public Source {
 public:
  /// Fills the burst from its first place on and returns how many frames there are; 0 is the end.
  /// What the frames point to must stay until the next call.
  using Generate = std::function<size_t(std::span<Frame> burst)>;

  /// Gives `frames` `loops` times over; what they point to must outlive the source. Each round is
  /// `loop_ns` later than the one before.
  explicit MemorySource(std::vector<Frame> frames, uint64_t loops = 1, uint64_t loop_ns = 0);
  /// Copies the frames of `store`, which must outlive the source.
  explicit MemorySource(const FrameStore& store, uint64_t loops = 1, uint64_t loop_ns = 0)
      : MemorySource(store.frames(), loops, loop_ns) {}
  explicit MemorySource(Generate generate) : generate_(std::move(generate)), loops_(1) {}

  size_t receive(std::span<Frame> burst) override;
  bool exhausted() const override { return loops_ == 0; }

 private:
  std::vector<Frame> frames_;
  Generate generate_;
  size_t position_ = 0;
  uint64_t loops_;  // rounds that are left, the current one included
  uint64_t loop_ns_ = 0;
  uint64_t later_ns_ = 0;
};

class MemoryDelivery final : public Delivery {
 public:
  enum class Keep : bool { kCountsOnly, kPackets };
  struct Packet {
    std::vector<uint8_t> bytes;  ///< from the IP header on, without the frame's padding
    uint64_t time_ns;
    OffloadHeader offload;
  };
  /// Decides packet by packet whether the device "is full".
  using Refuse = std::function<bool(const Accepted& packet)>;

  explicit MemoryDelivery(Keep keep = Keep::kPackets) : keep_(keep) {}
  /// An empty function takes everything again. Not to be called while a worker delivers.
  void refuse(Refuse refuse) { refuse_ = std::move(refuse); }

  size_t deliver(std::span<const Accepted> packets) override;

  // The counts may be read while a worker delivers; the packets only when it has stopped.
  uint64_t packets() const { return packets_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  const std::vector<Packet>& kept() const { return kept_; }
  void clear();

 private:
  Keep keep_;
  Refuse refuse_;
  std::atomic<uint64_t> packets_{0}, bytes_{0}, refused_{0};
  std::vector<Packet> kept_;
};

}  // namespace flowsieve
