#include "table/timeouts.h"

namespace flowsieve {

Timeouts default_timeouts() {
  constexpr Tick kSecond = kTicksPerSecond;
  return {{
      {30 * kSecond, 7440 * kSecond, 20 * kSecond},  // TCP
      {30 * kSecond, 120 * kSecond, 30 * kSecond},   // UDP
      {30 * kSecond, 30 * kSecond, 30 * kSecond},    // ICMP
      {30 * kSecond, 7440 * kSecond, 20 * kSecond},  // SCTP
      {30 * kSecond, 600 * kSecond, 30 * kSecond},   // other
  }};
}

}  // namespace flowsieve
