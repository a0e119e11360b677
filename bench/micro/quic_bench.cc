// What it costs to read the connection id of one QUIC packet: header, config, (decrypt,) server id, node. Of a
// cluster of 16 nodes; each packet has another id.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "decide/connection_id.h"

namespace flowsieve {
namespace {

constexpr size_t kPackets = 4096, kPacketBytes = 64, kNodes = 16;

QuicLbOptions options(uint8_t server_id_length, uint8_t nonce_length, bool encrypted) {
  QuicLbOptions made{.ports = {443}, .configs = {}, .servers = {}};
  QuicConfig config{.id = 0, .server_id_length = server_id_length, .nonce_length = nonce_length};
  if (encrypted) config.key.emplace().fill(0x42);
  made.configs.push_back(config);
  for (NodeIndex node = 0; node < kNodes; ++node) {
    QuicServer server{.id = {}, .node = node};
    server.id[0] = static_cast<uint8_t>(node * 15);
    made.servers.push_back(server);
  }
  return made;
}

/// Short headers with ids of this length that are random behind their first octet: whatever they name, they
/// are read to the end.
std::vector<uint8_t> packets(size_t length) {
  std::mt19937_64 random(3);
  std::vector<uint8_t> bytes(kPackets * kPacketBytes);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (size_t i = 0; i < kPackets; ++i) {
    bytes[i * kPacketBytes] = 0x40;
    bytes[i * kPacketBytes + 1] = static_cast<uint8_t>(length);
  }
  return bytes;
}

void read_ids(benchmark::State& state, uint8_t server_id, uint8_t nonce, bool encrypted) {
  const QuicLb quic(options(server_id, nonce, encrypted));
  const std::vector<uint8_t> bytes = packets(size_t{server_id} + nonce);
  size_t i = 0;
  for (auto _ : state) {
    const Bytes datagram{bytes.data() + i * kPacketBytes, kPacketBytes};
    const QuicAnswer answer = read_connection_id(quic, datagram);
    if (answer.id == QuicId::kLength) state.SkipWithError("an id was not read");
    benchmark::DoNotOptimize(answer);
    i = (i + 1) % kPackets;
  }
}

void encrypt(benchmark::State& state, bool plain) {
  const std::vector<uint8_t> key(Aes128::kKeyBytes, 7);
  const Aes128 aes(key.data());
  uint8_t block[Aes128::kBlockBytes] = {};
  for (auto _ : state) {
    plain ? aes.encrypt_plain(block, block) : aes.encrypt(block, block);
    benchmark::DoNotOptimize(block);
  }
}

BENCHMARK_CAPTURE(read_ids, plain_2_8, 2, 8, false)->Name("quic/read/plain");
BENCHMARK_CAPTURE(read_ids, four_pass_2_8, 2, 8, true)->Name("quic/read/four_pass_3_rounds");
BENCHMARK_CAPTURE(read_ids, four_pass_10_5, 10, 5, true)->Name("quic/read/four_pass_4_rounds");
BENCHMARK_CAPTURE(read_ids, single_pass_4_12, 4, 12, true)->Name("quic/read/single_pass");
BENCHMARK_CAPTURE(encrypt, native, false)->Name("quic/aes128/encrypt");
BENCHMARK_CAPTURE(encrypt, plain, true)->Name("quic/aes128/encrypt_plain");

}  // namespace
}  // namespace flowsieve
