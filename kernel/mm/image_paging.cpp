// Pageable sections of loaded images: locking and trimming.
#include "ke/ke.h"
#include "mm/image_internal.h"
#include "nt/export.h"

namespace mm {
namespace {

ULONG64 AddressOf(const LoadedImage* image, const ImageSection& section) {
  return Va(image->entry.DllBase) + section.rva;
}

ULONG64 TrimImage(LoadedImage* image) {
  ULONG64 trimmed = 0;
  for (ULONG i = 0; i < image->section_count; ++i) {
    const ImageSection& section = image->sections[i];
    if (section.pageable && !section.freed) trimmed += TrimRange(AddressOf(image, section), section.pages);
  }
  return trimmed;
}

bool AddLock(ULONG64 va, LONG change) {
  SpinGuard guard(&g_pfn_lock);
  const MMPTE pte = Load(PteOf(va));
  if (pte.u.Hard.Valid == 0) return false;
  USHORT& references = MmPfnDatabase[pte.u.Hard.PageFrameNumber].u3.ReferenceCount;
  references = static_cast<USHORT>(references + change);
  return true;
}

void LockSection(const LoadedImage* image, ImageSection& section) {
  const ULONG64 start = AddressOf(image, section);
  for (ULONG page = 0; section.pageable && page < section.pages; ++page) {
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
  for (ULONG page = 0; section.pageable && page < section.pages; ++page) {
    AddLock(AddressOf(image, section) + page * kPageSize, -1);
  }
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

/// Makes all pageable memory that nobody has locked not resident: drivers' pageable sections and paged pool.
/// Returns: non-zero.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: PurgeTransition has no effect: there is no paging file, pages stay in memory in
/// transition. Source: not documented; the way to make a missing page fault show at once.
NT_EXPORT(MmTrimAllSystemPagableMemory, nt::AtMost(APC_LEVEL), Partial, "MmPaging.Trimmed*");
extern "C" ULONG NTAPI MmTrimAllSystemPagableMemory(ULONG PurgeTransition) {
  MmTrimPageableImages();
  MmTrimPagedPool();
  return TRUE;
}
