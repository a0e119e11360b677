// Reads an OpenList from the operating system: its sockets, and what it translates.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "netlink/open_list.h"

namespace flowsieve {

enum class UseConntrack : uint8_t {
  kAuto,    ///< where the kernel has it
  kAlways,  ///< without it there is no list
  kNever,
};

struct SystemListOptions {
  Scope scope;
  MatchFields match;
  UseConntrack conntrack = UseConntrack::kAuto;
};

struct SystemList {
  OpenList list;
  uint64_t sockets = 0;    ///< read
  uint64_t tracked = 0;    ///< translated connections read
  uint64_t malformed = 0;  ///< answers that could not be read
  bool conntrack = false;  ///< translated connections were listed
};

/// Blocks for as long as the kernel takes, a second or so for a million sockets. Sees the network
/// namespace of the calling thread. kMissing names the kernel feature that is not there (TCP and
/// UDP must be; SCTP sockets are listed where the kernel has them).
Result<SystemList> read_system_list(const SystemListOptions& options);

}  // namespace flowsieve
