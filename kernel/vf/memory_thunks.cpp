// Calls that fail on purpose with too little memory, when that option is on.
#include "verifier.h"

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)

}  // namespace

extern "C" {

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
    VF_THUNK(MmAllocateContiguousMemory),
    VF_THUNK(MmAllocateContiguousMemorySpecifyCache),
    VF_THUNK(IoAllocateIrp),
    VF_THUNK(IoAllocateMdl),
    VF_THUNK(IoAllocateWorkItem),
};

}  // namespace

const ThunkTable kMemoryThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
