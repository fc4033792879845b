// ERESOURCE as drivers call it. Normal kernel APCs must be off while a resource is held.
#include "resource.h"

#include "ex/ex.h"
#include "nt/export.h"

#ifndef FLAG_OWNER_POINTER_IS_THREAD
#define FLAG_OWNER_POINTER_IS_THREAD 0x1
#endif

using ex::ResourceMode;

namespace {

ERESOURCE_THREAD CurrentOwner() {
  return reinterpret_cast<ERESOURCE_THREAD>(KeCurrentThread());
}

// Enters a critical region and takes the resource in it; returns the thread's Win32 structure. Always
// inlined: no frame of its own on stacks that people read.
FORCEINLINE PVOID EnterAndAcquire(PERESOURCE resource, ResourceMode mode, PVOID caller) {
  KeEnterCriticalRegion();
  ex::AcquireResource(resource, mode, TRUE, caller);
  return KeCurrentThread()->Win32Thread;
}

FORCEINLINE void ReleaseAndLeave(PERESOURCE resource) {
  ex::ReleaseResource(resource, CurrentOwner());
  KeLeaveCriticalRegion();
}

}  // namespace

/// Prepares a resource and links it into the system's list; ExDeleteResourceLite must end its use.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExInitializeResourceLite.
NT_EXPORT(ExInitializeResourceLite, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" NTSTATUS NTAPI ExInitializeResourceLite(PERESOURCE Resource) {
  return ex::InitializeResource(Resource);
}

/// Ends the use of a resource that nobody owns.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExDeleteResourceLite.
NT_EXPORT(ExDeleteResourceLite, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" NTSTATUS NTAPI ExDeleteResourceLite(PERESOURCE Resource) {
  ex::DeleteResource(Resource);
  return STATUS_SUCCESS;
}

/// Makes a resource that nobody owns as good as new.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReinitializeResourceLite.
NT_EXPORT(ExReinitializeResourceLite, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" NTSTATUS NTAPI ExReinitializeResourceLite(PERESOURCE Resource) {
  ex::DeleteResource(Resource);
  return ex::InitializeResource(Resource);
}

/// Takes a resource exclusively; FALSE if it must be waited for and Wait is FALSE. Recursive. A thread that
/// has it shared only must not ask for it exclusively and wait.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireResourceExclusiveLite.
NT_EXPORT(ExAcquireResourceExclusiveLite, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" BOOLEAN NTAPI ExAcquireResourceExclusiveLite(PERESOURCE Resource, BOOLEAN Wait) {
  return ex::AcquireResource(Resource, ResourceMode::kExclusive, Wait, __builtin_return_address(0));
}

/// Takes a resource shared; who waits for it exclusively goes first, unless the thread has it already.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireResourceSharedLite.
NT_EXPORT(ExAcquireResourceSharedLite, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" BOOLEAN NTAPI ExAcquireResourceSharedLite(PERESOURCE Resource, BOOLEAN Wait) {
  return ex::AcquireResource(Resource, ResourceMode::kShared, Wait, __builtin_return_address(0));
}

/// Takes a resource shared, past those who wait for it exclusively.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireSharedStarveExclusive.
NT_EXPORT(ExAcquireSharedStarveExclusive, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" BOOLEAN NTAPI ExAcquireSharedStarveExclusive(PERESOURCE Resource, BOOLEAN Wait) {
  return ex::AcquireResource(Resource, ResourceMode::kSharedStarveExclusive, Wait,
                             __builtin_return_address(0));
}

/// Takes a resource shared, after those who wait for it exclusively even if the thread has it already.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireSharedWaitForExclusive.
NT_EXPORT(ExAcquireSharedWaitForExclusive, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" BOOLEAN NTAPI ExAcquireSharedWaitForExclusive(PERESOURCE Resource, BOOLEAN Wait) {
  return ex::AcquireResource(Resource, ResourceMode::kSharedWaitForExclusive, Wait,
                             __builtin_return_address(0));
}

/// Releases a resource once. A thread that does not have it: bug check 0xE3.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseResourceLite.
NT_EXPORT(ExReleaseResourceLite, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" VOID FASTCALL ExReleaseResourceLite(PERESOURCE Resource) {
  ex::ReleaseResource(Resource, CurrentOwner());
}

/// Releases a resource for the thread that took it, or for an owner pointer.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseResourceForThreadLite.
NT_EXPORT(ExReleaseResourceForThreadLite, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" VOID NTAPI ExReleaseResourceForThreadLite(PERESOURCE Resource, ERESOURCE_THREAD ResourceThreadId) {
  ex::ReleaseResource(Resource, ResourceThreadId);
}

/// Makes exclusive ownership shared and lets waiting sharers in.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExConvertExclusiveToSharedLite.
NT_EXPORT(ExConvertExclusiveToSharedLite, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" VOID NTAPI ExConvertExclusiveToSharedLite(PERESOURCE Resource) {
  ex::ConvertResourceToShared(Resource);
}

/// Gives the current thread's ownership to a pointer (bits 0 and 1 set), under which it is released later
/// with ExReleaseResourceForThreadLite, by any thread.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExSetResourceOwnerPointer.
NT_EXPORT(ExSetResourceOwnerPointer, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" VOID NTAPI ExSetResourceOwnerPointer(PERESOURCE Resource, PVOID OwnerPointer) {
  ex::SetResourceOwner(Resource, reinterpret_cast<ERESOURCE_THREAD>(OwnerPointer), false);
}

/// As ExSetResourceOwnerPointer; with FLAG_OWNER_POINTER_IS_THREAD the pointer is a thread's address (bits 0
/// and 1 set all the same): that thread is boosted by those who wait.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExSetResourceOwnerPointerEx.
NT_EXPORT(ExSetResourceOwnerPointerEx, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" VOID NTAPI ExSetResourceOwnerPointerEx(PERESOURCE Resource, PVOID OwnerPointer, ULONG Flags) {
  ex::SetResourceOwner(Resource, reinterpret_cast<ERESOURCE_THREAD>(OwnerPointer),
                       (Flags & FLAG_OWNER_POINTER_IS_THREAD) != 0);
}

/// Whether the current thread has the resource exclusively.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExIsResourceAcquiredExclusiveLite.
NT_EXPORT(ExIsResourceAcquiredExclusiveLite, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" BOOLEAN NTAPI ExIsResourceAcquiredExclusiveLite(PERESOURCE Resource) {
  bool exclusive;
  ex::ResourceOwnership(Resource, CurrentOwner(), &exclusive);
  return exclusive;
}

/// How often the current thread has the resource, exclusively or shared.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExIsResourceAcquiredSharedLite.
NT_EXPORT(ExIsResourceAcquiredSharedLite, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" ULONG NTAPI ExIsResourceAcquiredSharedLite(PERESOURCE Resource) {
  bool exclusive;
  return ex::ResourceOwnership(Resource, CurrentOwner(), &exclusive);
}

/// How many threads wait for exclusive ownership.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExGetExclusiveWaiterCount.
NT_EXPORT(ExGetExclusiveWaiterCount, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" ULONG NTAPI ExGetExclusiveWaiterCount(PERESOURCE Resource) {
  return Resource->NumberOfExclusiveWaiters;
}

/// How many threads wait for shared ownership.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExGetSharedWaiterCount.
NT_EXPORT(ExGetSharedWaiterCount, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" ULONG NTAPI ExGetSharedWaiterCount(PERESOURCE Resource) {
  return Resource->NumberOfSharedWaiters;
}

/// From now on who waits for the resource does not lend its priority to the owners.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExDisableResourceBoostLite, nt::AtMost(DISPATCH_LEVEL), Full, "ExResource.*");
extern "C" VOID NTAPI ExDisableResourceBoostLite(PERESOURCE Resource) {
  Resource->Flag |= ex::kResourceBoostDisabled;
}

/// Enters a critical region and takes the resource exclusively. Returns the thread's Win32 structure.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExEnterCriticalRegionAndAcquireResourceExclusive.
NT_EXPORT(ExEnterCriticalRegionAndAcquireResourceExclusive, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" PVOID NTAPI ExEnterCriticalRegionAndAcquireResourceExclusive(PERESOURCE Resource) {
  return EnterAndAcquire(Resource, ResourceMode::kExclusive, __builtin_return_address(0));
}

/// Enters a critical region and takes the resource shared. Returns the thread's Win32 structure.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExEnterCriticalRegionAndAcquireResourceShared.
NT_EXPORT(ExEnterCriticalRegionAndAcquireResourceShared, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" PVOID NTAPI ExEnterCriticalRegionAndAcquireResourceShared(PERESOURCE Resource) {
  return EnterAndAcquire(Resource, ResourceMode::kShared, __builtin_return_address(0));
}

/// Enters a critical region and takes the resource shared, after exclusive waiters. Returns the thread's
/// Win32 structure.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExEnterCriticalRegionAndAcquireSharedWaitForExclusive.
NT_EXPORT(ExEnterCriticalRegionAndAcquireSharedWaitForExclusive, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" PVOID NTAPI ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(PERESOURCE Resource) {
  return EnterAndAcquire(Resource, ResourceMode::kSharedWaitForExclusive, __builtin_return_address(0));
}

/// Releases the resource and leaves the critical region.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseResourceAndLeaveCriticalRegion.
NT_EXPORT(ExReleaseResourceAndLeaveCriticalRegion, nt::AtMost(APC_LEVEL), Full, "ExResource.*");
extern "C" VOID FASTCALL ExReleaseResourceAndLeaveCriticalRegion(PERESOURCE Resource) {
  ReleaseAndLeave(Resource);
}

/// Enters a critical region and takes the resource exclusively. Returns the thread's Win32 structure.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the thread's priority is not raised for the length of the region.
/// Source: not documented, exported.
NT_EXPORT(ExEnterPriorityRegionAndAcquireResourceExclusive, nt::AtMost(APC_LEVEL), Partial, "ExResource.*");
extern "C" PVOID NTAPI ExEnterPriorityRegionAndAcquireResourceExclusive(PERESOURCE Resource) {
  return EnterAndAcquire(Resource, ResourceMode::kExclusive, __builtin_return_address(0));
}

/// Enters a critical region and takes the resource shared. Returns the thread's Win32 structure.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the thread's priority is not raised for the length of the region.
/// Source: not documented, exported.
NT_EXPORT(ExEnterPriorityRegionAndAcquireResourceShared, nt::AtMost(APC_LEVEL), Partial, "ExResource.*");
extern "C" PVOID NTAPI ExEnterPriorityRegionAndAcquireResourceShared(PERESOURCE Resource) {
  return EnterAndAcquire(Resource, ResourceMode::kShared, __builtin_return_address(0));
}

/// Releases the resource and leaves the region that the acquisition entered.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the thread's priority is not raised for the length of the region.
/// Source: not documented, exported.
NT_EXPORT(ExReleaseResourceAndLeavePriorityRegion, nt::AtMost(APC_LEVEL), Partial, "ExResource.*");
extern "C" VOID FASTCALL ExReleaseResourceAndLeavePriorityRegion(PERESOURCE Resource) {
  ReleaseAndLeave(Resource);
}
