#include "decide/plain_decide.h"

#include <algorithm>

namespace plain {
namespace {

/// "Default timeouts, seconds: TCP 30 / 7440 / 20, UDP 30 / 120, ICMP echo 30 / 30, SCTP 30 / 7440
/// / 20, other 30 / 600", in tenths.
long timeout(const Entry& entry) {
  if (entry.status == Status::kOpening) return 300;
  if (entry.status == Status::kClosing) return 200;
  if (entry.protocol == "tcp" || entry.protocol == "sctp") return 74400;
  if (entry.protocol == "udp") return 1200;
  if (entry.protocol == "icmp") return 300;
  return 6000;
}

/// "a packet that opens a connection (TCP SYN without ACK; SCTP INIT; the first packet of a UDP,
/// ICMP echo, GRE ... flow)". A reply is no first packet.
bool may_open(const Packet& packet) {
  if (packet.is_error) return false;
  if (packet.protocol == "tcp") return packet.syn && !packet.ack;
  if (packet.protocol == "sctp") return packet.init;
  return !packet.echo_reply;
}

/// The same, for a connection that is known: a UDP packet does not say that it is the first.
bool says_that_it_opens(const Packet& packet) {
  return (packet.protocol == "tcp" || packet.protocol == "sctp") && may_open(packet);
}

Status status_by_type(const Packet& packet) {
  if (packet.protocol == "tcp") {
    if (packet.fin || packet.rst) return Status::kClosing;
    return packet.syn ? Status::kOpening : Status::kEstablished;
  }
  if (packet.protocol == "sctp") {
    if (packet.abort_or_shutdown_complete) return Status::kClosing;
    return packet.init ? Status::kOpening : Status::kEstablished;
  }
  return Status::kOpening;
}

/// "Only a list says that it has closed, and that was after this SYN, as far as anybody can tell."
bool may_be_behind(const Entry& entry, long now) {
  return entry.from_list && !entry.closed_here && now <= entry.last_seen + 3;
}

}  // namespace

void Node::remove_timed_out(long now) {
  std::erase_if(table, [now](const auto& item) {
    return now - item.second.last_seen >= timeout(item.second);
  });
}

void Node::update(Entry& entry, const Packet& packet, long now) const {
  if (!monitoring) {
    entry.last_seen = now;
    return;
  }
  if (packet.protocol == "tcp") {
    if (packet.fin || packet.rst) {
      entry.status = Status::kClosing;
      entry.closed_here = true;
    } else if (packet.syn) {
      if (entry.status != Status::kOpening) return;  // unchanged
    } else if (entry.status == Status::kOpening) {
      entry.status = Status::kEstablished;
    }
  } else if (packet.init) {
    if (entry.status != Status::kOpening) return;  // as in TCP: unchanged
  } else if (packet.abort_or_shutdown_complete) {
    entry.status = Status::kClosing;
    entry.closed_here = true;
  } else if (entry.status == Status::kOpening) {
    entry.status = Status::kEstablished;
  }
  entry.last_seen = now;
}

void Node::insert(const Packet& packet, int owner, long now) {
  // "Without monitoring of status (timeouts alone)": nothing opens or closes then.
  const Status status = monitoring ? status_by_type(packet) : Status::kEstablished;
  const bool midstream = packet.id_of_node >= 0 || !may_open(packet);
  Entry entry{packet.protocol, owner, status, now, now, midstream, false, false, epoch};
  entry.closed_here = entry.status == Status::kClosing;
  if (entry.status == Status::kOpening) {
    const auto openings = std::count_if(table.begin(), table.end(), [](const auto& item) {
      return item.second.status == Status::kOpening;
    });
    if (static_cast<size_t>(openings) >= opening_max) return;
  }
  table[packet.connection] = entry;
}

void Node::import(const Packet& packet, int owner, long now) {
  remove_timed_out(now);
  const Entry listed{
      packet.protocol, owner, Status::kEstablished, now, now, false, true, true, epoch};
  const auto known = table.find(packet.connection);
  if (known == table.end()) {
    table[packet.connection] = listed;
    return;
  }
  // "Opened clearly later, and ours has closed: another life, which replaces ours. The same life:
  // the record's owner, and what it knows more if ours did not begin with its opening. Ours is own:
  // stays own."
  Entry& ours = known->second;
  const bool own = ours.owner == self;
  if (now > ours.opened + 8 && ours.status == Status::kClosing) {
    ours = listed;
    return;
  }
  ours.confirmed = true;
  if (ours.midstream || ours.from_list) {
    ours.midstream = false;
    ours.from_list = true;
    ours.last_seen = now;
    ours.status = std::max(ours.status, Status::kEstablished);
  }
  if (!own) ours.owner = owner;
}

/// "An opening packet that meets an OPENING entry of another node, which no list has confirmed, is
/// decided anew" once the allocation has changed; of other protocols only if it is this node's now.
bool Node::is_outdated(const Entry& entry, const Packet& packet) const {
  if (entry.status != Status::kOpening || entry.owner == self || entry.confirmed) return false;
  if (entry.epoch == epoch || !may_open(packet)) return false;
  const int owner = owner_of_bucket[static_cast<size_t>(bucket_of(packet.connection))];
  if (!says_that_it_opens(packet)) return owner == self;
  return owner != entry.owner || tracking_own;
}

/// docs/decisions/quic.md, "The rule": the node that the id names, whatever the table says. An entry
/// of another owner's stays as it is; an unknown four-tuple is entered, in `tracking: own` by the
/// id's node and by the bucket's owner.
Answer Node::see_id(const Packet& packet, long now) {
  const bool mine = packet.id_of_node == self;
  const auto known = table.find(packet.connection);
  if (known != table.end() && known->second.owner == packet.id_of_node) {
    update(known->second, packet, now);
    return mine ? Answer{"deliver", 2} : Answer{"discard", 4};
  }
  if (known == table.end()) {
    const int owner = owner_of_bucket[static_cast<size_t>(bucket_of(packet.connection))];
    if (mine || owner == self || !tracking_own) insert(packet, packet.id_of_node, now);
  }
  return mine ? Answer{"deliver", 5} : Answer{"discard", 6};
}

Answer Node::see(const Packet& packet, long now) {
  remove_timed_out(now);
  if (packet.id_of_node >= 0) return see_id(packet, now);
  auto known = table.find(packet.connection);

  if (packet.from_this_node) {
    const bool own = known != table.end() && known->second.owner == self;
    // Where others keep the connection too, what they cannot see may not move its end. Who gave the
    // list that it came with keeps it.
    const bool alone = own && tracking_own && !known->second.from_list;
    if (alone && !packet.is_error) update(known->second, packet, now);
    return {"pass", 0};
  }

  if (known != table.end() && known->second.status == Status::kClosing &&
      says_that_it_opens(packet) && !may_be_behind(known->second, now)) {
    table.erase(known);  // port reuse: decided anew
    known = table.end();
  }
  if (known != table.end() && is_outdated(known->second, packet)) {
    table.erase(known);
    known = table.end();
  }

  if (known != table.end()) {
    const bool own = known->second.owner == self;
    if (!packet.is_error) update(known->second, packet, now);
    return own ? Answer{"deliver", 2} : Answer{"discard", 4};
  }

  const int owner = owner_of_bucket[static_cast<size_t>(bucket_of(packet.connection))];
  const bool mine = owner == self;
  if (!packet.is_error && (mine || !tracking_own)) insert(packet, owner, now);
  if (may_open(packet)) return mine ? Answer{"deliver", 1} : Answer{"discard", 3};
  return mine ? Answer{"deliver", 5} : Answer{"discard", 6};
}

}  // namespace plain
