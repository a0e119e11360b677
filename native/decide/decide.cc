#include "decide/decide.h"

#include "decide/status.h"

namespace flowsieve {
namespace {

constexpr uint8_t kTcp = 6, kSctp = 132;

void count_class(Context& context, uint8_t packet_class) {
  context.counters.add(static_cast<Count>(static_cast<size_t>(Count::kClass1) + packet_class - 1));
}

/// Classes 2 and 4: the table knows the connection.
Decision follow(const Subject& subject, Slot slot, Context& context) {
  const Record& record = context.table.at(slot);
  const bool mine = record.owner == context.criteria.allocation.self;
  Decision decision{.verdict = mine ? Verdict::kDeliver : Verdict::kDiscard,
                    .packet_class = static_cast<uint8_t>(mine ? 2 : 4),
                    .slot = slot,
                    .owner = record.owner};
  if (subject.packet->kind == Kind::kError) {
    // Anybody on the way may have sent it, so it neither refreshes nor changes what it quotes.
    context.counters.add(Count::kErrorsFollowed);
  } else {
    update_status(subject, slot, context);
  }
  return decision;
}

/// Enters a connection for classes 1, 3, 5 and 6. When there is no place the packet stays decided
/// by its bucket and only goes uncounted among the connections: the next packet tries again.
Slot enter(const Subject& subject, uint64_t hash, const Decision& decision, Context& context) {
  const bool opening = opens(*subject.packet);
  Record record;
  record.key = subject.key;
  record.last_seen = record.opened = context.now;
  record.epoch = context.criteria.allocation.epoch;
  record.owner = decision.owner;
  record.bucket = static_cast<uint16_t>(decision.bucket);
  // Without monitoring nothing would ever move it on from OPENING, and from the share of those.
  record.status = context.criteria.monitoring ? initial_status(*subject.packet)
                                              : ConnectionStatus::kEstablished;
  // The sender of the first packet is the client.
  record.flags = static_cast<uint8_t>(initial_flags(*subject.packet) |
                                      (subject.reversed ? kClientIsDestination : 0) |
                                      (opening ? 0 : kMidstream));
  const Inserted inserted = context.table.insert(record, hash, context.listener);
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

/// Classes 1, 3, 5 and 6: the table does not know the connection, the bucket decides.
Decision by_bucket(const Subject& subject, uint64_t hash, Context& context) {
  const Packet& packet = *subject.packet;
  const Criteria& criteria = context.criteria;
  Decision decision;
  decision.by_bucket = true;
  decision.bucket = criteria.distribution.bucket(header_fields(packet.flow));
  decision.owner = criteria.allocation.owner[decision.bucket];
  const bool mine = decision.owner == criteria.allocation.self;
  decision.verdict = mine ? Verdict::kDeliver : Verdict::kDiscard;
  const bool opening = packet.kind == Kind::kFlow && opens(packet);
  decision.packet_class = static_cast<uint8_t>((opening ? 1 : 5) + (mine ? 0 : opening ? 2 : 1));

  if (packet.kind == Kind::kError) {
    context.counters.add(Count::kErrorsByBucket);
  } else if (mine || criteria.tracking == Tracking::kObserve) {
    decision.slot = enter(subject, hash, decision, context);
  }
  return decision;
}

/// Classes 2 and 4 to 6 for a later fragment: it goes where its first fragment went, whatever has
/// changed since, or the datagram would be torn between two nodes. Refreshes, and enters nothing.
Decision follow_first(const Subject& subject, Slot slot, Context& context) {
  const Criteria& criteria = context.criteria;
  const bool mine = subject.first == Verdict::kDeliver;
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
  }
  if (mine) decision.owner = criteria.allocation.self;
  if (error)
    context.counters.add(decision.by_bucket ? Count::kErrorsByBucket : Count::kErrorsFollowed);
  return decision;
}

/// A packet of the server side: it can close or establish a connection, nothing else.
///
/// Where the others keep entries of this connection too (tracking observe), what only this node
/// sees is noted for those who look on, and decides nothing: otherwise this entry would end at
/// another time than theirs, and after a change of the allocation a packet would be taken by two
/// nodes or by none.
Decision watch(const Subject& subject, Slot slot, Context& context) {
  Decision decision;
  context.counters.add(Count::kWatched);
  if (slot == kNoSlot) return decision;
  decision.slot = slot;
  decision.owner = context.table.at(slot).owner;
  if (subject.packet->kind != Kind::kFlow) return decision;
  if (subject.unshared && context.criteria.tracking == Tracking::kObserve) {
    if (context.criteria.monitoring && !subject.follower) note_unshared(subject, slot, context);
  } else if (subject.follower) {
    context.table.touch(slot, context.now);
  } else {
    update_status(subject, slot, context);
  }
  return decision;
}

/// Port reuse: a connection that has closed does not hold its key against a new one.
bool reopens(const Subject& subject, const Record& record) {
  const Packet& packet = *subject.packet;
  return record.status == ConnectionStatus::kClosing && packet.opening &&
         packet.kind == Kind::kFlow;
}

}  // namespace

bool opens(const Packet& packet) {
  if (packet.flow.protocol == kTcp || packet.flow.protocol == kSctp) return packet.opening;
  return !packet.query_reply;
}

Decision decide(const Subject& subject, Slot slot, uint64_t hash, Context& context) {
  if (subject.watched) return watch(subject, slot, context);
  if (subject.follower) {
    const Decision decision = follow_first(subject, slot, context);
    count_class(context, decision.packet_class);
    return decision;
  }

  NodeIndex owner_before = 0;
  const bool reopened = slot != kNoSlot && reopens(subject, context.table.at(slot));
  if (reopened) {
    owner_before = context.table.at(slot).owner;
    if (context.listener) context.listener->leaving(slot, context.table.at(slot), false);
    context.table.erase(slot);
    slot = kNoSlot;
    context.counters.add(Count::kReopened);
  }

  const Decision decision =
      slot != kNoSlot ? follow(subject, slot, context) : by_bucket(subject, hash, context);
  if (reopened && decision.owner != owner_before) context.counters.add(Count::kMoved);
  count_class(context, decision.packet_class);
  return decision;
}

}  // namespace flowsieve
