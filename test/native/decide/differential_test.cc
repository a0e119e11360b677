// The worker against the plain decision, over long random streams: verdict, class, owner and the
// whole table agree after every packet.
#include <doctest/doctest.h>

#include <random>

#include "decide/plain_decide.h"
#include "support/quic_client.h"
#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kPackets = 12'000;
#else
constexpr int kPackets = 60'000;  // of each of seven streams
#endif

/// A frame and what the plain twin is told of it. The two are written side by side here, so that no
/// parser stands between them.
struct Sample {
  ByteVector frame;
  plain::Packet said;
  Key key;
};

using Samples = std::vector<Sample>;

struct Client {
  std::string address, cluster;
  uint16_t port;

  bool is_ipv6() const { return address.find(':') != std::string::npos; }
  PacketBuilder to_cluster() const { return ip(PacketBuilder::ethernet(), address, cluster); }
  PacketBuilder from_cluster() const { return ip(PacketBuilder::ethernet(), cluster, address); }
  PacketBuilder quoted() const { return ip(PacketBuilder::raw(), cluster, address); }
  PacketBuilder from_router() const {
    return ip(PacketBuilder::ethernet(), is_ipv6() ? "2001:db8:ffff::1" : "203.0.113.1", cluster);
  }
  std::string name(const char* protocol) const {
    return std::string(protocol) + " " + address + " " + std::to_string(port);
  }

 private:
  PacketBuilder ip(PacketBuilder builder, const std::string& from, const std::string& to) const {
    return is_ipv6() ? builder.ipv6(from, to) : builder.ipv4(from, to);
  }
};

void add_tcp(Samples& samples, const Client& client) {
  const Key key = key_of(6, client.address, client.port, client.cluster, 80);
  const plain::Packet base{.connection = client.name("tcp"), .protocol = "tcp"};
  for (const bool sent : {false, true}) {
    // Every combination of the four flags, from both sides.
    for (int flags = 0; flags < 16; ++flags) {
      plain::Packet said = base;
      said.from_this_node = sent;
      said.syn = flags & 1;
      said.ack = flags & 2;
      said.fin = flags & 4;
      said.rst = flags & 8;
      // A SYN that also says FIN or RST is nobody's; the design does not speak of it.
      if (said.syn && (said.fin || said.rst)) continue;
      PacketBuilder frame = sent ? client.from_cluster().tcp(80, client.port)
                                 : client.to_cluster().tcp(client.port, 80);
      if (said.syn) frame.syn();
      if (said.ack) frame.ack();
      if (said.fin) frame.fin();
      if (said.rst) frame.rst();
      samples.push_back({frame.build(), said, key});
      // What real connections consist of comes more often.
      if (!sent && (flags == 1 || flags == 2)) samples.push_back(samples.back());
    }
  }
  plain::Packet error = base;
  error.is_error = true;
  const ByteVector quote = client.quoted().tcp(80, client.port).ack().build();
  samples.push_back(
      {client.from_router().icmp_error(client.is_ipv6() ? 1 : 3, 4, quote).build(), error, key});
}

void add_udp(Samples& samples, const Client& client) {
  const Key key = key_of(17, client.address, client.port, client.cluster, 80);
  plain::Packet said{.connection = client.name("udp"), .protocol = "udp"};
  samples.push_back({client.to_cluster().udp(client.port, 80).payload(4).build(), said, key});
  said.from_this_node = true;
  samples.push_back({client.from_cluster().udp(80, client.port).payload(4).build(), said, key});
  said.from_this_node = false;
  said.is_error = true;
  const ByteVector quote = client.quoted().udp(80, client.port).payload(4).build();
  samples.push_back(
      {client.from_router().icmp_error(client.is_ipv6() ? 3 : 11, 0, quote).build(), said, key});
}

/// QUIC packets of one four-tuple: the connections of all nodes come by there, and what names nobody.
void add_quic(Samples& samples, const Client& client) {
  const QuicClient quic{client.address, client.port};
  plain::Packet said{.connection = client.name("quic"), .protocol = "udp"};
  for (NodeIndex node = 0; node < kTestNodes; ++node) {
    said.id_of_node = node;
    for (const uint8_t config : {0, 1, 2}) {
      samples.push_back({quic.one_rtt(id_of(node, config)).build(), said, quic.key()});
    }
    samples.push_back({quic.handshake(id_of(node, 1)).build(), said, quic.key()});
  }
  said.id_of_node = -1;
  samples.push_back({quic.initial(id_of(1)).build(), said, quic.key()});
  samples.push_back({quic.one_rtt(unroutable_id()).build(), said, quic.key()});
  said.from_this_node = true;
  const PacketBuilder sent = client.from_cluster().udp(kQuicPort, client.port).payload(id_of(1));
  samples.push_back({sent.build(), said, quic.key()});
}

void add_sctp(Samples& samples, const Client& client) {
  const Key key = key_of(132, client.address, client.port, client.cluster, 80);
  for (const bool sent : {false, true}) {
    for (const uint8_t chunk : {uint8_t{0}, uint8_t{1}, uint8_t{6}, uint8_t{10}, uint8_t{14}}) {
      plain::Packet said{.connection = client.name("sctp"), .protocol = "sctp"};
      said.from_this_node = sent;
      said.init = chunk == 1;
      said.abort_or_shutdown_complete = chunk == 6 || chunk == 14;
      PacketBuilder frame = sent ? client.from_cluster().sctp(80, client.port)
                                 : client.to_cluster().sctp(client.port, 80);
      samples.push_back({frame.chunk(chunk, 0, 16).build(), said, key});
    }
  }
}

void add_echo(Samples& samples, const Client& client) {
  const uint8_t protocol = client.is_ipv6() ? 58 : 1;
  const Key asked = key_of(protocol, client.address, client.port, client.cluster, 0);
  const Key answered = key_of(protocol, client.address, 0, client.cluster, client.port);
  plain::Packet said{.connection = client.name("echo"), .protocol = "icmp"};
  samples.push_back({client.to_cluster().echo_request(client.port).build(), said, asked});
  said.from_this_node = true;
  said.echo_reply = true;
  samples.push_back({client.from_cluster().echo_reply(client.port).build(), said, asked});
  said.from_this_node = false;
  said.connection = client.name("answer");
  samples.push_back({client.to_cluster().echo_reply(client.port).build(), said, answered});
}

void add_gre(Samples& samples, const Client& client) {
  const Key key = key_of(47, client.address, 0, client.cluster, 0);
  plain::Packet said{.connection = "gre " + client.address, .protocol = "other"};
  samples.push_back({client.to_cluster().gre().payload(20).build(), said, key});
  said.from_this_node = true;
  samples.push_back({client.from_cluster().gre().payload(20).build(), said, key});
}

Samples make_samples(int clients, bool quic) {
  Samples samples;
  for (int n = 0; n < clients; ++n) {
    const bool ipv6 = n % 3 == 2;
    const Client client{
        .address = (ipv6 ? "2001:db8::" : "198.51.100.") + std::to_string(1 + n / 2),
        .cluster = ipv6 ? kCluster6 : kCluster4,
        .port = static_cast<uint16_t>(1000 + n % 2)};
    add_tcp(samples, client);
    add_udp(samples, client);
    add_sctp(samples, client);
    add_echo(samples, client);
    if (n % 2 == 0) add_gre(samples, client);
    if (quic) add_quic(samples, client);
  }
  return samples;
}

const char* name(Verdict verdict) {
  return verdict == Verdict::kPass ? "pass" : verdict == Verdict::kDeliver ? "deliver" : "discard";
}

struct Stream {
  int clients;
  Setup setup;
  double pace;  ///< mean seconds between packets
  bool changes_allocation = true;
  bool changes_tracking = false;
  bool imports = false;  ///< lists of other nodes come in
};

class Comparison {
 public:
  Comparison(const Stream& stream, uint64_t seed)
      : stream_(stream),
        random_(seed),
        samples_(make_samples(stream.clients, stream.setup.quic != nullptr)),
        distribution_(test_distribution()),
        node_(stream.setup, 1) {
    for (const Sample& sample : samples_) keys_[sample.said.connection] = sample.key;
    plain_.self = 1;
    plain_.tracking_own = stream.setup.tracking == Tracking::kOwn;
    plain_.monitoring = stream.setup.monitoring;
    plain_.opening_max = static_cast<size_t>(stream.setup.capacity * stream.setup.opening_share);
    plain_.bucket_of = [this](const std::string& connection) {
      return static_cast<int>(distribution_.bucket(header_fields(keys_.at(connection))));
    };
    allocate();
  }

  void run(int packets) {
    for (int i = 0; i < packets; ++i) {
      pass_time();
      if (stream_.changes_allocation && random_() % 100 == 0) allocate();
      if (stream_.changes_tracking && random_() % 300 == 0) change_tracking();
      if (stream_.imports && random_() % 50 == 0) import();
      step(samples_[random_() % samples_.size()]);
      if (i % 1000 == 0) REQUIRE(node_.worker().table().check_invariants() == "");
    }
    // A stream that leaves a class out proves less than it says.
    for (int c = 1; c <= 6; ++c) CHECK(node_.in_class(c) > 0);
  }

  TestNode& node() { return node_; }

 private:
  void pass_time() {
    const uint64_t kind = random_() % 1000;
    double step = std::exponential_distribution<>(1 / stream_.pace)(random_);
    if (kind < 8) step += 15 + static_cast<double>(random_() % 300) / 10;  // opening, closing
    if (kind == 8) step += 100 + static_cast<double>(random_() % 600);     // UDP, other
    if (kind == 9 && random_() % 4 == 0) step += 7440;
    now_ += step;
    // Some packets come on the very tick of a deadline.
    if (kind > 950) now_ = std::ceil(now_ * 10) / 10;
  }

  void allocate() {
    std::vector<NodeIndex> owners(kTestBuckets);
    for (NodeIndex& owner : owners) owner = static_cast<NodeIndex>(random_() % 3);
    node_.allocate(owners);
    plain_.owner_of_bucket.assign(owners.begin(), owners.end());
    ++plain_.epoch;
  }

  void change_tracking() {
    plain_.tracking_own = !plain_.tracking_own;
    node_.set_tracking(plain_.tracking_own ? Tracking::kOwn : Tracking::kObserve);
  }

  /// One connection of another node's list: unknown ones are entered, known ones change owner.
  void import() {
    const plain::Packet& said = samples_[random_() % samples_.size()].said;
    const auto owner = static_cast<NodeIndex>(random_() % 3);
    const long tick = static_cast<long>(to_tick(nanoseconds(now_)));
    node_.age(now_);
    node_.import(keys_.at(said.connection), owner, kEstablished, now_);
    plain_.import(said, owner, tick);
  }

  void step(const Sample& sample) {
    const long tick = static_cast<long>(to_tick(nanoseconds(now_)));
    const plain::Answer expected = plain_.see(sample.said, tick);
    const Trace trace =
        sample.said.from_this_node ? node_.send(sample.frame, now_) : node_.see(sample.frame, now_);
    CAPTURE(sample.said.connection);
    REQUIRE(std::string(name(trace.decision.verdict)) == expected.verdict);
    REQUIRE(int{trace.decision.packet_class} == expected.packet_class);
    compare_tables();
  }

  void compare_tables() {
    uint32_t own = 0;
    for (const auto& [connection, entry] : plain_.table) {
      const Record* record = node_.record(keys_.at(connection));
      REQUIRE(record != nullptr);
      REQUIRE(int{record->owner} == entry.owner);
      REQUIRE(static_cast<int>(record->status) == static_cast<int>(entry.status));
      REQUIRE(static_cast<long>(record->last_seen) == entry.last_seen);
      own += entry.owner == 1;
    }
    REQUIRE(node_.tracked() == plain_.table.size());
    REQUIRE(node_.sizes().own == own);
  }

  Stream stream_;
  std::mt19937_64 random_;
  Samples samples_;
  std::map<std::string, Key> keys_;
  Distribution distribution_;
  TestNode node_;
  plain::Node plain_;
  double now_ = 1;
};

void compare(const Stream& stream, uint64_t seed) {
  Comparison(stream, seed).run(kPackets);
}

}  // namespace

TEST_CASE("the decision agrees with its plain twin: busy traffic, the allocation changes") {
  compare({.clients = 6, .setup = {}, .pace = 0.3}, 1);
}

TEST_CASE("the decision agrees with its plain twin: slow traffic, most things time out") {
  compare({.clients = 6, .setup = {}, .pace = 4}, 2);
}

TEST_CASE("the decision agrees with its plain twin: two clients, ports reused all the time") {
  compare({.clients = 2, .setup = {}, .pace = 1}, 3);
}

TEST_CASE("the decision agrees with its plain twin: openings beyond their share") {
  Comparison comparison(
      {.clients = 10, .setup = {.capacity = 100, .opening_share = 0.05}, .pace = 0.5}, 4);
  comparison.run(kPackets);
  CHECK(comparison.node().count(Count::kOpeningUntracked) > 0);
  CHECK(comparison.node().count(Count::kFullUntracked) == 0);
}

TEST_CASE("the decision agrees with its plain twin: tracking own") {
  compare({.clients = 6, .setup = {.tracking = Tracking::kOwn}, .pace = 0.3, .imports = true}, 5);
}

TEST_CASE("the decision agrees with its plain twin: without monitoring") {
  compare({.clients = 6, .setup = {.monitoring = false}, .pace = 2}, 6);
}

TEST_CASE("the decision agrees with its plain twin: tracking changes on the way") {
  compare({.clients = 6, .setup = {}, .pace = 0.5, .changes_tracking = true, .imports = true}, 7);
}

TEST_CASE("the decision agrees with its plain twin: QUIC connections that move") {
  compare({.clients = 6, .setup = {.quic = shared_quic()}, .pace = 0.3, .imports = true}, 8);
}

TEST_CASE("the decision agrees with its plain twin: QUIC connections that move, tracking changes") {
  compare({.clients = 4, .setup = {.quic = shared_quic()}, .pace = 1, .changes_tracking = true}, 9);
}
