// Tracked connections as a kernel told of them: expected is what
// test/fixtures/netlink_record.py did.
#include "netlink/conntrack.h"

#include <doctest/doctest.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netlink.h>

#include "netlink/recorded.h"
#include "netlink/recorded_bytes.h"
#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

struct Tracked {
  std::vector<TrackedConnection> connections;
  size_t malformed = 0;
  int error = -1;

  /// Those that a client began from `port`, in order.
  std::vector<TrackedConnection> from(uint16_t port) const {
    std::vector<TrackedConnection> found;
    for (const TrackedConnection& connection : connections) {
      if (connection.original.source_port == port) found.push_back(connection);
    }
    return found;
  }
};

Tracked read(const std::vector<std::string>& datagrams) {
  Tracked tracked;
  const bool whole = each_message(datagrams, [&](const NetlinkMessage& message) {
    if (message.type == NLMSG_DONE || message.type == NLMSG_ERROR) {
      tracked.error = netlink_errno(message);
      return;
    }
    TrackedConnection connection;
    const ReadTracked read = read_tracked(message, connection);
    if (read == ReadTracked::kConnection) tracked.connections.push_back(connection);
    tracked.malformed += read == ReadTracked::kMalformed;
  });
  CHECK(whole);
  return tracked;
}

}  // namespace

TEST_CASE("a tracked connection is told with both its tuples") {
  const Tracked tracked = read(recorded::kTracked4);
  CHECK(tracked.error == 0);
  CHECK(tracked.malformed == 0);

  const auto plain = tracked.from(40000);
  REQUIRE(plain.size() == 1);
  CHECK(plain[0].original == key_of(6, "10.0.0.9", 40000, "192.0.2.100", 80));
  CHECK(plain[0].reply == key_of(6, "192.0.2.100", 80, "10.0.0.9", 40000));
  CHECK_FALSE(plain[0].is_translated());
  CHECK(plain[0].state == TCP_CONNTRACK_ESTABLISHED);
  CHECK((plain[0].status & IPS_ASSURED) != 0);
  CHECK(plain[0].id != 0);
  CHECK(plain[0].timeout_s > 431'000);
  CHECK(plain[0].event == TrackedEvent::kNew);
  CHECK_FALSE(is_ending(plain[0]));

  const auto half_open = tracked.from(40001);
  REQUIRE(half_open.size() == 1);
  CHECK(half_open[0].state == TCP_CONNTRACK_SYN_RECV);
  const auto closed = tracked.from(40002);
  REQUIRE(closed.size() == 1);
  CHECK(closed[0].state == TCP_CONNTRACK_TIME_WAIT);
  CHECK(is_ending(closed[0]));
}

TEST_CASE("a rewritten connection shows what it was rewritten to") {
  const Tracked four = read(recorded::kTracked4);
  const auto rewritten = four.from(40005);
  REQUIRE(rewritten.size() == 1);
  CHECK(rewritten[0].original == key_of(6, "10.0.0.9", 40005, "192.0.2.100", 8080));
  CHECK(rewritten[0].translated() == key_of(6, "10.0.0.9", 40005, "10.1.1.1", 80));
  CHECK(rewritten[0].is_translated());
  CHECK((rewritten[0].status & IPS_DST_NAT) != 0);

  const auto redirected = four.from(40006);
  REQUIRE(redirected.size() == 1);
  CHECK(redirected[0].translated().destination_port == 80);
  CHECK(redirected[0].translated().source_port == 40006);

  const Tracked six = read(recorded::kTracked6);
  const auto datagram = six.from(40008);
  REQUIRE(datagram.size() == 1);
  CHECK(datagram[0].original == key_of(17, "2001:db8::9", 40008, "2001:db8::100", 53));
  CHECK(datagram[0].translated() == key_of(17, "2001:db8::9", 40008, "2001:db8::1", 5353));
}

TEST_CASE("a listener is told of a beginning, changes and the end") {
  const Tracked tracked = read(recorded::kEvents);
  CHECK(tracked.malformed == 0);
  const auto told = tracked.from(40010);
  REQUIRE(told.size() >= 3);
  CHECK(told.front().event == TrackedEvent::kNew);
  CHECK(told.front().state == TCP_CONNTRACK_SYN_SENT);
  CHECK(told[1].event == TrackedEvent::kUpdate);
  CHECK(told.back().event == TrackedEvent::kDestroy);
  CHECK(is_ending(told.back()));
  for (const TrackedConnection& connection : told) {
    CHECK(connection.original == key_of(6, "10.0.0.9", 40010, "192.0.2.100", 90));
    CHECK(connection.id == told.front().id);
  }
}

TEST_CASE("a message cut anywhere is malformed or says less, and is never read past its end") {
  const std::vector<uint8_t> bytes = from_hex(recorded::kTracked4[0]);
  MessageWalk walk({bytes.data(), bytes.size()});
  NetlinkMessage message;
  REQUIRE(walk.next(message));
  TrackedConnection whole;
  REQUIRE(read_tracked(message, whole) == ReadTracked::kConnection);
  size_t read = 0;
  for (size_t size = 0; size < message.payload.size; ++size) {
    // A copy of exactly this size, so that the address sanitizer sees a read past it.
    const std::vector<uint8_t> exact(message.payload.data, message.payload.data + size);
    NetlinkMessage cut = message;
    cut.payload = {exact.data(), exact.size()};
    TrackedConnection connection;
    if (read_tracked(cut, connection) != ReadTracked::kConnection) continue;
    ++read;
    CHECK(connection.original == whole.original);
    CHECK(connection.reply == whole.reply);
  }
  CHECK(read > 0);  // at the borders of the attributes behind the tuples
}

TEST_CASE("other subsystems, kinds and families are none") {
  const std::vector<uint8_t> bytes = from_hex(recorded::kTracked4[0]);
  MessageWalk walk({bytes.data(), bytes.size()});
  NetlinkMessage message;
  REQUIRE(walk.next(message));
  TrackedConnection connection;
  for (const uint16_t type : {0x0200, 0x0103, 0x0003, 0x0101}) {
    message.type = type;
    CHECK(read_tracked(message, connection) == ReadTracked::kOther);
  }
  message.type = 0x0100;
  std::vector<uint8_t> copy(message.payload.data, message.payload.data + message.payload.size);
  copy[0] = 7;
  message.payload = {copy.data(), copy.size()};
  CHECK(read_tracked(message, connection) == ReadTracked::kOther);
  copy[0] = 10;  // IPv6, with IPv4 addresses in it
  CHECK(read_tracked(message, connection) == ReadTracked::kMalformed);
}

TEST_CASE("a request for tracked connections asks for one family and certain bits") {
  const std::vector<uint8_t> request = tracked_request(Family::kIpv6, IPS_DST_NAT, 3);
  MessageWalk walk({request.data(), request.size()});
  NetlinkMessage message;
  REQUIRE(walk.next(message));
  CHECK(message.type == 0x0101);
  CHECK(message.flags == (NLM_F_REQUEST | NLM_F_DUMP));
  CHECK(message.sequence == 3);
  CHECK(message.payload.data[0] == 10);
  AttributeWalk attributes(message.payload.from(4));
  NetlinkAttribute status, mask;
  REQUIRE(attributes.next(status));
  REQUIRE(attributes.next(mask));
  CHECK(status.type == 3);
  CHECK(mask.type == 26);
  CHECK(load_be32(status.value.data) == IPS_DST_NAT);
  CHECK(load_be32(mask.value.data) == IPS_DST_NAT);
}

}  // namespace flowsieve::test
