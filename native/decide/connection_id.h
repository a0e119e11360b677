// The QUIC connection id of a packet, and the node that it names. What becomes of it is in decide();
// why, in docs/decisions/quic.md.
//
//   UDP to a QUIC port -> header form -> config id -> (decrypt) -> server id -> node
//        |                    |              |            |             |
//      kNone           kClientChosen   kUnconfigured   kLength       kNobody      by four-tuple
#pragma once

#include "allocation/quic_lb.h"
#include "base/bytes.h"
#include "count/counters.h"
#include "decide/decide.h"

namespace flowsieve {

/// `frame`: the captured bytes, from which subject.packet was read.
QuicAnswer read_connection_id(const QuicLb& quic, const Subject& subject, Bytes frame);

/// The same of a UDP payload to a QUIC port.
QuicAnswer read_connection_id(const QuicLb& quic, Bytes datagram);

/// Counts why an id names no node; kNone and kNode are nothing to count here.
void count_unroutable(QuicId id, Counters& counters);

}  // namespace flowsieve
