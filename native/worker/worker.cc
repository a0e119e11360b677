#include "worker/worker.h"

#include <algorithm>
#include <new>
#include <type_traits>

#include "decide/connection_id.h"
#include "table/ahead.h"

namespace flowsieve {
namespace {

static_assert(std::is_trivially_destructible_v<Packet> &&
              std::is_trivially_destructible_v<Decision>);

bool is_accepted(const Decision& decision) {
  return is_accepted(decision.verdict);
}

}  // namespace

Worker::Worker(const WorkerOptions& options, Criteria criteria, Delivery& delivery,
               Responder* responder, Ledger* ledger, uint64_t now_ns)
    : options_(options),
      criteria_(std::move(criteria)),
      delivery_(delivery),
      responder_(responder),
      ledger_(ledger),
      table_(options.table, to_tick(now_ns)),
      fragments_(options.fragments, options.table.seed),
      now_ns_(now_ns),
      cluster_(ledger == nullptr),
      hold_(cluster_ ? options.hold : HoldLimits{.bytes = 0}),
      contested_(cluster_ ? ContestedList::kMax : 0),
      recall_(cluster_ ? RecallRing::kPlaces : 0) {
  samples_.reserve(kSamplesMax);
}

size_t Worker::turn(Source& source, uint64_t now_ns) {
  pass_time(now_ns);  // also when nothing comes: what is done between two turns goes by it
  if (refused_) answer_refused(now_ns);
  frame_count_ = source.receive(frames_);
  accepted_count_ = 0;
  burst_opens_ = false;
  read_burst();
  decide_burst(source, now_ns);
  deliver_burst();
  if (own_bypass_.slot != kNoSlot) [[unlikely]]
    bypass_own();
  return frame_count_;
}

/// Frame by frame: what the packet is, whether it is the cluster's, and the key under which its
/// connection would stand. While the next ones are read, the tags for that key come into the cache;
/// and then, while the first ones are decided, the records that have those tags, and what a packet
/// that opens or closes its connection will write.
void Worker::read_burst() {
  for (size_t i = 0; i < frame_count_; ++i) {
    new (&traces_[i].decision) Decision;
    traces_[i].held = false;
    // Made where it stays, and so is the decision.
    new (&traces_[i].packet)
        Packet(parse(frames_[i].bytes, frames_[i].wire_bytes, frames_[i].link));
    in_scope_[i] = scope_frame(i);
    if (!in_scope_[i] || traces_[i].packet.kind == Kind::kFragment) continue;
    hashes_[i] = table_.hash(subjects_[i].key);
    table_.prefetch(hashes_[i]);
  }
  Ahead<kBurst> ahead(table_);
  for (size_t i = 0; i < frame_count_; ++i) {
    const Packet& packet = traces_[i].packet;
    if (!in_scope_[i] || packet.kind == Kind::kFragment) continue;
    if (packet.opening) {
      ahead.open(hashes_[i], ConnectionStatus::kOpening);
    } else if (packet.tcp_flags & (kTcpFin | kTcpRst)) {
      ahead.close(hashes_[i]);
    } else {
      ahead.find(hashes_[i]);
    }
  }
  ahead.finish();
}

/// Whether the packet is one of the cluster's that can be decided; then its subject is made.
bool Worker::scope_frame(size_t i) {
  const Packet& packet = traces_[i].packet;
  const Frame& frame = frames_[i];
  count_frame(frame, packet);
  if (packet.drop != Drop::kNone) {
    counters_.drop(packet.drop);
    if (is_malformed(packet.drop)) counters_.add(Count::kMalformed);
    return false;
  }
  if (packet.kind == Kind::kNonIp || packet.kind == Kind::kControl) {
    counters_.add(packet.kind == Kind::kNonIp ? Count::kNonIp : Count::kControl);
    if (responder_ && responder_->answer(frame)) counters_.add(Count::kResolutionAnswered);
    return false;
  }
  const bool from_cluster = options_.scope.contains(packet.ip_source);
  const bool to_cluster = options_.scope.contains(packet.ip_destination);
  bool in_scope =
      frame.outgoing ? from_cluster : to_cluster || (options_.both_directions && from_cluster);
  if (options_.scope.is_gateway()) [[unlikely]] {
    in_scope = options_.scope.forwards(frame.bytes, frame.link, packet);
  }
  if (!in_scope) {
    counters_.add(Count::kPassed);
    return false;
  }
  Subject& subject = subjects_[i];
  subject.packet = &packet;
  subject.reversed = options_.scope.stores_reversed(packet.flow);
  subject.key = subject.reversed ? reversed(packet.flow) : packet.flow;
  subject.watched = frame.outgoing || !to_cluster;
  subject.unshared = frame.outgoing;
  subject.follower = false;
  subject.reserved = reserved_for(packet.flow);
  return true;
}

void Worker::count_frame(const Frame& frame, const Packet& packet) {
  counters_.add(Count::kPackets);
  counters_.add(Count::kBytes, frame.wire_bytes);
  if (packet.ip) counters_.add(Count::kIp);
  if (packet.is_fragment) counters_.add(Count::kFragments);
  if (frame.offload.gso_type != 0) counters_.add(Count::kSuperPackets);
}

/// In order, since a packet may belong to the connection that the one before it in the
/// burst has opened.
void Worker::decide_burst(Source& source, uint64_t now_ns) {
  for (size_t i = 0; i < frame_count_; ++i) {
    pass_time(std::max(frames_[i].time_ns, now_ns));
    if (!in_scope_[i]) continue;
    if (traces_[i].packet.kind == Kind::kFragment) {
      follow_fragment(i, source);
    } else {
      decide_frame(i, source);
    }
  }
}

void Worker::decide_frame(size_t i, Source& source) {
  if (criteria_.distribution.has_passes() && is_passed(subjects_[i])) [[unlikely]] {
    return pass_frame(i, source);
  }
  Trace& trace = traces_[i];
  new (&trace.decision) Decision(decide_subject(frames_[i], subjects_[i], hashes_[i]));
  if (trace.decision.by_bucket && cluster_) {
    audit_opening(subjects_[i], hashes_[i], trace.decision);
    if (trace.decision.hold) return hold_frame(i, source);
    keep_for_recall(frames_[i], subjects_[i], hashes_[i], trace.decision, trace.decision.epoch,
                    received_ns(frames_[i]));
  }
  if (is_accepted(trace.decision)) {
    burst_opens_ |= trace.decision.by_bucket || trace.packet.opening;
  }
  if (trace.decision.lease_over) {
    trace.packet.drop = Drop::kLeaseOver;
    counters_.drop(Drop::kLeaseOver);
  }
  if (trace.decision.refused) [[unlikely]]
    note_refused(trace.packet);
  settle(frames_[i], trace.packet, trace.decision);
  note_concurrency(i);
  if (bypass_ != nullptr) [[unlikely]]
    bypass(frames_[i], subjects_[i], trace.decision);
  if (is_accepted(trace.decision) && source.complete(frames_[i])) {
    queue(frames_[i], trace.packet, trace.decision);
  }
  // Of what this node sends itself nothing is delivered, so nothing of it needs to wait.
  if (trace.packet.is_fragment && !frames_[i].outgoing) {
    first_fragment(trace.packet, trace.decision);
  }
}

Decision Worker::decide_subject(const Frame& frame, const Subject& subject, uint64_t hash) {
  return decide_at(frame, subject, hash, to_tick(received_ns(frame)));
}

Decision Worker::decide_at(const Frame& frame, const Subject& subject, uint64_t hash,
                           Tick received) {
  Slot slot = table_.find(subject.key, hash);
  // Aging works off its timers with a budget. Here every node agrees to the tick on what is over.
  if (slot != kNoSlot && table_.is_over(slot, received)) {
    catch_up(slot);
    if (table_.is_over(slot, received)) {
      expire(slot);
      slot = kNoSlot;
    }
  }
  // A stray packet that this node sends must not touch what another node is responsible for.
  if (frame.outgoing && slot != kNoSlot && table_.at(slot).owner != criteria_.allocation.self) {
    slot = kNoSlot;
  }
  Context context{.criteria = criteria_,
                  .table = table_,
                  .counters = counters_,
                  .listener = this,
                  .now = received,
                  .transition = transition(),
                  .former = former_ ? &*former_ : nullptr,
                  .may_open = now_ns_ < open_until_ns_,
                  .expectations = expected_,
                  .told = told_};
  if (criteria_.quic) [[unlikely]] {
    context.quic = read_connection_id(*criteria_.quic, subject, frame.bytes);
  }
  Decision decision = decide(subject, slot, hash, context);
  decision.quic = context.quic.id;
  return decision;
}

/// A fragment without ports goes where the first fragment of its datagram went, and waits when that
/// has not come.
void Worker::follow_fragment(size_t i, Source& source) {
  Trace& trace = traces_[i];
  Packet& packet = trace.packet;
  const Datagram* datagram = fragments_.find(packet.fragment(), now_ns_);
  if (!datagram) {
    if (frames_[i].outgoing || !source.complete(frames_[i])) return;
    HeldFrame held{.bytes = frames_[i].bytes,
                   .wire_bytes = frames_[i].wire_bytes,
                   .time_ns = received_ns(frames_[i]),
                   .link = frames_[i].link,
                   .packet = packet};
    static_assert(sizeof(frames_[i].offload) <= sizeof(held.extra));
    std::memcpy(held.extra.data(), &frames_[i].offload, sizeof(frames_[i].offload));
    trace.held = fragments_.hold(packet.fragment(), held, now_ns_);
    if (trace.held) {
      counters_.add(Count::kFragmentsHeld);
    } else {
      packet.drop = Drop::kFragmentHeldFull;
      counters_.drop(Drop::kFragmentHeldFull);
    }
    return;
  }
  trace.decision = decide_follower(frames_[i], packet, *datagram);
  if (trace.decision.refused) [[unlikely]]
    note_refused(packet);
  settle(frames_[i], packet, trace.decision);
  if (is_accepted(trace.decision) && source.complete(frames_[i])) {
    queue(frames_[i], packet, trace.decision);
  }
}

/// Decides a later fragment whose first one is known; completes `packet` with what only the first
/// fragment could say.
Decision Worker::decide_follower(const Frame& frame, Packet& packet, const Datagram& datagram) {
  packet.flow = datagram.flow;
  packet.kind = datagram.kind;
  const bool reverse = options_.scope.stores_reversed(packet.flow);
  Subject subject{.packet = &packet,
                  .key = reverse ? reversed(packet.flow) : packet.flow,
                  .reversed = reverse,
                  .watched = !options_.scope.contains(packet.ip_destination),
                  .unshared = frame.outgoing,
                  .follower = true,
                  .first = static_cast<Verdict>(datagram.verdict),
                  .reserved = reserved_for(packet.flow),
                  .first_owner = datagram.owner};
  if (subject.first == Verdict::kPass && !subject.watched) [[unlikely]]
    return pass_follower();
  return decide_subject(frame, subject, table_.hash(subject.key));
}

/// Remembers what the first fragment decided, and lets those go that were waiting for it.
void Worker::first_fragment(const Packet& packet, const Decision& decision) {
  const Datagram datagram{.flow = packet.flow,
                          .kind = packet.kind,
                          .verdict = static_cast<uint8_t>(decision.verdict),
                          .owner = decision.owner};
  fragments_.remember(packet.fragment(), datagram, now_ns_);
  fragments_.release(packet.fragment(), [&](const HeldFrame& held) {
    Frame frame;
    frame.bytes = held.bytes;
    frame.wire_bytes = held.wire_bytes;
    frame.time_ns = held.time_ns;
    frame.link = held.link;
    std::memcpy(&frame.offload, held.extra.data(), sizeof(frame.offload));
    Packet later = held.packet;
    const Decision follower = decide_follower(frame, later, datagram);
    if (follower.refused) [[unlikely]]
      note_refused(later);
    settle(frame, later, follower);
    // At once, since the held bytes die with the release.
    const Accepted accepted{&frame, later.ip_offset, later.ip_bytes, follower.owner};
    if (is_accepted(follower)) deliver({&accepted, 1});
  });
}

/// Books the packet with its verdict.
void Worker::settle(const Frame& frame, const Packet& packet, const Decision& decision) {
  if (ledger_ && (decision.slot != kNoSlot || decision.packet_class != 0)) {
    ledger_->count_owner(decision.owner);
  }
  if (ledger_ && decision.slot != kNoSlot) {
    const Record& record = table_.at(decision.slot);
    const bool runs_reversed = options_.scope.stores_reversed(packet.flow);
    const bool from_client = runs_reversed == ((record.flags & kClientIsDestination) != 0);
    ledger_->count(decision.slot, from_client, packet.ip_bytes,
                   frame.time_ns ? frame.time_ns : now_ns_);
  }
  if (decision.verdict == Verdict::kDiscard && !decision.lease_over && !decision.refused) {
    counters_.add(Count::kDiscarded);
    counters_.add(Count::kDiscardedBytes, packet.ip_bytes);
  }
}

void Worker::note_concurrency(size_t i) {
  const uint64_t at_ns = received_ns(frames_[i]);
  if (frames_[i].outgoing || !concurrency_.saw(hashes_[i], at_ns)) return;
  const Slot slot = traces_[i].decision.slot;
  const bool more = slot == kNoSlot ? traces_[i].packet.opening
                                    : table_.at(slot).status != ConnectionStatus::kClosing;
  if (more) concurrency_.begin(hashes_[i], at_ns);
}

void Worker::note_refused(Packet& packet) {
  packet.drop = Drop::kRefused;
  counters_.drop(Drop::kRefused);
}

void Worker::queue(const Frame& frame, const Packet& packet, const Decision& decision) {
  accepted_[accepted_count_++] = {&frame, packet.ip_offset, packet.ip_bytes, decision.owner};
}

void Worker::deliver_burst() {
  if (burst_opens_ && lease_is_over()) take_back_openings();
  if (accepted_count_ > 0) deliver({accepted_.data(), accepted_count_});
}

void Worker::deliver(std::span<const Accepted> packets) {
  for (const Accepted& packet : packets) {
    counters_.add(Count::kDelivered);
    counters_.add(Count::kDeliveredBytes, packet.ip_bytes);
  }
  counters_.drop(Drop::kDeliverFailed, packets.size() - delivery_.deliver(packets));
}

/// Moves the clock on. Captures bring their own time with every frame, and there the aging has to
/// keep step; on the live path the clock stands for a burst, and age() is called between the
/// bursts.
void Worker::pass_time(uint64_t time_ns) {
  if (time_ns <= now_ns_) return;
  const bool tick_changed = to_tick(time_ns) != to_tick(now_ns_);
  now_ns_ = time_ns;
  if (tick_changed && ledger_) age(time_ns, SIZE_MAX);
}

/// When the frame came. A node that is behind by more than a while has no lease, and a time that is
/// further back is none.
uint64_t Worker::received_ns(const Frame& frame) const {
  constexpr uint64_t kBehindMax = 5'000'000'000;
  if (!cluster_ || frame.time_ns == 0 || frame.time_ns >= now_ns_) return now_ns_;
  return std::max(frame.time_ns, now_ns_ - std::min(now_ns_, kBehindMax));
}

void Worker::age(uint64_t now_ns, size_t budget) {
  if (now_ns > now_ns_) now_ns_ = now_ns;
  if (refused_) answer_refused(now_ns);
  // First, since what has waited in vain may enter a connection whose own time is over by now.
  expire_held(now_ns_);
  table_.advance(
      to_tick(now_ns_), budget, [this](Slot slot) { catch_up(slot); },
      [this](Slot slot, const Record& record) {
        counters_.add(Count::kExpired);
        leaving(slot, record, true);
      });
  if (bypass_ != nullptr) refresh_bypasses();
  fragments_.expire(now_ns_, [this](const HeldFrame&) { counters_.drop(Drop::kFragmentExpired); });
  counters_.add(Count::kFragmentsForgotten,
                fragments_.overwritten() - counters_[Count::kFragmentsForgotten]);
}

void Worker::expire(Slot slot) {
  counters_.add(Count::kExpired);
  leaving(slot, table_.at(slot), true);
  table_.erase(slot);
}

void Worker::abandon_fragments() {
  fragments_.expire(UINT64_MAX,
                    [this](const HeldFrame&) { counters_.drop(Drop::kFragmentExpired); });
}

void Worker::entered(Slot slot, const Record& record) {
  if (ledger_) ledger_->open(slot);
  if (options_.sample_every == 0 || ++entered_since_sample_ < options_.sample_every) return;
  entered_since_sample_ = 0;
  if (samples_.size() < kSamplesMax) samples_.push_back(record);
}

void Worker::leaving(Slot slot, const Record& record, bool timed_out) {
  if (record.bypassed) [[unlikely]]
    bypass_->end(record.key);
  // It gives its place and goes on: others can be told of it from its copy alone.
  const bool own = record.owner == criteria_.allocation.self;
  if (!timed_out && own && is_contested(record)) [[unlikely]] {
    Record copy = record;
    copy.flags &= static_cast<uint8_t>(~kContested);
    contested_.add(copy);
  }
  if (ledger_) ledger_->close(slot, record, timed_out);
}

void Worker::contested(const Record& record) {
  const uint64_t unlisted = contested_.unlisted();
  contested_.add(record);
  counters_.add(Count::kContested);
  counters_.add(Count::kContestedUnlisted, contested_.unlisted() - unlisted);
}

std::vector<Record> Worker::take_samples() {
  std::vector<Record> taken;
  taken.reserve(kSamplesMax);
  taken.swap(samples_);
  return taken;
}

}  // namespace flowsieve
