// What a rule passes: packets to a cluster address that are every node's own, as if there were no
// flowsieve. The guard (lib/host/guard.ts) lets them through to the kernel by their headers, so
// that the kernel has them from the capture interface. What it cannot know by them is handed in
// here, as delivered packets are: the later fragments of a datagram, ICMP errors, which are passed
// with the connection that they quote, and what is behind an authentication header of IPv4 or
// behind two VLAN tags. Either the guard or the worker, never both: lib/host/passes.ts writes the
// same cases down.
#include "worker/worker.h"

namespace flowsieve {
namespace {

constexpr uint32_t kEthernetHeader = 14, kVlanTag = 4;
constexpr uint32_t kIpv4Protocol = 9;  // the byte of the header that says it

/// The guard matches behind one tag, which the kernel has taken out of the frame by then.
bool is_stacked(const Frame& frame, const Packet& packet) {
  if (frame.link != LinkType::kEthernet || packet.ip_offset < kEthernetHeader) return false;
  const uint32_t in_frame = (packet.ip_offset - kEthernetHeader) / kVlanTag;
  return in_frame + (frame.vlan_tpid != 0 ? 1 : 0) > 1;
}

bool is_behind_authentication(const Frame& frame, const Packet& packet) {
  if (packet.flow.family != Family::kIpv4) return false;
  return frame.bytes.data[packet.ip_offset + kIpv4Protocol] != packet.flow.protocol;
}

bool guard_knows(const Frame& frame, const Packet& packet) {
  return packet.kind == Kind::kFlow && !is_stacked(frame, packet) &&
         !is_behind_authentication(frame, packet);
}

}  // namespace

uint16_t Worker::rule_of(const Packet& packet) const {
  const bool reverse = options_.scope.stores_reversed(packet.flow);
  const Key key = reverse ? reversed(packet.flow) : packet.flow;
  return criteria_.distribution.rule(header_fields(key));
}

/// The key of a subject runs from client to server, whatever the packet's own direction.
bool Worker::is_passed(const Subject& subject) const {
  return criteria_.distribution.passes(header_fields(subject.key));
}

void Worker::pass_frame(size_t i, Source& source) {
  Trace& trace = traces_[i];
  count_passed();
  trace.decision.passed = true;
  // What the server says needs nobody's help, nor do its fragments.
  if (subjects_[i].watched) return;
  if (!guard_knows(frames_[i], trace.packet)) {
    trace.decision = pass_on();
    if (source.complete(frames_[i])) queue(frames_[i], trace.packet, trace.decision);
  }
  if (trace.packet.is_fragment) first_fragment(trace.packet, {.verdict = Verdict::kPass});
}

/// A later fragment of a passed datagram.
Decision Worker::pass_follower() {
  count_passed();
  return pass_on();
}

void Worker::count_passed() {
  counters_.add(Count::kPassed);
  counters_.add(Count::kPassedByRule);
}

Decision Worker::pass_on() {
  counters_.add(Count::kPassedOn);
  return {.verdict = Verdict::kDeliver, .passed = true};
}

}  // namespace flowsieve
