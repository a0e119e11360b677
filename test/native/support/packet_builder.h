// Frames for tests, said in the words of the protocols:
//
//   PacketBuilder::ethernet().vlan(5).ipv4("10.0.0.1", "10.0.0.2")
//       .tcp(40000, 80).syn().payload(10).build()
//
// Every call stacks one layer on those before it, as on the wire; calls like syn() or
// total_length() speak about the layer stacked last (or the last of their kind). build() fills in
// what a correct sender would: ethertypes, next headers, lengths, checksums. What a test wants
// wrong it sets itself; a value once set is never corrected, and checksums are computed over it.
//
// Any layer may follow any other, so tunnels are two IP layers and an ICMP error quotes a packet
// built with raw().
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "packet/packet.h"

namespace flowsieve::test {

using ByteVector = std::vector<uint8_t>;

class PacketBuilder {
 public:
  // The first layer. The frame begins with it.
  static PacketBuilder ethernet();
  static PacketBuilder raw();  ///< no link header: the frame begins with the IP header
  static PacketBuilder cooked1();
  static PacketBuilder cooked2();
  /// BSD loopback; `family` 0 takes 2 for IPv4 and 30 for IPv6. `big_endian` writes it
  /// in network order.
  static PacketBuilder loopback(uint32_t family = 0, bool big_endian = false);
  static PacketBuilder on(LinkType link);

  // Link layer.
  PacketBuilder& vlan(uint16_t id, uint16_t tpid = 0x8100);
  /// Overrides the ethertype that the link header or the last tag announces.
  PacketBuilder& ethertype(uint16_t value);

  // IPv4; `options` are padded to a multiple of four.
  PacketBuilder& ipv4(const std::string& source, const std::string& destination);
  PacketBuilder& options(const ByteVector& bytes);
  PacketBuilder& ihl(uint8_t words);
  PacketBuilder& total_length(uint16_t bytes);
  /// The fragment fields of the last IPv4 layer, or of the last IPv6 fragment header;
  /// `offset` in bytes.
  PacketBuilder& fragment(uint16_t offset, bool more);
  PacketBuilder& identification(uint32_t value);
  PacketBuilder& dont_fragment();

  // IPv6 and the headers that both families chain.
  PacketBuilder& ipv6(const std::string& source, const std::string& destination);
  PacketBuilder& payload_length(uint16_t bytes);
  PacketBuilder& version(uint8_t value);
  PacketBuilder& hop_by_hop(size_t bytes = 8);
  PacketBuilder& destination_options(size_t bytes = 8);
  PacketBuilder& routing(size_t bytes = 8);
  PacketBuilder& mobility(size_t bytes = 8);
  PacketBuilder& hip(size_t bytes = 40);
  PacketBuilder& shim6(size_t bytes = 8);
  PacketBuilder& ipv6_fragment(uint32_t identification, uint16_t offset, bool more);
  PacketBuilder& ah(size_t bytes = 24);
  /// The length octet of the last extension header or AH, in the header's own unit.
  PacketBuilder& extension_length(uint8_t value);
  /// Overrides what the last IP or extension header announces behind it.
  PacketBuilder& next(uint8_t protocol);

  // Transport.
  PacketBuilder& tcp(uint16_t source_port, uint16_t destination_port);
  PacketBuilder& syn();
  PacketBuilder& ack();
  PacketBuilder& fin();
  PacketBuilder& rst();
  PacketBuilder& psh();
  PacketBuilder& data_offset(uint8_t words);
  PacketBuilder& tcp_options(const ByteVector& bytes);
  PacketBuilder& udp(uint16_t source_port, uint16_t destination_port);
  PacketBuilder& udp_length(uint16_t bytes);
  PacketBuilder& sctp(uint16_t source_port, uint16_t destination_port);
  PacketBuilder& chunk(uint8_t type, uint8_t flags = 0, size_t value_bytes = 0);
  PacketBuilder& init() { return chunk(1, 0, 16); }
  PacketBuilder& init_ack() { return chunk(2, 0, 16); }
  PacketBuilder& abort() { return chunk(6); }
  PacketBuilder& shutdown_complete() { return chunk(14); }
  PacketBuilder& data(size_t bytes = 16) { return chunk(0, 3, 12 + bytes); }

  // ICMP or ICMPv6, as the IP layer below says. `rest` is the header's second word.
  PacketBuilder& icmp(uint8_t type, uint8_t code = 0, uint32_t rest = 0);
  PacketBuilder& echo_request(uint16_t identifier, uint16_t sequence = 1);
  PacketBuilder& echo_reply(uint16_t identifier, uint16_t sequence = 1);
  /// An error of `type` that quotes `quoted`, an IP packet built with raw().
  PacketBuilder& icmp_error(uint8_t type, uint8_t code, const ByteVector& quoted);
  PacketBuilder& igmp();
  PacketBuilder& gre(uint16_t protocol_type = 0x0800);
  PacketBuilder& esp(uint32_t spi = 0x1001);

  /// `count` counting bytes, or the given ones.
  PacketBuilder& payload(size_t count);
  PacketBuilder& payload(const ByteVector& bytes);
  /// Bytes behind the end of the outermost IP packet, as Ethernet pads short frames.
  PacketBuilder& padding(size_t count);
  /// Writes `bytes` at `offset` of the layer stacked last, after everything else has been filled
  /// in, checksums included.
  PacketBuilder& patch(size_t offset, const ByteVector& bytes);

  ByteVector build() const;

 private:
  enum class Layer : uint8_t {
    kLink,
    kVlan,
    kIpv4,
    kIpv6,
    kExtension,
    kFragment,
    kAh,
    kTcp,
    kUdp,
    kSctp,
    kIcmp,
    kOther,
    kPayload
  };
  struct Part {
    Layer layer;
    uint8_t protocol = 0;    ///< how a header below announces this one
    uint16_t ethertype = 0;  ///< the same for link headers
    /// Where this layer announces the next; two bytes in link headers, one elsewhere.
    int announce = -1;
    bool announce_set = false;
    bool length_set = false;
    ByteVector bytes;
    std::map<size_t, ByteVector> patches;
  };

  PacketBuilder& push(Layer layer, uint8_t protocol, ByteVector bytes, int announce = -1);
  PacketBuilder& extension(uint8_t protocol, size_t bytes);
  PacketBuilder& tcp_flag(uint8_t flag);
  Part& last(std::initializer_list<Layer> layers);
  void announce_next(std::vector<Part>& parts) const;
  static void fill_lengths(Part& part, size_t bytes_from_here);
  static void fill_checksum(const std::vector<Part>& parts, const std::vector<size_t>& at,
                            size_t index, size_t end, ByteVector& frame);

  std::vector<Part> parts_;
  LinkType link_ = LinkType::kEthernet;
  uint32_t loopback_family_ = 0;
  bool loopback_big_endian_ = false;
  size_t padding_ = 0;
};

/// The frames that carry `frame`'s IP packet over a link of `mtu` bytes, in order: link header,
/// then IP fragments of it. IPv6 packets get a fragment header behind their hop-by-hop and
/// routing headers.
std::vector<ByteVector> fragments_of(const ByteVector& frame, size_t mtu,
                                     uint32_t identification = 0x1234,
                                     LinkType link = LinkType::kEthernet);

/// An address from text, either family, as the packets carry it.
Address address_of(const std::string& text);

/// parse() of a frame that was captured whole.
Packet parse_whole(const ByteVector& frame, LinkType link = LinkType::kEthernet);

/// The key of a connection from text addresses; the family follows the source's.
Key key_of(uint8_t protocol, const std::string& source, uint16_t source_port,
           const std::string& destination, uint16_t destination_port);

}  // namespace flowsieve::test
