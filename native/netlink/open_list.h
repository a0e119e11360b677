// What the operating system has open, in a form that a table of connections is compared with
// (docs/decisions/os-list.md).
//
//   add(socket), add(tracked) --> hashes of open keys ------------> is_open(key)
//                            \--> bound UDP ends ---------------'
//                             `-> connections to restore ---------> restorable()
//
// A key is held as its 64-bit hash under a secret seed, eight bytes each: two keys with one hash
// keep an entry that has no socket any more, and never drop one that has.
//
// A socket's key runs from its remote end to its own, and so does a key in the table of a server:
// client -> server. A gateway's tables, which know no such order, are not compared.
//
// Made by one thread; when it is made, any number of them may ask it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/prefetch.h"
#include "decide/scope.h"
#include "hash/table_hash.h"
#include "netlink/conntrack.h"
#include "netlink/inet_diag.h"
#include "table/record.h"

namespace flowsieve {

/// Which of the four identifiers are the same here and in the operating system; at most one is not.
struct MatchFields {
  bool source = true, source_port = true, destination = true, destination_port = true;

  bool all() const { return source && source_port && destination && destination_port; }
};

/// A connection of the cluster that the operating system has open.
struct OpenConnection {
  Key key;  ///< as a table stores it
  ConnectionStatus status = ConnectionStatus::kEstablished;
};

/// A growing set of 64-bit hashes: open addressing, half full at most.
class HashSet {
 public:
  HashSet() : places_(16, 0) {}
  void add(uint64_t hash);
  bool contains(uint64_t hash) const;
  void prefetch(uint64_t hash) const { prefetch_line(&places_[place(hash)]); }
  size_t size() const { return size_; }

 private:
  size_t place(uint64_t hash) const { return hash & (places_.size() - 1); }
  void grow();

  std::vector<uint64_t> places_;  // 0: free; a power of two of them
  size_t size_ = 0;
};

class OpenList {
 public:
  /// `scope`: of addresses, whose connections are meant. `seed`: nobody outside may know it.
  OpenList(const Scope& scope, const MatchFields& match, uint64_t seed)
      : scope_(scope), match_(match), hash_(seed) {}

  /// The sockets of `protocol` have been listed, both families: what is not here is not open.
  void set_listed(uint8_t protocol) { listed_[protocol] = true; }
  bool is_listed(uint8_t protocol) const { return listed_[protocol]; }

  void add(const OpenSocket& socket);
  /// After all sockets. `local`: its translated destination is an address of this machine.
  void add(const TrackedConnection& connection, bool local);

  /// True when something keeps the connection open. `key` as a table stores it.
  bool is_open(const Key& key) const;
  /// Asks for what is_open() will read.
  void prefetch(const Key& key) const { open_.prefetch(hash_of(key)); }

  /// What a table that knows nothing of it should know, in no order; may have one twice.
  std::span<const OpenConnection> restorable() const { return restorable_; }
  /// Keys that are open, bound ends not counted.
  size_t size() const { return open_.size(); }

 private:
  uint64_t hash_of(const Key& key) const;
  uint64_t hash_of_end(const Key& key, bool any_address) const;
  bool is_bound(const Key& key) const;
  void restore(const Key& key, ConnectionStatus status);

  Scope scope_;
  MatchFields match_;
  TableHash hash_;
  std::array<bool, 256> listed_{};
  HashSet open_;
  HashSet bound_;
  std::vector<OpenConnection> restorable_;
};

}  // namespace flowsieve
