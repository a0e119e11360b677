#include "allocation/quic_lb.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace flowsieve {
namespace {

constexpr size_t kHalfMax = (kQuicPlaintextMax + 1) / 2;

/// The two halves of what is encrypted, and the rounds that turn them. Each half has a whole block's
/// room, with zeros where its mask has them.
class Feistel {
 public:
  Feistel(const Aes128& cipher, const uint8_t* text, size_t length)
      : cipher_(cipher),
        length_(length),
        half_(std::min((length + 1) / 2, kHalfMax)),  // never less: tells the compiler the bound
        odd_(length % 2 != 0) {
    std::memset(left_mask_, 0xff, half_);
    std::memset(right_mask_, 0xff, half_);
    if (odd_) {
      left_mask_[half_ - 1] = 0xf0;
      right_mask_[0] = 0x0f;
    }
    std::memcpy(left_, text, half_);
    std::memcpy(right_, text + length - half_, half_);
    mask(left_, left_mask_);
    mask(right_, right_mask_);
  }

  /// The round of this number changes the left half if the number is even, else the right one.
  /// Doing a round twice is not doing it.
  void round(uint8_t number) {
    const bool changes_left = number % 2 == 0;
    uint8_t block[Aes128::kBlockBytes];
    std::memcpy(block, changes_left ? right_ : left_, sizeof(block));
    block[14] = static_cast<uint8_t>(length_);
    block[15] = number;
    cipher_.encrypt(block, block);
    mask(block, changes_left ? left_mask_ : right_mask_);
    uint8_t* changed = changes_left ? left_ : right_;
    for (size_t i = 0; i < sizeof(block); ++i) changed[i] ^= block[i];
  }

  /// The first `count` octets.
  void copy(uint8_t* out, size_t count) const {
    uint8_t whole[kHalfMax + Aes128::kBlockBytes];
    std::memcpy(whole, left_, half_);
    const uint8_t middle = left_[half_ - 1] | right_[0];
    std::memcpy(whole + half_ - (odd_ ? 1 : 0), right_, sizeof(right_));
    if (odd_) whole[half_ - 1] = middle;
    std::memcpy(out, whole, count);
  }

 private:
  static void mask(uint8_t* half, const uint8_t* mask) {
    for (size_t i = 0; i < Aes128::kBlockBytes; ++i) half[i] &= mask[i];
  }

  const Aes128& cipher_;
  const size_t length_, half_;
  const bool odd_;
  uint8_t left_[Aes128::kBlockBytes] = {}, right_[Aes128::kBlockBytes] = {};
  uint8_t left_mask_[Aes128::kBlockBytes] = {}, right_mask_[Aes128::kBlockBytes] = {};
};

}  // namespace

QuicLb::Config QuicLb::make_config(const QuicConfig& config,
                                   const std::vector<QuicServer>& servers) {
  Config made{.server_id_length = config.server_id_length,
              .nonce_length = config.nonce_length,
              .encodes_length = config.encodes_length,
              .cipher = {},
              .servers = servers};
  if (config.key) made.cipher.emplace(config.key->data());
  for (QuicServer& server : made.servers) {
    std::fill(server.id.begin() + config.server_id_length, server.id.end(), uint8_t{0});
  }
  std::sort(made.servers.begin(), made.servers.end(),
            [](const QuicServer& one, const QuicServer& other) { return one.id < other.id; });
  return made;
}

QuicLb::QuicLb(const QuicLbOptions& options) {
  assert(options.ports.size() <= kQuicPortsMax);
  port_count_ = options.ports.size();
  std::copy(options.ports.begin(), options.ports.end(), ports_.begin());
  for (const QuicConfig& config : options.configs) {
    assert(config.id < kQuicConfigs && config.server_id_length >= 1 &&
           config.server_id_length <= kQuicServerIdMax && config.nonce_length >= kQuicNonceMin &&
           config.server_id_length + config.nonce_length <= int{kQuicPlaintextMax});
    configs_[config.id] = make_config(config, options.servers);
  }
}

bool QuicLb::is_port(uint16_t port) const {
  return std::find(ports_.begin(), ports_.begin() + port_count_, port) !=
         ports_.begin() + port_count_;
}

QuicLb::ServerId QuicLb::server_id(const Config& config, const uint8_t* ciphertext) {
  ServerId id{};
  const size_t length = config.plaintext_length();
  if (!config.cipher) {
    std::memcpy(id.data(), ciphertext, config.server_id_length);
  } else if (length == Aes128::kBlockBytes) {
    uint8_t plaintext[Aes128::kBlockBytes];
    config.cipher->decrypt(ciphertext, plaintext);
    std::memcpy(id.data(), plaintext, config.server_id_length);
  } else {
    Feistel feistel(*config.cipher, ciphertext, length);
    for (const uint8_t number : {4, 3, 2}) feistel.round(number);
    // Of an odd length the left half has only a part of its last octet.
    if (config.server_id_length > length / 2) feistel.round(1);
    feistel.copy(id.data(), config.server_id_length);
  }
  return id;
}

QuicAnswer QuicLb::node_of(Bytes bytes, bool exact) const {
  if (bytes.size == 0) return {QuicId::kLength};
  const uint8_t first = bytes.data[0];
  const size_t config_id = first >> 5, said = first & 0x1f;
  if (config_id >= kQuicConfigs || !configs_[config_id]) return {QuicId::kUnconfigured};
  const Config& config = *configs_[config_id];
  const size_t length = config.plaintext_length();
  if (!bytes.has(1, length)) return {QuicId::kLength};
  if (config.encodes_length && (said != length || (exact && bytes.size != 1 + length))) {
    return {QuicId::kLength};
  }
  const ServerId id = server_id(config, bytes.data + 1);
  const auto found = std::lower_bound(
      config.servers.begin(), config.servers.end(), id,
      [](const QuicServer& server, const ServerId& wanted) { return server.id < wanted; });
  if (found == config.servers.end() || found->id != id) return {QuicId::kNobody};
  return {QuicId::kNode, found->node};
}

}  // namespace flowsieve
