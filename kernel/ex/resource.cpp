// ERESOURCE: ownership, waiting and handing over. resource.h tells the rules.
#include "resource.h"

#include "ex/ex.h"
#include "ob/ob.h"
#include "wait_blocks.h"

#ifndef ResourceOwnedExclusive
#define ResourceOwnedExclusive 0x80
#endif
#ifndef RESOURCE_NOT_OWNED
#define RESOURCE_NOT_OWNED 0xE3
#endif

extern "C" {
// All resources of the system, by SystemResourcesList: what !locks walks.
LIST_ENTRY ExpSystemResourcesList = {&ExpSystemResourcesList, &ExpSystemResourcesList};
static KSPIN_LOCK ExpResourceSpinLock;
}

// On the stack of a thread that waits for a resource.
typedef struct _EXP_RESOURCE_WAIT_BLOCK {
  struct _EXP_RESOURCE_WAIT_BLOCK* Next;
  PKTHREAD Thread;
  BOOLEAN Again;  // the thread was an owner before
  KEVENT WakeEvent;
} EXP_RESOURCE_WAIT_BLOCK;

namespace ex {

namespace {

using Block = EXP_RESOURCE_WAIT_BLOCK;
using Waiters = PVOID volatile*;

constexpr ULONG kTag = 'eRxE';
constexpr ULONG kFirstTable = 4;  // entries; the first of a table is its size
constexpr ERESOURCE_THREAD kOwnerPointerBits = 3;

ERESOURCE_THREAD CurrentOwner() {
  return reinterpret_cast<ERESOURCE_THREAD>(KeCurrentThread());
}
// 0 for an owner pointer.
PKTHREAD ThreadOf(ERESOURCE_THREAD owner) {
  return (owner & kOwnerPointerBits) == 0 ? reinterpret_cast<PKTHREAD>(owner) : nullptr;
}
// The thread that an owner pointer names, which is referenced; 0 if it names none.
PKTHREAD NamedBy(const OWNER_ENTRY& entry) {
  return entry.OwnerReferenced ? reinterpret_cast<PKTHREAD>(entry.OwnerThread & ~kOwnerPointerBits) : nullptr;
}
// What AutoBoost knows the lock by in the entry of a thread that an owner pointer names: the thread may have
// another for an acquisition of its own.
PVOID KeyInName(PERESOURCE resource) {
  return reinterpret_cast<UCHAR*>(resource) + 1;
}
bool IsExclusive(PERESOURCE resource) {
  return (resource->Flag & ResourceOwnedExclusive) != 0;
}
Waiters ExclusiveList(PERESOURCE resource) {
  return reinterpret_cast<Waiters>(&resource->ExclusiveWaiters);
}
Waiters SharedList(PERESOURCE resource) {
  return reinterpret_cast<Waiters>(&resource->SharedWaiters);
}

POWNER_ENTRY FreeEntryLocked(PERESOURCE resource) {
  if (resource->OwnerEntry.OwnerThread == 0) return &resource->OwnerEntry;
  const ULONG size = resource->OwnerTable != nullptr ? resource->OwnerTable[0].TableSize : 0;
  for (ULONG i = 1; i < size; ++i) {
    if (resource->OwnerTable[i].OwnerThread == 0) return &resource->OwnerTable[i];
  }
  return nullptr;
}

// Where a thread's entry stood last (KTHREAD.ResourceIndex) it often stands again.
POWNER_ENTRY FindOwnerLocked(PERESOURCE resource, ERESOURCE_THREAD owner) {
  if (resource->OwnerEntry.OwnerThread == owner) return &resource->OwnerEntry;
  if (resource->OwnerTable == nullptr) return nullptr;
  const ULONG size = resource->OwnerTable[0].TableSize;
  PKTHREAD thread = ThreadOf(owner);
  const ULONG hint = thread != nullptr ? thread->ResourceIndex : 0;
  if (hint != 0 && hint < size && resource->OwnerTable[hint].OwnerThread == owner)
    return &resource->OwnerTable[hint];
  for (ULONG i = 1; i < size; ++i) {
    if (resource->OwnerTable[i].OwnerThread != owner) continue;
    if (thread != nullptr && i <= MAXUSHORT) thread->ResourceIndex = static_cast<USHORT>(i);
    return &resource->OwnerTable[i];
  }
  return nullptr;
}

// Every sharer that waits must find an entry when it is let in, under the lock, so there are as many.
bool HasRoomLocked(PERESOURCE resource) {
  const ULONG entries = resource->OwnerTable != nullptr ? resource->OwnerTable[0].TableSize : 1;
  return resource->ActiveEntries + resource->NumberOfSharedWaiters < entries;
}

// Called without the lock. FALSE: no memory.
bool GrowTable(PERESOURCE resource) {
  ULONG wanted;
  {
    ke::SpinGuard guard(&resource->SpinLock);
    if (HasRoomLocked(resource)) return true;
    wanted = resource->OwnerTable != nullptr ? resource->OwnerTable[0].TableSize * 2 : kFirstTable;
  }
  auto* table =
      static_cast<POWNER_ENTRY>(ExAllocatePoolWithTag(NonPagedPoolNx, wanted * sizeof(OWNER_ENTRY), kTag));
  if (table == nullptr) return false;
  RtlZeroMemory(table, wanted * sizeof(OWNER_ENTRY));
  POWNER_ENTRY surplus = table;
  {
    ke::SpinGuard guard(&resource->SpinLock);
    const ULONG size = resource->OwnerTable != nullptr ? resource->OwnerTable[0].TableSize : 0;
    if (size < wanted) {
      surplus = resource->OwnerTable;
      for (ULONG i = 1; i < size; ++i) table[i] = resource->OwnerTable[i];
      table[0].TableSize = wanted;
      resource->OwnerTable = table;
    }
  }
  if (surplus != nullptr) ExFreePoolWithTag(surplus, kTag);
  return true;
}

void MakeOwnerLocked(PERESOURCE resource, PKTHREAD thread, bool exclusive) {
  POWNER_ENTRY entry = exclusive ? &resource->OwnerEntry : FreeEntryLocked(resource);
  entry->OwnerThread = reinterpret_cast<ERESOURCE_THREAD>(thread);
  entry->OwnerCount = 1;
  ++resource->ActiveEntries;
  resource->ActiveCount = 1;
  if (exclusive) resource->Flag |= ResourceOwnedExclusive;
  InterlockedIncrement(&thread->OwnedResourceCount);
}

enum class Attempt { kTaken, kTakenAgain, kWait, kNoRoom };

Attempt TakeSharedLocked(PERESOURCE resource, PKTHREAD thread, ResourceMode mode, POWNER_ENTRY own) {
  const bool yields =
      mode == ResourceMode::kSharedWaitForExclusive || (mode == ResourceMode::kShared && own == nullptr);
  if (yields && resource->NumberOfExclusiveWaiters != 0) return Attempt::kWait;
  if (own != nullptr) {
    own->OwnerCount = own->OwnerCount + 1;
    return Attempt::kTakenAgain;
  }
  if (!HasRoomLocked(resource)) return Attempt::kNoRoom;
  MakeOwnerLocked(resource, thread, false);
  return Attempt::kTaken;
}

Attempt TakeLocked(PERESOURCE resource, PKTHREAD thread, ResourceMode mode) {
  const bool exclusive = mode == ResourceMode::kExclusive;
  POWNER_ENTRY own = FindOwnerLocked(resource, reinterpret_cast<ERESOURCE_THREAD>(thread));
  if (IsExclusive(resource)) {  // the owner may go on, in either mode
    if (own == nullptr) return Attempt::kWait;
    own->OwnerCount = own->OwnerCount + 1;
    return Attempt::kTakenAgain;
  }
  if (!exclusive) return TakeSharedLocked(resource, thread, mode, own);
  if (resource->ActiveEntries != 0) return Attempt::kWait;
  MakeOwnerLocked(resource, thread, true);
  return Attempt::kTaken;
}

void AppendLocked(Waiters list, Block* block) {
  auto* last = static_cast<Block*>(*list);
  if (last == nullptr) {
    *list = block;
    return;
  }
  while (last->Next != nullptr) last = last->Next;
  last->Next = block;
}

// The current thread's priority goes to the owners, who so leave earlier.
void BoostOwnersLocked(PERESOURCE resource) {
  if ((resource->Flag & kResourceBoostDisabled) != 0) return;
  KPRIORITY priority = KeCurrentThread()->Priority;
  if (priority > LOW_REALTIME_PRIORITY - 1) priority = LOW_REALTIME_PRIORITY - 1;
  const ULONG size = resource->OwnerTable != nullptr ? resource->OwnerTable[0].TableSize : 1;
  for (ULONG i = 0; i < size; ++i) {
    const OWNER_ENTRY& entry = i == 0 ? resource->OwnerEntry : resource->OwnerTable[i];
    if (entry.OwnerThread == 0) continue;
    if (PKTHREAD owner = ThreadOf(entry.OwnerThread); owner != nullptr) {
      KeAbLendPriority(owner, resource, priority);
    } else if (PKTHREAD named = NamedBy(entry); named != nullptr) {
      KeAbLendPriority(named, KeyInName(resource), priority);
    }
  }
}

// Hands the resource, which has no exclusive owner, on. Returns the blocks of the new owners.
Block* HandOverLocked(PERESOURCE resource, bool sharers_first) {
  const bool sharers =
      resource->NumberOfSharedWaiters != 0 && (sharers_first || resource->NumberOfExclusiveWaiters == 0);
  if (sharers) {
    auto* woken = static_cast<Block*>(*SharedList(resource));
    *SharedList(resource) = nullptr;
    resource->NumberOfSharedWaiters = 0;
    for (Block* block = woken; block != nullptr; block = block->Next) {
      POWNER_ENTRY own = FindOwnerLocked(resource, reinterpret_cast<ERESOURCE_THREAD>(block->Thread));
      if (own != nullptr) {
        own->OwnerCount = own->OwnerCount + 1;
        block->Again = TRUE;
      } else {
        MakeOwnerLocked(resource, block->Thread, false);
      }
    }
    return woken;
  }
  auto* first = static_cast<Block*>(*ExclusiveList(resource));
  if (first == nullptr || resource->ActiveEntries != 0) return nullptr;
  *ExclusiveList(resource) = first->Next;
  first->Next = nullptr;
  --resource->NumberOfExclusiveWaiters;
  MakeOwnerLocked(resource, first->Thread, true);
  return first;
}

// One attempt, and if it fails and `block` is given, a place among those who wait.
Attempt TakeOrEnqueue(PERESOURCE resource, ResourceMode mode, Block* block, PKLOCK_ENTRY entry) {
  ke::SpinGuard guard(&resource->SpinLock);
  const Attempt attempt = TakeLocked(resource, KeCurrentThread(), mode);
  if (attempt != Attempt::kWait || block == nullptr) return attempt;
  if (mode == ResourceMode::kExclusive) {
    ++resource->NumberOfExclusiveWaiters;
    AppendLocked(ExclusiveList(resource), block);
  } else {
    if (!HasRoomLocked(resource)) return Attempt::kNoRoom;
    ++resource->NumberOfSharedWaiters;
    AppendLocked(SharedList(resource), block);
  }
  ++resource->ContentionCount;
  if (entry != nullptr) __atomic_store_n(&entry->Waiting, UCHAR{1}, __ATOMIC_SEQ_CST);
  BoostOwnersLocked(resource);
  return attempt;
}

}  // namespace

// The current thread stands in a list; returns as an owner.
extern "C" __attribute__((noinline)) VOID ExpWaitForResource(EXP_RESOURCE_WAIT_BLOCK* block) {
  KeWaitForSingleObject(&block->WakeEvent, WrResource, KernelMode, FALSE, nullptr);
}

BOOLEAN AcquireResource(PERESOURCE resource, ResourceMode mode, BOOLEAN wait, PVOID caller) {
  PKLOCK_ENTRY entry = KeAbAllocateEntry(KeCurrentThread(), resource, KeLockKind::kResource, caller);
  Block block;
  block.Next = nullptr;
  block.Thread = KeCurrentThread();
  block.Again = FALSE;
  KeInitializeEvent(&block.WakeEvent, SynchronizationEvent, FALSE);
  Attempt attempt;
  while ((attempt = TakeOrEnqueue(resource, mode, wait ? &block : nullptr, entry)) == Attempt::kNoRoom) {
    if (GrowTable(resource)) continue;
    if (!wait) break;
    LARGE_INTEGER pause;
    pause.QuadPart = -100'000;
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
  }
  if (attempt == Attempt::kWait && wait) {
    ExpWaitForResource(&block);
    attempt = block.Again ? Attempt::kTakenAgain : Attempt::kTaken;
  }
  // One entry per resource and thread: it goes with the last release.
  if (attempt == Attempt::kTaken) {
    KeAbPostAcquire(entry);
  } else {
    KeAbCancel(entry);
  }
  return attempt == Attempt::kTaken || attempt == Attempt::kTakenAgain;
}

void ReleaseResource(PERESOURCE resource, ERESOURCE_THREAD owner) {
  Block* woken;
  PKTHREAD named = nullptr;
  {
    ke::SpinGuard guard(&resource->SpinLock);
    POWNER_ENTRY own = FindOwnerLocked(resource, owner);
    if (own == nullptr || own->OwnerCount == 0) {
      KeBugCheckEx(RESOURCE_NOT_OWNED, reinterpret_cast<ULONG_PTR>(resource), owner,
                   reinterpret_cast<ULONG_PTR>(resource->OwnerTable), IsExclusive(resource) ? 2 : 3);
    }
    own->OwnerCount = own->OwnerCount - 1;
    if (own->OwnerCount != 0) return;
    if ((named = NamedBy(*own)) != nullptr) {
      KeAbPostReleaseEx(named, KeAbFindEntry(named, KeyInName(resource)));
      own->OwnerReferenced = 0;
    }
    own->OwnerThread = 0;
    if (PKTHREAD thread = ThreadOf(owner); thread != nullptr) {
      InterlockedDecrement(&thread->OwnedResourceCount);
      KeAbPostReleaseEx(thread, KeAbFindEntry(thread, resource));
    }
    --resource->ActiveEntries;
    const bool was_exclusive = IsExclusive(resource);
    resource->Flag &= ~ResourceOwnedExclusive;
    if (resource->ActiveEntries == 0) resource->ActiveCount = 0;
    woken = HandOverLocked(resource, was_exclusive);
  }
  if (named != nullptr) ObDereferenceObjectDeferDelete(named);
  WakeWaiters(woken);
}

void ConvertResourceToShared(PERESOURCE resource) {
  Block* woken;
  {
    ke::SpinGuard guard(&resource->SpinLock);
    resource->Flag &= ~ResourceOwnedExclusive;
    woken = HandOverLocked(resource, true);
  }
  WakeWaiters(woken);
}

// The entry of the current thread becomes the pointer's; if that has one already, theirs are counted
// together. A thread that the pointer names gets what waiters lend, until the release in its name.
void SetResourceOwner(PERESOURCE resource, ERESOURCE_THREAD pointer, bool is_thread) {
  PKTHREAD thread = KeCurrentThread();
  ke::SpinGuard guard(&resource->SpinLock);
  POWNER_ENTRY own = FindOwnerLocked(resource, CurrentOwner());
  if (own == nullptr || (pointer & kOwnerPointerBits) != kOwnerPointerBits) {
    KeBugCheckEx(RESOURCE_NOT_OWNED, reinterpret_cast<ULONG_PTR>(resource), CurrentOwner(),
                 reinterpret_cast<ULONG_PTR>(resource->OwnerTable), 3);
  }
  InterlockedDecrement(&thread->OwnedResourceCount);
  KeAbPostReleaseEx(thread, KeAbFindEntry(thread, resource));
  POWNER_ENTRY other = FindOwnerLocked(resource, pointer);
  if (other == nullptr) {
    own->OwnerThread = pointer;
    own->OwnerReferenced = is_thread;
    if (PKTHREAD named = NamedBy(*own); named != nullptr) {
      ObReferenceObject(named);
      PVOID caller = __builtin_return_address(0);
      KeAbPostAcquire(KeAbAllocateEntry(named, KeyInName(resource), KeLockKind::kInName, caller));
    }
    return;
  }
  other->OwnerCount = other->OwnerCount + own->OwnerCount;
  own->OwnerThread = 0;
  own->OwnerCount = 0;
  --resource->ActiveEntries;
}

ULONG ResourceOwnership(PERESOURCE resource, ERESOURCE_THREAD thread, bool* exclusive) {
  ke::SpinGuard guard(&resource->SpinLock);
  POWNER_ENTRY own = FindOwnerLocked(resource, thread);
  *exclusive = own != nullptr && IsExclusive(resource);
  return own != nullptr ? own->OwnerCount : 0;
}

NTSTATUS InitializeResource(PERESOURCE resource) {
  RtlZeroMemory(resource, sizeof(*resource));
  KeInitializeSpinLock(&resource->SpinLock);
  ke::SpinGuard guard(&ExpResourceSpinLock);
  InsertTailList(&ExpSystemResourcesList, &resource->SystemResourcesList);
  return STATUS_SUCCESS;
}

void DeleteResource(PERESOURCE resource) {
  {
    ke::SpinGuard guard(&ExpResourceSpinLock);
    RemoveEntryList(&resource->SystemResourcesList);
  }
  if (resource->OwnerTable != nullptr) ExFreePoolWithTag(resource->OwnerTable, kTag);
  resource->OwnerTable = nullptr;
}

}  // namespace ex
