// What a list of records from another node needs before a worker may merge it: the worker that gets
// the connection's packets, and owners by the names of this process.
#pragma once

#include <cstdint>
#include <span>

#include "allocation/allocation.h"
#include "table/record.h"

namespace flowsieve {

/// The owner of records whose sender named a node that this process does not know; no table takes
/// them.
inline constexpr NodeIndex kUnknownNode = UINT16_MAX;

/// Which of `workers` gets the packets of a connection, in both directions: what the kernel
/// computes for them (wire/fanout.h).
uint32_t worker_of(const Key& key, uint32_t workers);

/// Replaces each record's owner, an index of the sender's, by owners[that index]; what is not in
/// the table becomes kUnknownNode.
void translate_owners(std::span<Record> records, std::span<const NodeIndex> owners);

}  // namespace flowsieve
