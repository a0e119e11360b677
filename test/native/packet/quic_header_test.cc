#include "packet/quic_header.h"

#include <doctest/doctest.h>

#include <vector>

#include "native/hash/hex.h"

using namespace flowsieve;

namespace {

struct Read {
  QuicIdChoice choice;
  bool is_long;
  std::vector<uint8_t> id;
};

Read read(const char* digits) {
  // A copy of exactly this size, so that the address sanitizer sees a read past its end.
  const std::vector<uint8_t> bytes = from_hex(digits);
  const QuicHeader header = read_quic_header({bytes.data(), bytes.size()});
  return {header.choice, header.is_long, {header.id.data, header.id.data + header.id.size}};
}

void check(const char* digits, QuicIdChoice choice, const char* id) {
  CAPTURE(digits);
  const Read found = read(digits);
  CHECK(found.choice == choice);
  CHECK(found.id == from_hex(id));
}

constexpr auto kServer = QuicIdChoice::kServer, kClient = QuicIdChoice::kClient,
               kNothing = QuicIdChoice::kNothing;

}  // namespace

TEST_CASE("QUIC header: of a short one everything behind the first octet may be the id") {
  check("40c4605e4504cc4f11", kServer, "c4605e4504cc4f11");
  check("4007", kServer, "07");
  check("40", kServer, "");
  // The fixed bit and the others are protected, greased, or another version's.
  check("0007c4605e", kServer, "07c4605e");
  check("7f07c4605e", kServer, "07c4605e");
  CHECK_FALSE(read("4007").is_long);
}

TEST_CASE(
    "QUIC header: of long ones only Handshake packets have an id that the server has chosen") {
  const struct {
    const char *digits, *id;
    QuicIdChoice choice;
  } cases[] = {
      // RFC 9000 17.2: Initial 0, 0-RTT 1, Handshake 2, Retry 3, which only servers send.
      {"c30000000108000102030405060700", "0001020304050607", kClient},
      {"d30000000108000102030405060700", "0001020304050607", kClient},
      {"e30000000108000102030405060700", "0001020304050607", kServer},
      {"f00000000108000102030405060700", "0001020304050607", kClient},
      // RFC 9369 3.2: Retry 0, Initial 1, 0-RTT 2, Handshake 3.
      {"c36b3343cf08000102030405060700", "0001020304050607", kClient},
      {"d36b3343cf08000102030405060700", "0001020304050607", kClient},
      {"e36b3343cf08000102030405060700", "0001020304050607", kClient},
      {"f36b3343cf08000102030405060700", "0001020304050607", kServer},
      // Version negotiation, a version for greasing, one that nobody knows yet.
      {"e30000000008000102030405060700", "0001020304050607", kClient},
      {"e30a1a2a3a08000102030405060700", "0001020304050607", kClient},
      {"e30000000308000102030405060700", "0001020304050607", kClient},
      // No id at all.
      {"e3000000010000", "", kServer},
  };
  for (const auto& [digits, id, choice] : cases) {
    check(digits, choice, id);
    CHECK(read(digits).is_long);
  }
}

TEST_CASE("QUIC header: a datagram that ends inside its header has none") {
  check("", kNothing, "");
  check("e3", kNothing, "");
  check("e300000001", kNothing, "");
  check("e30000000108", kNothing, "");
  check("e3000000010800010203040506", kNothing, "");
  check("e300000001ff0001", kNothing, "");
  // It may end right behind the id: what follows is nobody's business here.
  check("e300000001080001020304050607", kServer, "0001020304050607");
}

TEST_CASE("QUIC header: an id of 255 octets is read as it stands") {
  std::vector<uint8_t> bytes = from_hex("e300000001ff");
  for (int i = 0; i < 255; ++i) bytes.push_back(static_cast<uint8_t>(i));
  const QuicHeader header = read_quic_header({bytes.data(), bytes.size()});
  CHECK(header.choice == kServer);
  CHECK(header.id.size == 255);
  bytes.pop_back();
  CHECK(read_quic_header({bytes.data(), bytes.size()}).choice == kNothing);
}
