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
