#include "wire/early_verdict.h"

#include <linux/pkt_cls.h>

#include "wire/bpf.h"

namespace flowsieve {
namespace {

constexpr int kZero = -4;  // on the program's stack: the index of the note

std::vector<bpf_insn> ingress_program(int note, uint32_t to) {
  ExtendedAssembler code;
  const auto deliver = code.label(), pass = code.label();
  code.store_value(BPF_W, BPF_REG_10, kZero, 0);
  code.load_map(BPF_REG_1, note);
  code.copy(BPF_REG_2, BPF_REG_10);
  code.compute(BPF_ADD, BPF_REG_2, kZero);
  code.call(BPF_FUNC_map_lookup_elem);
  code.jump_if_wide(BPF_JEQ, BPF_REG_0, 0, pass);
  code.load(BPF_W, BPF_REG_1, BPF_REG_0, 0);
  code.jump_if(BPF_JEQ, BPF_REG_1, 0, pass);
  code.store_value(BPF_W, BPF_REG_0, 0, 0);
  code.jump_if(BPF_JEQ, BPF_REG_1, EarlyVerdict::note_of(Bypass::kDeliver), deliver);
  code.move(BPF_REG_0, TC_ACT_SHOT);
  code.exit();
  code.place(deliver);
  code.move(BPF_REG_1, static_cast<int32_t>(to));
  code.move(BPF_REG_2, BPF_F_INGRESS);
  code.call(BPF_FUNC_redirect);
  code.exit();
  code.place(pass);
  code.move(BPF_REG_0, TC_ACT_UNSPEC);  // whatever comes behind
  code.exit();
  return code.finish();
}

}  // namespace

Result<std::shared_ptr<EarlyVerdict>> EarlyVerdict::open(uint32_t from, uint32_t to) {
  auto note = make_map({.type = BPF_MAP_TYPE_PERCPU_ARRAY,
                        .key_bytes = sizeof(uint32_t),
                        .value_bytes = sizeof(EarlyVerdict::Note),
                        .entries = 1});
  if (!note) return note.error();
  auto program = load_ingress_program(ingress_program(note.value().get(), to));
  if (!program) return program.error();
  auto link = attach_to_ingress(program.value().get(), from);
  if (!link) return link.error();
  return std::shared_ptr<EarlyVerdict>(new EarlyVerdict(
      std::move(note.value()), std::move(program.value()), std::move(link.value())));
}

}  // namespace flowsieve
