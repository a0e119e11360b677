// How long a connection is kept without a packet, by kind of protocol and status.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "table/record.h"

namespace flowsieve {

enum class TimeoutClass : uint8_t { kTcp, kUdp, kIcmp, kSctp, kOther };
inline constexpr size_t kTimeoutClasses = 5;

/// No timeout is longer than this, hence no connection unseen for longer (3.4 years). Ages are
/// compared by their distance on a clock that wraps around, so half of its range is the end; half
/// of that leaves room for what is overdue.
inline constexpr Tick kTimeoutMax = 1u << 30;

/// By IANA protocol number; ICMP and ICMPv6 are one class.
inline constexpr TimeoutClass timeout_class(uint8_t protocol) {
  switch (protocol) {
    case 6:
      return TimeoutClass::kTcp;
    case 17:
      return TimeoutClass::kUdp;
    case 1:
    case 58:
      return TimeoutClass::kIcmp;
    case 132:
      return TimeoutClass::kSctp;
    default:
      return TimeoutClass::kOther;
  }
}

/// Ticks, by TimeoutClass and ConnectionStatus.
struct Timeouts {
  Tick ticks[kTimeoutClasses][3];

  Tick of(uint8_t protocol, ConnectionStatus status) const {
    return ticks[static_cast<size_t>(timeout_class(protocol))][static_cast<size_t>(status)];
  }
};

/// The defaults: for established TCP and UDP those of RFC 5382 and RFC 4787. A protocol that does
/// not close has its opening timeout under kClosing; only a list from another node can bring such
/// an entry.
Timeouts default_timeouts();

}  // namespace flowsieve
