// Answers to address resolution, byte by byte from RFC 826, RFC 5227 and RFC 4861.
#include "wire/responder.h"

#include <doctest/doctest.h>

#include "support/packet_builder.h"

namespace flowsieve::test {

namespace {

constexpr Mac kOwn{0x02, 0, 0, 0, 0, 0x01};
constexpr Mac kAsker{0x02, 0, 0, 0, 0, 0x02};
constexpr Mac kCluster{0x01, 0, 0x5e, 0, 0, 0x64};

Resolution resolution() {
  return {kOwn, kCluster, {address_of("192.0.2.100"), address_of("2001:db8::100")}};
}

ByteVector operator+(ByteVector left, const ByteVector& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

ByteVector bytes_of(const Mac& mac) {
  return {mac.begin(), mac.end()};
}

ByteVector ethernet(const Mac& to, const Mac& from, const ByteVector& type) {
  return bytes_of(to) + bytes_of(from) + type;
}

ByteVector arp(uint8_t operation, const Mac& sender_mac, const ByteVector& sender,
               const Mac& target_mac, const ByteVector& target) {
  return ByteVector{0, 1, 8, 0, 6, 4, 0, operation} + bytes_of(sender_mac) + sender +
         bytes_of(target_mac) + target;
}

const ByteVector kArpType{0x08, 0x06};
const ByteVector kClusterIp{192, 0, 2, 100}, kAskerIp{192, 0, 2, 2}, kNoIp{0, 0, 0, 0};

/// A neighbour message whose checksum is right: `flags`, target, options.
PacketBuilder neighbour(uint8_t type, const char* source, const char* destination,
                        const char* target, const ByteVector& options, uint32_t flags = 0) {
  const Address address = address_of(target);
  return PacketBuilder::ethernet()
      .ipv6(source, destination)
      .patch(7, {255})
      .icmp(type, 0, flags)
      .payload(ByteVector(address.begin(), address.end()) + options);
}

const ByteVector kSourceOption = ByteVector{1, 1} + bytes_of(kAsker);

ByteVector solicitation() {
  return neighbour(135, "2001:db8::2", "ff02::1:ff00:100", "2001:db8::100", kSourceOption).build();
}

struct Reply {
  Asked asked;
  ByteVector bytes;
};

Reply ask(const ByteVector& question, const Frame& about = {}) {
  Frame frame = about;
  frame.bytes = {question.data(), question.size()};
  ResolutionFrame out;
  size_t bytes = 0;
  const Asked asked = answer_resolution(resolution(), frame, out, bytes);
  return {asked, {out.begin(), out.begin() + static_cast<ptrdiff_t>(bytes)}};
}

/// What an advertisement for 2001:db8::100 must be; the checksum comes from the packet builder.
ByteVector advertisement(const Mac& to, const char* destination, uint32_t flags) {
  ByteVector frame = neighbour(136, "2001:db8::100", destination, "2001:db8::100",
                               ByteVector{2, 1} + bytes_of(kCluster), flags << 24)
                         .build();
  std::copy(to.begin(), to.end(), frame.begin());
  std::copy(kOwn.begin(), kOwn.end(), frame.begin() + 6);
  return frame;
}

}  // namespace

TEST_CASE(
    "an ARP request for a cluster address is answered with the cluster MAC, from the node's own") {
  const ByteVector question = ethernet(kBroadcastMac, kAsker, kArpType) +
                              arp(1, kAsker, kAskerIp, Mac{}, kClusterIp) + ByteVector(18, 0);
  const Reply reply = ask(question);
  CHECK(reply.asked == Asked::kAnswered);
  CHECK(reply.bytes ==
        ethernet(kAsker, kOwn, kArpType) + arp(2, kCluster, kClusterIp, kAsker, kAskerIp));
}

TEST_CASE("an ARP probe is answered too, so that nobody takes a cluster address") {
  const Reply reply =
      ask(ethernet(kBroadcastMac, kAsker, kArpType) + arp(1, kAsker, kNoIp, Mac{}, kClusterIp));
  CHECK(reply.bytes ==
        ethernet(kAsker, kOwn, kArpType) + arp(2, kCluster, kClusterIp, kAsker, kNoIp));
}

TEST_CASE("ARP that is no question for a cluster address stays unanswered") {
  const ByteVector to = ethernet(kBroadcastMac, kAsker, kArpType);
  CHECK(ask(to + arp(1, kAsker, kAskerIp, Mac{}, {192, 0, 2, 101})).asked == Asked::kNothing);
  CHECK(ask(to + arp(2, kAsker, kAskerIp, kOwn, kClusterIp)).asked == Asked::kNothing);
  // The announcement of another node of the cluster.
  CHECK(ask(to + arp(1, kCluster, kClusterIp, Mac{}, kClusterIp)).asked != Asked::kAnswered);
  Frame own;
  own.outgoing = true;
  CHECK(ask(to + arp(1, kAsker, kAskerIp, Mac{}, kClusterIp), own).asked == Asked::kNothing);
}

TEST_CASE("malformed ARP is ignored and told apart") {
  const ByteVector good =
      ethernet(kBroadcastMac, kAsker, kArpType) + arp(1, kAsker, kAskerIp, Mac{}, kClusterIp);
  REQUIRE(ask(good).asked == Asked::kAnswered);
  for (const size_t at : {14u, 15u, 16u, 17u, 18u, 19u}) {  // hardware, protocol, lengths
    CAPTURE(at);
    ByteVector bad = good;
    bad[at] ^= 0xff;
    CHECK(ask(bad).asked == Asked::kMalformed);
  }
  ByteVector group = good;
  group[22] |= 1;  // a sender that is a group
  CHECK(ask(group).asked == Asked::kMalformed);
  for (size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK(ask({good.begin(), good.begin() + static_cast<ptrdiff_t>(size)}).asked !=
          Asked::kAnswered);
  }
}

TEST_CASE("a neighbour solicitation is answered with a solicited, overriding advertisement") {
  const Reply reply = ask(solicitation());
  CHECK(reply.asked == Asked::kAnswered);
  CHECK(reply.bytes == advertisement(kAsker, "2001:db8::2", 0x60));
}

TEST_CASE("a solicitation without a link-layer option is answered to where it came from") {
  ByteVector question = neighbour(135, "2001:db8::2", "2001:db8::100", "2001:db8::100", {}).build();
  std::copy(kAsker.begin(), kAsker.end(), question.begin() + 6);
  CHECK(ask(question).bytes == advertisement(kAsker, "2001:db8::2", 0x60));
}

TEST_CASE("duplicate address detection is answered to all nodes, unsolicited") {
  const ByteVector nonce{14, 1, 1, 2, 3, 4, 5, 6};  // RFC 7527
  const Reply reply = ask(neighbour(135, "::", "ff02::1:ff00:100", "2001:db8::100", nonce).build());
  CHECK(reply.bytes == advertisement(kAllNodesMac, "ff02::1", 0x20));
}

TEST_CASE("solicitations that break RFC 4861 7.1.1 are ignored and told apart") {
  const ByteVector good = solicitation();
  const auto patched = [&good](size_t at, uint8_t value) {
    ByteVector bad = good;
    bad[at] = value;
    return ask(bad).asked;
  };
  CHECK(patched(14 + 7, 254) == Asked::kMalformed);                           // hop limit
  CHECK(patched(14 + 40 + 2, uint8_t(~good[14 + 42])) == Asked::kMalformed);  // checksum
  CHECK(patched(14 + 5, 23) == Asked::kMalformed);  // shorter than a solicitation
  const auto built = [](const char* source, const char* destination, const ByteVector& options) {
    return ask(neighbour(135, source, destination, "2001:db8::100", options).build()).asked;
  };
  const char* group = "ff02::1:ff00:100";
  CHECK(built("2001:db8::2", group, {1, 0, 0, 0, 0, 0, 0, 0}) == Asked::kMalformed);  // length 0
  CHECK(built("2001:db8::2", group, {1, 2, 0, 0, 0, 0, 0, 0}) ==
        Asked::kMalformed);                                            // beyond the end
  CHECK(built("::", group, kSourceOption) == Asked::kMalformed);       // an option from nobody
  CHECK(built("::", "2001:db8::100", {}) == Asked::kMalformed);        // not to the group
  CHECK(built("ff02::2", group, kSourceOption) == Asked::kMalformed);  // from a group
  CHECK(ask(neighbour(135, "2001:db8::2", group, "ff02::1", kSourceOption).build()).asked ==
        Asked::kMalformed);
  CHECK(ask(neighbour(135, "2001:db8::2", group, "2001:db8::101", kSourceOption).build()).asked ==
        Asked::kNothing);
  CHECK(ask(neighbour(136, "2001:db8::2", group, "2001:db8::100", {}).build()).asked ==
        Asked::kNothing);
  for (size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK(ask({good.begin(), good.begin() + static_cast<ptrdiff_t>(size)}).asked !=
          Asked::kAnswered);
  }
}

TEST_CASE("a checksum that was left to the asker's hardware is not missed") {
  ByteVector question = solicitation();
  question[14 + 42] ^= 0xff;
  Frame offloaded;
  offloaded.offload.flags = 1;
  CHECK(ask(question, offloaded).asked == Asked::kAnswered);
}

TEST_CASE("the answer carries the question's VLAN tags, whoever took them out") {
  const ByteVector plain =
      ethernet(kBroadcastMac, kAsker, kArpType) + arp(1, kAsker, kAskerIp, Mac{}, kClusterIp);
  const ByteVector answer = arp(2, kCluster, kClusterIp, kAsker, kAskerIp);
  Frame stripped;
  stripped.vlan_tpid = 0x8100;
  stripped.vlan_tci = 42;
  CHECK(ask(plain, stripped).bytes ==
        ethernet(kAsker, kOwn, {0x81, 0x00, 0, 42, 0x08, 0x06}) + answer);
  const ByteVector tagged = ethernet(kBroadcastMac, kAsker, {0x81, 0x00, 0, 7, 0x08, 0x06}) +
                            arp(1, kAsker, kAskerIp, Mac{}, kClusterIp);
  CHECK(ask(tagged).bytes == ethernet(kAsker, kOwn, {0x81, 0x00, 0, 7, 0x08, 0x06}) + answer);
  CHECK(ask(tagged, stripped).bytes ==
        ethernet(kAsker, kOwn, {0x81, 0x00, 0, 42, 0x81, 0x00, 0, 7, 0x08, 0x06}) + answer);
}

TEST_CASE("a gateway's advertisements say that it is a router (RFC 4861 4.4), ARP cannot") {
  Resolution gateway = resolution();
  gateway.router = true;
  const auto answered = [&](const ByteVector& bytes) {
    Frame frame;
    frame.bytes = {bytes.data(), bytes.size()};
    ResolutionFrame out;
    size_t size = 0;
    CHECK(answer_resolution(gateway, frame, out, size) == Asked::kAnswered);
    return ByteVector{out.begin(), out.begin() + static_cast<ptrdiff_t>(size)};
  };
  CHECK(answered(solicitation()) == advertisement(kAsker, "2001:db8::2", 0xe0));
  const ByteVector probe = neighbour(135, "::", "ff02::1:ff00:100", "2001:db8::100", {}).build();
  CHECK(answered(probe) == advertisement(kAllNodesMac, "ff02::1", 0xa0));
  const ByteVector arp_request =
      ethernet(kBroadcastMac, kAsker, kArpType) + arp(1, kAsker, kAskerIp, Mac{}, kClusterIp);
  CHECK(answered(arp_request) ==
        ethernet(kAsker, kOwn, kArpType) + arp(2, kCluster, kClusterIp, kAsker, kAskerIp));
  ResolutionFrame out;
  const size_t size = write_announcement(gateway, gateway.addresses[1], out);
  CHECK(ByteVector{out.begin(), out.begin() + static_cast<ptrdiff_t>(size)} ==
        advertisement(kAllNodesMac, "ff02::1", 0xa0));
}

TEST_CASE("announcements and probes are what the RFCs say") {
  ResolutionFrame out;
  const auto written = [&out](size_t bytes) {
    return ByteVector{out.begin(), out.begin() + static_cast<ptrdiff_t>(bytes)};
  };
  const Resolution who = resolution();
  CHECK(written(write_announcement(who, who.addresses[0], out)) ==
        ethernet(kBroadcastMac, kOwn, kArpType) + arp(1, kCluster, kClusterIp, Mac{}, kClusterIp));
  CHECK(written(write_announcement(who, who.addresses[1], out)) ==
        advertisement(kAllNodesMac, "ff02::1", 0x20));
  CHECK(written(write_probe(who, who.addresses[0], out)) ==
        ethernet(kBroadcastMac, kOwn, kArpType) + arp(1, kOwn, kNoIp, Mac{}, kClusterIp));
  ByteVector probe = neighbour(135, "::", "ff02::1:ff00:100", "2001:db8::100", {}).build();
  const Mac group{0x33, 0x33, 0xff, 0, 0x01, 0x00};
  std::copy(group.begin(), group.end(), probe.begin());
  std::copy(kOwn.begin(), kOwn.end(), probe.begin() + 6);
  CHECK(written(write_probe(who, who.addresses[1], out)) == probe);
}

TEST_CASE(
    "a claim to a cluster address with another MAC is a clash, with the cluster's it is none") {
  Address address{};
  Mac mac{};
  const auto claims = [&](const ByteVector& bytes) {
    Frame frame;
    frame.bytes = {bytes.data(), bytes.size()};
    return read_claim(resolution(), frame, address, mac);
  };
  const ByteVector to = ethernet(kOwn, kAsker, kArpType);
  CHECK(claims(to + arp(2, kAsker, kClusterIp, kOwn, kNoIp)));
  CHECK(address == address_of("192.0.2.100"));
  CHECK(mac == kAsker);
  CHECK(claims(to + arp(1, kAsker, kClusterIp, Mac{}, {192, 0, 2, 9})));
  CHECK_FALSE(claims(to + arp(2, kCluster, kClusterIp, kOwn, kNoIp)));
  CHECK_FALSE(claims(to + arp(2, kAsker, kAskerIp, kOwn, kNoIp)));
  CHECK_FALSE(claims(to + arp(1, kAsker, kNoIp, Mac{}, kClusterIp)));  // another's probe
  CHECK(claims(neighbour(136, "2001:db8::100", "ff02::1", "2001:db8::100",
                         ByteVector{2, 1} + bytes_of(kAsker))
                   .build()));
  CHECK(address == address_of("2001:db8::100"));
  CHECK_FALSE(claims(advertisement(kAllNodesMac, "ff02::1", 0x20)));
}

}  // namespace flowsieve::test
