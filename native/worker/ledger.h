// What a replay reports of each connection and the live path has no use for: packets and bytes by
// direction, first and last time. Kept beside the table, by slot, so that the record stays one
// cache line.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "allocation/allocation.h"
#include "base/pages.h"
#include "table/table.h"

namespace flowsieve {

struct Account {
  uint64_t first_seen_ns = 0;
  uint64_t last_seen_ns = 0;
  uint64_t packets_from_client = 0;
  uint64_t packets_from_server = 0;
  uint64_t bytes_from_client = 0;  ///< IP bytes
  uint64_t bytes_from_server = 0;
};
static_assert(sizeof(Account) == 48);

/// A connection that has ended, or stands at the end of the capture.
struct Ended {
  Record record;
  Account account;
  bool timed_out;
};

class Ledger {
 public:
  /// Room for a table of so many slots; before the first packet.
  void resize(uint32_t slots) {
    pages_ = Pages(slots * sizeof(Account));
    accounts_ = static_cast<Account*>(pages_.data());
  }

  void open(Slot slot) { accounts_[slot] = Account{}; }
  void count(Slot slot, bool from_client, uint32_t ip_bytes, uint64_t time_ns) {
    Account& account = accounts_[slot];
    if (account.packets_from_client + account.packets_from_server == 0) {
      account.first_seen_ns = account.last_seen_ns = time_ns;
    }
    if (time_ns < account.first_seen_ns) account.first_seen_ns = time_ns;
    if (time_ns > account.last_seen_ns) account.last_seen_ns = time_ns;
    (from_client ? account.packets_from_client : account.packets_from_server) += 1;
    (from_client ? account.bytes_from_client : account.bytes_from_server) += ip_bytes;
  }
  void close(Slot slot, const Record& record, bool timed_out) {
    ended_.push_back({record, accounts_[slot], timed_out});
  }

  /// A packet of `node`'s, connection or not.
  void count_owner(NodeIndex node) {
    if (node >= packets_by_owner_.size()) packets_by_owner_.resize(node + 1);
    ++packets_by_owner_[node];
  }

  const std::vector<uint64_t>& packets_by_owner() const { return packets_by_owner_; }
  const Account& at(Slot slot) const { return accounts_[slot]; }
  /// The connections closed since the last call, in order.
  std::vector<Ended> take_ended() { return std::exchange(ended_, {}); }

 private:
  Pages pages_;  // zeroed, and touched only where connections fall
  Account* accounts_ = nullptr;
  std::vector<Ended> ended_;
  std::vector<uint64_t> packets_by_owner_;
};

}  // namespace flowsieve
