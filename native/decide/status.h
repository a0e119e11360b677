// The status of a connection, as far as a bystander can tell from headers. Section "Status" of the
// decision's rules:
//
//   TCP    SYN -> OPENING; first later packet that is neither SYN, FIN nor RST -> ESTABLISHED;
//          FIN or RST in either direction -> CLOSING
//   SCTP   INIT -> OPENING; next packet -> ESTABLISHED; ABORT or SHUTDOWN COMPLETE -> CLOSING
//   other  OPENING until a second packet or a reply, then ESTABLISHED
//   TCP and SCTP, inherited from a dead node: the next packet that opens nothing -> CLOSING, as
//          whoever owns it now answers with a reset (a gateway forwards it, and it goes on)
//
// Record::status is moved by packets that every node sees. What a node sends itself, a reply or
// the server's close, is noted beside it (Record::seen_here) and shown with it (shown_status()),
// but no timer and no decision goes by it: all nodes must forget a connection at the same time, or
// they disagree about it afterwards. In tracking own, where no other node has an entry, it moves
// the status like any other packet.
//
// A SYN on an ESTABLISHED connection leaves the entry as it is: the server's TCP answers it with a
// challenge ACK (RFC 5961 section 4), and whoever forges such packets must not be able to keep an
// entry alive with them.
#pragma once

#include "decide/decide.h"

namespace flowsieve {

inline constexpr uint8_t kTcp = 6, kUdp = 17, kSctp = 132;

/// Of TCP and SCTP, where the nodes are its servers. A flow of another protocol goes on with
/// whoever answers it, and every connection with whoever forwards it.
inline bool ends_with_its_node(const Key& key, const Criteria& criteria) {
  return !criteria.forwards && (key.protocol == kTcp || key.protocol == kSctp);
}

/// A connection that has died with its node, and whose client has not been told so yet.
inline bool is_orphaned(const Record& record, const Criteria& criteria) {
  return (record.seen_here & kAdopted) != 0 && record.status != ConnectionStatus::kClosing &&
         ends_with_its_node(record.key, criteria);
}

/// The status and flags with which the connection of an unknown packet is entered.
ConnectionStatus initial_status(const Packet& packet);
uint8_t initial_flags(const Packet& packet);

/// Refreshes the connection in `slot` and moves its status on. Without monitoring it
/// only refreshes.
void update_status(const Subject& subject, Slot slot, Context& context);

/// Notes what this node has sent on its own connection, and no other node has seen
/// (Record::seen_here).
void note_unshared(const Subject& subject, Slot slot, Context& context);

}  // namespace flowsieve
