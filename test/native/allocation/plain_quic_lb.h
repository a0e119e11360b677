// QUIC-LB a second time, for the differential tests: the draft's sections 5.4 and 5.5 step by step,
// over hexadecimal digits, as plainly as it goes. It also makes connection ids, which the product
// does in TypeScript only.
#pragma once

#include <string>

#include "allocation/quic_lb.h"

namespace flowsieve::test {

/// The connection id in hexadecimal digits. `low`: the first octet's lower five bits where they are
/// not the length.
std::string plain_encode(const QuicConfig& config, const std::string& server_id,
                         const std::string& nonce, uint8_t low = 0);

/// What node_of() has to say. Server ids in `options` as they are there.
QuicAnswer plain_node_of(const QuicLbOptions& options, const std::string& id, bool exact);

std::string to_hex(const uint8_t* bytes, size_t size);

}  // namespace flowsieve::test
