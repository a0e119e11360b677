// Captures through the engine, made here packet by packet.
#include "engine/replay.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "support/capture_writer.h"
#include "support/test_node.h"
#include "wire/capture_bytes.h"

namespace flowsieve::test {

namespace {

constexpr uint64_t kBegin = 1'700'000'000'000'000'000;

/// A capture file that is gone when the test is.
class CaptureFile {
 public:
  CaptureFile() {
    std::string name =
        (std::filesystem::temp_directory_path() / "flowsieve-replay-XXXXXX").string();
    const int fd = mkstemp(name.data());
    REQUIRE(fd >= 0);
    close(fd);
    path_ = name;
    writer_ = std::move(CaptureWriter::create(path_, LinkType::kEthernet).value());
  }
  ~CaptureFile() { std::filesystem::remove(path_); }

  /// `seconds` after the capture's beginning.
  CaptureFile& add(double seconds, const ByteVector& bytes) {
    Frame frame;
    frame.bytes = {bytes.data(), bytes.size()};
    frame.wire_bytes = static_cast<uint32_t>(bytes.size());
    frame.time_ns = kBegin + nanoseconds(seconds);
    REQUIRE(writer_->write(frame).ok());
    return *this;
  }
  CaptureFile& add(double seconds, const PacketBuilder& packet) {
    return add(seconds, packet.build());
  }
  /// The file as it is by now.
  const std::string& path() const {
    REQUIRE(writer_->flush().ok());
    return path_;
  }
  void cut(size_t bytes) const {
    std::filesystem::resize_file(path(), std::filesystem::file_size(path()) - bytes);
  }
  /// Something else instead.
  void put(const std::vector<uint8_t>& bytes) const {
    std::ofstream out(path(), std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }

 private:
  std::string path_;
  std::unique_ptr<CaptureWriter> writer_;
};

WorkerOptions replay_options() {
  WorkerOptions options;
  options.table.capacity = 1024;
  options.table.opening_share = 1;
  options.scope = Scope::of_everything();
  options.both_directions = true;
  return options;
}

Criteria criteria_of(std::vector<NodeIndex> owners = all_of(0)) {
  return {.distribution = Distribution(test_distribution()),
          .allocation = {.epoch = 1, .self = 0, .owner = std::move(owners)}};
}

std::unique_ptr<Replay> open_replay(const CaptureFile& file, const Criteria& criteria) {
  auto opened = Replay::open(file.path(), replay_options(), criteria);
  REQUIRE_MESSAGE(opened.ok(), opened.error().message);
  return std::move(opened.value());
}
std::unique_ptr<Replay> open_replay(const CaptureFile& file) {
  return open_replay(file, criteria_of());
}

/// All of it, one burst after the other.
std::vector<Ended> run_to_the_end(Replay& replay) {
  std::vector<Ended> all;
  for (bool more = true; more;) {
    more = replay.run(1);
    for (const Ended& ended : replay.take_ended()) all.push_back(ended);
  }
  return all;
}

std::vector<Explained> explain_to_the_end(Replay& replay) {
  std::vector<Explained> all;
  for (;;) {
    std::vector<Explained> some = replay.explain();
    if (some.empty()) return all;
    for (Explained& line : some) all.push_back(std::move(line));
  }
}

/// The port that is not the server's.
uint16_t client_port(const Ended& ended) {
  const Key& key = ended.record.key;
  return key.destination_port == 80 ? key.source_port : key.destination_port;
}

std::vector<uint16_t> client_ports(const std::vector<Ended>& ended) {
  std::vector<uint16_t> ports;
  for (const Ended& each : ended) ports.push_back(client_port(each));
  return ports;
}

TcpClient client(uint16_t port) {
  return {.port = port};
}

}  // namespace

TEST_CASE("a replay tells connections as they end, and at its end the open ones in their order") {
  CaptureFile file;
  const TcpClient brief = client(1000);
  file.add(0, client(2).syn());
  file.add(0.1, brief.syn());
  file.add(0.2, brief.from_server().fin().ack());
  file.add(0.3, brief.fin());
  // In descending and mixed order of ports, so that neither key nor slot gives the order.
  std::vector<uint16_t> later(60);
  std::iota(later.begin(), later.end(), 3);
  std::reverse(later.begin(), later.begin() + 40);
  double at = 1;
  for (const uint16_t port : later) file.add(at += 0.01, client(port).syn());
  // The brief one has lingered for its 20 seconds, and an OPENING one has not had its 30 yet.
  file.add(21, client(2).ack());

  const auto replay = open_replay(file);
  const std::vector<Ended> ended = run_to_the_end(*replay);
  std::vector<uint16_t> expected = {1000, 2};
  expected.insert(expected.end(), later.begin(), later.end());
  CHECK(client_ports(ended) == expected);
  for (const Ended& each : ended) CHECK(each.timed_out == (client_port(each) == 1000));
  CHECK((ended[0].record.flags & kClosedByFin) != 0);
  CHECK(ended[0].account.packets_from_client == 2);
  CHECK(ended[0].account.packets_from_server == 1);
  CHECK(ended[0].account.first_seen_ns == kBegin + nanoseconds(0.1));
  CHECK(ended[0].account.last_seen_ns == kBegin + nanoseconds(0.3));
  CHECK(ended[1].record.status == ConnectionStatus::kEstablished);
}

TEST_CASE("a replay's timeouts run on the capture's clock: a pause longer than them makes two") {
  struct Pause {
    double seconds;
    size_t connections;
  };
  const UdpClient flow;
  // UDP: 30 s while only one packet came, 120 s afterwards.
  for (const Pause& pause : {Pause{29.5, 1}, Pause{30.5, 2}}) {
    CaptureFile file;
    file.add(0, flow.datagram()).add(pause.seconds, flow.datagram());
    CHECK(run_to_the_end(*open_replay(file)).size() == pause.connections);
  }
  for (const Pause& pause : {Pause{119.5, 1}, Pause{120.5, 2}}) {
    CaptureFile file;
    file.add(0, flow.datagram()).add(1, flow.reply()).add(1 + pause.seconds, flow.datagram());
    CHECK(run_to_the_end(*open_replay(file)).size() == pause.connections);
  }
}

TEST_CASE("fragments whose first one never comes make no connection and are counted at the end") {
  CaptureFile file;
  const std::vector<ByteVector> pieces = fragments_of(UdpClient{}.datagram(4000).build(), 1500);
  REQUIRE(pieces.size() == 3);
  file.add(0, pieces[1]).add(0.1, pieces[2]);
  const auto replay = open_replay(file);
  CHECK(run_to_the_end(*replay).empty());
  CHECK(replay->counters()[Count::kFragments] == 2);
  CHECK(replay->counters()[Count::kFragmentsHeld] == 2);
  CHECK(replay->counters()[Drop::kFragmentExpired] == 2);
}

TEST_CASE("fragments in any order count for the connection of their first one") {
  const ByteVector whole = UdpClient{}.datagram(4000).build();
  std::vector<ByteVector> pieces = fragments_of(whole, 1500);
  std::vector<size_t> order = {0, 1, 2};
  do {
    CaptureFile file;
    for (size_t i = 0; i < 3; ++i) file.add(0.1 * static_cast<double>(i), pieces[order[i]]);
    const auto replay = open_replay(file);
    const std::vector<Ended> ended = run_to_the_end(*replay);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].account.packets_from_client == 3);
    // 14 of Ethernet; two further IP headers of 20.
    CHECK(ended[0].account.bytes_from_client == whole.size() - 14 + 40);
    CHECK(replay->counters()[Drop::kFragmentExpired] == 0);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("a cut capture is told with everything before the cut, and is no failure") {
  CaptureFile file;
  file.add(0, client(1).syn()).add(1, client(2).syn()).add(2, client(3).syn());
  file.cut(5);
  const auto replay = open_replay(file);
  CHECK(client_ports(run_to_the_end(*replay)) == std::vector<uint16_t>{1, 2});
  CHECK(replay->damage() != "");
  CHECK_FALSE(replay->failure().has_value());
  CHECK(replay->counters()[Count::kPackets] == 2);
}

TEST_CASE("a link type that is not read is refused when opening, or ends the replay as a failure") {
  CaptureFile file;
  capture_bytes::Writer radio;
  radio.pcap_header(0xa1b2c3d4, 105).record(1, 2, "radio", 5);
  file.put(radio.bytes);
  const auto refused = Replay::open(file.path(), replay_options(), criteria_of());
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kFormat);
  CHECK(refused.error().message.find("link type 105") != std::string::npos);

  // Behind packets that are read; pcapng has a link type per interface.
  const ByteVector syn = client(1).syn().build();
  const std::string text(syn.begin(), syn.end());
  capture_bytes::Writer both;
  both.section().interface(1).interface(105);
  both.enhanced(0, 7, text, static_cast<uint32_t>(text.size())).enhanced(1, 8, "radio", 5);
  file.put(both.bytes);
  const auto replay = open_replay(file);
  CHECK(run_to_the_end(*replay).size() == 1);
  REQUIRE(replay->failure().has_value());
  CHECK(replay->failure()->code == ErrorCode::kFormat);
  CHECK(replay->failure()->message.find("link type 105") != std::string::npos);
}

TEST_CASE("what cannot be opened is refused with its kind") {
  const auto missing = Replay::open("/nowhere/at.pcap", replay_options(), criteria_of());
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == ErrorCode::kMissing);
  CHECK(missing.error().message.find("/nowhere/at.pcap") != std::string::npos);

  CaptureFile file;
  WorkerOptions options = replay_options();
  options.table.capacity = 1;
  const auto small = Replay::open(file.path(), options, criteria_of());
  REQUIRE_FALSE(small.ok());
  CHECK(small.error().code == ErrorCode::kArgument);
  CHECK_FALSE(Replay::of_frame({1, 2, 3}, LinkType::kEthernet, options, criteria_of()).ok());
}

TEST_CASE("an empty capture ends at once, and stays ended") {
  CaptureFile file;
  const auto replay = open_replay(file);
  CHECK_FALSE(replay->run(1000));
  CHECK_FALSE(replay->run(1000));
  CHECK(replay->explain().empty());
  CHECK(replay->take_ended().empty());
  CHECK(replay->damage() == "");
}

TEST_CASE("after its end a replay yields nothing twice") {
  CaptureFile file;
  file.add(0, client(1).syn());
  const auto replay = open_replay(file);
  CHECK(run_to_the_end(*replay).size() == 1);
  CHECK_FALSE(replay->run(1));
  CHECK(replay->take_ended().empty());
  CHECK(replay->explain().empty());
}

TEST_CASE("every packet of a class counts for the node whose it is") {
  // Every other bucket is node 2's.
  std::vector<NodeIndex> owners = all_of(0);
  for (size_t i = 0; i < owners.size(); i += 2) owners[i] = 2;
  CaptureFile file;
  for (uint16_t port = 1; port <= 100; ++port) {
    file.add(port, client(port).syn()).add(port + 0.5, client(port).syn_ack());
  }
  const auto replay = open_replay(file, criteria_of(owners));
  std::vector<uint64_t> expected(3);
  for (const Ended& ended : run_to_the_end(*replay)) {
    CHECK(ended.record.owner == owners[ended.record.bucket]);
    expected[ended.record.owner] += 2;
  }
  CHECK(expected[0] + expected[2] == 200);
  CHECK(expected[0] > 0);
  CHECK(expected[2] > 0);
  CHECK(replay->packets_by_owner() == expected);
}

TEST_CASE("one frame is explained once, with the bytes that are hashed") {
  // docs/reference/hash-layout.md: source, destination, source port, destination port.
  const std::vector<uint8_t> hashed = {198, 51, 100, 7, 192, 0, 2, 100, 0x9c, 0x40, 0, 80};
  const TcpClient tcp;
  for (const LinkType link : {LinkType::kEthernet, LinkType::kRawIp}) {
    ByteVector frame = tcp.syn().build();
    if (link == LinkType::kRawIp) frame.erase(frame.begin(), frame.begin() + 14);
    auto opened = Replay::of_frame(frame, link, replay_options(), criteria_of());
    REQUIRE(opened.ok());
    std::fill(frame.begin(), frame.end(), uint8_t{0});  // it has a copy
    const auto lines = explain_to_the_end(*opened.value());
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].number == 1);
    CHECK(lines[0].captured == frame.size());
    CHECK(lines[0].trace.decision.packet_class == 1);
    CHECK(lines[0].trace.decision.verdict == Verdict::kDeliver);
    CHECK(lines[0].hashed == hashed);
    CHECK(lines[0].bucket == lines[0].hash % kTestBuckets);  // SipHash gives its low bits
    CHECK(lines[0].bucket == lines[0].trace.decision.bucket);
  }
}

TEST_CASE("explaining numbers the frames over all bursts, and counts what running counts") {
  CaptureFile file;
  const std::vector<ByteVector> pieces = fragments_of(UdpClient{}.datagram(2000).build(), 1500);
  file.add(0, pieces[1]);                                      // 1: held
  file.add(0.1, pieces[0]);                                    // 2: lets it go
  file.add(0.2, client(5).syn());                              // 3: class 1
  file.add(0.3, client(5).ack());                              // 4: class 2
  file.add(0.4, client(6).ack());                              // 5: class 5
  file.add(0.5, client(7).syn().data_offset(3));               // 6: malformed
  file.add(0.6, PacketBuilder::ethernet().ethertype(0x0806));  // 7: no IP
  for (int i = 0; i < 70; ++i) file.add(1, client(5).data());
  const auto explained = open_replay(file);
  const std::vector<Explained> lines = explain_to_the_end(*explained);
  REQUIRE(lines.size() == 77);
  for (size_t i = 0; i < lines.size(); ++i) CHECK(lines[i].number == i + 1);
  CHECK(lines[0].trace.held);
  CHECK(lines[0].hashed.empty());
  CHECK_FALSE(lines[1].trace.held);
  CHECK(lines[1].trace.decision.packet_class == 1);
  CHECK(lines[2].trace.decision.packet_class == 1);
  CHECK(lines[3].trace.decision.packet_class == 2);
  CHECK(lines[4].trace.decision.packet_class == 5);
  CHECK(lines[5].trace.packet.drop == Drop::kTcpOffset);
  CHECK(lines[5].hashed.empty());
  CHECK(lines[6].trace.packet.kind == Kind::kNonIp);
  CHECK(lines[76].trace.decision.packet_class == 2);
  CHECK(lines[3].time_ns == kBegin + nanoseconds(0.3));

  const auto run = open_replay(file);
  CHECK(run_to_the_end(*run).size() == 3);
  CHECK(run->counters().counts == explained->counters().counts);
  CHECK(run->counters().drops == explained->counters().drops);
}

}  // namespace flowsieve::test
