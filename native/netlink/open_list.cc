#include "netlink/open_list.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>

#include <utility>

#include "packet/protocols.h"

namespace flowsieve {
namespace {

/// Hash 0 marks a free place.
uint64_t occupied(uint64_t hash) {
  return hash != 0 ? hash : 1;
}

bool is_half_open(SocketState state) {
  return state == SocketState::kSynSent || state == SocketState::kSynReceived ||
         state == SocketState::kNewSynReceived;
}

bool is_half_open(const TrackedConnection& connection) {
  if (connection.original.protocol != kProtocolTcp) {
    return (connection.status & IPS_SEEN_REPLY) == 0;
  }
  return connection.state == TCP_CONNTRACK_SYN_SENT || connection.state == TCP_CONNTRACK_SYN_RECV ||
         connection.state == TCP_CONNTRACK_SYN_SENT2;
}

ConnectionStatus status_of(bool half_open) {
  return half_open ? ConnectionStatus::kOpening : ConnectionStatus::kEstablished;
}

}  // namespace

void HashSet::add(uint64_t hash) {
  hash = occupied(hash);
  size_t at = place(hash);
  for (; places_[at] != 0; at = (at + 1) & (places_.size() - 1)) {
    if (places_[at] == hash) return;
  }
  places_[at] = hash;
  if (2 * ++size_ > places_.size()) grow();
}

bool HashSet::contains(uint64_t hash) const {
  hash = occupied(hash);
  for (size_t at = place(hash); places_[at] != 0; at = (at + 1) & (places_.size() - 1)) {
    if (places_[at] == hash) return true;
  }
  return false;
}

void HashSet::grow() {
  std::vector<uint64_t> old(2 * places_.size(), 0);
  old.swap(places_);
  size_ = 0;
  for (const uint64_t hash : old) {
    if (hash != 0) add(hash);
  }
}

/// Of the identifiers that match alone. An SCTP association may use any pair of its addresses.
uint64_t OpenList::hash_of(const Key& key) const {
  Key matched = key;
  const bool sctp = key.protocol == kProtocolSctp;
  if (sctp || !match_.source) matched.source = Address{};
  if (sctp || !match_.destination) matched.destination = Address{};
  if (!match_.source_port) matched.source_port = 0;
  if (!match_.destination_port) matched.destination_port = 0;
  // The family of an address that does not count may have been rewritten with it.
  if (!match_.source || !match_.destination) matched.family = Family::kIpv4;
  return hash_(&matched);
}

/// Of the local end of a UDP socket that takes packets from everywhere.
uint64_t OpenList::hash_of_end(const Key& key, bool any_address) const {
  Key end = key;
  end.source = Address{};
  end.source_port = 0;
  if (any_address) end.destination = Address{};
  if (!match_.destination_port) end.destination_port = 0;
  return hash_(&end);
}

void OpenList::add(const OpenSocket& socket) {
  Key key = socket.key;
  if (socket.any_remote) {
    if (key.protocol != kProtocolUdp) return;
    // Where the destination address does not match, any address's port is taken for it.
    const bool any = socket.any_local_address || !match_.destination;
    bound_.add(hash_of_end(key, any));
    if (socket.both_families || !match_.destination) {
      key.family = key.family == Family::kIpv4 ? Family::kIpv6 : Family::kIpv4;
      bound_.add(hash_of_end(key, any));
    }
    return;
  }
  open_.add(hash_of(key));
  const bool lingers =
      socket.state == SocketState::kTimeWait || socket.state == SocketState::kClose;
  if (!lingers && key.protocol != kProtocolSctp && scope_.contains(key.destination)) {
    restore(key, status_of(is_half_open(socket.state)));
  }
}

void OpenList::add(const TrackedConnection& connection, bool local) {
  if (!connection.is_translated() || is_ending(connection)) return;
  if (!scope_.contains(connection.original.destination)) return;
  if (local && is_listed(connection.original.protocol)) {
    const Key translated = connection.translated();
    if (!open_.contains(hash_of(translated)) && !is_bound(translated)) return;
  }
  open_.add(hash_of(connection.original));
  restore(connection.original, status_of(is_half_open(connection)));
}

bool OpenList::is_bound(const Key& key) const {
  return key.protocol == kProtocolUdp &&
         (bound_.contains(hash_of_end(key, false)) || bound_.contains(hash_of_end(key, true)));
}

bool OpenList::is_open(const Key& key) const {
  return open_.contains(hash_of(key)) || is_bound(key);
}

void OpenList::restore(const Key& key, ConnectionStatus status) {
  if (match_.all()) restorable_.push_back({key, status});
}

}  // namespace flowsieve
