// Extended BPF: an assembler for programs of a page or two, and the few calls of bpf(2) that they
// need. Programs are assembled here because users have a C++ compiler and need none for BPF.
//
// Instructions as of RFC 9669. R6 must hold the context in a program that contains a classic one.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/descriptor.h"
#include "base/status.h"
#include "wire/ring_program.h"

namespace flowsieve {

class ExtendedAssembler {
 public:
  using Label = size_t;

  Label label();
  void place(Label label) { places_[label] = program_.size(); }
  /// One instruction as it stands.
  void op(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value);
  void move(uint8_t to, int32_t value) { op(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value); }
  void copy(uint8_t to, uint8_t from) { op(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
  /// `operation` is BPF_ADD, BPF_AND, BPF_LSH …, on all 64 bits.
  void compute(uint8_t operation, uint8_t to, int32_t value) {
    op(static_cast<uint8_t>(BPF_ALU64 | BPF_K | operation), to, 0, 0, value);
  }
  void add(uint8_t to, uint8_t from) { op(BPF_ALU64 | BPF_ADD | BPF_X, to, from, 0, 0); }
  /// The lower `bits` (16 or 32) from network to host order, or back; the rest becomes zero.
  void swap(uint8_t to, int bits) { op(BPF_ALU | BPF_END | BPF_TO_BE, to, 0, 0, bits); }
  /// `size` is BPF_B, BPF_H, BPF_W or BPF_DW.
  void load(uint8_t size, uint8_t to, uint8_t base, int offset);
  void store(uint8_t size, uint8_t base, int offset, uint8_t from);
  void store_value(uint8_t size, uint8_t base, int offset, int32_t value);
  /// Adds a register to 64 bits in memory at once.
  void add_to_memory(uint8_t base, int offset, uint8_t from);
  void load_map(uint8_t to, int map);
  void call(int32_t helper) { op(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
  void jump(Label target) { jump_if(BPF_JA, 0, 0, target); }
  /// `test` is BPF_JEQ, BPF_JNE, BPF_JLT, BPF_JSET …, of the lower 32 bits of a register.
  void jump_if(uint8_t test, uint8_t what, int32_t value, Label target);
  /// The same of all 64 bits.
  void jump_if_wide(uint8_t test, uint8_t what, int32_t value, Label target);
  /// Compares two registers, all 64 bits.
  void jump_if_register(uint8_t test, uint8_t what, uint8_t with, Label target);
  void exit() { op(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }
  /// A classic filter as far as arrival_filter() and gateway_filter() go: what it accepts goes on
  /// behind it, what it rejects goes to `reject`. kArgument for an instruction beyond those.
  Status append(const Program& classic, Label reject);
  /// The finished program; all labels used must have been placed.
  std::vector<bpf_insn> finish();

 private:
  static constexpr size_t kUnplaced = ~size_t{0};
  struct Jump {
    size_t at;
    Label target;
  };
  void append_load(const sock_filter& one);

  std::vector<bpf_insn> program_;
  std::vector<size_t> places_;
  std::vector<Jump> jumps_;
};

struct MapShape {
  bpf_map_type type = BPF_MAP_TYPE_HASH;
  uint32_t key_bytes = 0, value_bytes = 0, entries = 0;
};

Result<Descriptor> make_map(const MapShape& shape);
/// Loads a program for a socket; an error has the end of what the kernel's verifier said.
Result<Descriptor> load_socket_program(std::span<const bpf_insn> program);
/// Loads one for an interface's ingress.
Result<Descriptor> load_ingress_program(std::span<const bpf_insn> program);
/// Has it run for all that comes in by this interface, before others there, for as long as the
/// descriptor is open. kMissing before Linux 6.6.
Result<Descriptor> attach_to_ingress(int program, uint32_t interface);

/// Makes or replaces an entry; false when there is no room.
bool update_entry(int map, const void* key, const void* value);
/// Reads an entry; false when there is none.
bool read_entry(int map, const void* key, void* value);
/// Removes an entry; false when there was none.
bool remove_entry(int map, const void* key);
/// Whether this kernel knows take_entries(); `map` is an empty hash map.
bool can_take_entries(int map);
/// Takes up to `count` entries out of a hash map; how many came. 0: it is empty.
uint32_t take_entries(int map, void* keys, void* values, uint32_t count);

}  // namespace flowsieve
