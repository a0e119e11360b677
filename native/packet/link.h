// The link header: is there IP behind it, and where.
#pragma once

#include <cstdint>

#include "packet/packet.h"
#include "packet/window.h"

namespace flowsieve {

struct LinkLayer {
  uint16_t ip_offset = 0;  ///< where the IP header begins, when `ip`
  bool ip = false;         ///< false: the frame carries something else
};

/// Reads the link header at the window's first byte. `layer` says nothing when a drop
/// reason comes back.
Drop read_link(const Window& frame, LinkType link, LinkLayer& layer);

}  // namespace flowsieve
