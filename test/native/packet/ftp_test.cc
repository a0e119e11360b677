// What control connections announce. The lines are those of RFC 959, RFC 1123 4.1.2.6 and RFC 2428.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "packet/ftp.h"
#include "support/packet_builder.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// A whole conversation: "C" lines are the client's, "S" lines the server's.
std::vector<FtpData> talk(const std::vector<std::string>& lines) {
  FtpControl control;
  std::vector<FtpData> found;
  uint32_t client = 1000, server = 0xffff'fff0;  // beyond which numbers begin anew
  control.begin_client(client);
  control.begin_server(server);
  for (const std::string& line : lines) {
    const std::string text = line.substr(1) + "\r\n";
    if (line[0] == 'C') {
      control.from_client(client, bytes_of(text), found);
      client += static_cast<uint32_t>(text.size());
    } else {
      control.from_server(server, bytes_of(text), found);
      server += static_cast<uint32_t>(text.size());
    }
  }
  return found;
}

}  // namespace

TEST_CASE("ftp: PASV and its reply, whatever the text around the numbers") {
  for (const std::string reply :
       {"S227 Entering Passive Mode (192,0,2,100,195,80).", "S227 =192,0,2,100,195,80",
        "S227 Entering Passive Mode. 192,0,2,100,195,80 is it"}) {
    const auto found = talk({"S220 ready", "CPASV", reply});
    REQUIRE(found.size() == 1);
    CHECK(found[0].passive);
    CHECK(found[0].address == address_of("192.0.2.100"));
    CHECK(found[0].port == 195 * 256 + 80);
  }
}

TEST_CASE("ftp: EPSV, PORT and EPRT, in either case") {
  auto found = talk({"CEPSV 2", "S229 Entering Extended Passive Mode (|||6446|)"});
  REQUIRE(found.size() == 1);
  CHECK((found[0].passive && !found[0].address && found[0].port == 6446));
  found = talk({"Cport 198,51,100,7,4,1"});
  REQUIRE(found.size() == 1);
  CHECK_FALSE(found[0].passive);
  CHECK(found[0].address == address_of("198.51.100.7"));
  CHECK(found[0].port == 1025);
  found = talk({"CEPRT |1|132.235.1.2|6275|"});
  REQUIRE(found.size() == 1);
  CHECK(found[0].address == address_of("132.235.1.2"));
  CHECK(found[0].port == 6275);
  found = talk({"CEPRT |2|1080::8:800:200C:417A|5282|"});
  REQUIRE(found.size() == 1);
  CHECK(found[0].address == address_of("1080::8:800:200c:417a"));
  CHECK(found[0].port == 5282);
}

TEST_CASE("ftp: what nobody has asked for, and what is wrong, announces nothing") {
  const std::vector<std::vector<std::string>> nothing{
      {"S227 Entering Passive Mode (192,0,2,100,195,80)."},
      {"CEPSV", "S227 (192,0,2,100,195,80)"},
      {"CPASV", "S229 (|||6446|)"},
      {"CPASV", "S227-(192,0,2,100,195,80)"},
      {"CPASV", "S227 (192,0,2,256,195,80)"},
      {"CPASV", "S227 (192,0,2,100,195)"},
      {"CPASV", "S227 (192,0,2,100,0,0)"},
      {"CPASV", "S227 none"},
      {"CEPSV", "S229 (|||65536|)"},
      {"CEPSV", "S229 (|||0|)"},
      {"CEPSV", "S229 (|!|6446|)"},
      {"CEPSV", "S229 (|||6446)"},
      {"CEPSV", "S229 ("},
      {"CPORT 198,51,100,7,4"},
      {"CPORT 198,51,100,7,4,1,9"},
      {"CPORT 198.51.100.7,4,1"},
      {"CPORTS 198,51,100,7,4,1"},
      {"CPORT -1,51,100,7,4,1"},
      {"CEPRT |3|132.235.1.2|6275|"},
      {"CEPRT |2|132.235.1.2|6275|"},
      {"CEPRT |1|132.235.1.2|6275"},
      {"CEPRT |1|132.235.1.2|6275||"},
      {"CEPRT 1|132.235.1.2|6275|"},
      {"CEPRT"},
      {"CRETR PORT 198,51,100,7,4,1"},
      {"CPASV", "S500 no", "CNOOP", "S200 227 (192,0,2,100,195,80)"},
  };
  for (const auto& lines : nothing) {
    CAPTURE(lines.back());
    CHECK(talk(lines).empty());
  }
  // One reply to each command.
  CHECK(talk({"CPASV", "S227 (192,0,2,100,195,80)", "S227 (192,0,2,100,195,81)"}).size() == 1);
  CHECK(talk({"CPORT " + std::string(600, '1')}).empty());
}

TEST_CASE("ftp: segments of any length, repeated and overlapping, give the same lines") {
  const std::string client = "USER anonymous\r\nPORT 198,51,100,7,4,1\r\n" +
                             std::string(2000, 'x') +
                             "\r\nEPRT |1|198.51.100.7|4000|\r\nPORT 198,51,100,7,4,2\nQUIT\r\n";
  std::mt19937 random(5);
  for (int round = 0; round < 500; ++round) {
    FtpControl control;
    std::vector<FtpData> found;
    const uint32_t first = random();
    control.begin_client(first);
    for (size_t seen = 0; seen < client.size();) {
      // From somewhere that has been sent already to somewhere that may be new.
      const size_t from = random() % 3 ? seen : random() % (seen + 1);
      const size_t to = std::min(client.size(), from + 1 + random() % 60);
      control.from_client(first + static_cast<uint32_t>(from),
                          bytes_of(client).first(to).from(from), found);
      seen = std::max(seen, to);
    }
    REQUIRE(found.size() == 3);
    CHECK(found[0].port == 1025);
    CHECK(found[1].port == 4000);
    CHECK(found[2].port == 1026);
  }
}

TEST_CASE("ftp: a line of which something is missing is none, and the next is one again") {
  FtpControl control;
  std::vector<FtpData> found;
  control.begin_client(0);
  control.from_client(0, bytes_of("PORT 198,51,"), found);
  control.from_client(20, bytes_of("7,4,1\r\nPORT 198,51,100,7,4,2\r\n"), found);
  REQUIRE(found.size() == 1);
  CHECK(found[0].port == 1026);
  // Whoever looks on only now has seen no beginning.
  FtpControl late;
  late.from_client(77, bytes_of("ORT 1,2,3,4,5,6\r\nPORT 198,51,100,7,4,2\r\n"), found);
  CHECK(found.size() == 2);
}
