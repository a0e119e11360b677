// Nodes for tests: a worker between memory and memory, addressed in the words of the design.
//
//   TestNode node;                                    node 0 of three; every bucket is its own
//   node.give_all_buckets_to(1);
//   Trace trace = node.see(tcp.syn(), 1.5);           from the wire, at 1.5 seconds
//   node.send(tcp.from_server().fin(), 2);            this node sends it: watched
//   node.status(tcp.key())                            OPENING, ... or nothing when not tracked
//
// Each packet is a turn of its own unless it comes with others in a burst. Before a turn the node
// ages to the turn's time with budget enough, so that what has timed out is gone and "to the tick"
// means something. Time never goes back.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "support/packet_builder.h"
#include "wire/memory.h"
#include "worker/worker.h"

namespace flowsieve::test {

inline constexpr auto kOpening = ConnectionStatus::kOpening;
inline constexpr auto kEstablished = ConnectionStatus::kEstablished;
inline constexpr auto kClosing = ConnectionStatus::kClosing;

inline const std::string kCluster4 = "192.0.2.100";
inline const std::string kCluster6 = "2001:db8::100";
inline const std::string kNodeAddress = "192.0.2.1";  ///< of node 0; not a cluster address
inline constexpr LinkAddress kGatewayMac{2, 0, 0x5e, 0, 0, 0x64};  ///< of the cluster, as gateway
inline constexpr uint32_t kTestBuckets = 16;
inline constexpr NodeIndex kTestNodes = 3;

uint64_t nanoseconds(double seconds);

struct Setup {
  uint32_t capacity = 4096;
  double opening_share = 0.25;
  Timeouts timeouts = default_timeouts();
  Tracking tracking = Tracking::kObserve;
  bool monitoring = true;
  bool both_directions = false;
  /// A gateway behind kGatewayMac: it forwards, and both directions come from the wire.
  bool gateway = false;
  uint32_t sample_every = 0;
  FragmentLimits fragments = {};
  HoldLimits hold = {};
  std::function<uint64_t()> clock = {};
  std::shared_ptr<const QuicLb> quic = {};
};

using List = std::vector<Record>;

/// Every bucket the same owner's.
std::vector<NodeIndex> all_of(NodeIndex owner);
/// SipHash over addresses and ports, with a fixed key.
DistributionOptions test_distribution();
/// The same, symmetric.
DistributionOptions gateway_distribution();

class TestNode {
 public:
  explicit TestNode(const Setup& setup = {}, NodeIndex self = 0);

  /// One frame from the wire; what became of it.
  Trace see(const ByteVector& frame, double at, LinkType link = LinkType::kEthernet);
  Trace see(const PacketBuilder& frame, double at) { return see(frame.build(), at); }
  /// One frame that this node sends.
  Trace send(const ByteVector& frame, double at);
  Trace send(const PacketBuilder& frame, double at) { return send(frame.build(), at); }
  /// Several frames in one burst.
  std::vector<Trace> see_burst(const std::vector<ByteVector>& frames, double at);
  /// One turn over any source.
  std::vector<Trace> turn(Source& source, double at);
  /// Time passes without a packet.
  void age(double at) { worker_.age(nanoseconds(at), SIZE_MAX); }

  /// A new allocation, of the next epoch.
  void allocate(const std::vector<NodeIndex>& owners);
  void give_all_buckets_to(NodeIndex owner) { allocate(all_of(owner)); }
  void set_tracking(Tracking tracking);

  // The steps of a handover to the allocation `owners`, at this node alone.
  void prepare(const std::vector<NodeIndex>& owners,
               const DistributionOptions& distribution = test_distribution());
  void hold() { worker_.hold(); }
  void release() { worker_.release(); }
  Resolved acquire(std::vector<NodeIndex> losers) { return worker_.acquire(losers); }
  void takeover(const std::vector<NodeIndex>& owners, std::vector<NodeIndex> dead);
  void commit();     ///< the criteria that prepare() or takeover() announced
  void roll_back();  ///< the old allocation under a new epoch
  /// This node's list for node `to`, taken in blocks of `block`.
  List list(ListKind kind, NodeIndex to, size_t block = 7);
  /// Another node's list comes in.
  ConnectionTable::Imported merge(const List& list, const TestNode& sender,
                                  ListKind kind = ListKind::kMoving);
  /// The whole table, in blocks.
  size_t adopt(std::vector<NodeIndex> dead);
  size_t recall(std::vector<NodeIndex> dead) { return worker_.recall(dead); }

  /// Another node's list comes in, seen by that node at `at`.
  void import(const Key& key, NodeIndex owner, ConnectionStatus status, double at);

  uint64_t count(Count counter) const { return worker_.counters()[counter]; }
  uint64_t drops(Drop reason) const { return worker_.counters()[reason]; }
  uint64_t in_class(int packet_class) const;
  /// Of all six classes.
  uint64_t decided() const;
  const Record* record(const Key& key);
  std::optional<ConnectionStatus> status(const Key& key);
  std::optional<NodeIndex> owner(const Key& key);
  TableSizes sizes() { return worker_.table().sizes(); }
  uint32_t tracked() { return sizes().own + sizes().others; }

  Worker& worker() { return worker_; }
  MemoryDelivery& delivery() { return delivery_; }
  uint64_t delivered() const { return delivery_.packets(); }

 private:
  Trace see_one(const ByteVector& frame, double at, LinkType link, bool outgoing);
  Transition transition(const std::vector<NodeIndex>& owners,
                        const DistributionOptions& distribution);

  uint32_t newest_epoch_ = 1;  ///< also of transitions that failed
  MemoryDelivery delivery_;
  Worker worker_;
};

/// Three nodes before one wire.
class TestCluster {
 public:
  explicit TestCluster(const Setup& setup = {});

  std::array<Trace, kTestNodes> see(const ByteVector& frame, double at);
  std::array<Trace, kTestNodes> see(const PacketBuilder& frame, double at) {
    return see(frame.build(), at);
  }
  void allocate(const std::vector<NodeIndex>& owners);
  void give_all_buckets_to(NodeIndex owner) { allocate(all_of(owner)); }
  TestNode& node(NodeIndex i) { return *nodes_[i]; }

  // The steps of a handover at all living nodes. `acquire` lets every gainer merge what every
  // loser has opened meanwhile, and resolve what it holds.
  void prepare(const std::vector<NodeIndex>& owners,
               const DistributionOptions& distribution = test_distribution());
  void hold();
  void release();
  Resolved acquire();
  void commit();
  /// All of them, with every list and nothing between them.
  void hand_over(const std::vector<NodeIndex>& owners);
  /// Every node merges what every other lists of this kind.
  void exchange(ListKind kind);
  /// After the commit: everybody learns who opened what was contested, then it is forgotten.
  void settle();

 private:
  std::vector<std::unique_ptr<TestNode>> nodes_;
};

/// The nodes that deliver, as the digits of a word: "0", "12", "".
std::string deliverers(const std::array<Trace, kTestNodes>& traces);

/// A TCP client of the cluster. Calls give frames; from_server() gives a builder for the other
/// direction, to be completed with flags.
struct TcpClient {
  std::string address = "198.51.100.7";
  uint16_t port = 40000;

  PacketBuilder to_server() const;
  PacketBuilder from_server() const;
  PacketBuilder syn() const { return to_server().syn(); }
  PacketBuilder ack() const { return to_server().ack(); }
  PacketBuilder data() const { return to_server().ack().psh().payload(10); }
  PacketBuilder fin() const { return to_server().fin().ack(); }
  PacketBuilder rst() const { return to_server().rst(); }
  PacketBuilder syn_ack() const { return from_server().syn().ack(); }
  Key key() const;  ///< as stored: client -> server
};

/// The same for UDP.
struct UdpClient {
  std::string address = "198.51.100.7";
  uint16_t port = 40000;

  PacketBuilder datagram(size_t bytes = 10) const;
  PacketBuilder reply(size_t bytes = 10) const;
  Key key() const;
};

}  // namespace flowsieve::test
