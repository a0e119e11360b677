// QUIC-LB: which node a QUIC connection id names.
//
//   first octet                    the rest, plain or encrypted
//   | config id (3) | length (5) | server id (1 … 15) | nonce (4 … 18) | the server's own (0 …) |
//
// A config id chooses one of seven configurations; 7 says that the id names nobody. With a key,
// server id and nonce are encrypted together: 16 octets as one block of AES-128, any other number
// in two halves by a Feistel network of four rounds:
//
//   right ^= AES(left, length, 1)      left ^= AES(right, length, 2)
//   right ^= AES(left, length, 3)      left ^= AES(right, length, 4)
//
// where AES encrypts the half, zeros, the length and the round's number as one block, of which as much
// counts as the other half has. Undone from the last round to the first.
//
// Where the halves meet in the midst of an octet, the left half's last octet has only its upper
// four bits, the right half's first one only its lower four. Only what tells the server id is
// decrypted: three rounds, and the fourth when the server id reaches into the right half.
//
// Everything here is worked out when it is made; node_of() allocates nothing.
//
// Source: draft-ietf-quic-load-balancers, the text after draft 21, sections 3 to 5.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "allocation/allocation.h"
#include "base/bytes.h"
#include "hash/aes128.h"

namespace flowsieve {

inline constexpr size_t kQuicConfigs = 7;
inline constexpr size_t kQuicServerIdMax = 15, kQuicNonceMin = 4, kQuicPlaintextMax = 19;
inline constexpr size_t kQuicPortsMax = 16;

/// What a packet's connection id says, or why it says nothing.
enum class QuicId : uint8_t {
  kNone,          ///< no packet to a QUIC port
  kNode,          ///< a living node's
  kClientChosen,  ///< the client has chosen it, or may have
  kUnconfigured,  ///< a config id without a configuration, or 7
  kLength,        ///< too short, or not as long as it says itself
  kNobody,        ///< a server id of no living node
};

struct QuicAnswer {
  QuicId id = QuicId::kNone;
  NodeIndex node = 0;  ///< only of kNode
};

/// One configuration. Valid: lengths within their bounds and together no more than
/// kQuicPlaintextMax.
struct QuicConfig {
  uint8_t id = 0;  ///< 0 … kQuicConfigs - 1
  uint8_t server_id_length = 1;
  uint8_t nonce_length = kQuicNonceMin;
  /// The first octet's lower five bits are the length of the rest, and nothing follows the nonce.
  bool encodes_length = true;
  std::optional<std::array<uint8_t, Aes128::kKeyBytes>> key{};  ///< without: plain
};

/// A living node and its server id, of which each configuration takes as many octets as it needs.
struct QuicServer {
  std::array<uint8_t, kQuicServerIdMax> id{};
  NodeIndex node = 0;
};

struct QuicLbOptions {
  std::vector<uint16_t> ports{};  ///< UDP ports of the cluster, at most kQuicPortsMax
  std::vector<QuicConfig> configs{};
  std::vector<QuicServer> servers{};
};

class QuicLb {
 public:
  /// `options` must be valid (the configuration layer sees to it).
  explicit QuicLb(const QuicLbOptions& options);

  bool is_port(uint16_t port) const;

  /// Whom the connection id at the beginning of `bytes` names. `exact`: the id has just these bytes (a
  /// long header says so); otherwise other things may follow.
  QuicAnswer node_of(Bytes bytes, bool exact) const;

 private:
  using ServerId = std::array<uint8_t, kQuicServerIdMax>;
  struct Config {
    uint8_t server_id_length, nonce_length;
    bool encodes_length;
    std::optional<Aes128> cipher;
    std::vector<QuicServer> servers;  ///< in order of their ids, which end in zeros

    size_t plaintext_length() const { return size_t{server_id_length} + nonce_length; }
  };

  static Config make_config(const QuicConfig& config, const std::vector<QuicServer>& servers);
  static ServerId server_id(const Config& config, const uint8_t* ciphertext);

  std::array<uint16_t, kQuicPortsMax> ports_{};
  size_t port_count_ = 0;
  std::array<std::optional<Config>, kQuicConfigs> configs_;
};

}  // namespace flowsieve
