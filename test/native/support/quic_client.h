// QUIC packets for tests: correct headers over UDP, and behind them anything.
//
//   QuicClient quic{.port = 40000};
//   quic.at("198.51.100.8", 41000).one_rtt(id_of(2))     a 1-RTT packet, from another address
#pragma once

#include <string>

#include "allocation/quic_lb.h"
#include "support/test_node.h"

namespace flowsieve::test {

inline constexpr uint16_t kQuicPort = 443;

/// Config 0 plain with 2 + 4 octets, 1 encrypted with 3 + 6, 2 encrypted with 6 + 10 octets; node n
/// has the server id n repeated, from `first` to `last`.
QuicLbOptions test_quic(NodeIndex first = 0, NodeIndex last = kTestNodes - 1);
std::shared_ptr<const QuicLb> shared_quic(const QuicLbOptions& options = test_quic());

/// A connection id of test_quic() that names a node; ids of different nonces are different.
ByteVector id_of(NodeIndex node, uint8_t config = 0, uint8_t nonce = 1);
/// One that names nobody: config id 7.
ByteVector unroutable_id();

struct QuicClient {
  std::string address = "198.51.100.7";
  uint16_t port = 40000;

  QuicClient at(const std::string& other, uint16_t other_port) const { return {other, other_port}; }
  PacketBuilder datagram(const ByteVector& payload) const;
  PacketBuilder one_rtt(const ByteVector& id) const;
  PacketBuilder initial(const ByteVector& id, uint32_t version = 1) const;
  PacketBuilder handshake(const ByteVector& id) const;
  Key key() const;
};

}  // namespace flowsieve::test
