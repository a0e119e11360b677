// The worker's part in expected connections (docs/decisions/expected-connections.md).
#include <utility>

#include "worker/worker.h"

namespace flowsieve {

Expectations::Outcome Worker::expect(const Expectation& expectation,
                                     std::unique_ptr<Expectations>& room) {
  if (!expectations_) expectations_ = std::move(room);
  const auto [owner, id] = std::pair(expectation.owner, expectation.id);
  const Expectation* known = expectations_->find(owner, id);
  const bool was_pending = known != nullptr && known->state == ExpectationState::kPending;
  const Expectations::Outcome outcome = expectations_->put(expectation);
  if (was_pending && known->state != ExpectationState::kPending) {
    settle_left(owner, id, owner == criteria_.allocation.self);
  }
  look_at_expectations();
  return outcome;
}

bool Worker::unexpect(NodeIndex owner, uint64_t id) {
  if (!expectations_) return false;
  const Expectation* known = expectations_->find(owner, id);
  if (known == nullptr) return false;
  const bool ending = known->state == ExpectationState::kEnding;
  settle_left(owner, id, ending && owner != criteria_.allocation.self);
  expectations_->erase(owner, id);
  look_at_expectations();
  return true;
}

void Worker::forget_expectations(std::span<const NodeIndex> owners) {
  if (!expectations_) return;
  expectations_->erase_of(owners);
  // What was left to one that is dead its heir may have answered.
  expectations_->forget_left();
  look_at_expectations();
}

void Worker::clear_expectations() {
  if (!expectations_) return;
  expectations_->clear();
  look_at_expectations();
}

/// Packets ask only while there are any.
void Worker::look_at_expectations() {
  expected_ = expectations_->size() > 0 ? expectations_.get() : nullptr;
}

/// The doubt about an expectation is over. What nobody has taken meanwhile becomes unknown
/// (`forget`), so that its opening packet is decided by what holds now when it comes again: nobody
/// has taken what no owner claims, as those who could have done so have been asked.
void Worker::settle_left(NodeIndex owner, uint64_t id, bool forget) {
  expectations_->take_left(owner, id, [&](const Key& key) {
    if (!forget) return;
    const Slot slot = table_.find(key, table_.hash(key));
    if (slot == kNoSlot) return;
    const Record& record = table_.at(slot);
    const bool noted =
        record.owner != criteria_.allocation.self && (record.seen_here & kConfirmed) == 0;
    if (!noted || record.status != ConnectionStatus::kOpening) return;
    leaving(slot, record, false);
    table_.erase(slot);
  });
}

/// Not all nodes may think alike of this connection, as an expectation of it comes or goes.
bool Worker::is_in_doubt(const Record& record) const {
  if (expected_ == nullptr) return false;
  const bool reverse = (record.flags & kClientIsDestination) != 0;
  return expected_->is_in_doubt(reverse ? reversed(record.key) : record.key);
}

}  // namespace flowsieve
