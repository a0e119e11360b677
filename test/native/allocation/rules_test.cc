// Port rules: which rule a packet meets, and what becomes of its bucket.
#include <doctest/doctest.h>

#include <random>

#include "allocation/distribution.h"
#include "allocation/plain_rules.h"

using namespace flowsieve;

namespace {

Address ipv4(uint8_t last) {
  const uint8_t bytes[4] = {192, 0, 2, last};
  return mapped_ipv4(bytes);
}

struct Flow {
  Address source = ipv4(7);
  Address destination = ipv4(100);
  uint16_t source_port = 40000, destination_port = 443;
  uint8_t protocol = 6;
  HeaderFields fields() const {
    return {Family::kIpv4, source, destination, source_port, destination_port, protocol};
  }
};

DistributionOptions options_with(std::vector<Rule> rules) {
  DistributionOptions options;
  options.buckets = 16;
  options.rules = std::move(rules);
  return options;
}

const Rule kTcp443{.protocols = {6}, .ports = {{443, 443}}, .action = RuleAction::kSingle};
const Rule kRefuse1To1023{.ports = {{1, 1023}}, .action = RuleAction::kRefuse};

}  // namespace

TEST_CASE("the first rule that matches decides, whatever comes behind it") {
  const RuleTable table({kTcp443, kRefuse1To1023});
  CHECK(table.find(ipv4(100), 6, 443) == 0);
  CHECK(table.find(ipv4(100), 17, 443) == 1);
  CHECK(table.find(ipv4(100), 6, 442) == 1);
  CHECK(table.find(ipv4(100), 6, 1023) == 1);
  CHECK(table.find(ipv4(100), 6, 1024) == RuleTable::kNoRule);
  CHECK(table.find(ipv4(100), 6, 0) == RuleTable::kNoRule);
  CHECK(RuleTable({kRefuse1To1023, kTcp443}).find(ipv4(100), 6, 443) == 0);
}

TEST_CASE("ports are those of TCP, UDP and SCTP alone") {
  const RuleTable table({{.ports = {{0, 65535}}, .action = RuleAction::kRefuse}});
  for (const uint8_t protocol : {6, 17, 132}) CHECK(table.find(ipv4(1), protocol, 65535) == 0);
  for (const uint8_t protocol : {1, 47, 50, 58, 255}) {
    CHECK(table.find(ipv4(1), protocol, 0) == RuleTable::kNoRule);
  }
}

TEST_CASE("a rule without ports matches whatever has none, and one with an address only that") {
  const RuleTable table(
      {{.addresses = {ipv4(100)}, .protocols = {1, 58}}, {.addresses = {ipv4(101), ipv4(102)}}});
  CHECK(table.find(ipv4(100), 1, 0) == 0);
  CHECK(table.find(ipv4(100), 6, 80) == RuleTable::kNoRule);
  CHECK(table.find(ipv4(102), 47, 0) == 1);
  CHECK(table.find(ipv4(103), 1, 0) == RuleTable::kNoRule);
}

TEST_CASE("the compiled look-up agrees with a plain walk through the list") {
  std::mt19937 random(4711);
  const uint8_t protocols[] = {1, 6, 17, 47, 58, 132, 200};
  for (int round = 0; round < 60; ++round) {
    std::vector<Rule> rules(random() % 12);
    for (Rule& rule : rules) {
      while (random() % 3 == 0) rule.addresses.push_back(ipv4(random() % 4));
      while (random() % 2 == 0) rule.protocols.push_back(protocols[random() % 7]);
      while (random() % 3 != 0 && rule.ports.size() < 8) {
        const uint16_t one = random() % 64, other = random() % 64;
        rule.ports.push_back({std::min(one, other), std::max(one, other)});
      }
    }
    const RuleTable table(rules);
    int wrong = 0;
    for (uint8_t address = 0; address < 5; ++address) {
      for (const uint8_t protocol : protocols) {
        for (uint16_t port = 0; port < 66; ++port) {
          wrong += table.find(ipv4(address), protocol, port) !=
                   plain::find_rule(rules, ipv4(address), protocol, port);
        }
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("single rules have buckets behind the others, and what is nobody's comes last") {
  const Distribution distribution(options_with({
      kTcp443,
      {.protocols = {17}, .action = RuleAction::kSingle},
      {.protocols = {6}, .ports = {{25, 25}}, .action = RuleAction::kRefuse},
      {.protocols = {132}, .action = RuleAction::kPass},
  }));
  CHECK(distribution.owned_buckets() == 18);
  CHECK(distribution.buckets_in_all() == 19);
  CHECK(distribution.bucket(Flow{}.fields()) == 16);
  CHECK(distribution.bucket(Flow{.protocol = 17}.fields()) == 17);
  CHECK(distribution.is_nobodys(distribution.bucket(Flow{.destination_port = 25}.fields())));
  CHECK(distribution.is_nobodys(distribution.bucket(Flow{.protocol = 132}.fields())));
  CHECK(distribution.passes(Flow{.protocol = 132}.fields()));
  CHECK_FALSE(distribution.passes(Flow{.destination_port = 25}.fields()));
  CHECK(distribution.bucket(Flow{.destination_port = 80}.fields()) < 16);
}

TEST_CASE("without rules nothing is nobody's, and every bucket has an owner") {
  const Distribution distribution(options_with({}));
  CHECK(distribution.owned_buckets() == 16);
  CHECK(distribution.buckets_in_all() == 16);
  CHECK_FALSE(distribution.has_nobodys());
  CHECK_FALSE(distribution.has_passes());
  for (uint16_t port = 0; port < 1000; ++port) {
    CHECK_FALSE(distribution.is_nobodys(distribution.bucket(Flow{.source_port = port}.fields())));
  }
}

// The hash of a rule is the hash of a distribution with the rule's fields.
TEST_CASE("affinity hashes the same layout with other fields") {
  const HashedFields by_source{.fields = kFieldSource};
  const HashedFields by_network{.fields = kFieldSource, .source_prefix_ipv4 = 24};
  const std::vector<Rule> rules{{.ports = {{443, 443}}, .hashed = by_source},
                                {.ports = {{8000, 8099}}, .hashed = by_network}};
  for (const HashFunction hash : {HashFunction::kSipHash, HashFunction::kToeplitz,
                                  HashFunction::kCrc32c, HashFunction::kJhash}) {
    DistributionOptions options = options_with(rules);
    options.hash = hash;
    options.key.fill(0x5a);
    const Distribution distribution(options);
    DistributionOptions plain = options_with({});
    plain.hash = hash;
    plain.key = options.key;
    const Distribution base(plain);
    plain.fields = kFieldSource;
    const Distribution source(plain);
    plain.source_prefix_ipv4 = 24;
    const Distribution network(plain);
    for (uint16_t port = 40000; port < 40050; ++port) {
      const Flow flow{.source = ipv4(port % 50), .source_port = port};
      CHECK(distribution.bucket(flow.fields()) == source.bucket(flow.fields()));
      CHECK(distribution.hash(flow.fields()) == source.hash(flow.fields()));
      Flow other = flow;
      other.destination_port = 8050;
      CHECK(distribution.bucket(other.fields()) == network.bucket(other.fields()));
      other.destination_port = 80;
      CHECK(distribution.bucket(other.fields()) == base.bucket(other.fields()));
    }
  }
  uint8_t bytes[kHashedBytesMax];
  const Distribution distribution(options_with(rules));
  CHECK(distribution.layout(Flow{}.fields(), bytes) == 4);
  CHECK(bytes[3] == 7);
  CHECK(distribution.layout(Flow{.destination_port = 8000}.fields(), bytes) == 4);
  CHECK(bytes[3] == 0);
}
