// The parser under any bytes: what it says is consistent with itself and with the
// plain second reading.
//
// Input: the link type, two bytes (big-endian) of how much longer the frame was on the
// wire, the frame.
#include <cstdlib>
#include <cstring>

#include "fuzz/fuzz.h"
#include "native/packet/plain_parse.h"
#include "packet/packet.h"

#ifndef FLOWSIEVE_FUZZ_AS_TEST
#include "native/packet/plain_parse.cc"  // the tests link it, the fuzz target has nobody else
#endif

namespace {

using namespace flowsieve;

void require(bool fine) {
  if (!fine) std::abort();
}

void check_packet(const Packet& packet, Bytes frame, uint32_t wire_bytes) {
  if (!packet.ip) {
    require(packet.drop != Drop::kNone || packet.kind == Kind::kNonIp);
    require(!packet.is_fragment);
    return;
  }
  require(packet.ip_offset + 20u <= frame.size);
  require(packet.ip_bytes >= 20 && packet.ip_offset + packet.ip_bytes <= wire_bytes);
  if (packet.drop != Drop::kNone) return;
  require(packet.kind != Kind::kNonIp);
  require(packet.transport_offset <= packet.ip_offset + packet.ip_bytes);
  require(packet.kind != Kind::kFragment || packet.is_fragment);
  require((packet.kind == Kind::kFragment) == (packet.transport_offset == 0));
  if (packet.kind == Kind::kFlow) {
    require(packet.flow.source == packet.ip_source &&
            packet.flow.destination == packet.ip_destination);
    require(packet.tcp_flags == 0 || packet.flow.protocol == 6);
    require(!packet.opening || packet.flow.protocol == 6 || packet.flow.protocol == 132);
    require(!packet.query_reply || packet.flow.source_port == 0);
  }
  require(packet.flow.zero == 0);
}

}  // namespace

FLOWSIEVE_FUZZ_TARGET(parser, data, size) {
  if (size < 3) return;
  const LinkType link = static_cast<LinkType>(data[0] % 5);
  const Bytes frame{data + 3, size - 3};
  const uint32_t wire_bytes = static_cast<uint32_t>(frame.size) + load_be16(data + 1);
  const Packet packet = parse(frame, wire_bytes, link);
  check_packet(packet, frame, wire_bytes);
  require(test::difference(packet, parse(frame, wire_bytes, link)).empty());
  require(test::difference(packet, test::plain_parse(frame, wire_bytes, link)).empty());
}
