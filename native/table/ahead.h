// The middle of the three passes over a burst: what its packets will read and write in the table is
// asked for, before the first of them is looked up.
//
//   for each packet   prefetch(hash)                                    tags
//   for each packet   ahead.find, ahead.open or ahead.close             records, timers
//   once              ahead.finish                                      what only those have shown
//   for each packet   table.find, then touch, insert, set_status …
//
// Nothing here changes the table or what is found in it; the last pass does not ask what this one saw.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "table/table.h"

namespace flowsieve {

/// For one burst of up to kMost packets, one call for each, whose tags have been asked for.
template <size_t kMost>
class Ahead {
 public:
  explicit Ahead(const ConnectionTable& table) : table_(table) {}

  /// A packet of a connection that goes on.
  void find(uint64_t hash) {
    table_.prefetch_records(hash);
    note_beyond(hash);
  }
  /// A packet that may enter its connection with that status.
  void open(uint64_t hash, ConnectionStatus status) { table_.prefetch_insert(hash, status); }
  /// A packet that may close its connection.
  void close(uint64_t hash) {
    table_.prefetch_timer(hash);
    note_beyond(hash);
    closing_[closing_count_++] = hash;
  }
  void finish() const {
    for (size_t i = 0; i < beyond_count_; ++i) table_.prefetch_beyond(beyond_[i]);
    for (size_t i = 0; i < closing_count_; ++i) table_.prefetch_timer_neighbours(closing_[i]);
    for (size_t i = 0; i < beyond_count_; ++i) table_.prefetch_records_beyond(beyond_[i]);
  }

 private:
  void note_beyond(uint64_t hash) {
    // Without a branch: it is one of eight, and nobody can guess which.
    beyond_[beyond_count_] = hash;
    beyond_count_ += table_.is_beyond(hash);
  }

  const ConnectionTable& table_;
  std::array<uint64_t, kMost> beyond_, closing_;
  size_t beyond_count_ = 0, closing_count_ = 0;
};

}  // namespace flowsieve
