// Taking memory over from the loader.
#include "ex/pool.h"
#include "mm/address_space.h"

extern "C" NTSTATUS MmInitSystem(const boot::LoaderBlock* block) {
  mm::InitPhysicalPages(block);
  // Page tables need pages, the PFN database needs page tables; pages handed out before the database exists
  // get their records with it.
  if (!mm::InitPfnDatabase(block) || !mm::InitVaRegions() || !mm::InitSystemViews() || !ex::InitPools())
    return STATUS_NO_MEMORY;
  mm::InitPaging();
  mm::InitModuleList(block);
  return STATUS_SUCCESS;
}

extern "C" NTSTATUS MmInitSections() {
  return mm::InitSections() ? STATUS_SUCCESS : STATUS_NO_MEMORY;
}

namespace mm {

Events g_events;

namespace {

ULONG64 ResidentPages(const VaRegion& region) {
  ULONG64 resident = 0;
  for (ULONG64 first = region.bitmap().NextUsed(0, region.pages()); first < region.pages();) {
    const ULONG64 end = region.bitmap().NextFree(first, region.pages());
    for (ULONG64 page = first; page < end; ++page) {
      const ULONG64 va = region.base() + page * kPageSize;
      if (WalkTables(va).level != 1) continue;
      const MMPTE pte = Load(PteOf(va));
      if (pte.u.Hard.Valid != 0 || IsTransition(pte)) ++resident;
    }
    first = region.bitmap().NextUsed(end, region.pages());
  }
  return resident;
}

}  // namespace
}  // namespace mm

extern "C" VOID MmQueryCounts(MmCounts* Counts) {
  using namespace mm;
  FlushStackCache();
  ex::DrainPoolCaches();
  while (DrainRetired()) {
  }
  *Counts = {};
  Counts->AvailablePages = MmAvailablePages;
  Counts->NonPagedPoolPages = ResidentPages(g_nonpaged_pool_region);
  Counts->PagedPoolPages = g_paged_pool_region.pages() - g_paged_pool_region.bitmap().free_count();
  Counts->ResidentPagedPoolPages = ResidentPages(g_paged_pool_region);
  Counts->FreeSystemPtes = g_system_pte_region.bitmap().free_count();
  Counts->PageFileSlots = SlotsInUse();
  Counts->Transitions = static_cast<ULONG64>(g_events.transitions);
  Counts->DemandZeroes = static_cast<ULONG64>(g_events.demand_zeroes);
  Counts->CopyOnWrites = static_cast<ULONG64>(g_events.copies);
  Counts->PageReads = static_cast<ULONG64>(g_events.reads);
  Counts->PageWrites = static_cast<ULONG64>(g_events.writes);
  Counts->MappedPageWrites = static_cast<ULONG64>(g_events.mapped_writes);
}
