#include "wire/memory.h"

#include <algorithm>
#include <utility>

namespace flowsieve {

void FrameStore::add(Bytes bytes, uint64_t time_ns, LinkType link, uint32_t wire_bytes) {
  Place place{arena_.size(), bytes.size, {}};
  place.frame.wire_bytes = std::max(wire_bytes, static_cast<uint32_t>(bytes.size));
  place.frame.time_ns = time_ns;
  place.frame.link = link;
  if (bytes.size > 0) arena_.insert(arena_.end(), bytes.data, bytes.data + bytes.size);
  places_.push_back(place);
}

std::vector<Frame> FrameStore::frames() const {
  std::vector<Frame> frames;
  frames.reserve(places_.size());
  for (const Place& place : places_) {
    frames.push_back(place.frame);
    frames.back().bytes = {arena_.data() + place.offset, place.bytes};
  }
  return frames;
}

MemorySource::MemorySource(std::vector<Frame> frames, uint64_t loops, uint64_t loop_ns)
    : frames_(std::move(frames)), loops_(frames_.empty() ? 0 : loops), loop_ns_(loop_ns) {}

size_t MemorySource::receive(std::span<Frame> burst) {
  if (loops_ == 0) return 0;
  if (generate_) {
    const size_t count = std::min(generate_(burst), burst.size());
    if (count == 0) loops_ = 0;
    return count;
  }
  size_t count = 0;
  while (count < burst.size() && loops_ > 0) {
    burst[count] = frames_[position_];
    burst[count].time_ns += later_ns_;
    ++count;
    if (++position_ == frames_.size()) {
      position_ = 0;
      later_ns_ += loop_ns_;
      --loops_;
    }
  }
  return count;
}

size_t MemoryDelivery::deliver(std::span<const Accepted> packets) {
  uint64_t taken = 0, bytes = 0;
  for (const Accepted& packet : packets) {
    if (refuse_ && refuse_(packet)) continue;
    ++taken;
    bytes += packet.ip_bytes;
    if (keep_ == Keep::kCountsOnly) continue;
    const Frame& frame = *packet.frame;
    const Bytes ip = frame.bytes.from(packet.ip_offset).first(packet.ip_bytes);
    kept_.push_back({{ip.data, ip.data + ip.size}, frame.time_ns, frame.offload});
  }
  packets_.fetch_add(taken, std::memory_order_relaxed);
  bytes_.fetch_add(bytes, std::memory_order_relaxed);
  refused_.fetch_add(packets.size() - taken, std::memory_order_relaxed);
  return taken;
}

void MemoryDelivery::clear() {
  packets_ = bytes_ = refused_ = 0;
  kept_.clear();
}

}  // namespace flowsieve
