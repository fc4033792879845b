// On request: who changes the kernel's code or its interrupt table meets bug check 0x109, as PatchGuard's.
#include "ke/bugcheck.h"
#include "ke_internal.h"

#include <ntimage.h>

namespace {

constexpr ULONG kMaxPages = 1024;
// 0x109's fourth parameter.
constexpr ULONG_PTR kModifiedCode = 1, kModifiedIdt = 2;
constexpr LONGLONG kBetweenLooks = -50 * 10'000;  // 50 ms

struct WatchedPage {
  ULONG64 address;
  ULONG64 sum;
};
WatchedPage pages[kMaxPages];
ULONG page_count;

// FNV-1a over words.
ULONG64 SumOf(ULONG64 address, ULONG bytes) {
  const auto* words = reinterpret_cast<const volatile ULONG64*>(address);
  ULONG64 sum = 0xCBF29CE484222325;
  for (ULONG i = 0; i < bytes / sizeof(ULONG64); ++i) sum = (sum ^ words[i]) * 0x100000001B3;
  return sum;
}

bool IsWatched(const IMAGE_SECTION_HEADER& section) {
  const ULONG flags = section.Characteristics;
  return (flags & IMAGE_SCN_MEM_EXECUTE) != 0 &&
         (flags & (IMAGE_SCN_MEM_WRITE | IMAGE_SCN_MEM_DISCARDABLE)) == 0;
}

void RememberCode() {
  const auto* dos = reinterpret_cast<const IMAGE_DOS_HEADER*>(KeLoaderBlock->kernel_base);
  const auto* nt = reinterpret_cast<const IMAGE_NT_HEADERS64*>(KeLoaderBlock->kernel_base +
                                                               static_cast<ULONG>(dos->e_lfanew));
  const IMAGE_SECTION_HEADER* section = IMAGE_FIRST_SECTION(nt);
  for (ULONG i = 0; i < nt->FileHeader.NumberOfSections; ++i, ++section) {
    if (!IsWatched(*section)) continue;
    const ULONG64 start = KeLoaderBlock->kernel_base + section->VirtualAddress;
    for (ULONG64 at = start; at < start + section->Misc.VirtualSize && page_count < kMaxPages;
         at += PAGE_SIZE)
      pages[page_count++] = {at, SumOf(at, PAGE_SIZE)};
  }
}

void CheckCode() {
  for (ULONG i = 0; i < page_count; ++i) {
    const ULONG64 sum = SumOf(pages[i].address, PAGE_SIZE);
    if (sum != pages[i].sum)
      KeBugCheckEx(CRITICAL_STRUCTURE_CORRUPTION, pages[i].sum, sum, pages[i].address, kModifiedCode);
  }
}

}  // namespace

extern "C" VOID NTAPI KiWatchKernel(PVOID) {
  RememberCode();
  const auto idt = reinterpret_cast<ULONG64>(KiInterruptTable());
  constexpr ULONG kIdtBytes = 256 * sizeof(arch::Gate);
  const ULONG64 idt_sum = SumOf(idt, kIdtBytes);
  for (;;) {
    LARGE_INTEGER pause;
    pause.QuadPart = kBetweenLooks;
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
    CheckCode();
    const ULONG64 sum = SumOf(idt, kIdtBytes);
    if (sum != idt_sum) KeBugCheckEx(CRITICAL_STRUCTURE_CORRUPTION, idt_sum, sum, idt, kModifiedIdt);
  }
}
