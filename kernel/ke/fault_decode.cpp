// What the instruction behind a fault says that the vector does not.
#include "ke_internal.h"

namespace {

struct Instruction {
  const UCHAR* at;   // opcode
  ULONG64 bias = 0;  // where the bytes stand, less where they were copied to
  UCHAR rex = 0;
  bool word = false;  // operand-size prefix
  bool lock = false;
};

Instruction SkipPrefixes(const UCHAR* at, ULONG64 bias) {
  Instruction instruction{at, bias};
  for (int i = 0; i < 14; ++i, ++instruction.at) {
    switch (*instruction.at) {
      case 0x66:
        instruction.word = true;
        continue;
      case 0xF0:
        instruction.lock = true;
        continue;
      case 0x26:
      case 0x2E:
      case 0x36:
      case 0x3E:
      case 0x64:
      case 0x65:
      case 0x67:
      case 0xF2:
      case 0xF3:
        continue;
    }
    break;
  }
  if ((*instruction.at & 0xF0) == 0x40) instruction.rex = *instruction.at++;
  return instruction;
}

LONG Read32(const UCHAR* at) {
  return static_cast<LONG>(at[0] | at[1] << 8 | at[2] << 16 | static_cast<ULONG>(at[3]) << 24);
}

// The address of a ModRM memory operand; `gpr` in encoding order.
ULONG64 OperandAddress(const Instruction& instruction, const UCHAR* modrm, const ULONG64* gpr) {
  const UCHAR mode = *modrm >> 6, rm = *modrm & 7;
  const UCHAR* at = modrm + 1;
  ULONG64 address = 0;
  if (rm == 4) {  // SIB
    const UCHAR sib = *at++;
    const UCHAR index = static_cast<UCHAR>((sib >> 3 & 7) | (instruction.rex & 2) << 2);
    if (index != 4) address = gpr[index] << (sib >> 6);
    if ((sib & 7) == 5 && mode == 0) return address + static_cast<ULONG64>(LONG64{Read32(at)});
    address += gpr[(sib & 7) | (instruction.rex & 1) << 3];
  } else if (rm == 5 && mode == 0) {  // rip-relative: F6/F7 /6, /7 have no immediate
    return reinterpret_cast<ULONG64>(at + 4) + instruction.bias + static_cast<ULONG64>(LONG64{Read32(at)});
  } else {
    address = gpr[rm | (instruction.rex & 1) << 3];
  }
  if (mode == 1) address += static_cast<ULONG64>(LONG64{static_cast<CHAR>(*at)});
  if (mode == 2) address += static_cast<ULONG64>(LONG64{Read32(at)});
  return address;
}

// The processor read the divisor a moment ago: it can be read again. (A program's may be gone: not zero
// then.)
bool DivisorIsZero(const Instruction& instruction, const ULONG64* gpr, bool user) {
  const UCHAR* modrm = instruction.at + 1;
  const bool byte = *instruction.at == 0xF6;
  const ULONG size = byte ? 1 : (instruction.rex & 8) ? 8 : instruction.word ? 2 : 4;
  ULONG64 value = 0;
  if ((*modrm & 0xC0) == 0xC0) {
    const UCHAR index = static_cast<UCHAR>((*modrm & 7) | (instruction.rex & 1) << 3);
    const bool high_byte = byte && instruction.rex == 0 && index >= 4;  // ah, ch, dh, bh
    value = high_byte ? gpr[index - 4] >> 8 : gpr[index];
    if (size < 8) value &= (1ull << (8 * size)) - 1;
  } else {
    const auto* address = reinterpret_cast<const void*>(OperandAddress(instruction, modrm, gpr));
    if (user) return NT_SUCCESS(KeCopyFromUser(&value, address, size)) && value == 0;
    RtlCopyMemory(&value, address, size);
  }
  return value == 0;
}

bool IsPrivileged(const UCHAR* at) {
  switch (*at) {
    case 0x6C:
    case 0x6D:
    case 0x6E:
    case 0x6F:  // ins, outs
    case 0xE4:
    case 0xE5:
    case 0xE6:
    case 0xE7:
    case 0xEC:
    case 0xED:
    case 0xEE:
    case 0xEF:  // in, out
    case 0xF4:
    case 0xFA:
    case 0xFB:  // hlt, cli, sti
      return true;
    case 0x0F:
      break;
    default:
      return false;
  }
  switch (at[1]) {
    case 0x06:
    case 0x08:
    case 0x09:  // clts, invd, wbinvd
    case 0x20:
    case 0x21:
    case 0x22:
    case 0x23:  // mov cr, dr
    case 0x30:
    case 0x32:
    case 0x33:  // wrmsr, rdmsr, rdpmc
      return true;
    case 0x00:  // lldt, ltr
      return (at[2] >> 3 & 7) == 2 || (at[2] >> 3 & 7) == 3;
    case 0x01:  // lgdt, lidt, lmsw, invlpg, xsetbv
      return (at[2] >> 3 & 7) == 2 || (at[2] >> 3 & 7) == 3 || (at[2] >> 3 & 7) >= 6;
    default:
      return false;
  }
}

void Refine(PEXCEPTION_RECORD record, PCONTEXT context, const UCHAR* code, bool user) {
  const ULONG64 bias = context->Rip - reinterpret_cast<ULONG64>(code);
  switch (record->ExceptionCode) {
    case STATUS_INTEGER_DIVIDE_BY_ZERO: {
      const Instruction instruction = SkipPrefixes(code, bias);
      if ((*instruction.at & 0xFE) == 0xF6 && !DivisorIsZero(instruction, &context->Rax, user)) {
        record->ExceptionCode = STATUS_INTEGER_OVERFLOW;
      }
      break;
    }
    case STATUS_ILLEGAL_INSTRUCTION:
      if (SkipPrefixes(code, bias).lock) record->ExceptionCode = STATUS_INVALID_LOCK_SEQUENCE;
      break;
    case STATUS_ACCESS_VIOLATION:
      // A page fault knows its address; a protection fault does not.
      if (record->NumberParameters == 2 && record->ExceptionInformation[1] == ~ULONG_PTR{0} &&
          IsPrivileged(SkipPrefixes(code, bias).at)) {
        record->ExceptionCode = STATUS_PRIVILEGED_INSTRUCTION;
        record->NumberParameters = 0;
      }
      break;
    default:
      break;
  }
}

}  // namespace

VOID KiPreprocessFault(PEXCEPTION_RECORD record, PCONTEXT context, KPROCESSOR_MODE mode) {
  if (mode == KernelMode) {
    Refine(record, context, reinterpret_cast<const UCHAR*>(context->Rip), false);
    return;
  }
  // The program may change or unmap its code meanwhile. What follows the last page that can be read is zero.
  UCHAR code[32] = {};
  const ULONG_PTR to_page_end = PAGE_SIZE - (context->Rip & (PAGE_SIZE - 1));
  const auto* at = reinterpret_cast<const UCHAR*>(context->Rip);
  const SIZE_T first = to_page_end < 16 ? to_page_end : 16;
  if (!NT_SUCCESS(KeCopyFromUser(code, at, first))) return;
  if (first < 16) (void)KeCopyFromUser(code + first, at + first, 16 - first);
  Refine(record, context, code, true);
}
