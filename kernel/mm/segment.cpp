// Segments: the memory behind sections.
#include "mm/section.h"

#include "ke/ke.h"

namespace mm {
namespace {

constexpr ULONG kSegmentTag = 'mSmM';
constexpr ULONG64 kMaxPages = 1ull << 24;  // 64 GiB

SleepLock g_list_lock;  // before a segment's lock
LIST_ENTRY g_segments;

bool AllocatePtes(ULONG64 pages, PMMPTE* ptes) {
  const SIZE_T bytes = pages * sizeof(MMPTE);
  *ptes = static_cast<PMMPTE>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kSegmentTag));
  if (*ptes != nullptr) RtlZeroMemory(*ptes, bytes);
  return *ptes != nullptr;
}

NTSTATUS NewSegment(ULONG64 bytes, Segment** result) {
  const ULONG64 pages = PagesFor(bytes);
  if (pages == 0 || pages > kMaxPages) return STATUS_SECTION_TOO_BIG;
  auto* segment = static_cast<Segment*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Segment), kSegmentTag));
  if (segment == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(segment, sizeof(*segment));
  if (!AllocatePtes(pages, &segment->ptes)) {
    ExFreePoolWithTag(segment, kSegmentTag);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  segment->lock.Init();
  segment->references = 1;
  segment->pages = pages;
  segment->bytes = bytes;
  *result = segment;
  return STATUS_SUCCESS;
}

// Longer, under the list's lock.
NTSTATUS Extend(Segment* segment, ULONG64 bytes) {
  const ULONG64 pages = PagesFor(bytes);
  if (pages > kMaxPages) return STATUS_SECTION_TOO_BIG;
  SleepGuard guard(segment->lock);
  if (pages > segment->pages) {
    PMMPTE ptes;
    if (!AllocatePtes(pages, &ptes)) return STATUS_INSUFFICIENT_RESOURCES;
    for (ULONG64 i = 0; i < segment->pages; ++i) {
      ptes[i] = segment->ptes[i];
      if (IsTransition(ptes[i])) MmPfnDatabase[ptes[i].u.Trans.PageFrameNumber].PteAddress = &ptes[i];
    }
    ExFreePoolWithTag(segment->ptes, kSegmentTag);
    segment->ptes = ptes;
    segment->pages = pages;
  }
  if (bytes > segment->bytes) segment->bytes = bytes;
  return STATUS_SUCCESS;
}

ULONG BytesInPage(const Segment* segment, ULONG64 index) {
  const ULONG64 left = segment->bytes - index * kPageSize;
  return static_cast<ULONG>(left < kPageSize ? left : kPageSize);
}

NTSTATUS ReadFilePage(Segment* segment, ULONG64 index, PFN_NUMBER pfn) {
  ULONG done = 0;
  const ULONG wanted = BytesInPage(segment, index);
  Count(g_events.reads);
  const NTSTATUS status = PagingTransfer(segment->file, false, pfn, index * kPageSize, wanted, &done);
  if (!NT_SUCCESS(status)) return status;
  return done == wanted ? STATUS_SUCCESS : STATUS_END_OF_FILE;
}

// Content for a page that is not in memory.
NTSTATUS FillPage(Segment* segment, ULONG64 index, PFN_NUMBER pfn) {
  const MMPTE old = segment->ptes[index];
  NTSTATUS status = STATUS_SUCCESS;
  if (IsPagedOut(old)) {
    status = ReadSlot(static_cast<ULONG>(old.u.Soft.PageFileHigh), pfn);
    if (NT_SUCCESS(status)) FreeSlot(static_cast<ULONG>(old.u.Soft.PageFileHigh));
  } else if (segment->image != nullptr) {
    status = ReadImagePage(segment, index, pfn);
  } else if (segment->file != nullptr) {
    status = ReadFilePage(segment, index, pfn);
  }
  // What kept the page from being read is the exception's business.
  return NT_SUCCESS(status) || status == STATUS_NO_MEMORY ? status : STATUS_IN_PAGE_ERROR;
}

// Writes a resident page to its file; the segment's lock is held. Modified is cleared first: what comes
// during the write is written the next time.
NTSTATUS WriteFilePage(Segment* segment, ULONG64 index) {
  if (segment->image != nullptr) return STATUS_SUCCESS;
  const PFN_NUMBER pfn = segment->ptes[index].u.Trans.PageFrameNumber;
  PMMPFN record = MmPfnDatabase + pfn;
  {
    ke::SpinGuard guard(&g_pfn_lock);
    if (record->u3.e1.Modified == 0) return STATUS_SUCCESS;
    record->u3.e1.Modified = 0;
  }
  ULONG done = 0;
  Count(g_events.mapped_writes);
  const NTSTATUS status =
      PagingTransfer(segment->file, true, pfn, index * kPageSize, BytesInPage(segment, index), &done);
  if (NT_SUCCESS(status)) return status;
  ke::SpinGuard guard(&g_pfn_lock);
  record->u3.e1.Modified = 1;
  return status;
}

bool IsUnused(PFN_NUMBER pfn) {
  ke::SpinGuard guard(&g_pfn_lock);
  return MmPfnDatabase[pfn].u2.ShareCount == 0 && MmPfnDatabase[pfn].u3.ReferenceCount == 1;
}

// The same as the writer of modified pages: not now, if somebody else has the file.
bool WriteFilePageIfFree(Segment* segment, ULONG64 index) {
  LARGE_INTEGER end;
  end.QuadPart = static_cast<LONGLONG>(index * kPageSize + BytesInPage(segment, index));
  PERESOURCE resource;
  if (!NT_SUCCESS(FsRtlAcquireFileForModWriteEx(segment->file, &end, &resource))) return false;
  const NTSTATUS status = WriteFilePage(segment, index);
  FsRtlReleaseFileForModWrite(segment->file, resource);
  return NT_SUCCESS(status);
}

// Writes out one page that no view maps. The segment's lock keeps views from mapping it.
bool EvictPage(Segment* segment, ULONG64 index) {
  const MMPTE old = segment->ptes[index];
  if (!IsTransition(old) || !IsUnused(old.u.Trans.PageFrameNumber)) return false;
  const PFN_NUMBER pfn = old.u.Trans.PageFrameNumber;
  if (segment->file != nullptr) {
    if (!WriteFilePageIfFree(segment, index)) return false;
    segment->ptes[index] = MMPTE{};
  } else {
    const ULONG slot = AllocateSlot();
    if (slot == 0) return false;
    if (!NT_SUCCESS(WriteSlot(slot, pfn))) {
      FreeSlot(slot);
      return false;
    }
    segment->ptes[index] = PagedOutPte(slot, Protection::kReadWrite);
  }
  FreePage(pfn);
  return true;
}

// The last reference has gone: nothing can find the segment any more.
void DestroySegment(Segment* segment) {
  for (ULONG64 i = 0; i < segment->pages; ++i) {
    if (segment->file != nullptr && IsTransition(segment->ptes[i])) WriteFilePage(segment, i);
    DropPte(segment->ptes[i]);
  }
  ExFreePoolWithTag(segment->ptes, kSegmentTag);
  if (segment->image != nullptr) FreeImageMap(segment->image);
}

// The place in the file's pointers by which others find the segment.
PVOID* SlotOf(const Segment* segment) {
  return segment->image != nullptr ? &segment->pointers->ImageSectionObject
                                   : &segment->pointers->DataSectionObject;
}

// The list's lock is held.
void Publish(Segment* segment, PFILE_OBJECT file) {
  ObReferenceObject(file);
  segment->file = file;
  segment->pointers = file->SectionObjectPointer;
  *SlotOf(segment) = segment;
  InsertTailList(&g_segments, &segment->link);
}

}  // namespace

void InitSegments() {
  g_list_lock.Init();
  InitializeListHead(&g_segments);
}

NTSTATUS CreatePagefileSegment(ULONG64 bytes, Segment** segment) {
  const NTSTATUS status = NewSegment(bytes, segment);
  if (!NT_SUCCESS(status)) return status;
  SleepGuard guard(g_list_lock);
  InsertTailList(&g_segments, &(*segment)->link);
  return STATUS_SUCCESS;
}

NTSTATUS OpenFileSegment(PFILE_OBJECT file, ULONG64 bytes, Segment** result) {
  if (file->SectionObjectPointer == nullptr) return STATUS_INVALID_FILE_FOR_SECTION;
  SleepGuard guard(g_list_lock);
  auto* segment = static_cast<Segment*>(file->SectionObjectPointer->DataSectionObject);
  if (segment != nullptr) {
    const NTSTATUS status = Extend(segment, bytes);
    if (NT_SUCCESS(status)) ++segment->references;
    *result = segment;
    return status;
  }
  const NTSTATUS status = NewSegment(bytes, &segment);
  if (!NT_SUCCESS(status)) return status;
  Publish(segment, file);
  *result = segment;
  return STATUS_SUCCESS;
}

NTSTATUS OpenImageSegment(PFILE_OBJECT file, Segment** result) {
  if (file->SectionObjectPointer == nullptr) return STATUS_INVALID_FILE_FOR_SECTION;
  SleepGuard guard(g_list_lock);
  auto* segment = static_cast<Segment*>(file->SectionObjectPointer->ImageSectionObject);
  if (segment != nullptr) {
    ++segment->references;
    *result = segment;
    return STATUS_SUCCESS;
  }
  ImageMap* map;
  NTSTATUS status = ReadImageMap(file, &map);
  if (!NT_SUCCESS(status)) return status;
  status = NewSegment(map->bytes, &segment);
  if (!NT_SUCCESS(status)) {
    FreeImageMap(map);
    return status;
  }
  segment->image = map;
  Publish(segment, file);
  *result = segment;
  return STATUS_SUCCESS;
}

void CountUserView(Segment* segment, Protection protection, LONG change) {
  InterlockedExchangeAdd(&segment->user_views, change);
  if (IsWritable(protection)) InterlockedExchangeAdd(&segment->writable_views, change);
}

Segment* FindFileSegment(PSECTION_OBJECT_POINTERS pointers) {
  SleepGuard guard(g_list_lock);
  auto* segment = pointers != nullptr ? static_cast<Segment*>(pointers->DataSectionObject) : nullptr;
  if (segment != nullptr) ++segment->references;
  return segment;
}

void ReferenceSegment(Segment* segment) {
  SleepGuard guard(g_list_lock);
  ++segment->references;
}

void DereferenceSegment(Segment* segment) {
  {
    SleepGuard guard(g_list_lock);
    if (--segment->references != 0) return;
    RemoveEntryList(&segment->link);
    // A new section of the file waits for the lock, and then reads what is written here.
    if (segment->pointers != nullptr) *SlotOf(segment) = nullptr;
    DestroySegment(segment);
  }
  if (segment->file != nullptr) ObDereferenceObjectDeferDelete(segment->file);
  ExFreePoolWithTag(segment, kSegmentTag);
}

NTSTATUS SharePage(Segment* segment, ULONG64 index, PFN_NUMBER* result) {
  SleepGuard guard(segment->lock);
  if (index >= segment->pages) return STATUS_ACCESS_VIOLATION;
  if (!IsTransition(segment->ptes[index])) {
    const PFN_NUMBER pfn = AllocatePage(Zero::kYes);
    if (pfn == kNoPage) return STATUS_NO_MEMORY;
    const NTSTATUS status = FillPage(segment, index, pfn);
    if (!NT_SUCCESS(status)) {
      FreePage(pfn);
      return status;
    }
    SetPageOwner(pfn, &segment->ptes[index], PageLocation::kActive);
    MmPfnDatabase[pfn].u4.PrototypePte = 1;
    segment->ptes[index] = TransitionPte(pfn, Protection::kReadWrite);
  }
  *result = segment->ptes[index].u.Trans.PageFrameNumber;
  ke::SpinGuard pfn_guard(&g_pfn_lock);
  ++MmPfnDatabase[*result].u2.ShareCount;
  return STATUS_SUCCESS;
}

void ReleaseShare(PFN_NUMBER pfn, bool dirty) {
  ke::SpinGuard guard(&g_pfn_lock);
  PMMPFN record = MmPfnDatabase + pfn;
  if (record->u2.ShareCount == 0) KeBugCheckEx(PFN_LIST_CORRUPT, 0x99, pfn, record->u3.e1.PageLocation, 0);
  --record->u2.ShareCount;
  if (dirty) record->u3.e1.Modified = 1;
}

NTSTATUS FlushSegment(Segment* segment, ULONG64 first, ULONG64 pages) {
  if (segment->file == nullptr) return STATUS_SUCCESS;
  SleepGuard guard(segment->lock);
  NTSTATUS result = STATUS_SUCCESS;
  for (ULONG64 i = first; i < first + pages && i < segment->pages; ++i) {
    if (!IsTransition(segment->ptes[i])) continue;
    const NTSTATUS status = WriteFilePage(segment, i);
    if (!NT_SUCCESS(status)) result = status;
  }
  return result;
}

ULONG64 PageOutSegments(ULONG64 enough) {
  SleepGuard guard(g_list_lock);
  ULONG64 written = 0;
  for (PLIST_ENTRY link = g_segments.Flink; link != &g_segments; link = link->Flink) {
    Segment* segment = CONTAINING_RECORD(link, Segment, link);
    SleepGuard segment_guard(segment->lock);
    for (ULONG64 i = 0; i < segment->pages; ++i) {
      if (MmAvailablePages < enough && EvictPage(segment, i)) ++written;
    }
  }
  return written;
}

}  // namespace mm
