#include "wire/bpf.h"

#include <linux/if_packet.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <string>

namespace flowsieve {
namespace {

constexpr uint8_t kContext = BPF_REG_6;
// Linux 6.6; the headers that this is built with may be older.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr uint32_t kBefore = 8;

/// bpf(2); glibc has no function for it.
int call_bpf(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

uint64_t address_of(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer);
}

Result<Descriptor> load_program(bpf_prog_type type, std::span<const bpf_insn> program) {
  std::vector<char> said(1 << 16);
  bpf_attr attributes{};
  attributes.prog_type = type;
  attributes.insns = address_of(program.data());
  attributes.insn_cnt = static_cast<uint32_t>(program.size());
  attributes.license = address_of("Apache-2.0");
  Descriptor loaded{call_bpf(BPF_PROG_LOAD, attributes)};
  if (loaded.open()) return loaded;
  Error error = system_error("loading a BPF program");
  // Once more, for what the verifier has against it.
  attributes.log_buf = address_of(said.data());
  attributes.log_size = static_cast<uint32_t>(said.size());
  attributes.log_level = 1;
  if (call_bpf(BPF_PROG_LOAD, attributes) < 0 && said[0] != 0) {
    const std::string log = said.data();
    error.message += " " + log.substr(log.size() - std::min<size_t>(log.size(), 300));
  }
  return error;
}

}  // namespace

ExtendedAssembler::Label ExtendedAssembler::label() {
  places_.push_back(kUnplaced);
  return places_.size() - 1;
}

void ExtendedAssembler::op(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
  bpf_insn one{};
  one.code = code;
  one.dst_reg = to & 0xf;
  one.src_reg = from & 0xf;
  one.off = offset;
  one.imm = value;
  program_.push_back(one);
}

void ExtendedAssembler::load(uint8_t size, uint8_t to, uint8_t base, int offset) {
  op(static_cast<uint8_t>(BPF_LDX | BPF_MEM | size), to, base, static_cast<int16_t>(offset), 0);
}

void ExtendedAssembler::store(uint8_t size, uint8_t base, int offset, uint8_t from) {
  op(static_cast<uint8_t>(BPF_STX | BPF_MEM | size), base, from, static_cast<int16_t>(offset), 0);
}

void ExtendedAssembler::store_value(uint8_t size, uint8_t base, int offset, int32_t value) {
  op(static_cast<uint8_t>(BPF_ST | BPF_MEM | size), base, 0, static_cast<int16_t>(offset), value);
}

void ExtendedAssembler::add_to_memory(uint8_t base, int offset, uint8_t from) {
  op(BPF_STX | BPF_ATOMIC | BPF_DW, base, from, static_cast<int16_t>(offset), BPF_ADD);
}

void ExtendedAssembler::load_map(uint8_t to, int map) {
  op(BPF_LD | BPF_DW | BPF_IMM, to, BPF_PSEUDO_MAP_FD, 0, map);
  op(0, 0, 0, 0, 0);  // the upper half of its 64 bits
}

void ExtendedAssembler::jump_if(uint8_t test, uint8_t what, int32_t value, Label target) {
  jumps_.push_back({program_.size(), target});
  const uint8_t width = test == BPF_JA ? BPF_JMP : BPF_JMP32;
  op(static_cast<uint8_t>(width | BPF_K | test), what, 0, 0, value);
}

void ExtendedAssembler::jump_if_wide(uint8_t test, uint8_t what, int32_t value, Label target) {
  jumps_.push_back({program_.size(), target});
  op(static_cast<uint8_t>(BPF_JMP | BPF_K | test), what, 0, 0, value);
}

void ExtendedAssembler::jump_if_register(uint8_t test, uint8_t what, uint8_t with, Label target) {
  jumps_.push_back({program_.size(), target});
  op(static_cast<uint8_t>(BPF_JMP | BPF_X | test), what, with, 0, 0);
}

void ExtendedAssembler::append_load(const sock_filter& one) {
  const auto field = static_cast<int32_t>(one.k) - SKF_AD_OFF;
  if (field == SKF_AD_PKTTYPE) {
    load(BPF_W, BPF_REG_0, kContext, offsetof(__sk_buff, pkt_type));
  } else if (field == SKF_AD_PROTOCOL) {
    load(BPF_W, BPF_REG_0, kContext, offsetof(__sk_buff, protocol));
    swap(BPF_REG_0, 16);
  } else {
    // Ends the program with 0 where the packet does not reach that far, as the classic one.
    op(static_cast<uint8_t>(one.code), 0, 0, 0, static_cast<int32_t>(one.k));
  }
}

Status ExtendedAssembler::append(const Program& classic, Label reject) {
  std::vector<Label> labels;
  for (size_t i = 0; i <= classic.size(); ++i) labels.push_back(label());
  for (size_t i = 0; i < classic.size(); ++i) {
    const sock_filter& one = classic[i];
    place(labels[i]);
    switch (one.code) {
      case BPF_LD | BPF_W | BPF_ABS:
      case BPF_LD | BPF_H | BPF_ABS:
      case BPF_LD | BPF_B | BPF_ABS:
        append_load(one);
        break;
      case BPF_JMP | BPF_JA:
        jump(labels[i + 1 + one.k]);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        jump_if(BPF_JEQ, BPF_REG_0, static_cast<int32_t>(one.k), labels[i + 1 + one.jt]);
        jump(labels[i + 1 + one.jf]);
        break;
      case BPF_RET | BPF_K:
        jump(one.k == 0 ? reject : labels.back());
        break;
      default:
        return Error{ErrorCode::kArgument,
                     "Expected a filter of loads and comparisons but received "
                     "one with the instruction " +
                         std::to_string(one.code) + "."};
    }
  }
  place(labels.back());
  return ok_status();
}

std::vector<bpf_insn> ExtendedAssembler::finish() {
  for (const Jump& jump : jumps_) {
    assert(places_[jump.target] != kUnplaced && places_[jump.target] > jump.at);
    program_[jump.at].off = static_cast<int16_t>(places_[jump.target] - jump.at - 1);
  }
  jumps_.clear();
  return std::move(program_);
}

Result<Descriptor> make_map(const MapShape& shape) {
  bpf_attr attributes{};
  attributes.map_type = shape.type;
  attributes.key_size = shape.key_bytes;
  attributes.value_size = shape.value_bytes;
  attributes.max_entries = shape.entries;
  Descriptor map{call_bpf(BPF_MAP_CREATE, attributes)};
  if (!map.open()) return system_error("making a BPF map");
  return map;
}

Result<Descriptor> load_socket_program(std::span<const bpf_insn> program) {
  return load_program(BPF_PROG_TYPE_SOCKET_FILTER, program);
}

Result<Descriptor> load_ingress_program(std::span<const bpf_insn> program) {
  return load_program(BPF_PROG_TYPE_SCHED_CLS, program);
}

Result<Descriptor> attach_to_ingress(int program, uint32_t interface) {
  bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<uint32_t>(program);
  attributes.link_create.target_ifindex = interface;
  attributes.link_create.attach_type = kTcxIngress;
  attributes.link_create.flags = kBefore;  // before nothing in particular: first
  Descriptor link{call_bpf(BPF_LINK_CREATE, attributes)};
  if (link.open()) return link;
  if (errno == EINVAL) {
    return Error{ErrorCode::kMissing,
                 "Expected a kernel with BPF links at an interface's ingress (Linux 6.6) but "
                 "received another one."};
  }
  return system_error("attaching a BPF program to an interface");
}

bool update_entry(int map, const void* key, const void* value) {
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = address_of(key);
  attributes.value = address_of(value);
  return call_bpf(BPF_MAP_UPDATE_ELEM, attributes) == 0;
}

bool read_entry(int map, const void* key, void* value) {
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = address_of(key);
  attributes.value = address_of(value);
  return call_bpf(BPF_MAP_LOOKUP_ELEM, attributes) == 0;
}

bool remove_entry(int map, const void* key) {
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = address_of(key);
  return call_bpf(BPF_MAP_DELETE_ELEM, attributes) == 0;
}

bool can_take_entries(int map) {
  bpf_attr attributes{};
  uint64_t place = 0;
  attributes.batch.out_batch = address_of(&place);
  attributes.batch.map_fd = static_cast<uint32_t>(map);
  attributes.batch.count = 1;
  // Of an empty map nothing is written, and the answer is that this was the end.
  return call_bpf(BPF_MAP_LOOKUP_AND_DELETE_BATCH, attributes) == 0 || errno == ENOENT;
}

uint32_t take_entries(int map, void* keys, void* values, uint32_t count) {
  // Where the kernel stands. It goes on from the first place, as everything before has been taken.
  uint32_t place = 0;
  bpf_attr attributes{};
  attributes.batch.out_batch = address_of(&place);
  attributes.batch.keys = address_of(keys);
  attributes.batch.values = address_of(values);
  attributes.batch.count = count;
  attributes.batch.map_fd = static_cast<uint32_t>(map);
  // ENOENT: that was the last. What came is counted in any case but where the call is not known.
  const int done = call_bpf(BPF_MAP_LOOKUP_AND_DELETE_BATCH, attributes);
  return done == 0 || errno == ENOENT ? attributes.batch.count : 0;
}

}  // namespace flowsieve
