// The engine on a real interface, inside a network namespace.
#include "engine/engine.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "engine/engine_node.h"
#include "engine/lists.h"
#include "wire/ring.h"

namespace flowsieve::test {

namespace {

/// Threads of this process that are an engine's.
int engine_threads() {
  int found = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream(task.path() / "comm") >> name;
    if (name.starts_with("flowsieve-")) ++found;
  }
  return found;
}

/// A thread that has been joined stands in /proc for a moment more: the kernel wakes whoever joins
/// before it takes the task down.
bool threads_end() {
  return eventually([] { return engine_threads() == 0; });
}

uint64_t opened(Engine& engine) {
  return sum_of(engine.snapshot())[Count::kOpened];
}

/// Clients and their ports, as connections() pages through them `limit` at a time.
std::multiset<std::pair<Address, uint16_t>> paged(Engine& engine, size_t limit) {
  std::multiset<std::pair<Address, uint16_t>> found;
  for (uint32_t worker = 0; worker < engine.workers(); ++worker) {
    uint64_t cursor = 0;
    do {
      const RecordBlock block = engine.connections(worker, cursor, limit);
      CHECK(block.records.size() <= limit);
      for (const Record& record : block.records) {
        found.emplace(record.key.source, record.key.source_port);
        CHECK(block.now - record.opened < 1200);  // tenths of a second, on the same clock
      }
      cursor = block.cursor;
    } while (cursor != 0);
  }
  return found;
}

}  // namespace

TEST_CASE("an engine says which interface is missing") {
  FLOWSIEVE_LIVE_TEST("an engine says which interface is missing");
  Namespace empty;
  EngineOptions options = engine_options();
  options.interface = "nowhere0";
  const auto opened = open_engine(empty, options);
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.error().code == ErrorCode::kMissing);
  CHECK(opened.error().message.find("nowhere0") != std::string::npos);
}

TEST_CASE("an engine refuses a device that is there already, and tables that cannot be") {
  FLOWSIEVE_LIVE_TEST("an engine refuses a device that is there already");
  Wire wire;
  const auto first = must_open(wire.here, engine_options());
  const auto second = open_engine(wire.here, engine_options());
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code == ErrorCode::kState);
  CHECK(second.error().message.find("flowsieve0") != std::string::npos);

  EngineOptions options = engine_options();
  options.worker.table.capacity = kCapacityMax + 1;
  const auto third = open_engine(wire.here, options);
  REQUIRE_FALSE(third.ok());
  CHECK(third.error().code == ErrorCode::kArgument);
}

TEST_CASE("SYNs of other hosts are decided and counted, and the sums agree over two workers") {
  FLOWSIEVE_LIVE_TEST("SYNs of other hosts are decided and counted");
  constexpr int kClients = 400;
  Wire wire;
  const auto engine = must_open(wire.here, engine_options(2));
  REQUIRE(engine->workers() == 2);
  REQUIRE(engine->start().ok());
  const RawSender sender(wire.there, "v1");
  for (int i = 0; i < kClients; ++i) sender.send(numbered_client(i).syn().build());
  CHECK(eventually([&] { return opened(*engine) == kClients; }));

  const auto snapshots = engine->snapshot();
  REQUIRE(snapshots.size() == 2);
  const Counters sum = sum_of(snapshots);
  CHECK(sum[Count::kClass1] == kClients);
  CHECK(sum[Count::kDelivered] == kClients);
  CHECK(sum[Count::kPackets] >= kClients);
  CHECK(sizes_of(snapshots).own == kClients);
  CHECK(sizes_of(snapshots).opening == kClients);
  CHECK(sizes_of(snapshots).others == 0);
  for (const WorkerSnapshot& each : snapshots) {
    // Both take part, and each counts what stands in its own table.
    CHECK(each.sizes.own > 0);
    CHECK(each.counters[Count::kOpened] == each.sizes.own);
    CHECK(each.memory_bytes > 0);
  }
  // A host's connections share a worker: four ports each.
  CHECK(snapshots[0].sizes.own % 4 == 0);
}

TEST_CASE("new criteria hold for what comes after, while packets flow; open connections stay") {
  FLOWSIEVE_LIVE_TEST("new criteria hold for what comes after");
  Wire wire;
  EngineOptions options = engine_options(2);
  options.worker.table.capacity = 16384;
  const auto engine = must_open(wire.here, options);
  REQUIRE(engine->start().ok());
  const RawSender sender(wire.there, "v1");
  std::atomic<bool> done{false};
  std::atomic<int> sent{0};
  std::thread traffic([&] {
    while (!done && sent < 12'000) {
      sender.send(numbered_client(sent).syn().build());
      ++sent;
      if (sent % 16 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  CHECK(eventually([&] { return opened(*engine) > 100; }));
  engine->replace_criteria(all_buckets_of(1, 2));
  const uint32_t own = sizes_of(engine->snapshot()).own;
  const uint32_t others = sizes_of(engine->snapshot()).others;
  CHECK(eventually([&] { return sizes_of(engine->snapshot()).others > others + 100; }));
  done = true;
  traffic.join();
  CHECK(eventually([&] { return opened(*engine) == static_cast<uint64_t>(sent); }));
  const auto after = engine->snapshot();
  CHECK(own >= 100);
  CHECK(sizes_of(after).own == own);
  CHECK(sizes_of(after).own + sizes_of(after).others == static_cast<uint32_t>(sent));
  // The first client's connection is still this node's, the last one's the other's.
  sender.send(numbered_client(0).ack().build());
  sender.send(numbered_client(sent - 1).ack().build());
  CHECK(eventually([&] {
    const Counters sum = sum_of(engine->snapshot());
    return sum[Count::kClass2] == 1 && sum[Count::kClass4] == 1;
  }));
}

TEST_CASE(
    "paging yields every connection exactly once, whatever the page's length, running or stopped") {
  FLOWSIEVE_LIVE_TEST("paging yields every connection exactly once");
  constexpr int kClients = 500;
  Wire wire;
  const auto engine = must_open(wire.here, engine_options(2));
  REQUIRE(engine->start().ok());
  const RawSender sender(wire.there, "v1");
  std::multiset<std::pair<Address, uint16_t>> expected;
  for (int i = 0; i < kClients; ++i) {
    const TcpClient client = numbered_client(i);
    sender.send(client.syn().build());
    expected.emplace(address_of(client.address), client.port);
  }
  CHECK(eventually([&] { return opened(*engine) == kClients; }));
  for (const size_t limit : {size_t{1}, size_t{7}, size_t{100}, kBlockMax * 2}) {
    CAPTURE(limit);
    CHECK(paged(*engine, limit) == expected);
  }
  engine->stop();
  CHECK(paged(*engine, 33) == expected);
  // A cursor that is none of the table's ends there.
  CHECK(engine->connections(0, UINT64_MAX, 10).records.empty());
  CHECK(engine->connections(0, UINT64_MAX, 10).cursor == 0);
}

TEST_CASE(
    "an announcement is a gratuitous ARP and an unsolicited advertisement with the cluster MAC") {
  FLOWSIEVE_LIVE_TEST("an announcement is a gratuitous ARP");
  Wire wire;
  const auto engine = must_open(wire.here, engine_options());
  REQUIRE(engine->start().ok());
  auto rings = wire.there.run([] {
    RingOptions options;
    options.interface = "v1";
    auto opened = RingSource::open(options, 1);
    return opened ? std::move(opened.value()) : std::vector<std::unique_ptr<RingSource>>{};
  });
  REQUIRE(rings.size() == 1);
  engine->announce();

  const Address cluster4 = address_of(kCluster4), cluster6 = address_of(kCluster6);
  const uint8_t* mac = kEngineMac.data();
  bool arp = false, advertised = false;
  CHECK(eventually([&] {
    std::array<Frame, kBurst> burst;
    const size_t count = rings[0]->receive(burst);
    for (size_t i = 0; i < count; ++i) {
      const uint8_t* frame = burst[i].bytes.data;
      const size_t size = burst[i].bytes.size;
      const uint16_t type = static_cast<uint16_t>(frame[12] << 8 | frame[13]);
      // RFC 826: sender hardware and protocol address at 8 and 14, target's protocol address at 24.
      // RFC 5227 3: a gratuitous ARP has the same address as sender and target.
      if (type == 0x0806 && size >= 42) {
        arp |= std::memcmp(frame + 14 + 8, mac, 6) == 0 &&
               std::memcmp(frame + 14 + 14, cluster4.data() + 12, 4) == 0 &&
               std::memcmp(frame + 14 + 24, cluster4.data() + 12, 4) == 0;
      }
      // RFC 4861 4.4: type 136, flags R S O, target, target link-layer address option (2, 1).
      if (type == 0x86dd && size >= 14 + 40 + 32 && frame[14 + 6] == 58 && frame[14 + 40] == 136) {
        const uint8_t* advertisement = frame + 14 + 40;
        advertised |= (advertisement[4] & 0x40) == 0 && (advertisement[4] & 0x20) != 0 &&
                      std::memcmp(advertisement + 8, cluster6.data(), 16) == 0 &&
                      advertisement[24] == 2 && advertisement[25] == 1 &&
                      std::memcmp(advertisement + 26, mac, 6) == 0;
      }
    }
    return arp && advertised;
  }));
  CHECK(arp);
  CHECK(advertised);
}

TEST_CASE("without link addresses to answer for, announcing does nothing") {
  FLOWSIEVE_LIVE_TEST("without link addresses to answer for");
  Wire wire;
  EngineOptions options = engine_options();
  options.link = LinkMode::kNone;
  const auto engine = must_open(wire.here, options);
  REQUIRE(engine->start().ok());
  engine->announce();
  CHECK(engine->snapshot().size() == 1);
}

TEST_CASE("an engine can be read before its start, stopped twice, read after, and started again") {
  FLOWSIEVE_LIVE_TEST("an engine can be stopped twice and started again");
  Wire wire;
  const auto engine = must_open(wire.here, engine_options(2));
  CHECK(engine->snapshot().size() == 2);
  CHECK(opened(*engine) == 0);
  engine->stop();  // not even started
  const RawSender sender(wire.there, "v1");
  REQUIRE(engine->start().ok());
  CHECK(engine_threads() == 2);
  const Status again = engine->start();
  REQUIRE_FALSE(again.ok());
  CHECK(again.error().code == ErrorCode::kState);
  sender.send(numbered_client(0).syn().build());
  CHECK(eventually([&] { return opened(*engine) == 1; }));

  engine->stop();
  engine->stop();
  CHECK(threads_end());
  CHECK(opened(*engine) == 1);
  engine->replace_criteria(all_buckets_of(2, 2));

  REQUIRE(engine->start().ok());
  sender.send(numbered_client(4).syn().build());
  CHECK(eventually([&] { return opened(*engine) == 2; }));
  CHECK(sizes_of(engine->snapshot()).others == 1);
}

TEST_CASE("destroying a running engine ends its threads and takes its device away") {
  FLOWSIEVE_LIVE_TEST("destroying a running engine ends its threads");
  Wire wire;
  auto engine = must_open(wire.here, engine_options(2));
  REQUIRE(engine->start().ok());
  CHECK(engine_threads() == 2);
  CHECK(wire.here.shell("ip link show flowsieve0 >/dev/null"));
  engine.reset();
  CHECK(threads_end());
  CHECK_FALSE(wire.here.shell("ip link show flowsieve0 >/dev/null 2>&1"));
}

TEST_CASE("calls from four threads are all answered while the engine is stopped and started") {
  FLOWSIEVE_LIVE_TEST("calls from four threads are all answered");
  Wire wire;
  const auto engine = must_open(wire.here, engine_options(2));
  const RawSender sender(wire.there, "v1");
  for (int i = 0; i < 64; ++i) sender.send(numbered_client(i).syn().build());
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::array<std::atomic<int>, 4> answered{};
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < answered.size(); ++caller) {
    callers.emplace_back([&, caller] {
      uint32_t epoch = 2;
      while (!done) {
        if (caller == 0) engine->replace_criteria(all_buckets_of(0, ++epoch));
        if (caller == 1) engine->announce();
        if (caller == 2) wrong += engine->connections(1, 0, 10).records.size() > 10;
        wrong += engine->snapshot().size() != 2;
        ++answered[caller];
      }
    });
  }
  int round = 0;
  const auto start_and_stop = [&] {
    REQUIRE(engine->start().ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(round++ % 4));
    // Two at once: both return when the threads have ended.
    std::thread other([&] { engine->stop(); });
    engine->stop();
    CHECK(threads_end());
    other.join();
  };
  while (round < 30) start_and_stop();
  // However slow the machine is, each of them gets its turn.
  CHECK(eventually([&] {
    start_and_stop();
    return std::ranges::all_of(answered, [](const auto& each) { return each > 0; });
  }));
  done = true;
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
  CHECK(sizes_of(engine->snapshot()).own == opened(*engine));
}

}  // namespace flowsieve::test
