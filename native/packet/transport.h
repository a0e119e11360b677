// The transport layer: ports or what stands in for them, and what the packet says
// about its connection.
//
// How much of a header must be there: a whole packet must have carried the transport's smallest
// header (TCP 20, UDP 8, SCTP 12, ICMP 4, an ICMP query 8), and as much of it must have been
// captured as tells the connection and whether it opens or closes (TCP 14, SCTP 13 if there is a
// chunk). A first fragment and a quote need the ports alone.
#pragma once

#include "packet/ip.h"
#include "packet/packet.h"

namespace flowsieve {

/// Fills `flow`, `kind` and the flags of `packet` from what stands at ip.transport. Not for
/// later fragments.
Drop read_transport(const IpLayer& ip, Packet& packet);

}  // namespace flowsieve
