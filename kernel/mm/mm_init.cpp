// Taking memory over from the loader.
#include "ex/pool.h"
#include "mm/mm_internal.h"

extern "C" NTSTATUS MmInitSystem(const boot::LoaderBlock* block) {
  mm::InitPhysicalPages(block);
  // Page tables need pages, the PFN database needs page tables; pages handed out before the database exists
  // get their records with it.
  if (!mm::InitPfnDatabase(block) || !mm::InitVaRegions() || !ex::InitPools()) return STATUS_NO_MEMORY;
  mm::InitModuleList(block);
  return STATUS_SUCCESS;
}
