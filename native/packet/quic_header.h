// What the header of a QUIC packet says to somebody who has no keys: its form, and where its
// destination connection id stands.
//
//   short   |0.......| destination connection id, of a length that only the server knows | ...
//   long    |1.TT....| version (4) | length (1) | destination connection id | length | source | ...
//
// The first bit, the version and the places of the connection ids are the same in all versions; what TT
// means is known of versions 1 and 2. Of several packets in one datagram the first one is read: all
// have the same destination connection id (RFC 9000 12.2).
//
// Source: RFC 8999 5.1 and 5.2 (invariants), RFC 9000 17.2, RFC 9369 3.2 (types of version 2).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace flowsieve {

/// Who has chosen the destination connection id of a packet that goes to a server.
enum class QuicIdChoice : uint8_t {
  kServer,   ///< short header; Handshake of a known version
  kClient,   ///< or nobody here can tell: Initial, 0-RTT, another version, what only servers send
  kNothing,  ///< the datagram ends inside its header
};

struct QuicHeader {
  QuicIdChoice choice = QuicIdChoice::kNothing;
  bool is_long = false;
  /// kServer, long header: the id. kServer, short header: everything from its first byte on, as only
  /// the id itself can tell its length. As much of it as was captured.
  Bytes id;
};

/// Reads the first packet of `datagram`, the payload of a UDP packet. Neither allocates nor reads outside
/// of it.
QuicHeader read_quic_header(Bytes datagram);

}  // namespace flowsieve
