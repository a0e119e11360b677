// Expectations from the network and from this node, in any order and number: what is entered is
// well-formed, is found by what it names and by nothing else, and is gone when it is erased.
//
//   input: operations, each | what 1 | ... |: 64 bytes of an expectation, or an owner and an id
#include <cstring>
#include <vector>

#include "decide/expectations.h"
#include "fuzz.h"
#include "fuzz/input.h"

namespace {

using namespace flowsieve;
using flowsieve_fuzz::demand;
using flowsieve_fuzz::Input;

Expectation read(Input& input) {
  Expectation expectation;
  const std::vector<uint8_t> bytes = input.bytes(sizeof expectation);
  if (!bytes.empty()) std::memcpy(static_cast<void*>(&expectation), bytes.data(), bytes.size());
  return expectation;
}

/// The same, made so that it can be: what the network's checks let through.
Expectation make(Input& input) {
  Expectation made;
  made.key.family = input.byte() % 2 ? Family::kIpv6 : Family::kIpv4;
  const unsigned bits = made.key.family == Family::kIpv4 ? 32 : 128;
  const uint8_t four[4] = {198, 51, input.byte(), input.byte()};
  made.key.source = mapped_ipv4(four);
  made.key.destination = mapped_ipv4(four);
  if (bits == 128) made.key.source[0] = 0x20;
  if (bits == 128) made.key.destination[0] = 0x20;
  made.key.protocol = input.byte() % 2 ? 6 : 17;
  made.key.source_port = input.byte() % 4;
  made.key.destination_port = input.byte() % 4;
  made.source_prefix = static_cast<uint8_t>(input.byte() % (bits + 1));
  made.destination_prefix = static_cast<uint8_t>(input.byte() % (bits + 1));
  made.exact = input.byte() % 4;
  made.state = static_cast<ExpectationState>(1 + input.byte() % 3);
  made.owner = input.byte() % 4;
  made.id = input.byte();
  made.key = masked(made.key, made);
  return made;
}

}  // namespace

FLOWSIEVE_FUZZ_TARGET(expectations, data, size) {
  // Its memory is some megabytes: taken once.
  static Expectations all(3);
  all.clear();
  Input input(data, size);
  uint32_t entered = 0;
  while (!input.empty()) {
    const uint8_t what = input.byte() % 8;
    if (what == 0) {
      const NodeIndex owner = input.byte() % 4;
      entered -= all.erase(owner, input.byte());
    } else if (what == 1) {
      const NodeIndex owner = input.byte() % 4;
      entered -= static_cast<uint32_t>(all.erase_of({&owner, 1}));
    } else {
      const Expectation expectation = what == 2 ? read(input) : make(input);
      const uint32_t before = all.size();
      const Expectations::Outcome outcome = all.put(expectation);
      demand((outcome == Expectations::Outcome::kMalformed) == !is_well_formed(expectation));
      entered += all.size() - before;
      const Expectation* known = all.find(expectation.owner, expectation.id);
      if (outcome == Expectations::Outcome::kDone) {
        demand(known != nullptr && known->state >= expectation.state);
      }
      if (known != nullptr) {
        // Its own identifiers meet it, or one that goes before it.
        const Expected found = all.match(known->key);
        demand(found.match != nullptr || found.doubt != nullptr);
        if (found.match != nullptr) {
          demand(masked(known->key, *found.match) == found.match->key);
          demand(found.match->state != ExpectationState::kPending);
        }
      }
    }
    demand(all.size() == entered);
  }
  uint32_t visited = 0;
  all.visit([&](const Expectation& each, uint64_t) {
    demand(is_well_formed(each));
    ++visited;
  });
  demand(visited == entered);
}
