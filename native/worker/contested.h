// The contested connections: those that this node opened while a handover moved their bucket, so
// that another may have noted them under another owner. Kept as copies from when they were opened,
// in a list beside the table: so that they can be told without looking through the table, and those
// also for which the table had no place, or has none any more. The copies of those have the flag
// (kContested) no more; one that has it, and is not in the table, is over.
//
// Bounded; what finds no room is only counted, and must then be searched in the table by its flag
// (kContested).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "table/record.h"

namespace flowsieve {

class ContestedList {
 public:
  static constexpr size_t kMax = 65'536;

  explicit ContestedList(size_t max = kMax) : max_(max) { records_.reserve(max); }

  void add(const Record& record) {
    if (records_.size() < max_) {
      records_.push_back(record);
    } else {
      ++unlisted_;
    }
  }
  /// The connection was not opened after all. One of the youngest, so the search is short.
  void take_back(const Key& key) {
    for (size_t i = records_.size(); i-- > 0;) {
      if (records_[i].key != key) continue;
      records_.erase(records_.begin() + static_cast<ptrdiff_t>(i));
      return;
    }
  }
  void clear() {
    records_.clear();
    unlisted_ = 0;
  }
  /// Forgets all but those for which keep(const Record&) is true.
  template <typename Keep>
  void keep_if(Keep keep) {
    std::erase_if(records_, [&](const Record& record) { return !keep(record); });
    unlisted_ = 0;
  }

  std::span<const Record> records() const { return records_; }
  uint64_t unlisted() const { return unlisted_; }
  size_t max() const { return max_; }

 private:
  size_t max_;
  std::vector<Record> records_;
  uint64_t unlisted_ = 0;
};

}  // namespace flowsieve
