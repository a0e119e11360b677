// The second reading of a frame, for the differential tests: the same contract as parse()
// (packet.h), written a second time from the design and the RFCs, as plainly as it goes. Layers are
// copies of bytes, reasons are exceptions, nothing is fast.
#pragma once

#include <string>

#include "packet/packet.h"

namespace flowsieve::test {

Packet plain_parse(Bytes frame, uint32_t wire_bytes, LinkType link);

/// Empty when both say the same; else the first field that differs, with both values. Fields that
/// mean nothing for a packet's kind or drop reason are not compared.
std::string difference(const Packet& packet, const Packet& plain);

}  // namespace flowsieve::test
