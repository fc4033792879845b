// What a damaged pool stops the machine with.
#include "ex/pool_damage.h"

#pragma code_seg("POOLCODE")

#ifndef KERNEL_MODE_HEAP_CORRUPTION
#define KERNEL_MODE_HEAP_CORRUPTION 0x13A
#endif

// NT's names for the way of a heap's finding to the bug check.
extern "C" {

[[noreturn]] __attribute__((noinline)) VOID RtlpHeapHandleError(ULONG Kind, PVOID Heap, const void* Address,
                                                                ULONG_PTR Value) {
  KeBugCheckEx(KERNEL_MODE_HEAP_CORRUPTION, Kind, reinterpret_cast<ULONG_PTR>(Heap),
               reinterpret_cast<ULONG_PTR>(Address), Value);
}

[[noreturn]] __attribute__((noinline)) VOID RtlpLogHeapFailure(ULONG Kind, PVOID Heap, const void* Address,
                                                               ULONG_PTR Value) {
  RtlpHeapHandleError(Kind, Heap, Address, Value);
}

}  // extern "C"

namespace ex {

[[noreturn]] __attribute__((noinline)) void StopOnDamage(const PoolFinding& finding, const void* block) {
  StopOnDamageInline(finding, block);
}

}  // namespace ex
