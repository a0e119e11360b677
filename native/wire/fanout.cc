#include "wire/fanout.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace flowsieve {

namespace {

// 2^32 divided by the golden ratio: Knuth's multiplicative hashing; the upper half is the well
// mixed one.
constexpr uint32_t kMultiplier = 0x9E3779B1;
constexpr int kExtensionHeadersWalked = 3;
// Types of ICMP errors: unreachable, source quench, redirect, time exceeded, parameter
// problem (RFC 792).
constexpr uint8_t kIcmpErrors[] = {3, 4, 5, 11, 12};
constexpr uint32_t kIcmpHeader = 8;

void write_ipv4(Assembler& code, Assembler::Label mix) {
  const Assembler::Label outer = code.label(), quoted = code.label();
  code.load(BPF_B, 9);
  code.jump_unless(BPF_JEQ, IPPROTO_ICMP, outer);
  code.load(BPF_H, 6);
  code.jump_if(BPF_JSET, 0x1fff, outer);
  code.op(BPF_LDX | BPF_MSH | BPF_B, static_cast<uint32_t>(SKF_NET_OFF));
  code.load(BPF_B, 0, true);
  for (const uint8_t type : kIcmpErrors) code.jump_if(BPF_JEQ, type, quoted);
  code.jump(outer);

  code.place(quoted);
  code.load(BPF_W, kIcmpHeader + 12, true);
  code.op(BPF_ST, 0);
  code.load(BPF_W, kIcmpHeader + 16, true);
  code.op(BPF_LDX | BPF_MEM, 0);
  code.op(BPF_ALU | BPF_XOR | BPF_X);
  code.jump(mix);

  code.place(outer);
  code.load(BPF_W, 12);
  code.op(BPF_MISC | BPF_TAX);
  code.load(BPF_W, 16);
  code.op(BPF_ALU | BPF_XOR | BPF_X);
  code.jump(mix);
}

void write_ipv6(Assembler& code) {
  constexpr uint32_t kBaseCell = 1, kFoldCell = 2;
  const Assembler::Label outer = code.label(), fold = code.label();
  code.skip_extension_headers(kExtensionHeadersWalked);
  code.jump_unless(BPF_JEQ, IPPROTO_ICMPV6, outer);
  code.load(BPF_B, 0, true);
  code.jump_if(BPF_JSET, 0x80, outer);  // informational (RFC 4443 2.1)
  code.op(BPF_MISC | BPF_TXA);
  code.op(BPF_ALU | BPF_ADD | BPF_K, kIcmpHeader);
  code.op(BPF_MISC | BPF_TAX);
  code.jump(fold);

  code.place(outer);
  code.op(BPF_LDX | BPF_W | BPF_IMM, 0);
  code.place(fold);
  code.op(BPF_STX, kBaseCell);
  code.load(BPF_W, 8, true);
  for (uint32_t offset = 12; offset < 40; offset += 4) {
    code.op(BPF_ST, kFoldCell);
    code.op(BPF_LDX | BPF_MEM, kBaseCell);
    code.load(BPF_W, offset, true);
    code.op(BPF_LDX | BPF_MEM, kFoldCell);
    code.op(BPF_ALU | BPF_XOR | BPF_X);
  }
}

uint32_t mix(uint32_t folded) {
  return (folded * kMultiplier) >> 16;
}

/// Folds `words` 32-bit words; nothing when they are not all there.
bool fold(Bytes bytes, size_t offset, size_t words, uint32_t& folded) {
  if (!bytes.has(offset, words * 4)) return false;
  folded = 0;
  for (size_t i = 0; i < words; ++i) folded ^= load_be32(bytes.data + offset + 4 * i);
  return true;
}

uint32_t hash_ipv4(Bytes ip) {
  if (!ip.has(0, 20)) return 0;
  size_t base = 0;
  const bool later_fragment = (load_be16(ip.data + 6) & 0x1fff) != 0;
  if (ip.data[9] == IPPROTO_ICMP && !later_fragment) {
    const size_t icmp = (ip.data[0] & 0x0fu) * 4u;
    if (!ip.has(icmp, 1)) return 0;
    for (const uint8_t type : kIcmpErrors) {
      if (ip.data[icmp] == type) base = icmp + kIcmpHeader;
    }
  }
  uint32_t folded = 0;
  return fold(ip, base + 12, 2, folded) ? mix(folded) : 0;
}

uint32_t hash_ipv6(Bytes ip) {
  if (!ip.has(0, 40)) return 0;
  size_t base = 0, next = 40;
  uint8_t protocol = ip.data[6];
  for (int i = 0; i < kExtensionHeadersWalked; ++i) {
    if (protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_ROUTING && protocol != IPPROTO_DSTOPTS) {
      break;
    }
    if (!ip.has(next, 2)) return 0;
    protocol = ip.data[next];
    next += (ip.data[next + 1] + 1u) * 8u;
  }
  if (protocol == IPPROTO_ICMPV6) {
    if (!ip.has(next, 1)) return 0;
    if ((ip.data[next] & 0x80) == 0) base = next + kIcmpHeader;
  }
  uint32_t folded = 0;
  return fold(ip, base + 8, 8, folded) ? mix(folded) : 0;
}

}  // namespace

Program fanout_program() {
  Assembler code;
  const Assembler::Label ipv4 = code.label(), ipv6 = code.label(), mix = code.label();
  code.load_field(SKF_AD_PROTOCOL);
  code.jump_if(BPF_JEQ, ETH_P_IP, ipv4);
  code.jump_if(BPF_JEQ, ETH_P_IPV6, ipv6);
  code.op(BPF_RET | BPF_K, 0);
  code.place(ipv4);
  write_ipv4(code, mix);
  code.place(ipv6);
  write_ipv6(code);
  code.place(mix);
  code.op(BPF_ALU | BPF_MUL | BPF_K, kMultiplier);
  code.op(BPF_ALU | BPF_RSH | BPF_K, 16);
  code.op(BPF_RET | BPF_A);
  return code.finish();
}

uint32_t fanout_hash(Bytes ip) {
  if (!ip.has(0, 1)) return 0;
  if (ip.data[0] >> 4 == 4) return hash_ipv4(ip);
  if (ip.data[0] >> 4 == 6) return hash_ipv6(ip);
  return 0;
}

Status join_fanout(const std::vector<int>& sockets, bool outgoing) {
  // The group has a hook of its own, to which the sockets' PACKET_IGNORE_OUTGOING does not apply;
  // this flag of Linux 6.2 does the same for it. Older headers lack the name, older kernels ignore
  // the bit (the arrival filter then rejects what is outgoing).
  constexpr uint32_t kIgnoreOutgoing = 0x4000;
  const uint32_t type = PACKET_FANOUT_CBPF | (outgoing ? 0 : kIgnoreOutgoing);
  if (sockets.empty() || sockets.size() > kFanoutMembersMax) {
    return Error{ErrorCode::kArgument,
                 "Expected 1 to 256 workers but received " + std::to_string(sockets.size()) + "."};
  }
  uint32_t request = (type | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
  for (const int socket : sockets) {
    if (setsockopt(socket, SOL_PACKET, PACKET_FANOUT, &request, sizeof request) != 0) {
      return system_error("joining a packet fanout group");
    }
    if (socket != sockets.front()) continue;
    // The kernel chose the group's number; the others join by it.
    uint32_t group = 0;
    socklen_t size = sizeof group;
    if (getsockopt(socket, SOL_PACKET, PACKET_FANOUT, &group, &size) != 0) {
      return system_error("reading the number of a packet fanout group");
    }
    request = (group & 0xffff) | type << 16;
  }
  const Program program = fanout_program();
  sock_fprog data{};
  data.len = static_cast<unsigned short>(program.size());
  data.filter = const_cast<sock_filter*>(program.data());
  if (setsockopt(sockets.front(), SOL_PACKET, PACKET_FANOUT_DATA, &data, sizeof data) != 0) {
    return system_error("giving a packet fanout group its program");
  }
  return ok_status();
}

}  // namespace flowsieve
