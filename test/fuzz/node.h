// A worker with a tiny table, and everything that is demanded of it whatever comes: its counters
// add up, its table stays within its bounds and true to itself, whose a packet is follows the rules,
// and every packet is delivered at most once and only while that is allowed.
#pragma once

#include <map>
#include <memory>

#include "fuzz/fates.h"
#include "fuzz/rules.h"
#include "wire/memory.h"

namespace flowsieve_fuzz {

inline constexpr uint32_t kCapacity = 48;
inline constexpr uint32_t kBuckets = 16;
inline constexpr uint16_t kNodes = 3;
inline constexpr HoldLimits kHold = {.bytes = 6 * BlockArena::kBlockBytes, .hold_ns = 200'000'000};

/// One bit of `bits` for each node that is not this one.
inline std::vector<NodeIndex> others(uint8_t bits) {
  std::vector<NodeIndex> nodes;
  if (bits & 1) nodes.push_back(1);
  if (bits & 2) nodes.push_back(2);
  return nodes;
}

struct KeyLess {
  bool operator()(const Key& a, const Key& b) const { return std::memcmp(&a, &b, sizeof(Key)) < 0; }
};
using KeySet = std::set<Key, KeyLess>;

class Node {
 public:
  /// The high half of `mode`: the share that opening connections may have.
  explicit Node(uint8_t mode) : share_((mode >> 4) / 15.0), by_addresses_((mode & 8) == 0) {
    WorkerOptions options;
    options.table = {
        .capacity = kCapacity, .opening_share = share_, .self = kSelf, .nodes = kNodes};
    options.fragments = {.datagrams = 4, .held_frames = 4, .held_bytes = 1024};
    options.hold = kHold;
    options.scope = scope_ =
        by_addresses_ ? Scope::of_addresses({mapped_ipv4(kCluster)}) : Scope::of_everything();
    options.both_directions = mode & 4;
    options.clock = [this] { return clock(); };
    Criteria criteria{.distribution = distribution(0),
                      .allocation = {.owner = std::vector<NodeIndex>(kBuckets, 0)},
                      .tracking = mode & 1 ? Tracking::kOwn : Tracking::kObserve,
                      .monitoring = !(mode & 2)};
    rules_.emplace(Rules{.view = {criteria.distribution, criteria.allocation.owner, 0},
                         .transition = {},
                         .former = {}});
    worker_ = std::make_unique<Worker>(options, std::move(criteria), fates_, nullptr, nullptr, 1);
  }

  static Distribution distribution(uint8_t key) {
    DistributionOptions options;
    options.buckets = kBuckets;
    options.key[0] = key;
    return Distribution(options);
  }
  static std::vector<NodeIndex> owners(uint8_t pattern) {
    std::vector<NodeIndex> owner(kBuckets);
    for (size_t i = 0; i < kBuckets; ++i) {
      owner[i] = static_cast<NodeIndex>((pattern >> (i % 7)) % 3);
    }
    return owner;
  }

  // Time.

  uint64_t now_ns() const { return now_ns_; }
  void pass(uint64_t ns) { now_ns_ += ns; }
  void age(size_t budget) {
    pass([&] { worker_->age(now_ns_, budget); });
    check();
  }
  /// What is decided is delivered so much later.
  void set_stopped_for(uint64_t ns) { stopped_ns_ = ns; }
  void set_open_until(uint64_t ns) {
    open_until_ns_ = ns;
    worker_->set_open_until(ns);
  }

  // Packets.

  void add(Crafted crafted, bool outgoing, uint64_t late_ns, bool numbered) {
    Frame frame;
    frame.wire_bytes = static_cast<uint32_t>(crafted.bytes.size());
    frame.link = crafted.link;
    frame.outgoing = outgoing;
    frame.time_ns = now_ns_ - std::min(late_ns, now_ns_);
    if (late_ns == 0) frame.time_ns = 0;
    numbers_.push_back(numbered ? std::optional(fates_.begin()) : std::nullopt);
    if (numbered) mark(crafted, *numbers_.back());
    frames_.push_back(frame);
    contents_.push_back(std::move(crafted.bytes));
    if (frames_.size() == kBurst) flush();
  }

  void flush() {
    if (frames_.empty()) return;
    for (size_t i = 0; i < frames_.size(); ++i) {
      frames_[i].bytes = {contents_[i].data(), contents_[i].size()};
    }
    // What was refused comes before all that is new.
    const std::vector<Frame> none;
    MemorySource nothing(none);
    pass([&] { worker_->turn(nothing, now_ns_); });
    const std::optional<Verdict> first = known_verdict(frames_[0]);
    MemorySource source(frames_);
    begin(Doing::kTurn);
    demand(worker_->turn(source, now_ns_) == frames_.size());
    fates_.doing = Doing::kNothing;
    if (first) demand(worker_->traces()[0].decision.verdict == *first);
    for (size_t i = 0; i < frames_.size(); ++i)
      check(worker_->traces()[i], frames_[i], numbers_[i]);
    frames_.clear();
    contents_.clear();
    numbers_.clear();
    check();
  }

  // The steps of a transition.

  void prepare(uint8_t pattern, uint8_t key) {
    announce(pattern, key);
    step([&] { worker_->prepare(transition()); });
  }
  void takeover(uint8_t pattern, uint8_t dead) {
    announce(pattern, 0);
    rules_->transition->next.distribution = rules_->view.distribution;
    rules_->transition->holding = true;
    for (const NodeIndex node : others(dead)) rules_->transition->dead.insert(node);
    step([&] { worker_->takeover(transition()); });
  }
  /// The same message once more, which says nothing of the steps that came since.
  void prepare_again() {
    if (rules_->transition) step([&] { worker_->prepare(transition()); });
  }
  void hold() {
    if (rules_->transition) rules_->transition->holding = true;
    step([&] { worker_->hold(); });
  }
  void release() {
    if (rules_->transition) rules_->transition->released = true;
    step([&] { worker_->release(); });
  }
  void acquire(uint8_t losers) {
    const std::vector<NodeIndex> nodes = others(losers);
    if (rules_->transition) rules_->transition->acquired.insert(nodes.begin(), nodes.end());
    const Counters before = worker_->counters();
    Resolved resolved;
    step([&] { resolved = worker_->acquire(nodes); });
    demand(resolved.opened == since(before, Count::kHeldOpened));
    demand(resolved.followed == since(before, Count::kHeldFollowed));
    if (rules_->transition && rules_->transition->acquired.size() == 2) {
      demand(worker_->held() == 0);
    }
  }
  void commit() {
    if (!rules_->transition) return;
    rules_->former = rules_->view;
    rules_->view = rules_->transition->next;
    replace();
  }
  /// The old allocation under a new epoch.
  void roll_back() {
    rules_->view.epoch = ++newest_epoch_;
    replace();
  }
  void allocate(uint8_t pattern) {
    rules_->view.owner = owners(pattern);
    rules_->view.epoch = ++newest_epoch_;
    replace();
  }
  void clear_contested() {
    worker_->clear_contested();
    rules_->former.reset();
    contested_.clear();
    demand(worker_->contested() == 0);
  }

  void adopt(uint8_t bits, size_t looks) {
    const std::vector<NodeIndex> dead = others(bits);
    const uint64_t adopted_before = worker_->counters()[Count::kAdopted];
    const std::map<Key, Record, KeyLess> before = table();
    size_t adopted = 0;
    for (uint64_t cursor = 0; cursor != Worker::kListEnd;) {
      adopted += worker_->adopt(dead, cursor, looks);
    }
    demand(adopted == worker_->counters()[Count::kAdopted] - adopted_before);
    for (const auto& [key, record] : table()) {
      const Record& earlier = before.at(key);
      if (record.owner == earlier.owner) {
        if (std::find(dead.begin(), dead.end(), record.owner) == dead.end()) continue;
        // What is over is nobody's to adopt.
        demand(worker_->table().is_over(record, worker_->now()) ||
               rules_->heir(record) == record.owner);
        continue;
      }
      demand(std::find(dead.begin(), dead.end(), earlier.owner) != dead.end());
      demand(record.owner == rules_->heir(record));
      demand(record.owner != kSelf || record.status != ConnectionStatus::kOpening);
    }
    check();
  }

  void recall(uint8_t bits) {
    pass([&] { worker_->age(now_ns_, 4); });
    const Counters before = worker_->counters();
    const uint64_t handed_before = fates_.delivered + fates_.refused;
    begin(Doing::kRecall);
    fates_.dead = others(bits);
    const size_t recalled = worker_->recall(fates_.dead);
    fates_.doing = Doing::kNothing;
    demand(recalled == since(before, Count::kRecalled));
    demand(recalled == since(before, Count::kDelivered));
    demand(recalled == fates_.delivered + fates_.refused - handed_before);
    demand(recalled == 0 || clock() < open_until_ns_);
    demand(since(before, Count::kDiscarded) == 0);
    // Decided like any other packet where it was not tracked, otherwise without a class.
    const uint64_t mine = mine_in(worker_->counters()) - mine_in(before);
    demand(mine <= recalled);
    recalled_without_class_ += recalled - mine;
    recalled_others_ += others_in(worker_->counters()) - others_in(before);
    check();
  }

  Worker& worker() { return *worker_; }
  const Rules& rules() const { return *rules_; }
  /// What this node has opened in moving buckets since the last clear_contested().
  bool has_contested(const Record& record) const {
    const auto found = contested_.find(record.key);
    return found != contested_.end() &&
           found->second == ((record.flags & kClientIsDestination) != 0);
  }
  /// A list has come: the sums over opening packets are those of more than this node.
  void set_has_imported() { has_imported_ = true; }

  std::map<Key, Record, KeyLess> table() const {
    std::map<Key, Record, KeyLess> all;
    std::array<Record, 8> block;
    uint64_t cursor = 0;
    while (const size_t count = worker_->table().export_block(cursor, block)) {
      for (size_t i = 0; i < count; ++i) demand(all.emplace(block[i].key, block[i]).second);
    }
    return all;
  }

  void check_table() const { demand(worker_->table().check_invariants().empty()); }

  /// Everything is over, long after.
  void finish() {
    flush();
    now_ns_ += 8000'000'000'000;
    age(SIZE_MAX);
    check_table();
    demand(worker_->table().sizes().own + worker_->table().sizes().others == 0);
    demand(worker_->fragments_waiting() == 0);
    demand(worker_->held() == 0);
  }

  void check() {
    check_counters(worker_->counters());
    const TableSizes sizes = worker_->table().sizes();
    demand(sizes.own + sizes.others <= kCapacity);
    demand(sizes.opening + sizes.established + sizes.closing == sizes.own + sizes.others);
    demand(sizes.opening <= kCapacity * share_);
    demand(worker_->fragments_waiting() <= 4);
    demand(worker_->held() <= kHold.bytes / BlockArena::kBlockBytes);
    if (worker_->held() == 0) fates_.nothing_is_held();
    check_audit();
  }

 private:
  /// A time of more than five seconds ago is taken for none.
  uint64_t received_ns(const Frame& frame) const {
    constexpr uint64_t kBehindMax = 5'000'000'000;
    if (frame.time_ns == 0) return now_ns_;
    return std::max(frame.time_ns, now_ns_ - std::min(now_ns_, kBehindMax));
  }
  uint64_t clock() const { return now_ns_ + stopped_ns_; }

  uint64_t since(const Counters& before, Count counter) const {
    return worker_->counters()[counter] - before[counter];
  }
  static uint64_t mine_in(const Counters& counters) {
    return counters[Count::kClass1] + counters[Count::kClass2] + counters[Count::kClass5];
  }
  static uint64_t others_in(const Counters& counters) {
    return counters[Count::kClass3] + counters[Count::kClass4] + counters[Count::kClass6];
  }

  void begin(Doing doing) {
    fates_.doing = doing;
    fates_.lease_over = clock() >= open_until_ns_;
    fates_.now_ns = now_ns_;
    fates_.hold_ns = kHold.hold_ns;
  }
  /// Nothing is delivered by that but what was refused, once the lease has begun again.
  template <typename Step>
  void pass(Step what) {
    const Counters before = worker_->counters();
    begin(Doing::kPassing);
    what();
    fates_.doing = Doing::kNothing;
    const uint64_t recalled = since(before, Count::kRecalled);
    demand(recalled == since(before, Count::kDelivered));
    demand(recalled == 0 || clock() < open_until_ns_);
    demand(recalled == mine_in(worker_->counters()) - mine_in(before));
    demand(others_in(worker_->counters()) == others_in(before));
  }
  /// Its time passes with it, as on the live path.
  template <typename Step>
  void step(Step what) {
    pass([&] { worker_->age(now_ns_, 4); });
    const uint64_t opened = worker_->counters()[Count::kHeldOpened];
    begin(Doing::kStep);
    what();
    fates_.doing = Doing::kNothing;
    if (fates_.lease_over) demand(worker_->counters()[Count::kHeldOpened] == opened);
    check();
  }

  void announce(uint8_t pattern, uint8_t key) {
    rules_->transition.emplace(Announced{
        .next = {distribution(key), owners(pattern), ++newest_epoch_}, .dead = {}, .acquired = {}});
  }
  Transition transition() const {
    const Announced& announced = *rules_->transition;
    return {.distribution = announced.next.distribution,
            .next = {.epoch = announced.next.epoch, .self = kSelf, .owner = announced.next.owner},
            .dead = {announced.dead.begin(), announced.dead.end()}};
  }
  void replace() {
    rules_->transition.reset();
    Criteria next = worker_->criteria();
    next.distribution = rules_->view.distribution;
    next.allocation = {.epoch = rules_->view.epoch, .self = kSelf, .owner = rules_->view.owner};
    step([&] { worker_->replace_criteria(std::move(next)); });
    demand(worker_->held() == 0);
  }

  /// What the table alone says of a packet, when it knows the connection and nothing but that may
  /// count: an open connection stays where it is.
  std::optional<Verdict> known_verdict(const Frame& frame) const {
    const Packet packet = parse(frame.bytes, frame.wire_bytes, frame.link);
    if (!by_addresses_ || frame.outgoing || packet.drop != Drop::kNone ||
        packet.kind != Kind::kFlow || !scope_.contains(packet.ip_destination)) {
      return std::nullopt;
    }
    ConnectionTable& table = worker_->table();
    const Slot slot = table.find(packet.flow, table.hash(packet.flow));
    if (slot == kNoSlot || table.is_over(slot, to_tick(received_ns(frame)))) return std::nullopt;
    const Record& record = table.at(slot);
    // What has closed, or was inherited from a dead node, does not hold its key.
    const bool inherited = (record.seen_here & kAdopted) != 0;
    if (packet.opening && (inherited || record.status == ConnectionStatus::kClosing)) {
      return std::nullopt;
    }
    if (record.owner != kSelf) {
      const bool sure =
          record.status != ConnectionStatus::kOpening || (record.seen_here & kConfirmed) != 0;
      return sure ? std::optional(Verdict::kDiscard) : std::nullopt;
    }
    if (clock() >= open_until_ns_) return std::nullopt;
    return Verdict::kDeliver;
  }

  /// One packet of a turn.
  void check(const Trace& trace, const Frame& frame, std::optional<uint32_t> number) {
    const Decision& decision = trace.decision;
    const int packet_class = decision.packet_class;
    const bool lease_over = trace.packet.drop == Drop::kLeaseOver;
    demand(lease_over == decision.lease_over);
    if (lease_over) {
      demand(clock() >= open_until_ns_ && decision.verdict == Verdict::kDiscard);
      ++lease_over_in_turns_;
      taken_back_in_turns_ += packet_class != 0;
    } else if (trace.held || trace.packet.drop != Drop::kNone) {
      demand(decision.verdict == Verdict::kPass);
    }
    const Packet parsed = parse(frame.bytes, frame.wire_bytes, frame.link);
    if (decision.by_bucket && parsed.kind != Kind::kFragment) check_rule(trace, parsed);
    if (number) settle(fates_.at(*number), trace, frame);
    if (lease_over) return;
    switch (decision.verdict) {
      case Verdict::kPass:
        return demand(packet_class == 0);
      case Verdict::kDeliver:
        return demand(packet_class == 1 || packet_class == 2 || packet_class == 5);
      case Verdict::kDiscard:
        return demand(packet_class == 3 || packet_class == 4 || packet_class == 6);
      case Verdict::kForward:
        return demand(false);  // no dispatcher
    }
  }

  void check_rule(const Trace& trace, const Packet& parsed) {
    const Decision& decision = trace.decision;
    const Rule rule = rules_->of(parsed);
    demand(decision.owner == rule.owner && decision.hold == rule.hold);
    if (decision.hold) return demand(decision.verdict == Verdict::kPass);
    const bool mine = rule.owner == kSelf;
    if (!mine) return demand(decision.verdict == Verdict::kDiscard);
    demand((decision.verdict == Verdict::kDeliver) == (clock() < open_until_ns_));
    if (decision.verdict != Verdict::kDeliver || !rule.contested) return;
    const bool reverse = scope_.stores_reversed(parsed.flow);
    contested_[reverse ? reversed(parsed.flow) : parsed.flow] = reverse;
  }

  void settle(Fate& fate, const Trace& trace, const Frame& frame) {
    const bool handed = fate.state == State::kHanded;
    // A later fragment, and its first one behind it in the burst.
    if (handed && trace.held && !trace.decision.hold) return;
    demand(handed == (trace.decision.verdict == Verdict::kDeliver));
    if (handed) return;
    fate.state = State::kOver;
    if (trace.held) fate.state = trace.decision.hold ? State::kHeld : State::kFragment;
    if (trace.decision.packet_class == 3) fate.state = State::kLeft;
    if (trace.decision.lease_over && trace.decision.by_bucket) fate.state = State::kRefused;
    fate.owner = trace.decision.owner;
    fate.may_be_left = trace.held && trace.decision.hold;
    const bool kept = fate.state == State::kLeft || fate.state == State::kRefused;
    fate.since_ns = kept ? received_ns(frame) : now_ns_;
  }

  void check_counters(const Counters& counters) const {
    const uint64_t delivered = counters[Count::kDelivered];
    demand(counters[Drop::kDeliverFailed] == fates_.refused);
    demand(delivered == fates_.delivered + fates_.refused);
    demand(others_in(counters) == counters[Count::kDiscarded] + recalled_others_);
    // What was held is held, delivered, another's, or dropped for one of two reasons.
    const uint64_t settled = worker_->held() + counters[Count::kHeldOpened] +
                             counters[Count::kHeldFollowed] + counters[Drop::kHoldExpired];
    demand(counters[Count::kHeld] >= settled);
    const uint64_t lease_over_in_steps = counters[Count::kHeld] - settled;
    demand(counters[Drop::kLeaseOver] == lease_over_in_turns_ + lease_over_in_steps);
    // Mine by their class are delivered, unless the lease ran out on the way.
    const uint64_t mine = mine_in(counters) + recalled_without_class_;
    demand(mine >= delivered + taken_back_in_turns_);
    demand(mine <= delivered + taken_back_in_turns_ + lease_over_in_steps);
  }

  /// Of one epoch the nodes together take what each has seen: so one alone takes no more. True only
  /// where it tracks every connection, and nobody else's count in with them.
  void check_audit() const {
    const Counters& counters = worker_->counters();
    const uint64_t untracked = counters[Count::kOpeningUntracked] +
                               counters[Count::kFullUntracked] + counters[Count::kEvicted];
    const bool tracks_all =
        worker_->criteria().tracking == Tracking::kObserve && untracked == 0 && !has_imported_;
    if (!tracks_all || newest_epoch_ >= Audit::kEpochs) return;
    for (const AuditEpoch& sums : worker_->audit().epochs()) demand(sums.taken <= sums.seen);
  }

  double share_;
  bool by_addresses_;
  Scope scope_;
  Fates fates_;
  std::unique_ptr<Worker> worker_;
  std::optional<Rules> rules_;
  uint64_t now_ns_ = 1, stopped_ns_ = 0, open_until_ns_ = UINT64_MAX;
  uint32_t newest_epoch_ = 0;
  std::vector<Frame> frames_;
  std::vector<std::vector<uint8_t>> contents_;
  std::vector<std::optional<uint32_t>> numbers_;
  std::map<Key, bool, KeyLess> contested_;  ///< its client is the key's destination
  bool has_imported_ = false;
  uint64_t lease_over_in_turns_ = 0, taken_back_in_turns_ = 0;
  uint64_t recalled_without_class_ = 0, recalled_others_ = 0;
};

}  // namespace flowsieve_fuzz
