#include "allocation/distribution.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "../hash/hex.h"
#include "../hash/uniformity.h"
#include "golden_rows.h"
#include "hash/toeplitz.h"

namespace flowsieve {
namespace {

constexpr HashFunction kAllHashes[] = {HashFunction::kSipHash, HashFunction::kToeplitz,
                                       HashFunction::kCrc32c, HashFunction::kJhash};
constexpr uint8_t kAllFields = 31;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    parts.push_back(part);
  }
  return parts;
}

/// The cells of a row of a Markdown table, without the blanks around them.
std::vector<std::string> cells_of(const std::string& row) {
  std::vector<std::string> cells;
  for (const std::string& cell : split(row.substr(1), '|')) {
    const size_t first = cell.find_first_not_of(' '), last = cell.find_last_not_of(' ');
    cells.push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
  }
  return cells;
}

std::array<uint8_t, 40> key_named(const std::string& name) {
  std::array<uint8_t, 40> key{};
  if (name == "count") {
    const std::vector<uint8_t> bytes = counting(40);
    std::copy(bytes.begin(), bytes.end(), key.begin());
  } else if (name == "rss") {
    key = kToeplitzDefaultKey;
  } else if (name == "beef") {
    key = {0xef, 0xbe, 0xad, 0xde};
  } else {
    REQUIRE(name == "zero");
  }
  return key;
}

HashFunction hash_named(const std::string& name) {
  const char* names[] = {"siphash", "toeplitz", "crc32c", "jhash"};
  const auto found = std::find(std::begin(names), std::end(names), name);
  REQUIRE(found != std::end(names));
  return kAllHashes[found - std::begin(names)];
}

uint8_t fields_named(const std::string& list) {
  const char* names[] = {"source", "destination", "sourcePort", "destinationPort", "protocol"};
  uint8_t fields = 0;
  for (const std::string& word : split(list == "-" ? "" : list, ' ')) {
    const auto found = std::find(std::begin(names), std::end(names), word);
    REQUIRE(found != std::end(names));
    fields |= static_cast<uint8_t>(1 << (found - std::begin(names)));
  }
  return fields;
}

Address address_of(const std::string& text) {
  const bool ipv6 = text.find(':') != std::string::npos;
  uint8_t bytes[16] = {};
  REQUIRE(inet_pton(ipv6 ? AF_INET6 : AF_INET, text.c_str(), bytes) == 1);
  Address address;
  std::memcpy(address.data(), bytes, sizeof address);
  return ipv6 ? address : mapped_ipv4(bytes);
}

uint8_t small(const std::string& text) {
  return static_cast<uint8_t>(std::stoul(text));
}
uint16_t port(const std::string& text) {
  return static_cast<uint16_t>(std::stoul(text));
}

TEST_CASE("layout, hash and bucket are those of the golden rows") {
  for (const char* row : kGoldenRows) {
    CAPTURE(row);
    const std::vector<std::string> cell = cells_of(row);
    REQUIRE(cell.size() == 18);
    DistributionOptions options;
    options.hash = hash_named(cell[1]);
    options.key = key_named(cell[2]);
    options.fields = fields_named(cell[3]);
    options.source_prefix_ipv4 = small(split(cell[4], '/')[0]);
    options.source_prefix_ipv6 = small(split(cell[4], '/')[1]);
    options.destination_prefix_ipv4 = small(split(cell[5], '/')[0]);
    options.destination_prefix_ipv6 = small(split(cell[5], '/')[1]);
    options.symmetric = cell[6] == "yes";
    const Address source = address_of(cell[7]), destination = address_of(cell[9]);
    const HeaderFields fields{
        cell[7].find(':') == std::string::npos ? Family::kIpv4 : Family::kIpv6,
        source,
        destination,
        port(cell[8]),
        port(cell[10]),
        small(cell[11])};

    uint8_t bytes[kHashedBytesMax];
    const Distribution distribution(options);
    const size_t size = distribution.layout(fields, bytes);
    const std::vector<uint8_t> expected = from_hex(cell[12] == "-" ? "" : cell[12]);
    CHECK(std::vector<uint8_t>(bytes, bytes + size) == expected);
    CHECK(distribution.hash(fields) == std::stoull(cell[13], nullptr, 16));
    for (size_t i = 0; i < 4; ++i) {
      options.buckets = 16u << (4 * i);
      CHECK(Distribution(options).bucket(fields) == std::stoul(cell[14 + i]));
    }
  }
}

TEST_CASE("the document holds the same golden rows and the same version") {
  std::ifstream document(FLOWSIEVE_ROOT "/docs/reference/hash-layout.md");
  REQUIRE(document.good());
  std::vector<std::string> rows;
  bool version_stated = false;
  for (std::string line; std::getline(document, line);) {
    if (line.size() > 2 && line[0] == '|' && line[2] >= '0' && line[2] <= '9') {
      rows.push_back(line);
    }
    version_stated |=
        line == "Version of the layout: **" + std::to_string(kHashLayoutVersion) + "**";
  }
  CHECK(version_stated);
  CHECK(rows == std::vector<std::string>(std::begin(kGoldenRows), std::end(kGoldenRows)));
}

/// Options drawn at random, over everything that they allow.
DistributionOptions random_options(std::mt19937_64& random) {
  DistributionOptions options;
  options.hash = kAllHashes[random() % 4];
  for (uint8_t& byte : options.key) {
    byte = static_cast<uint8_t>(random());
  }
  options.fields = random() % 32;
  options.source_prefix_ipv4 = random() % 33;
  options.destination_prefix_ipv4 = random() % 33;
  options.source_prefix_ipv6 = random() % 129;
  options.destination_prefix_ipv6 = random() % 129;
  options.symmetric = random() % 2 == 0;
  options.buckets = 16u << random() % 13;
  return options;
}

/// A packet's fields together with the addresses that HeaderFields only points at.
struct OwnedFields {
  Family family = Family::kIpv4;
  Address source{}, destination{};
  uint16_t source_port = 0, destination_port = 0;
  uint8_t protocol = 0;

  HeaderFields view() const {
    return {family, source, destination, source_port, destination_port, protocol};
  }
  OwnedFields reversed() const {
    return {family, destination, source, destination_port, source_port, protocol};
  }
};

Address random_address(std::mt19937_64& random, Family family) {
  Address address{};
  for (uint8_t& byte : address) {
    byte = static_cast<uint8_t>(random());
  }
  return family == Family::kIpv6 ? address : mapped_ipv4(address.data());
}

OwnedFields random_fields(std::mt19937_64& random) {
  OwnedFields fields;
  fields.family = random() % 2 ? Family::kIpv4 : Family::kIpv6;
  fields.source = random_address(random, fields.family);
  // Now and then the same address or port on both sides, where only the other one orders them.
  fields.destination = random() % 4 ? random_address(random, fields.family) : fields.source;
  fields.source_port = static_cast<uint16_t>(random());
  fields.destination_port = random() % 4 ? static_cast<uint16_t>(random()) : fields.source_port;
  fields.protocol = static_cast<uint8_t>(random());
  return fields;
}

TEST_CASE("a symmetric distribution gives both directions the same bytes, whatever is selected") {
  std::mt19937_64 random(11);
  for (int i = 0; i < 4000; ++i) {
    DistributionOptions options = random_options(random);
    options.symmetric = true;
    const Distribution distribution(options);
    const OwnedFields there = random_fields(random), back = there.reversed();
    uint8_t bytes_there[kHashedBytesMax], bytes_back[kHashedBytesMax];
    const size_t size = distribution.layout(there.view(), bytes_there);
    REQUIRE(distribution.layout(back.view(), bytes_back) == size);
    REQUIRE(std::memcmp(bytes_there, bytes_back, size) == 0);
    REQUIRE(distribution.bucket(there.view()) == distribution.bucket(back.view()));
  }
}

TEST_CASE("without symmetry the two directions mostly differ") {
  std::mt19937_64 random(12);
  const Distribution distribution{DistributionOptions{}};
  int same = 0;
  for (int i = 0; i < 4000; ++i) {
    const OwnedFields fields = random_fields(random);
    same += distribution.bucket(fields.view()) == distribution.bucket(fields.reversed().view());
  }
  CHECK(same < 400);  // 16 by chance, and the one in sixteen that is its own reverse
}

TEST_CASE("a field that is not selected does not matter, and one that is does") {
  std::mt19937_64 random(13);
  for (int i = 0; i < 4000; ++i) {
    DistributionOptions options = random_options(random);
    options.symmetric = false;
    options.source_prefix_ipv4 = options.destination_prefix_ipv4 = 32;
    options.source_prefix_ipv6 = options.destination_prefix_ipv6 = 128;
    const Distribution distribution(options);
    const OwnedFields fields = random_fields(random);
    OwnedFields other = fields;
    const size_t field = random() % 5;
    if (field == 0) {
      other.source[12 + random() % 4] ^= 0x10;
    } else if (field == 1) {
      other.destination[12 + random() % 4] ^= 0x01;
    } else if (field == 2) {
      other.source_port ^= 0x8000;
    } else if (field == 3) {
      other.destination_port ^= 0x0001;
    } else {
      other.protocol ^= 0x80;
    }
    const bool selected = options.fields >> field & 1;
    REQUIRE((distribution.hash(fields.view()) != distribution.hash(other.view())) == selected);
  }
}

TEST_CASE("bits beyond a prefix do not matter, and the last bit of a prefix does") {
  std::mt19937_64 random(14);
  for (int i = 0; i < 4000; ++i) {
    DistributionOptions options = random_options(random);
    options.symmetric = false;
    options.fields = kAllFields;
    const Distribution distribution(options);
    const OwnedFields fields = random_fields(random);
    const bool ipv4 = fields.family == Family::kIpv4;
    const size_t first = ipv4 ? 96 : 0;  // bit of an Address where the address begins
    const size_t prefix = ipv4 ? options.source_prefix_ipv4 : options.source_prefix_ipv6;
    const size_t bit = first + random() % (128 - first);
    OwnedFields other = fields;
    other.source[bit / 8] ^= static_cast<uint8_t>(0x80 >> bit % 8);
    const bool counts = bit < first + prefix;
    REQUIRE((distribution.hash(fields.view()) != distribution.hash(other.view())) == counts);
    if (prefix > 0) {
      const size_t last = first + prefix - 1;
      OwnedFields edge = fields;
      edge.source[last / 8] ^= static_cast<uint8_t>(0x80 >> last % 8);
      REQUIRE(distribution.hash(fields.view()) != distribution.hash(edge.view()));
    }
  }
}

TEST_CASE("the family decides how much of an address is hashed, not the address's look") {
  OwnedFields fields;
  fields.source = address_of("198.51.100.7");
  fields.destination = address_of("192.0.2.100");
  uint8_t bytes[kHashedBytesMax];
  const Distribution distribution{DistributionOptions{}};
  CHECK(distribution.layout(fields.view(), bytes) == 12);
  fields.family = Family::kIpv6;  // ::ffff:198.51.100.7 in a real IPv6 header
  CHECK(distribution.layout(fields.view(), bytes) == 36);
}

TEST_CASE("every hash spreads random connections evenly over the buckets") {
  for (const HashFunction hash : kAllHashes) {
    for (const uint32_t buckets : {16u, 256u, 4096u}) {
      for (const bool symmetric : {false, true}) {
        DistributionOptions options;
        options.hash = hash;
        options.key = key_named(hash == HashFunction::kToeplitz ? "rss" : "count");
        options.buckets = buckets;
        options.symmetric = symmetric;
        const Distribution distribution(options);
        std::mt19937_64 random(buckets);
        CellCounts counts(buckets);
        for (int i = 0; i < 100000; ++i) {
          OwnedFields fields = random_fields(random);
          fields.destination = random_address(random, fields.family);
          counts.add(distribution.bucket(fields.view()));
        }
        CAPTURE(static_cast<int>(hash));
        CAPTURE(buckets);
        CHECK(counts.unevenness() < kUnevennessMax);
      }
    }
  }
}

TEST_CASE("SipHash and jhash spread counted-up clients of one server evenly too") {
  for (const HashFunction hash : {HashFunction::kSipHash, HashFunction::kJhash}) {
    DistributionOptions options;
    options.hash = hash;
    options.key = key_named("count");
    const Distribution distribution(options);
    OwnedFields fields;
    fields.destination = address_of("192.0.2.100");
    fields.destination_port = 443;
    fields.protocol = 6;
    CellCounts counts(options.buckets);
    for (uint32_t i = 0; i < 100000; ++i) {
      const uint8_t client[4] = {10, 0, static_cast<uint8_t>(i >> 14),
                                 static_cast<uint8_t>(i >> 6)};
      fields.source = mapped_ipv4(client);
      fields.source_port = static_cast<uint16_t>(32768 + (i & 63));
      counts.add(distribution.bucket(fields.view()));
    }
    CAPTURE(static_cast<int>(hash));
    CHECK(counts.unevenness() < kUnevennessMax);
  }
}

TEST_CASE("a copied or moved distribution answers as the first one did") {
  static_assert(std::is_copy_constructible_v<Distribution> &&
                std::is_nothrow_move_constructible_v<Distribution>);
  std::mt19937_64 random(15);
  for (const HashFunction hash : kAllHashes) {
    DistributionOptions options = random_options(random);
    options.hash = hash;
    Distribution copy{DistributionOptions{}};
    const OwnedFields fields = random_fields(random);
    uint32_t expected = 0;
    {
      Distribution first(options);
      expected = first.bucket(fields.view());
      copy = first;
      const Distribution moved = std::move(first);
      CHECK(moved.bucket(fields.view()) == expected);
    }
    CHECK(copy.bucket(fields.view()) == expected);
    CHECK(copy.options().buckets == options.buckets);
  }
}

}  // namespace
}  // namespace flowsieve
