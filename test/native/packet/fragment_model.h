// The fragment tracker's plain twin, made of maps and lists, and a driver that runs any sequence of
// bytes as operations on both and compares after each. Used by the model test (random bytes) and by
// the fuzz target (the fuzzer's bytes).
//
// The model does not know how bytes are placed, so it cannot say when an arena with gaps refuses:
// it says when hold() must succeed (room in one piece whatever the placement) and when it must fail
// (not enough room at all).
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <vector>

#include "packet/fragments.h"

namespace flowsieve::test {

struct FragmentKeyLess {
  bool operator()(const FragmentKey& a, const FragmentKey& b) const {
    return std::memcmp(&a, &b, sizeof a) < 0;
  }
};

class FragmentModel {
 public:
  struct Frame {
    FragmentKey key;
    uint64_t number;
    uint64_t since_ns;
    std::vector<uint8_t> bytes;
  };
  struct Known {
    uint16_t mark;
    uint64_t since_ns;
  };

  explicit FragmentModel(const FragmentLimits& limits) : limits_(limits) {}

  const Known* find(const FragmentKey& key, uint64_t now_ns) const {
    const auto found = known_.find(key);
    if (found == known_.end() || now_ns - found->second.since_ns >= limits_.remember_ns)
      return nullptr;
    return &found->second;
  }

  void remember(const FragmentKey& key, uint16_t mark, uint64_t now_ns) {
    if (limits_.datagrams == 0) return;
    if (known_.count(key))
      order_.remove_if([&](const FragmentKey& other) { return other == key; });
    else if (known_.size() == limits_.datagrams) {
      if (now_ns - known_[order_.front()].since_ns < limits_.remember_ns) ++overwritten;
      known_.erase(order_.front());
      order_.pop_front();
    }
    known_[key] = {mark, now_ns};
    order_.push_back(key);
  }

  static uint32_t blocks(size_t bytes) {
    return bytes == 0 ? 1
                      : static_cast<uint32_t>((bytes + BlockArena::kBlockBytes - 1) /
                                              BlockArena::kBlockBytes);
  }
  uint32_t all_blocks() const { return limits_.held_bytes / BlockArena::kBlockBytes; }
  uint32_t taken_blocks() const {
    uint32_t count = 0;
    for (const Frame& frame : held_) count += blocks(frame.bytes.size());
    return count;
  }
  bool must_refuse(size_t bytes) const {
    return held_.size() >= limits_.held_frames || taken_blocks() + blocks(bytes) > all_blocks();
  }
  /// Frames taken together leave at most one gap more than there are of them; one gap at least
  /// has the mean size.
  bool must_take(size_t bytes) const {
    if (must_refuse(bytes)) return false;
    const size_t gaps = held_.size() + 1;
    return (all_blocks() - taken_blocks() + gaps - 1) / gaps >= blocks(bytes);
  }
  void hold(Frame frame) { held_.push_back(std::move(frame)); }

  std::vector<Frame> release(const FragmentKey& key) {
    std::vector<Frame> gone;
    for (auto frame = held_.begin(); frame != held_.end();) {
      if (frame->key == key) {
        gone.push_back(*frame);
        frame = held_.erase(frame);
      } else {
        ++frame;
      }
    }
    return gone;
  }

  std::vector<Frame> expire(uint64_t now_ns) {
    std::vector<Frame> gone;
    while (!held_.empty() && now_ns - held_.front().since_ns >= limits_.hold_ns) {
      gone.push_back(held_.front());
      held_.pop_front();
    }
    while (!order_.empty() && now_ns - known_[order_.front()].since_ns >= limits_.remember_ns) {
      known_.erase(order_.front());
      order_.pop_front();
    }
    return gone;
  }

  size_t held() const { return held_.size(); }
  size_t known() const { return known_.size(); }
  uint64_t overwritten = 0;

 private:
  FragmentLimits limits_;
  std::map<FragmentKey, Known, FragmentKeyLess> known_;
  std::list<FragmentKey> order_;
  std::deque<Frame> held_;
};

/// The tracker and the model side by side, driven by bytes.
class FragmentDriver {
 public:
  FragmentDriver(const FragmentLimits& limits, uint64_t seed)
      : tracker_(limits, seed), model_(limits) {}

  /// What differed first, or null.
  const char* wrong() const { return wrong_; }

  void step(uint8_t operation, uint8_t key_byte, uint8_t argument) {
    const FragmentKey key = key_of(key_byte);
    switch (operation % 6) {
      case 0:
        remember(key, operation, argument);
        break;
      case 1:
      case 2:
        hold(key, argument * (operation % 16u));
        break;
      case 3: {
        std::vector<FragmentModel::Frame> got;
        tracker_.release(key, Collector{got});
        compare(model_.release(key), got);
        break;
      }
      case 4:
        now_ns_ += argument;
        break;
      default: {
        std::vector<FragmentModel::Frame> got;
        tracker_.expire(now_ns_, Collector{got});
        compare(model_.expire(now_ns_), got);
        break;
      }
    }
    compare_state(key);
  }

 private:
  /// Notes what the tracker hands over.
  struct Collector {
    std::vector<FragmentModel::Frame>& got;
    void operator()(const HeldFrame& held) const {
      got.push_back({{}, held.time_ns, 0, {held.bytes.data, held.bytes.data + held.bytes.size}});
    }
  };

  static FragmentKey key_of(uint8_t byte) {
    FragmentKey key;
    // Sixteen keys: few, so that one sequence meets each again and again.
    key.identification = byte & 3;
    key.protocol = byte & 4 ? 17 : 6;
    key.source[15] = byte >> 3 & 1;
    return key;
  }

  void expect(bool fine, const char* what) {
    if (!fine && !wrong_) wrong_ = what;
  }

  void remember(const FragmentKey& key, uint8_t verdict, uint8_t port) {
    Datagram datagram;
    datagram.flow.source_port = port;
    datagram.verdict = verdict;
    tracker_.remember(key, datagram, now_ns_);
    model_.remember(key, static_cast<uint16_t>(port << 8 | verdict), now_ns_);
  }

  void hold(const FragmentKey& key, size_t bytes) {
    std::vector<uint8_t> content(bytes, static_cast<uint8_t>(number_));
    HeldFrame frame;
    frame.bytes = {content.data(), content.size()};
    frame.time_ns = number_;
    const bool must = model_.must_take(bytes), must_not = model_.must_refuse(bytes);
    const bool held = tracker_.hold(key, frame, now_ns_);
    expect(!(held && must_not), "a frame held for which there is no room");
    expect(held || !must, "a frame refused for which there is room");
    if (held) model_.hold({key, number_, now_ns_, std::move(content)});
    ++number_;
  }

  void compare(const std::vector<FragmentModel::Frame>& expected,
               const std::vector<FragmentModel::Frame>& got) {
    expect(expected.size() == got.size(), "the number of frames handed over");
    for (size_t i = 0; !wrong_ && i < got.size(); ++i) {
      expect(got[i].number == expected[i].number, "the order of frames handed over");
      expect(got[i].bytes == expected[i].bytes, "the bytes of a frame handed over");
    }
  }

  void compare_state(const FragmentKey& key) {
    const Datagram* found = tracker_.find(key, now_ns_);
    const FragmentModel::Known* known = model_.find(key, now_ns_);
    expect((found == nullptr) == (known == nullptr), "whether a datagram is known");
    if (found && known) {
      expect((found->flow.source_port << 8 | found->verdict) == known->mark,
             "what a datagram decided");
    }
    expect(tracker_.held_frames() == model_.held(), "the number of held frames");
    expect(tracker_.datagrams() == model_.known(), "the number of datagrams");
    expect(tracker_.overwritten() == model_.overwritten, "the number of datagrams overwritten");
    const uint32_t free_blocks = model_.all_blocks() - model_.taken_blocks();
    expect(tracker_.free_bytes() == free_blocks * BlockArena::kBlockBytes, "the room that is free");
  }

  FragmentTracker tracker_;
  FragmentModel model_;
  uint64_t now_ns_ = 1000, number_ = 0;
  const char* wrong_ = nullptr;
};

/// Runs `size` bytes as operations, three bytes each; returns what differed first, or null.
inline const char* run_fragment_operations(const uint8_t* data, size_t size,
                                           const FragmentLimits& limits, uint64_t seed) {
  FragmentDriver driver(limits, seed);
  for (size_t i = 0; i + 3 <= size && !driver.wrong(); i += 3)
    driver.step(data[i], data[i + 1], data[i + 2]);
  return driver.wrong();
}

}  // namespace flowsieve::test
