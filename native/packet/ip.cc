#include "packet/ip.h"

#include "packet/protocols.h"

namespace flowsieve {
namespace {

constexpr size_t kIpv4HeaderBytes = 20, kIpv6HeaderBytes = 40, kExtensionHeaderBytes = 8;
constexpr uint32_t kIpBytesMax = 65535;

/// Headers that are walked. Behind IPv4 only AH is; behind IPv6 the list of RFC 7045 without ESP,
/// which hides what follows.
bool is_walked(Family family, uint8_t protocol) {
  switch (protocol) {
    case kProtocolAh:
      return true;
    case kProtocolHopByHop:
    case kProtocolRouting:
    case kProtocolFragment:
    case kProtocolDestinationOptions:
    case kProtocolMobility:
    case kProtocolHip:
    case kProtocolShim6:
      return family == Family::kIpv6;
    default:
      return false;
  }
}

/// RFC 791 3.2, RFC 8200 4.5: data of all but the last fragment comes in units of eight bytes, and
/// the packet put together is no longer than a packet can be. `before` counts what the length field
/// of that packet covers besides the data.
bool is_sane(size_t before, uint32_t offset, size_t data_bytes, bool more) {
  if (data_bytes == 0 || (more && data_bytes % 8 != 0)) return false;
  return before + offset + data_bytes <= kIpBytesMax;
}

/// Notes the fragment fields; `offset` in bytes.
void note_fragment(IpLayer& layer, uint32_t identification, uint8_t protocol, uint32_t offset) {
  layer.is_fragment = true;
  layer.is_later = offset != 0;
  layer.identification = identification;
  layer.fragment_protocol = protocol;
}

/// The IPv6 fragment header at `at`. An atomic fragment (offset 0, none follows: RFC 6946) is a
/// whole packet.
Drop read_fragment_header(IpLayer& layer, size_t ip_offset, size_t at, Reading reading) {
  const uint8_t* header = layer.window.bytes.data + at;
  const uint16_t field = load_be16(header + 2);
  const uint32_t offset = field & 0xfff8;
  const bool more = field & 1;
  if (offset == 0 && !more) return Drop::kNone;
  note_fragment(layer, load_be32(header + 4), 0, offset);
  const size_t data = at + kExtensionHeaderBytes;
  const size_t before = at - ip_offset - kIpv6HeaderBytes;  // headers that every fragment repeats
  if (reading == Reading::kPacket && !is_sane(before, offset, layer.window.end - data, more)) {
    return Drop::kFragmentLength;
  }
  return Drop::kNone;
}

/// Follows extension headers from the one of type layer.key.protocol at `at`; leaves both behind
/// the last one.
Drop walk(IpLayer& layer, size_t ip_offset, size_t at, Reading reading) {
  const Window& window = layer.window;
  for (int headers = 0; is_walked(layer.key.family, layer.key.protocol); ++headers) {
    if (headers == kExtensionHeadersMax) return Drop::kExtensionLimit;
    const Drop drop = window.lack(at, kExtensionHeaderBytes, Drop::kExtensionHeader);
    if (drop != Drop::kNone) return drop;
    const uint8_t next = window.bytes.data[at];
    const size_t units = window.bytes.data[at + 1];
    size_t bytes = (units + 1) * 8;
    if (layer.key.protocol == kProtocolFragment) {
      const Drop bad = read_fragment_header(layer, ip_offset, at, reading);
      if (bad != Drop::kNone) return bad;
      bytes = kExtensionHeaderBytes;  // its second byte is reserved
    } else if (layer.key.protocol == kProtocolAh) {
      bytes = (units + 2) * 4;
    } else if (layer.key.protocol == kProtocolMobility && next == kProtocolNone) {
      break;  // a signalling message is a protocol of its own (RFC 6275 6.1.1)
    }
    if (!window.reaches(at, bytes)) return Drop::kExtensionHeader;
    at += bytes;
    layer.key.protocol = next;
    if (layer.is_later) break;  // what stands here is the middle of something
  }
  layer.transport = static_cast<uint16_t>(at);
  return Drop::kNone;
}

Drop read_ipv4(const Window& frame, size_t offset, Reading reading, IpLayer& layer) {
  if (const Drop drop = frame.lack(offset, kIpv4HeaderBytes, Drop::kIpHeader);
      drop != Drop::kNone) {
    return drop;
  }
  const uint8_t* header = frame.bytes.data + offset;
  const size_t header_bytes = (header[0] & 15u) * 4u;
  if (header_bytes < kIpv4HeaderBytes || !frame.reaches(offset, header_bytes)) {
    return Drop::kIpHeader;
  }
  size_t bytes = load_be16(header + 2);
  if (bytes == 0) bytes = frame.end - offset;
  if (bytes < header_bytes) return Drop::kIpLength;
  if (reading == Reading::kPacket && !frame.reaches(offset, bytes)) return Drop::kIpLength;
  layer.recognised = true;
  layer.bytes = static_cast<uint32_t>(bytes);
  layer.window = frame.until(offset + bytes);
  layer.key.source = mapped_ipv4(header + 12);
  layer.key.destination = mapped_ipv4(header + 16);
  layer.key.family = Family::kIpv4;
  layer.key.protocol = header[9];
  const uint16_t field = load_be16(header + 6);
  layer.transport = static_cast<uint16_t>(offset + header_bytes);
  if ((field & 0x3fff) != 0) [[unlikely]] {  // more fragments, or an offset
    const uint32_t fragment_offset = (field & 0x1fffu) * 8u;
    note_fragment(layer, load_be16(header + 4), header[9], fragment_offset);
    if (reading == Reading::kPacket &&
        !is_sane(header_bytes, fragment_offset, bytes - header_bytes, field & 0x2000)) {
      return Drop::kFragmentLength;
    }
    if (layer.is_later) return Drop::kNone;
  }
  if (layer.key.protocol != kProtocolAh) [[likely]]
    return Drop::kNone;
  return walk(layer, offset, layer.transport, reading);
}

Drop read_ipv6(const Window& frame, size_t offset, Reading reading, IpLayer& layer) {
  if (const Drop drop = frame.lack(offset, kIpv6HeaderBytes, Drop::kIpHeader);
      drop != Drop::kNone) {
    return drop;
  }
  const uint8_t* header = frame.bytes.data + offset;
  size_t bytes = kIpv6HeaderBytes + load_be16(header + 4);
  if (bytes == kIpv6HeaderBytes && header[6] != kProtocolNone) bytes = frame.end - offset;
  if (reading == Reading::kPacket && !frame.reaches(offset, bytes)) return Drop::kIpLength;
  layer.bytes = static_cast<uint32_t>(bytes);
  layer.window = frame.until(offset + bytes);
  std::memcpy(layer.key.source.data(), header + 8, 16);
  std::memcpy(layer.key.destination.data(), header + 24, 16);
  layer.key.family = Family::kIpv6;
  layer.key.protocol = header[6];
  const Drop drop = walk(layer, offset, offset + kIpv6HeaderBytes, reading);
  // The chain of extension headers is part of the header here: what breaks it makes the packet no
  // IP packet.
  layer.recognised = drop != Drop::kExtensionHeader && drop != Drop::kExtensionLimit;
  return drop;
}

}  // namespace

Drop read_ip(const Window& frame, size_t offset, Reading reading, IpLayer& layer) {
  if (const Drop drop = frame.lack(offset, 1, Drop::kIpHeader); drop != Drop::kNone) return drop;
  switch (frame.bytes.data[offset] >> 4) {
    case 4:
      return read_ipv4(frame, offset, reading, layer);
    case 6:
      return read_ipv6(frame, offset, reading, layer);
    default:
      return Drop::kIpVersion;
  }
}

}  // namespace flowsieve
