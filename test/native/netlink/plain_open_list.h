// The plain twin of OpenList: keeps everything as it was told, and compares identifier by
// identifier at each question.
#pragma once

#include <vector>

#include "base/address.h"
#include "netlink/open_list.h"

namespace flowsieve::test {

class PlainOpenList {
 public:
  PlainOpenList(std::vector<Address> cluster, const MatchFields& match)
      : cluster_(std::move(cluster)), match_(match) {}

  void add(const OpenSocket& socket) { sockets_.push_back(socket); }
  void add(const TrackedConnection& connection, bool local) {
    tracked_.push_back({connection, local});
  }

  bool is_open(const Key& key) const {
    for (const OpenSocket& socket : sockets_) {
      if (keeps_open(socket, key)) return true;
    }
    for (const auto& [connection, local] : tracked_) {
      if (!agrees(connection.original, key) || !is_ours(connection)) continue;
      if (connection.translated() == connection.original || is_ending(connection)) continue;
      if (!local) return true;
      for (const OpenSocket& socket : sockets_) {
        if (keeps_open(socket, connection.translated())) return true;
      }
    }
    return false;
  }

 private:
  struct Tracked {
    TrackedConnection connection;
    bool local;
  };

  bool is_ours(const TrackedConnection& connection) const {
    for (const Address& address : cluster_) {
      if (connection.original.destination == address) return true;
    }
    return false;
  }

  /// The identifiers that are to match do.
  bool agrees(const Key& one, const Key& other) const {
    if (one.protocol != other.protocol) return false;
    const bool sctp = one.protocol == 132;
    const bool addresses_count = match_.source && match_.destination;
    return (!match_.source || sctp || one.source == other.source) &&
           (!match_.destination || sctp || one.destination == other.destination) &&
           (!match_.source_port || one.source_port == other.source_port) &&
           (!match_.destination_port || one.destination_port == other.destination_port) &&
           (!addresses_count || one.family == other.family);
  }

  bool keeps_open(const OpenSocket& socket, const Key& key) const {
    if (!socket.any_remote) return agrees(socket.key, key);
    if (key.protocol != 17 || socket.key.protocol != 17) return false;
    if (match_.destination_port && socket.key.destination_port != key.destination_port) {
      return false;
    }
    if (!match_.destination) return true;
    if (socket.any_local_address) {
      return socket.both_families || socket.key.family == key.family;
    }
    return socket.key.family == key.family && socket.key.destination == key.destination;
  }

  std::vector<Address> cluster_;
  MatchFields match_;
  std::vector<OpenSocket> sockets_;
  std::vector<Tracked> tracked_;
};

}  // namespace flowsieve::test
