// Any sequence of packets, times, allocations, steps of a transition and lists before a worker with
// a tiny table. What is demanded stands in fuzz/node.h (the worker) and fuzz/lists.h.
//
//   input:  [tracking, monitoring, share] then operations, each a byte and its few arguments
//
// Most operations make a packet of a handful of connections, so that they meet; one takes raw bytes
// from the input, so that everything else can come too.
#include "fuzz/fuzz.h"
#include "fuzz/lists.h"

namespace {

using namespace flowsieve_fuzz;

constexpr uint64_t kSecond = 1'000'000'000;

class Player {
 public:
  Player(const uint8_t* data, size_t size)
      : input_(data, size), packets_(input_), node_(input_.byte()) {}

  void play() {
    for (int steps = 0; !input_.empty() && steps < 2000; ++steps) {
      step();
      if (steps % 64 == 0) node_.check_table();
    }
    node_.finish();
  }

 private:
  void step() {
    const uint8_t operation = input_.byte();
    switch (operation >> 4) {
      case 0:
        return node_.flush();
      case 1:
        node_.pass(input_.byte() * (kSecond / 10));
        return node_.flush();
      case 2: {
        node_.flush();
        const uint64_t seconds = uint64_t{input_.byte()} * input_.byte();
        node_.pass(std::min<uint64_t>(seconds, 9000) * kSecond);
        return node_.age(operation & 1 ? SIZE_MAX : 4);
      }
      case 3:
        node_.flush();
        return node_.allocate(input_.byte());
      case 4:
        return noted();
      case 5:
        return add(packets_.raw(operation), operation, false);
      case 6:
      case 7:
        return add(packets_.other(operation), operation);
      case 8:
        return add(packets_.fragment(operation), operation);
      case 9:
        return add(packets_.error(operation), operation);
      case 13:
        node_.flush();
        return handover(operation & 15);
      case 14:
        node_.flush();
        return list(operation & 15);
      case 15:
        node_.flush();
        return foreign(operation & 15);
      default:
        return add(packets_.tcp(operation), operation);
    }
  }

  void add(Crafted crafted, uint8_t operation, bool numbered = true) {
    node_.add(std::move(crafted), operation & 8, late_ns_, numbered);
  }

  void handover(int step) {
    switch (step) {
      case 0: {
        const uint8_t pattern = input_.byte();
        return node_.prepare(pattern, input_.byte() % 4);
      }
      case 1:
        return node_.hold();
      case 2:
        return node_.release();
      case 3:
        return node_.acquire(input_.byte());
      case 4: {
        const uint8_t pattern = input_.byte();
        return node_.takeover(pattern, input_.byte());
      }
      case 5:
        return node_.commit();
      case 6:
        return node_.roll_back();
      case 7:
        return node_.clear_contested();
      case 8: {
        const uint8_t dead = input_.byte();
        return node_.adopt(dead, 1 + input_.byte());
      }
      case 9:
        return node_.recall(input_.byte());
      case 10:
        return node_.set_open_until(node_.now_ns() + input_.byte() * (kSecond / 50));
      case 11:
        return node_.set_open_until(UINT64_MAX);
      case 12:
        return node_.set_stopped_for(input_.byte() * (kSecond / 50));
      case 13:
        late_ns_ = input_.byte() * (kSecond / 100);
        return;
      case 14:
        return node_.prepare_again();
      default:
        // The time of a hold, and of milliseconds between the steps.
        node_.pass(input_.byte() * (kSecond / 1000));
        return;
    }
  }

  /// A list is taken, or comes back.
  void list(int choice) {
    const auto kind = static_cast<ListKind>((choice & 7) % 6);
    if (choice < 12) {
      const size_t block = 1 + input_.byte() % 8;
      list_ = export_list(node_, kind, choice & 8 ? 1 : 2, block, 1 + block * 4);
      return;
    }
    // As another node says it that has heard of them: whose they are, and how sure it is.
    const uint8_t change = input_.byte();
    for (Record& record : list_.records) {
      if (change & 1) record.owner = (record.owner + 1) % kNodes;
      if (change & 2) record.seen_here ^= kConfirmed;
      if (change & 4) record.seen_here |= kAdopted;
    }
    import_list(node_, static_cast<ListKind>(change / 8 % 6), list_);
  }

  /// The simplest of lists: TCP connections seen just now.
  void noted() {
    node_.flush();
    List list{.records = std::vector<Record>(3), .now = 0};
    for (Record& record : list.records) {
      set_key(record.key);
      record.owner = input_.byte() % 5;
      record.status = static_cast<ConnectionStatus>(input_.byte() % 4);
    }
    import_list(node_, ListKind::kMoving, list);
  }

  /// Records with everything that a record can say.
  void foreign(int choice) {
    constexpr Tick kNow = 100'000;
    List list{.records = std::vector<Record>(1 + choice % 3), .now = kNow};
    for (Record& record : list.records) {
      set_key(record.key);
      const uint8_t what = input_.byte();
      record.owner = (what & 3) % kNodes;
      record.status = static_cast<ConnectionStatus>((what >> 2 & 3) % 3);
      record.reopened = what >> 4 & 1;
      record.epoch = what >> 5;
      record.flags = input_.byte();
      record.seen_here = input_.byte();
      record.last_seen = kNow - input_.byte();
      record.opened = record.last_seen - input_.byte();
    }
    import_list(node_, static_cast<ListKind>(input_.byte() % 6), list);
  }

  void set_key(Key& key) {
    key.source = mapped_ipv4(client(input_.byte()).data());
    key.destination = mapped_ipv4(kCluster);
    key.source_port = input_.byte() % 4;
    key.destination_port = 80;
    key.protocol = 6;
  }

  Input input_;
  PacketMaker packets_;
  Node node_;
  uint64_t late_ns_ = 0;  ///< how long frames have waited in the ring
  List list_;
};

}  // namespace

FLOWSIEVE_FUZZ_TARGET(decision, data, size) {
  Player(data, size).play();
}
