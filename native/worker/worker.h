// A worker takes bursts of frames from a source and does six things with each burst, in this order:
//
//   receive -> parse -> scope -> find -> decide -> deliver
//
// It owns one table, one fragment tracker and one set of counters, and shares nothing: whoever
// wants to change or see something of it does so between two turns (room engine). It has no thread,
// no clock and no file descriptor of its own, so that a test, a replay and the live path run the
// very same code.
//
// A handover's steps (docs/decisions/cluster-protocol.md) come from outside, between two turns:
//
//   loser                         prepare -> release -> replace_criteria
//   gainer                        prepare -> hold -> acquire -> replace_criteria
//   gainer of a dead node's       takeover -> adopt -> acquire -> replace_criteria
//
// and lists of connections travel by export_list() and import_list(). Every step may be repeated.
// Before release(), replace_criteria(), and before a list is made or merged, the caller has
// everything decided that had been received by then: a list speaks of packets that its reader has
// received as well.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "decide/decide.h"
#include "decide/scope.h"
#include "packet/fragments.h"
#include "wire/flow_bypass.h"
#include "wire/source.h"
#include "worker/audit.h"
#include "worker/concurrency.h"
#include "worker/contested.h"
#include "worker/hold.h"
#include "worker/ledger.h"
#include "worker/recall.h"
#include "worker/reconcile.h"

namespace flowsieve {

class OpenList;
struct OpenConnection;

struct WorkerOptions {
  TableOptions table;
  FragmentLimits fragments;
  HoldLimits hold;
  Scope scope;
  /// Both directions of the connections arrive from the wire (captures, gateways), not only the
  /// clients' packets.
  bool both_directions = false;
  /// One in so many entered connections is kept as a sample for those who look on; 0 = none.
  uint32_t sample_every = 0;
  /// Asked for the time once more before what a lease covers is delivered, as a process can be
  /// stopped between deciding and delivering. The clock of `now_ns`; empty where time is handed in.
  std::function<uint64_t()> clock;
};

/// What became of the packets that an acquire() resolved.
struct Resolved {
  uint32_t opened = 0;    ///< this node's by their bucket
  uint32_t followed = 0;  ///< of connections that are known by now, or another's
  uint32_t expired = 0;   ///< had waited too long; all since the last acquire()
};

/// Which connections a list is made of; `next` is the criteria that the transition leads to.
enum class ListKind : uint8_t {
  kTables,    ///< all
  kOwn,       ///< this node's own
  kMoving,    ///< whose bucket is this node's and by `next` the other's, whoever owns them
  kReleased,  ///< contested ones whose bucket is the other's by `next`
  kClaims,    ///< own ones that are contested or stand in a bucket of the transition's dead
  kContested  ///< own contested ones
};

/// What a turn did with one frame, for `explain`.
struct Trace {
  Packet packet;
  Decision decision;
  bool held = false;  ///< waits: a later fragment for its first one, or a packet for a handover
};

class Worker : private ConnectionListener {
 public:
  static constexpr size_t kSamplesMax = 64;

  /// `delivery` must outlive the worker; `responder` and `ledger` may be null. `now_ns` is where
  /// the worker's time begins.
  Worker(const WorkerOptions& options, Criteria criteria, Delivery& delivery, Responder* responder,
         Ledger* ledger, uint64_t now_ns);

  /// One burst from `source`: the six verbs. Returns how many frames there were. A frame without a
  /// time of its own came at `now_ns`. One with an earlier time waited in the ring: connections go
  /// by when it came, as they do on the other nodes, everything else (leases, what waits) by the
  /// clock. In a replay the frames' times are the clock.
  size_t turn(Source& source, uint64_t now_ns);

  /// Lets time pass: connections and fragments whose time is over leave. At most `budget` timers
  /// are looked at.
  void age(uint64_t now_ns, size_t budget);

  /// What may keep packets away from this worker's source; null: nothing. Must outlive the worker's
  /// last turn.
  void set_bypass(FlowBypass* bypass);
  /// All packets come to this worker again, and the table knows when the last ones came. Before
  /// anybody asks for connections or changes who decides about them.
  void end_bypass();

  /// What is a certain node's by configuration. Takes effect with the next turn.
  void reserve(Reserved reserved) { reserved_ = std::move(reserved); }

  /// Takes effect with the next turn. The table stays as it is: that is the point. Ends a
  /// transition; what is still held is decided by the new criteria.
  void replace_criteria(Criteria criteria);

  // The steps of a transition.

  /// From `ns` on no packet is this node's by its bucket. UINT64_MAX: never ends. When the lease
  /// begins again after a gap, the opening packets that were refused in the gap are delivered, where
  /// they are this node's still. 0: it has no lease in this life of the node, and what was refused
  /// in the one before may have been another's to answer since.
  void set_open_until(uint64_t ns);
  /// The allocation is going to change. As loser, remembers from now on what it opens in moving
  /// buckets; as gainer, tracks their connections. Does nothing when it has come before.
  void prepare(Transition transition);
  /// As gainer: packets of unknown connections in the gained buckets wait.
  void hold();
  /// As loser: the next owners decide from now on. The caller has had everything decided that had
  /// been received.
  void release();
  /// As gainer: these losers have released and their lists have been merged. Decides what waits
  /// for them.
  Resolved acquire(std::span<const NodeIndex> losers);
  /// prepare() and hold() of a transition whose losers are dead.
  void takeover(Transition transition);

  /// Gives the connections of `dead` to the owners of their buckets: by the criteria, or during
  /// a takeover by the next ones. Those that are still opening are not this node's by that: it
  /// forgets them, and whoever comes again is decided by bucket and lease. Looks at about `looks`
  /// chunks and entries from `cursor` (0 at first) on and moves it, at the end to kListEnd. Returns
  /// how many connections changed their owner.
  size_t adopt(std::span<const NodeIndex> dead, uint64_t& cursor, size_t looks);
  /// Delivers the opening packets that were left to `dead` of late, where the connection is still
  /// opening and its bucket is this node's as in adopt(). May run before adopt() has come to them.
  /// Returns how many were delivered.
  size_t recall(std::span<const NodeIndex> dead);
  /// Forgets which connections were contested. By now every node decides by the same criteria: no
  /// more are.
  void clear_contested();

  // Expected connections (docs/decisions/expected-connections.md). Before a state is taken over
  // or an expectation is gone, the caller has everything decided that had been received.

  /// Enters an expectation, or moves its state on. `room` becomes the worker's when it has none
  /// yet: memory is taken by the caller, not between two bursts. What was left to others while this
  /// node's own was pending is forgotten when that becomes active.
  Expectations::Outcome expect(const Expectation& expectation, std::unique_ptr<Expectations>& room);
  /// It is over. What was left to its owner while it was ending is forgotten, unless the owner has
  /// said that it has it. False when it was not there.
  bool unexpect(NodeIndex owner, uint64_t id);
  /// Those of nodes that are dead or have left; before their connections are adopted.
  void forget_expectations(std::span<const NodeIndex> owners);
  void clear_expectations();
  /// Null: none ever was.
  const Expectations* expectations() const { return expectations_.get(); }

  static constexpr uint64_t kListEnd = UINT64_MAX;
  /// Copies up to out.size() records for node `to` from `cursor` (0 at first) on, and returns how
  /// many; looks at about `looks` places at most. That none came is not the end: that the cursor
  /// has become kListEnd is. A record may come twice.
  size_t export_list(ListKind kind, NodeIndex to, uint64_t& cursor, std::span<Record> out,
                     size_t looks) const;
  /// Merges another node's list (ConnectionTable::import_block). Its kind says how far it is
  /// believed.
  ConnectionTable::Imported import_list(ListKind kind, std::span<const Record> records,
                                        Tick sender_now);

  /// A list of this worker's connections goes to another node.
  void tell() { told_ = {.ever = true, .at = now()}; }

  // The operating system's list (worker/reconcile.cc).

  /// Adds the keys of own connections that `list`, begun at `listed_at`, does not have to
  /// `missing`, up to `most` in it. Looks at about `looks` chunks and entries from `cursor` (0 at
  /// first) on and moves it, at the end to kListEnd. Returns how many were compared.
  size_t find_missing(const OpenList& list, Tick listed_at, uint64_t& cursor, size_t looks,
                      std::vector<Key>& missing, size_t most);
  /// Ends a connection that the first list did not have, if it is not in the second (`again`)
  /// either. `dry`: only says what it would do.
  Reconciled drop_missing(const Key& key, const OpenList& again, Tick listed_at, bool dry);
  /// Enters a connection that is open. `anywhere`: in whichever bucket, since no other node decides
  /// about it before it has been told.
  Reconciled restore(const OpenConnection& open, bool anywhere, bool dry);

  const Criteria& criteria() const { return criteria_; }
  /// The rule for the connection of a packet of kind kFlow or kError, whatever its direction.
  uint16_t rule_of(const Packet& packet) const;
  ConnectionTable& table() { return table_; }
  const Counters& counters() const { return counters_; }
  Tick now() const { return to_tick(now_ns_); }
  uint32_t fragments_waiting() const { return fragments_.held_frames(); }
  /// The transition that is under way, or null.
  const Transition* transition() const { return transition_ ? &*transition_ : nullptr; }
  uint32_t held() const { return hold_.size(); }  ///< packets that wait for a handover
  uint64_t contested() const { return contested_.records().size() + contested_.unlisted(); }
  const Audit& audit() const { return audit_; }
  /// How many connections go on at the same time; 0 to 64.
  uint32_t concurrency() const { return concurrency_.mean(); }

  /// Adds what `source` has lost since the last time to the counters.
  void collect_drops(Source& source) { source.collect_drops(counters_); }
  /// Adds what the delivery has counted since the last time.
  void collect_delivered() { delivery_.collect(counters_); }

  /// Gives up what waits for a first fragment: there will be no more frames.
  void abandon_fragments();

  /// Connections entered since the last call, sampled.
  std::vector<Record> take_samples();

  /// What the last turn did, frame by frame. Valid until the next turn.
  std::span<const Trace> traces() const { return {traces_.data(), frame_count_}; }
  std::span<const Frame> frames() const { return {frames_.data(), frame_count_}; }

 private:
  void entered(Slot slot, const Record& record) override;
  void leaving(Slot slot, const Record& record, bool timed_out) override;
  void contested(const Record& record) override;

  void read_burst();
  bool scope_frame(size_t i);
  void count_frame(const Frame& frame, const Packet& packet);
  NodeIndex reserved_for(const Key& flow) const {
    return reserved_.empty() ? kNobody : reserved_.owner_of(flow);
  }
  void decide_burst(Source& source, uint64_t now_ns);
  void deliver_burst();

  void decide_frame(size_t i, Source& source);
  void follow_fragment(size_t i, Source& source);
  Decision decide_follower(const Frame& frame, Packet& packet, const Datagram& datagram);
  void first_fragment(const Packet& packet, const Decision& decision);
  Decision decide_subject(const Frame& frame, const Subject& subject, uint64_t hash);
  Decision decide_at(const Frame& frame, const Subject& subject, uint64_t hash, Tick received);
  void settle(const Frame& frame, const Packet& packet, const Decision& decision);
  void note_refused(Packet& packet);
  void note_concurrency(size_t i);
  void queue(const Frame& frame, const Packet& packet, const Decision& decision);
  void deliver(std::span<const Accepted> packets);
  void pass_time(uint64_t time_ns);
  uint64_t received_ns(const Frame& frame) const;
  void expire(Slot slot);

  // worker/handover.cc
  void mark_acquired(NodeIndex loser);
  void hold_frame(size_t i, Source& source);
  void expire_held(uint64_t now_ns);
  void note_in_vain(const HeldPacket& held);
  Resolved resolve_held();
  bool resolve(const HeldPacket& held, Resolved& resolved);
  void audit_opening(const Subject& subject, uint64_t hash, const Decision& decision);
  void keep_for_recall(const Frame& frame, const Subject& subject, uint64_t hash,
                       const Decision& decision, uint32_t epoch, uint64_t time_ns);
  bool is_worth_keeping(const Packet& packet, const Decision& decision) const;
  void answer_refused(uint64_t now_ns);
  bool answer_one(const Frame& frame, const RecallRing::Entry& entry);
  void forget_refused();
  bool is_own_by_bucket(const Packet& packet) const;
  bool lease_is_over() const;
  void take_back(const Key& key, uint32_t epoch, Packet& packet, Decision& decision);
  void refuse(Packet& packet, Decision& decision);
  void take_back_openings();
  bool recall_one(const Frame& frame, const RecallRing::Entry& entry,
                  std::span<const NodeIndex> dead);
  bool open_recalled(const Frame& frame, const RecallRing::Entry& entry, Packet& packet,
                     std::span<const NodeIndex> dead);

  // worker/expected.cc
  void look_at_expectations();
  void settle_left(NodeIndex owner, uint64_t id, bool forget);
  bool is_in_doubt(const Record& record) const;
  // worker/passing.cc
  bool is_passed(const Subject& subject) const;
  void pass_frame(size_t i, Source& source);
  Decision pass_follower();
  void count_passed();
  Decision pass_on();

  // worker/bypass.cc
  void bypass(const Frame& frame, const Subject& subject, const Decision& decision);
  void bypass_own();
  static bool may_be_bypassed(const Record& record);
  void begin_bypass(Slot slot, Bypass what, uint64_t last_seen_ns);
  void end_bypass(Slot slot);
  void catch_up(Slot slot);
  size_t end_some_bypasses();
  void refresh_bypasses();

  // worker/lists.cc
  size_t export_contested(ListKind kind, NodeIndex to, uint64_t& cursor, std::span<Record> out,
                          size_t looks) const;
  bool is_listed(ListKind kind, NodeIndex to, const Record& record) const;
  bool is_contested(const Record& record) const;
  bool is_current(const Record& copy, Record& current) const;
  NodeIndex next_owner(const Record& record) const;
  NodeIndex heir(const Record& record) const;
  bool adopt_one(Slot slot, std::span<const NodeIndex> dead);
  bool answer_for(Slot slot, std::span<const NodeIndex> dead);

  // worker/reconcile.cc
  bool is_judged(const Record& record, const OpenList& list, Tick listed_at) const;

  WorkerOptions options_;
  Criteria criteria_;
  Reserved reserved_;
  Delivery& delivery_;
  Responder* responder_;
  Ledger* ledger_;
  ConnectionTable table_;
  FragmentTracker fragments_;
  Counters counters_;
  uint64_t now_ns_;

  // What a cluster needs. A replay has none: nothing is kept for it (cluster_).
  bool cluster_;
  std::optional<Transition> transition_;
  std::optional<Former> former_;  // from replace_criteria() to clear_contested()
  uint64_t open_until_ns_ = UINT64_MAX;
  HoldQueue hold_;
  uint32_t expired_since_acquire_ = 0;
  ContestedList contested_;
  uint32_t contested_since_ = 0;  // records of earlier epochs are not contested any more
  RecallRing recall_;
  bool refused_ = false;  // the recall may have packets that were refused past the lease
  Audit audit_;
  std::unique_ptr<Expectations> expectations_;
  Expectations* expected_ = nullptr;  // the same; null while there are none
  Told told_;
  FlowBypass* bypass_ = nullptr;
  bool bypasses_ = false;  // some have begun and not all ended
  /// An own connection whose bypass begins once this burst has been delivered.
  struct OwnBypass {
    Slot slot = kNoSlot;
    Key key;
    uint64_t last_seen_ns = 0;
  } own_bypass_;
  Tick bypass_begin_ = 0;           // none begins before
  Tick bypass_end_ = 0;             // when all that there are end, to find out which are busy still
  std::vector<Bypassed> bypassed_;  // room for those that end at once

  // One burst, structure of arrays: each verb walks one of them.
  std::array<Frame, kBurst> frames_;
  std::array<Trace, kBurst> traces_;
  std::array<Subject, kBurst> subjects_;
  std::array<uint64_t, kBurst> hashes_;
  std::array<bool, kBurst> in_scope_{};
  std::array<Accepted, kBurst> accepted_;
  size_t frame_count_ = 0;
  size_t accepted_count_ = 0;
  bool burst_opens_ = false;  // something accepted is this node's by its bucket, or opens again

  Concurrency concurrency_;
  std::vector<Record> samples_;
  uint32_t entered_since_sample_ = 0;
};

}  // namespace flowsieve
