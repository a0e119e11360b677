// IANA protocol numbers that the walk knows by name.
#pragma once

#include <cstdint>

namespace flowsieve {

inline constexpr uint8_t kProtocolHopByHop = 0, kProtocolIcmp = 1, kProtocolIgmp = 2,
                         kProtocolTcp = 6, kProtocolUdp = 17, kProtocolRouting = 43,
                         kProtocolFragment = 44, kProtocolAh = 51, kProtocolIcmp6 = 58,
                         kProtocolNone = 59, kProtocolDestinationOptions = 60, kProtocolSctp = 132,
                         kProtocolMobility = 135, kProtocolHip = 139, kProtocolShim6 = 140;

}  // namespace flowsieve
