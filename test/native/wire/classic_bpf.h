// Classic BPF as linux/filter.h describes it, interpreted plainly: what the kernel would return for
// a packet. A load outside the packet ends the program with 0.
#pragma once

#include <linux/filter.h>

#include <array>
#include <cstdint>
#include <stdexcept>

#include "base/bytes.h"
#include "wire/ring_program.h"

namespace flowsieve::test {

/// What the kernel knows of a packet beside its bytes from the network header on.
struct Skb {
  Bytes network;
  uint16_t protocol = 0;
  uint8_t packet_type = 0;
  uint16_t hardware_type = 1;
  Bytes link = {};  ///< from the link header on
};

class ClassicBpf {
 public:
  static uint32_t run(const Program& program, const Skb& skb) {
    return ClassicBpf(program, skb).run();
  }

 private:
  ClassicBpf(const Program& program, const Skb& skb) : program_(program), skb_(skb) {}

  bool load(uint32_t k, size_t bytes, uint32_t& value) const {
    const int32_t offset = static_cast<int32_t>(k);
    if (offset == SKF_AD_OFF + SKF_AD_PROTOCOL) return value = skb_.protocol, true;
    if (offset == SKF_AD_OFF + SKF_AD_PKTTYPE) return value = skb_.packet_type, true;
    if (offset == SKF_AD_OFF + SKF_AD_HATYPE) return value = skb_.hardware_type, true;
    if (offset >= SKF_AD_OFF || offset < SKF_LL_OFF) throw std::runtime_error("a load elsewhere");
    const bool in_link = offset < SKF_NET_OFF;
    const Bytes& from = in_link ? skb_.link : skb_.network;
    const size_t at = static_cast<size_t>(offset - (in_link ? SKF_LL_OFF : SKF_NET_OFF));
    if (!from.has(at, bytes)) return false;
    value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value << 8 | from.data[at + i];
    return true;
  }

  uint32_t run() {
    std::array<uint32_t, BPF_MEMWORDS> cells{};
    uint32_t a = 0, x = 0;
    for (size_t pc = 0; pc < program_.size(); ++pc) {
      const sock_filter& op = program_[pc];
      const size_t bytes = BPF_SIZE(op.code) == BPF_W ? 4 : BPF_SIZE(op.code) == BPF_H ? 2 : 1;
      const uint32_t operand = BPF_SRC(op.code) == BPF_X ? x : op.k;
      switch (op.code) {
        case BPF_LD | BPF_W | BPF_ABS:
        case BPF_LD | BPF_H | BPF_ABS:
        case BPF_LD | BPF_B | BPF_ABS:
          if (!load(op.k, bytes, a)) return 0;
          break;
        case BPF_LD | BPF_W | BPF_IND:
        case BPF_LD | BPF_H | BPF_IND:
        case BPF_LD | BPF_B | BPF_IND:
          if (!load(op.k + x, bytes, a)) return 0;
          break;
        case BPF_LDX | BPF_MSH | BPF_B:
          if (!load(op.k, 1, x)) return 0;
          x = (x & 0xf) * 4;
          break;
        case BPF_LD | BPF_MEM:
          a = cells.at(op.k);
          break;
        case BPF_LDX | BPF_MEM:
          x = cells.at(op.k);
          break;
        case BPF_LDX | BPF_IMM:
          x = op.k;
          break;
        case BPF_ST:
          cells.at(op.k) = a;
          break;
        case BPF_STX:
          cells.at(op.k) = x;
          break;
        case BPF_MISC | BPF_TAX:
          x = a;
          break;
        case BPF_MISC | BPF_TXA:
          a = x;
          break;
        case BPF_ALU | BPF_ADD | BPF_K:
        case BPF_ALU | BPF_ADD | BPF_X:
          a += operand;
          break;
        case BPF_ALU | BPF_XOR | BPF_X:
          a ^= operand;
          break;
        case BPF_ALU | BPF_MUL | BPF_K:
          a *= operand;
          break;
        case BPF_ALU | BPF_LSH | BPF_K:
          a <<= operand;
          break;
        case BPF_ALU | BPF_RSH | BPF_K:
          a >>= operand;
          break;
        case BPF_JMP | BPF_JA:
          pc += op.k;
          break;
        case BPF_JMP | BPF_JEQ | BPF_K:
          pc += a == op.k ? op.jt : op.jf;
          break;
        case BPF_JMP | BPF_JSET | BPF_K:
          pc += (a & op.k) != 0 ? op.jt : op.jf;
          break;
        case BPF_RET | BPF_K:
          return op.k;
        case BPF_RET | BPF_A:
          return a;
        default:
          throw std::runtime_error("an instruction that this interpreter does not know");
      }
    }
    throw std::runtime_error("the program ran off its end");
  }

  const Program& program_;
  const Skb& skb_;
};

}  // namespace flowsieve::test
