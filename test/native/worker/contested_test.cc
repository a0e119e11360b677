// The contested connections: which they are, how they are told, and when they are forgotten.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "support/test_node.h"

using namespace flowsieve;
using namespace flowsieve::test;

namespace {

TcpClient client(int n) {
  return {.address = "198.51.100." + std::to_string(1 + n / 10'000),
          .port = static_cast<uint16_t>(20'000 + n % 10'000)};
}

std::set<std::pair<uint8_t, uint16_t>> names(const List& list) {
  std::set<std::pair<uint8_t, uint16_t>> all;
  for (const Record& record : list) all.insert({record.key.source[15], record.key.source_port});
  return all;
}

bool has(const List& list, const TcpClient& tcp) {
  return std::any_of(list.begin(), list.end(),
                     [&](const Record& record) { return record.key == tcp.key(); });
}

}  // namespace

TEST_CASE("contested: what a loser opens from prepare() on, in moving buckets alone") {
  TestNode loser;
  std::vector<NodeIndex> half(kTestBuckets, 0);
  for (size_t i = 0; i < kTestBuckets; i += 2) half[i] = 1;
  loser.see(client(0).syn(), 1);
  loser.prepare(half);
  for (int n = 0; n < 30; ++n) loser.see(client(n).syn(), 1);
  loser.see(client(30).data(), 1);
  const List released = loser.list(ListKind::kReleased, 1);
  const Distribution distribution(test_distribution());
  for (int n = 0; n < 31; ++n) {
    CAPTURE(n);
    const Key key = client(n).key();
    const bool moves = distribution.bucket(header_fields(key)) % 2 == 0;
    CHECK(has(released, client(n)) == (moves && n > 0));
  }
  CHECK(loser.list(ListKind::kReleased, 2).empty());
  CHECK(loser.list(ListKind::kContested, 2).size() == released.size());
  for (const Record& record : released) CHECK((record.flags & (kContested | kImported)) == 0);
  loser.release();
  CHECK(loser.list(ListKind::kReleased, 1).size() == released.size());
}

TEST_CASE("contested: openings for which the table has no place are told too") {
  TestNode loser({.capacity = 100, .opening_share = 0.05});
  loser.prepare(all_of(1));
  for (int n = 0; n < 20; ++n) CHECK(loser.see(client(n).syn(), 1).decision.packet_class == 1);
  CHECK(loser.tracked() == 5);
  const List released = loser.list(ListKind::kReleased, 1);
  CHECK(names(released).size() == 20);
  for (const Record& record : released) CHECK(record.owner == 0);
  // As if they had been tracked, they are over after their time.
  loser.age(31.1);
  CHECK(loser.list(ListKind::kReleased, 1).empty());
}

TEST_CASE("contested: a connection that is over is not told as it began") {
  TestNode loser;
  loser.prepare(all_of(1));
  loser.see(client(1).syn(), 1);
  loser.see(client(1).rst(), 1.1);
  loser.age(21);
  CHECK(loser.list(ListKind::kReleased, 1).size() == 1);
  loser.age(21.2);  // its time as CLOSING is over, that of an OPENING one is not
  CHECK(loser.record(client(1).key()) == nullptr);
  CHECK(loser.list(ListKind::kReleased, 1).empty());
}

TEST_CASE("contested: what has closed is told no more once its addresses and ports come again") {
  TestNode loser;
  loser.worker().set_open_until(nanoseconds(3));
  loser.prepare(all_of(1));
  loser.see(client(1).syn(), 1);
  loser.see(client(1).rst(), 2);
  // Refused: that is nobody's yet, and the one before is over.
  CHECK(loser.see(client(1).syn(), 4).decision.lease_over);
  CHECK(loser.record(client(1).key()) == nullptr);
  CHECK(loser.list(ListKind::kReleased, 1).empty());
  CHECK(loser.list(ListKind::kContested, 1).empty());
}

TEST_CASE("contested: what gives its place in a full table is told all the same") {
  constexpr int kCapacity = 16;
  TestNode loser({.capacity = kCapacity, .opening_share = 1});
  loser.prepare(all_of(1));
  for (int n = 0; n < kCapacity; ++n) loser.see(client(n).syn(), 1);
  loser.see(client(kCapacity).data(), 2);
  CHECK(loser.count(Count::kEvicted) == 1);
  CHECK(names(loser.list(ListKind::kReleased, 1)).size() == kCapacity + 1);
}

TEST_CASE("contested: what waited while a list told of it can be told on: it began when it came") {
  // By the list the connection is a little younger than by the packet that waited.
  TestNode gainer({}, 1);
  gainer.prepare(all_of(1));
  gainer.hold();
  gainer.see(client(1).syn(), 1);
  gainer.age(1.15);
  Record noted;
  noted.key = client(1).key();
  noted.owner = 2;
  noted.last_seen = noted.opened = gainer.worker().now();
  gainer.merge({noted}, gainer);
  CHECK(gainer.acquire({0, 2}).opened == 1);
  const List told = gainer.list(ListKind::kContested, 2);
  REQUIRE(told.size() == 1);
  CHECK(is_well_formed(told[0], gainer.worker().now(), kTestNodes));
  CHECK(told[0].opened == to_tick(nanoseconds(1)));
}

TEST_CASE("contested: a list tells how the connection stands now") {
  TestNode loser;
  loser.prepare(all_of(1));
  loser.see(client(1).syn(), 1);
  loser.see(client(2).syn(), 1);
  loser.see(client(1).ack(), 2);
  loser.see(client(2).rst(), 2);
  const List released = loser.list(ListKind::kReleased, 1);
  REQUIRE(released.size() == 2);
  CHECK(released[0].status == kEstablished);
  CHECK(released[1].status == kClosing);
  CHECK(released[0].last_seen == 20);
  // Reopened after the release, it is the gainer's.
  loser.release();
  loser.see(client(2).syn(), 3);
  CHECK(loser.owner(client(2).key()) == 1);
  CHECK(loser.list(ListKind::kContested, 2).size() == 1);
}

TEST_CASE("contested: more than the list has room for are found in the table") {
  constexpr int kOpenings = 66'000;
  TestNode loser({.capacity = 70'000, .opening_share = 1});
  loser.prepare(all_of(1));
  FrameStore store;
  for (int n = 0; n < kOpenings; ++n) {
    const ByteVector frame = client(n).syn().build();
    store.add({frame.data(), frame.size()});
  }
  MemorySource source(store);
  while (!source.exhausted()) loser.worker().turn(source, nanoseconds(1));
  CHECK(loser.worker().contested() == kOpenings);
  CHECK(loser.count(Count::kContested) == kOpenings);
  CHECK(loser.count(Count::kContestedUnlisted) == kOpenings - 65'536);
  CHECK(names(loser.list(ListKind::kReleased, 1, 1000)).size() == kOpenings);
  CHECK(names(loser.list(ListKind::kContested, 1, 1000)).size() == kOpenings);
  loser.commit();
  loser.worker().clear_contested();
  CHECK(loser.worker().contested() == 0);
  CHECK(loser.list(ListKind::kContested, 1, 1000).empty());
  loser.prepare(all_of(2));
  loser.commit();
  CHECK(loser.list(ListKind::kContested, 1, 1000).empty());
}

TEST_CASE("contested: cleared, they are as any other connection") {
  TestNode loser;
  loser.prepare(all_of(1));
  loser.see(client(1).syn(), 1);
  CHECK((loser.record(client(1).key())->flags & kContested) != 0);
  loser.commit();
  CHECK(loser.list(ListKind::kContested, 1).size() == 1);
  loser.worker().clear_contested();
  CHECK(loser.record(client(1).key())->flags == 0);
  CHECK(loser.list(ListKind::kContested, 1).empty());
}

TEST_CASE("lists: moving ones go by the key's bucket, whoever owns the connection") {
  TestNode loser;
  // Node 2's connection in a bucket of the loser, entered under another distribution.
  loser.import(client(1).key(), 2, kEstablished, 0);
  loser.see(client(2).syn(), 1);
  std::vector<NodeIndex> owners(kTestBuckets, 0);
  const Distribution distribution(test_distribution());
  const Key one = client(1).key(), two = client(2).key();
  owners[distribution.bucket(header_fields(one))] = 1;
  REQUIRE(distribution.bucket(header_fields(one)) != distribution.bucket(header_fields(two)));
  loser.prepare(owners);
  const List moving = loser.list(ListKind::kMoving, 1);
  REQUIRE(moving.size() == 1);
  CHECK(moving[0].key == one);
  CHECK(moving[0].owner == 2);
  CHECK(loser.list(ListKind::kMoving, 2).empty());
  CHECK(loser.list(ListKind::kTables, 1).size() == 2);
  CHECK(loser.list(ListKind::kOwn, 1).size() == 1);
}
