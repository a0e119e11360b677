#include "wire/capture.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "support/capture_writer.h"
#include "wire/capture_bytes.h"

using namespace flowsieve;
using capture_bytes::read_all;
using capture_bytes::Seen;
using capture_bytes::Writer;

namespace {

constexpr uint32_t kMicro = 0xa1b2c3d4, kNano = 0xa1b23c4d, kKuznetzov = 0xa1b2cd34;

std::unique_ptr<CaptureSource> must_open(const Writer& file) {
  auto source = CaptureSource::from_bytes(file.window());
  REQUIRE(source.ok());
  return std::move(source.value());
}

std::vector<Seen> frames_of(const Writer& file) {
  auto source = must_open(file);
  std::vector<Seen> seen = read_all(*source);
  CHECK(source->damage() == "");
  CHECK_FALSE(source->failure().has_value());
  return seen;
}

std::string damage_of(const Writer& file, size_t frames_before) {
  auto source = must_open(file);
  CHECK(read_all(*source).size() == frames_before);
  CHECK(source->damaged() == 1);
  CHECK(source->exhausted());
  return source->damage();
}

Error refusal_of(const Writer& file) {
  auto source = CaptureSource::from_bytes(file.window());
  REQUIRE_FALSE(source.ok());
  CHECK(source.error().code == ErrorCode::kFormat);
  CHECK(source.error().message.starts_with("Expected "));
  return source.error();
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A file that is gone when the test is.
struct TemporaryFile {
  std::string path;
  TemporaryFile() {
    std::string name =
        (std::filesystem::temp_directory_path() / "flowsieve-capture-XXXXXX").string();
    const int fd = ::mkstemp(name.data());
    REQUIRE(fd >= 0);
    ::close(fd);
    path = name;
  }
  ~TemporaryFile() { std::filesystem::remove(path); }
  void put(const std::vector<uint8_t>& bytes) const {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }
};

Writer small_pcap() {
  Writer file;
  file.pcap_header(kMicro, 1).record(1, 2, "first", 5).record(3, 4, "second!", 900);
  return file;
}

Writer small_pcapng() {
  Writer file;
  file.section().interface(1).enhanced(0, 7, "first", 5).block(0x0bad, {1, 2, 3});
  file.obsolete(0, 8, "second!", 900).simple("third", 5);
  return file;
}

}  // namespace

TEST_CASE("pcap is read in both byte orders, with micro- and nanoseconds") {
  struct Variant {
    uint32_t magic;
    uint64_t unit;
  };
  for (const bool big_endian : {false, true}) {
    for (const Variant& variant : {Variant{kMicro, 1000}, Variant{kNano, 1}}) {
      CAPTURE(big_endian);
      CAPTURE(variant.magic);
      Writer file{big_endian, {}};
      file.pcap_header(variant.magic, 1);
      file.record(1'700'000'000, 123'456, "abcdef", 6).record(4'294'967'295, 999'999, "xy", 1500);
      const std::vector<Seen> expected = {
          {"abcdef", 6, 1'700'000'000'000'000'000 + 123'456 * variant.unit, LinkType::kEthernet},
          {"xy", 1500, 4'294'967'295'000'000'000 + 999'999 * variant.unit, LinkType::kEthernet}};
      CHECK(frames_of(file) == expected);
    }
  }
}

TEST_CASE("pcap's magic numbers stand in the file as the specification prints them") {
  const uint8_t printed[][4] = {{0xa1, 0xb2, 0xc3, 0xd4}, {0xd4, 0xc3, 0xb2, 0xa1},
                                {0xa1, 0xb2, 0x3c, 0x4d}, {0x4d, 0x3c, 0xb2, 0xa1},
                                {0xa1, 0xb2, 0xcd, 0x34}, {0x34, 0xcd, 0xb2, 0xa1}};
  for (const auto& magic : printed) {
    Writer file{magic[0] == 0xa1, {}};
    file.bytes.assign(magic, magic + 4);
    file.u16(2).u16(4).u32(0).u32(0).u32(65535).u32(101);
    CHECK(frames_of(file).empty());
  }
}

TEST_CASE("Kuznetzov's variant has eight bytes more in each record") {
  for (const bool big_endian : {false, true}) {
    Writer file{big_endian, {}};
    file.pcap_header(kKuznetzov, 101);
    for (const char* packet : {"one", "three"}) {
      file.u32(5).u32(6).u32(static_cast<uint32_t>(std::string(packet).size())).u32(40);
      file.u32(2).u16(0x0800).number(4, 1).number(0, 1).text(packet);
    }
    const std::vector<Seen> expected = {{"one", 40, 5'000'006'000, LinkType::kRawIp},
                                        {"three", 40, 5'000'006'000, LinkType::kRawIp}};
    CHECK(frames_of(file) == expected);
  }
}

TEST_CASE("every supported LINKTYPE number is mapped, all others are refused by name") {
  const std::pair<uint32_t, LinkType> supported[] = {
      {1, LinkType::kEthernet},       {101, LinkType::kRawIp},        {12, LinkType::kRawIp},
      {14, LinkType::kRawIp},         {228, LinkType::kRawIp},        {229, LinkType::kRawIp},
      {113, LinkType::kLinuxCooked1}, {276, LinkType::kLinuxCooked2}, {0, LinkType::kBsdLoopback},
      {108, LinkType::kBsdLoopback}};
  for (const auto& [number, link] : supported) {
    Writer file;
    file.pcap_header(kMicro, number).record(0, 0, "p", 1);
    CHECK(frames_of(file).at(0).link == link);
  }
  Writer wireless;
  wireless.pcap_header(kMicro, 105);
  CHECK(refusal_of(wireless).message ==
        "Expected a capture of link type Ethernet, raw IP, Linux cooked v1 or v2, or BSD loopback "
        "but "
        "received link type 105.");
}

TEST_CASE("the frame check sequence bits of the link type field do not disturb it") {
  Writer file;
  file.pcap_header(kMicro, 0x44000001).record(0, 0, "p", 1);
  CHECK(frames_of(file).at(0).link == LinkType::kEthernet);
}

TEST_CASE("an original length below the captured one is raised to it") {
  Writer file;
  file.pcap_header(kMicro, 1).record(0, 0, "packet", 0);
  CHECK(frames_of(file).at(0).wire_bytes == 6);
}

TEST_CASE("what is no capture is refused with a sentence that says so") {
  Writer text, gzip, nothing, version_pcap, version_pcapng, header_cut;
  text.text("GET / HTTP/1.1\r\n\r\n plus some more text");
  CHECK(contains(refusal_of(text).message, "begins like neither"));
  gzip.bytes = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0};
  CHECK(contains(refusal_of(gzip).message, "gzip"));
  CHECK(contains(refusal_of(nothing).message, "no bytes"));
  version_pcap.pcap_header(kMicro, 1, 3);
  CHECK(contains(refusal_of(version_pcap).message, "version 3"));
  version_pcapng.section(2);
  CHECK(contains(refusal_of(version_pcapng).message, "version 2"));
  header_cut.pcap_header(kMicro, 1).bytes.resize(23);
  CHECK(contains(refusal_of(header_cut).message, "23 bytes"));
}

TEST_CASE("a file that cannot be opened is an error with the right code") {
  const auto missing = CaptureSource::open("/nonexistent/capture.pcap");
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == ErrorCode::kMissing);
  const auto folder = CaptureSource::open("/");
  REQUIRE_FALSE(folder.ok());
  CHECK(folder.error().code == ErrorCode::kSystem);
}

TEST_CASE("pcapng blocks of every kind are read in both byte orders") {
  for (const bool big_endian : {false, true}) {
    CAPTURE(big_endian);
    Writer file{big_endian, {}};
    file.section().interface(1).interface(113, 4);
    file.enhanced(1, 0x1'0000'0001, "cooked", 60);
    file.obsolete(0, 2'000'000, "old", 3);
    file.block(0x80000001, {1, 2, 3, 4, 5});  // a private block
    file.simple("simple!", 7);
    const std::vector<Seen> expected = {{"cooked", 60, 4'294'967'297'000, LinkType::kLinuxCooked1},
                                        {"old", 3, 2'000'000'000, LinkType::kEthernet},
                                        {"simple!", 7, 2'000'000'000, LinkType::kEthernet}};
    CHECK(frames_of(file) == expected);
  }
}

TEST_CASE("a simple packet is as long as the first interface's snap length allows") {
  Writer file;
  file.section().interface(1, 4).simple("1234", 1500);
  CHECK(frames_of(file) == std::vector<Seen>{{"1234", 1500, 0, LinkType::kEthernet}});
}

TEST_CASE("each section has its own byte order and its own interfaces") {
  Writer file;
  file.section().interface(1).enhanced(0, 1, "little", 6);
  Writer second{true, {}};
  second.section().interface(276).enhanced(0, 2, "big", 3);
  file.bytes.insert(file.bytes.end(), second.bytes.begin(), second.bytes.end());
  const std::vector<Seen> expected = {{"little", 6, 1000, LinkType::kEthernet},
                                      {"big", 3, 2000, LinkType::kLinuxCooked2}};
  CHECK(frames_of(file) == expected);

  Writer forgotten;
  forgotten.section().interface(1).section().enhanced(0, 1, "of the section before", 21);
  CHECK(contains(damage_of(forgotten, 0), "not described"));
}

TEST_CASE("pcapng times follow the interface's resolution and offset") {
  struct Time {
    std::vector<uint8_t> options;
    uint64_t units;
    uint64_t expected_ns;
  };
  const Writer order;
  const auto resolution = [&](uint8_t value) {
    return order.body().u16(9).u16(1).number(value, 1).zeros(3).u16(0).u16(0).bytes;
  };
  const auto offset = [&](int64_t seconds) {
    return order.body().u16(14).u16(8).u64(static_cast<uint64_t>(seconds)).u16(0).u16(0).bytes;
  };
  const Time times[] = {
      {{}, 1'500'000, 1'500'000'000},
      {resolution(0), 7, 7'000'000'000},
      {resolution(3), 1'234, 1'234'000'000},
      {resolution(9), 1'700'000'000'123'456'789, 1'700'000'000'123'456'789},
      {resolution(12), 1'500'000'000'999, 1'500'000'000},  // picoseconds are cut off
      {resolution(19), 10'000'000'000'000'000'000u, 1'000'000'000},
      {resolution(127), UINT64_MAX, 0},
      {resolution(0x80), 3, 3'000'000'000},
      {resolution(0x80 | 10), 1024 + 512, 1'500'000'000},
      {resolution(0x80 | 32), 0x1'8000'0000, 1'500'000'000},
      {resolution(0x80 | 63), uint64_t{3} << 62, 1'500'000'000},
      {resolution(0x80 | 64), uint64_t{1} << 63, 500'000'000},
      {resolution(0x80 | 127), UINT64_MAX, 0},
      {offset(10), 1'500'000, 11'500'000'000},
      {offset(-1), 1'500'000, 500'000'000},
      {offset(-2), 1'500'000, 0},  // before the epoch stops at it
      {offset(INT64_MIN), 1'500'000, 0},
      {resolution(0), UINT64_MAX, UINT64_MAX},  // beyond 2^64 ns stops there
      {offset(INT64_MAX), 1, UINT64_MAX},
  };
  for (const Time& time : times) {
    CAPTURE(time.units);
    Writer file;
    file.section().interface(1, 0, time.options).enhanced(0, time.units, "t", 1);
    CHECK(frames_of(file).at(0).time_ns == time.expected_ns);
  }
}

TEST_CASE("pcapng options of packets and an option that does not fit are passed over") {
  Writer file;
  // The resolution after the option that claims 200 bytes must not count.
  file.section().interface(
      1, 0, file.body().u16(2).u16(200).u32(0).u16(9).u16(1).number(9, 1).zeros(3).bytes);
  Writer inner = file.body().u32(0).u32(0).u32(5).u32(3).u32(3).text("abc").zeros(1);
  inner.u16(2).u16(4).u32(1).u16(0).u16(0);
  file.block(6, inner.bytes);
  CHECK(frames_of(file) == std::vector<Seen>{{"abc", 3, 5000, LinkType::kEthernet}});
}

TEST_CASE("an interface of a link type that is not read matters with its first packet") {
  Writer unused;
  unused.section().interface(105).interface(1).enhanced(1, 0, "fine", 4);
  CHECK(frames_of(unused).size() == 1);

  Writer used;
  used.section().interface(105).interface(1).enhanced(1, 0, "fine", 4).enhanced(0, 0, "radio", 5);
  used.enhanced(1, 0, "never reached", 13);
  auto source = must_open(used);
  CHECK(read_all(*source).size() == 1);
  CHECK(source->damaged() == 0);
  REQUIRE(source->failure().has_value());
  CHECK(source->failure()->code == ErrorCode::kFormat);
  CHECK(contains(source->failure()->message, "link type 105"));
}

TEST_CASE("impossible lengths are damage, and what came before them is kept") {
  Writer huge = small_pcap();
  huge.u32(0).u32(0).u32(256 * 1024 + 1).u32(1).zeros(300 * 1024);
  CHECK(contains(damage_of(huge, 2), "after packet 2 but received damage: a record claims more"));

  Writer largest = small_pcap();
  largest.record(0, 0, std::string(256 * 1024, 'x'), 1);
  CHECK(frames_of(largest).size() == 3);

  Writer unaligned = small_pcapng();
  unaligned.u32(6).u32(33).zeros(33);
  CHECK(contains(damage_of(unaligned, 3), "multiple of four"));

  Writer below = small_pcapng();
  below.u32(6).u32(8).zeros(8);
  CHECK(contains(damage_of(below, 3), "below twelve"));

  Writer differing = small_pcapng();
  differing.bytes.back() ^= 1;
  CHECK(contains(damage_of(differing, 2), "two lengths differ"));

  Writer too_long = small_pcapng();
  too_long.u32(6).u32(1024 * 1024 + 4).zeros(1024 * 1024);
  CHECK(contains(damage_of(too_long, 3), "longer than any packet"));

  Writer beyond = small_pcapng();
  beyond.block(6, beyond.body().u32(0).u32(0).u32(0).u32(5).u32(5).text("1234").bytes);
  CHECK(contains(damage_of(beyond, 3), "longer than its block"));

  Writer mark = small_pcapng();
  mark.block(0x0a0d0d0a, std::vector<uint8_t>(16, 0));
  CHECK(contains(damage_of(mark, 3), "byte order mark"));

  for (const uint32_t type : {1u, 2u, 3u, 6u}) {
    Writer empty = small_pcapng();
    empty.block(type, {});
    CHECK(contains(damage_of(empty, 3), "too short for its type"));
  }
}

TEST_CASE("a pcap cut at any byte gives the whole records before the cut and counts the damage") {
  const Writer whole = small_pcap();
  const size_t ends[] = {24, 24 + 16 + 5, 24 + 16 + 5 + 16 + 7};
  REQUIRE(whole.bytes.size() == ends[2]);
  for (size_t length = 0; length <= whole.bytes.size(); ++length) {
    CAPTURE(length);
    // A copy of exactly this length, so that the address sanitizer sees a read past the cut.
    const std::vector<uint8_t> cut(whole.bytes.begin(),
                                   whole.bytes.begin() + static_cast<ptrdiff_t>(length));
    auto source = CaptureSource::from_bytes({cut.data(), cut.size()});
    CHECK(source.ok() == (length >= 24));
    if (!source) continue;
    const size_t expected = length >= ends[2] ? 2 : length >= ends[1] ? 1 : 0;
    CHECK(read_all(*source.value()).size() == expected);
    const bool clean = length == ends[0] || length == ends[1] || length == ends[2];
    CHECK(source.value()->damaged() == (clean ? 0 : 1));
  }
}

TEST_CASE("a pcapng cut at any byte gives the whole blocks before the cut and counts the damage") {
  const Writer whole = small_pcapng();
  // section 28, interface 20, enhanced 32 + 8, unknown 16, obsolete 32 + 8, simple 16 + 8
  const size_t ends[] = {28, 48, 88, 104, 144, 168};
  const size_t packets[] = {0, 0, 1, 1, 2, 3};
  REQUIRE(whole.bytes.size() == ends[5]);
  for (size_t length = 0; length <= whole.bytes.size(); ++length) {
    CAPTURE(length);
    const std::vector<uint8_t> cut(whole.bytes.begin(),
                                   whole.bytes.begin() + static_cast<ptrdiff_t>(length));
    auto source = CaptureSource::from_bytes({cut.data(), cut.size()});
    CHECK(source.ok() == (length >= 28));
    if (!source) continue;
    size_t expected = 0;
    bool clean = false;
    for (int i = 0; i < 6; ++i) {
      if (length >= ends[i]) expected = packets[i];
      if (length == ends[i]) clean = true;
    }
    CHECK(read_all(*source.value()).size() == expected);
    CHECK(source.value()->damaged() == (clean ? 0 : 1));
  }
}

TEST_CASE(
    "a file many windows long is read whole, in bursts of any size, from disk and from a pipe") {
  Writer file;
  file.pcap_header(kNano, 1);
  std::vector<Seen> expected;
  uint32_t random = 1;
  while (file.bytes.size() < 5 * CaptureWindow::kWindowBytes) {
    random = random * 1664525 + 1013904223;
    const std::string packet(random >> 8 & 0x3fff, static_cast<char>(random >> 24));
    const auto number = static_cast<uint32_t>(expected.size());
    file.record(number, 7, packet, 20000);
    expected.push_back({packet, 20000, number * 1'000'000'000ull + 7, LinkType::kEthernet});
  }
  const TemporaryFile stored;
  stored.put(file.bytes);
  for (const size_t burst : {1, 7, 32, 4096}) {
    CAPTURE(burst);
    auto source = CaptureSource::open(stored.path);
    REQUIRE(source.ok());
    CHECK(read_all(*source.value(), burst) == expected);
    CHECK(source.value()->damaged() == 0);
  }

  const std::string pipe = stored.path + ".pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::thread feeder([&] {
    const int fd = ::open(pipe.c_str(), O_WRONLY);
    size_t done = 0;
    while (fd >= 0 && done < file.bytes.size()) {
      const size_t piece = std::min<size_t>(5000, file.bytes.size() - done);
      const ssize_t put = ::write(fd, file.bytes.data() + done, piece);
      if (put <= 0) break;
      done += static_cast<size_t>(put);
    }
    ::close(fd);
  });
  auto source = CaptureSource::open(pipe);
  const bool opened = source.ok();
  if (opened) CHECK(read_all(*source.value()) == expected);
  feeder.join();
  CHECK(opened);
  std::filesystem::remove(pipe);
}

TEST_CASE("the first packet's time can be asked for without losing the packet") {
  for (const size_t burst : {1, 2, 32}) {
    const Writer file = small_pcap();
    auto source = must_open(file);
    CHECK(source->first_time_ns() == 1'000'002'000);
    CHECK(source->first_time_ns() == 1'000'002'000);
    CHECK_FALSE(source->exhausted());
    CHECK(read_all(*source, burst) == frames_of(file));
  }
  Writer empty, cut;
  empty.pcap_header(kMicro, 1);
  CHECK(must_open(empty)->first_time_ns() == 0);
  cut.pcap_header(kMicro, 1).record(1, 2, "only", 4).u32(7);
  auto source = must_open(cut);
  CHECK(source->first_time_ns() == 1'000'002'000);
  CHECK(read_all(*source).size() == 1);
  CHECK(source->damaged() == 1);
}

TEST_CASE("a block longer than the window is passed over, and a cut inside it is damage") {
  Writer file;
  file.section().interface(1).enhanced(0, 1, "before", 6);
  file.block(0x0bad, std::vector<uint8_t>(3 * CaptureWindow::kWindowBytes + 400, 0xee));
  const size_t end_of_block = file.bytes.size();
  file.enhanced(0, 2, "behind", 6);
  const std::vector<Seen> expected = {{"before", 6, 1000, LinkType::kEthernet},
                                      {"behind", 6, 2000, LinkType::kEthernet}};
  CHECK(frames_of(file) == expected);
  const TemporaryFile stored;
  stored.put(file.bytes);
  auto source = CaptureSource::open(stored.path);
  REQUIRE(source.ok());
  CHECK(read_all(*source.value()) == expected);
  CHECK(source.value()->damaged() == 0);

  file.bytes.resize(end_of_block - 1);
  stored.put(file.bytes);
  auto cut = CaptureSource::open(stored.path);
  REQUIRE(cut.ok());
  CHECK(read_all(*cut.value()).size() == 1);
  CHECK(cut.value()->damaged() == 1);
  CHECK(contains(damage_of(file, 1), "ends inside a record"));
}

TEST_CASE("what the writer writes, the reader reads") {
  const TemporaryFile stored;
  for (const LinkType link : {LinkType::kEthernet, LinkType::kRawIp, LinkType::kLinuxCooked1,
                              LinkType::kLinuxCooked2, LinkType::kBsdLoopback}) {
    {
      auto writer = CaptureWriter::create(stored.path, link);
      REQUIRE(writer.ok());
      const std::string packet = "a packet";
      Frame frame;
      frame.bytes = {reinterpret_cast<const uint8_t*>(packet.data()), packet.size()};
      frame.wire_bytes = 1000;
      frame.time_ns = 1'700'000'000'123'456'789;
      frame.link = link;
      CHECK(writer.value()->write(frame).ok());
      CHECK(writer.value()->flush().ok());
      frame.link = link == LinkType::kRawIp ? LinkType::kEthernet : LinkType::kRawIp;
      CHECK_FALSE(writer.value()->write(frame).ok());
    }
    auto source = CaptureSource::open(stored.path);
    REQUIRE(source.ok());
    CHECK(read_all(*source.value()) ==
          std::vector<Seen>{{"a packet", 1000, 1'700'000'000'123'456'789, link}});
  }
  CHECK_FALSE(CaptureWriter::create("/nonexistent/folder/file.pcap", LinkType::kRawIp).ok());
}

// Packets per file, counted by the decoder that comes with the captures (check_replay.py --emit).
TEST_CASE("the outside captures have as many packets as the outside decoder counts") {
  const std::pair<const char*, size_t> facts[] = {
      {"bad-ip-length.pcap", 117},
      {"frag4-gtp.pcap", 108},
      {"frag4-last-first.pcap", 8},
      {"frag4-tcp-syn.pcap", 2},
      {"frag6-dns.pcap", 8},
      {"gre.pcap", 40},
      {"icmp-echo-sll2.pcap", 6},
      {"icmp4-unreachable.pcap", 60},
      {"icmp6-parameter-problem.pcap", 9},
      {"icmp6-time-exceeded.pcap", 56},
      {"icmp6-too-big.pcap", 5},
      {"icmp6-unreachable.pcap", 21},
      {"ip-in-ip.pcap", 10},
      {"ip-options-raw.pcap", 8},
      {"ip6-extension-headers.pcap", 38},
      {"mixed-browsing.pcap", 136},
      {"pcapng-two-interfaces.pcapng", 6},
      {"quic-http3.pcap", 48},
      {"sctp.pcap", 74},
      {"tcp-bsd-loopback.pcap", 33},
      {"tcp-fast-open-sll.pcap", 16},
      {"tcp-fin-retransmission.pcap", 5},
      {"tcp-handshake-reorder.pcap", 14},
      {"tcp-http.pcap", 14},
      {"tcp-missing-syn.pcap", 21},
      {"tcp-port-reuse.pcap", 125},
      {"tcp-syn-only.pcap", 1},
      {"tcp6-ftp.pcap", 136},
      {"tcp6-vlan-half-closed.pcap", 7},
      {"vlan-qinq.pcap", 5},
  };
  const std::filesystem::path folder =
      std::filesystem::path(FLOWSIEVE_ROOT) / ".." / "shared" / "captures";
  if (!std::filesystem::exists(folder)) {
    MESSAGE("LEFT OUT: ../shared/captures is not there, none of its 30 captures was read");
    const char* ci = std::getenv("CI");
    CHECK_MESSAGE((ci == nullptr || std::string(ci) != "true"), "CI must have ../shared/captures");
    return;
  }
  for (const auto& [name, packets] : facts) {
    CAPTURE(name);
    auto source = CaptureSource::open(folder / name);
    REQUIRE(source.ok());
    CHECK(read_all(*source.value()).size() == packets);
    CHECK(source.value()->damaged() == 0);
    CHECK_FALSE(source.value()->failure().has_value());
  }
}
