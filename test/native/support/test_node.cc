#include "support/test_node.h"

#include <cmath>

namespace flowsieve::test {
namespace {

constexpr uint16_t kPort = 80;

bool is_ipv6(const std::string& address) {
  return address.find(':') != std::string::npos;
}

const std::string& cluster_address_for(const std::string& client) {
  return is_ipv6(client) ? kCluster6 : kCluster4;
}

PacketBuilder ip(const std::string& from, const std::string& to) {
  PacketBuilder builder = PacketBuilder::ethernet();
  return is_ipv6(from) ? builder.ipv6(from, to) : builder.ipv4(from, to);
}

WorkerOptions worker_options(const Setup& setup, NodeIndex self) {
  WorkerOptions options;
  options.table.capacity = setup.capacity;
  options.table.opening_share = setup.opening_share;
  options.table.timeouts = setup.timeouts;
  options.table.self = self;
  options.table.seed = 7 + self;  // nothing may depend on the nodes' tables being alike
  options.table.nodes = kTestNodes;
  options.fragments = setup.fragments;
  options.scope = Scope::of_addresses({address_of(kCluster4), address_of(kCluster6)});
  if (setup.gateway) options.scope = Scope::of_gateway({kGatewayMac});
  options.both_directions = setup.both_directions;
  options.sample_every = setup.sample_every;
  options.hold = setup.hold;
  options.clock = setup.clock;
  return options;
}

Criteria criteria(const Setup& setup, NodeIndex self) {
  return {
      .distribution = Distribution(setup.gateway ? gateway_distribution() : test_distribution()),
      .allocation = {.epoch = 1, .self = self, .owner = all_of(0)},
      .tracking = setup.tracking,
      .monitoring = setup.monitoring,
      .forwards = setup.gateway,
      .quic = setup.quic};
}

}  // namespace

uint64_t nanoseconds(double seconds) {
  return static_cast<uint64_t>(std::llround(seconds * 1e9));
}

std::vector<NodeIndex> all_of(NodeIndex owner) {
  return std::vector<NodeIndex>(kTestBuckets, owner);
}

DistributionOptions test_distribution() {
  DistributionOptions options;
  for (size_t i = 0; i < options.key.size(); ++i) options.key[i] = static_cast<uint8_t>(i);
  options.buckets = kTestBuckets;
  return options;
}

DistributionOptions gateway_distribution() {
  DistributionOptions options = test_distribution();
  options.symmetric = true;
  return options;
}

TestNode::TestNode(const Setup& setup, NodeIndex self)
    : worker_(worker_options(setup, self), criteria(setup, self), delivery_, nullptr, nullptr, 0) {}

Trace TestNode::see(const ByteVector& frame, double at, LinkType link) {
  return see_one(frame, at, link, false);
}

Trace TestNode::send(const ByteVector& frame, double at) {
  return see_one(frame, at, LinkType::kEthernet, true);
}

Trace TestNode::see_one(const ByteVector& bytes, double at, LinkType link, bool outgoing) {
  Frame frame;
  frame.bytes = {bytes.data(), bytes.size()};
  frame.wire_bytes = static_cast<uint32_t>(bytes.size());
  frame.link = link;
  frame.outgoing = outgoing;
  MemorySource source({frame});
  return turn(source, at).at(0);
}

std::vector<Trace> TestNode::see_burst(const std::vector<ByteVector>& frames, double at) {
  FrameStore store;
  for (const ByteVector& frame : frames) store.add({frame.data(), frame.size()});
  MemorySource source(store);
  return turn(source, at);
}

std::vector<Trace> TestNode::turn(Source& source, double at) {
  age(at);
  worker_.turn(source, nanoseconds(at));
  return {worker_.traces().begin(), worker_.traces().end()};
}

void TestNode::allocate(const std::vector<NodeIndex>& owners) {
  Criteria next = worker_.criteria();
  next.allocation.owner = owners;
  next.allocation.epoch = ++newest_epoch_;
  worker_.replace_criteria(std::move(next));
}

Transition TestNode::transition(const std::vector<NodeIndex>& owners,
                                const DistributionOptions& distribution) {
  const NodeIndex self = worker_.criteria().allocation.self;
  return {.distribution = Distribution(distribution),
          .next = {.epoch = ++newest_epoch_, .self = self, .owner = owners}};
}

void TestNode::prepare(const std::vector<NodeIndex>& owners,
                       const DistributionOptions& distribution) {
  worker_.prepare(transition(owners, distribution));
}

void TestNode::takeover(const std::vector<NodeIndex>& owners, std::vector<NodeIndex> dead) {
  Transition next = transition(owners, worker_.criteria().distribution.options());
  next.dead = std::move(dead);
  worker_.takeover(std::move(next));
}

void TestNode::commit() {
  Criteria next = worker_.criteria();
  next.distribution = worker_.transition()->distribution;
  next.allocation = worker_.transition()->next;
  worker_.replace_criteria(std::move(next));
}

void TestNode::roll_back() {
  allocate(std::vector<NodeIndex>(worker_.criteria().allocation.owner));
}

List TestNode::list(ListKind kind, NodeIndex to, size_t block) {
  List all, part(block);
  for (uint64_t cursor = 0; cursor != Worker::kListEnd;) {
    const size_t count = worker_.export_list(kind, to, cursor, part, 64);
    all.insert(all.end(), part.begin(), part.begin() + static_cast<ptrdiff_t>(count));
  }
  return all;
}

ConnectionTable::Imported TestNode::merge(const List& list, const TestNode& sender, ListKind kind) {
  return worker_.import_list(kind, list, sender.worker_.now());
}

size_t TestNode::adopt(std::vector<NodeIndex> dead) {
  size_t adopted = 0;
  for (uint64_t cursor = 0; cursor != Worker::kListEnd;) {
    adopted += worker_.adopt(dead, cursor, 50);
  }
  return adopted;
}

void TestNode::set_tracking(Tracking tracking) {
  Criteria next = worker_.criteria();
  next.tracking = tracking;
  worker_.replace_criteria(std::move(next));
}

void TestNode::import(const Key& key, NodeIndex owner, ConnectionStatus status, double at) {
  Record record;
  record.key = key;
  record.owner = owner;
  record.status = status;
  record.seen_here = kConfirmed;
  record.last_seen = record.opened = to_tick(nanoseconds(at));
  worker_.import_list(ListKind::kMoving, {&record, 1}, worker_.now());
}

uint64_t TestNode::in_class(int packet_class) const {
  return count(static_cast<Count>(static_cast<int>(Count::kClass1) + packet_class - 1));
}

uint64_t TestNode::decided() const {
  uint64_t sum = 0;
  for (int packet_class = 1; packet_class <= 6; ++packet_class) sum += in_class(packet_class);
  return sum;
}

const Record* TestNode::record(const Key& key) {
  ConnectionTable& table = worker_.table();
  const Slot slot = table.find(key, table.hash(key));
  return slot == kNoSlot ? nullptr : &table.at(slot);
}

std::optional<ConnectionStatus> TestNode::status(const Key& key) {
  const Record* found = record(key);
  return found ? std::optional(shown_status(*found)) : std::nullopt;
}

std::optional<NodeIndex> TestNode::owner(const Key& key) {
  const Record* found = record(key);
  return found ? std::optional(found->owner) : std::nullopt;
}

TestCluster::TestCluster(const Setup& setup) {
  for (NodeIndex i = 0; i < kTestNodes; ++i) nodes_.push_back(std::make_unique<TestNode>(setup, i));
}

std::array<Trace, kTestNodes> TestCluster::see(const ByteVector& frame, double at) {
  std::array<Trace, kTestNodes> traces;
  for (NodeIndex i = 0; i < kTestNodes; ++i) traces[i] = nodes_[i]->see(frame, at);
  return traces;
}

void TestCluster::allocate(const std::vector<NodeIndex>& owners) {
  for (auto& node : nodes_) node->allocate(owners);
}

void TestCluster::prepare(const std::vector<NodeIndex>& owners,
                          const DistributionOptions& distribution) {
  for (auto& node : nodes_) node->prepare(owners, distribution);
}

void TestCluster::hold() {
  for (auto& node : nodes_) node->hold();
}

void TestCluster::release() {
  for (auto& node : nodes_) node->release();
}

Resolved TestCluster::acquire() {
  Resolved all;
  for (NodeIndex to = 0; to < kTestNodes; ++to) {
    for (NodeIndex from = 0; from < kTestNodes; ++from) {
      if (from == to) continue;
      nodes_[to]->merge(nodes_[from]->list(ListKind::kReleased, to), *nodes_[from]);
      const Resolved resolved = nodes_[to]->acquire({from});
      all.opened += resolved.opened;
      all.followed += resolved.followed;
      all.expired += resolved.expired;
    }
  }
  return all;
}

void TestCluster::commit() {
  for (auto& node : nodes_) node->commit();
}

void TestCluster::hand_over(const std::vector<NodeIndex>& owners) {
  prepare(owners);
  exchange(ListKind::kMoving);
  hold();
  release();
  acquire();
  commit();
  settle();
}

void TestCluster::exchange(ListKind kind) {
  for (NodeIndex to = 0; to < kTestNodes; ++to) {
    for (NodeIndex from = 0; from < kTestNodes; ++from) {
      if (from != to) nodes_[to]->merge(nodes_[from]->list(kind, to), *nodes_[from], kind);
    }
  }
}

void TestCluster::settle() {
  exchange(ListKind::kContested);
  for (auto& node : nodes_) node->worker().clear_contested();
}

std::string deliverers(const std::array<Trace, kTestNodes>& traces) {
  std::string nodes;
  for (size_t i = 0; i < traces.size(); ++i) {
    if (traces[i].decision.verdict == Verdict::kDeliver) nodes += static_cast<char>('0' + i);
  }
  return nodes;
}

PacketBuilder TcpClient::to_server() const {
  return ip(address, cluster_address_for(address)).tcp(port, kPort);
}
PacketBuilder TcpClient::from_server() const {
  return ip(cluster_address_for(address), address).tcp(kPort, port);
}
Key TcpClient::key() const {
  return key_of(6, address, port, cluster_address_for(address), kPort);
}

PacketBuilder UdpClient::datagram(size_t bytes) const {
  return ip(address, cluster_address_for(address)).udp(port, kPort).payload(bytes);
}
PacketBuilder UdpClient::reply(size_t bytes) const {
  return ip(cluster_address_for(address), address).udp(kPort, port).payload(bytes);
}
Key UdpClient::key() const {
  return key_of(17, address, port, cluster_address_for(address), kPort);
}

}  // namespace flowsieve::test
