// Handovers between engines on real wires: what the rings had received, where lists go, and every
// packet accounted for.
#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <set>
#include <utility>

#include "engine/engine.h"
#include "engine/engine_node.h"
#include "engine/lists.h"

namespace flowsieve::test {

namespace {

using Client = std::pair<Address, uint16_t>;

Criteria criteria_of(NodeIndex self, NodeIndex owner, uint32_t epoch) {
  return {.distribution = Distribution(test_distribution()),
          .allocation = {.epoch = epoch, .self = self, .owner = all_of(owner)}};
}

/// All buckets become `owner`'s.
Transition transition_to(NodeIndex self, NodeIndex owner, uint32_t epoch) {
  const Criteria next = criteria_of(self, owner, epoch);
  return {.distribution = next.distribution, .next = next.allocation, .dead = {}, .acquired = {}};
}

/// One node with its own wire.
struct Side {
  Wire wire;
  std::unique_ptr<Engine> engine;
  RawSender sender{wire.there, "v1"};

  /// Every bucket is node 0's.
  Side(NodeIndex self, uint32_t workers) {
    EngineOptions options = engine_options(workers);
    options.worker.table.self = self;
    options.worker.table.capacity = 16384;
    options.worker.hold.hold_ns = 5'000'000'000;  // a loaded machine must not fail the test
    auto opened = open_engine(wire.here, options, criteria_of(self, 0, 1));
    REQUIRE_MESSAGE(opened.ok(), opened.error().message);
    engine = std::move(opened.value());
  }
  uint64_t count(Count counter) const { return sum_of(engine->snapshot())[counter]; }
  /// The kernel has put everything into the rings that was sent: over a veth at once, but for its
  /// own deferral.
  static void let_arrive() { usleep(300'000); }
};

/// Pieces of a list of all workers, each with its time.
std::vector<RecordBlock> whole_list(Engine& engine, ListKind kind, NodeIndex to) {
  std::vector<RecordBlock> blocks;
  for (uint32_t worker = 0; worker < engine.workers(); ++worker) {
    uint64_t cursor = 0;
    do {
      blocks.push_back(engine.export_list(kind, to, worker, cursor, 100));
      cursor = blocks.back().cursor;
    } while (cursor != 0);
  }
  return blocks;
}

ConnectionTable::Imported pull(Engine& into, Engine& from, ListKind kind, NodeIndex to) {
  const std::vector<NodeIndex> owners{0, 1, 2};
  ConnectionTable::Imported sum;
  for (RecordBlock& block : whole_list(from, kind, to)) {
    sum += into.import_list(kind, block.records, block.now, owners);
  }
  return sum;
}

std::map<Client, NodeIndex> owners_in(Engine& engine) {
  std::map<Client, NodeIndex> owners;
  for (const RecordBlock& block : whole_list(engine, ListKind::kTables, 0)) {
    for (const Record& record : block.records) {
      owners[{record.key.source, record.key.source_port}] = record.owner;
    }
  }
  return owners;
}

}  // namespace

TEST_CASE("a release decides as before all that the rings of all workers had received") {
  FLOWSIEVE_LIVE_TEST("a release decides all that the rings had received");
  constexpr uint64_t kBefore = 300;
  Side node(0, 3);
  // Without threads nobody empties the rings but the release itself.
  for (int i = 0; i < static_cast<int>(kBefore); ++i) {
    node.sender.send(numbered_client(i).syn().build());
  }
  Side::let_arrive();
  node.engine->prepare(transition_to(0, 1, 2));
  CHECK(node.count(Count::kClass1) == 0);
  node.engine->release();
  CHECK(node.count(Count::kClass1) == kBefore);
  CHECK(node.count(Count::kContested) == kBefore);

  REQUIRE(node.engine->start().ok());
  for (int i = 0; i < 100; ++i) {
    node.sender.send(numbered_client(1000 + i).syn().build());
  }
  CHECK(eventually([&] { return node.count(Count::kClass3) == 100; }));
  CHECK(node.count(Count::kClass1) == kBefore);
  size_t released = 0;
  for (const RecordBlock& block : whole_list(*node.engine, ListKind::kReleased, 1)) {
    released += block.records.size();
  }
  CHECK(released == kBefore);
}

TEST_CASE("a release ends although packets come faster than they can be decided") {
  FLOWSIEVE_LIVE_TEST("a release ends although packets come all the time");
  Side node(0, 1);
  std::atomic<bool> done{false};
  std::thread flood([&] {
    const ByteVector frame = numbered_client(0).syn().build();
    while (!done) node.sender.send(frame);
  });
  REQUIRE(node.engine->start().ok());
  node.engine->prepare(transition_to(0, 1, 2));
  const auto begin = std::chrono::steady_clock::now();
  node.engine->release();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
  done = true;
  flood.join();
}

TEST_CASE("records of a list come to the workers that get their connections' packets") {
  FLOWSIEVE_LIVE_TEST("records of a list come to the workers that get their packets");
  constexpr int kClients = 400;
  Side giver(0, 1), taker(1, 3);
  for (const Side* side : {&giver, &taker}) REQUIRE(side->engine->start().ok());
  UdpClient six{.address = "2001:db8:1::1"};
  for (int i = 0; i < kClients; ++i) {
    giver.sender.send(numbered_client(i).syn().build());
    six.address = "2001:db8:1::" + std::to_string(i + 1);
    giver.sender.send(six.datagram().build());
  }
  REQUIRE(eventually([&] { return giver.count(Count::kClass1) == 2 * kClients; }));
  const auto imported = pull(*taker.engine, *giver.engine, ListKind::kTables, 1);
  CHECK(imported.inserted == 2 * kClients);
  CHECK(imported.refused == 0);
  for (const WorkerSnapshot& each : taker.engine->snapshot()) CHECK(each.sizes.others > 0);

  for (int i = 0; i < kClients; ++i) {
    taker.sender.send(numbered_client(i).ack().build());
    six.address = "2001:db8:1::" + std::to_string(i + 1);
    taker.sender.send(six.datagram().build());
  }
  CHECK(eventually([&] { return taker.count(Count::kClass4) == 2 * kClients; }));
  CHECK(taker.count(Count::kClass3) == 0);
  CHECK(taker.count(Count::kClass6) == 0);
}

TEST_CASE("owners are translated, and records of nodes that nobody knows are refused and counted") {
  FLOWSIEVE_LIVE_TEST("owners are translated");
  Side giver(0, 1), taker(1, 2);
  for (int i = 0; i < 10; ++i) giver.sender.send(numbered_client(4 * i).syn().build());
  REQUIRE(giver.engine->start().ok());
  REQUIRE(eventually([&] { return giver.count(Count::kClass1) == 10; }));
  RecordBlock block = giver.engine->export_list(ListKind::kOwn, 1, 0, 0, 100);
  REQUIRE(block.records.size() == 10);
  auto again = block.records;
  CHECK(taker.engine->import_list(ListKind::kOwn, again, block.now, {}).refused == 10);
  const std::vector<NodeIndex> owners{2};
  CHECK(taker.engine->import_list(ListKind::kOwn, block.records, block.now, owners).inserted == 10);
  for (const auto& [client, owner] : owners_in(*taker.engine)) CHECK(owner == 2);
}

TEST_CASE("past its lease an engine opens nothing, whether its threads run or not") {
  FLOWSIEVE_LIVE_TEST("past its lease an engine opens nothing");
  Side node(0, 2);
  const auto lease_over = [&] { return sum_of(node.engine->snapshot())[Drop::kLeaseOver]; };
  node.engine->set_open_until(0);
  REQUIRE(node.engine->start().ok());
  node.sender.send(numbered_client(0).syn().build());
  CHECK(eventually([&] { return lease_over() == 1; }));
  CHECK(node.count(Count::kDelivered) == 0);

  node.engine->set_open_until(UINT64_MAX);
  node.sender.send(numbered_client(0).syn().build());
  CHECK(eventually([&] { return node.count(Count::kDelivered) == 1; }));
  node.engine->set_open_until(monotonic_ns());
  node.sender.send(numbered_client(4).syn().build());
  node.sender.send(numbered_client(0).ack().build());  // of an open connection
  CHECK(eventually([&] { return lease_over() == 2 && node.count(Count::kClass2) == 1; }));
  CHECK(node.count(Count::kDelivered) == 2);
}

TEST_CASE("what a dead node owned goes to the heirs in the tables of all workers") {
  FLOWSIEVE_LIVE_TEST("what a dead node owned goes to the heirs");
  constexpr int kClients = 200;
  Side node(1, 2);
  REQUIRE(node.engine->start().ok());
  for (int i = 0; i < kClients; ++i) node.sender.send(numbered_client(i).syn().build());
  REQUIRE(eventually([&] { return node.count(Count::kClass3) == kClients; }));
  Transition transition = transition_to(1, 1, 2);
  transition.dead = {0};
  node.engine->takeover(transition);
  node.sender.send(numbered_client(kClients).syn().build());
  CHECK(eventually([&] { return node.count(Count::kHeld) == 1; }));
  const std::vector<NodeIndex> dead{0};
  node.engine->adopt(dead);
  CHECK(sizes_of(node.engine->snapshot()).own == kClients);
  const Resolved resolved = node.engine->acquire(dead);
  CHECK(resolved.opened == 1);
  node.engine->replace_criteria(criteria_of(1, 1, 2));
  CHECK(sizes_of(node.engine->snapshot()).own == kClients + 1);
  // The dead's last openings, all of them still opening, were delivered by their new owner.
  CHECK(node.count(Count::kRecalled) == kClients);
  CHECK(node.count(Count::kDelivered) == kClients + 1);
}

TEST_CASE("in a handover between engines under traffic each SYN is delivered by one of them") {
  FLOWSIEVE_LIVE_TEST("in a handover between engines under traffic");
  Side loser(0, 2), gainer(1, 3);
  const std::array<Side*, 2> sides{&loser, &gainer};
  for (Side* side : sides) REQUIRE(side->engine->start().ok());
  std::atomic<bool> done{false};
  std::atomic<int> sent{0};
  std::thread traffic([&] {
    while (!done && sent < 8000) {
      const ByteVector syn = numbered_client(sent).syn().build();
      // Now the one, now the other sees it first.
      sides[sent % 2]->sender.send(syn);
      sides[1 - sent % 2]->sender.send(syn);
      ++sent;
      if (sent % 8 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  const auto let_pass = [&](int clients) {
    const int until = sent + clients;
    while (sent < until) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  let_pass(200);
  for (const NodeIndex self : {0, 1}) {
    sides[self]->engine->prepare(transition_to(self, 1, 2));
  }
  pull(*gainer.engine, *loser.engine, ListKind::kMoving, 1);
  gainer.engine->hold();
  let_pass(20);  // the guard
  loser.engine->release();
  let_pass(20);
  pull(*gainer.engine, *loser.engine, ListKind::kReleased, 1);
  const std::vector<NodeIndex> losers{0};
  const Resolved resolved = gainer.engine->acquire(losers);
  let_pass(20);
  for (const NodeIndex self : {0, 1})
    sides[self]->engine->replace_criteria(criteria_of(self, 1, 2));
  let_pass(200);
  pull(*loser.engine, *gainer.engine, ListKind::kContested, 0);
  done = true;
  traffic.join();

  const uint64_t clients = static_cast<uint64_t>(sent);
  for (const Side* side : sides) {
    CHECK(eventually([&] {
      const TableSizes sizes = sizes_of(side->engine->snapshot());
      return sizes.own + sizes.others == clients && side->count(Count::kPackets) >= clients;
    }));
    CHECK(sum_of(side->engine->snapshot())[Drop::kHoldExpired] == 0);
    CHECK(sum_of(side->engine->snapshot())[Drop::kRingFull] == 0);
  }
  CHECK(resolved.opened > 0);
  CHECK(resolved.followed > 0);
  CHECK(loser.count(Count::kDelivered) + gainer.count(Count::kDelivered) == clients);
  const auto owners = owners_in(*gainer.engine);
  CHECK(owners.size() == clients);
  CHECK(owners == owners_in(*loser.engine));
  CHECK(sizes_of(loser.engine->snapshot()).own == loser.count(Count::kDelivered));
}

TEST_CASE("the steps of handovers come from several threads while packets flow and threads end") {
  FLOWSIEVE_LIVE_TEST("the steps of handovers come from several threads");
  Side node(0, 2);
  std::atomic<bool> done{false};
  std::array<std::atomic<int>, 4> answered{};
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < answered.size(); ++caller) {
    callers.emplace_back([&, caller] {
      const std::vector<NodeIndex> others{1};
      Engine& engine = *node.engine;
      for (uint32_t epoch = 2; !done; ++epoch) {
        if (caller == 0) {
          engine.prepare(transition_to(0, 1, epoch));
          engine.hold();
          engine.release();
          engine.acquire(others);
          engine.replace_criteria(criteria_of(0, epoch % 2, epoch));
          engine.clear_contested();
        }
        if (caller == 1) pull(engine, engine, ListKind::kTables, 1);
        if (caller == 2) engine.set_open_until(epoch % 2 == 0 ? 0 : UINT64_MAX);
        if (caller == 3) engine.adopt(others);
        whole_list(engine, ListKind::kContested, 1);
        ++answered[caller];
      }
    });
  }
  int sent = 0, round = 0;
  const auto start_and_stop = [&] {
    REQUIRE(node.engine->start().ok());
    for (int i = 0; i < 50; ++i) node.sender.send(numbered_client(sent++ % 8000).syn().build());
    std::this_thread::sleep_for(std::chrono::milliseconds(round++ % 4));
    node.engine->stop();
  };
  while (round < 20) start_and_stop();
  // However slow the machine is, each of them gets its turn.
  CHECK(eventually([&] {
    start_and_stop();
    return std::ranges::all_of(answered, [](const auto& each) { return each > 0; });
  }));
  done = true;
  for (std::thread& caller : callers) caller.join();
  const TableSizes sizes = sizes_of(node.engine->snapshot());
  CHECK(sizes.own + sizes.others <= static_cast<uint32_t>(sent));
}

}  // namespace flowsieve::test
