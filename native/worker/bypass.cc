#include <utility>

#include "decide/status.h"
#include "wire/pace.h"
#include "worker/worker.h"

namespace flowsieve {
namespace {

/// So long a bypass lasts at most. Then packets of those that are busy still begin it anew, and the
/// others make room.
constexpr Tick kLasts = 10 * kTicksPerSecond;
constexpr size_t kEndedAtOnce = 256;
/// After somebody has asked for them all. Where that is often, there is nothing to end then.
constexpr Tick kPause = kTicksPerSecond;
/// Without room none begins for so long: each attempt is a system call.
constexpr Tick kFull = 1;
/// Where so many connections go on, their packets come to the worker together, and to begin and end
/// one's bypass costs more than its next few packets do: one that is so young may have no more.
constexpr uint32_t kMany = PaceOptions{}.gather_connections;
constexpr Tick kYoung = 2;

}  // namespace

void Worker::set_bypass(FlowBypass* bypass) {
  bypass_ = bypass;
  bypassed_.resize(kEndedAtOnce);
}

/// A packet of a connection has been decided: must the next ones come here at all?
void Worker::bypass(const Frame& frame, const Subject& subject, const Decision& decision) {
  if (decision.slot == kNoSlot) return;
  const Record& record = table_.at(decision.slot);
  if (record.bypassed && record.status == ConnectionStatus::kClosing) {
    end_bypass(decision.slot);
    return;
  }
  const bool own = decision.packet_class == 2;
  if (decision.packet_class != 4 && !(own && bypass_->delivers())) return;
  if (transition_ || Wheel::is_later(bypass_begin_, now())) return;
  if (concurrency() >= kMany && Wheel::is_later(record.opened + kYoung, now())) return;
  const Packet& packet = *subject.packet;
  // What decides by more than the table, or whose record a plain packet could change but for the
  // time, comes here always.
  const uint8_t protocol = packet.flow.protocol;
  const bool plain = packet.kind == Kind::kFlow && !packet.is_fragment && !subject.watched &&
                     !subject.reversed && !subject.follower && !frame.outgoing &&
                     (protocol == kTcp || (protocol == kUdp && !criteria_.quic)) &&
                     (packet.tcp_flags & (kTcpSyn | kTcpFin | kTcpRst)) == 0;
  if (!plain || !may_be_bypassed(record)) return;
  if (own) {
    // What this node sends ends its own entries where others have none.
    if (criteria_.tracking == Tracking::kObserve)
      own_bypass_ = {decision.slot, subject.key, received_ns(frame)};
    return;
  }
  begin_bypass(decision.slot, Bypass::kDiscard, received_ns(frame));
}

/// After the burst, and only where it took all that had come: the kernel delivers the next one at
/// once, and it should not pass those that still wait here.
void Worker::bypass_own() {
  const auto [slot, key, last_seen_ns] = std::exchange(own_bypass_, {});
  if (frame_count_ == kBurst || !table_.is_occupied(slot)) return;
  const Record& record = table_.at(slot);
  if (record.key == key && record.owner == criteria_.allocation.self && may_be_bypassed(record))
    begin_bypass(slot, Bypass::kDeliver, last_seen_ns);
}

bool Worker::may_be_bypassed(const Record& record) {
  return record.status == ConnectionStatus::kEstablished && !record.bypassed &&
         (record.seen_here & kAdopted) == 0;
}

void Worker::begin_bypass(Slot slot, Bypass what, uint64_t last_seen_ns) {
  const Key& key = table_.at(slot).key;
  const Tick timeout = options_.table.timeouts.of(key.protocol, ConnectionStatus::kEstablished);
  if (!bypass_->begin(key, what, last_seen_ns, timeout)) {
    bypass_begin_ = now() + kFull;
    return;
  }
  table_.set_bypassed(slot, true);
  bypasses_ = true;
}

/// Its last packets come to the worker, which has seen the first of them; its room is for others.
void Worker::end_bypass(Slot slot) {
  bypass_->end(table_.at(slot).key);
  table_.set_bypassed(slot, false);
}

/// Notes when the last packet of a bypassed connection came; the bypass goes on.
void Worker::catch_up(Slot slot) {
  const Record& record = table_.at(slot);
  if (!record.bypassed) return;
  if (const auto last = bypass_->last_seen_ns(record.key)) table_.touch(slot, to_tick(*last));
}

/// How many have ended. 0: there are none; then the kernel is not asked before one has begun.
size_t Worker::end_some_bypasses() {
  if (!bypasses_) return 0;
  const size_t count = bypass_->end_some(bypassed_);
  for (const Bypassed& ended : std::span(bypassed_).first(count)) {
    const Slot slot = table_.find(ended.key, table_.hash(ended.key));
    if (slot == kNoSlot || !table_.at(slot).bypassed) continue;
    table_.touch(slot, to_tick(ended.last_seen_ns));
    table_.set_bypassed(slot, false);
  }
  bypasses_ = count > 0;
  return count;
}

void Worker::end_bypass() {
  if (bypass_ == nullptr) return;
  while (end_some_bypasses() > 0) {
  }
  bypass_begin_ = now() + kPause;
  bypass_end_ = now() + kLasts;
}

/// A few of all at each turn, when their time is over.
void Worker::refresh_bypasses() {
  if (Wheel::is_later(bypass_end_, now())) return;
  if (end_some_bypasses() == 0) bypass_end_ = now() + kLasts;
}

}  // namespace flowsieve
