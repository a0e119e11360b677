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
  uint16_t over = 0;  ///< a packet has come that the worker must see, and it sees all since
  Bypass what = Bypass::kDiscard;
  uint8_t zero = 0;
  Tick timeout = 0;
};
static_assert(sizeof(Value) == 16);

constexpr uint32_t kWhole = 0x7fffffff;
constexpr uint32_t kTaken = 256;  // entries that one call takes
constexpr uint8_t kTelling = kTcpSyn | kTcpFin | kTcpRst;

// The program's stack, from its end downwards, and its registers.
constexpr int kKey = -40, kHeader = -80, kIpBytes = -88, kIndex = -96, kNote = -104;
constexpr int in_key(size_t field) {
  return kKey + static_cast<int>(field);
}
constexpr uint8_t kContext = BPF_REG_6, kTransport = BPF_REG_7, kFlags = BPF_REG_8,
                  kValue = BPF_REG_9, kFrame = BPF_REG_10;

/// The maps that the program works with.
struct Maps {
  int flows, totals;
  int note;  ///< -1: nothing is delivered
};

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

/// Unsays what was said of the packet before, and keeps in kNote where to say it.
void clear_note(ExtendedAssembler& code, int note, ExtendedAssembler::Label pass) {
  code.store_value(BPF_W, kFrame, kIndex, 0);
  call_with_entry(code, note, kIndex);
  code.jump_if_wide(BPF_JEQ, BPF_REG_0, 0, pass);
  code.store_value(BPF_W, BPF_REG_0, 0, 0);
  code.store(BPF_DW, kFrame, kNote, BPF_REG_0);
}

/// Goes on with a packet of a bypassed connection that changes nothing, and has kValue say where the
/// connection stands; the time is in R0.
void find_known(ExtendedAssembler& code, int flows, ExtendedAssembler::Label pass) {
  const auto plain = code.label(), over = code.label(), known = code.label();
  call_with_entry(code, flows, kKey);
  code.jump_if_wide(BPF_JEQ, BPF_REG_0, 0, pass);
  code.copy(kValue, BPF_REG_0);
  code.compute(BPF_AND, kFlags, kTelling);
  code.jump_if(BPF_JEQ, kFlags, 0, plain);
  code.jump(over);
  code.place(plain);
  code.load(BPF_H, BPF_REG_1, kValue, offsetof(Value, over));
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
  code.jump(known);
  code.place(over);
  code.store_value(BPF_H, kValue, offsetof(Value, over), 1);
  code.jump(pass);
  code.place(known);
}

/// A packet that is kept out: its time, and the sums.
void count_known(ExtendedAssembler& code, int totals, ExtendedAssembler::Label pass) {
  code.store(BPF_DW, kValue, offsetof(Value, last_seen_ns), BPF_REG_0);
  code.load(BPF_B, BPF_REG_1, kValue, offsetof(Value, what));
  code.store(BPF_W, kFrame, kIndex, BPF_REG_1);
  call_with_entry(code, totals, kIndex);
  code.jump_if_wide(BPF_JEQ, BPF_REG_0, 0, pass);
  code.move(BPF_REG_1, 1);
  code.add_to_memory(BPF_REG_0, 0, BPF_REG_1);
  code.load(BPF_W, BPF_REG_1, kContext, offsetof(__sk_buff, len));
  code.add_to_memory(BPF_REG_0, 8, BPF_REG_1);
  code.load(BPF_DW, BPF_REG_1, kFrame, kIpBytes);
  code.add_to_memory(BPF_REG_0, 16, BPF_REG_1);
}

/// A tagged packet is for another device than the ingress program knows: an own one goes to the
/// ring, another's is kept out of it and no more. The time in R0 stays.
void check_tag(ExtendedAssembler& code, ExtendedAssembler::Label pass,
               ExtendedAssembler::Label tagged) {
  const auto untagged = code.label();
  code.load(BPF_W, BPF_REG_1, kContext, offsetof(__sk_buff, vlan_present));
  code.jump_if(BPF_JEQ, BPF_REG_1, 0, untagged);
  code.load(BPF_B, BPF_REG_1, kValue, offsetof(Value, what));
  code.jump_if(BPF_JEQ, BPF_REG_1, static_cast<int32_t>(Bypass::kDeliver), pass);
  code.jump(tagged);
  code.place(untagged);
}

void write_note(ExtendedAssembler& code) {
  code.load(BPF_B, BPF_REG_1, kValue, offsetof(Value, what));
  code.compute(BPF_ADD, BPF_REG_1, static_cast<int32_t>(EarlyVerdict::note_of(Bypass{})));
  code.load(BPF_DW, BPF_REG_2, kFrame, kNote);
  code.store(BPF_W, BPF_REG_2, 0, BPF_REG_1);
}

Result<std::vector<bpf_insn>> bypass_program(const Program& arrival, const Maps& maps) {
  ExtendedAssembler code;
  const auto ipv4 = code.label(), ipv6 = code.label(), transport = code.label(),
             tagged = code.label(), pass = code.label(), keep_out = code.label();
  code.copy(kContext, BPF_REG_1);
  if (maps.note >= 0) clear_note(code, maps.note, pass);
  if (Status added = code.append(arrival, keep_out); !added) return added.error();
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
  find_known(code, maps.flows, pass);
  if (maps.note >= 0) {
    check_tag(code, pass, tagged);
    count_known(code, maps.totals, pass);
    write_note(code);
    code.jump(keep_out);
    code.place(tagged);
  }
  count_known(code, maps.totals, pass);
  code.jump(keep_out);
  code.place(pass);
  code.move(BPF_REG_0, kWhole);
  code.exit();
  code.place(keep_out);
  code.move(BPF_REG_0, 0);
  code.exit();
  return code.finish();
}

}  // namespace

Result<std::unique_ptr<RingBypass>> RingBypass::open(const Program& arrival,
                                                     std::shared_ptr<EarlyVerdict> early) {
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
                          .entries = 2});
  if (!totals) return totals.error();
  const auto program = bypass_program(arrival, {.flows = flows.value().get(),
                                                .totals = totals.value().get(),
                                                .note = early ? early->note() : -1});
  if (!program) return program.error();
  auto loaded = load_socket_program(program.value());
  if (!loaded) return loaded.error();
  return std::unique_ptr<RingBypass>(new RingBypass(std::move(early), std::move(flows.value()),
                                                    std::move(totals.value()),
                                                    std::move(loaded.value())));
}

RingBypass::RingBypass(std::shared_ptr<EarlyVerdict> early, Descriptor flows, Descriptor totals,
                       Descriptor program)
    : early_(std::move(early)),
      flows_(std::move(flows)),
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

bool RingBypass::begin(const Key& key, Bypass what, uint64_t last_seen_ns, Tick timeout) {
  const Value value{.last_seen_ns = last_seen_ns, .what = what, .timeout = timeout};
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

RingBypass::Totals RingBypass::collect(Bypass what) {
  const auto index = static_cast<uint32_t>(what);
  Totals now;
  if (!read_entry(totals_.get(), &index, &now)) return {};
  Totals& before = collected_[index];
  const Totals since{.packets = now.packets - before.packets,
                     .bytes = now.bytes - before.bytes,
                     .ip_bytes = now.ip_bytes - before.ip_bytes};
  before = now;
  return since;
}

void RingBypass::collect(Counters& counters) {
  const Totals discarded = collect(Bypass::kDiscard);
  const Totals delivered = collect(Bypass::kDeliver);
  counters.add(Count::kClass4, discarded.packets);
  counters.add(Count::kDiscarded, discarded.packets);
  counters.add(Count::kDiscardedBytes, discarded.ip_bytes);
  counters.add(Count::kClass2, delivered.packets);
  counters.add(Count::kDelivered, delivered.packets);
  counters.add(Count::kDeliveredBytes, delivered.ip_bytes);
  counters.add(Count::kDeliveredByKernel, delivered.packets);
  counters.add(Count::kBypassed, discarded.packets);
  for (const Totals& any : {discarded, delivered}) {
    counters.add(Count::kPackets, any.packets);
    counters.add(Count::kIp, any.packets);
    counters.add(Count::kBytes, any.bytes);
  }
}

}  // namespace flowsieve
