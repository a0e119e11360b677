// What came of comparing a connection with the operating system's list (docs/decisions/os-list.md).
#pragma once

#include <cstdint>

namespace flowsieve {

enum class Reconciled : uint8_t {
  kKept,       ///< as it was: it is open, or may not be judged at this moment
  kDropped,    ///< its entry is gone, with its socket
  kClosed,     ///< has no socket; its entry stays, since other nodes may have one
  kRestored,   ///< has a socket, and got an entry
  kUnmatched,  ///< has a socket, but is not this node's by its table or bucket
  kNoRoom,     ///< has a socket, and the table has no place
};

}  // namespace flowsieve
