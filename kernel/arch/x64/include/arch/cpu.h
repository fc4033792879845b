// Instructions and register bits of the processor. Nothing NT-shaped.
#pragma once

#include <stdint.h>

namespace arch {

inline constexpr uint64_t kCr0WriteProtect = 1ull << 16;
inline constexpr uint64_t kCr4Pge = 1 << 7, kCr4OsFxsr = 1 << 9, kCr4OsXmmExcept = 1 << 10,
                          kCr4Umip = 1 << 11, kCr4FsGsBase = 1 << 16, kCr4OsXsave = 1 << 18,
                          kCr4Smep = 1 << 20, kCr4Smap = 1 << 21;
inline constexpr uint32_t kMsrGsBase = 0xC0000101, kMsrKernelGsBase = 0xC0000102, kMsrEfer = 0xC0000080,
                          kMsrStar = 0xC0000081, kMsrLStar = 0xC0000082, kMsrCStar = 0xC0000083,
                          kMsrSyscallMask = 0xC0000084;
inline constexpr uint64_t kRflagsInterrupt = 1 << 9;
// Components of the extended state (XCR0): x87 and SSE; the upper halves of YMM; opmasks and ZMM.
inline constexpr uint64_t kXStateLegacy = 3, kXStateAvx = 4, kXStateAvx512 = 0xE0;

inline uint64_t ReadCr0() {
  uint64_t v;
  __asm__ volatile("mov %%cr0, %0" : "=r"(v));
  return v;
}
inline uint64_t ReadCr2() {
  uint64_t v;
  __asm__ volatile("mov %%cr2, %0" : "=r"(v));
  return v;
}
inline uint64_t ReadCr3() {
  uint64_t v;
  __asm__ volatile("mov %%cr3, %0" : "=r"(v));
  return v;
}
inline uint64_t ReadCr4() {
  uint64_t v;
  __asm__ volatile("mov %%cr4, %0" : "=r"(v));
  return v;
}
inline uint64_t ReadCr8() {
  uint64_t v;
  __asm__ volatile("mov %%cr8, %0" : "=r"(v));
  return v;
}
inline void WriteCr0(uint64_t v) {
  __asm__ volatile("mov %0, %%cr0" ::"r"(v) : "memory");
}
inline void WriteCr3(uint64_t v) {
  __asm__ volatile("mov %0, %%cr3" ::"r"(v) : "memory");
}
inline void WriteCr4(uint64_t v) {
  __asm__ volatile("mov %0, %%cr4" ::"r"(v) : "memory");
}
inline void WriteCr8(uint64_t v) {
  __asm__ volatile("mov %0, %%cr8" ::"r"(v) : "memory");
}

// Only with CR4.OSXSAVE.
inline uint64_t ReadXcr0() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}
inline void WriteXcr0(uint64_t value) {
  __asm__ volatile("xsetbv" ::"c"(0), "a"(static_cast<uint32_t>(value)),
                   "d"(static_cast<uint32_t>(value >> 32))
                   : "memory");
}
// `area`: 64-byte aligned.
inline void SaveExtendedState(void* area, uint64_t mask) {
  __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(static_cast<uint32_t>(mask)),
                   "d"(static_cast<uint32_t>(mask >> 32))
                   : "memory");
}
inline void RestoreExtendedState(const void* area, uint64_t mask) {
  __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(static_cast<uint32_t>(mask)),
                   "d"(static_cast<uint32_t>(mask >> 32))
                   : "memory");
}

inline uint64_t ReadMsr(uint32_t msr) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
  return (uint64_t{high} << 32) | low;
}
inline void WriteMsr(uint32_t msr, uint64_t value) {
  __asm__ volatile("wrmsr" ::"c"(msr), "a"(static_cast<uint32_t>(value)),
                   "d"(static_cast<uint32_t>(value >> 32))
                   : "memory");
}
struct CpuidResult {
  uint32_t eax, ebx, ecx, edx;
};
inline CpuidResult Cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  CpuidResult r;
  __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
  return r;
}
inline void Out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
inline uint8_t In8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
inline void Pause() {
  __asm__ volatile("pause" ::: "memory");
}
inline void Halt() {
  __asm__ volatile("hlt" ::: "memory");
}
inline void EnableInterrupts() {
  __asm__ volatile("sti" ::: "memory");
}
inline void DisableInterrupts() {
  __asm__ volatile("cli" ::: "memory");
}
// sti takes effect after hlt began: no interrupt is lost in between.
inline void EnableInterruptsAndHalt() {
  __asm__ volatile("sti\n\thlt" ::: "memory");
}
inline uint64_t ReadFlags() {
  uint64_t v;
  __asm__ volatile("pushfq\n\tpopq %0" : "=r"(v));
  return v;
}
inline bool DisableInterruptsAndTell() {  // returns whether they were enabled
  const bool enabled = (ReadFlags() & kRflagsInterrupt) != 0;
  DisableInterrupts();
  return enabled;
}
inline void RestoreInterrupts(bool enabled) {
  if (enabled) EnableInterrupts();
}
inline void InvalidatePage(const void* address) {
  __asm__ volatile("invlpg (%0)" ::"r"(address) : "memory");
}
inline void FlushTranslations() {  // also global ones
  const uint64_t cr4 = ReadCr4();
  if (cr4 & kCr4Pge) {
    WriteCr4(cr4 & ~kCr4Pge);
    WriteCr4(cr4);
  } else {
    WriteCr3(ReadCr3());
  }
}

}  // namespace arch
