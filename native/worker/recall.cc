#include "worker/recall.h"

#include <cstring>

namespace flowsieve {

bool RecallRing::add(const Frame& frame, const Key& key, uint64_t hash, NodeIndex owner,
                     uint32_t epoch, uint64_t time_ns) {
  if (entries_.empty() || frame.partial || frame.bytes.size > kFrameBytesMax) return false;
  Entry& entry = entries_[next_];
  if (++next_ == entries_.size()) next_ = 0;
  entry.frame = frame;
  entry.key = key;
  entry.hash = hash;
  entry.time_ns = time_ns;
  entry.epoch = epoch;
  entry.owner = owner;
  entry.kept = true;
  entry.size = static_cast<uint16_t>(frame.bytes.size);
  std::memcpy(entry.bytes.data(), frame.bytes.data, frame.bytes.size);
  return true;
}

}  // namespace flowsieve
