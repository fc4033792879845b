// Miscellaneous checks: objects that live in memory that is freed, and registrations that outlive their
// driver.
#include "ke/timer_search.h"
#include "tracked.h"
#include "verifier.h"

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)
constexpr ULONG kTimerInPool = 0x15, kResourceInPool = 0x17, kLookasideTwice = 0xCA, kLookasideUnknown = 0xCB,
                kLookasideInPool = 0xCC, kLookasideSmall = 0xCD, kResourceTwice = 0xD0,
                kResourceUnknown = 0xD1, kLiveResourceInPool = 0xD2, kRemoveLockTag = 0xD5,
                kRemoveLockWaitTag = 0xD6, kRemoveLockTwice = 0xD7, kWmiDeviceDeleted = 0xDB,
                kEtwBadHandle = 0xDC, kEtwLeft = 0xDD;
constexpr SIZE_T kSmallestBlock = RTL_SIZEOF_THROUGH_FIELD(SLIST_ENTRY, Next);

[[noreturn]] FORCEINLINE void Violation(ULONG kind, ULONG_PTR p2, ULONG_PTR p3 = 0, ULONG_PTR p4 = 0) {
  VerifierBugCheckIfAppropriate(kViolation, kind, p2, p3, p4);
}

FORCEINLINE void NewLookaside(PVOID list, SIZE_T bytes, PVOID caller) {
  if (bytes < kSmallestBlock) Violation(kLookasideSmall, Bits(list), bytes, kSmallestBlock);
  if (!TrackerAdd(Tracked::kLookaside, Bits(list), caller)) Violation(kLookasideTwice, Bits(list));
}
FORCEINLINE void EndLookaside(PVOID list) {
  if (!TrackerRemove(Tracked::kLookaside, Bits(list)) && TrackerIsComplete())
    Violation(kLookasideUnknown, Bits(list));
}

}  // namespace

extern "C" {

VOID NTAPI VerifierExInitializeNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside,
                                                   PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                                                   ULONG Flags, SIZE_T Size, ULONG Tag, USHORT Depth) {
  NewLookaside(Lookaside, Size, CALLER);
  ExInitializeNPagedLookasideList(Lookaside, Allocate, Free, Flags, Size, Tag, Depth);
}

VOID NTAPI VerifierExInitializePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside,
                                                  PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                                                  ULONG Flags, SIZE_T Size, ULONG Tag, USHORT Depth) {
  NewLookaside(Lookaside, Size, CALLER);
  ExInitializePagedLookasideList(Lookaside, Allocate, Free, Flags, Size, Tag, Depth);
}

NTSTATUS NTAPI VerifierExInitializeLookasideListEx(PLOOKASIDE_LIST_EX Lookaside,
                                                   PALLOCATE_FUNCTION_EX Allocate, PFREE_FUNCTION_EX Free,
                                                   POOL_TYPE PoolType, ULONG Flags, SIZE_T Size, ULONG Tag,
                                                   USHORT Depth) {
  NewLookaside(Lookaside, Size, CALLER);
  const NTSTATUS status =
      ExInitializeLookasideListEx(Lookaside, Allocate, Free, PoolType, Flags, Size, Tag, Depth);
  if (!NT_SUCCESS(status)) TrackerRemove(Tracked::kLookaside, Bits(Lookaside));
  return status;
}

VOID NTAPI VerifierExDeleteNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside) {
  EndLookaside(Lookaside);
  ExDeleteNPagedLookasideList(Lookaside);
}
VOID NTAPI VerifierExDeletePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside) {
  EndLookaside(Lookaside);
  ExDeletePagedLookasideList(Lookaside);
}
VOID NTAPI VerifierExDeleteLookasideListEx(PLOOKASIDE_LIST_EX Lookaside) {
  EndLookaside(Lookaside);
  ExDeleteLookasideListEx(Lookaside);
}

NTSTATUS NTAPI VerifierExInitializeResourceLite(PERESOURCE Resource) {
  const bool added = TrackerAdd(Tracked::kResource, Bits(Resource), CALLER);
  if (!added && IsOn(kMiscellaneous)) Violation(kResourceTwice, Bits(Resource));
  return ExInitializeResourceLite(Resource);
}

NTSTATUS NTAPI VerifierExDeleteResourceLite(PERESOURCE Resource) {
  const bool known = TrackerRemove(Tracked::kResource, Bits(Resource));
  if (!known && IsOn(kMiscellaneous) && TrackerIsComplete()) Violation(kResourceUnknown, Bits(Resource));
  return ExDeleteResourceLite(Resource);
}

VOID NTAPI VerifierIoInitializeRemoveLockEx(PIO_REMOVE_LOCK Lock, ULONG AllocateTag, ULONG MaxLockedMinutes,
                                            ULONG HighWatermark, ULONG RemlockSize) {
  if (!TrackerAdd(Tracked::kRemoveLock, Bits(Lock), CALLER))
    Violation(kRemoveLockTwice, Bits(TrackerEntry(Tracked::kRemoveLock, Bits(Lock))), Bits(Lock));
  IoInitializeRemoveLockEx(Lock, AllocateTag, MaxLockedMinutes, HighWatermark, RemlockSize);
}

NTSTATUS NTAPI VerifierIoAcquireRemoveLockEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, PCSTR File, ULONG Line,
                                             ULONG RemlockSize) {
  const NTSTATUS status = IoAcquireRemoveLockEx(RemoveLock, Tag, File, Line, RemlockSize);
  if (NT_SUCCESS(status) && TrackerHas(Tracked::kRemoveLock, Bits(RemoveLock)))
    TrackerAddTag(Bits(RemoveLock), Bits(Tag), CALLER);
  return status;
}

VOID NTAPI VerifierIoReleaseRemoveLockEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, ULONG RemlockSize) {
  if (TrackerHas(Tracked::kRemoveLock, Bits(RemoveLock)) && !TrackerRemoveTag(Bits(RemoveLock), Bits(Tag)) &&
      TrackerIsComplete())
    Violation(kRemoveLockTag, Bits(RemoveLock), Bits(Tag));
  IoReleaseRemoveLockEx(RemoveLock, Tag, RemlockSize);
}

VOID NTAPI VerifierIoReleaseRemoveLockAndWaitEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, ULONG RemlockSize) {
  TrackedObject out = {};
  if (TrackerHas(Tracked::kRemoveLock, Bits(RemoveLock)) && !TrackerRemoveTag(Bits(RemoveLock), Bits(Tag)) &&
      TrackerIsComplete()) {
    TrackerFindIn(Tracked::kRemoveLockTag, Bits(RemoveLock), 1, &out);
    Violation(kRemoveLockWaitTag, Bits(RemoveLock), Bits(Tag), out.extra);
  }
  IoReleaseRemoveLockAndWaitEx(RemoveLock, Tag, RemlockSize);
}

NTSTATUS NTAPI VerifierIoWMIRegistrationControl(PDEVICE_OBJECT DeviceObject, ULONG Action) {
  const NTSTATUS status = IoWMIRegistrationControl(DeviceObject, Action);
  if (NT_SUCCESS(status) && Action == WMIREG_ACTION_REGISTER)
    TrackerAdd(Tracked::kWmi, Bits(DeviceObject), CALLER);
  if (NT_SUCCESS(status) && Action == WMIREG_ACTION_DEREGISTER)
    TrackerRemove(Tracked::kWmi, Bits(DeviceObject));
  return status;
}

NTSTATUS NTAPI VerifierEtwRegister(LPCGUID ProviderId, PETWENABLECALLBACK EnableCallback,
                                   PVOID CallbackContext, PREGHANDLE RegHandle) {
  const NTSTATUS status = EtwRegister(ProviderId, EnableCallback, CallbackContext, RegHandle);
  if (NT_SUCCESS(status)) TrackerAdd(Tracked::kEtw, *RegHandle, CALLER);
  return status;
}

NTSTATUS NTAPI VerifierEtwUnregister(REGHANDLE RegHandle) {
  TrackerRemove(Tracked::kEtw, RegHandle);
  const NTSTATUS status = EtwUnregister(RegHandle);
  if (status == STATUS_INVALID_HANDLE) Violation(kEtwBadHandle, 0);
  return status;
}

}  // extern "C"

void CheckFreedMemory(PVOID memory, SIZE_T bytes, bool paged) {
  TrackedObject found = {};
  if (TrackerFindIn(Tracked::kResource, Bits(memory), bytes, &found)) {
    if (IsOn(kMiscellaneous)) Violation(kLiveResourceInPool, found.key, Bits(memory), bytes);
    Violation(kResourceInPool, found.key, paged ? 1 : 0, Bits(memory));
  }
  if (IsOn(kMiscellaneous) && !paged) {
    if (PKTIMER timer = KeFindTimer(memory, bytes)) Violation(kTimerInPool, Bits(timer), 0, Bits(memory));
  }
  if (TrackerFindIn(Tracked::kLookaside, Bits(memory), bytes, &found))
    Violation(kLookasideInPool, found.key, Bits(memory), bytes);
  TrackerForget(Bits(memory), bytes);
}

void CheckDeletedDevice(PDEVICE_OBJECT device) {
  if (TrackerHas(Tracked::kWmi, Bits(device))) Violation(kWmiDeviceDeleted, Bits(device));
  TrackerForget(Bits(device), device->Size);
}

void CheckUnloadedImage(PVOID image, SIZE_T bytes) {
  TrackedObject found = {};
  if (TrackerFindOfImage(Tracked::kEtw, Bits(image), bytes, &found))
    Violation(kEtwLeft, Bits(found.caller), Bits(image), found.key);
  TrackerForget(Bits(image), bytes);
}

namespace {

#define VF_THUNK(Name) {#Name, reinterpret_cast<PVOID>(&Verifier##Name), kMiscellaneous}
const Thunk kThunks[] = {
    VF_THUNK(ExInitializeNPagedLookasideList),
    VF_THUNK(ExInitializePagedLookasideList),
    VF_THUNK(ExInitializeLookasideListEx),
    VF_THUNK(ExDeleteNPagedLookasideList),
    VF_THUNK(ExDeletePagedLookasideList),
    VF_THUNK(ExDeleteLookasideListEx),
    {"ExInitializeResourceLite", reinterpret_cast<PVOID>(&VerifierExInitializeResourceLite), 0},
    {"ExDeleteResourceLite", reinterpret_cast<PVOID>(&VerifierExDeleteResourceLite), 0},
    VF_THUNK(IoInitializeRemoveLockEx),
    VF_THUNK(IoAcquireRemoveLockEx),
    VF_THUNK(IoReleaseRemoveLockEx),
    VF_THUNK(IoReleaseRemoveLockAndWaitEx),
    VF_THUNK(IoWMIRegistrationControl),
    VF_THUNK(EtwRegister),
    VF_THUNK(EtwUnregister),
};

}  // namespace

const ThunkTable kMiscThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
