// Sockets as a kernel told of them: expected is what test/fixtures/netlink_record.py opened.
#include "netlink/inet_diag.h"

#include <doctest/doctest.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cstring>

#include "netlink/recorded.h"
#include "netlink/recorded_bytes.h"
#include "support/packet_builder.h"

namespace flowsieve::test {
namespace {

constexpr uint8_t kTcp = 6, kUdp = 17, kSctp = 132;

struct Answer {
  std::vector<OpenSocket> sockets;
  size_t malformed = 0;
  int error = -1;  ///< of its end

  /// The socket between these ends, which the test demands to be there once.
  OpenSocket at(const char* remote, uint16_t remote_port, const char* local,
                uint16_t local_port) const {
    std::vector<OpenSocket> found;
    for (const OpenSocket& socket : sockets) {
      const Key& key = socket.key;
      if (key.source == address_of(remote) && key.destination == address_of(local) &&
          key.source_port == remote_port && key.destination_port == local_port) {
        found.push_back(socket);
      }
    }
    CAPTURE(remote_port);
    CAPTURE(local_port);
    REQUIRE(found.size() == 1);
    return found[0];
  }
};

Answer read(const std::vector<std::string>& datagrams, uint8_t protocol) {
  Answer answer;
  const bool whole = each_message(datagrams, [&](const NetlinkMessage& message) {
    if (message.type == NLMSG_DONE || message.type == NLMSG_ERROR) {
      answer.error = netlink_errno(message);
      return;
    }
    OpenSocket socket;
    const ReadSocket read = read_socket(message, protocol, socket);
    if (read == ReadSocket::kSocket) answer.sockets.push_back(socket);
    answer.malformed += read == ReadSocket::kMalformed;
  });
  CHECK(whole);
  return answer;
}

}  // namespace

TEST_CASE("TCP sockets over IPv4: both ends, half open, and lingering") {
  const Answer answer = read(recorded::kTcp4, kTcp);
  CHECK(answer.error == 0);
  CHECK(answer.malformed == 0);
  const OpenSocket server = answer.at("10.0.0.9", 40000, "192.0.2.100", 80);
  CHECK(server.state == SocketState::kEstablished);
  CHECK(server.key.family == Family::kIpv4);
  CHECK(server.key.protocol == kTcp);
  CHECK_FALSE(server.any_remote);
  CHECK_FALSE(server.any_local_address);
  CHECK(answer.at("192.0.2.100", 80, "10.0.0.9", 40000).state == SocketState::kEstablished);
  CHECK(answer.at("10.0.0.9", 40001, "192.0.2.100", 80).state == SocketState::kSynReceived);
  CHECK(answer.at("192.0.2.100", 80, "10.0.0.9", 40001).state == SocketState::kSynSent);
  CHECK(answer.at("10.0.0.9", 40002, "192.0.2.100", 80).state == SocketState::kTimeWait);
  // Behind the translation, the server's socket has the address that it was rewritten to.
  CHECK(answer.at("10.0.0.9", 40005, "10.1.1.1", 80).state == SocketState::kEstablished);
  for (const OpenSocket& socket : answer.sockets) CHECK(socket.state != SocketState::kListen);
}

TEST_CASE("an IPv6 socket that speaks IPv4 has an IPv4 key") {
  const Answer answer = read(recorded::kTcp6, kTcp);
  CHECK(answer.error == 0);
  const OpenSocket mapped = answer.at("10.0.0.9", 40003, "192.0.2.100", 81);
  CHECK(mapped.key.family == Family::kIpv4);
  const OpenSocket plain = answer.at("2001:db8::9", 40004, "2001:db8::100", 81);
  CHECK(plain.key.family == Family::kIpv6);
  CHECK(plain.state == SocketState::kEstablished);
}

TEST_CASE("UDP sockets: connected or not, bound to an address or to all") {
  const Answer four = read(recorded::kUdp4, kUdp);
  const OpenSocket bound = four.at("0.0.0.0", 0, "192.0.2.100", 53);
  CHECK(bound.any_remote);
  CHECK_FALSE(bound.any_local_address);
  CHECK(bound.state == SocketState::kClose);
  const OpenSocket all = four.at("0.0.0.0", 0, "0.0.0.0", 5353);
  CHECK(all.any_remote);
  CHECK(all.any_local_address);
  CHECK_FALSE(all.both_families);
  const OpenSocket connected = four.at("10.0.0.9", 40007, "192.0.2.100", 54);
  CHECK_FALSE(connected.any_remote);
  CHECK(connected.state == SocketState::kEstablished);

  const Answer six = read(recorded::kUdp6, kUdp);
  CHECK(six.at("::", 0, "::", 5060).both_families);
  CHECK_FALSE(six.at("::", 0, "::", 5061).both_families);
  CHECK(six.at("2001:db8::100", 53, "2001:db8::9", 40008).key.family == Family::kIpv6);
}

TEST_CASE("a kernel that cannot list a protocol says so at the dump's end") {
  const Answer answer = read(recorded::kUnknownProtocol, 200);
  CHECK(answer.sockets.empty());
  CHECK(answer.error == ENOENT);
}

TEST_CASE("what is cut short, or of another family or state, is no socket") {
  std::vector<uint8_t> bytes = from_hex(recorded::kTcp4[0]);
  MessageWalk walk({bytes.data(), bytes.size()});
  NetlinkMessage message;
  REQUIRE(walk.next(message));
  OpenSocket socket;
  CHECK(read_socket(message, kTcp, socket) == ReadSocket::kSocket);

  NetlinkMessage cut = message;
  for (size_t size = 0; size < 72; ++size) {
    cut.payload = message.payload.first(size);
    CHECK(read_socket(cut, kTcp, socket) == ReadSocket::kMalformed);
  }
  cut.payload = message.payload.first(72);
  CHECK(read_socket(cut, kTcp, socket) == ReadSocket::kSocket);
  cut.payload = message.payload.first(73);
  CHECK(read_socket(cut, kTcp, socket) == ReadSocket::kMalformed);

  std::vector<uint8_t> copy(message.payload.data, message.payload.data + message.payload.size);
  NetlinkMessage changed = message;
  changed.payload = {copy.data(), copy.size()};
  copy[0] = 1;  // AF_UNIX
  CHECK(read_socket(changed, kTcp, socket) == ReadSocket::kOther);
  copy[0] = 2;
  for (const uint8_t state : {0, 10, 13, 255}) {
    copy[1] = state;
    CHECK(read_socket(changed, kTcp, socket) == ReadSocket::kOther);
  }
  changed.type = 21;
  CHECK(read_socket(changed, kTcp, socket) == ReadSocket::kOther);
}

TEST_CASE("an SCTP association is open in every state; what has no remote end is an endpoint") {
  std::vector<uint8_t> told(72, 0);
  told[0] = 2;                                // AF_INET
  const uint8_t remote[] = {10, 0, 0, 9};     // at idiag_dst
  const uint8_t ports[] = {0, 99, 0x9c, 64};  // 99 here, 40000 there
  std::memcpy(told.data() + 4, ports, 4);
  std::memcpy(told.data() + 24, remote, 4);
  NetlinkMessage message{.type = 20, .payload = {told.data(), told.size()}};
  OpenSocket socket;
  for (uint8_t state = 0; state < 8; ++state) {
    told[1] = state;
    CHECK(read_socket(message, kSctp, socket) == ReadSocket::kSocket);
    CHECK(socket.state == SocketState::kEstablished);
    CHECK(socket.key.source_port == 40000);
    CHECK(socket.key.destination_port == 99);
  }
  std::memset(told.data() + 6, 0, 2);
  std::memset(told.data() + 24, 0, 4);
  CHECK(read_socket(message, kSctp, socket) == ReadSocket::kOther);
}

TEST_CASE("a request for sockets is what the kernel's header says") {
  const std::vector<uint8_t> request = sockets_request(kTcp, Family::kIpv6, 7);
  MessageWalk walk({request.data(), request.size()});
  NetlinkMessage message;
  REQUIRE(walk.next(message));
  CHECK(message.type == 20);  // SOCK_DIAG_BY_FAMILY
  CHECK(message.flags == (NLM_F_REQUEST | NLM_F_DUMP));
  CHECK(message.sequence == 7);
  REQUIRE(message.payload.size == 56);   // struct inet_diag_req_v2
  CHECK(message.payload.data[0] == 10);  // AF_INET6
  CHECK(message.payload.data[1] == kTcp);
  const uint32_t states = load_le32(message.payload.data + 4);
  CHECK(states == 0x1bfe);  // 1 … 12 without listening (10)
  CHECK_FALSE(walk.next(message));
}

}  // namespace flowsieve::test
