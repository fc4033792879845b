// ERESOURCE: many readers or one writer, recursive. A spin lock guards the state; waiters wait on the
// resource's semaphore (shared) or event (exclusive), ownership is handed to them by the release.
#include "ex/ex.h"
#include "lock_record.h"
#include "nt/export.h"
#include "ob/ob.h"

#ifndef ResourceOwnedExclusive
#define ResourceOwnedExclusive 0x80
#endif
#ifndef RESOURCE_NOT_OWNED
#define RESOURCE_NOT_OWNED 0xE3
#endif

namespace {

constexpr ULONG kTag = 'eRxE';

ERESOURCE_THREAD CurrentThread() {
  return reinterpret_cast<ERESOURCE_THREAD>(KeGetCurrentThread());
}
bool IsExclusive(PERESOURCE resource) {
  return (resource->Flag & ResourceOwnedExclusive) != 0;
}

// The owner entry of a thread among the sharers; with `make` a free one. The first slot of the table is its
// size.
POWNER_ENTRY FindOwnerLocked(PERESOURCE resource, ERESOURCE_THREAD thread, bool make) {
  if (resource->OwnerEntry.OwnerThread == thread) return &resource->OwnerEntry;
  POWNER_ENTRY free_entry = resource->OwnerEntry.OwnerThread == 0 ? &resource->OwnerEntry : nullptr;
  if (resource->OwnerTable != nullptr) {
    for (ULONG i = 1; i < resource->OwnerTable[0].TableSize; ++i) {
      POWNER_ENTRY entry = &resource->OwnerTable[i];
      if (entry->OwnerThread == thread) return entry;
      if (entry->OwnerThread == 0 && free_entry == nullptr) free_entry = entry;
    }
  }
  return make ? free_entry : nullptr;
}

// Sees to it that another sharer finds a slot. Called without the lock.
void GrowTable(PERESOURCE resource) {
  constexpr ULONG kEntries = 64;
  POWNER_ENTRY table = static_cast<POWNER_ENTRY>(
      ExAllocatePoolWithTag(NonPagedPoolNx, kEntries * 8 * sizeof(OWNER_ENTRY), kTag));
  if (table == nullptr) return;
  RtlZeroMemory(table, kEntries * 8 * sizeof(OWNER_ENTRY));
  table[0].TableSize = kEntries * 8;
  POWNER_ENTRY old;
  {
    ob::SpinGuard guard(&resource->SpinLock);
    old = resource->OwnerTable;
    if (old != nullptr && old[0].TableSize >= table[0].TableSize) {
      old = table;
    } else {
      for (ULONG i = 1; old != nullptr && i < old[0].TableSize; ++i) table[i] = old[i];
      resource->OwnerTable = table;
    }
  }
  if (old != nullptr) ExFreePoolWithTag(old, kTag);
}

enum class Attempt { kTaken, kWait, kNoSlot };

Attempt TakeExclusiveLocked(PERESOURCE resource, ERESOURCE_THREAD thread) {
  if (resource->ActiveEntries == 0) {
    resource->Flag |= ResourceOwnedExclusive;
    resource->OwnerEntry.OwnerThread = thread;
    resource->OwnerEntry.OwnerCount = 1;
    resource->ActiveEntries = 1;
    return Attempt::kTaken;
  }
  if (IsExclusive(resource) && resource->OwnerEntry.OwnerThread == thread) {
    resource->OwnerEntry.OwnerCount = resource->OwnerEntry.OwnerCount + 1;
    return Attempt::kTaken;
  }
  return Attempt::kWait;
}

Attempt TakeSharedLocked(PERESOURCE resource, ERESOURCE_THREAD thread, bool starve_exclusive,
                         bool yield_even_recursive) {
  if (IsExclusive(resource)) {
    if (resource->OwnerEntry.OwnerThread != thread) return Attempt::kWait;
    resource->OwnerEntry.OwnerCount = resource->OwnerEntry.OwnerCount + 1;
    return Attempt::kTaken;
  }
  POWNER_ENTRY entry = FindOwnerLocked(resource, thread, false);
  const bool somebody_waits = resource->NumberOfExclusiveWaiters != 0;
  if (somebody_waits && !starve_exclusive && (entry == nullptr || yield_even_recursive))
    return Attempt::kWait;
  if (entry == nullptr) {
    entry = FindOwnerLocked(resource, thread, true);
    if (entry == nullptr) return Attempt::kNoSlot;
    entry->OwnerThread = thread;
    entry->OwnerCount = 0;
    ++resource->ActiveEntries;
  }
  entry->OwnerCount = entry->OwnerCount + 1;
  return Attempt::kTaken;
}

enum class Mode { kExclusive, kShared, kSharedStarveExclusive, kSharedWaitForExclusive };

Attempt TakeLocked(PERESOURCE resource, ERESOURCE_THREAD thread, Mode mode) {
  if (mode == Mode::kExclusive) return TakeExclusiveLocked(resource, thread);
  return TakeSharedLocked(resource, thread, mode == Mode::kSharedStarveExclusive,
                          mode == Mode::kSharedWaitForExclusive);
}

void Await(PERESOURCE resource, bool exclusive, PVOID caller) {
  ex::RecordLock(resource, ex::LockKind::kResource, caller, true);
  ++resource->ContentionCount;
  PVOID object = exclusive ? static_cast<PVOID>(resource->ExclusiveWaiters)
                           : static_cast<PVOID>(resource->SharedWaiters);
  KeWaitForSingleObject(object, WrResource, KernelMode, FALSE, nullptr);
}

BOOLEAN Acquire(PERESOURCE resource, Mode mode, BOOLEAN wait, PVOID caller) {
  const ERESOURCE_THREAD thread = CurrentThread();
  const bool exclusive = mode == Mode::kExclusive;
  for (;;) {
    Attempt attempt;
    {
      ob::SpinGuard guard(&resource->SpinLock);
      attempt = TakeLocked(resource, thread, mode);
      // Who was woken leaves the count of waiters; who must wait (again) enters it.
      if (attempt == Attempt::kWait && wait)
        ++(exclusive ? resource->NumberOfExclusiveWaiters : resource->NumberOfSharedWaiters);
    }
    if (attempt == Attempt::kTaken) break;
    if (attempt == Attempt::kNoSlot) {
      GrowTable(resource);
      continue;
    }
    if (!wait) return FALSE;
    Await(resource, exclusive, caller);
  }
  ex::RecordLock(resource, ex::LockKind::kResource, caller, false);
  return TRUE;
}

// What a release makes possible: all sharers or one writer try again. Returns through the out-parameters what
// to signal.
void WakeLocked(PERESOURCE resource, ULONG* sharers, bool* writer) {
  *sharers = 0;
  *writer = false;
  if (resource->ActiveEntries != 0 && IsExclusive(resource)) return;
  if (resource->NumberOfExclusiveWaiters != 0) {
    if (resource->ActiveEntries != 0) return;
    --resource->NumberOfExclusiveWaiters;
    *writer = true;
  }
  *sharers = resource->NumberOfSharedWaiters;
  resource->NumberOfSharedWaiters = 0;
}

void Release(PERESOURCE resource, ERESOURCE_THREAD thread) {
  ULONG sharers = 0;
  bool writer = false;
  {
    ob::SpinGuard guard(&resource->SpinLock);
    POWNER_ENTRY entry = FindOwnerLocked(resource, thread, false);
    if (entry == nullptr || entry->OwnerCount == 0) {
      KeBugCheckEx(RESOURCE_NOT_OWNED, reinterpret_cast<ULONG_PTR>(resource), thread,
                   reinterpret_cast<ULONG_PTR>(resource->OwnerTable), 3);
    }
    entry->OwnerCount = entry->OwnerCount - 1;
    if (entry->OwnerCount != 0) return;
    entry->OwnerThread = 0;
    if (--resource->ActiveEntries == 0) resource->Flag &= ~ResourceOwnedExclusive;
    WakeLocked(resource, &sharers, &writer);
  }
  if (thread == CurrentThread()) ex::ForgetLock(resource);
  if (writer) KeSetEvent(resource->ExclusiveWaiters, 0, FALSE);
  if (sharers != 0) KeReleaseSemaphore(resource->SharedWaiters, 0, static_cast<LONG>(sharers), FALSE);
}

}  // namespace

/// Prepares a resource.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the objects to wait for are allocated here, not when they are first needed.
/// Source: WDK wdm/ExInitializeResourceLite.
NT_EXPORT(ExInitializeResourceLite, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" NTSTATUS NTAPI ExInitializeResourceLite(PERESOURCE Resource) {
  struct Waits {
    KSEMAPHORE semaphore;
    KEVENT event;
  };
  RtlZeroMemory(Resource, sizeof(*Resource));
  auto* waits = static_cast<Waits*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Waits), kTag));
  if (waits == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  KeInitializeSemaphore(&waits->semaphore, 0, MAXLONG);
  KeInitializeEvent(&waits->event, SynchronizationEvent, FALSE);
  Resource->SharedWaiters = &waits->semaphore;
  Resource->ExclusiveWaiters = &waits->event;
  KeInitializeSpinLock(&Resource->SpinLock);
  InitializeListHead(&Resource->SystemResourcesList);
  return STATUS_SUCCESS;
}

/// Ends the use of a resource.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExDeleteResourceLite.
NT_EXPORT(ExDeleteResourceLite, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" NTSTATUS NTAPI ExDeleteResourceLite(PERESOURCE Resource) {
  if (Resource->OwnerTable != nullptr) ExFreePoolWithTag(Resource->OwnerTable, kTag);
  if (Resource->SharedWaiters != nullptr) ExFreePoolWithTag(Resource->SharedWaiters, kTag);
  RtlZeroMemory(Resource, sizeof(*Resource));
  return STATUS_SUCCESS;
}

/// Makes an unused resource as good as new.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReinitializeResourceLite.
NT_EXPORT(ExReinitializeResourceLite, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" NTSTATUS NTAPI ExReinitializeResourceLite(PERESOURCE Resource) {
  ExDeleteResourceLite(Resource);
  return ExInitializeResourceLite(Resource);
}

/// Takes a resource exclusively; FALSE if it must be waited for and Wait is FALSE. Normal kernel APCs must be
/// off. IRQL: <= APC_LEVEL. Differs from NT: none. Source: WDK wdm/ExAcquireResourceExclusiveLite.
NT_EXPORT(ExAcquireResourceExclusiveLite, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" BOOLEAN NTAPI ExAcquireResourceExclusiveLite(PERESOURCE Resource, BOOLEAN Wait) {
  return Acquire(Resource, Mode::kExclusive, Wait, __builtin_return_address(0));
}

/// Takes a resource shared; exclusive waiters go first, unless the thread has it already.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireResourceSharedLite.
NT_EXPORT(ExAcquireResourceSharedLite, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" BOOLEAN NTAPI ExAcquireResourceSharedLite(PERESOURCE Resource, BOOLEAN Wait) {
  return Acquire(Resource, Mode::kShared, Wait, __builtin_return_address(0));
}

/// Takes a resource shared, past exclusive waiters.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireSharedStarveExclusive.
NT_EXPORT(ExAcquireSharedStarveExclusive, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" BOOLEAN NTAPI ExAcquireSharedStarveExclusive(PERESOURCE Resource, BOOLEAN Wait) {
  return Acquire(Resource, Mode::kSharedStarveExclusive, Wait, __builtin_return_address(0));
}

/// Takes a resource shared, after exclusive waiters even if the thread has it already.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireSharedWaitForExclusive.
NT_EXPORT(ExAcquireSharedWaitForExclusive, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" BOOLEAN NTAPI ExAcquireSharedWaitForExclusive(PERESOURCE Resource, BOOLEAN Wait) {
  return Acquire(Resource, Mode::kSharedWaitForExclusive, Wait, __builtin_return_address(0));
}

/// Releases a resource once. A thread that does not have it: bug check 0xE3.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseResourceLite.
NT_EXPORT(ExReleaseResourceLite, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExReleaseResourceLite(PERESOURCE Resource) {
  Release(Resource, CurrentThread());
}

/// Releases a resource for the thread that took it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseResourceForThreadLite.
NT_EXPORT(ExReleaseResourceForThreadLite, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI ExReleaseResourceForThreadLite(PERESOURCE Resource, ERESOURCE_THREAD ResourceThreadId) {
  Release(Resource, ResourceThreadId);
}

/// Makes exclusive ownership shared and lets waiting sharers in.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExConvertExclusiveToSharedLite.
NT_EXPORT(ExConvertExclusiveToSharedLite, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI ExConvertExclusiveToSharedLite(PERESOURCE Resource) {
  ULONG sharers;
  {
    ob::SpinGuard guard(&Resource->SpinLock);
    Resource->Flag &= ~ResourceOwnedExclusive;
    sharers = Resource->NumberOfSharedWaiters;
    Resource->NumberOfSharedWaiters = 0;
  }
  if (sharers != 0) KeReleaseSemaphore(Resource->SharedWaiters, 0, static_cast<LONG>(sharers), FALSE);
}

/// Whether the current thread has the resource exclusively.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExIsResourceAcquiredExclusiveLite.
NT_EXPORT(ExIsResourceAcquiredExclusiveLite, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" BOOLEAN NTAPI ExIsResourceAcquiredExclusiveLite(PERESOURCE Resource) {
  ob::SpinGuard guard(&Resource->SpinLock);
  return IsExclusive(Resource) && Resource->OwnerEntry.OwnerThread == CurrentThread();
}

/// How often the current thread has the resource, exclusively or shared.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExIsResourceAcquiredSharedLite.
NT_EXPORT(ExIsResourceAcquiredSharedLite, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" ULONG NTAPI ExIsResourceAcquiredSharedLite(PERESOURCE Resource) {
  ob::SpinGuard guard(&Resource->SpinLock);
  POWNER_ENTRY entry = FindOwnerLocked(Resource, CurrentThread(), false);
  return entry != nullptr ? entry->OwnerCount : 0;
}

/// How many threads wait for exclusive ownership.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExGetExclusiveWaiterCount.
NT_EXPORT(ExGetExclusiveWaiterCount, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" ULONG NTAPI ExGetExclusiveWaiterCount(PERESOURCE Resource) {
  return Resource->NumberOfExclusiveWaiters;
}

/// How many threads wait for shared ownership.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExGetSharedWaiterCount.
NT_EXPORT(ExGetSharedWaiterCount, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" ULONG NTAPI ExGetSharedWaiterCount(PERESOURCE Resource) {
  return Resource->NumberOfSharedWaiters;
}

/// Enters a critical region and takes the resource shared.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExEnterCriticalRegionAndAcquireResourceShared.
NT_EXPORT(ExEnterCriticalRegionAndAcquireResourceShared, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" PVOID NTAPI ExEnterCriticalRegionAndAcquireResourceShared(PERESOURCE Resource) {
  KeEnterCriticalRegion();
  Acquire(Resource, Mode::kShared, TRUE, __builtin_return_address(0));
  return KeCurrentThread()->Win32Thread;
}

/// Releases the resource and leaves the critical region.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseResourceAndLeaveCriticalRegion.
NT_EXPORT(ExReleaseResourceAndLeaveCriticalRegion, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExReleaseResourceAndLeaveCriticalRegion(PERESOURCE Resource) {
  Release(Resource, CurrentThread());
  KeLeaveCriticalRegion();
}
