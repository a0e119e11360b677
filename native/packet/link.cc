#include "packet/link.h"

namespace flowsieve {
namespace {

constexpr uint16_t kEthertypeIpv4 = 0x0800, kEthertypeIpv6 = 0x86dd;

/// 802.1Q, 802.1ad, and the two numbers that stacked tags had before 802.1ad.
constexpr bool is_tag(uint16_t ethertype) {
  return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100 || ethertype == 0x9200;
}

/// Follows tags from the ethertype at `type_offset`, whose content begins at `content`. Each tag is
/// two bytes of tag control information and the ethertype of what comes behind it.
Drop read_ethertype(const Window& frame, size_t type_offset, size_t content, LinkLayer& layer) {
  for (int tags = 0;; ++tags) {
    if (const Drop drop = frame.lack(type_offset, 2, Drop::kFrameShort); drop != Drop::kNone) {
      return drop;
    }
    const uint16_t ethertype = load_be16(frame.bytes.data + type_offset);
    if (!is_tag(ethertype)) {
      layer.ip = ethertype == kEthertypeIpv4 || ethertype == kEthertypeIpv6;
      layer.ip_offset = static_cast<uint16_t>(content);
      return Drop::kNone;
    }
    if (tags == kLinkTagsMax) return Drop::kLinkTags;
    type_offset = content + 2;
    content += 4;
  }
}

/// DLT_NULL: the address family of the host that captured, in that host's byte order;
/// DLT_LOOP: the same in network order. IPv6 is 10 on Linux, 24 on NetBSD and OpenBSD, 28 on
/// FreeBSD, 30 on macOS.
bool is_ip_family(const uint8_t* header) {
  const uint32_t little = load_le32(header);
  const uint32_t family = little < 0x10000 ? little : load_be32(header);
  return family == 2 || family == 10 || family == 24 || family == 28 || family == 30;
}

Drop read_loopback(const Window& frame, LinkLayer& layer) {
  if (const Drop drop = frame.lack(0, 4, Drop::kFrameShort); drop != Drop::kNone) return drop;
  layer.ip = is_ip_family(frame.bytes.data);
  layer.ip_offset = 4;
  return Drop::kNone;
}

/// Without a link header only the version says that this is IP.
Drop read_raw(const Window& frame, LinkLayer& layer) {
  if (!frame.bytes.has(0, 1)) return frame.reaches(0, 1) ? Drop::kCutShort : Drop::kNone;
  const int version = frame.bytes.data[0] >> 4;
  layer.ip = version == 4 || version == 6;
  return Drop::kNone;
}

/// A cooked header has a fixed size: one cut in its middle is short, even if the
/// ethertype is there.
Drop read_cooked(const Window& frame, size_t type_offset, size_t header_bytes, LinkLayer& layer) {
  if (const Drop drop = frame.lack(0, header_bytes, Drop::kFrameShort); drop != Drop::kNone) {
    return drop;
  }
  return read_ethertype(frame, type_offset, header_bytes, layer);
}

}  // namespace

Drop read_link(const Window& frame, LinkType link, LinkLayer& layer) {
  switch (link) {
    case LinkType::kEthernet:
      return read_ethertype(frame, 12, 14, layer);
    case LinkType::kRawIp:
      return read_raw(frame, layer);
    case LinkType::kLinuxCooked1:
      return read_cooked(frame, 14, 16, layer);
    case LinkType::kLinuxCooked2:
      return read_cooked(frame, 0, 20, layer);
    case LinkType::kBsdLoopback:
      return read_loopback(frame, layer);
  }
  return Drop::kNone;
}

}  // namespace flowsieve
