// Lists that travel between nodes: what goes out of the table in blocks and what is let in.
#include "table/table.h"

namespace flowsieve {
namespace {

/// How far two nodes may be apart about when one connection was opened: they see its opening packet
/// within milliseconds, but to a list's times its way is added, and whoever pulls it takes none
/// that was under way for long. Nobody takes the same addresses and ports again within a second.
constexpr Tick kOpenedSlack = 8;

constexpr uint8_t kClosingFlags = kFinFromClient | kFinFromServer | kClosedByFin | kClosedByRst;

bool was_opened(const Record& record) {
  return (record.flags & kMidstream) == 0;
}

/// `later` is a connection that was opened after `earlier`, with the same key. That it was noted
/// later is not enough: whoever began to look only then (a node that joins, a gainer) took a
/// repeated SYN, or any UDP packet, for an opening. The earlier one must have closed.
bool is_later_life(const Record& later, const Record& earlier) {
  return was_opened(later) && Wheel::is_later(later.opened, earlier.opened + kOpenedSlack) &&
         (later.reopened || earlier.status == ConnectionStatus::kClosing);
}

/// `ours` has its end from this very record, or another like it, and not from a packet: it comes a
/// second time, and says nothing of a later life.
bool is_merged(const Record& record, const Record& ours) {
  return ours.status == ConnectionStatus::kClosing && (ours.seen_here & kClosedHere) == 0 &&
         record.status == ConnectionStatus::kClosing && !record.reopened &&
         !Wheel::is_later(record.last_seen, ours.last_seen + kOpenedSlack);
}

/// A living node has the connection, and it goes on: its owner has said so, or there is no better
/// word about it (`trusted`).
bool is_kept(const Record& record, bool trusted) {
  return record.status != ConnectionStatus::kClosing && (record.seen_here & kAdopted) == 0 &&
         (trusted || (record.seen_here & kConfirmed) != 0);
}

bool is_well_formed(const Key& key) {
  if (key.zero != 0) return false;
  if (key.family == Family::kIpv6) return true;
  return key.family == Family::kIpv4 && is_mapped_ipv4(key.source) &&
         is_mapped_ipv4(key.destination);
}

}  // namespace

bool is_well_formed(const Record& record, Tick sender_now, uint16_t nodes) {
  return is_well_formed(record.key) && record.reopened <= 1 && record.expected <= 1 &&
         (record.bypassed | record.zero) == 0 && record.behind <= record.epoch &&
         record.status <= ConnectionStatus::kClosing && record.owner < nodes &&
         sender_now - record.last_seen <= kTimeoutMax &&
         !Wheel::is_later(record.opened, record.last_seen);
}

/// Makes a foreign record one of this table, as far as it is known. False: it is not well-formed.
bool ConnectionTable::translate(Record& record, Tick sender_now, Tick now) const {
  if (!is_well_formed(record, sender_now, options_.nodes)) return false;
  // The nodes' clocks have nothing in common but their pace.
  record.last_seen = now - (sender_now - record.last_seen);
  record.opened = now - (sender_now - record.opened);
  record.flags = static_cast<uint8_t>((record.flags | kImported) & ~kContested);
  record.seen_here &= kConfirmed | kAdopted | kConcluded;
  return true;
}

ConnectionTable::Arrival ConnectionTable::receive(const Record& record, Slot slot, Tick now,
                                                  Trust trust) {
  // Of its own connections a node knows best: what others have noted makes none.
  const bool own = slot != kNoSlot && records_[slot].owner == options_.self;
  if (record.owner == options_.self && (record.seen_here & kConfirmed) == 0 && !own) {
    return Arrival::kKnown;
  }
  if (slot != kNoSlot) return merge(slot, record, trust);
  return is_over(record, now) ? Arrival::kKnown : Arrival::kUnknown;
}

/// Whether a list may change the owner of the connection.
bool ConnectionTable::believes(Trust trust, const Record& record, const Record& ours) const {
  // What was inherited and has ended meanwhile is over, whoever comes back.
  const bool adopted =
      (ours.seen_here & kAdopted) != 0 && ours.status != ConnectionStatus::kClosing;
  switch (trust) {
    case Trust::kAll:
      return true;
    case Trust::kReturning:
      // Who has only inherited it has nothing of it, and its next heir may have answered since.
      return (record.seen_here & kAdopted) == 0 && (adopted || !was_opened(ours));
    case Trust::kTakers:
      return adopted || ours.owner != options_.self;
  }
  return false;
}

ConnectionTable::Arrival ConnectionTable::merge(Slot slot, const Record& record, Trust trust) {
  Record& ours = records_[slot];
  const bool own = ours.owner == options_.self;
  const bool agreed = ours.owner == record.owner;
  const Arrival kept = own && !agreed ? Arrival::kDisputed : Arrival::kKnown;
  if (is_later_life(record, ours) && !is_merged(record, ours)) {
    if (own && !believes(trust, record, ours) && ours.status != ConnectionStatus::kClosing)
      return kept;
    return overwrite(slot, record) ? Arrival::kCorrected : Arrival::kFull;
  }
  if (is_later_life(ours, record)) return kept;
  if (Wheel::is_later(ours.opened, record.opened)) ours.opened = record.opened;
  if (is_concluded(ours)) reconsider(slot, record, trust);
  const bool believed = believes(trust, record, ours);
  const bool outweighed = is_outweighed(trust, record, ours);
  // Who pulls the tables was away, and may have missed packets.
  const bool missed = trust == Trust::kAll && record.status > ours.status;
  if (missed || (ours.flags & (kMidstream | kImported)) != 0) {
    complete(slot, record, trust, !agreed && believed && !outweighed);
  }
  if ((!agreed && !believed) || outweighed) return kept;
  const bool confirmed = (record.seen_here & kConfirmed) != 0;
  if (confirmed) add_seen_here(slot, kConfirmed);
  // To the members it was never a dead node's, and this one has only thought so.
  if ((confirmed || trust == Trust::kAll) && (record.seen_here & kAdopted) == 0) {
    clear_seen_here(slot, kAdopted);
  }
  if (agreed) return kept;
  // What its owner has only inherited ends at the client's next packet, here as well.
  clear_seen_here(slot, kAdopted);
  add_seen_here(slot, record.seen_here & kAdopted);
  if (!confirmed) clear_seen_here(slot, kConfirmed);
  set_owner(slot, record.owner);
  ours.expected = record.expected;
  return Arrival::kCorrected;
}

/// What somebody noted weighs less than what the owner itself has said; so does the word of one who
/// has inherited the connection, as that one's note of the dead owner may have been wrong.
bool ConnectionTable::is_outweighed(Trust trust, const Record& record, const Record& ours) const {
  if ((ours.seen_here & kConfirmed) == 0) return false;
  const bool inherited = (ours.seen_here & kAdopted) != 0;
  // Except what this node only inherited before it came: there the tables know better.
  if ((record.seen_here & kConfirmed) == 0) return !(trust == Trust::kAll && inherited);
  return trust != Trust::kAll && !inherited && record.owner != ours.owner &&
         (record.seen_here & kAdopted) != 0;
}

/// That the connection is over was concluded from its owner's death. Somebody may have seen its
/// end; or it goes on, and has never been the dead node's: then its owner says so, or the members'
/// tables do. Not so who returns, and does not know that its heir has reset the connection.
void ConnectionTable::reconsider(Slot slot, const Record& record, Trust trust) {
  if (is_concluded(record)) return;
  const bool goes_on = record.status != ConnectionStatus::kClosing;
  if (goes_on && !is_kept(record, trust == Trust::kAll)) return;
  if (goes_on && trust == Trust::kReturning) return;
  clear_seen_here(slot, kConcluded | kClosedHere);
  if (goes_on) {
    // It was a packet of an open connection from which the end was concluded.
    set_status(slot, ConnectionStatus::kEstablished, record.last_seen);
  } else {
    clear_seen_here(slot, kAdopted);
  }
}

/// Adds what `record` knows of the same connection to what this node has seen of it. Each field
/// goes to the later (earlier) of both, so that neither order nor number of lists matters. `taken`:
/// the record's owner takes the place of ours, whose word then counts no more.
void ConnectionTable::complete(Slot slot, const Record& record, Trust trust, bool taken) {
  Record& ours = records_[slot];
  ours.flags |= (record.flags & kClosingFlags) | kImported;
  if (was_opened(record)) clear_flags(slot, kMidstream);
  ours.reopened |= record.reopened;
  touch(slot, record.last_seen);
  ConnectionStatus status = record.status;
  const bool own = ours.owner == options_.self;
  if (is_concluded(record)) {
    if (!taken && is_kept(ours, own && trust != Trust::kAll)) {
      status = ConnectionStatus::kEstablished;
    } else if (ours.status != ConnectionStatus::kClosing) {
      add_seen_here(slot, kConcluded | kAdopted);
    }
  }
  if (status > ours.status) set_status(slot, status, record.last_seen);
}

/// Another connection with the same key takes the slot. False when it finds no place among those
/// that are opening: then the one that has closed is gone and the other untracked, as if its
/// opening packet had come.
bool ConnectionTable::overwrite(Slot slot, const Record& record) {
  Record& ours = records_[slot];
  if (ours.status != record.status && is_share_full(record.status)) {
    erase(slot);
    return false;
  }
  count_owner(ours.owner, ~0u);
  count_owner(record.owner, 1);
  --count(ours.status);
  ++count(record.status);
  ours = record;
  wheel_.schedule(slot, deadline(ours));
  return true;
}

size_t ConnectionTable::export_block(uint64_t& cursor, std::span<Record> out) const {
  return export_block(cursor, out, slots(), [](const Record&) { return true; });
}

}  // namespace flowsieve
