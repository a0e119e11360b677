// Which worker a record goes to, and whose it is in this process. Where packets really go is the
// live test's matter.
#include "engine/routing.h"

#include <doctest/doctest.h>

#include <set>
#include <vector>

#include "support/packet_builder.h"
#include "support/test_node.h"
#include "wire/fanout.h"

namespace flowsieve::test {

namespace {

Key key_of(const std::string& source, const std::string& destination, uint8_t protocol) {
  Key key;
  key.source = address_of(source);
  key.destination = address_of(destination);
  key.protocol = protocol;
  key.family = source.find(':') == std::string::npos ? Family::kIpv4 : Family::kIpv6;
  return key;
}

uint32_t worker_of_frame(const PacketBuilder& builder, uint32_t workers) {
  const ByteVector frame = builder.build();
  return fanout_hash(Bytes{frame.data(), frame.size()}.from(14)) % workers;
}

}  // namespace

TEST_CASE("a record goes where its connection's packets go, in both directions and families") {
  for (const uint32_t workers : {1u, 2u, 3u, 7u, 16u}) {
    CAPTURE(workers);
    std::set<uint32_t> used;
    for (int host = 1; host <= 200; ++host) {
      CAPTURE(host);
      const std::string four = "198.51.100." + std::to_string(host);
      const std::string six = "2001:db8:1::" + std::to_string(host);
      const uint32_t to4 = worker_of(key_of(four, kCluster4, 6), workers);
      const uint32_t to6 = worker_of(key_of(six, kCluster6, 6), workers);
      CHECK(to4 ==
            worker_of_frame(PacketBuilder::ethernet().ipv4(four, kCluster4).tcp(1, 2), workers));
      CHECK(to6 ==
            worker_of_frame(PacketBuilder::ethernet().ipv6(six, kCluster6).tcp(1, 2), workers));
      CHECK(to4 == worker_of(reversed(key_of(four, kCluster4, 6)), workers));
      CHECK(to6 == worker_of(reversed(key_of(six, kCluster6, 6)), workers));
      used.insert({to4, to6});
    }
    CHECK(used.size() == workers);
  }
}

TEST_CASE("a record of ICMP echo, whose type no key has, goes by its addresses") {
  for (int host = 1; host <= 50; ++host) {
    const std::string client = "198.51.100." + std::to_string(host);
    const PacketBuilder echo =
        PacketBuilder::ethernet().ipv4(client, kCluster4).icmp(8, 0, 77u << 16 | 1);
    CHECK(worker_of(key_of(client, kCluster4, 1), 5) == worker_of_frame(echo, 5));
  }
}

TEST_CASE("owners are translated by the sender's index; whom it does not name nobody knows") {
  std::vector<Record> records(4);
  records[0].owner = 0;
  records[1].owner = 2;
  records[2].owner = 3;
  records[3].owner = UINT16_MAX;
  const std::vector<NodeIndex> owners{7, 5, 0};
  translate_owners(records, owners);
  CHECK(records[0].owner == 7);
  CHECK(records[1].owner == 0);
  CHECK(records[2].owner == kUnknownNode);
  CHECK(records[3].owner == kUnknownNode);
}

TEST_CASE("a record whose owner nobody knows is refused by the table") {
  Record record;
  record.key = key_of("198.51.100.7", kCluster4, 6);
  record.owner = 9;
  translate_owners({&record, 1}, {});
  ConnectionTable table(TableOptions{.capacity = 100}, 100);
  CHECK(table.import_block({&record, 1}, 100, 100).refused == 1);
  CHECK(table.sizes().others == 0);
}

}  // namespace flowsieve::test
