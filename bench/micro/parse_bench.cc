// parse(), nanoseconds per packet by kind. Each case first proves that the frame is read as what it
// is meant to be; a bench of a parser that refuses its input measures nothing.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>
#include <vector>

#include "packet/packet.h"

namespace flowsieve {
namespace {

std::vector<uint8_t> from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(digit(hex[i]) << 4 | digit(hex[i + 1])));
  }
  return bytes;
}

#define ETHER "020000000002020000000001"
#define IPV4(length, field, protocol)      \
  "0800"                                   \
  "4500" length "0001" field "40" protocol \
  "0000"                                   \
  "0a000001"                               \
  "0a000002"
#define IPV6(length, next)           \
  "86dd"                             \
  "60000000" length next             \
  "40"                               \
  "20010db8000000000000000000000001" \
  "20010db8000000000000000000000002"
#define TCP  \
  "9c400050" \
  "000003e8" \
  "00000000" \
  "5002ffff" \
  "00000000"
#define UDP  \
  "13880035" \
  "00080000"

struct Case {
  const char* name;
  const char* hex;
  Kind kind;
};

constexpr Case kCases[] = {
    {"ipv4 tcp", ETHER IPV4("0028", "0000", "06") TCP, Kind::kFlow},
    {"ipv4 udp", ETHER IPV4("001c", "0000", "11") UDP, Kind::kFlow},
    {"ipv4 tcp, one tag", ETHER "81000005" IPV4("0028", "0000", "06") TCP, Kind::kFlow},
    {"ipv6 tcp", ETHER IPV6("0014", "06") TCP, Kind::kFlow},
    {"ipv6 tcp, three extension headers",
     ETHER IPV6("002c", "00") "3c00010400000000"
                              "2b00010400000000"
                              "0600000000000000" TCP,
     Kind::kFlow},
    {"ipv4 echo", ETHER IPV4("001c", "0000", "01") "08000000004d0001", Kind::kFlow},
    {"ipv4 gre", ETHER IPV4("0018", "0000", "2f") "00000800", Kind::kFlow},
    {"ipv4 error that quotes tcp",
     ETHER IPV4("0044", "0000", "01") "0303000000000000"
                                      "45000028000100004006000"
                                      "00a0000020a000001" TCP,
     Kind::kError},
    {"ipv4 later fragment", ETHER IPV4("001c", "00b9", "11") "0001020304050607", Kind::kFragment},
    {"arp",
     ETHER "0806"
           "00010800060400010200000000010a0000010000000000000a000002",
     Kind::kNonIp},
};

void parse_one(benchmark::State& state, const Case& what) {
  const std::vector<uint8_t> frame = from_hex(what.hex);
  const Bytes bytes{frame.data(), frame.size()};
  const uint32_t wire = static_cast<uint32_t>(frame.size());
  const Packet once = parse(bytes, wire, LinkType::kEthernet);
  if (once.drop != Drop::kNone || once.kind != what.kind) {
    state.SkipWithError("the frame is not read as it should be");
    return;
  }
  for (auto _ : state) {
    Bytes input = bytes;
    benchmark::DoNotOptimize(input);
    Packet packet = parse(input, wire, LinkType::kEthernet);
    benchmark::DoNotOptimize(packet);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const Case& what : kCases) {
    benchmark::RegisterBenchmark((std::string("parse/") + what.name).c_str(),
                                 [&what](benchmark::State& state) { parse_one(state, what); });
  }
  return true;
}();

}  // namespace
}  // namespace flowsieve
