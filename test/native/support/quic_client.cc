#include "support/quic_client.h"

#include "native/allocation/plain_quic_lb.h"
#include "native/hash/hex.h"

namespace flowsieve::test {
namespace {

ByteVector joined(ByteVector bytes, const ByteVector& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
  return bytes;
}

/// The first octet, the version, the destination id, an empty source id, and a body.
ByteVector long_header(uint8_t first, uint32_t version, const ByteVector& id) {
  ByteVector bytes{first};
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<uint8_t>(version >> shift));
  bytes.push_back(static_cast<uint8_t>(id.size()));
  return joined(joined(bytes, id), ByteVector(24));
}

bool is_ipv6(const std::string& address) {
  return address.find(':') != std::string::npos;
}

}  // namespace

QuicLbOptions test_quic(NodeIndex first, NodeIndex last) {
  QuicLbOptions options{.ports = {kQuicPort}, .configs = {}, .servers = {}};
  const struct {
    uint8_t server_id, nonce;
  } lengths[] = {{2, 4}, {3, 6}, {6, 10}};
  for (uint8_t id = 0; id < 3; ++id) {
    QuicConfig config{
        .id = id, .server_id_length = lengths[id].server_id, .nonce_length = lengths[id].nonce};
    if (id > 0) config.key.emplace().fill(static_cast<uint8_t>(0x40 + id));
    options.configs.push_back(config);
  }
  for (NodeIndex node = first; node <= last; ++node) {
    QuicServer server{.id = {}, .node = node};
    server.id.fill(static_cast<uint8_t>(node));
    options.servers.push_back(server);
  }
  return options;
}

std::shared_ptr<const QuicLb> shared_quic(const QuicLbOptions& options) {
  return std::make_shared<const QuicLb>(options);
}

ByteVector id_of(NodeIndex node, uint8_t config, uint8_t nonce) {
  const QuicConfig used = test_quic().configs.at(config);
  const ByteVector server_id(used.server_id_length, static_cast<uint8_t>(node));
  const ByteVector nonces(used.nonce_length, nonce);
  return from_hex(plain_encode(used, to_hex(server_id.data(), server_id.size()),
                               to_hex(nonces.data(), nonces.size())));
}

ByteVector unroutable_id() {
  return from_hex("e701020304050607");
}

PacketBuilder QuicClient::datagram(const ByteVector& payload) const {
  PacketBuilder builder = PacketBuilder::ethernet();
  if (is_ipv6(address)) {
    builder.ipv6(address, kCluster6);
  } else {
    builder.ipv4(address, kCluster4);
  }
  return builder.udp(port, kQuicPort).payload(payload);
}

PacketBuilder QuicClient::one_rtt(const ByteVector& id) const {
  return datagram(joined(joined({0x43}, id), ByteVector(24)));
}

PacketBuilder QuicClient::initial(const ByteVector& id, uint32_t version) const {
  return datagram(long_header(version == 1 ? 0xc0 : 0xd0, version, id));
}

PacketBuilder QuicClient::handshake(const ByteVector& id) const {
  return datagram(long_header(0xe0, 1, id));
}

Key QuicClient::key() const {
  return key_of(17, address, port, is_ipv6(address) ? kCluster6 : kCluster4, kQuicPort);
}

}  // namespace flowsieve::test
