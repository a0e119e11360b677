#include "native/allocation/plain_quic_lb.h"

#include "native/hash/hex.h"

namespace flowsieve::test {
namespace {

constexpr const char* kDigits = "0123456789abcdef";

int value_of(char digit) {
  return static_cast<int>(std::string(kDigits).find(digit));
}

std::string exclusive_or(const std::string& one, const std::string& other) {
  std::string result;
  for (size_t i = 0; i < one.size(); ++i) result += kDigits[value_of(one[i]) ^ value_of(other[i])];
  return result;
}

std::string aes(const QuicConfig& config, const std::string& block, bool encrypt) {
  const Aes128 cipher(config.key->data());
  uint8_t out[16];
  const std::vector<uint8_t> in = from_hex(block);
  encrypt ? cipher.encrypt_plain(in.data(), out) : cipher.decrypt_plain(in.data(), out);
  return to_hex(out, sizeof(out));
}

/// expand(length, pass, input_bytes)
std::string expand(size_t length, uint8_t pass, const std::string& input) {
  const uint8_t tail[] = {static_cast<uint8_t>(length), pass};
  return input + std::string(28 - input.size(), '0') + to_hex(tail, 2);
}

struct Halves {
  std::string left, right;  ///< of whole octets: of an odd length with a zero in the middle
};

Halves split(const std::string& text) {
  const size_t half = text.size() / 2;
  Halves halves{text.substr(0, half), text.substr(half)};
  if (half % 2 != 0) {
    halves.left.push_back('0');
    halves.right.insert(halves.right.begin(), '0');
  }
  return halves;
}

std::string join(const Halves& halves, size_t length) {
  if (length % 2 == 0) return halves.left + halves.right;
  return halves.left.substr(0, length) + halves.right.substr(1);
}

void pass(const QuicConfig& config, size_t length, uint8_t number, Halves& halves) {
  const bool odd = length % 2 != 0;
  if (number % 2 != 0) {
    halves.right =
        exclusive_or(halves.right, aes(config, expand(length, number, halves.left), true));
    if (odd) halves.right[0] = '0';
  } else {
    halves.left =
        exclusive_or(halves.left, aes(config, expand(length, number, halves.right), true));
    if (odd) halves.left.back() = '0';
  }
}

std::string decrypt(const QuicConfig& config, const std::string& text) {
  if (!config.key) return text;
  if (text.size() == 32) return aes(config, text, false);
  Halves halves = split(text);
  for (const uint8_t number : {4, 3, 2, 1}) pass(config, text.size() / 2, number, halves);
  return join(halves, text.size() / 2);
}

}  // namespace

std::string to_hex(const uint8_t* bytes, size_t size) {
  std::string digits;
  for (size_t i = 0; i < size; ++i) {
    digits += kDigits[bytes[i] >> 4];
    digits += kDigits[bytes[i] & 15];
  }
  return digits;
}

std::string plain_encode(const QuicConfig& config, const std::string& server_id,
                         const std::string& nonce, uint8_t low) {
  std::string text = server_id + nonce;
  const size_t length = text.size() / 2;
  if (config.encodes_length) low = static_cast<uint8_t>(length);
  const uint8_t first = static_cast<uint8_t>(config.id << 5 | low);
  if (config.key && length == 16) {
    text = aes(config, text, true);
  } else if (config.key) {
    Halves halves = split(text);
    for (const uint8_t number : {1, 2, 3, 4}) pass(config, length, number, halves);
    text = join(halves, length);
  }
  return to_hex(&first, 1) + text;
}

QuicAnswer plain_node_of(const QuicLbOptions& options, const std::string& id, bool exact) {
  if (id.empty()) return {QuicId::kLength};
  const int first = value_of(id[0]) * 16 + value_of(id[1]);
  for (const QuicConfig& config : options.configs) {
    if (config.id != first / 32) continue;
    const size_t length = size_t{config.server_id_length} + config.nonce_length;
    const size_t given = id.size() / 2 - 1;
    if (given < length) return {QuicId::kLength};
    if (config.encodes_length) {
      if (static_cast<size_t>(first % 32) != length) return {QuicId::kLength};
      if (exact && given != length) return {QuicId::kLength};
    }
    const std::string text = decrypt(config, id.substr(2, 2 * length));
    for (const QuicServer& server : options.servers) {
      if (to_hex(server.id.data(), config.server_id_length) ==
          text.substr(0, size_t{2} * config.server_id_length)) {
        return {QuicId::kNode, server.node};
      }
    }
    return {QuicId::kNobody};
  }
  return {QuicId::kUnconfigured};
}

}  // namespace flowsieve::test
