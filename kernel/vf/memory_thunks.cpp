// Calls that fail on purpose with too little memory, when that option is on.
#include "verifier.h"

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)

}  // namespace

extern "C" {

PVOID NTAPI VerifierMmMapLockedPagesSpecifyCache(PMDL Mdl, KPROCESSOR_MODE AccessMode,
                                                 MEMORY_CACHING_TYPE CacheType, PVOID BaseAddress,
                                                 ULONG BugCheckOnFailure, ULONG Priority) {
  if (!BugCheckOnFailure && FailThisCall(CALLER)) {
    if (AccessMode != KernelMode) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    return nullptr;
  }
  return MmMapLockedPagesSpecifyCache(Mdl, AccessMode, CacheType, BaseAddress, BugCheckOnFailure,
                                      static_cast<MM_PAGE_PRIORITY>(Priority));
}

VOID NTAPI VerifierMmProbeAndLockPages(PMDL Mdl, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation) {
  if (FailThisCall(CALLER)) ExRaiseStatus(STATUS_WORKING_SET_QUOTA);
  MmProbeAndLockPages(Mdl, AccessMode, Operation);
}

PVOID NTAPI VerifierMmMapIoSpace(PHYSICAL_ADDRESS Address, SIZE_T Bytes, MEMORY_CACHING_TYPE CacheType) {
  return FailThisCall(CALLER) ? nullptr : MmMapIoSpace(Address, Bytes, CacheType);
}

PVOID NTAPI VerifierMmAllocateContiguousMemory(SIZE_T Bytes, PHYSICAL_ADDRESS Highest) {
  return FailThisCall(CALLER) ? nullptr : MmAllocateContiguousMemory(Bytes, Highest);
}

PVOID NTAPI VerifierMmAllocateContiguousMemorySpecifyCache(SIZE_T Bytes, PHYSICAL_ADDRESS Lowest,
                                                           PHYSICAL_ADDRESS Highest,
                                                           PHYSICAL_ADDRESS Boundary,
                                                           MEMORY_CACHING_TYPE CacheType) {
  if (FailThisCall(CALLER)) return nullptr;
  return MmAllocateContiguousMemorySpecifyCache(Bytes, Lowest, Highest, Boundary, CacheType);
}

PMDL NTAPI VerifierMmAllocatePagesForMdl(PHYSICAL_ADDRESS Lowest, PHYSICAL_ADDRESS Highest,
                                         PHYSICAL_ADDRESS Skip, SIZE_T Bytes) {
  return FailThisCall(CALLER) ? nullptr : MmAllocatePagesForMdl(Lowest, Highest, Skip, Bytes);
}

PMDL NTAPI VerifierMmAllocatePagesForMdlEx(PHYSICAL_ADDRESS Lowest, PHYSICAL_ADDRESS Highest,
                                           PHYSICAL_ADDRESS Skip, SIZE_T Bytes, MEMORY_CACHING_TYPE CacheType,
                                           ULONG Flags) {
  if (FailThisCall(CALLER)) return nullptr;
  return MmAllocatePagesForMdlEx(Lowest, Highest, Skip, Bytes, CacheType, Flags);
}

PIRP NTAPI VerifierIoAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota) {
  return FailThisCall(CALLER) ? nullptr : IoAllocateIrp(StackSize, ChargeQuota);
}

PMDL NTAPI VerifierIoAllocateMdl(PVOID VirtualAddress, ULONG Length, BOOLEAN SecondaryBuffer,
                                 BOOLEAN ChargeQuota, PIRP Irp) {
  if (FailThisCall(CALLER)) return nullptr;
  return IoAllocateMdl(VirtualAddress, Length, SecondaryBuffer, ChargeQuota, Irp);
}

PIO_WORKITEM NTAPI VerifierIoAllocateWorkItem(PDEVICE_OBJECT DeviceObject) {
  return FailThisCall(CALLER) ? nullptr : IoAllocateWorkItem(DeviceObject);
}

}  // extern "C"

namespace {

#define VF_THUNK(Name) \
  {#Name, reinterpret_cast<PVOID>(&Verifier##Name), DRIVER_VERIFIER_INJECT_ALLOCATION_FAILURES}
const Thunk kThunks[] = {
    VF_THUNK(MmMapLockedPagesSpecifyCache),
    VF_THUNK(MmProbeAndLockPages),
    VF_THUNK(MmMapIoSpace),
    VF_THUNK(MmAllocateContiguousMemory),
    VF_THUNK(MmAllocateContiguousMemorySpecifyCache),
    VF_THUNK(MmAllocatePagesForMdl),
    VF_THUNK(MmAllocatePagesForMdlEx),
    VF_THUNK(IoAllocateIrp),
    VF_THUNK(IoAllocateMdl),
    VF_THUNK(IoAllocateWorkItem),
};

}  // namespace

const ThunkTable kMemoryThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
