// Lists from other nodes: whatever bytes arrive as records, the table refuses or enters them
// and stays whole.
//
//   | sender_now 4 | receiver's now 4 | unused 1 | records, 64 bytes each … |
//
#include "fuzz.h"

#include <cstdlib>
#include <cstring>
#include <vector>

#include "table/table.h"

namespace {

using namespace flowsieve;

void expect(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

FLOWSIEVE_FUZZ_TARGET(records, data, size) {
  constexpr size_t kHead = 9;
  if (size < kHead) return;
  Tick sender_now, now;
  std::memcpy(&sender_now, data, 4);
  std::memcpy(&now, data + 4, 4);
  std::vector<Record> list((size - kHead) / sizeof(Record));
  if (!list.empty()) {
    std::memcpy(static_cast<void*>(list.data()), data + kHead, list.size() * sizeof(Record));
  }

  TableOptions options;
  options.capacity = 16;
  options.nodes = 16;
  options.seed = 3;
  ConnectionTable table(options, now);
  const auto result = table.import_block(list, sender_now, now);
  expect(result.inserted + result.corrected + result.known + result.refused + result.full ==
         list.size());
  const TableSizes sizes = table.sizes();
  // One that has closed leaves even where its successor finds no place among the opening ones.
  const size_t present = sizes.own + sizes.others;
  expect(present <= result.inserted - result.evicted);
  expect(present + result.full >= result.inserted - result.evicted);
  expect(table.check_invariants().empty());

  // What was let in is let in by the next node too.
  std::vector<Record> out(5);
  uint64_t cursor = 0;
  uint32_t exported = 0;
  TableOptions other_options = options;
  other_options.seed = 4;
  other_options.opening_share = 1;
  ConnectionTable other(other_options, 77);
  while (const size_t count = table.export_block(cursor, out)) {
    exported += static_cast<uint32_t>(count);
    // A node says of its own that they are.
    for (Record& record : out) {
      if (record.owner == options.self) record.seen_here |= kConfirmed;
    }
    const auto again = other.import_block({out.data(), count}, now, 77);
    expect(again.inserted == count);
  }
  expect(exported == sizes.own + sizes.others);
  expect(other.check_invariants().empty());

  uint32_t expired = 0;
  while (table.advance(now + (1u << 25), 3, [&](Slot, const Record&) { ++expired; }) == 3) {
    expect(table.check_invariants().empty());
  }
  expect(expired == exported);
}
