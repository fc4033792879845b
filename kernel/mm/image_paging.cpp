// Pageable sections of loaded images: locking and trimming.
#include "ke/ke.h"
#include "mm/image_internal.h"
#include "mm/section.h"
#include "nt/export.h"

namespace mm {
namespace {

ULONG64 AddressOf(const LoadedImage* image, const ImageSection& section) {
  return Va(image->entry.DllBase) + section.rva;
}

bool IsPageable(const LoadedImage* image, const ImageSection& section) {
  return (section.pageable || image->all_pageable) && !section.freed;
}

ULONG64 TrimImage(LoadedImage* image) {
  ULONG64 trimmed = 0;
  for (ULONG i = 0; i < image->section_count; ++i) {
    const ImageSection& section = image->sections[i];
    if (IsPageable(image, section)) trimmed += TrimRange(AddressOf(image, section), section.pages);
  }
  return trimmed;
}

bool AddLock(ULONG64 va, LONG change) {
  ke::SpinGuard guard(&g_pfn_lock);
  const MMPTE pte = Load(PteOf(va));
  if (pte.u.Hard.Valid == 0) return false;
  USHORT& references = MmPfnDatabase[pte.u.Hard.PageFrameNumber].u3.ReferenceCount;
  references = static_cast<USHORT>(references + change);
  return true;
}

void LockSection(const LoadedImage* image, ImageSection& section) {
  const ULONG64 start = AddressOf(image, section);
  for (ULONG page = 0; !section.freed && page < section.pages; ++page) {
    while (!AddLock(start + page * kPageSize, 1)) {
      if (!MakeResident(start + page * kPageSize))
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1234, start, page, section.locks);
    }
  }
  __atomic_add_fetch(&section.locks, 1, __ATOMIC_ACQ_REL);
}

void UnlockSection(const LoadedImage* image, ImageSection& section) {
  if (__atomic_sub_fetch(&section.locks, 1, __ATOMIC_ACQ_REL) < 0) {
    KeBugCheckEx(MEMORY_MANAGEMENT, 0x1010, Va(&section), 0, 0);
  }
  for (ULONG page = 0; !section.freed && page < section.pages; ++page) {
    AddLock(AddressOf(image, section) + page * kPageSize, -1);
  }
}

// Pages of images but the kernel's and the page file's own file system are written out as they are: relocated
// and bound, they are no longer those of the file.
ULONG64 PageOutImages(ULONG64 enough) {
  SleepGuard guard(g_load_lock);
  ULONG64 written = 0;
  for (PLIST_ENTRY link = PsLoadedModuleList.Flink; link != &PsLoadedModuleList; link = link->Flink) {
    LoadedImage* image = ImageOf(CONTAINING_RECORD(link, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks));
    if (image == KernelImage() || &image->entry == PageFileDriver()) continue;
    for (ULONG i = 0; i < image->section_count; ++i) {
      const ImageSection& section = image->sections[i];
      if (IsPageable(image, section))
        written += PageOutRange(AddressOf(image, section), section.pages, enough);
    }
  }
  return written;
}

ULONG64 PageOutPagedPool(ULONG64 enough) {
  const VaRegion& region = g_paged_pool_region;
  ULONG64 written = 0;
  for (ULONG64 first = region.bitmap().NextUsed(0, region.pages()); first < region.pages();) {
    const ULONG64 end = region.bitmap().NextFree(first, region.pages());
    written += PageOutRange(region.base() + first * kPageSize, end - first, enough);
    first = region.bitmap().NextUsed(end, region.pages());
  }
  return written;
}

LoadedImage* ImageOfAddress(PVOID address) {
  PKLDR_DATA_TABLE_ENTRY entry = MiLookupDataTableEntry(address);
  return entry == nullptr ? nullptr : ImageOf(entry);
}

// A handle is the section's record; which image it belongs to follows from its address.
LoadedImage* ImageOfHandle(PVOID handle) {
  SleepGuard guard(g_load_lock);
  for (PLIST_ENTRY link = PsLoadedModuleList.Flink; link != &PsLoadedModuleList; link = link->Flink) {
    LoadedImage* image = ImageOf(CONTAINING_RECORD(link, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks));
    const auto* section = static_cast<const ImageSection*>(handle);
    if (section >= image->sections && section < image->sections + image->section_count) return image;
  }
  return nullptr;
}

}  // namespace

void PageOutAll(ULONG64 enough) {
  PageOutPagedPool(enough);
  PageOutImages(enough);
  PageOutProcesses(enough);
  PageOutSegments(enough);
}

}  // namespace mm

extern "C" {

ULONG64 MmTrimDriver(PKLDR_DATA_TABLE_ENTRY Entry) {
  mm::SleepGuard guard(mm::g_load_lock);
  const ULONG64 trimmed = mm::TrimImage(mm::ImageOf(Entry));
  if (trimmed != 0) KeFlushEntireTb(TRUE, TRUE);
  return trimmed;
}

ULONG64 MmTrimPageableImages() {
  mm::SleepGuard guard(mm::g_load_lock);
  ULONG64 trimmed = 0;
  for (PLIST_ENTRY link = PsLoadedModuleList.Flink; link != &PsLoadedModuleList; link = link->Flink) {
    trimmed += mm::TrimImage(mm::ImageOf(CONTAINING_RECORD(link, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks)));
  }
  if (trimmed != 0) KeFlushEntireTb(TRUE, TRUE);
  return trimmed;
}

}  // extern "C"

/// Makes the pageable section that contains an address resident until MmUnlockPagableImageSection.
/// Returns: a handle for the two routines below; NULL for an address in no driver's section.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: an address outside every image returns NULL instead of a bug check.
/// Source: WDK wdm/MmLockPagableDataSection.
NT_EXPORT(MmLockPagableDataSection, nt::AtMost(APC_LEVEL), Full, "MmPaging.LockSection*");
extern "C" PVOID NTAPI MmLockPagableDataSection(PVOID AddressWithinSection) {
  PKLDR_DATA_TABLE_ENTRY entry = MiLookupDataTableEntry(AddressWithinSection);
  if (entry == nullptr) return nullptr;
  mm::ImageSection* section = mm::FindSection(mm::ImageOf(entry), mm::Va(AddressWithinSection));
  if (section != nullptr) mm::LockSection(mm::ImageOf(entry), *section);
  return section;
}

/// Locks a section again, by the handle of MmLockPagableDataSection.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: a handle that is none is bug check 0x1A.
/// Source: WDK ntddk/MmLockPagableSectionByHandle.
NT_EXPORT(MmLockPagableSectionByHandle, nt::AtMost(APC_LEVEL), Full, "MmPaging.LockSection*");
extern "C" VOID NTAPI MmLockPagableSectionByHandle(PVOID ImageSectionHandle) {
  mm::LoadedImage* image = mm::ImageOfHandle(ImageSectionHandle);
  if (image == nullptr) KeBugCheckEx(MEMORY_MANAGEMENT, 0x1234, mm::Va(ImageSectionHandle), 0, 0);
  mm::LockSection(image, *static_cast<mm::ImageSection*>(ImageSectionHandle));
}

/// Undoes one MmLockPagableDataSection or MmLockPagableSectionByHandle.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: a handle that is none, or a section that is not locked, is bug check 0x1A.
/// Source: WDK wdm/MmUnlockPagableImageSection.
NT_EXPORT(MmUnlockPagableImageSection, nt::AtMost(APC_LEVEL), Full, "MmPaging.LockSection*");
extern "C" VOID NTAPI MmUnlockPagableImageSection(PVOID ImageSectionHandle) {
  mm::LoadedImage* image = mm::ImageOfHandle(ImageSectionHandle);
  if (image == nullptr) KeBugCheckEx(MEMORY_MANAGEMENT, 0x1010, mm::Va(ImageSectionHandle), 0, 0);
  mm::UnlockSection(image, *static_cast<mm::ImageSection*>(ImageSectionHandle));
}

/// Makes a driver pageable as a whole, also what its linker kept resident: for drivers that have no interrupt
/// routine and do nothing at raised IRQL.
/// Returns: the base of the image; NULL for an address in no driver.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: an address outside every image returns NULL instead of a bug check.
/// Source: WDK wdm/MmPageEntireDriver.
NT_EXPORT(MmPageEntireDriver, nt::AtMost(APC_LEVEL), Full, "MmPaging.EntireDriver*");
extern "C" PVOID NTAPI MmPageEntireDriver(PVOID AddressWithinSection) {
  mm::LoadedImage* image = mm::ImageOfAddress(AddressWithinSection);
  if (image == nullptr || image == mm::KernelImage()) return nullptr;
  image->all_pageable = true;
  return image->entry.DllBase;
}

/// Undoes MmPageEntireDriver: what is not in a pageable section is resident again, and stays so.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmResetDriverPaging.
NT_EXPORT(MmResetDriverPaging, nt::AtMost(APC_LEVEL), Full, "MmPaging.EntireDriver*");
extern "C" VOID NTAPI MmResetDriverPaging(PVOID AddressWithinSection) {
  mm::LoadedImage* image = mm::ImageOfAddress(AddressWithinSection);
  if (image == nullptr || !image->all_pageable) return;
  image->all_pageable = false;  // from now on nothing of it is trimmed
  for (ULONG i = 0; i < image->section_count; ++i) {
    const mm::ImageSection& section = image->sections[i];
    const ULONG64 start = mm::AddressOf(image, section);
    for (ULONG page = 0; !section.pageable && !section.freed && page < section.pages; ++page) {
      mm::MakeResident(start + page * mm::kPageSize);
    }
  }
}

/// Makes all pageable memory that nobody has locked not resident: drivers' pageable sections, paged pool,
/// private pages and views of processes. With PurgeTransition at PASSIVE_LEVEL the pages are written to
/// C:\pagefile.sys (pages of mapped files to their files) and freed; without, they stay in memory until they
/// are touched. Returns: non-zero.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: what PurgeTransition frees, and when, is ours.
/// Source: not documented; the way to make a missing page fault show at once.
NT_EXPORT(MmTrimAllSystemPagableMemory, nt::AtMost(APC_LEVEL), Partial,
          "MmPaging.Trimmed* MmPaging.PagedOut*");
extern "C" ULONG NTAPI MmTrimAllSystemPagableMemory(ULONG PurgeTransition) {
  MmTrimPageableImages();
  MmTrimPagedPool();
  mm::TrimProcesses();
  if (PurgeTransition != 0 && mm::OpenPageFile()) mm::PageOutAll(mm::kAllPages);
  return TRUE;
}
