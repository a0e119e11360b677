#include "decide/status.h"

namespace flowsieve {
namespace {

/// The flags that a FIN or RST adds to what `flags` says already. Whichever closed the connection
/// first stays its cause.
uint8_t closing_flags(uint8_t flags, uint8_t tcp_flags, bool from_client) {
  uint8_t added = 0;
  if (tcp_flags & kTcpRst) {
    if (!(flags & kClosedByFin)) added |= kClosedByRst;
  } else if (tcp_flags & kTcpFin) {
    added |= from_client ? kFinFromClient : kFinFromServer;
    const uint8_t both = kFinFromClient | kFinFromServer;
    if (((flags | added) & both) == both && !(flags & kClosedByRst)) added |= kClosedByFin;
  }
  return added;
}

void close(Slot slot, Context& context) {
  ConnectionTable& table = context.table;
  table.touch(slot, context.now);
  table.set_status(slot, ConnectionStatus::kClosing, context.now);
  table.clear_seen_here(slot, kConcluded);
  table.add_seen_here(slot, kClosedHere);
}

/// No packet has said so, and a list may know better.
void conclude(Slot slot, Context& context) {
  close(slot, context);
  context.table.add_seen_here(slot, kConcluded);
  context.table.add_flags(slot, kImported);
}

/// The owner has died, and its heir answers with a reset whatever the client says but an opening:
/// so every node knows at this packet that the connection is over. A packet that closes it needs no
/// conclusion.
bool ends_orphan(const Subject& subject, const Record& record, const Criteria& criteria) {
  const Packet& packet = *subject.packet;
  const bool closes = packet.sctp_closing || (packet.tcp_flags & (kTcpFin | kTcpRst)) != 0;
  return is_orphaned(record, criteria) && !packet.opening && !closes;
}

void update_tcp(const Subject& subject, const Record& record, Slot slot, Context& context) {
  const uint8_t tcp_flags = subject.packet->tcp_flags;
  ConnectionTable& table = context.table;
  if (tcp_flags & (kTcpFin | kTcpRst)) {
    const bool from_client = subject.reversed == ((record.flags & kClientIsDestination) != 0);
    table.add_flags(slot, closing_flags(record.flags, tcp_flags, from_client));
    close(slot, context);
    return;
  }
  if (tcp_flags & kTcpSyn) {
    if (record.status == ConnectionStatus::kOpening) table.touch(slot, context.now);
    // Had the server closed, which only this node knows, its TCP takes the SYN as a new connection.
    table.clear_seen_here(slot, kServerReplied | kServerFin | kServerRst);
    return;
  }
  table.touch(slot, context.now);
  // A first fragment too short to show its flags proves nothing.
  const bool flags_seen = tcp_flags != 0 || !subject.packet->is_fragment;
  if (record.status == ConnectionStatus::kOpening && flags_seen) {
    table.set_status(slot, ConnectionStatus::kEstablished, context.now);
  }
}

}  // namespace

ConnectionStatus initial_status(const Packet& packet) {
  if (packet.flow.protocol == kTcp) {
    if (packet.tcp_flags & (kTcpFin | kTcpRst)) return ConnectionStatus::kClosing;
    const bool flags_seen = packet.tcp_flags != 0 || !packet.is_fragment;
    if (packet.tcp_flags & kTcpSyn || !flags_seen) return ConnectionStatus::kOpening;
    return ConnectionStatus::kEstablished;
  }
  if (packet.flow.protocol == kSctp && !packet.opening) {
    return packet.sctp_closing ? ConnectionStatus::kClosing : ConnectionStatus::kEstablished;
  }
  return ConnectionStatus::kOpening;
}

uint8_t initial_flags(const Packet& packet) {
  return packet.flow.protocol == kTcp ? closing_flags(0, packet.tcp_flags, true) : 0;
}

void update_status(const Subject& subject, Slot slot, Context& context) {
  const Record& record = context.table.at(slot);
  if (!context.criteria.monitoring) {
    context.table.touch(slot, context.now);
    return;
  }
  if (ends_orphan(subject, record, context.criteria)) {
    conclude(slot, context);
    return;
  }
  if (record.key.protocol == kTcp) return update_tcp(subject, record, slot, context);
  if (subject.packet->opening && record.status != ConnectionStatus::kOpening) return;
  context.table.touch(slot, context.now);
  if (record.key.protocol == kSctp && subject.packet->sctp_closing) {
    close(slot, context);
  } else if (record.status == ConnectionStatus::kOpening && !subject.packet->opening) {
    context.table.set_status(slot, ConnectionStatus::kEstablished, context.now);
  }
}

void note_unshared(const Subject& subject, Slot slot, Context& context) {
  const Record& record = context.table.at(slot);
  uint8_t seen = 0;
  if (record.key.protocol == kTcp) {
    // A SYN-ACK establishes nothing yet, and whatever follows it the client acknowledges.
    if (subject.packet->tcp_flags & kTcpRst) seen |= kServerRst;
    if (subject.packet->tcp_flags & kTcpFin) seen |= kServerFin;
  } else if (subject.packet->sctp_closing) {
    seen |= kServerRst;
  } else if (record.key.protocol != kSctp) {
    seen |= kServerReplied;
  }
  context.table.add_seen_here(slot, seen);
}

}  // namespace flowsieve
