// The walk of packet.h, one layer after the other: link.cc, ip.cc, transport.cc.
#include "packet/ip.h"
#include "packet/link.h"
#include "packet/packet.h"
#include "packet/transport.h"

namespace flowsieve {

Packet parse(Bytes frame, uint32_t wire_bytes, LinkType link) {
  Packet packet;
  // A capture that claims more bytes than were on the wire is believed about what it has.
  const Window window{frame, wire_bytes > frame.size ? wire_bytes : frame.size};

  LinkLayer below;
  packet.drop = read_link(window, link, below);
  if (packet.drop != Drop::kNone || !below.ip) return packet;

  IpLayer ip;
  packet.ip_offset = below.ip_offset;
  packet.drop = read_ip(window, below.ip_offset, Reading::kPacket, ip);
  if (!ip.recognised) return packet;
  packet.ip = true;
  packet.ip_source = ip.key.source;
  packet.ip_destination = ip.key.destination;
  packet.family = ip.key.family;
  packet.ip_bytes = ip.bytes;
  if (ip.is_fragment) [[unlikely]] {
    packet.is_fragment = true;
    packet.identification = ip.identification;
    packet.fragment_protocol = ip.fragment_protocol;
  }
  if (packet.drop != Drop::kNone) return packet;

  if (ip.is_later) {
    packet.kind = Kind::kFragment;
    return packet;
  }
  packet.transport_offset = ip.transport;
  packet.drop = read_transport(ip, packet);
  return packet;
}

}  // namespace flowsieve
