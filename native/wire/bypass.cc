#include "wire/bypass.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>

#include "packet/packet.h"

namespace flowsieve {
namespace {

/// What the map knows of a connection. The program writes it, by these offsets.
struct Value {
  uint64_t last_seen_ns = 0;
  uint32_t over = 0;  ///< a packet has come that the worker must see, and it sees all since
  Tick timeout = 0;
};
static_assert(sizeof(Value) == 16);

constexpr uint32_t kWhole = 0x7fffffff;
constexpr uint32_t kTaken = 256;  // entries that one call takes
constexpr uint8_t kTelling = kTcpSyn | kTcpFin | kTcpRst;

// The program's stack, from its end downwards, and its registers.
constexpr int kKey = -40, kHeader = -80, kIpBytes = -88, kZero = -96;
constexpr int in_key(size_t field) {
  return kKey + static_cast<int>(field);
}
constexpr uint8_t kContext = BPF_REG_6, kTransport = BPF_REG_7, kFlags = BPF_REG_8,
                  kValue = BPF_REG_9, kFrame = BPF_REG_10;

void call_with_entry(ExtendedAssembler& code, int map, int key) {
  code.load_map(BPF_REG_1, map);
  code.copy(BPF_REG_2, kFrame);
  code.compute(BPF_ADD, BPF_REG_2, key);
  code.call(BPF_FUNC_map_lookup_elem);
}

/// Copies `bytes` to kHeader, from where R2 says behind the network header on; jumps where they are
/// not there.
void read_header(ExtendedAssembler& code, int bytes, ExtendedAssembler::Label missing) {
  code.copy(BPF_REG_1, kContext);
  code.copy(BPF_REG_3, kFrame);
  code.compute(BPF_ADD, BPF_REG_3, kHeader);
  code.move(BPF_REG_4, bytes);
  code.move(BPF_REG_5, BPF_HDR_START_NET);
  code.call(BPF_FUNC_skb_load_bytes_relative);
  code.jump_if(BPF_JNE, BPF_REG_0, 0, missing);
}

void store_mapped_address(ExtendedAssembler& code, int header, int key) {
  code.store_value(BPF_DW, kFrame, key, 0);
  code.store_value(BPF_W, kFrame, key + 8, static_cast<int32_t>(0xffff0000));
  code.load(BPF_W, BPF_REG_1, kFrame, kHeader + header);
  code.store(BPF_W, kFrame, key + 12, BPF_REG_1);
}

void store_rest(ExtendedAssembler& code, Family family) {
  code.store_value(BPF_B, kFrame, in_key(offsetof(Key, family)), static_cast<int32_t>(family));
  code.store_value(BPF_H, kFrame, in_key(offsetof(Key, zero)), 0);
}

/// Goes on with TCP and UDP alone.
void store_protocol(ExtendedAssembler& code, int header, ExtendedAssembler::Label pass) {
  const auto known = code.label();
  code.load(BPF_B, BPF_REG_1, kFrame, kHeader + header);
  code.store(BPF_B, kFrame, in_key(offsetof(Key, protocol)), BPF_REG_1);
  code.jump_if(BPF_JEQ, BPF_REG_1, IPPROTO_TCP, known);
  code.jump_if(BPF_JNE, BPF_REG_1, IPPROTO_UDP, pass);
  code.place(known);
}

/// Makes the key but for its ports, notes the packet's length, and has kTransport say where the
/// transport header begins.
void read_ipv4(ExtendedAssembler& code, ExtendedAssembler::Label pass) {
  code.move(BPF_REG_2, 0);
  read_header(code, 20, pass);
  code.load(BPF_B, kTransport, kFrame, kHeader);
  code.copy(BPF_REG_1, kTransport);
  code.compute(BPF_RSH, BPF_REG_1, 4);
  code.jump_if(BPF_JNE, BPF_REG_1, 4, pass);
  code.compute(BPF_AND, kTransport, 0xf);
  code.compute(BPF_LSH, kTransport, 2);
  code.jump_if(BPF_JLT, kTransport, 20, pass);
  store_protocol(code, 9, pass);
  code.load(BPF_H, BPF_REG_1, kFrame, kHeader + 6);
  code.swap(BPF_REG_1, 16);
  code.jump_if(BPF_JSET, BPF_REG_1, 0x3fff, pass);  // a fragment
  code.load(BPF_H, BPF_REG_1, kFrame, kHeader + 2);
  code.swap(BPF_REG_1, 16);
  code.store(BPF_DW, kFrame, kIpBytes, BPF_REG_1);
  store_mapped_address(code, 12, in_key(offsetof(Key, source)));
  store_mapped_address(code, 16, in_key(offsetof(Key, destination)));
  store_rest(code, Family::kIpv4);
}

/// The same.
void read_ipv6(ExtendedAssembler& code, ExtendedAssembler::Label pass) {
  code.move(BPF_REG_2, 0);
  read_header(code, 40, pass);
  code.load(BPF_B, BPF_REG_1, kFrame, kHeader);
  code.compute(BPF_RSH, BPF_REG_1, 4);
  code.jump_if(BPF_JNE, BPF_REG_1, 6, pass);
  store_protocol(code, 6, pass);
  code.move(kTransport, 40);
  code.load(BPF_H, BPF_REG_1, kFrame, kHeader + 4);
  code.swap(BPF_REG_1, 16);
  code.compute(BPF_ADD, BPF_REG_1, 40);
  code.store(BPF_DW, kFrame, kIpBytes, BPF_REG_1);
  for (int word = 0; word < 32; word += 8) {
    code.load(BPF_DW, BPF_REG_1, kFrame, kHeader + 8 + word);
    code.store(BPF_DW, kFrame, kKey + word, BPF_REG_1);
  }
  store_rest(code, Family::kIpv6);
}

/// The ports, and TCP's flags.
void read_transport(ExtendedAssembler& code, ExtendedAssembler::Label pass) {
  const auto tcp = code.label(), ports = code.label();
  code.move(kFlags, 0);
  code.load(BPF_B, BPF_REG_1, kFrame, in_key(offsetof(Key, protocol)));
  code.jump_if(BPF_JEQ, BPF_REG_1, IPPROTO_TCP, tcp);
  code.copy(BPF_REG_2, kTransport);
  read_header(code, 8, pass);
  code.jump(ports);
  code.place(tcp);
  code.copy(BPF_REG_2, kTransport);
  read_header(code, 14, pass);
  code.load(BPF_B, kFlags, kFrame, kHeader + 13);
  code.place(ports);
  for (const int port : {0, 2}) {
    code.load(BPF_H, BPF_REG_1, kFrame, kHeader + port);
    code.swap(BPF_REG_1, 16);
    code.store(BPF_H, kFrame, in_key(offsetof(Key, source_port)) + port, BPF_REG_1);
  }
}

void discard_known(ExtendedAssembler& code, int flows, int totals, ExtendedAssembler::Label pass,
                   ExtendedAssembler::Label discard) {
  const auto plain = code.label(), over = code.label();
  call_with_entry(code, flows, kKey);
  code.jump_if_wide(BPF_JEQ, BPF_REG_0, 0, pass);
  code.copy(kValue, BPF_REG_0);
  code.compute(BPF_AND, kFlags, kTelling);
  code.jump_if(BPF_JEQ, kFlags, 0, plain);
  code.jump(over);
  code.place(plain);
  code.load(BPF_W, BPF_REG_1, kValue, offsetof(Value, over));
  code.jump_if(BPF_JNE, BPF_REG_1, 0, pass);
  // The same sum as ConnectionTable::is_over(), in the same ticks.
  code.call(BPF_FUNC_ktime_get_ns);
  code.load(BPF_DW, BPF_REG_1, kValue, offsetof(Value, last_seen_ns));
  code.compute(BPF_DIV, BPF_REG_1, kTickNanoseconds);
  code.load(BPF_W, BPF_REG_2, kValue, offsetof(Value, timeout));
  code.add(BPF_REG_1, BPF_REG_2);
  code.copy(BPF_REG_2, BPF_REG_0);
  code.compute(BPF_DIV, BPF_REG_2, kTickNanoseconds);
  code.jump_if_register(BPF_JGE, BPF_REG_2, BPF_REG_1, over);
  code.store(BPF_DW, kValue, offsetof(Value, last_seen_ns), BPF_REG_0);
  code.store_value(BPF_DW, kFrame, kZero, 0);
  call_with_entry(code, totals, kZero);
  code.jump_if_wide(BPF_JEQ, BPF_REG_0, 0, discard);
  code.move(BPF_REG_1, 1);
  code.add_to_memory(BPF_REG_0, 0, BPF_REG_1);
  code.load(BPF_W, BPF_REG_1, kContext, offsetof(__sk_buff, len));
  code.add_to_memory(BPF_REG_0, 8, BPF_REG_1);
  code.load(BPF_DW, BPF_REG_1, kFrame, kIpBytes);
  code.add_to_memory(BPF_REG_0, 16, BPF_REG_1);
  code.jump(discard);
  code.place(over);
  code.store_value(BPF_W, kValue, offsetof(Value, over), 1);
  code.jump(pass);
}

Result<std::vector<bpf_insn>> bypass_program(const Program& arrival, int flows, int totals) {
  ExtendedAssembler code;
  const auto ipv4 = code.label(), ipv6 = code.label(), transport = code.label(),
             pass = code.label(), discard = code.label();
  code.copy(kContext, BPF_REG_1);
  if (Status added = code.append(arrival, discard); !added) return added.error();
  code.load(BPF_W, BPF_REG_0, kContext, offsetof(__sk_buff, protocol));
  code.swap(BPF_REG_0, 16);
  code.jump_if(BPF_JEQ, BPF_REG_0, ETH_P_IP, ipv4);
  code.jump_if(BPF_JEQ, BPF_REG_0, ETH_P_IPV6, ipv6);
  code.jump(pass);
  code.place(ipv4);
  read_ipv4(code, pass);
  code.jump(transport);
  code.place(ipv6);
  read_ipv6(code, pass);
  code.place(transport);
  read_transport(code, pass);
  discard_known(code, flows, totals, pass, discard);
  code.place(pass);
  code.move(BPF_REG_0, kWhole);
  code.exit();
  code.place(discard);
  code.move(BPF_REG_0, 0);
  code.exit();
  return code.finish();
}

}  // namespace

Result<std::unique_ptr<RingBypass>> RingBypass::open(const Program& arrival) {
  auto flows = make_map({.type = BPF_MAP_TYPE_HASH,
                         .key_bytes = sizeof(Key),
                         .value_bytes = sizeof(Value),
                         .entries = kConnectionsMax});
  if (!flows) return flows.error();
  if (!can_take_entries(flows.value().get())) {
    return Error{
        ErrorCode::kMissing,
        "Expected a kernel that empties BPF maps by batches (Linux 5.11) for the bypass but "
        "received another one."};
  }
  auto totals = make_map({.type = BPF_MAP_TYPE_ARRAY,
                          .key_bytes = sizeof(uint32_t),
                          .value_bytes = sizeof(Totals),
                          .entries = 1});
  if (!totals) return totals.error();
  const auto program = bypass_program(arrival, flows.value().get(), totals.value().get());
  if (!program) return program.error();
  auto loaded = load_socket_program(program.value());
  if (!loaded) return loaded.error();
  return std::unique_ptr<RingBypass>(new RingBypass(
      std::move(flows.value()), std::move(totals.value()), std::move(loaded.value())));
}

RingBypass::RingBypass(Descriptor flows, Descriptor totals, Descriptor program)
    : flows_(std::move(flows)),
      totals_(std::move(totals)),
      program_(std::move(program)),
      keys_(kTaken) {}

Status RingBypass::attach(int socket) const {
  const int program = program_.get();
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) != 0) {
    return system_error("attaching a BPF program to a packet socket");
  }
  return ok_status();
}

bool RingBypass::begin(const Key& key, uint64_t last_seen_ns, Tick timeout) {
  const Value value{.last_seen_ns = last_seen_ns, .timeout = timeout};
  return update_entry(flows_.get(), &key, &value);
}

std::optional<uint64_t> RingBypass::end(const Key& key) {
  const auto last = last_seen_ns(key);
  if (last) remove_entry(flows_.get(), &key);
  return last;
}

std::optional<uint64_t> RingBypass::last_seen_ns(const Key& key) {
  Value value;
  if (!read_entry(flows_.get(), &key, &value)) return std::nullopt;
  return value.last_seen_ns;
}

size_t RingBypass::end_some(std::span<Bypassed> ended) {
  std::array<Value, kTaken> values;
  const auto most = static_cast<uint32_t>(std::min<size_t>(ended.size(), kTaken));
  const uint32_t count = take_entries(flows_.get(), keys_.data(), values.data(), most);
  for (uint32_t i = 0; i < count; ++i) ended[i] = {keys_[i], values[i].last_seen_ns};
  return count;
}

void RingBypass::collect(Counters& counters) {
  const uint32_t first = 0;
  Totals now;
  if (!read_entry(totals_.get(), &first, &now)) return;
  const uint64_t packets = now.packets - collected_.packets;
  for (const Count count :
       {Count::kPackets, Count::kIp, Count::kClass4, Count::kDiscarded, Count::kBypassed}) {
    counters.add(count, packets);
  }
  counters.add(Count::kBytes, now.bytes - collected_.bytes);
  counters.add(Count::kDiscardedBytes, now.ip_bytes - collected_.ip_bytes);
  collected_ = now;
}

}  // namespace flowsieve
