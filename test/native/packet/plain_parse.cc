#include "plain_parse.h"

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

namespace flowsieve::test {
namespace {

struct Refused {
  Drop drop;
};

/// A run of bytes of which `size` were sent and the first few were captured.
struct Slice {
  std::vector<uint8_t> captured;
  size_t size = 0;

  /// Fewer than `count` bytes sent: refuses with `why`.
  void must_have_sent(size_t count, Drop why) const {
    if (size < count) throw Refused{why};
  }
  void must_have(size_t count, Drop why) const {
    must_have_sent(count, why);
    if (captured.size() < count) throw Refused{Drop::kCutShort};
  }
  unsigned u8(size_t i) const { return captured.at(i); }
  unsigned u16(size_t i) const { return u8(i) * 256 + u8(i + 1); }
  unsigned u32(size_t i) const { return u16(i) * 65536 + u16(i + 2); }

  Slice behind(size_t count) const {
    Slice rest;
    rest.size = size - count;
    if (captured.size() > count)
      rest.captured.assign(captured.begin() + static_cast<long>(count), captured.end());
    return rest;
  }
  Slice ended_at(size_t count) const {
    Slice head = *this;
    if (head.size > count) head.size = count;
    if (head.captured.size() > count) head.captured.resize(count);
    return head;
  }
};

// ---------------------------------------------------------------- link

/// What begins at the network layer, or nothing when that is not IP.
std::optional<Slice> behind_tags(unsigned type, Slice rest) {
  const std::set<unsigned> tags{0x8100, 0x88a8, 0x9100, 0x9200};
  int count = 0;
  while (tags.count(type)) {
    if (++count > 4) throw Refused{Drop::kLinkTags};
    rest.must_have(4, Drop::kFrameShort);
    type = rest.u16(2);
    rest = rest.behind(4);
  }
  if (type != 0x0800 && type != 0x86dd) return std::nullopt;
  return rest;
}

std::optional<Slice> network_layer(const Slice& frame, LinkType link) {
  if (link == LinkType::kEthernet) {
    frame.must_have(14, Drop::kFrameShort);
    return behind_tags(frame.u16(12), frame.behind(14));
  }
  if (link == LinkType::kLinuxCooked1) {
    frame.must_have(16, Drop::kFrameShort);
    return behind_tags(frame.u16(14), frame.behind(16));
  }
  if (link == LinkType::kLinuxCooked2) {
    frame.must_have(20, Drop::kFrameShort);
    return behind_tags(frame.u16(0), frame.behind(20));
  }
  if (link == LinkType::kBsdLoopback) {
    frame.must_have(4, Drop::kFrameShort);
    const std::set<unsigned> families{2, 10, 24, 28, 30};
    const unsigned network_order = frame.u32(0);
    const unsigned other_order =
        frame.u8(3) * 0x1000000u + frame.u8(2) * 0x10000u + frame.u8(1) * 0x100u + frame.u8(0);
    if (families.count(network_order) || families.count(other_order)) return frame.behind(4);
    return std::nullopt;
  }
  if (frame.size == 0) return std::nullopt;
  frame.must_have(1, Drop::kFrameShort);
  if (frame.u8(0) / 16 != 4 && frame.u8(0) / 16 != 6) return std::nullopt;
  return frame;
}

// ---------------------------------------------------------------- IP

struct Ip {
  bool good = false;  ///< the header, and in IPv6 the chain, could be read
  Address from{}, to{};
  Family family = Family::kIpv4;
  unsigned protocol = 0;
  size_t length = 0;
  size_t transport = 0;  ///< from the IP header on
  bool fragment = false, later = false;
  FragmentKey fragment_key;
  Slice content;
};

void check_fragment(size_t covered, size_t offset, size_t data, bool more) {
  if (data == 0) throw Refused{Drop::kFragmentLength};
  if (more && data % 8 != 0) throw Refused{Drop::kFragmentLength};
  if (covered + offset + data > 65535) throw Refused{Drop::kFragmentLength};
}

void set_fragment(Ip& ip, size_t offset, unsigned id, unsigned protocol) {
  ip.fragment = true;
  ip.later = offset > 0;
  ip.fragment_key = FragmentKey{ip.from, ip.to, id, static_cast<uint8_t>(protocol), ip.family, 0};
}

void follow_headers(Ip& ip, bool quoted) {
  std::set<unsigned> known{51};
  if (ip.family == Family::kIpv6) known = {0, 43, 44, 51, 60, 135, 139, 140};
  int seen = 0;
  while (known.count(ip.protocol)) {
    if (++seen > 8) throw Refused{Drop::kExtensionLimit};
    ip.content.must_have(8, Drop::kExtensionHeader);
    const unsigned next = ip.content.u8(0);
    if (ip.protocol == 135 && next == 59) return;
    size_t length = 8 * (ip.content.u8(1) + 1);
    if (ip.protocol == 51) length = 4 * (ip.content.u8(1) + 2);
    if (ip.protocol == 44) {
      length = 8;
      const size_t offset = ip.content.u16(2) / 8 * 8;
      const bool more = ip.content.u16(2) % 2 == 1;
      if (offset > 0 || more) {
        set_fragment(ip, offset, ip.content.u32(4), 0);
        if (!quoted) check_fragment(ip.transport - 40, offset, ip.content.size - 8, more);
      }
    }
    ip.content.must_have_sent(length, Drop::kExtensionHeader);
    ip.content = ip.content.behind(length);
    ip.transport += length;
    ip.protocol = next;
    if (ip.later) return;
  }
}

void read_four(const Slice& packet, bool quoted, Ip& ip) {
  packet.must_have(20, Drop::kIpHeader);
  const size_t header = packet.u8(0) % 16 * 4;
  if (header < 20) throw Refused{Drop::kIpHeader};
  packet.must_have_sent(header, Drop::kIpHeader);
  ip.length = packet.u16(2) == 0 ? packet.size : packet.u16(2);
  if (ip.length < header) throw Refused{Drop::kIpLength};
  if (ip.length > packet.size && !quoted) throw Refused{Drop::kIpLength};
  ip.good = true;
  ip.family = Family::kIpv4;
  ip.from = mapped_ipv4(packet.captured.data() + 12);
  ip.to = mapped_ipv4(packet.captured.data() + 16);
  ip.protocol = packet.u8(9);
  ip.transport = header;
  ip.content = packet.ended_at(ip.length).behind(header);
  const bool more = packet.u16(6) & 0x2000;
  const size_t offset = packet.u16(6) % 0x2000 * 8;
  if (more || offset > 0) {
    set_fragment(ip, offset, packet.u16(4), ip.protocol);
    if (!quoted) check_fragment(header, offset, ip.length - header, more);
  }
  if (!ip.later) follow_headers(ip, quoted);
}

void read_six(const Slice& packet, bool quoted, Ip& ip) {
  packet.must_have(40, Drop::kIpHeader);
  ip.length = packet.u16(4) + 40;
  if (packet.u16(4) == 0 && packet.u8(6) != 59) ip.length = packet.size;
  if (ip.length > packet.size && !quoted) throw Refused{Drop::kIpLength};
  ip.family = Family::kIpv6;
  std::copy_n(packet.captured.begin() + 8, 16, ip.from.begin());
  std::copy_n(packet.captured.begin() + 24, 16, ip.to.begin());
  ip.protocol = packet.u8(6);
  ip.transport = 40;
  ip.content = packet.ended_at(ip.length).behind(40);
  try {
    follow_headers(ip, quoted);
    ip.good = true;
  } catch (const Refused& refused) {
    // A broken chain is a broken header; a chain cut by the snap length and a wrong
    // fragment are not.
    ip.good = refused.drop == Drop::kCutShort || refused.drop == Drop::kFragmentLength;
    throw;
  }
}

void read_ip_packet(const Slice& packet, bool quoted, Ip& ip) {
  packet.must_have(1, Drop::kIpHeader);
  const unsigned version = packet.u8(0) / 16;
  if (version == 4) return read_four(packet, quoted, ip);
  if (version == 6) return read_six(packet, quoted, ip);
  throw Refused{Drop::kIpVersion};
}

// ---------------------------------------------------------------- transport

enum class Says { kRequest, kReply, kError, kControl, kNothing };

Says icmp_says(Family family, unsigned type) {
  if (family == Family::kIpv4) {
    if (std::set<unsigned>{8, 13, 15, 17}.count(type)) return Says::kRequest;
    if (std::set<unsigned>{0, 14, 16, 18}.count(type)) return Says::kReply;
    if (std::set<unsigned>{3, 4, 5, 11, 12}.count(type)) return Says::kError;
    if (std::set<unsigned>{9, 10}.count(type)) return Says::kControl;
    return Says::kNothing;
  }
  if (type == 128) return Says::kRequest;
  if (type == 129) return Says::kReply;
  if (type > 0 && type < 128) return Says::kError;
  const std::set<unsigned> control{130, 131, 132, 133, 134, 135, 136, 137, 138, 141, 142,
                                   143, 148, 149, 151, 152, 153, 155, 157, 158, 159};
  return control.count(type) ? Says::kControl : Says::kNothing;
}

bool speaks_icmp(const Ip& ip) {
  return ip.protocol == (ip.family == Family::kIpv4 ? 1 : 58);
}

bool to_neighbours(const Ip& ip) {
  if (ip.family == Family::kIpv6) return ip.to[0] * 256 + ip.to[1] == 0xff02;
  return ip.to[12] == 224 && ip.to[13] == 0 && ip.to[14] == 0;
}

Key key_of_ip(const Ip& ip, unsigned source_port, unsigned destination_port) {
  return Key{ip.from,
             ip.to,
             static_cast<uint16_t>(source_port),
             static_cast<uint16_t>(destination_port),
             static_cast<uint8_t>(ip.protocol),
             ip.family,
             0};
}

/// The key of what an error quotes, already turned round.
Key quoted_key(const Slice& quote) {
  Ip ip;
  read_ip_packet(quote, true, ip);
  const Drop unusable = Drop::kQuoteUnusable;
  if (ip.later) throw Refused{unusable};
  unsigned asker = 0, asked = 0;
  if (ip.protocol == 6 || ip.protocol == 17 || ip.protocol == 132) {
    ip.content.must_have(4, unusable);
    asker = ip.content.u16(0);
    asked = ip.content.u16(2);
  } else if (speaks_icmp(ip)) {
    ip.content.must_have(1, unusable);
    const Says says = icmp_says(ip.family, ip.content.u8(0));
    if (says == Says::kError || says == Says::kControl) throw Refused{unusable};
    if (says == Says::kNothing && to_neighbours(ip)) throw Refused{unusable};
    if (says != Says::kNothing) {
      ip.content.must_have(6, unusable);
      (says == Says::kRequest ? asker : asked) = ip.content.u16(4);
    }
  } else if (ip.protocol == 2 || to_neighbours(ip)) {
    throw Refused{unusable};
  }
  std::swap(ip.from, ip.to);
  return key_of_ip(ip, asked, asker);
}

void read_ports(const Ip& ip, Packet& packet) {
  packet.kind = Kind::kFlow;
  const bool tcp = ip.protocol == 6, sctp = ip.protocol == 132;
  const size_t whole = ip.fragment ? 4 : tcp ? 20 : sctp ? 12 : 8;
  ip.content.must_have_sent(whole, Drop::kTransportShort);
  if (ip.content.captured.size() < 4) throw Refused{Drop::kCutShort};
  packet.flow = key_of_ip(ip, ip.content.u16(0), ip.content.u16(2));
  const size_t telling = tcp ? 13 : 12;  // the byte of the flags, or of the first chunk's type
  if (!tcp && !sctp) return;
  if (ip.content.captured.size() <= telling) {
    if (!ip.fragment && ip.content.size > telling) throw Refused{Drop::kCutShort};
    return;
  }
  const unsigned told = ip.content.u8(telling);
  if (tcp) {
    if (ip.content.u8(12) / 16 < 5) throw Refused{Drop::kTcpOffset};
    packet.tcp_flags = static_cast<uint8_t>(told);
    packet.opening = (told & 2) && !(told & 16);
  } else {
    packet.opening = told == 1;
    packet.sctp_closing = told == 6 || told == 14;
  }
}

void read_icmp_message(const Ip& ip, Packet& packet) {
  ip.content.must_have_sent(4, Drop::kTransportShort);
  ip.content.must_have(1, Drop::kTransportShort);
  switch (icmp_says(ip.family, ip.content.u8(0))) {
    case Says::kControl:
      packet.kind = Kind::kControl;
      return;
    case Says::kNothing:
      packet.kind = to_neighbours(ip) ? Kind::kControl : Kind::kFlow;
      packet.flow = key_of_ip(ip, 0, 0);
      return;
    case Says::kError:
      try {
        ip.content.must_have_sent(8, Drop::kQuoteUnusable);
        packet.flow = quoted_key(ip.content.behind(8));
      } catch (const Refused& refused) {
        throw Refused{refused.drop == Drop::kCutShort ? Drop::kCutShort : Drop::kQuoteUnusable};
      }
      packet.kind = Kind::kError;
      return;
    case Says::kRequest:
    case Says::kReply:
      break;
  }
  ip.content.must_have_sent(8, Drop::kTransportShort);
  ip.content.must_have(6, Drop::kTransportShort);
  const unsigned id = ip.content.u16(4);
  packet.query_reply = icmp_says(ip.family, ip.content.u8(0)) == Says::kReply;
  packet.flow = packet.query_reply ? key_of_ip(ip, 0, id) : key_of_ip(ip, id, 0);
  packet.kind = Kind::kFlow;
}

void read_content(const Ip& ip, Packet& packet) {
  if (ip.later) {
    packet.kind = Kind::kFragment;
  } else if (ip.protocol == 6 || ip.protocol == 17 || ip.protocol == 132) {
    read_ports(ip, packet);
  } else if (speaks_icmp(ip)) {
    read_icmp_message(ip, packet);
  } else {
    packet.kind = ip.protocol == 2 || to_neighbours(ip) ? Kind::kControl : Kind::kFlow;
    packet.flow = key_of_ip(ip, 0, 0);
  }
}

}  // namespace

Packet plain_parse(Bytes bytes, uint32_t wire_bytes, LinkType link) {
  Packet packet;
  Ip ip;
  Slice frame;
  frame.captured.assign(bytes.data, bytes.data + bytes.size);
  frame.size = std::max<size_t>(wire_bytes, bytes.size);
  try {
    const std::optional<Slice> network = network_layer(frame, link);
    if (!network) return packet;
    packet.ip_offset = static_cast<uint16_t>(frame.size - network->size);
    read_ip_packet(*network, false, ip);
    read_content(ip, packet);
  } catch (const Refused& refused) {
    packet.drop = refused.drop;
  }
  if (!ip.good) return packet;
  packet.ip = true;
  packet.ip_bytes = static_cast<uint32_t>(ip.length);
  packet.family = ip.family;
  packet.ip_source = ip.from;
  packet.ip_destination = ip.to;
  packet.is_fragment = ip.fragment;
  if (ip.fragment) {
    packet.identification = ip.fragment_key.identification;
    packet.fragment_protocol = ip.fragment_key.protocol;
  }
  packet.transport_offset =
      ip.later ? uint16_t{0} : static_cast<uint16_t>(packet.ip_offset + ip.transport);
  return packet;
}

std::string difference(const Packet& packet, const Packet& plain) {
  std::ostringstream out;
  const auto differs = [&out](const char* name, auto a, auto b) {
    if (a == b) return false;
    out << name << ": " << +a << " but plainly " << +b;
    return true;
  };
  if (packet.drop != plain.drop) {
    out << "drop: " << info(packet.drop).name << " but plainly " << info(plain.drop).name;
    return out.str();
  }
  if (differs("ip", packet.ip, plain.ip)) return out.str();
  if (packet.ip) {
    if (differs("ip_bytes", packet.ip_bytes, plain.ip_bytes)) return out.str();
    if (differs("ip_offset", packet.ip_offset, plain.ip_offset)) return out.str();
    if (packet.family != plain.family) return "family";
    if (packet.ip_source != plain.ip_source) return "ip_source";
    if (packet.ip_destination != plain.ip_destination) return "ip_destination";
    if (differs("is_fragment", packet.is_fragment, plain.is_fragment)) return out.str();
    if (packet.is_fragment && !(packet.fragment() == plain.fragment())) return "fragment";
  }
  if (packet.drop != Drop::kNone) return "";
  if (differs("kind", static_cast<int>(packet.kind), static_cast<int>(plain.kind)))
    return out.str();
  if (differs("transport_offset", packet.transport_offset, plain.transport_offset))
    return out.str();
  if (differs("tcp_flags", packet.tcp_flags, plain.tcp_flags)) return out.str();
  if (differs("opening", packet.opening, plain.opening)) return out.str();
  if (differs("sctp_closing", packet.sctp_closing, plain.sctp_closing)) return out.str();
  if (differs("query_reply", packet.query_reply, plain.query_reply)) return out.str();
  const bool has_flow = packet.kind == Kind::kFlow || packet.kind == Kind::kError;
  if (has_flow && !(packet.flow == plain.flow)) return "flow";
  return "";
}

}  // namespace flowsieve::test
