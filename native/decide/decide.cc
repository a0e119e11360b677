#include "decide/decide.h"

#include "decide/connection_id.h"
#include "decide/status.h"

namespace flowsieve {
namespace {

/// Two nodes are never further apart about when a connection closed, and nobody takes the same
/// addresses and ports again that soon: whoever does waits for a second, of which a list's way and
/// the roundings of its times take no more than the half.
constexpr Tick kClosedApart = 3;

/// After so long a silence they may have been taken again: a second, less the roundings.
constexpr Tick kTakenAgain = 8;

void count_class(Context& context, uint8_t packet_class) {
  context.counters.add(static_cast<Count>(static_cast<size_t>(Count::kClass1) + packet_class - 1));
}

/// The connection has closed, and its client has said nothing for so long that it may have taken the
/// same addresses and ports again.
bool is_left(const Record& record, Tick now) {
  return record.status == ConnectionStatus::kClosing &&
         Wheel::is_later(now, record.last_seen + kTakenAgain);
}

/// Classes 2 and 4: the table knows the connection.
void follow(const Subject& subject, Slot slot, Context& context, Decision& decision) {
  const Record& record = context.table.at(slot);
  const bool mine = context.criteria.takes(record.owner);
  decision.verdict = context.criteria.verdict_for(record.owner);
  decision.packet_class = mine ? 2 : 4;
  decision.slot = slot;
  decision.owner = record.owner;
  const bool opening = subject.packet->opening;
  const bool inherited = (record.seen_here & (kAdopted | kAnswered)) == kAdopted;
  const bool left = is_left(record, context.now);
  if (mine && !context.may_open && (opening || inherited || left)) [[unlikely]] {
    // Past its lease this node may have been declared dead, and another answers: what comes anew,
    // what this node has only inherited, and what was opened while it saw nothing.
    const bool follows = !left && subject.packet->kind == Kind::kFlow;
    if (follows) update_status(subject, slot, context);
    decision.verdict = Verdict::kDiscard;
    decision.packet_class = 0;
    decision.lease_over = true;
    return;
  }
  if (subject.packet->kind == Kind::kError) {
    // Anybody on the way may have sent it, so it neither refreshes nor changes what it quotes.
    context.counters.add(Count::kErrorsFollowed);
  } else {
    update_status(subject, slot, context);
    if (mine && inherited && !ends_with_its_node(record.key, context.criteria)) [[unlikely]] {
      context.table.add_seen_here(slot, kAnswered);
    }
  }
}

/// What is noted of how a connection began, besides its packet.
struct Beginning {
  bool reopened = false;   ///< after another with the same key had closed
  Tick opened = 0;         ///< when its first packet came
  bool contested = false;  ///< while a handover moved its bucket
  bool by_id = false;      ///< it was open before, at another four-tuple
  uint8_t behind = 0;      ///< its first packet was seen so many epochs ago
};

/// Enters a connection for classes 1, 3, 5 and 6. When there is no place the packet stays decided
/// by its bucket and only goes uncounted among the connections: the next packet tries again.
Slot enter(const Subject& subject, uint64_t hash, const Decision& decision, const Beginning& how,
           Context& context) {
  const bool opening = opens(*subject.packet) && !how.by_id;
  Record record;
  record.key = subject.key;
  record.last_seen = context.now;
  record.opened = how.opened;
  record.epoch = context.criteria.allocation.epoch;
  record.owner = decision.owner;
  record.bucket = static_cast<uint16_t>(decision.bucket);
  // Without monitoring nothing would ever move it on from OPENING, and from the share of those.
  record.status = context.criteria.monitoring ? initial_status(*subject.packet)
                                              : ConnectionStatus::kEstablished;
  // The sender of the first packet is the client.
  record.flags = static_cast<uint8_t>(
      initial_flags(*subject.packet) | (subject.reversed ? kClientIsDestination : 0) |
      (opening ? 0 : kMidstream) | (how.contested ? kContested : 0));
  record.reopened = how.reopened;
  record.expected = decision.expected;
  record.behind = how.behind;
  if (record.status == ConnectionStatus::kClosing) record.seen_here = kClosedHere;
  const Inserted inserted = context.table.insert(record, hash, context.listener);
  if (how.contested && context.listener) {
    if (inserted.slot == kNoSlot) record.flags &= static_cast<uint8_t>(~kContested);
    context.listener->contested(record);
  }
  switch (inserted.outcome) {
    case InsertOutcome::kOpeningShare:
      context.counters.add(Count::kOpeningUntracked);
      return kNoSlot;
    case InsertOutcome::kFull:
      context.counters.add(Count::kFullUntracked);
      return kNoSlot;
    case InsertOutcome::kEvictedOpening:
    case InsertOutcome::kEvictedClosing:
      context.counters.add(Count::kEvicted);
      break;
    case InsertOutcome::kInserted:
      break;
  }
  context.counters.add(opening ? Count::kOpened : Count::kMidstream);
  if (context.listener) context.listener->entered(inserted.slot, context.table.at(inserted.slot));
  return inserted.slot;
}

/// What the allocation and the expectations say of a packet.
struct Ruling {
  uint32_t bucket;
  Claim claim;
  Expected expected;
};

Ruling rule(const Subject& subject, const Context& context) {
  const Packet& packet = *subject.packet;
  const Criteria& criteria = context.criteria;
  const NodeIndex self = criteria.allocation.self;
  const HeaderFields fields = header_fields(packet.flow);
  Ruling ruling{.bucket = criteria.distribution.bucket(fields), .claim = {}, .expected = {}};
  if (context.expectations != nullptr) [[unlikely]] {
    ruling.expected = context.expectations->match(packet.flow);
    if (const Expectation* match = ruling.expected.match) {
      // Its owner has it by name: no handover is concerned. Without the entry, the owner of the
      // bucket would take it for its own once the expectation has ended.
      ruling.claim = {.owner = match->owner, .tracked = true};
      ruling.claim.contested = ruling.expected.doubt != nullptr && match->owner == self;
      return ruling;
    }
  }
  ruling.claim.owner = criteria.allocation.owner[ruling.bucket];
  if (criteria.distribution.is_nobodys(ruling.bucket)) [[unlikely]] {
    ruling.claim.refused = true;
    return ruling;
  }
  // An error opens nothing, so two answers to it could do no harm, and it never waits.
  if (context.transition && packet.kind == Kind::kFlow) [[unlikely]] {
    ruling.claim = claim(*context.transition, fields, ruling.bucket, ruling.claim.owner, self);
  }
  if (context.former && ruling.claim.owner == self) [[unlikely]] {
    ruling.claim.contested |= !context.former->gives(fields, ruling.bucket, self);
  }
  // It is about to be another's: not all nodes may have noted this one.
  if (ruling.expected.doubt != nullptr && ruling.claim.owner == self) ruling.claim.contested = true;
  return ruling;
}

bool is_noted(const Claim& claim, const Criteria& criteria) {
  return claim.tracked || criteria.tracking == Tracking::kObserve;
}

/// Books a packet that the expectations have to do with.
void heed(const Expected& expected, const Subject& subject, const Decision& decision,
          Context& context) {
  if (expected.match != nullptr) {
    context.counters.add(Count::kExpected);
    context.expectations->count(*expected.match);
  }
  // What both the one before and the one after leave to each other is decided once more.
  if (expected.doubt != nullptr && decision.owner != context.criteria.allocation.self) {
    context.expectations->leave(*expected.doubt, subject.key);
  }
}

/// A rule gives the packet to nobody. No class, no entry.
void refuse(Decision& decision) {
  decision.verdict = Verdict::kDiscard;
  decision.owner = kNobody;
  decision.refused = true;
}

/// Classes 1, 3, 5 and 6: the table does not know the connection, the bucket decides.
void by_bucket(const Subject& subject, uint64_t hash, Beginning how, Context& context,
               Decision& decision) {
  const Packet& packet = *subject.packet;
  const Criteria& criteria = context.criteria;
  auto [bucket, claim, expected] = rule(subject, context);
  if (claim.refused) [[unlikely]]
    return refuse(decision);
  const bool opening = packet.kind == Kind::kFlow && opens(packet);
  // Not where the owner is by name: expected, or a rule's single node.
  const bool by_weight =
      expected.match == nullptr && bucket < criteria.distribution.options().buckets;
  if (opening && by_weight && !criteria.dispatching.candidates.empty()) [[unlikely]] {
    claim.owner = with_fewest(criteria.dispatching.candidates, context.table, claim.owner);
  }
  decision.by_bucket = true;
  decision.bucket = bucket;
  decision.epoch = criteria.allocation.epoch;
  decision.owner = claim.owner;
  decision.hold = claim.hold;
  if (decision.hold) return;
  decision.expected = expected.match != nullptr;
  if (context.expectations != nullptr) [[unlikely]]
    heed(expected, subject, decision, context);
  const bool mine = criteria.takes(decision.owner);
  decision.verdict = criteria.verdict_for(decision.owner);
  if (mine && !context.may_open) [[unlikely]] {
    decision.verdict = Verdict::kDiscard;
    decision.lease_over = true;
    return;
  }
  decision.packet_class = static_cast<uint8_t>((opening ? 1 : 5) + (mine ? 0 : opening ? 2 : 1));

  if (packet.kind == Kind::kError) {
    context.counters.add(Count::kErrorsByBucket);
  } else if (mine || is_noted(claim, criteria)) {
    how.contested = claim.contested;
    decision.slot = enter(subject, hash, decision, how, context);
  }
}

/// A packet whose QUIC connection id names a node: that node's, on every node alike and whatever else
/// changes. Classes 2 and 4 where the table says the same. Else 5 and 6, since it opens nothing: so
/// it needs no lease, waits for no handover and is nobody's to recall. An entry of another
/// connection that had the four-tuple before stays as it is.
Decision by_connection_id(const Subject& subject, Slot slot, uint64_t hash, Context& context) {
  const Criteria& criteria = context.criteria;
  const NodeIndex self = criteria.allocation.self;
  const bool mine = criteria.takes(context.quic.node);
  context.counters.add(Count::kQuicById);
  if (slot != kNoSlot && context.table.at(slot).owner == context.quic.node) {
    Decision decision;
    follow(subject, slot, context, decision);
    return decision;
  }
  Decision decision{.verdict = criteria.verdict_for(context.quic.node),
                    .packet_class = static_cast<uint8_t>(mine ? 5 : 6),
                    .owner = context.quic.node,
                    .by_id = true};
  if (slot != kNoSlot) {
    context.counters.add(Count::kQuicElsewhere);
    return decision;
  }
  const auto [bucket, claim, expected] = rule(subject, context);
  decision.bucket = bucket;
  // The owner of the bucket notes the exception in any case: what comes without such an id is its to
  // decide.
  if (!mine && claim.owner != self && !is_noted(claim, criteria)) return decision;
  decision.slot = enter(subject, hash, decision, {.opened = context.now, .by_id = true}, context);
  if (decision.slot != kNoSlot) context.counters.add(Count::kQuicMigrated);
  return decision;
}

/// Classes 2 and 4 to 6 for a later fragment: it goes where its first fragment went, whatever has
/// changed since, or the datagram would be torn between two nodes. Refreshes, and enters nothing.
Decision follow_first(const Subject& subject, Slot slot, Context& context) {
  const Criteria& criteria = context.criteria;
  const bool mine = is_accepted(subject.first);
  const bool error = subject.packet->kind == Kind::kError;
  Decision decision{.verdict = subject.first, .slot = slot};
  if (slot != kNoSlot) {
    decision.packet_class = mine ? 2 : 4;
    decision.owner = context.table.at(slot).owner;
    if (!error) context.table.touch(slot, context.now);
  } else {
    decision.packet_class = mine ? 5 : 6;
    decision.by_bucket = true;
    decision.bucket = criteria.distribution.bucket(header_fields(subject.packet->flow));
    decision.owner = criteria.allocation.owner[decision.bucket];
    if (!mine && criteria.distribution.is_nobodys(decision.bucket)) {
      Decision refused;
      refuse(refused);
      return refused;
    }
  }
  if (mine) decision.owner = subject.first_owner;
  if (error)
    context.counters.add(decision.by_bucket ? Count::kErrorsByBucket : Count::kErrorsFollowed);
  return decision;
}

/// A packet of the server side: it can close or establish a connection, nothing else.
///
/// Where others keep entries of this connection too (tracking observe, or a list has told them),
/// what only this node sees is noted for those who look on, and decides nothing: otherwise this
/// entry would end at another time than theirs, and after a change of the allocation a packet would
/// be taken by two nodes or by none.
Decision watch(const Subject& subject, Slot slot, Context& context) {
  Decision decision;
  context.counters.add(Count::kWatched);
  if (slot == kNoSlot) return decision;
  decision.slot = slot;
  decision.owner = context.table.at(slot).owner;
  if (subject.packet->kind != Kind::kFlow) return decision;
  const bool known = context.criteria.tracking == Tracking::kObserve ||
                     context.told.may_be_known(context.table.at(slot));
  if (subject.unshared && known) {
    if (context.criteria.monitoring && !subject.follower) note_unshared(subject, slot, context);
  } else if (subject.follower) {
    context.table.touch(slot, context.now);
  } else {
    update_status(subject, slot, context);
  }
  return decision;
}

/// Port reuse: a connection that has closed does not hold its key against a new one. Nor does one
/// whose node has died: who asks anew has nothing left of it.
///
/// Not so when the SYN may be that of the very connection which has closed: it was held and the
/// rest of the connection decided meanwhile, or only another node's list says that the connection
/// has closed, this node is behind that one, and the SYN came before the close. When the connection
/// was opened says nothing: that was its first SYN, and this one may be a repetition.
bool reopens(const Subject& subject, const Record& record, const Context& context) {
  const Packet& packet = *subject.packet;
  const Tick received = context.now;
  if (!packet.opening || packet.kind != Kind::kFlow || subject.waited) return false;
  if (is_orphaned(record, context.criteria)) return true;
  if (record.status != ConnectionStatus::kClosing) return false;
  return (record.flags & kImported) == 0 || (record.seen_here & kClosedHere) != 0 ||
         Wheel::is_later(received, record.last_seen + kClosedApart);
}

/// An opening packet comes again, and another node was noted as its connection's owner. Whether
/// that one has taken it nobody here knows, unless a list has said so: it may have had no lease, or
/// the packet waited there in vain. So once the allocation changes, the opening packet is decided anew,
/// and whoever gets the bucket has been told by its former owner what that one took.
bool is_decided_anew(const Subject& subject, const Record& record, const Context& context) {
  const Criteria& criteria = context.criteria;
  if (record.status != ConnectionStatus::kOpening || criteria.vouches_for(record.owner) ||
      (record.seen_here & kConfirmed) != 0) {
    return false;
  }
  // Its owner has it by name, not by a bucket that has another owner now.
  if (record.expected) return false;
  if (!context.transition && record.epoch == criteria.allocation.epoch) return false;
  const Packet& packet = *subject.packet;
  if (packet.kind != Kind::kFlow || !opens(packet)) return false;
  const Claim claim = rule(subject, context).claim;
  if (claim.hold || claim.owner == criteria.allocation.self) return true;
  // Where every packet looks like the first, the second says nothing about the first one's answer.
  return packet.opening && (claim.owner != record.owner || !is_noted(claim, criteria));
}

/// A packet to what the configuration gives to one node.
Decision by_configuration(const Subject& subject, Context& context) {
  const bool mine = subject.reserved == context.criteria.allocation.self;
  context.counters.add(Count::kReserved);
  return {.verdict = mine ? Verdict::kDeliver : Verdict::kDiscard,
          .owner = subject.reserved,
          .reserved = true};
}

/// The connection in `slot` makes place for another, or for another decision. It is over, or was
/// never this node's, and not to be told any more.
void leave(Slot slot, Context& context) {
  context.table.clear_flags(slot, kContested);
  if (context.listener) context.listener->leaving(slot, context.table.at(slot), false);
  context.table.erase(slot);
}

/// Decides an opening packet whose connection the table has noted for nothing. It is not another
/// connection by that: other nodes know it since its first packet. Nor did it begin after this one
/// came, which may have waited while a list told of it.
Decision decide_anew(const Subject& subject, Slot slot, uint64_t hash, Context& context) {
  const Record noted = context.table.at(slot);
  leave(slot, context);
  const Tick opened = Wheel::is_later(noted.opened, context.now) ? context.now : noted.opened;
  const uint32_t seen = noted.epoch - noted.behind;
  const Beginning how{.reopened = noted.reopened != 0,
                      .opened = opened,
                      .behind = epochs_behind(seen, context.criteria.allocation.epoch)};
  Decision decision;
  by_bucket(subject, hash, how, context, decision);
  decision.anew = true;
  decision.epoch = seen;
  return decision;
}

/// What the table says, or else the bucket.
Decision by_table(const Subject& subject, Slot slot, uint64_t hash, Context& context) {
  NodeIndex owner_before = 0;
  const bool reopened = slot != kNoSlot && reopens(subject, context.table.at(slot), context);
  if (reopened) {
    owner_before = context.table.at(slot).owner;
    leave(slot, context);
    slot = kNoSlot;
    context.counters.add(Count::kReopened);
  }

  const bool anew = slot != kNoSlot && is_decided_anew(subject, context.table.at(slot), context);
  // One object from here to the caller's: what is written in pieces and read back whole must wait.
  Decision decision;
  if (anew) [[unlikely]] {
    decision = decide_anew(subject, slot, hash, context);
  } else if (slot != kNoSlot) {
    follow(subject, slot, context, decision);
  } else {
    by_bucket(subject, hash, {reopened, context.now}, context, decision);
  }
  if (!decision.hold) count_unroutable(context.quic.id, context.counters);
  if (decision.packet_class != 0) {
    if (reopened && decision.owner != owner_before) context.counters.add(Count::kMoved);
    count_class(context, decision.packet_class);
  }
  return decision;
}

}  // namespace

bool opens(const Packet& packet) {
  if (packet.flow.protocol == kTcp || packet.flow.protocol == kSctp) return packet.opening;
  return !packet.query_reply;
}

Decision decide(const Subject& subject, Slot slot, uint64_t hash, Context& context) {
  if (subject.watched) return watch(subject, slot, context);
  if (subject.reserved != kNobody) [[unlikely]]
    return by_configuration(subject, context);
  if (subject.follower) {
    const Decision decision = follow_first(subject, slot, context);
    count_class(context, decision.packet_class);
    return decision;
  }

  if (context.quic.id == QuicId::kNode) [[unlikely]] {
    const Decision decision = by_connection_id(subject, slot, hash, context);
    if (decision.packet_class != 0) count_class(context, decision.packet_class);
    return decision;
  }

  return by_table(subject, slot, hash, context);
}

void note(const Subject& subject, Slot slot, uint64_t hash, Context& context) {
  if (slot != kNoSlot) {
    update_status(subject, slot, context);
    return;
  }
  const Criteria& criteria = context.criteria;
  Decision decision;
  decision.bucket = criteria.distribution.bucket(header_fields(subject.packet->flow));
  decision.owner = criteria.allocation.owner[decision.bucket];
  if (decision.owner == criteria.allocation.self || criteria.tracking != Tracking::kObserve) return;
  if (criteria.distribution.is_nobodys(decision.bucket)) return;
  enter(subject, hash, decision, {.opened = context.now}, context);
}

}  // namespace flowsieve
