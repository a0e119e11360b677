// The bypass's programs, run by the kernel over frames from memory, the first beside a plain twin over
// parse().
#include "wire/bypass.h"

#include <doctest/doctest.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <string>

#include "base/clock.h"
#include "support/packet_builder.h"
#include "wire/capture.h"
#include "wire/namespace.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

constexpr size_t kEthernetHeader = 14;
// What the kernel takes for a trial.
constexpr size_t kTrialMax = 3000;
constexpr Tick kLong = 7440 * kTicksPerSecond;

const std::vector<Address> kCluster = {address_of("192.0.2.100"), address_of("2001:db8::100")};

/// Null where the kernel does not let this user load programs: then the test case is left out,
/// loudly, and in CI as a failure.
std::unique_ptr<RingBypass> bypass_over(const Program& arrival,
                                        std::shared_ptr<EarlyVerdict> early = {}) {
  auto opened = RingBypass::open(arrival, std::move(early));
  if (opened) return std::move(opened.value());
  const char* ci = std::getenv("CI");
  const std::string why = opened.error().message;
  if (opened.error().code != ErrorCode::kPrivilege || (ci != nullptr && std::string(ci) == "true"))
    FAIL(why);
  MESSAGE("LEFT OUT, for want of CAP_BPF: " << why);
  return nullptr;
}

/// What the kernel says that this program answers.
uint32_t answer(int program, Bytes frame) {
  bpf_attr trial{};
  trial.test.prog_fd = static_cast<uint32_t>(program);
  trial.test.data_in = reinterpret_cast<uintptr_t>(frame.data);
  trial.test.data_size_in = static_cast<uint32_t>(frame.size);
  trial.test.repeat = 1;
  REQUIRE(syscall(SYS_bpf, BPF_PROG_TEST_RUN, &trial, sizeof trial) == 0);
  return trial.test.retval;
}

bool is_discarded(const RingBypass& bypass, Bytes frame) {
  const uint32_t said = answer(bypass.program(), frame);
  CHECK((said == 0 || said == 0x7fffffff));
  return said == 0;
}
bool is_discarded(const RingBypass& bypass, const ByteVector& frame) {
  return is_discarded(bypass, {frame.data(), frame.size()});
}

bool begin(RingBypass& bypass, const Key& key, uint64_t last_seen_ns,
           Bypass what = Bypass::kDiscard) {
  return bypass.begin(key, what, last_seen_ns, kLong);
}

struct ByBytes {
  bool operator()(const Key& one, const Key& other) const {
    return std::memcmp(&one, &other, sizeof(Key)) < 0;
  }
};

/// What the program should say, by the parser.
class PlainBypass {
 public:
  void begin(const Key& key) { known_[key] = false; }
  bool discards(const Packet& packet) {
    const uint8_t protocol = packet.flow.protocol;
    const bool plain = packet.kind == Kind::kFlow && (protocol == 6 || protocol == 17) &&
                       !packet.is_fragment && packet.transport_offset != 0;
    const auto found = known_.find(packet.flow);
    if (!plain || has_extension_headers(packet) || found == known_.end()) return false;
    if (packet.tcp_flags & (kTcpSyn | kTcpFin | kTcpRst)) found->second = true;
    return !found->second;
  }

 private:
  static bool has_extension_headers(const Packet& packet) {
    return packet.family == Family::kIpv6 && packet.transport_offset != packet.ip_offset + 40;
  }
  std::map<Key, bool, ByBytes> known_;  // by key: whether a telling packet has come
};

PacketBuilder to_cluster(const char* cluster = "192.0.2.100") {
  const bool ipv6 = std::string(cluster).find(':') != std::string::npos;
  PacketBuilder frame = PacketBuilder::ethernet();
  return ipv6 ? frame.ipv6("2001:db8:1::7", cluster) : frame.ipv4("198.51.100.7", cluster);
}

Key key_of(const ByteVector& frame) {
  const auto size = static_cast<uint32_t>(frame.size());
  return parse({frame.data(), frame.size()}, size, LinkType::kEthernet).flow;
}

const std::filesystem::path kCaptures =
    std::filesystem::path(FLOWSIEVE_ROOT) / ".." / "shared" / "captures";

std::vector<std::filesystem::path> captures() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kCaptures)) {
    const auto extension = entry.path().extension();
    if (extension == ".pcap" || extension == ".pcapng") found.push_back(entry.path());
  }
  return found;
}

}  // namespace

TEST_CASE(
    "bypass: discards a connection's packets, in its direction, until one changes its status") {
  const auto bypass = bypass_over(arrival_filter(kCluster));
  if (!bypass) return;
  for (const char* cluster : {"192.0.2.100", "2001:db8::100"}) {
    const ByteVector data = to_cluster(cluster).tcp(40000, 80).ack().payload(10).build();
    const ByteVector other = to_cluster(cluster).tcp(40001, 80).ack().payload(10).build();
    CHECK_FALSE(is_discarded(*bypass, data));
    const uint64_t now = monotonic_ns();
    REQUIRE(begin(*bypass, key_of(data), now));
    CHECK(bypass->last_seen_ns(key_of(data)) == now);
    CHECK(is_discarded(*bypass, data));
    CHECK_FALSE(is_discarded(*bypass, other));
    const ByteVector datagram = to_cluster(cluster).udp(40000, 80).build();
    CHECK_FALSE(is_discarded(*bypass, datagram));
    REQUIRE(begin(*bypass, key_of(datagram), now));
    CHECK(is_discarded(*bypass, datagram));
    const auto seen = bypass->last_seen_ns(key_of(data));
    REQUIRE(seen.has_value());
    CHECK(*seen > now);
    CHECK_FALSE(is_discarded(*bypass, to_cluster(cluster).tcp(40000, 80).fin().ack().build()));
    CHECK_FALSE(is_discarded(*bypass, data));
    CHECK(bypass->end(key_of(data)) == seen);
    CHECK(bypass->end(key_of(data)) == std::nullopt);
  }
}

TEST_CASE(
    "bypass: a packet that comes when its connection is over is for the worker, and all after it") {
  const auto bypass = bypass_over(arrival_filter({}));
  if (!bypass) return;
  const ByteVector data = to_cluster().tcp(40000, 80).ack().payload(10).build();
  const uint64_t ago = monotonic_ns() - 10 * kTickNanoseconds;
  REQUIRE(bypass->begin(key_of(data), Bypass::kDiscard, ago, 10));
  CHECK_FALSE(is_discarded(*bypass, data));
  REQUIRE(bypass->begin(key_of(data), Bypass::kDiscard, ago, 20));
  CHECK(is_discarded(*bypass, data));
}

TEST_CASE("bypass: what is not for the cluster is still kept out, and what is, let in") {
  const auto bypass = bypass_over(arrival_filter(kCluster));
  if (!bypass) return;
  CHECK(is_discarded(*bypass, to_cluster("192.0.2.101").tcp(1, 2).syn().build()));
  CHECK(is_discarded(*bypass, to_cluster("2001:db8::101").tcp(1, 2).syn().build()));
  CHECK_FALSE(is_discarded(*bypass, to_cluster("2001:db8::100").tcp(1, 2).syn().build()));
  CHECK_FALSE(is_discarded(*bypass, to_cluster("ff02::1:ff00:100").icmp(135).payload(20).build()));
}

TEST_CASE("bypass: what the first program says of a packet the second does, to that one alone") {
  FLOWSIEVE_LIVE_TEST("bypass: what the first program says of a packet the second does");
  const Namespace where;
  auto early = where.run([]() -> std::shared_ptr<EarlyVerdict> {
    auto opened = EarlyVerdict::open(if_nametoindex("lo"), 7);
    return opened ? std::move(opened.value()) : nullptr;
  });
  if (!early) {
    const char* ci = std::getenv("CI");
    CHECK_MESSAGE((ci == nullptr || std::string(ci) != "true"), "CI must have Linux 6.6");
    MESSAGE("LEFT OUT, for want of CAP_BPF or Linux 6.6");
    return;
  }
  // The note is a processor's; in the kernel both programs run in a row on one.
  cpu_set_t before, first;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  CPU_ZERO(&first);
  CPU_SET(static_cast<size_t>(sched_getcpu()), &first);
  REQUIRE(sched_setaffinity(0, sizeof first, &first) == 0);
  const auto bypass = bypass_over(arrival_filter(kCluster), early);
  REQUIRE(bypass);
  CHECK(bypass->delivers());
  constexpr uint32_t kGoesOn = ~0u, kDropped = TC_ACT_SHOT, kRedirected = TC_ACT_REDIRECT;
  const auto carried_out = [&](const ByteVector& frame) {
    return answer(early->program(), {frame.data(), frame.size()});
  };
  for (const char* cluster : {"192.0.2.100", "2001:db8::100"}) {
    const ByteVector own = to_cluster(cluster).tcp(40000, 80).ack().payload(10).build();
    const ByteVector others = to_cluster(cluster).tcp(40001, 80).ack().payload(10).build();
    const ByteVector unknown = to_cluster(cluster).tcp(40002, 80).ack().payload(10).build();
    const uint64_t now = monotonic_ns();
    REQUIRE(begin(*bypass, key_of(own), now, Bypass::kDeliver));
    REQUIRE(begin(*bypass, key_of(others), now, Bypass::kDiscard));
    for (int i = 0; i < 2; ++i) {
      CHECK(is_discarded(*bypass, own));
      CHECK(carried_out(own) == kRedirected);
      CHECK(carried_out(own) == kGoesOn);
      CHECK(is_discarded(*bypass, others));
      CHECK(carried_out(others) == kDropped);
      CHECK_FALSE(is_discarded(*bypass, unknown));
      CHECK(carried_out(unknown) == kGoesOn);
    }
    // What the second never came to see is forgotten, also before what the first keeps out.
    CHECK(is_discarded(*bypass, own));
    CHECK_FALSE(is_discarded(*bypass, unknown));
    CHECK(carried_out(unknown) == kGoesOn);
    CHECK(is_discarded(*bypass, own));
    CHECK(is_discarded(*bypass, to_cluster("192.0.2.101").tcp(1, 2).syn().build()));
    CHECK(carried_out(unknown) == kGoesOn);
    // The entry may go between the two.
    CHECK(is_discarded(*bypass, own));
    CHECK(bypass->end(key_of(own)).has_value());
    CHECK(carried_out(own) == kRedirected);
    CHECK_FALSE(is_discarded(*bypass, own));
    CHECK(carried_out(own) == kGoesOn);
  }
  Counters counters;
  bypass->collect(counters);
  CHECK(counters[Count::kDeliveredByKernel] == 2 * 5);
  CHECK(counters[Count::kDelivered] == 2 * 5);
  CHECK(counters[Count::kClass2] == 2 * 5);
  CHECK(counters[Count::kBypassed] == 2 * 2);
  CHECK(counters[Count::kPackets] == 2 * 7);
  sched_setaffinity(0, sizeof before, &before);
}

TEST_CASE("bypass: counts as the worker would") {
  const auto bypass = bypass_over(arrival_filter({}));
  if (!bypass) return;
  const ByteVector data = to_cluster().tcp(40000, 80).ack().payload(60).build();
  begin(*bypass, key_of(data), monotonic_ns());
  for (int i = 0; i < 3; ++i) CHECK(is_discarded(*bypass, data));
  Counters counters;
  bypass->collect(counters);
  bypass->collect(counters);
  for (const Count count :
       {Count::kPackets, Count::kIp, Count::kClass4, Count::kDiscarded, Count::kBypassed}) {
    CHECK(counters[count] == 3);
  }
  CHECK(counters[Count::kDiscardedBytes] == 3 * (data.size() - kEthernetHeader));
}

TEST_CASE("bypass: ends many, each once, and has room for so many") {
  const auto bypass = bypass_over(arrival_filter({}));
  if (!bypass) return;
  Key key;
  key.protocol = 6;
  uint32_t begun = 0;
  for (uint32_t i = 0; i < RingBypass::kConnectionsMax + 100; ++i) {
    key.source_port = static_cast<uint16_t>(i);
    key.destination_port = static_cast<uint16_t>(i >> 16);
    begun += begin(*bypass, key, i) ? 1 : 0;
  }
  CHECK(begun == RingBypass::kConnectionsMax);
  std::set<uint64_t> times;
  std::vector<Bypassed> ended(256);
  for (size_t count = 1; count > 0;) {
    count = bypass->end_some(ended);
    for (size_t i = 0; i < count; ++i) {
      CHECK(ended[i].key.source_port == static_cast<uint16_t>(ended[i].last_seen_ns));
      times.insert(ended[i].last_seen_ns);
    }
  }
  CHECK(times.size() == begun);
  CHECK(bypass->end_some(ended) == 0);
}

TEST_CASE("bypass: says what the plain twin says, over all captures") {
  if (!std::filesystem::exists(kCaptures)) {
    MESSAGE("LEFT OUT: ../shared/captures is not there");
    const char* ci = std::getenv("CI");
    CHECK_MESSAGE((ci == nullptr || std::string(ci) != "true"), "CI must have ../shared/captures");
    return;
  }
  const auto bypass = bypass_over(arrival_filter({}));
  if (!bypass) return;
  PlainBypass plain;
  size_t compared = 0, discarded = 0;
  for (const auto& path : captures()) {
    auto source = CaptureSource::open(path.string());
    if (!source) continue;
    std::array<Frame, kBurst> burst;
    while (const size_t count = source.value()->receive(burst)) {
      for (const Frame& frame : std::span(burst).first(count)) {
        // A trial takes Ethernet frames as they stand in a capture, where the kernel has not
        // taken their tags out.
        if (frame.link != LinkType::kEthernet || frame.bytes.size > kTrialMax) continue;
        if (frame.bytes.size < kEthernetHeader + 20) continue;
        const Packet packet = parse(frame.bytes, frame.wire_bytes, frame.link);
        if (packet.drop != Drop::kNone || packet.ip_offset != kEthernetHeader) continue;
        ++compared;
        const bool expected = plain.discards(packet);
        CHECK(is_discarded(*bypass, frame.bytes) == expected);
        discarded += expected ? 1 : 0;
        // Of every other client's connections the packets after this one are bypassed.
        if (packet.kind == Kind::kFlow && packet.flow.source_port % 2 == 0 && !expected &&
            (packet.tcp_flags & (kTcpSyn | kTcpFin | kTcpRst)) == 0) {
          plain.begin(packet.flow);
          begin(*bypass, packet.flow, monotonic_ns());
        }
      }
    }
  }
  MESSAGE(compared << " frames compared, " << discarded << " of them discarded");
  CHECK(compared > 100);
  CHECK(discarded > 20);
}

TEST_CASE("bypass: says what the plain twin says, over headers that random bytes have hit") {
  const auto bypass = bypass_over(arrival_filter({}));
  if (!bypass) return;
  PlainBypass plain;
  std::mt19937_64 random(7);
  const std::vector<ByteVector> frames = {
      to_cluster().tcp(40000, 80).ack().payload(10).build(),
      to_cluster().options({7, 7, 4, 0}).tcp(40000, 80).ack().payload(10).build(),
      to_cluster("2001:db8::100").tcp(40000, 80).ack().payload(10).build(),
      to_cluster().udp(40000, 53).build(),
      to_cluster("2001:db8::100").udp(40000, 53).payload(3).build(),
      to_cluster("2001:db8::100").hop_by_hop().tcp(40000, 80).ack().payload(10).build(),
      to_cluster().fragment(0, true).tcp(40000, 80).ack().payload(16).build(),
  };
  for (const ByteVector& frame : frames) {
    plain.begin(key_of(frame));
    begin(*bypass, key_of(frame), monotonic_ns());
  }
  size_t compared = 0;
  for (int i = 0; i < 20'000; ++i) {
    ByteVector frame = frames[random() % frames.size()];
    const size_t places = frame.size() - kEthernetHeader;
    for (uint64_t hits = random() % 3; hits > 0; --hits) {
      frame[kEthernetHeader + random() % places] = static_cast<uint8_t>(random());
    }
    const auto size = static_cast<uint32_t>(frame.size());
    const Packet packet = parse({frame.data(), frame.size()}, size, LinkType::kEthernet);
    if (packet.drop != Drop::kNone) continue;  // the program reads no lengths and no checksums
    ++compared;
    CHECK(is_discarded(*bypass, frame) == plain.discards(packet));
    if (packet.tcp_flags & (kTcpSyn | kTcpFin | kTcpRst) && packet.kind == Kind::kFlow) {
      // Anew, or soon everything would be over.
      plain.begin(packet.flow);
      begin(*bypass, packet.flow, monotonic_ns());
    }
  }
  CHECK(compared > 5'000);
}
