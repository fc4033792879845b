// Vector registers for tests that are compiled without AVX: loaded, held for a while, stored, in one piece.
#pragma once

#include "ddi.h"

namespace nt_test {

constexpr ULONG64 kAvx = 4;

struct alignas(32) Vectors {
  ULONG64 word[16][4];
};

// xmm0..15: loads `in`, spins, stores to `out` (the lower halves).
__attribute__((noinline)) inline void HoldXmm(const Vectors* in, Vectors* out, ULONG rounds) {
#define NT_EACH(op) \
  op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define NT_LOAD_XMM(n) "movdqu 32*" #n "(%0), %%xmm" #n "\n\t"
#define NT_STORE_XMM(n) "movdqu %%xmm" #n ", 32*" #n "(%1)\n\t"
#define NT_LOAD_YMM(n) "vmovdqu 32*" #n "(%0), %%ymm" #n "\n\t"
#define NT_STORE_YMM(n) "vmovdqu %%ymm" #n ", 32*" #n "(%1)\n\t"
#define NT_VECTORS_CHANGED                                                                                 \
  "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
  __asm__ volatile(NT_EACH(NT_LOAD_XMM) "1: pause\n\tsubl $1, %2\n\tjnz 1b\n\t" NT_EACH(NT_STORE_XMM)
                   : "+r"(in), "+r"(out), "+r"(rounds)::NT_VECTORS_CHANGED);
}

// ymm0..15; only where RtlGetEnabledExtendedFeatures has kAvx, between KeSave- and
// KeRestoreExtendedProcessorState.
__attribute__((noinline)) inline void HoldYmm(const Vectors* in, Vectors* out, ULONG rounds) {
  __asm__ volatile(
      NT_EACH(NT_LOAD_YMM) "1: pause\n\tsubl $1, %2\n\tjnz 1b\n\t" NT_EACH(NT_STORE_YMM) "vzeroupper"
      : "+r"(in), "+r"(out), "+r"(rounds)::NT_VECTORS_CHANGED);
}

// ymm0..15 loaded, function(argument) called, ymm0..15 stored: what of them survived the call.
__attribute__((noinline)) inline void HoldOverCall(const Vectors* in, Vectors* out, void (*function)(void*),
                                                   void* argument) {
  register void* rcx __asm__("rcx") = argument;
  __asm__ volatile(NT_EACH(NT_LOAD_YMM) "movq %%rsp, %%rbx\n\tandq $-32, %%rsp\n\tsubq $32, %%rsp\n\tmovq %1, %%rsi\n\t"
                   "callq *%2\n\tmovq %%rbx, %%rsp\n\tmovq %%rsi, %1\n\t" NT_EACH(NT_STORE_YMM)
                   : "+r"(in), "+D"(out), "+r"(function), "+r"(rcx)
                   :
                   : "rax", "rbx", "rdx", "rsi", "r8", "r9", "r10", "r11", NT_VECTORS_CHANGED);
}
inline void Fill(Vectors* vectors, ULONG64 seed) {
  for (auto& row : vectors->word) {
    for (ULONG64& word : row) word = seed = seed * 6364136223846793005ull + 1442695040888963407ull;
  }
}
// `words`: 2 compares the XMM halves, 4 all.
inline bool Same(const Vectors& a, const Vectors& b, ULONG words) {
  for (ULONG i = 0; i < 16; ++i) {
    for (ULONG k = 0; k < words; ++k) {
      if (a.word[i][k] != b.word[i][k]) return false;
    }
  }
  return true;
}

}  // namespace nt_test
