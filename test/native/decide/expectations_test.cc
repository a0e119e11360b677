// The expectations of a worker: what matches, what goes first, what does not fit; and a plain twin
// that knows nothing of masks and hashes.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "decide/expectations.h"
#include "support/packet_builder.h"

using namespace flowsieve;
using namespace flowsieve::test;
using Outcome = Expectations::Outcome;

namespace {

constexpr uint8_t kBothPorts = kExactSourcePort | kExactDestinationPort;

Key tcp(const std::string& client, uint16_t client_port, const std::string& server,
        uint16_t server_port) {
  return key_of(6, client, client_port, server, server_port);
}

struct Of {
  uint8_t source_prefix = 32;
  uint8_t destination_prefix = 32;
  uint8_t exact = kBothPorts;
  ExpectationState state = ExpectationState::kActive;
};

Expectation expectation(NodeIndex owner, uint64_t id, const Key& key, const Of& of = {}) {
  Expectation made{.key = key,
                   .id = id,
                   .owner = owner,
                   .source_prefix = of.source_prefix,
                   .destination_prefix = of.destination_prefix,
                   .exact = of.exact,
                   .state = of.state};
  made.key = masked(key, made);
  return made;
}

uint64_t matched_id(const Expectations& expectations, const Key& key) {
  const Expectation* match = expectations.match(key).match;
  return match == nullptr ? 0 : match->id;
}

const Key kData = tcp("198.51.100.7", 40000, "192.0.2.100", 5000);

}  // namespace

TEST_CASE("expectations: exact identifiers match one connection and nothing beside it") {
  Expectations all(1);
  REQUIRE(all.put(expectation(1, 7, kData)) == Outcome::kDone);
  CHECK(matched_id(all, kData) == 7);
  CHECK(matched_id(all, tcp("198.51.100.7", 40001, "192.0.2.100", 5000)) == 0);
  CHECK(matched_id(all, tcp("198.51.100.7", 40000, "192.0.2.100", 5001)) == 0);
  CHECK(matched_id(all, tcp("198.51.100.8", 40000, "192.0.2.100", 5000)) == 0);
  CHECK(matched_id(all, tcp("198.51.100.7", 40000, "192.0.2.101", 5000)) == 0);
  CHECK(matched_id(all, reversed(kData)) == 0);
  Key udp = kData;
  udp.protocol = 17;
  CHECK(matched_id(all, udp) == 0);
  CHECK(all.erase(1, 7));
  CHECK(matched_id(all, kData) == 0);
  CHECK_FALSE(all.erase(1, 7));
  CHECK(all.size() == 0);
}

TEST_CASE("expectations: wildcards of ports, addresses and prefixes of both families") {
  Expectations all(2);
  const Of any_client{.source_prefix = 0, .exact = kExactDestinationPort};
  const Of prefix{.source_prefix = 20, .destination_prefix = 0, .exact = kExactSourcePort};
  const Of six{.source_prefix = 60, .destination_prefix = 128, .exact = 0};
  REQUIRE(all.put(expectation(1, 1, kData, any_client)) == Outcome::kDone);
  REQUIRE(all.put(expectation(2, 2, tcp("203.0.113.9", 53, "192.0.2.1", 1), prefix)) ==
          Outcome::kDone);
  REQUIRE(all.put(expectation(0, 3, tcp("2001:db8:0:10::1", 1, "2001:db8::100", 2), six)) ==
          Outcome::kDone);
  CHECK(matched_id(all, tcp("10.1.2.3", 9, "192.0.2.100", 5000)) == 1);
  CHECK(matched_id(all, tcp("10.1.2.3", 9, "192.0.2.100", 5001)) == 0);
  CHECK(matched_id(all, tcp("203.0.112.1", 53, "192.0.2.77", 9)) == 2);
  CHECK(matched_id(all, tcp("203.0.127.255", 53, "192.0.2.77", 9)) == 2);
  CHECK(matched_id(all, tcp("203.0.128.0", 53, "192.0.2.77", 9)) == 0);
  CHECK(matched_id(all, tcp("203.0.112.1", 54, "192.0.2.77", 9)) == 0);
  CHECK(matched_id(all, tcp("2001:db8:0:1f::ffff", 7, "2001:db8::100", 8)) == 3);
  CHECK(matched_id(all, tcp("2001:db8:0:20::1", 7, "2001:db8::100", 8)) == 0);
}

TEST_CASE("expectations: who names more goes first, whatever came first") {
  for (const bool general_first : {true, false}) {
    Expectations all(3);
    const auto general = expectation(1, 1, kData, {.exact = 0});
    const auto exact = expectation(2, 2, kData);
    REQUIRE(all.put(general_first ? general : exact) == Outcome::kDone);
    REQUIRE(all.put(general_first ? exact : general) == Outcome::kDone);
    CHECK(matched_id(all, kData) == 2);
    CHECK(matched_id(all, tcp("198.51.100.7", 1, "192.0.2.100", 5000)) == 1);
    CHECK(all.erase(2, 2));
    CHECK(matched_id(all, kData) == 1);
  }
}

TEST_CASE("expectations: until it is active a match is in doubt and decides nothing") {
  Expectations all(4);
  REQUIRE(all.put(expectation(1, 1, kData, {.exact = 0})) == Outcome::kDone);
  REQUIRE(all.put(expectation(2, 2, kData, {.state = ExpectationState::kPending})) ==
          Outcome::kDone);
  CHECK(all.match(kData).match->id == 1);
  CHECK(all.match(kData).doubt->id == 2);
  CHECK(all.put(expectation(2, 2, kData)) == Outcome::kDone);
  CHECK(all.match(kData).match->id == 2);
  CHECK(all.match(kData).doubt == nullptr);
  CHECK(all.put(expectation(2, 2, kData, {.state = ExpectationState::kEnding})) == Outcome::kDone);
  CHECK(all.match(kData).match->id == 2);
  CHECK(all.match(kData).doubt->id == 2);
  // A message of before that comes late takes nothing back.
  CHECK(all.put(expectation(2, 2, kData, {.state = ExpectationState::kPending})) == Outcome::kDone);
  CHECK(all.match(kData).doubt->state == ExpectationState::kEnding);
}

TEST_CASE("expectations: what does not fit is refused by its name and changes nothing") {
  Expectations all(5);
  REQUIRE(all.put(expectation(1, 1, kData)) == Outcome::kDone);
  CHECK(all.put(expectation(2, 9, kData)) == Outcome::kTaken);
  CHECK(all.put(expectation(1, 2, kData)) == Outcome::kTaken);
  CHECK(all.size() == 1);

  Expectation bad = expectation(1, 3, tcp("10.0.0.1", 1, "192.0.2.100", 2));
  bad.source_prefix = 33;
  CHECK(all.put(bad) == Outcome::kMalformed);
  bad.source_prefix = 24;  // with bits behind it
  CHECK(all.put(bad) == Outcome::kMalformed);

  for (uint8_t prefix = 1; prefix < Expectations::kMasksMax; ++prefix) {
    CHECK(all.put(expectation(1, 10u + prefix, kData, {.source_prefix = prefix})) ==
          Outcome::kDone);
  }
  CHECK(all.put(expectation(1, 50, kData, {.source_prefix = 31})) == Outcome::kMasks);
  CHECK(all.erase(1, 11));
  CHECK(all.put(expectation(1, 50, kData, {.source_prefix = 31})) == Outcome::kDone);

  Expectations many(6);
  const auto nth = [](uint32_t n) {
    return tcp("10.0.0." + std::to_string(n >> 14), static_cast<uint16_t>(n & 0x3fff),
               "192.0.2.100", 1);
  };
  for (uint32_t n = 0; n < Expectations::kOfNodeMax; ++n) {
    REQUIRE(many.put(expectation(1, n, nth(n))) == Outcome::kDone);
  }
  CHECK(many.put(expectation(1, 99'999, nth(99'999))) == Outcome::kNodeFull);
  for (uint32_t n = Expectations::kOfNodeMax; n < Expectations::kMax; ++n) {
    REQUIRE(many.put(expectation(static_cast<NodeIndex>(1 + n / Expectations::kOfNodeMax), n,
                                 nth(n))) == Outcome::kDone);
  }
  CHECK(many.put(expectation(9, 99'999, nth(99'999))) == Outcome::kFull);
  const std::vector<NodeIndex> two{2, 3};
  CHECK(many.erase_of(two) == 2 * Expectations::kOfNodeMax);
  CHECK(matched_id(many, nth(5)) == 5);
  CHECK(matched_id(many, nth(Expectations::kOfNodeMax)) == 0);
  CHECK(many.put(expectation(9, 99'999, nth(99'999))) == Outcome::kDone);
  many.clear();
  CHECK(many.size() == 0);
  CHECK(matched_id(many, nth(5)) == 0);
}

namespace {

bool bit(const Address& address, unsigned n) {
  return (address[n / 8] >> (7 - n % 8) & 1) != 0;
}

/// "Address, exact or by prefix, or any": bit by bit.
bool agree(const Address& one, const Address& other, Family family, unsigned bits) {
  const unsigned first = family == Family::kIpv4 ? 96 : 0;
  for (unsigned n = first; n < first + bits; ++n) {
    if (bit(one, n) != bit(other, n)) return false;
  }
  return true;
}

bool plain_match(const Expectation& one, const Key& flow) {
  const Key& key = one.key;
  return key.family == flow.family && key.protocol == flow.protocol &&
         agree(key.source, flow.source, flow.family, one.source_prefix) &&
         agree(key.destination, flow.destination, flow.family, one.destination_prefix) &&
         (!(one.exact & kExactSourcePort) || key.source_port == flow.source_port) &&
         (!(one.exact & kExactDestinationPort) || key.destination_port == flow.destination_port);
}

int exact_bits(const Expectation& one) {
  int bits = one.source_prefix + one.destination_prefix;
  if (one.exact & kExactSourcePort) bits += 16;
  if (one.exact & kExactDestinationPort) bits += 16;
  return bits;
}

/// "The one with more exact bits goes first, and of two with as many the one with the larger mask,
/// read as a number": source prefix, then destination port before source port.
bool goes_before(const Expectation& one, const Expectation& other) {
  if (exact_bits(one) != exact_bits(other)) return exact_bits(one) > exact_bits(other);
  if (one.source_prefix != other.source_prefix) return one.source_prefix > other.source_prefix;
  return one.exact > other.exact;
}

bool same_identifiers(const Expectation& one, const Expectation& other) {
  return one.key == other.key && one.source_prefix == other.source_prefix &&
         one.destination_prefix == other.destination_prefix && one.exact == other.exact;
}

/// The twin: a list, walked.
class PlainExpectations {
 public:
  void put(const Expectation& one) {
    for (Expectation& known : all_) {
      if (known.owner == one.owner && known.id == one.id) {
        known.state = std::max(known.state, one.state);
        return;
      }
    }
    all_.push_back(one);
  }
  bool is_taken(const Expectation& one) const {
    return std::any_of(all_.begin(), all_.end(),
                       [&](const Expectation& each) { return same_identifiers(each, one); });
  }
  bool knows(NodeIndex owner, uint64_t id) const {
    return std::any_of(all_.begin(), all_.end(), [&](const Expectation& each) {
      return each.owner == owner && each.id == id;
    });
  }
  void erase(NodeIndex owner, uint64_t id) {
    std::erase_if(all_,
                  [&](const Expectation& each) { return each.owner == owner && each.id == id; });
  }
  std::pair<uint64_t, uint64_t> match(const Key& flow) const {
    std::vector<Expectation> matching;
    for (const Expectation& each : all_) {
      if (plain_match(each, flow)) matching.push_back(each);
    }
    std::sort(matching.begin(), matching.end(), goes_before);
    uint64_t doubt = 0;
    for (const Expectation& each : matching) {
      if (doubt == 0 && each.state != ExpectationState::kActive) doubt = each.id;
      if (each.state != ExpectationState::kPending) return {each.id, doubt};
    }
    return {0, doubt};
  }

 private:
  std::vector<Expectation> all_;
};

Key random_flow(std::mt19937_64& random) {
  const auto small = [&](uint64_t below) { return static_cast<uint16_t>(random() % below); };
  const bool six = random() % 3 == 0;
  const std::string client =
      six ? "2001:db8:" + std::to_string(small(3)) + "::" + std::to_string(small(3))
          : "10." + std::to_string(small(2)) + ".0." + std::to_string(small(4));
  const std::string server =
      six ? "2001:db8::10" + std::to_string(small(2)) : "192.0.2.10" + std::to_string(small(2));
  const uint8_t protocol = random() % 4 ? 6 : 17;
  return key_of(protocol, client, small(4), server, small(4));
}

}  // namespace

TEST_CASE("expectations: the same as a list that is walked") {
  std::mt19937_64 random(77);
  size_t matches = 0;
  for (int round = 0; round < 20; ++round) {
    Expectations all(random());
    PlainExpectations plain;
    // A few masks a round: more than kMasksMax would be refused by one side alone.
    const uint8_t prefixes[] = {0, 8, 31, 32, static_cast<uint8_t>(random() % 33)};
    for (int step = 0; step < 3000; ++step) {
      const Key flow = random_flow(random);
      const NodeIndex owner = random() % 3;
      const uint64_t id = 1 + random() % 60;
      switch (random() % 4) {
        case 0: {
          Of of{.source_prefix = prefixes[random() % 5],
                .destination_prefix = prefixes[random() % 2 ? 3 : 0],
                .exact = static_cast<uint8_t>(random() % 4),
                .state = static_cast<ExpectationState>(1 + random() % 3)};
          if (flow.family == Family::kIpv6) {
            of.source_prefix = of.source_prefix * 4 % 129;
            of.destination_prefix *= 4;
          }
          // Ids are one owner's in one life: here of all.
          const Expectation one = expectation(owner, id * 4 + owner, flow, of);
          if (!plain.knows(owner, one.id) && plain.is_taken(one)) {
            REQUIRE(all.put(one) == Outcome::kTaken);
          } else {
            const Outcome outcome = all.put(one);
            if (outcome == Outcome::kMasks) break;
            REQUIRE(outcome == Outcome::kDone);
            plain.put(one);
          }
          break;
        }
        case 1:
          REQUIRE(all.erase(owner, id * 4 + owner) == plain.knows(owner, id * 4 + owner));
          plain.erase(owner, id * 4 + owner);
          break;
        default: {
          const Expected found = all.match(flow);
          const auto [match, doubt] = plain.match(flow);
          REQUIRE((found.match ? found.match->id : 0) == match);
          REQUIRE((found.doubt ? found.doubt->id : 0) == doubt);
          matches += match != 0;
        }
      }
    }
  }
  CHECK(matches > 5000);
}
