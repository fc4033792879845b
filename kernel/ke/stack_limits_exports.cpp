// Where the stack that the caller runs on lies.
#include "unwind_frames.h"

#include "nt/export.h"

namespace {

// A variable's address in the caller's frame: some stack holds it, or nothing can be said.
rtl::StackBounds CurrentStack(PVOID place) {
  rtl::StackBounds bounds = {};
  if (!ki::StackOf(reinterpret_cast<ULONG64>(place), &bounds)) return {0, 0};
  return bounds;
}

}  // namespace

extern "C" {

/// The limits of the stack that the caller runs on: the thread's, or the processor's where a DPC runs.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/IoGetStackLimits.
NT_EXPORT(IoGetStackLimits, nt::AnyIrql(), Full, "KeStackLimits.*");
VOID NTAPI IoGetStackLimits(PULONG_PTR LowLimit, PULONG_PTR HighLimit) {
  const rtl::StackBounds bounds = CurrentStack(__builtin_frame_address(0));
  *LowLimit = bounds.low;
  *HighLimit = bounds.high;
}

/// Non-zero if a region lies wholly in the stack that the caller runs on.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoWithinStackLimits.
NT_EXPORT(IoWithinStackLimits, nt::AtMost(APC_LEVEL), Full, "KeStackLimits.*");
ULONG NTAPI IoWithinStackLimits(ULONG_PTR RegionStart, SIZE_T RegionSize) {
  const rtl::StackBounds bounds = CurrentStack(__builtin_frame_address(0));
  return RegionStart >= bounds.low && RegionStart <= bounds.high && RegionSize <= bounds.high - RegionStart;
}

/// The address at which the current thread's stack begins: its highest.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoGetInitialStack.
NT_EXPORT(IoGetInitialStack, nt::AtMost(APC_LEVEL), Full, "KeStackLimits.*");
PVOID NTAPI IoGetInitialStack() {
  return KeCurrentThread()->InitialStack;
}

}  // extern "C"
