// Extended processor state: what a driver saves before it uses AVX and restores afterwards, and what is
// switched with a thread while it does so.
//
// The ABI calls the upper halves of YMM and everything above volatile, and the kernel itself uses no vector
// register: only a thread inside a KeSave/KeRestoreExtendedProcessorState pair has state that a context
// switch must keep. KTHREAD.ExtendedStateUsers counts those pairs; KiSwapContext looks at it and at
// KTHREAD.StateSaveArea. At DISPATCH_LEVEL and above nothing is switched, and the thread belongs to somebody
// else: there the pair is not counted.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

constexpr ULONG kTag = 'vaSX';
constexpr ULONG64 kAlignment = 64;
constexpr ULONG kLegacySize = 512 + 64;  // FXSAVE area and XSAVE header
constexpr ULONG kInvalidExtendedState = 0x131;

ULONG64 enabled;  // XCR0, 0 without XSAVE
ULONG area_size = kLegacySize;

UCHAR* Aligned(PVOID buffer) {
  return reinterpret_cast<UCHAR*>((reinterpret_cast<ULONG64>(buffer) + kAlignment - 1) & ~(kAlignment - 1));
}

void Save(void* area, ULONG64 mask) {
  if (enabled != 0) {
    arch::SaveExtendedState(area, mask);
  } else {
    __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
  }
}

void Restore(const void* area, ULONG64 mask) {
  if (enabled != 0) {
    arch::RestoreExtendedState(area, mask);
  } else {
    __asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
  }
}

// XSTATE_CONFIGURATION in KUSER_SHARED_DATA, where user code and drivers look for it.
void PublishConfiguration() {
  constexpr ULONG64 kXState = 0xFFFFF78000000000 + 0x3D8;
  struct Feature {
    ULONG offset, size;
  };
  struct Configuration {
    ULONG64 enabled_features;
    ULONG64 enabled_volatile_features;
    ULONG size;
    ULONG control_flags;
    Feature features[64];
  };
  auto* configuration = reinterpret_cast<volatile Configuration*>(kXState);
  configuration->enabled_features = enabled;
  configuration->enabled_volatile_features = enabled;
  configuration->size = area_size;
  for (ULONG i = 0; i < 64; ++i) {
    if ((enabled >> i & 1) == 0) continue;
    const arch::CpuidResult feature = i >= 2 ? arch::Cpuid(0xD, i) : arch::CpuidResult{};
    configuration->features[i].offset = i == 0 ? 0 : i == 1 ? 160 : feature.ebx;
    configuration->features[i].size = i == 0 ? 160 : i == 1 ? 256 : feature.eax;
  }
}

}  // namespace

extern "C" {

// Once, on the first processor.
VOID KiInitializeExtendedState() {
  if ((arch::ReadCr4() & arch::kCr4OsXsave) == 0) return;
  enabled = arch::ReadXcr0();
  area_size = arch::Cpuid(0xD).ebx;
  PublishConfiguration();
}

// A thread of a program has its state switched always. The first page of an allocation of pool is aligned.
NTSTATUS KeCreateUserState(PKTHREAD thread) {
  if (enabled == 0) return STATUS_SUCCESS;
  const SIZE_T bytes = area_size > PAGE_SIZE ? area_size : PAGE_SIZE;
  PVOID area = ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kTag);
  if (area == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(area, bytes);
  thread->StateSaveArea = area;
  thread->ExtendedStateUsers = 1;
  return STATUS_SUCCESS;
}

VOID KeDeleteUserState(PKTHREAD thread) {
  if (thread->StateSaveArea != nullptr) ExFreePoolWithTag(thread->StateSaveArea, kTag);
}

VOID KiStartUserExtendedState(PKTHREAD thread) {
  if (enabled == 0) return;
  constexpr ULONG kMxCsrOffset = 24, kControlWord = 0x27F, kMxCsr = 0x1F80;
  auto* area = static_cast<UCHAR*>(thread->StateSaveArea);
  arch::DisableInterrupts();       // a switch would save into the area
  RtlZeroMemory(area, area_size);  // nothing in XSTATE_BV: all as after a reset, but for MXCSR
  const ULONG mxcsr = kMxCsr;
  RtlCopyMemory(area + kMxCsrOffset, &mxcsr, sizeof(mxcsr));
  Restore(area, enabled);
  const USHORT control = kControlWord;
  __asm__ volatile("fldcw %0" ::"m"(control));
  arch::EnableInterrupts();
}

/// Which of the features in FeatureMask the system has enabled.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlGetEnabledExtendedFeatures.
NT_EXPORT(RtlGetEnabledExtendedFeatures, nt::Exactly(PASSIVE_LEVEL), Full, "KeExtendedState.*");
ULONG64 NTAPI RtlGetEnabledExtendedFeatures(ULONG64 FeatureMask) {
  return enabled & FeatureMask;
}

/// Saves the state of the features in Mask, so that the caller may use them until
/// KeRestoreExtendedProcessorState. In between, below DISPATCH_LEVEL, the state goes with the thread.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeSaveExtendedProcessorState.
NT_EXPORT(KeSaveExtendedProcessorState, nt::AtMost(DISPATCH_LEVEL), Full, "KeExtendedState.*");
NTSTATUS NTAPI KeSaveExtendedProcessorState(ULONG64 Mask, PXSTATE_SAVE XStateSave) {
  const ULONG64 usable = enabled != 0 ? enabled : arch::kXStateLegacy;
  if ((Mask & ~usable) != 0) KeBugCheckEx(kInvalidExtendedState, 0, Mask, usable, 0);
  PKTHREAD thread = KeCurrentThread();
  const bool counted = KeGetCurrentIrql() < DISPATCH_LEVEL;
  const bool outermost = counted && thread->ExtendedStateUsers == 0;
  const ULONG area = (area_size + kAlignment - 1) & ~(static_cast<ULONG>(kAlignment) - 1);
  PVOID buffer = ExAllocatePoolWithTag(NonPagedPoolNx, (outermost ? 2 : 1) * area + kAlignment, kTag);
  if (buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  UCHAR* saved = Aligned(buffer);
  RtlZeroMemory(saved, (outermost ? 2 : 1) * area);
  Save(saved, Mask);
  XStateSave->XStateContext = {Mask, area, 0, reinterpret_cast<PXSAVE_AREA>(saved), buffer};
  XStateSave->Thread = thread;
  XStateSave->Level = KeGetCurrentIrql();
  XStateSave->Prev = nullptr;
  if (!counted) return STATUS_SUCCESS;
  if (outermost) thread->StateSaveArea = saved + area;
  XStateSave->Prev = thread->XStateSave;
  thread->XStateSave = XStateSave;
  ++thread->ExtendedStateUsers;
  return STATUS_SUCCESS;
}

/// Restores what KeSaveExtendedProcessorState saved, in the same thread and in the reverse order.
/// IRQL: <= DISPATCH_LEVEL; the one of the save.
/// Differs from NT: none.
/// Source: WDK wdm/KeRestoreExtendedProcessorState.
NT_EXPORT(KeRestoreExtendedProcessorState, nt::AtMost(DISPATCH_LEVEL), Full, "KeExtendedState.*");
VOID NTAPI KeRestoreExtendedProcessorState(PXSTATE_SAVE XStateSave) {
  PKTHREAD thread = KeCurrentThread();
  const KIRQL irql = KeGetCurrentIrql();
  if (XStateSave->Thread != thread) {
    KeBugCheckEx(kInvalidExtendedState, 2, reinterpret_cast<ULONG_PTR>(XStateSave),
                 reinterpret_cast<ULONG_PTR>(XStateSave->Thread), reinterpret_cast<ULONG_PTR>(thread));
  }
  if ((XStateSave->Level < DISPATCH_LEVEL) != (irql < DISPATCH_LEVEL)) {
    KeBugCheckEx(kInvalidExtendedState, 3, reinterpret_cast<ULONG_PTR>(XStateSave), XStateSave->Level, irql);
  }
  if (irql < DISPATCH_LEVEL) {
    if (thread->XStateSave != XStateSave) {
      KeBugCheckEx(kInvalidExtendedState, 1, reinterpret_cast<ULONG_PTR>(XStateSave),
                   reinterpret_cast<ULONG_PTR>(thread->XStateSave), 0);
    }
    thread->XStateSave = XStateSave->Prev;
    --thread->ExtendedStateUsers;
  }
  // A switch between the two lines above and this one loses nothing: all of it is about to be overwritten.
  Restore(XStateSave->XStateContext.Area, XStateSave->XStateContext.Mask);
  ExFreePoolWithTag(XStateSave->XStateContext.Buffer, kTag);
}

/// Saves the floating-point state: nothing to do, x64 threads keep theirs over switches.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeSaveFloatingPointState.
NT_EXPORT(KeSaveFloatingPointState, nt::AtMost(DISPATCH_LEVEL), Full, "KeThread.* KeExtendedState.*");
NTSTATUS NTAPI KeSaveFloatingPointState(PKFLOATING_SAVE) {
  return STATUS_SUCCESS;
}

/// Undoes KeSaveFloatingPointState.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeRestoreFloatingPointState.
NT_EXPORT(KeRestoreFloatingPointState, nt::AtMost(DISPATCH_LEVEL), Full, "KeThread.* KeExtendedState.*");
NTSTATUS NTAPI KeRestoreFloatingPointState(PKFLOATING_SAVE) {
  return STATUS_SUCCESS;
}

}  // extern "C"
