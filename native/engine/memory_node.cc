#include "engine/memory_node.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "engine/backlog.h"
#include "engine/expected.h"
#include "engine/lists.h"
#include "engine/routing.h"

namespace flowsieve {

size_t MemoryNode::Queue::receive(std::span<Frame> burst) {
  frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(given_));
  given_ = std::min<uint64_t>({burst.size(), frames_.size(), allowed_});
  allowed_ -= given_;
  for (size_t i = 0; i < given_; ++i) {
    burst[i] = Frame{};
    const auto& [bytes, received_ns] = frames_[i];
    burst[i].bytes = {bytes.data(), bytes.size()};
    burst[i].wire_bytes = static_cast<uint32_t>(bytes.size());
    burst[i].time_ns = received_ns;
  }
  return given_;
}

void MemoryNode::Queue::collect_drops(Counters& counters) {
  counters.drop(Drop::kRingFull, std::exchange(lost_, 0));
}

bool MemoryNode::Queue::push(Bytes frame, uint64_t received_ns) {
  if (waiting() >= kQueueMax) {
    ++lost_;
    return false;
  }
  frames_.push_back({{frame.data, frame.data + frame.size}, received_ns});
  return true;
}

Result<std::unique_ptr<MemoryNode>> MemoryNode::create(const WorkerOptions& options,
                                                       Criteria criteria, uint64_t now_ns) {
  if (Status fits = ConnectionTable::check(options.table); !fits) return fits.error();
  try {
    return std::unique_ptr<MemoryNode>(new MemoryNode(options, std::move(criteria), now_ns));
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kSystem, "Expected memory for a table of " +
                                         std::to_string(options.table.capacity) +
                                         " connections but received none from the system."};
  }
}

/// The worker looks at the node's clock afresh, as on the live path, before it delivers: between two
/// turns it may have been stopped for longer than its lease.
WorkerOptions MemoryNode::with_clock(WorkerOptions options) const {
  options.clock = [this] { return now_ns_; };
  return options;
}

MemoryNode::MemoryNode(const WorkerOptions& options, Criteria criteria, uint64_t now_ns)
    : now_ns_(now_ns),
      worker_(with_clock(options), std::move(criteria), delivery_, nullptr, nullptr, now_ns) {}

bool MemoryNode::push(Bytes frame, uint64_t received_ns) {
  return queue_.push(frame, received_ns);
}

void MemoryNode::turn(uint64_t now_ns, uint64_t frames) {
  now_ns_ = std::max(now_ns_, now_ns);
  queue_.allow(frames);
  while (worker_.turn(queue_, now_ns_) > 0) {
  }
}

void MemoryNode::age(uint64_t now_ns) {
  now_ns_ = std::max(now_ns_, now_ns);
  worker_.age(now_ns_, SIZE_MAX);
}

std::vector<MemoryDelivery::Packet> MemoryNode::take_delivered() {
  std::vector<MemoryDelivery::Packet> taken = delivery_.kept();
  delivery_.clear();
  return taken;
}

void MemoryNode::decide_received() {
  queue_.allow(UINT64_MAX);
  decide_backlog([this] { return worker_.turn(queue_, now_ns_); }, kQueueMax);
}

void MemoryNode::release() {
  decide_received();
  worker_.release();
}

void MemoryNode::replace_criteria(const Criteria& criteria) {
  decide_received();
  worker_.replace_criteria(criteria);
}

WorkerSnapshot MemoryNode::snapshot() {
  worker_.collect_drops(queue_);
  return snapshot_of(worker_);
}

uint64_t MemoryNode::adopt(std::span<const NodeIndex> dead) {
  worker_.forget_expectations(dead);
  worker_.recall(dead);
  return adopt_in_steps([this](auto letter) { return letter(worker_); }, dead);
}

Expectations::Outcome MemoryNode::expect(const Expectation& expectation) {
  decide_received();
  return expect_in_steps([this](auto letter) { return letter(worker_); }, expectation);
}

bool MemoryNode::unexpect(NodeIndex owner, uint64_t id) {
  decide_received();
  return worker_.unexpect(owner, id);
}

ExpectationList MemoryNode::expectations() const {
  ExpectationList list;
  list_expectations(worker_, list);
  return list;
}

RecordBlock MemoryNode::export_list(ListKind kind, NodeIndex to, uint64_t cursor, size_t limit) {
  if (cursor == 0) decide_received();
  if (to != worker_.criteria().allocation.self) worker_.tell();
  return export_in_steps([this](auto letter) { return letter(worker_); }, kind, to, cursor, limit);
}

ConnectionTable::Imported MemoryNode::import_list(ListKind kind, std::span<Record> records,
                                                  Tick sender_now,
                                                  std::span<const NodeIndex> owners) {
  translate_owners(records, owners);
  decide_received();
  return import_in_steps([this](auto letter) { return letter(worker_); }, kind, records,
                         sender_now);
}

}  // namespace flowsieve
