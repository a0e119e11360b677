// The decision: whose is this packet? One function over one packet, one table and one set of
// criteria; the heart of the system. Its packet classes are those of figures 7 and 8 of
// ../shared/mission/seed.txt, where figures 3, 4 and 5 draw what leads to them.
//
//   class  packet                                 verdict  effect
//   1      opening, bucket is mine                deliver  enter into own, OPENING
//   2      its connection is in the own table     deliver  refresh time, update status
//   3      opening, bucket is another's           discard  enter into others, OPENING
//   4      its connection is in the others table  discard  refresh time, update status
//   5      neither, bucket is mine                deliver  enter into own, status by packet type
//   6      neither, bucket is another's           discard  enter into others, status by packet type
//
// A packet of an open connection is decided by the table alone (classes 2 and 4): the allocation is
// not even read. That is why the allocation may change at any time.
//
// What a rule refuses (allocation/rules.h) is in no class: it is discarded and never entered. That
// too holds only for packets of unknown connections.
//
// Own and others stand in one table; an entry is "own" when its owner is this node.
//
// A packet of unknown connection that is expected (decide/expectations.h) belongs to the node that
// expects it, whatever its bucket: "the bucket is mine" is then "I expect it".
// A dispatcher (figure 6) takes the packets of all nodes and forwards each to its own: there every
// node's packets are "mine", and the verdict is `forward` instead of `deliver`.
//
// While the allocation changes, a packet of unknown connection may be nobody's yet, and past its
// lease a node opens nothing: decide/transition.h. A QUIC packet whose connection id names a node is
// that node's, whatever table and allocation say: decide/connection_id.h.
#pragma once

#include <memory>

#include "allocation/allocation.h"
#include "allocation/distribution.h"
#include "allocation/quic_lb.h"
#include "count/counters.h"
#include "decide/expectations.h"
#include "decide/reserved.h"
#include "decide/selection.h"
#include "decide/transition.h"
#include "packet/packet.h"
#include "table/table.h"

namespace flowsieve {

enum class Verdict : uint8_t {
  kPass,     ///< not the cluster's, or not decided yet
  kDeliver,  ///< mine
  kDiscard,  ///< another's
  kForward,  ///< of the node that Decision::owner says; a dispatcher's
};

/// The packet goes on from here, to this node's own stack or to its node.
inline bool is_accepted(Verdict verdict) {
  return verdict == Verdict::kDeliver || verdict == Verdict::kForward;
}

enum class Tracking : uint8_t {
  kObserve,  ///< own and others' connections are kept from the packets themselves (figure 5)
  kOwn,      ///< only own ones are entered; others' come with a handover's list (figure 4)
};

/// What decisions depend on besides the table. Replaced as a whole, between two bursts.
struct Criteria {
  Distribution distribution;
  Allocation allocation;
  Tracking tracking = Tracking::kObserve;
  bool monitoring = true;  ///< follow the status; without it entries only age
  /// The nodes forward (gateways): a connection does not end with its node.
  bool forwards = false;
  /// Which nodes QUIC connection ids name; null: not configured, and nobody looks for any.
  std::shared_ptr<const QuicLb> quic{};
  Dispatching dispatching{};

  /// The packets of `owner` are for this process to take.
  bool takes(NodeIndex owner) const {
    return dispatching.on ? owner != kNobody : owner == allocation.self;
  }
  Verdict verdict_for(NodeIndex owner) const {
    if (!takes(owner)) return Verdict::kDiscard;
    return dispatching.on ? Verdict::kForward : Verdict::kDeliver;
  }
  /// It is known that the opening packets left to `owner` have reached it.
  bool vouches_for(NodeIndex owner) const { return takes(owner) && !dispatching.is_down(owner); }
};

/// A packet with its place in the table.
struct Subject {
  const Packet* packet;
  Key key;        ///< as stored
  bool reversed;  ///< the packet runs against the stored key
  bool watched;   ///< sent by the server side: may change what is known, never enters anything
  bool unshared;  ///< of a watched packet: this node has sent it, and no other node sees it
  bool follower;  ///< a later fragment: the connection's, but says nothing about its status
  /// It was held, while packets that came after it were decided.
  bool waited = false;
  Verdict first = Verdict::kPass;  ///< of a follower: what its first fragment's verdict was
  NodeIndex reserved = kNobody;    ///< whose it is by configuration (decide/reserved.h)
  NodeIndex first_owner = 0;       ///< and whose that one was
};

struct Decision {
  Verdict verdict = Verdict::kPass;
  uint8_t packet_class = 0;  ///< 1 … 6; 0 when the packet is in none (pass, watched, malformed)
  Slot slot = kNoSlot;       ///< of the connection, when it is tracked
  NodeIndex owner = 0;       ///< the node whose packet this is; meaningless for kPass
  uint32_t bucket = 0;       ///< only when the bucket decided
  bool by_bucket = false;    ///< the allocation decided, or an expectation: not the table
  bool expected = false;     ///< an expectation decided
  bool by_id = false;        ///< the QUIC connection id decided, neither of both
  bool hold = false;         ///< undecided: waits for a handover, `owner` is the loser
  bool lease_over = false;   ///< discarded: this node's to answer, but not without a lease
  bool refused = false;      ///< discarded: a rule gives it to nobody
  bool passed =
      false;  ///< a rule leaves it to every node's kernel; `verdict` is by whom it gets there
  bool anew = false;      ///< the connection was noted as another's, and was nobody's
  bool reserved = false;  ///< the configuration decided: in no class, and without a lease
  uint32_t epoch = 0;     ///< of a decision by bucket: in which the connection was first seen
  /// What the connection id said; kNone but on QUIC ports.
  QuicId quic = QuicId::kNone;
};

/// Is told when connections enter and leave the table. Called per connection, never per packet.
class ConnectionListener {
 public:
  virtual ~ConnectionListener() = default;
  virtual void entered(Slot slot, const Record& record) = 0;
  /// The record is still in its slot and leaves it after the call. `timed_out`: by its timer, else
  /// because its place or key was needed. One that was contested still is (kContested) when it
  /// leaves for its place alone.
  virtual void leaving(Slot slot, const Record& record, bool timed_out) = 0;
  /// This node has opened a connection while a handover moves its bucket. Comes also when there was
  /// no place to enter it: then without its flag (kContested).
  virtual void contested(const Record& record) = 0;
};

/// What other nodes may know of this one's connections: what was opened by the time of the last
/// list that it gave them, and what a list has brought.
struct Told {
  bool ever = false;
  Tick at = 0;

  bool may_be_known(const Record& record) const {
    return (record.flags & kImported) != 0 || (ever && !Wheel::is_later(record.opened, at));
  }
};

/// What a decision reads and changes; everything in it belongs to one worker.
struct Context {
  const Criteria& criteria;
  ConnectionTable& table;
  Counters& counters;
  ConnectionListener* listener;  ///< may be null
  Tick now;
  const Transition* transition = nullptr;  ///< null: the allocation is not changing
  const Former* former = nullptr;          ///< null: nobody decides by earlier criteria any more
  bool may_open = true;                    ///< the lease has not run out
  Expectations* expectations = nullptr;    ///< null: nobody expects anything
  QuicAnswer quic{};                       ///< what the packet's connection id says
  Told told{};                             ///< the lists that this node has given away
};

/// Decides one packet of kind kFlow, kError or (with a known first fragment) kFragment. `slot` is
/// what table.find() says of subject.key at this moment, `hash` is table.hash() of it.
Decision decide(const Subject& subject, Slot slot, uint64_t hash, Context& context);

/// Notes a packet of kind kFlow that nobody decides here any more: what decide() would do to the
/// table if the criteria gave it to another node. The transition does not count.
void note(const Subject& subject, Slot slot, uint64_t hash, Context& context);

/// What of a key may be hashed. `flow` must outlive the result.
inline HeaderFields header_fields(const Key& flow) {
  return {flow.family,      flow.source,           flow.destination,
          flow.source_port, flow.destination_port, flow.protocol};
}

/// True when a packet of unknown connection opens one: TCP SYN without ACK, SCTP INIT, and every
/// packet of the other protocols but the reply to an ICMP query.
bool opens(const Packet& packet);

}  // namespace flowsieve
