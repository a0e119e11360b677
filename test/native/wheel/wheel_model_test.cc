// The wheel against std::multimap, which is slow and obviously right.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "wheel/wheel.h"

using namespace flowsieve;

namespace {

class Model {
 public:
  Model(uint32_t capacity, Tick begin, uint64_t seed)
      : random_(seed), now_(begin), wheel_(capacity, begin), deadlines_(capacity, kUnfiled) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      const uint32_t choice = random_() % 16;
      if (choice < 8) {
        schedule(any_index(), now_ + distance());
      } else if (choice < 10) {
        cancel(any_index());
      } else if (choice < 12) {
        refresh(any_index());
      } else {
        advance();
      }
      if (i % 64 == 0) check_filing();
    }
    meddling_ = false;
    if (!by_deadline_.empty()) target_ = std::max(target_, by_deadline_.rbegin()->first) + 1;
    REQUIRE(target_ - now_ < 1u << 31);
    work_off(SIZE_MAX);
    CHECK(by_deadline_.empty());
  }

  size_t ended() const { return ended_; }
  size_t interrupted() const { return interrupted_; }

 private:
  static constexpr uint64_t kUnfiled = UINT64_MAX;

  uint32_t any_index() { return static_cast<uint32_t>(random_() % deadlines_.size()); }
  Tick distance() {
    constexpr Tick kReach[] = {3, 300, 3000, 70'000, 1'000'000, 1u << 24, 1u << 25};
    return static_cast<Tick>(random_() % kReach[random_() % std::size(kReach)]);
  }

  void set(uint32_t index, uint64_t deadline) {
    if (deadlines_[index] != kUnfiled) by_deadline_.erase({deadlines_[index], index});
    deadlines_[index] = deadline;
    if (deadline != kUnfiled) by_deadline_.insert({deadline, index});
  }
  void schedule(uint32_t index, uint64_t deadline) {
    set(index, deadline);
    if (deadline <= target_) filed_late_[index] = target_;
    wheel_.schedule(index, static_cast<Tick>(deadline));
  }
  void cancel(uint32_t index) {
    set(index, kUnfiled);
    wheel_.cancel(index);
  }
  /// A later deadline, of which the wheel is not told.
  void refresh(uint32_t index) {
    if (deadlines_[index] != kUnfiled) set(index, deadlines_[index] + distance());
  }

  void advance() {
    // Sometimes by nothing, sometimes by months.
    constexpr uint32_t kReach[] = {1, 2, 50, 1000, 100'000, 10'000'000};
    target_ = std::max(target_, now_ + random_() % kReach[random_() % std::size(kReach)]);
    constexpr size_t kBudgets[] = {0, 1, 3, 20, SIZE_MAX, SIZE_MAX};
    work_off(kBudgets[random_() % std::size(kBudgets)]);
  }

  void work_off(size_t budget) {
    std::vector<uint32_t> pulled;  // indexes that the callback itself brought forward
    const auto fire = [&](uint32_t index) -> Tick {
      REQUIRE(deadlines_[index] != kUnfiled);
      const uint64_t deadline = deadlines_[index];
      if (deadline <= target_) {
        ++ended_;
        set(index, kUnfiled);
        meddle(index);
      }
      return static_cast<Tick>(deadline);
    };
    const size_t calls =
        wheel_.advance(static_cast<Tick>(target_), budget, fire, [&](uint32_t index) {
          REQUIRE(index < deadlines_.size());
          REQUIRE(deadlines_[index] != kUnfiled);
        });
    CHECK(calls <= budget);
    now_ = target_;
    if (calls == budget) {
      ++interrupted_;
      return;
    }
    // Budget was left: everything due must have ended, but for what was filed for a time that had
    // passed already.
    for (const auto& [deadline, index] : by_deadline_) {
      if (deadline > target_) break;
      CAPTURE(index);
      CHECK(filed_late_[index] == target_);
    }
  }

  /// From within the callback: cancels, moves and files others.
  void meddle(uint32_t index) {
    if (!meddling_ || random_() % 4 != 0) return;
    const uint32_t other = any_index();
    if (other == index) return;
    if (random_() % 2 == 0) {
      cancel(other);
      return;
    }
    const uint64_t deadline = target_ - 5 + distance();
    schedule(other, deadline);
  }

  void check_filing() {
    size_t filed = 0;
    CHECK(wheel_.visit_filed([&](uint32_t index, Tick) {
      ++filed;
      CHECK(deadlines_[index] != kUnfiled);
    }));
    CHECK(filed == by_deadline_.size());
  }

  std::mt19937_64 random_;
  uint64_t now_;
  uint64_t target_ = now_;
  Wheel wheel_;
  std::vector<uint64_t> deadlines_;  // not wrapped around
  std::set<std::pair<uint64_t, uint32_t>> by_deadline_;
  // By index: the target that its deadline had missed when it was filed.
  std::map<uint32_t, uint64_t> filed_late_;
  bool meddling_ = true;
  size_t ended_ = 0;
  size_t interrupted_ = 0;
};

}  // namespace

TEST_CASE(
    "wheel model: nothing fires early, late, twice or never, whatever is done in whatever order") {
  size_t ended = 0;
  size_t interrupted = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const Tick begin = seed % 3 == 0 ? UINT32_MAX - 5'000'000 : static_cast<Tick>(seed * 7919);
    Model model(seed % 2 == 0 ? 8 : 300, begin, seed);
    model.run(3000);
    ended += model.ended();
    interrupted += model.interrupted();
  }
  CHECK(ended > 10'000);
  CHECK(interrupted > 1'000);
}
