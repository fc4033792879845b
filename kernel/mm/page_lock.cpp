// Pages that must stay: the locks of MDLs, and who forgot them.
#include "mm/address_space.h"
#include "mm/mdl_internal.h"

#include "ke/ke.h"

namespace mm {
namespace {

constexpr ULONG kLockRecordTag = 'kLmM';

// With TrackLockedPages: who locked what.
struct LockRecord {
  LIST_ENTRY link;
  PMDL mdl;
  ULONG64 pages;
  PVOID caller;
};

bool LockResident(ULONG64 va, bool write, PFN_NUMBER* pfn) {
  ke::SpinGuard guard(&g_pfn_lock);
  const Walk walk = WalkTables(va);
  if (!walk.valid || (write && walk.entry.u.Hard.Dirty1 == 0)) return false;
  *pfn = walk.physical / kPageSize;
  if (PMMPFN record = PfnRecordOrNull(*pfn)) ++record->u3.ReferenceCount;
  return true;
}

}  // namespace

NTSTATUS LockPage(ULONG64 va, bool write, PFN_NUMBER* pfn) {
  while (!LockResident(va, write, pfn)) {
    if (KeGetCurrentIrql() >= DISPATCH_LEVEL) return STATUS_ACCESS_VIOLATION;
    const NTSTATUS status = ResolveFault(va, write ? Access::kWrite : Access::kRead);
    if (!NT_SUCCESS(status)) return status;
  }
  return STATUS_SUCCESS;
}

void UnlockPage(PFN_NUMBER pfn, bool written) {
  PMMPFN record = PfnRecordOrNull(pfn);
  if (record == nullptr) return;
  bool last = false;
  {
    ke::SpinGuard guard(&g_pfn_lock);
    const bool orphan = record->u4.FreeWhenUnlocked != 0;
    if (record->u3.ReferenceCount <= (orphan ? 0 : 1)) {
      KeBugCheckEx(PFN_LIST_CORRUPT, 7, pfn, record->u2.ShareCount, 0);
    }
    if (written && record->u4.PrototypePte != 0) record->u3.e1.Modified = 1;
    last = --record->u3.ReferenceCount == 0;
  }
  if (last) FreePage(pfn);
}

void ChargeLocks(AddressSpace& space, PMDL mdl, ULONG64 pages, PVOID caller) {
  InterlockedExchangeAdd64(&space.locked_pages, static_cast<LONG64>(pages));
  if (!g_configuration.track_locked_pages) return;
  auto* record =
      static_cast<LockRecord*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(LockRecord), kLockRecordTag));
  if (record == nullptr) return;
  *record = {{}, mdl, pages, caller};
  ke::SpinGuard guard(&g_pfn_lock);
  InsertTailList(&space.lock_records, &record->link);
}

void ReturnLocks(AddressSpace& space, PMDL mdl, ULONG64 pages) {
  const LONG64 before = InterlockedExchangeAdd64(&space.locked_pages, -static_cast<LONG64>(pages));
  if (before < static_cast<LONG64>(pages)) {
    KeBugCheckEx(PROCESS_HAS_LOCKED_PAGES, 1, Va(mdl), static_cast<ULONG_PTR>(before), 0);
  }
  LockRecord* found = nullptr;
  {
    ke::SpinGuard guard(&g_pfn_lock);
    for (PLIST_ENTRY link = space.lock_records.Flink; link != &space.lock_records; link = link->Flink) {
      auto* record = CONTAINING_RECORD(link, LockRecord, link);
      if (record->mdl != mdl) continue;
      RemoveEntryList(link);
      found = record;
      break;
    }
  }
  if (found != nullptr) ExFreePoolWithTag(found, kLockRecordTag);
}

void CheckLockedPages(AddressSpace& space) {
  const LONG64 pages = space.locked_pages;
  if (pages == 0) return;
  if (!IsListEmpty(&space.lock_records)) {
    const auto* record = CONTAINING_RECORD(space.lock_records.Flink, LockRecord, link);
    KeBugCheckEx(DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS, Va(record->caller), 0, Va(record->mdl), record->pages);
  }
  KeBugCheckEx(PROCESS_HAS_LOCKED_PAGES, 0, Va(space.process), static_cast<ULONG_PTR>(pages), 0);
}

}  // namespace mm
