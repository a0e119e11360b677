#include "decide/connection_id.h"

#include <algorithm>

#include "packet/protocols.h"
#include "packet/quic_header.h"

namespace flowsieve {
namespace {

constexpr size_t kUdpBytes = 8, kUdpLengthAt = 4;

/// What stands in `packet` behind its UDP header: no padding of the link, and as much as was
/// captured.
Bytes udp_payload(const Packet& packet, Bytes frame) {
  const Bytes datagram =
      frame.first(size_t{packet.ip_offset} + packet.ip_bytes).from(packet.transport_offset);
  if (!datagram.has(0, kUdpBytes)) return {};
  const uint16_t said = load_be16(datagram.data + kUdpLengthAt);
  // A super-packet may not say it (0), and a first fragment says the whole datagram's.
  const size_t length = said < kUdpBytes ? datagram.size : said;
  return datagram.first(length).from(kUdpBytes);
}

bool may_carry_id(const QuicLb& quic, const Subject& subject) {
  const Packet& packet = *subject.packet;
  return packet.kind == Kind::kFlow && packet.flow.protocol == kProtocolUdp && !subject.watched &&
         !subject.follower && quic.is_port(packet.flow.destination_port);
}

}  // namespace

QuicAnswer read_connection_id(const QuicLb& quic, const Subject& subject, Bytes frame) {
  if (!may_carry_id(quic, subject)) return {};
  return read_connection_id(quic, udp_payload(*subject.packet, frame));
}

QuicAnswer read_connection_id(const QuicLb& quic, Bytes datagram) {
  const QuicHeader header = read_quic_header(datagram);
  switch (header.choice) {
    case QuicIdChoice::kClient:
      return {QuicId::kClientChosen};
    case QuicIdChoice::kNothing:
      return {QuicId::kLength};
    case QuicIdChoice::kServer:
      break;
  }
  return quic.node_of(header.id, header.is_long);
}

void count_unroutable(QuicId id, Counters& counters) {
  switch (id) {
    case QuicId::kNone:
    case QuicId::kNode:
      return;
    case QuicId::kClientChosen:
      return counters.add(Count::kQuicClientChosen);
    case QuicId::kUnconfigured:
      return counters.add(Count::kQuicUnconfigured);
    case QuicId::kLength:
      return counters.add(Count::kQuicLength);
    case QuicId::kNobody:
      return counters.add(Count::kQuicNobody);
  }
}

}  // namespace flowsieve
