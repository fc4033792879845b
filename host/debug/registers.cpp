#include "debug/registers.h"

#include <cctype>
#include <string>

namespace debug {

namespace {

constexpr std::string_view kNames64[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
constexpr std::string_view kNames32[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
constexpr std::string_view kNames16[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
constexpr std::string_view kNames8[] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"};
constexpr std::string_view kHighNames8[] = {"ah", "ch", "dh", "bh"};
constexpr std::string_view kXmmNames[] = {"xmm0",  "xmm1",  "xmm2",  "xmm3", "xmm4",  "xmm5",
                                          "xmm6",  "xmm7",  "xmm8",  "xmm9", "xmm10", "xmm11",
                                          "xmm12", "xmm13", "xmm14", "xmm15"};

// Bits of a part of a general register, and how far it is shifted: "r8d" -> {8, 0, 32}.
struct Part {
  uint8_t reg;
  uint8_t shift;
  uint8_t bits;
};

std::optional<Part> FindPart(std::string_view name) {
  for (uint8_t i = 0; i < 16; ++i) {
    if (name == kNames64[i]) return Part{i, 0, 64};
    if (i >= 8 && name.size() == kNames64[i].size() + 1 && name.starts_with(kNames64[i])) {
      switch (name.back()) {
        case 'd':
          return Part{i, 0, 32};
        case 'w':
          return Part{i, 0, 16};
        case 'b':
          return Part{i, 0, 8};
        default:
          break;
      }
    }
  }
  for (uint8_t i = 0; i < 8; ++i) {
    if (name == kNames32[i]) return Part{i, 0, 32};
    if (name == kNames16[i]) return Part{i, 0, 16};
    if (name == kNames8[i]) return Part{i, 0, 8};
    if (i < 4 && name == kHighNames8[i]) return Part{i, 8, 8};
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint64_t> Registers::ByName(std::string_view name) const {
  std::string lower;
  for (char c : name) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (const auto part = FindPart(lower)) {
    if (!IsKnown(part->reg)) return std::nullopt;
    const uint64_t value = gpr[part->reg] >> part->shift;
    return part->bits == 64 ? value : value & ((1ull << part->bits) - 1);
  }
  if (lower == "rip" || lower == "eip") return lower == "rip" ? rip : rip & 0xffffffff;
  if (lower == "efl" || lower == "eflags") return eflags;
  if (lower == "cs") return cs;
  if (lower == "ss") return ss;
  if (lower == "ds") return ds;
  if (lower == "es") return es;
  if (lower == "fs") return fs;
  if (lower == "gs") return gs;
  return std::nullopt;
}

std::string_view RegisterName(uint8_t reg) {
  if (reg < 16) return kNames64[reg];
  if (reg < 32) return kXmmNames[reg - 16];
  return "?";
}

Registers FromContext(const kdump::ContextX64& c) {
  Registers r;
  r.gpr = {c.Rax, c.Rcx, c.Rdx, c.Rbx, c.Rsp, c.Rbp, c.Rsi, c.Rdi,
           c.R8,  c.R9,  c.R10, c.R11, c.R12, c.R13, c.R14, c.R15};
  r.rip = c.Rip;
  r.eflags = c.EFlags;
  r.cs = c.SegCs;
  r.ss = c.SegSs;
  r.ds = c.SegDs;
  r.es = c.SegEs;
  r.fs = c.SegFs;
  r.gs = c.SegGs;
  for (size_t i = 0; i < 16; ++i) r.xmm[i] = c.XmmRegisters[i];
  r.known = 0xffff;
  r.xmm_known = 0xffff;
  return r;
}

}  // namespace debug
