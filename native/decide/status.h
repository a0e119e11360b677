// The status of a connection, as far as a bystander can tell from headers. Section "Status" of the
// decision's rules:
//
//   TCP    SYN -> OPENING; first later packet that is neither SYN, FIN nor RST -> ESTABLISHED;
//          FIN or RST in either direction -> CLOSING
//   SCTP   INIT -> OPENING; next packet -> ESTABLISHED; ABORT or SHUTDOWN COMPLETE -> CLOSING
//   other  OPENING until a second packet or a reply, then ESTABLISHED
//
// A SYN on an ESTABLISHED connection leaves the entry as it is: the server's TCP answers it with a
// challenge ACK (RFC 5961 section 4), and whoever forges such packets must not be able to keep an
// entry alive with them.
#pragma once

#include "decide/decide.h"

namespace flowsieve {

/// The status and flags with which the connection of an unknown packet is entered.
ConnectionStatus initial_status(const Packet& packet);
uint8_t initial_flags(const Packet& packet);

/// Refreshes the connection in `slot` and moves its status on. Without monitoring it
/// only refreshes.
void update_status(const Subject& subject, Slot slot, Context& context);

}  // namespace flowsieve
