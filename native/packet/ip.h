// The IP layer of either family: addresses, length, fragment fields, and the walk along the headers
// that stand between the IP header and the transport.
//
// The same walk reads packets and quotes of packets. A quote (in an ICMP error) is the beginning of
// a packet, so its length field says how long the packet was, not how long the quote is; nothing
// that needs the whole packet is asked of it.
#pragma once

#include <cstdint>

#include "packet/packet.h"
#include "packet/window.h"

namespace flowsieve {

enum class Reading : uint8_t { kPacket, kQuote };

struct IpLayer {
  Window window;       ///< the frame, ended where this IP packet ends
  Key key;             ///< addresses, family and the protocol behind all extension headers; ports 0
  uint32_t bytes = 0;  ///< IP header included
  uint32_t identification = 0;  ///< of the datagram, only when is_fragment
  /// Where `key.protocol` begins; in a later fragment, where its data begins.
  uint16_t transport = 0;
  uint8_t fragment_protocol = 0;  ///< as FragmentKey has it, only when is_fragment
  bool is_fragment = false;
  bool is_later = false;    ///< a fragment that is not the first
  bool recognised = false;  ///< the IP header itself was good, whatever came back
};

/// Reads the IP packet at `offset`.
Drop read_ip(const Window& frame, size_t offset, Reading reading, IpLayer& layer);

}  // namespace flowsieve
