#include <deque>
#include <random>
#include <unordered_map>

#include "crc_hash.h"
#include "figures.h"
#include "table_subject.h"

namespace flowsieve::peers {
namespace {

constexpr uint32_t kCapacity = 4096;
constexpr int kSteps = 4000;

/// The plain twin of a table, and the numbers of its connections from the oldest on.
class Reference {
 public:
  void open(uint32_t n, Tick now) {
    states_.emplace(connection(n), State::at(now));
    order_.push_back(n);
  }
  uint32_t close_oldest() {
    const uint32_t n = order_.front();
    order_.pop_front();
    states_.erase(connection(n));
    return n;
  }
  bool packet(const Key& key, Tick now) {
    const auto at = states_.find(key);
    if (at != states_.end()) at->second.packet(now);
    return at != states_.end();
  }
  /// Nothing, or what differs about the connection.
  const char* difference(const Key& key, const std::optional<State>& state) const {
    const auto at = states_.find(key);
    if ((at != states_.end()) != state.has_value()) return "whether a connection is open";
    if (!state) return nullptr;
    if (at->second.last_seen != state->last_seen) return "when a connection was last seen";
    if (at->second.opened != state->opened) return "when a connection was opened";
    return at->second.status == state->status ? nullptr : "a connection's status";
  }
  uint32_t size() const { return static_cast<uint32_t>(order_.size()); }

 private:
  std::unordered_map<Key, State, CrcHash> states_;
  std::deque<uint32_t> order_;
};

/// Both tables through the same bursts.
class Comparison {
 public:
  Comparison(Table& table, const std::string& name) : table_(table), name_(name) {}

  void open_one() {
    expect(table_.open(connection(next_), now_), name_ + " to open a connection");
    reference_.open(next_++, now_);
  }
  void packets() {
    ++now_;
    // As many of them closed or never opened as are there; keys come twice in a burst, too.
    Key keys[kBurst];
    uint32_t known = 0;
    for (Key& key : keys) {
      key = connection(random_() % (next_ + kCapacity));
      known += reference_.packet(key, now_);
    }
    expect(table_.packets(keys, now_) == known, name_ + " to find what std::unordered_map finds");
  }
  void turnover() {
    ++now_;
    Key closing[kBurst], opening[kBurst];
    for (uint32_t i = 0; i < kBurst; ++i) {
      closing[i] = connection(reference_.close_oldest());
      opening[i] = connection(next_);
      reference_.open(next_++, now_);
    }
    expect(table_.turnover(closing, opening, now_) == kBurst,
           name_ + " to close and open a burst of connections");
  }
  void compare() {
    expect(table_.size() == reference_.size(), name_ + " to have as many connections");
    for (uint32_t n = 0; n < next_ + kCapacity; ++n) {
      const char* difference = reference_.difference(connection(n), table_.look(connection(n)));
      expect(difference == nullptr, name_ + " to agree with std::unordered_map about " +
                                        (difference == nullptr ? "" : difference));
    }
  }

 private:
  Table& table_;
  const std::string& name_;
  Reference reference_;
  std::mt19937 random_{11};
  uint32_t next_ = 0;
  Tick now_ = 1;
};

}  // namespace

void check_table(Table& table, const std::string& name) {
  Comparison comparison(table, name);
  for (uint32_t i = 0; i < kCapacity; ++i) comparison.open_one();
  comparison.compare();
  for (int step = 0; step < kSteps; ++step) {
    step % 4 == 3 ? comparison.turnover() : comparison.packets();
  }
  comparison.compare();
}

}  // namespace flowsieve::peers
