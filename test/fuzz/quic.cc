// A QUIC datagram and a configuration under any bytes: the header's reading keeps its promises, and
// whom the connection id names is what the plain second reading says.
//
//   input:  [configs] then for each of so many (at most 7)
//           [lengths: server id 1 … 15] [nonce] [bit 0: with a key, bit 1: without its length]
//           and 16 bytes of key, where there is one;
//           [servers, at most 8] then 15 bytes for each; the rest is the datagram
#include <cstdlib>
#include <cstring>

#include "decide/connection_id.h"
#include "fuzz/fuzz.h"
#include "fuzz/input.h"
#include "native/allocation/plain_quic_lb.h"
#include "packet/quic_header.h"

#ifndef FLOWSIEVE_FUZZ_AS_TEST
#include "native/allocation/plain_quic_lb.cc"  // the tests link it, the fuzz target has nobody else
#endif

namespace {

using namespace flowsieve;
using flowsieve_fuzz::demand;
using flowsieve_fuzz::Input;

template <size_t kSize>
std::array<uint8_t, kSize> take(Input& input) {
  std::array<uint8_t, kSize> taken{};
  const std::vector<uint8_t> bytes = input.bytes(kSize);
  std::copy(bytes.begin(), bytes.end(), taken.begin());
  return taken;
}

QuicLbOptions options_from(Input& input) {
  QuicLbOptions options{.ports = {443}, .configs = {}, .servers = {}};
  const size_t configs = input.byte() % (kQuicConfigs + 1);
  for (uint8_t id = 0; id < configs; ++id) {
    QuicConfig config{.id = id};
    config.server_id_length = static_cast<uint8_t>(1 + input.byte() % kQuicServerIdMax);
    const size_t nonces = kQuicPlaintextMax - config.server_id_length - kQuicNonceMin + 1;
    config.nonce_length = static_cast<uint8_t>(kQuicNonceMin + input.byte() % nonces);
    const uint8_t flags = input.byte();
    config.encodes_length = (flags & 2) == 0;
    if (flags & 1) config.key = take<Aes128::kKeyBytes>(input);
    options.configs.push_back(config);
  }
  const size_t servers = input.byte() % 9;
  for (size_t node = 0; node < servers; ++node) {
    QuicServer server{.id = take<kQuicServerIdMax>(input), .node = static_cast<NodeIndex>(node)};
    server.id[0] = static_cast<uint8_t>(node);  // all differ, as the configuration sees to
    options.servers.push_back(server);
  }
  return options;
}

void check_header(const QuicHeader& header, Bytes datagram) {
  if (header.choice == QuicIdChoice::kNothing) {
    demand(header.id.size == 0);
    return;
  }
  demand(datagram.size > 0 && header.is_long == (datagram.data[0] >= 0x80));
  demand(header.id.data >= datagram.data);
  demand(header.id.data + header.id.size <= datagram.data + datagram.size);
  if (header.is_long) demand(header.id.size == datagram.data[5]);
}

}  // namespace

FLOWSIEVE_FUZZ_TARGET(quic, data, size) {
  Input input(data, size);
  const QuicLbOptions options = options_from(input);
  const std::vector<uint8_t> rest = input.bytes(size);
  const Bytes datagram{rest.data(), rest.size()};
  const QuicHeader header = read_quic_header(datagram);
  check_header(header, datagram);

  const QuicLb quic(options);
  const QuicAnswer answer = read_connection_id(quic, datagram);
  demand(answer.id != QuicId::kNone);
  if (header.choice == QuicIdChoice::kServer) {
    const std::string digits = test::to_hex(header.id.data, header.id.size);
    const QuicAnswer expected = test::plain_node_of(options, digits, header.is_long);
    demand(answer.id == expected.id && answer.node == expected.node);
  } else {
    demand(answer.id ==
           (header.choice == QuicIdChoice::kClient ? QuicId::kClientChosen : QuicId::kLength));
  }
}
