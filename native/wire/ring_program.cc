#include "wire/ring_program.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cassert>

#include "base/bytes.h"
#include "packet/packet.h"
#include "wire/link.h"

namespace flowsieve {

namespace {

constexpr uint32_t kWhole = 0x7fffffff;
constexpr uint32_t kNetwork = static_cast<uint32_t>(SKF_NET_OFF);

/// Jumps to `match` when the IPv4 address at `offset` is one of `addresses`.
void match_ipv4(Assembler& code, uint32_t offset, const std::vector<Address>& addresses,
                Assembler::Label match) {
  code.load(BPF_W, offset);
  for (const Address& address : addresses) {
    if (family_of(address) != Family::kIpv4) continue;
    code.jump_if(BPF_JEQ, load_be32(address.data() + 12), match);
  }
}

/// Jumps to `match` when the IPv6 address at `offset` is one of `addresses`.
void match_ipv6(Assembler& code, uint32_t offset, const std::vector<Address>& addresses,
                Assembler::Label match) {
  for (const Address& address : addresses) {
    if (family_of(address) != Family::kIpv6) continue;
    const Assembler::Label next = code.label();
    // The last word first: addresses of one cluster mostly share their prefix.
    for (const uint32_t word : {12u, 8u, 4u, 0u}) {
      code.load(BPF_W, offset + word);
      code.jump_unless(BPF_JEQ, load_be32(address.data() + word), next);
    }
    code.jump(match);
    code.place(next);
  }
}

}  // namespace

Assembler::Label Assembler::label() {
  places_.push_back(kUnplaced);
  return places_.size() - 1;
}

void Assembler::place(Label label) {
  places_[label] = program_.size();
}

void Assembler::jump(Label target) {
  jumps_.push_back({program_.size(), target});
  op(BPF_JMP | BPF_JA);
}

void Assembler::jump_if(uint16_t test, uint32_t k, Label target) {
  program_.push_back({static_cast<uint16_t>(BPF_JMP | BPF_K | test), 0, 1, k});
  jump(target);
}

void Assembler::jump_unless(uint16_t test, uint32_t k, Label target) {
  program_.push_back({static_cast<uint16_t>(BPF_JMP | BPF_K | test), 1, 0, k});
  jump(target);
}

void Assembler::load(uint16_t size, uint32_t offset, bool indexed) {
  op(static_cast<uint16_t>(BPF_LD | size | (indexed ? BPF_IND : BPF_ABS)), kNetwork + offset);
}

void Assembler::load_field(uint32_t field) {
  op(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF) + field);
}

void Assembler::skip_extension_headers(int headers) {
  constexpr uint32_t kProtocolCell = 15;
  const Label done = label();
  load(BPF_B, 6);
  op(BPF_ST, kProtocolCell);
  op(BPF_LDX | BPF_W | BPF_IMM, 40);
  for (int i = 0; i < headers; ++i) {
    const Label walk = label();
    op(BPF_LD | BPF_MEM, kProtocolCell);
    jump_if(BPF_JEQ, IPPROTO_HOPOPTS, walk);
    jump_if(BPF_JEQ, IPPROTO_ROUTING, walk);
    jump_unless(BPF_JEQ, IPPROTO_DSTOPTS, done);
    place(walk);
    load(BPF_B, 0, true);
    op(BPF_ST, kProtocolCell);
    load(BPF_B, 1, true);
    op(BPF_ALU | BPF_ADD | BPF_K, 1);
    op(BPF_ALU | BPF_LSH | BPF_K, 3);
    op(BPF_ALU | BPF_ADD | BPF_X);
    op(BPF_MISC | BPF_TAX);
  }
  place(done);
  op(BPF_LD | BPF_MEM, kProtocolCell);
}

Program Assembler::finish() {
  for (const Jump& jump : jumps_) {
    assert(places_[jump.target] != kUnplaced && places_[jump.target] > jump.at);
    program_[jump.at].k = static_cast<uint32_t>(places_[jump.target] - jump.at - 1);
  }
  jumps_.clear();
  return std::move(program_);
}

Program arrival_filter(const std::vector<Address>& addresses) {
  Assembler code;
  const Assembler::Label ipv4 = code.label(), ipv6 = code.label(), accept = code.label(),
                         reject = code.label();
  code.load_field(SKF_AD_PKTTYPE);
  code.jump_if(BPF_JEQ, PACKET_OUTGOING, reject);
  if (!addresses.empty()) {
    code.load_field(SKF_AD_PROTOCOL);
    code.jump_if(BPF_JEQ, ETH_P_IP, ipv4);
    code.jump_if(BPF_JEQ, ETH_P_IPV6, ipv6);
    code.jump(accept);
    code.place(ipv4);
    match_ipv4(code, 16, addresses, accept);
    code.jump(reject);
    code.place(ipv6);
    code.load(BPF_B, 24);
    code.jump_if(BPF_JEQ, 0xff, accept);
    match_ipv6(code, 24, addresses, accept);
    code.jump(reject);
  }
  code.place(accept);
  code.op(BPF_RET | BPF_K, kWhole);
  code.place(reject);
  code.op(BPF_RET | BPF_K, 0);
  return code.finish();
}

Program gateway_filter(const Mac& cluster_mac) {
  constexpr uint32_t kLink = static_cast<uint32_t>(SKF_LL_OFF);
  constexpr uint8_t kSolicitation = 135;  // RFC 4861 4.3
  Assembler code;
  const Assembler::Label ip = code.label(), elsewhere = code.label(), accept = code.label(),
                         reject = code.label();
  code.load_field(SKF_AD_PKTTYPE);
  code.jump_if(BPF_JEQ, PACKET_OUTGOING, reject);
  code.load_field(SKF_AD_PROTOCOL);
  code.jump_if(BPF_JEQ, ETH_P_IP, ip);
  code.jump_unless(BPF_JEQ, ETH_P_IPV6, accept);
  code.place(ip);
  code.op(BPF_LD | BPF_W | BPF_ABS, kLink);
  code.jump_unless(BPF_JEQ, load_be32(cluster_mac.data()), elsewhere);
  code.op(BPF_LD | BPF_H | BPF_ABS, kLink + 4);
  code.jump_if(BPF_JEQ, load_be16(cluster_mac.data() + 4), accept);
  code.place(elsewhere);
  code.load_field(SKF_AD_PROTOCOL);
  code.jump_unless(BPF_JEQ, ETH_P_IPV6, reject);
  code.load(BPF_B, 6);
  code.jump_unless(BPF_JEQ, IPPROTO_ICMPV6, reject);
  code.load(BPF_B, 40);
  code.jump_unless(BPF_JEQ, kSolicitation, reject);
  code.place(accept);
  code.op(BPF_RET | BPF_K, kWhole);
  code.place(reject);
  code.op(BPF_RET | BPF_K, 0);
  return code.finish();
}

Program departure_filter(const std::vector<Address>& addresses, uint32_t snap_bytes) {
  constexpr uint8_t kTelling = kTcpSyn | kTcpFin | kTcpRst;
  Assembler code;
  const Assembler::Label ipv4 = code.label(), ipv6 = code.label(), ours4 = code.label(),
                         ours6 = code.label(), flags = code.label(), accept = code.label(),
                         reject = code.label();
  code.load_field(SKF_AD_PKTTYPE);
  code.jump_unless(BPF_JEQ, PACKET_OUTGOING, reject);
  code.load_field(SKF_AD_HATYPE);
  code.jump_if(BPF_JEQ, ARPHRD_LOOPBACK, reject);
  code.load_field(SKF_AD_PROTOCOL);
  code.jump_if(BPF_JEQ, ETH_P_IP, ipv4);
  code.jump_if(BPF_JEQ, ETH_P_IPV6, ipv6);
  code.jump(reject);

  code.place(ipv4);
  match_ipv4(code, 12, addresses, ours4);
  code.jump(reject);
  code.place(ours4);
  code.load(BPF_B, 9);
  code.jump_unless(BPF_JEQ, IPPROTO_TCP, accept);
  code.load(BPF_H, 6);
  code.jump_if(BPF_JSET, 0x1fff, reject);  // a later fragment has no flags
  code.op(BPF_LDX | BPF_MSH | BPF_B, kNetwork);
  code.jump(flags);

  code.place(ipv6);
  match_ipv6(code, 8, addresses, ours6);
  code.jump(reject);
  code.place(ours6);
  code.skip_extension_headers(3);
  code.jump_unless(BPF_JEQ, IPPROTO_TCP, accept);

  code.place(flags);
  code.load(BPF_B, 13, true);
  code.jump_unless(BPF_JSET, kTelling, reject);
  code.place(accept);
  code.op(BPF_RET | BPF_K, snap_bytes);
  code.place(reject);
  code.op(BPF_RET | BPF_K, 0);
  return code.finish();
}

Program closed_filter() {
  return {{BPF_RET | BPF_K, 0, 0, 0}};
}

Status attach_filter(int socket, const Program& program) {
  sock_fprog request{};
  request.len = static_cast<unsigned short>(program.size());
  request.filter = const_cast<sock_filter*>(program.data());
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &request, sizeof request) != 0) {
    return system_error("attaching a filter to a packet socket");
  }
  return ok_status();
}

}  // namespace flowsieve
