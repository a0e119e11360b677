// What the program on the ring's socket (wire/bypass.h) has decided of a packet is carried out by a
// second program, at the ingress of the capture interface, before the network stack does anything
// with it.
//
//   packet -> the ring's socket: notes what becomes of it
//          -> ingress: another's    -> dropped
//                      own          -> goes on as if it had come by the delivery device
//                      nothing said -> goes on, as without this
//
// The kernel runs both for one packet in a row on one processor, so the note, one for each
// processor, is always about the packet in hand: what the first decides the second does, whatever
// happens to the map between the two. The first unsays the note of the packet before, should
// something have taken that one away.
#pragma once

#include <cstdint>
#include <memory>

#include "base/descriptor.h"
#include "base/status.h"
#include "wire/flow_bypass.h"

namespace flowsieve {

class EarlyVerdict {
 public:
  /// The note: nothing said, or 1 more than a Bypass (wire/flow_bypass.h).
  using Note = uint32_t;
  static constexpr Note note_of(Bypass what) { return static_cast<Note>(what) + 1; }

  /// At interface `from`, with the delivery device `to`, both by index. kMissing before Linux 6.6,
  /// kPrivilege without CAP_BPF and CAP_NET_ADMIN, or root.
  static Result<std::shared_ptr<EarlyVerdict>> open(uint32_t from, uint32_t to);

  /// The map with the note, one for each processor.
  int note() const { return note_.get(); }
  int program() const { return program_.get(); }

 private:
  EarlyVerdict(Descriptor note, Descriptor program, Descriptor link)
      : note_(std::move(note)), program_(std::move(program)), link_(std::move(link)) {}

  Descriptor note_, program_, link_;
};

}  // namespace flowsieve
