// The worker's part in a handover: what waits, what a lease covers, what is recalled. The lists are
// in lists.cc.
#include <algorithm>
#include <utility>

#include "worker/worker.h"

namespace flowsieve {
namespace {

bool contains(std::span<const NodeIndex> nodes, NodeIndex node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

/// An opening packet that the table gave to this node: it comes again.
bool is_opening_of_own(const Packet& packet, const Decision& decision) {
  return packet.opening && decision.packet_class == 2;
}

/// What has waited, as the decision looks at it; `packet` is its packet, or a copy to be changed.
Subject subject_of(const HeldPacket& held, const Packet& packet) {
  return {.packet = &packet,
          .key = held.key,
          .reversed = held.reversed,
          .watched = false,
          .unshared = false,
          .follower = false,
          .waited = true};
}

}  // namespace

void Worker::prepare(Transition transition) {
  if (transition_ && transition_->next.epoch == transition.next.epoch) return;
  transition.same_distribution = is_same(criteria_.distribution, transition.distribution);
  transition_ = std::move(transition);
  expired_since_acquire_ = 0;
  // What an abandoned transition left waiting is decided, or waits, by this one.
  resolve_held();
}

void Worker::hold() {
  if (transition_) transition_->holding = true;
}

void Worker::release() {
  if (!transition_) return;
  transition_->released = true;
  forget_refused();
}

Resolved Worker::acquire(std::span<const NodeIndex> losers) {
  if (!transition_) return {};
  for (const NodeIndex loser : losers) mark_acquired(loser);
  Resolved resolved = resolve_held();
  resolved.expired = std::exchange(expired_since_acquire_, 0);
  return resolved;
}

void Worker::mark_acquired(NodeIndex loser) {
  std::vector<uint8_t>& acquired = transition_->acquired;
  if (loser >= acquired.size()) acquired.resize(loser + size_t{1});
  acquired[loser] = 1;
}

void Worker::takeover(Transition transition) {
  transition.holding = true;
  prepare(std::move(transition));
}

void Worker::replace_criteria(Criteria criteria) {
  expire_held(now_ns_);  // in vain: noted as the loser's, by the criteria so far
  if (transition_ && transition_->next.epoch == criteria.allocation.epoch) {
    former_ = Former{.distribution = criteria_.distribution,
                     .owner = std::move(criteria_.allocation.owner),
                     .same_distribution = is_same(criteria_.distribution, criteria.distribution)};
  }
  criteria_ = std::move(criteria);
  transition_.reset();
  forget_refused();
  resolve_held();
}

void Worker::clear_contested() {
  former_.reset();
  for (const Record& record : contested_.records()) {
    if (is_in_doubt(record)) continue;
    const Slot slot = table_.find(record.key, table_.hash(record.key));
    if (slot != kNoSlot) table_.clear_flags(slot, kContested);
  }
  // What the list had no room for keeps its flag, but is of an earlier epoch than whatever will be
  // contested next.
  if (contested_.unlisted() > 0) contested_since_ = criteria_.allocation.epoch;
  contested_.keep_if([this](const Record& record) { return is_in_doubt(record); });
}

/// Puts a packet aside whose owner a handover has yet to tell. Its later fragments wait as they
/// would for a first fragment that has not come.
void Worker::hold_frame(size_t i, Source& source) {
  Trace& trace = traces_[i];
  if (!source.complete(frames_[i])) return;
  expire_held(now_ns_);
  const HeldPacket held{.frame = frames_[i],
                        .packet = trace.packet,
                        .key = subjects_[i].key,
                        .reversed = subjects_[i].reversed,
                        .hash = hashes_[i],
                        .epoch = trace.decision.epoch,
                        .received_ns = received_ns(frames_[i]),
                        .since_ns = now_ns_};
  trace.held = hold_.push(held);
  if (trace.held) {
    counters_.add(Count::kHeld);
  } else {
    trace.packet.drop = Drop::kHoldFull;
    counters_.drop(Drop::kHoldFull);
    note_in_vain(held);
  }
}

void Worker::expire_held(uint64_t now_ns) {
  if (hold_.size() == 0) return;
  hold_.expire(now_ns, [this](const HeldPacket& held) {
    counters_.drop(Drop::kHoldExpired);
    ++expired_since_acquire_;
    note_in_vain(held);
  });
}

/// A packet has waited in vain, or found no room to wait: this node delivers it no more. So it is
/// the loser's, as without the handover, and noted like any other of those: its connection is then
/// known here as it is on the nodes that hold nothing.
void Worker::note_in_vain(const HeldPacket& held) {
  const Subject subject = subject_of(held, held.packet);
  const Tick received = to_tick(held.received_ns);
  Slot slot = table_.find(held.key, held.hash);
  if (slot != kNoSlot && table_.is_over(slot, received)) {
    expire(slot);
    slot = kNoSlot;
  }
  Context context{.criteria = criteria_,
                  .table = table_,
                  .counters = counters_,
                  .listener = this,
                  .now = received};
  note(subject, slot, held.hash, context);
}

/// Decides all over what waits; what a transition still holds stays.
Resolved Worker::resolve_held() {
  Resolved resolved;
  expire_held(now_ns_);
  hold_.resolve([&](const HeldPacket& held) { return resolve(held, resolved); });
  return resolved;
}

bool Worker::resolve(const HeldPacket& held, Resolved& resolved) {
  Packet packet = held.packet;
  const Subject subject = subject_of(held, packet);
  // As of when it came: by then the other nodes have decided it too, and noted the connection.
  Decision decision = decide_at(held.frame, subject, held.hash, to_tick(held.received_ns));
  if (decision.hold) return false;
  if (decision.packet_class == 1) audit_.take(held.epoch, held.key);
  if (decision.by_bucket && !decision.anew && decision.slot != kNoSlot) {
    const uint32_t epoch = criteria_.allocation.epoch;
    table_.set_behind(decision.slot, epochs_behind(held.epoch, epoch));
  }
  const bool opened = decision.by_bucket && is_accepted(decision.verdict);
  if (decision.lease_over) {
    counters_.drop(Drop::kLeaseOver);
  } else if (decision.refused) {
    note_refused(packet);
  } else if (opened && lease_is_over()) {
    take_back(held.key, held.epoch, packet, decision);
  } else if (is_opening_of_own(packet, decision) && lease_is_over()) {
    refuse(packet, decision);
  } else {
    counters_.add(opened ? Count::kHeldOpened : Count::kHeldFollowed);
    ++(opened ? resolved.opened : resolved.followed);
  }
  if (!decision.lease_over) {
    keep_for_recall(held.frame, subject, held.hash, decision, held.epoch, held.received_ns);
  }
  settle(held.frame, packet, decision);
  if (is_accepted(decision.verdict)) {
    const Accepted accepted{&held.frame, packet.ip_offset, packet.ip_bytes, decision.owner};
    deliver({&accepted, 1});
  }
  if (packet.is_fragment) first_fragment(packet, decision);
  return true;
}

void Worker::audit_opening(const Subject& subject, uint64_t hash, const Decision& decision) {
  const Packet& packet = *subject.packet;
  if (packet.kind != Kind::kFlow || !opens(packet)) return;
  // The loser knows the connection by its second packet: so must who holds them both.
  if (decision.hold && hold_.contains(subject.key, hash)) return;
  if (!decision.anew) audit_.see(decision.epoch, subject.key);
  if (decision.packet_class == 1) audit_.take(decision.epoch, subject.key);
}

void Worker::keep_for_recall(const Frame& frame, const Subject& subject, uint64_t hash,
                             const Decision& decision, uint32_t epoch, uint64_t time_ns) {
  if (decision.lease_over && decision.by_bucket) {
    if (open_until_ns_ == 0 || !is_worth_keeping(*subject.packet, decision)) return;
  } else if (decision.packet_class != 3) {
    return;
  }
  const bool kept = recall_.add(frame, subject.key, hash, decision.owner, epoch, time_ns);
  refused_ |= kept && decision.lease_over;
}

/// Of what is refused past the lease. Where the bucket was another's before, others may have noted
/// that one, and would have to be told, but the lists that tell them may have been given by then.
/// And without its later fragments, which are not kept, a first one is of no use.
bool Worker::is_worth_keeping(const Packet& packet, const Decision& decision) const {
  if (packet.kind != Kind::kFlow || !opens(packet) || packet.is_fragment) return false;
  const NodeIndex self = criteria_.allocation.self;
  if (criteria_.allocation.owner[decision.bucket] != self) return false;
  return !former_ || former_->gives(header_fields(packet.flow), decision.bucket, self);
}

void Worker::set_open_until(uint64_t ns) {
  open_until_ns_ = ns;
  if (ns == 0) forget_refused();
}

/// Delivers what was refused past the lease, once that has begun again. A node that has a lease
/// again was not declared dead in between, and gives no bucket away without releasing it: so nobody
/// else has answered what was this node's all the time.
void Worker::answer_refused(uint64_t now_ns) {
  if (now_ns > now_ns_) now_ns_ = now_ns;
  if (now_ns_ >= open_until_ns_ || lease_is_over()) return;
  refused_ = false;
  size_t delivered = 0;
  recall_.resolve(now_ns_, [&](const Frame& frame, const RecallRing::Entry& entry) {
    if (entry.owner != criteria_.allocation.self) return false;
    delivered += answer_one(frame, entry);
    return true;
  });
  counters_.add(Count::kRecalled, delivered);
}

/// Decided as of when it came, as the other nodes did when they noted it as this node's.
bool Worker::answer_one(const Frame& frame, const RecallRing::Entry& entry) {
  const Packet packet = parse(frame.bytes, frame.wire_bytes, frame.link);
  const Tick received = to_tick(entry.time_ns);
  Slot slot = table_.find(entry.key, entry.hash);
  if (slot != kNoSlot && table_.is_over(slot, now())) {
    expire(slot);
    slot = kNoSlot;
  }
  if (slot == kNoSlot) {
    if (!is_own_by_bucket(packet)) return false;
  } else {
    // Another one that was refused has opened the connection; or a list has told of it since.
    const Record& record = table_.at(slot);
    if (record.owner != criteria_.allocation.self || record.status != ConnectionStatus::kOpening ||
        (record.seen_here & kAdopted) != 0 || Wheel::is_later(record.opened, received + 1)) {
      return false;
    }
  }
  const Subject subject{.packet = &packet,
                        .key = entry.key,
                        .reversed = options_.scope.stores_reversed(packet.flow),
                        .watched = false,
                        .unshared = false,
                        .follower = false};
  const Decision decision = decide_at(frame, subject, entry.hash, received);
  // It may have become expected, and another's by that.
  if (decision.verdict != Verdict::kDeliver) return false;
  if (decision.packet_class == 1) audit_.take(entry.epoch, entry.key);
  const Accepted accepted{&frame, packet.ip_offset, packet.ip_bytes, decision.owner};
  deliver({&accepted, 1});
  return true;
}

/// Forgets what was refused past the lease and is another's to answer by now, even should the
/// bucket come back; without a life in the cluster all of it.
void Worker::forget_refused() {
  if (!refused_) return;
  const bool all = open_until_ns_ == 0;
  recall_.resolve(now_ns_, [&](const Frame& frame, const RecallRing::Entry& entry) {
    if (entry.owner != criteria_.allocation.self) return false;
    return all || !is_own_by_bucket(parse(frame.bytes, frame.wire_bytes, frame.link));
  });
  if (all) refused_ = false;
}

/// A packet of unknown connection would be this node's if it came now, lease or not.
bool Worker::is_own_by_bucket(const Packet& packet) const {
  const NodeIndex self = criteria_.allocation.self;
  const HeaderFields fields = header_fields(packet.flow);
  const uint32_t bucket = criteria_.distribution.bucket(fields);
  const NodeIndex owner = criteria_.allocation.owner[bucket];
  return (transition_ ? claim(*transition_, fields, bucket, owner, self).owner : owner) == self;
}

/// By a fresh look at the clock, where there is one.
bool Worker::lease_is_over() const {
  if (open_until_ns_ == UINT64_MAX) return false;
  return (options_.clock ? options_.clock() : now_ns_) >= open_until_ns_;
}

/// Undoes what was decided by bucket: the lease ran out between deciding and delivering.
void Worker::take_back(const Key& key, uint32_t epoch, Packet& packet, Decision& decision) {
  if (decision.packet_class == 1) audit_.take_back(epoch, key);
  if (transition_ || former_) contested_.take_back(key);
  if (decision.slot != kNoSlot) {
    table_.clear_flags(decision.slot, kContested);
    leaving(decision.slot, table_.at(decision.slot), false);
    table_.erase(decision.slot);
  }
  decision.slot = kNoSlot;
  refuse(packet, decision);
}

/// What was to be delivered is not, as the lease covers it no more.
void Worker::refuse(Packet& packet, Decision& decision) {
  decision.verdict = Verdict::kDiscard;
  decision.lease_over = true;
  packet.drop = Drop::kLeaseOver;
  counters_.drop(Drop::kLeaseOver);
}

/// The same for a burst; takes what followed such an opening with it, and repeated openings, which
/// another node may answer by now.
void Worker::take_back_openings() {
  size_t left = 0;
  for (size_t k = 0; k < accepted_count_; ++k) {
    const size_t i = static_cast<size_t>(accepted_[k].frame - frames_.data());
    Packet& packet = traces_[i].packet;
    Decision& decision = traces_[i].decision;
    const Key key =
        options_.scope.stores_reversed(packet.flow) ? reversed(packet.flow) : packet.flow;
    const Slot slot = decision.slot;
    const bool gone = slot != kNoSlot && !(table_.is_occupied(slot) && table_.at(slot).key == key);
    if (gone) decision.slot = kNoSlot;
    if (decision.by_bucket || gone) {
      take_back(key, decision.epoch, packet, decision);
      keep_for_recall(frames_[i], subjects_[i], hashes_[i], decision, decision.epoch,
                      received_ns(frames_[i]));
    } else if (is_opening_of_own(packet, decision)) {
      refuse(packet, decision);
    } else {
      accepted_[left++] = accepted_[k];
    }
  }
  accepted_count_ = left;
}

size_t Worker::recall(std::span<const NodeIndex> dead) {
  if (now_ns_ >= open_until_ns_ || lease_is_over()) return 0;
  size_t delivered = 0;
  recall_.resolve(now_ns_, [&](const Frame& frame, const RecallRing::Entry& entry) {
    if (!contains(dead, entry.owner)) return false;
    delivered += recall_one(frame, entry, dead);
    return true;
  });
  counters_.add(Count::kRecalled, delivered);
  return delivered;
}

/// Delivers one packet that was left to a node which is dead, if it is this node's now.
bool Worker::recall_one(const Frame& frame, const RecallRing::Entry& entry,
                        std::span<const NodeIndex> dead) {
  Packet packet = parse(frame.bytes, frame.wire_bytes, frame.link);
  const Slot slot = table_.find(entry.key, entry.hash);
  bool taken = false;
  if (slot == kNoSlot || table_.is_over(slot, now())) {
    // Noted then and gone by now, it is over, or the packet waits again; but who notes only own
    // connections cannot tell.
    if (criteria_.tracking == Tracking::kObserve) return false;
    if (!open_recalled(frame, entry, packet, dead)) return false;
  } else {
    const Record& record = table_.at(slot);
    // A later connection with the same key, or one that the dead node has answered.
    if (Wheel::is_later(record.opened, to_tick(entry.time_ns) + 1)) return false;
    if (record.status != ConnectionStatus::kOpening) return false;
    // Claimed by a living node, or the heir is another.
    taken = record.owner == criteria_.allocation.self;
    if (!answer_for(slot, dead)) return false;
  }
  // Once for a connection: not when the packet came again and has been decided meanwhile.
  if (!taken) audit_.take(entry.epoch, entry.key);
  const Accepted accepted{&frame, packet.ip_offset, packet.ip_bytes, criteria_.allocation.self};
  deliver({&accepted, 1});
  return true;
}

/// The same for one that is not tracked: it is opened as if it came now, with the dead nodes'
/// buckets acquired already.
bool Worker::open_recalled(const Frame& frame, const RecallRing::Entry& entry, Packet& packet,
                           std::span<const NodeIndex> dead) {
  std::vector<uint8_t> acquired;
  if (transition_) {
    acquired = transition_->acquired;
    for (const NodeIndex node : dead) mark_acquired(node);
  }
  const Subject subject{.packet = &packet,
                        .key = entry.key,
                        .reversed = options_.scope.stores_reversed(packet.flow),
                        .watched = false,
                        .unshared = false,
                        .follower = false};
  const Decision decision = decide_at(frame, subject, entry.hash, to_tick(entry.time_ns));
  if (transition_) transition_->acquired = std::move(acquired);
  return is_accepted(decision.verdict);
}

}  // namespace flowsieve
