#include "commands/registers_text.h"

#include "commands/text.h"
#include "debug/disassembler.h"

namespace commands {

namespace {

std::string FlagText(uint32_t flags) {
  auto bit = [&](unsigned n, const char* set, const char* clear) {
    return (flags >> n & 1) != 0 ? set : clear;
  };
  return fmt::format("iopl={}         {} {} {} {} {} {} {} {}", flags >> 12 & 3, bit(11, "ov", "nv"),
                     bit(10, "dn", "up"), bit(9, "ei", "di"), bit(7, "ng", "pl"), bit(6, "zr", "nz"),
                     bit(4, "ac", "na"), bit(2, "pe", "po"), bit(0, "cy", "nc"));
}

}  // namespace

void PrintInstructionAt(Context& context, uint64_t address) {
  context.out.Line("{}:", context.session.symbols().Describe(address));
  const debug::Disassembler disassembler(context.session.symbols());
  const auto instruction = disassembler.Decode(address);
  context.out.Line("{}", instruction ? debug::Disassembler::FormatLine(*instruction)
                                     : debug::FormatAddress(address) + " ??              ???");
}

void PrintRegisters(Context& context, const debug::Registers& r) {
  Output& out = context.out;
  using debug::Reg;
  auto g = [&](Reg reg) { return Hex16(r.gpr[reg]); };
  if (r.known != 0xFFFF) {
    out.Line("NOTE: The volatile registers are not known here; they are shown as zero or stale.");
  }
  out.Line("rax={} rbx={} rcx={}", g(debug::kRax), g(debug::kRbx), g(debug::kRcx));
  out.Line("rdx={} rsi={} rdi={}", g(debug::kRdx), g(debug::kRsi), g(debug::kRdi));
  out.Line("rip={} rsp={} rbp={}", Hex16(r.rip), g(debug::kRsp), g(debug::kRbp));
  out.Line(" r8={}  r9={} r10={}", g(debug::kR8), g(debug::kR9), g(debug::kR10));
  out.Line("r11={} r12={} r13={}", g(debug::kR11), g(debug::kR12), g(debug::kR13));
  out.Line("r14={} r15={}", g(debug::kR14), g(debug::kR15));
  out.Line("{}", FlagText(r.eflags));
  out.Line("cs={:04x}  ss={:04x}  ds={:04x}  es={:04x}  fs={:04x}  gs={:04x}             efl={:08x}", r.cs,
           r.ss, r.ds, r.es, r.fs, r.gs, r.eflags);
  PrintInstructionAt(context, r.rip);
}

}  // namespace commands
