// The draft's test vectors and those of google/quiche, and the decoder against its plain twin.
#include "allocation/quic_lb.h"

#include <doctest/doctest.h>

#include <random>

#include "native/allocation/plain_quic_lb.h"
#include "native/hash/hex.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

constexpr const char* kDraftKey = "8f95f09245765f80256934e50c66207f";
constexpr const char* kQuicheKey = "fdf726a9893ec05c0632d3956680baf0";

struct Vector {
  const char* key;  ///< empty: plain
  uint8_t config;
  const char *server_id, *nonce, *connection_id;
};

// draft-ietf-quic-load-balancers (quicwg/load-balancers@b869d03ce0b0, the text after draft 21), "Load
// Balancer Test Vectors", and google/quiche@f44fa9f33b5d, load_balancer_{decoder,encoder}_test.cc.
// Left out is the draft's second plain row, 20a350d28b4203487d970b for server id 350d28b420 and nonce 3487d970b: the
// nonce has an odd number of digits, and a zero of the id stands in the wrong place. The last row
// of the draft says config 3, while its connection id and quiche say 0.
constexpr Vector kPublished[] = {
    {"", 0, "c4605e", "4504cc4f", "07c4605e4504cc4f"},
    {kDraftKey, 0, "ed793a", "ee080dbf", "0720b1d07b359d3c"},
    {kDraftKey, 1, "ed793a51d49b8f5fab65", "ee080dbf48", "2fcc381bc74cb4fbad2823a3d1f8fed2"},
    {kDraftKey, 2, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", "504dd2d05a7b0de9b2b9907afb5ecf8cc3"},
    {kDraftKey, 0, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d",
     "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"},
    {"", 0, "ed793a", "8049718a", "07ed793a8049718a"},
    {"", 1, "ed793a51d49b8f5f", "8e9853fe93", "2ded793a51d49b8f5f8e9853fe93"},
    {"", 1, "ed793a51d49b8f5f", "ee15da27c4", "2ded793a51d49b8f5fee15da27c4"},
    {kQuicheKey, 0, "31441a", "9c69c275", "0767947d29be054a"},
};

QuicConfig config_of(const Vector& vector) {
  QuicConfig config{.id = vector.config,
                    .server_id_length = static_cast<uint8_t>(from_hex(vector.server_id).size()),
                    .nonce_length = static_cast<uint8_t>(from_hex(vector.nonce).size())};
  const std::vector<uint8_t> key = from_hex(vector.key);
  if (!key.empty()) std::copy(key.begin(), key.end(), config.key.emplace().begin());
  return config;
}

QuicServer server_of(const std::string& id, NodeIndex node) {
  QuicServer server{.id = {}, .node = node};
  const std::vector<uint8_t> bytes = from_hex(id);
  std::copy(bytes.begin(), bytes.end(), server.id.begin());
  return server;
}

QuicAnswer node_of(const QuicLb& quic, const std::string& id, bool exact = true) {
  const std::vector<uint8_t> bytes = from_hex(id);
  return quic.node_of({bytes.data(), bytes.size()}, exact);
}

/// Of four servers the third one has the id that counts.
QuicLbOptions options_for(const QuicConfig& config, const std::string& server_id) {
  return {.ports = {443},
          .configs = {config},
          .servers = {server_of("ff", 3), server_of("00", 5), server_of(server_id, 7),
                      server_of("ed793b", 9)}};
}

}  // namespace

TEST_CASE("QUIC-LB reads the published connection ids, and the plain twin makes them") {
  for (const Vector& vector : kPublished) {
    CAPTURE(vector.connection_id);
    const QuicConfig config = config_of(vector);
    CHECK(plain_encode(config, vector.server_id, vector.nonce) == vector.connection_id);
    const QuicLb quic(options_for(config, vector.server_id));
    for (const bool exact : {false, true}) {
      const QuicAnswer answer = node_of(quic, vector.connection_id, exact);
      CHECK(answer.id == QuicId::kNode);
      CHECK(answer.node == 7);
    }
    // Behind a short header the packet goes on.
    CHECK(node_of(quic, std::string(vector.connection_id) + "aabb", false).node == 7);
  }
}

TEST_CASE("QUIC-LB: what the published unroutable ids say") {
  const QuicConfig three_four{.id = 0, .server_id_length = 3, .nonce_length = 4};
  QuicConfig one = three_four;
  one.id = 1;
  CHECK(node_of(QuicLb(options_for(three_four, "010203")), "e001020304050607").id ==
        QuicId::kUnconfigured);
  CHECK(node_of(QuicLb(options_for(three_four, "010203")), "ff").id == QuicId::kUnconfigured);
  CHECK(node_of(QuicLb(options_for(one, "010203")), "0001020304050607").id ==
        QuicId::kUnconfigured);
  CHECK(node_of(QuicLb(options_for(three_four, "010203")), "00010203040506").id == QuicId::kLength);
}

TEST_CASE("QUIC-LB: an id that does not say its length where it should names nobody") {
  QuicConfig config{.id = 0, .server_id_length = 3, .nonce_length = 4};
  const QuicLb says(options_for(config, "c4605e"));
  CHECK(node_of(says, "07c4605e4504cc4f").id == QuicId::kNode);
  CHECK(node_of(says, "06c4605e4504cc4f").id == QuicId::kLength);
  CHECK(node_of(says, "07c4605e4504cc").id == QuicId::kLength);
  CHECK(node_of(says, "07c4605e4504cc4f00").id == QuicId::kLength);  // a long header says 9
  CHECK(node_of(says, "07c4605e4504cc4f00", false).id == QuicId::kNode);
  config.encodes_length = false;
  const QuicLb random(options_for(config, "c4605e"));
  CHECK(node_of(random, "06c4605e4504cc4f").id == QuicId::kNode);
  CHECK(node_of(random, "1fc4605e4504cc4f0011").id == QuicId::kNode);
  CHECK(node_of(random, "07c4605e4504cc").id == QuicId::kLength);
  CHECK(node_of(random, "").id == QuicId::kLength);
}

TEST_CASE("QUIC-LB: a server id that no living node has names nobody") {
  const QuicConfig config{.id = 0, .server_id_length = 3, .nonce_length = 4};
  CHECK(node_of(QuicLb(options_for(config, "010203")), "07c4605e4504cc4f").id == QuicId::kNobody);
  CHECK(node_of(QuicLb({.ports = {443}, .configs = {config}, .servers = {}}), "0700000000000000")
            .id == QuicId::kNobody);
}

TEST_CASE("QUIC-LB: ports") {
  const QuicLb quic({.ports = {443, 8443}, .configs = {}, .servers = {}});
  CHECK(quic.is_port(443));
  CHECK(quic.is_port(8443));
  CHECK_FALSE(quic.is_port(0));  // the places that no port has are zero
  CHECK_FALSE(quic.is_port(80));
}

namespace {

uint8_t between(std::mt19937_64& random, uint64_t low, uint64_t high) {
  return static_cast<uint8_t>(low + random() % (high - low + 1));
}

std::string random_hex(std::mt19937_64& random, size_t octets) {
  std::vector<uint8_t> bytes(octets);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return to_hex(bytes.data(), bytes.size());
}

QuicConfig random_config(std::mt19937_64& random, uint8_t id) {
  QuicConfig config{.id = id, .server_id_length = between(random, 1, 15)};
  config.nonce_length = between(random, 4, kQuicPlaintextMax - config.server_id_length);
  config.encodes_length = random() % 4 != 0;
  if (random() % 4 != 0) {
    for (uint8_t& byte : config.key.emplace()) byte = static_cast<uint8_t>(random());
  }
  return config;
}

}  // namespace

TEST_CASE("QUIC-LB agrees with its plain twin over random configurations and ids") {
  std::mt19937_64 random(21);
  size_t named = 0, other[6] = {};
  for (int round = 0; round < 300; ++round) {
    QuicLbOptions options;
    for (uint8_t id = 0; id < kQuicConfigs; ++id) {
      if (random() % 3 != 0) options.configs.push_back(random_config(random, id));
    }
    if (options.configs.empty()) continue;
    for (NodeIndex node = 0; node < 5; ++node) {
      // Different from its first octet on, as some configurations have no more.
      const uint8_t first = static_cast<uint8_t>(50 * node + random() % 50);
      options.servers.push_back(
          server_of(to_hex(&first, 1) + random_hex(random, kQuicServerIdMax - 1), node));
    }
    const QuicLb quic(options);
    for (int i = 0; i < 40; ++i) {
      const QuicConfig& config = options.configs[random() % options.configs.size()];
      const QuicServer& server = options.servers[random() % options.servers.size()];
      std::string id =
          plain_encode(config, to_hex(server.id.data(), config.server_id_length),
                       random_hex(random, config.nonce_length), between(random, 0, 31));
      const bool exact = random() % 2;
      const bool spoilt = random() % 4 == 0;
      if (spoilt) id[random() % id.size()] = "0123456789abcdef"[random() % 16];
      if (random() % 8 == 0) id[0] = "0123456789abcdef"[random() % 16];  // another config id
      if (random() % 6 == 0) id.resize(2 * (random() % (id.size() / 2 + 1)));
      if (random() % 6 == 0) id += random_hex(random, random() % 4);
      CAPTURE(id);
      const QuicAnswer expected = plain_node_of(options, id, exact);
      const QuicAnswer answer = node_of(quic, id, exact);
      REQUIRE(answer.id == expected.id);
      REQUIRE(answer.node == expected.node);
      named += answer.id == QuicId::kNode;
      ++other[static_cast<size_t>(answer.id)];
    }
  }
  CHECK(named > 4000);
  for (const QuicId id : {QuicId::kUnconfigured, QuicId::kLength, QuicId::kNobody}) {
    CHECK(other[static_cast<size_t>(id)] > 100);
  }
}
