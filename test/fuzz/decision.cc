// Any sequence of packets, times, allocations and lists before a worker with a tiny table: the
// counters add up, the table stays within its bounds and true to itself, and nothing is delivered
// that was not decided so.
//
//   input:  [tracking, monitoring, share] then operations, each a byte and its few arguments
//
// Most operations make a packet of a handful of connections, so that they meet; one takes raw bytes
// from the input, so that everything else can come too.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "fuzz/fuzz.h"
#include "wire/memory.h"
#include "worker/worker.h"

namespace {

using namespace flowsieve;

constexpr uint32_t kCapacity = 48;
constexpr uint32_t kBuckets = 16;
constexpr uint8_t kCluster[4] = {192, 0, 2, 100};

void demand(bool holds) {
  if (!holds) __builtin_trap();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::vector<uint8_t> bytes(size_t count) {
    count = std::min(count, left_);
    std::vector<uint8_t> taken(data_, data_ + count);
    data_ += count;
    left_ -= count;
    return taken;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

/// Reads every byte that it is given, so that the address sanitizer sees a packet that leaves its
/// frame, and refuses some.
class ReadingDelivery final : public Delivery {
 public:
  size_t deliver(std::span<const Accepted> packets) override {
    size_t taken = 0;
    for (const Accepted& packet : packets) {
      const Bytes bytes = packet.frame->bytes;
      demand(packet.ip_offset <= bytes.size);
      const size_t end = std::min<size_t>(packet.ip_offset + size_t{packet.ip_bytes}, bytes.size);
      uint32_t sum = 0;
      for (size_t i = packet.ip_offset; i < end; ++i) sum += bytes.data[i];
      total = total + sum;
      (sum % 8 == 0 ? refused : taken) += 1;
    }
    delivered += taken;
    return taken;
  }

  volatile uint32_t total = 0;
  uint64_t delivered = 0, refused = 0;
};

class Player {
 public:
  Player(const uint8_t* data, size_t size) : input_(data, size) {
    const uint8_t mode = input_.byte();
    share_ = (mode >> 4) / 15.0;
    WorkerOptions options;
    options.table = {.capacity = kCapacity, .opening_share = share_, .self = 0, .nodes = 3};
    options.fragments = {.datagrams = 4, .held_frames = 4, .held_bytes = 1024};
    options.scope =
        mode & 8 ? Scope::of_everything() : Scope::of_addresses({mapped_ipv4(kCluster)});
    options.both_directions = mode & 4;
    DistributionOptions distribution;
    distribution.buckets = kBuckets;
    Criteria criteria{.distribution = Distribution(distribution),
                      .allocation = {.owner = std::vector<NodeIndex>(kBuckets, 0)},
                      .tracking = mode & 1 ? Tracking::kOwn : Tracking::kObserve,
                      .monitoring = !(mode & 2)};
    worker_ =
        std::make_unique<Worker>(options, std::move(criteria), delivery_, nullptr, nullptr, 1);
  }

  void play() {
    for (int steps = 0; !input_.empty() && steps < 2000; ++steps) {
      step();
      if (frames_.size() == kBurst) flush();
      if (steps % 64 == 0) demand(worker_->table().check_invariants().empty());
    }
    flush();
    worker_->age(now_ns_ + 8000'000'000'000, SIZE_MAX);
    demand(worker_->table().check_invariants().empty());
    demand(worker_->table().sizes().own + worker_->table().sizes().others == 0);
    demand(worker_->fragments_waiting() == 0);
  }

 private:
  void step() {
    const uint8_t operation = input_.byte();
    switch (operation >> 4) {
      case 0:
        return flush();
      case 1:
        now_ns_ += uint64_t{input_.byte()} * 100'000'000;
        return flush();
      case 2: {
        flush();
        const uint64_t seconds = uint64_t{input_.byte()} * input_.byte();
        now_ns_ += std::min<uint64_t>(seconds, 9000) * 1'000'000'000;
        worker_->age(now_ns_, operation & 1 ? SIZE_MAX : 4);
        return;
      }
      case 3:
        return allocate();
      case 4:
        return import();
      case 5:
        return raw(operation);
      case 6:
      case 7:
        return other(operation);
      case 8:
        return fragment(operation);
      case 9:
        return error(operation);
      default:
        return tcp(operation);
    }
  }

  void allocate() {
    flush();
    Criteria next = worker_->criteria();
    const uint8_t pattern = input_.byte();
    for (size_t i = 0; i < kBuckets; ++i) {
      next.allocation.owner[i] = static_cast<NodeIndex>((pattern >> (i % 7)) % 3);
    }
    ++next.allocation.epoch;
    worker_->replace_criteria(std::move(next));
  }

  void import() {
    flush();
    std::array<Record, 3> records;
    for (Record& record : records) {
      record.key.source = mapped_ipv4(client(input_.byte()).data());
      record.key.destination = mapped_ipv4(kCluster);
      record.key.source_port = input_.byte() % 4;
      record.key.destination_port = 80;
      record.key.protocol = 6;
      record.owner = input_.byte() % 5;
      record.status = static_cast<ConnectionStatus>(input_.byte() % 4);
    }
    worker_->table().import_block(records, 0, worker_->now(), true);
  }

  static std::array<uint8_t, 4> client(uint8_t choice) {
    return {10, 0, 0, static_cast<uint8_t>(choice % 16)};
  }

  /// An IPv4 packet without a link header. Bit 3 of `operation`: the server sends it.
  std::vector<uint8_t> ipv4(uint8_t operation, uint8_t protocol, std::vector<uint8_t> rest,
                            uint16_t id = 0, uint16_t fragment_field = 0) {
    std::vector<uint8_t> packet(20);
    const auto peer = client(input_.byte());
    packet[0] = 0x45;
    store_be16(&packet[2], static_cast<uint16_t>(20 + rest.size()));
    store_be16(&packet[4], id);
    store_be16(&packet[6], fragment_field);
    packet[8] = 64;
    packet[9] = protocol;
    const bool sent = operation & 8;
    std::memcpy(&packet[12], sent ? kCluster : peer.data(), 4);
    std::memcpy(&packet[16], sent ? peer.data() : kCluster, 4);
    packet.insert(packet.end(), rest.begin(), rest.end());
    return packet;
  }

  std::vector<uint8_t> ports(uint8_t operation, size_t bytes) {
    std::vector<uint8_t> header(bytes);
    const bool sent = operation & 8;
    store_be16(&header[sent ? 2 : 0], input_.byte() % 4);
    store_be16(&header[sent ? 0 : 2], 80);
    return header;
  }

  void tcp(uint8_t operation) {
    std::vector<uint8_t> header = ports(operation, 20);
    header[12] = 0x50;
    header[13] = input_.byte();
    add(ipv4(operation, 6, header), operation, LinkType::kRawIp);
  }

  void other(uint8_t operation) {
    const uint8_t kind = operation & 3;
    std::vector<uint8_t> rest(8);
    if (kind == 0) rest = ports(operation, 8);
    if (kind == 1) {
      rest = ports(operation, 13);
      rest[12] = input_.byte() % 16;
    }
    if (kind == 2) {
      rest[0] = input_.byte() % 2 * 8;
      rest[5] = input_.byte() % 4;
    }
    constexpr uint8_t kProtocols[] = {17, 132, 1, 47};
    add(ipv4(operation, kProtocols[kind], rest), operation, LinkType::kRawIp);
  }

  void fragment(uint8_t operation) {
    const uint8_t which = input_.byte();
    std::vector<uint8_t> rest = ports(operation, 24);
    const uint16_t field = static_cast<uint16_t>((which & 3) * 3 | (which & 4 ? 0x2000 : 0));
    add(ipv4(operation, which & 8 ? 6 : 17, rest, which >> 6, field), operation, LinkType::kRawIp);
  }

  void error(uint8_t operation) {
    std::vector<uint8_t> rest(8);
    rest[0] = 3;
    // The quoted packet runs the other way.
    const std::vector<uint8_t> quoted =
        ipv4(operation ^ 8, input_.byte() & 1 ? 6 : 17, ports(operation ^ 8, 8));
    rest.insert(rest.end(), quoted.begin(), quoted.end());
    add(ipv4(operation, 1, rest), operation, LinkType::kRawIp);
  }

  void raw(uint8_t operation) {
    const size_t size = input_.byte();
    add(input_.bytes(size), operation, static_cast<LinkType>((operation & 7) % 5));
  }

  void add(std::vector<uint8_t> bytes, uint8_t operation, LinkType link) {
    Frame frame;
    frame.wire_bytes = static_cast<uint32_t>(bytes.size());
    frame.link = link;
    frame.outgoing = operation & 8;
    frames_.push_back(frame);
    contents_.push_back(std::move(bytes));
  }

  void flush() {
    if (frames_.empty()) return;
    for (size_t i = 0; i < frames_.size(); ++i) {
      frames_[i].bytes = {contents_[i].data(), contents_[i].size()};
    }
    MemorySource source(frames_);
    demand(worker_->turn(source, now_ns_) == frames_.size());
    for (const Trace& trace : worker_->traces()) check(trace);
    check_counters();
    frames_.clear();
    contents_.clear();
  }

  void check(const Trace& trace) {
    const Decision& decision = trace.decision;
    const int packet_class = decision.packet_class;
    if (trace.held || trace.packet.drop != Drop::kNone) {
      demand(decision.verdict == Verdict::kPass);
    }
    switch (decision.verdict) {
      case Verdict::kPass:
        return demand(packet_class == 0);
      case Verdict::kDeliver:
        return demand(packet_class == 1 || packet_class == 2 || packet_class == 5);
      case Verdict::kDiscard:
        return demand(packet_class == 3 || packet_class == 4 || packet_class == 6);
    }
  }

  void check_counters() {
    const Counters& counters = worker_->counters();
    const uint64_t mine =
        counters[Count::kClass1] + counters[Count::kClass2] + counters[Count::kClass5];
    const uint64_t others =
        counters[Count::kClass3] + counters[Count::kClass4] + counters[Count::kClass6];
    demand(mine == counters[Count::kDelivered]);
    demand(others == counters[Count::kDiscarded]);
    demand(counters[Drop::kDeliverFailed] == delivery_.refused);
    demand(counters[Count::kDelivered] == delivery_.delivered + delivery_.refused);
    const TableSizes sizes = worker_->table().sizes();
    demand(sizes.own + sizes.others <= kCapacity);
    demand(sizes.opening + sizes.established + sizes.closing == sizes.own + sizes.others);
    demand(sizes.opening <= kCapacity * share_);
    demand(worker_->fragments_waiting() <= 4);
  }

  Input input_;
  double share_;
  ReadingDelivery delivery_;
  std::unique_ptr<Worker> worker_;
  uint64_t now_ns_ = 1;
  std::vector<Frame> frames_;
  std::vector<std::vector<uint8_t>> contents_;
};

}  // namespace

FLOWSIEVE_FUZZ_TARGET(decision, data, size) {
  Player(data, size).play();
}
