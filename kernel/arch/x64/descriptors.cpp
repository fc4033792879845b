#include "arch/descriptors.h"

#include "arch/cpu.h"

namespace arch {
namespace {

struct __attribute__((packed)) TablePointer {
  uint16_t limit;
  const void* base;
};

// Code 64-bit ring 0, data ring 0, 32-bit code ring 3, data ring 3, 64-bit code ring 3: where NT has them.
constexpr uint64_t kDescriptors[] = {
    0, 0, 0x00209B0000000000, 0x00CF93000000FFFF, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF, 0x0020FB0000000000,
    0};

void SetTssDescriptor(uint64_t* gdt, const TaskState& tss) {
  const uint64_t base = reinterpret_cast<uint64_t>(&tss);
  gdt[kTssSelector / 8] =
      (sizeof(TaskState) - 1) | ((base & 0xFFFFFF) << 16) | (0x89ull << 40) | (((base >> 24) & 0xFF) << 56);
  gdt[kTssSelector / 8 + 1] = base >> 32;
}

void ReloadSegments() {
  __asm__ volatile(
      "pushq %0\n\t"
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "lretq\n"
      "1:\n\t"
      "movl %1, %%eax\n\t"
      "movw %%ax, %%ds\n\t"
      "movw %%ax, %%es\n\t"
      "movw %%ax, %%ss\n\t"
      "xorl %%eax, %%eax\n\t"
      "movw %%ax, %%fs\n\t"
      "movw %%ax, %%gs\n\t"
      "lldt %%ax\n\t" ::"i"(uint64_t{kCodeSelector}),
      "i"(uint32_t{kDataSelector})
      : "rax", "memory");
}

}  // namespace

void SetGate(Gate& gate, const void* handler, int ist, bool user) {
  const uint64_t address = reinterpret_cast<uint64_t>(handler);
  gate.offset_low = static_cast<uint16_t>(address);
  gate.selector = kCodeSelector;
  gate.ist_and_type = static_cast<uint16_t>(ist | 0x8E00 | (user ? 0x6000 : 0));
  gate.offset_middle = static_cast<uint16_t>(address >> 16);
  gate.offset_high = static_cast<uint32_t>(address >> 32);
  gate.reserved = 0;
}

void LoadTables(ProcessorTables& tables, const Gate* idt, uint32_t idt_entries) {
  for (unsigned i = 0; i < sizeof(kDescriptors) / sizeof(kDescriptors[0]); ++i)
    tables.gdt[i] = kDescriptors[i];
  tables.tss.io_map_base = sizeof(TaskState);
  SetTssDescriptor(tables.gdt, tables.tss);
  const TablePointer gdt_pointer{sizeof(tables.gdt) - 1, tables.gdt};
  const TablePointer idt_pointer{static_cast<uint16_t>(idt_entries * sizeof(Gate) - 1), idt};
  __asm__ volatile("lgdt %0" ::"m"(gdt_pointer));
  ReloadSegments();
  __asm__ volatile("ltr %w0" ::"r"(static_cast<uint32_t>(kTssSelector)));
  __asm__ volatile("lidt %0" ::"m"(idt_pointer));
}

uint64_t UsableExtendedStates() {
  const CpuidResult states = Cpuid(0xD);
  const uint64_t supported = (uint64_t{states.edx} << 32) | states.eax;
  uint64_t wanted = supported & (kXStateLegacy | kXStateAvx);
  // AVX-512's three belong together, and to AVX.
  if ((supported & kXStateAvx512) == kXStateAvx512 && (wanted & kXStateAvx) != 0) wanted |= kXStateAvx512;
  return wanted;
}

void EnableProcessorFeatures() {
  const CpuidResult basic = Cpuid(1);
  const CpuidResult extended = Cpuid(0).eax >= 7 ? Cpuid(7) : CpuidResult{};
  uint64_t cr4 = ReadCr4();
  if (basic.edx & (1u << 13)) cr4 |= kCr4Pge;
  cr4 |= kCr4OsFxsr | kCr4OsXmmExcept;
  if (extended.ebx & (1u << 0)) cr4 |= kCr4FsGsBase;
  if (extended.ebx & (1u << 7)) cr4 |= kCr4Smep;
  if (extended.ebx & (1u << 20)) cr4 |= kCr4Smap;
  if (extended.ecx & (1u << 2)) cr4 |= kCr4Umip;
  const bool xsave = (basic.ecx & (1u << 26)) != 0;
  if (xsave) cr4 |= kCr4OsXsave;
  WriteCr4(cr4);
  if (xsave) WriteXcr0(UsableExtendedStates());
  WriteCr0((ReadCr0() & ~0x6000000Cull) | kCr0WriteProtect | 0x22);  // caches on, no emulation, NE, MP
}

}  // namespace arch
