// Mappings of MDLs: what the exports share; who holds system PTEs.
#include "mm/mdl_internal.h"

#include "ke/ke.h"
#include "mm/image.h"

namespace mm {
namespace {

constexpr ULONG kPteRecordTag = 'tPmM';

// With TrackPtes: a mapping and its owner.
struct PteRecord {
  LIST_ENTRY link;
  ULONG64 va;
  ULONG64 pages;
  PVOID caller;
};

KSPIN_LOCK g_pte_record_lock;
LIST_ENTRY g_pte_records = {&g_pte_records, &g_pte_records};

ULONG64 PtesOf(PKLDR_DATA_TABLE_ENTRY image) {
  ULONG64 pages = 0;
  for (PLIST_ENTRY link = g_pte_records.Flink; link != &g_pte_records; link = link->Flink) {
    const auto* record = CONTAINING_RECORD(link, PteRecord, link);
    if (MiLookupDataTableEntry(record->caller) == image) pages += record->pages;
  }
  return pages;
}

// The driver that holds most; 0 when nobody is known to hold any.
PKLDR_DATA_TABLE_ENTRY GreediestDriver(ULONG64* pages) {
  PKLDR_DATA_TABLE_ENTRY greediest = nullptr;
  *pages = 0;
  for (PLIST_ENTRY link = g_pte_records.Flink; link != &g_pte_records; link = link->Flink) {
    PKLDR_DATA_TABLE_ENTRY image = MiLookupDataTableEntry(CONTAINING_RECORD(link, PteRecord, link)->caller);
    if (image == nullptr || image == greediest) continue;
    const ULONG64 its = PtesOf(image);
    if (its > *pages) {
      greediest = image;
      *pages = its;
    }
  }
  return greediest;
}

}  // namespace

Configuration g_configuration;

Protection MappingProtection(ULONG priority) {
  const bool no_write = (priority & 0x80000000) != 0;    // MdlMappingNoWrite
  const bool no_execute = (priority & 0x40000000) != 0;  // MdlMappingNoExecute
  if (no_write) return no_execute ? Protection::kReadOnly : Protection::kExecuteRead;
  return no_execute ? Protection::kReadWrite : Protection::kExecuteReadWrite;
}

Cache CacheOf(MEMORY_CACHING_TYPE type) {
  switch (type) {
    case MmCached:
    case MmHardwareCoherentCached:
      return Cache::kCached;
    case MmWriteCombined:
    case MmUSWCCached:
      return Cache::kWriteCombined;
    default:
      return Cache::kUncached;
  }
}

void NotePtes(ULONG64 va, ULONG64 pages, PVOID caller) {
  if (!g_configuration.track_ptes) return;
  auto* record =
      static_cast<PteRecord*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(PteRecord), kPteRecordTag));
  if (record == nullptr) return;
  *record = {{}, va, pages, caller};
  ke::SpinGuard guard(&g_pte_record_lock);
  InsertTailList(&g_pte_records, &record->link);
}

void ForgetPtes(ULONG64 va) {
  PteRecord* found = nullptr;
  {
    ke::SpinGuard guard(&g_pte_record_lock);
    for (PLIST_ENTRY link = g_pte_records.Flink; link != &g_pte_records; link = link->Flink) {
      auto* record = CONTAINING_RECORD(link, PteRecord, link);
      if (record->va != va) continue;
      RemoveEntryList(link);
      found = record;
      break;
    }
  }
  if (found != nullptr) ExFreePoolWithTag(found, kPteRecordTag);
}

void StopWithoutPtes(ULONG64 wanted) {
  const ULONG64 total = g_system_pte_region.pages();
  const ULONG64 free = g_system_pte_region.bitmap().free_count();
  if (!g_configuration.track_ptes) KeBugCheckEx(NO_MORE_SYSTEM_PTES, 0, wanted, free, total);
  ke::SpinGuard guard(&g_pte_record_lock);
  ULONG64 pages = 0;
  PKLDR_DATA_TABLE_ENTRY driver = GreediestDriver(&pages);
  KeBugCheckEx(DRIVER_USED_EXCESSIVE_PTES, driver != nullptr ? Va(&driver->BaseDllName) : 0, pages, free,
               total);
}

NTSTATUS MapMdlInSpace(AddressSpace& space, PMDL mdl, Protection protection, Cache cache, ULONG64 base,
                       ULONG64* va) {
  const ULONG64 pages = PageCountOf(mdl);
  SleepGuard guard(space.lock);
  ULONG64 start = base & ~(kPageSize - 1);
  if (start == 0) start = FindFreeRange(space, pages, false);
  if (start == 0) return STATUS_INSUFFICIENT_RESOURCES;
  if (!space.Contains(start) || pages * kPageSize > space.end - start) return STATUS_INVALID_PARAMETER;
  if (!RangeIsFree(space, start, pages)) return STATUS_CONFLICTING_ADDRESSES;
  if (!EnsurePageTables(start, pages)) return STATUS_INSUFFICIENT_RESOURCES;
  MMVAD vad = {};
  vad.StartingVpn = start / kPageSize;
  vad.EndingVpn = vad.StartingVpn + pages - 1;
  vad.Kind = VadKind::kMdlMapping;
  vad.Protection = protection;
  if (InsertVad(space, vad) == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  for (ULONG64 i = 0; i < pages; ++i) {
    MMPTE pte = ValidPte(PagesOf(mdl)[i], protection, CacheOfPage(PagesOf(mdl)[i], cache));
    pte.u.Hard.Owner = 1;
    Store(PteOf(start) + i, pte);
  }
  *va = start;
  return STATUS_SUCCESS;
}

bool UnmapMdlInSpace(AddressSpace& space, ULONG64 va) {
  SleepGuard guard(space.lock);
  const PMMVAD vad = FindVad(space, va);
  if (vad == nullptr || vad->Kind != VadKind::kMdlMapping || StartOf(*vad) != va) return false;
  DeleteVad(space, vad);
  return true;
}

}  // namespace mm

extern "C" VOID MmSetTracking(BOOLEAN LockedPages, BOOLEAN Ptes) {
  mm::g_configuration = {LockedPages != FALSE, Ptes != FALSE};
}
