// What a file system asks of the sections of its files.
#include "mm/section.h"
#include "nt/export.h"

namespace {

using mm::kPageSize;
using mm::Segment;

// A file's segment for a scope; 0: the file has no section.
class FileSegment {
 public:
  explicit FileSegment(PSECTION_OBJECT_POINTERS pointers) : segment_(mm::FindFileSegment(pointers)) {}
  ~FileSegment() {
    if (segment_ != nullptr) mm::DereferenceSegment(segment_);
  }
  FileSegment(const FileSegment&) = delete;
  FileSegment& operator=(const FileSegment&) = delete;

  explicit operator bool() const { return segment_ != nullptr; }
  Segment* operator->() const { return segment_; }
  Segment* get() const { return segment_; }

 private:
  Segment* segment_;
};

// Makes a page of a file's section resident.
NTSTATUS Prefetch(Segment* segment, ULONG64 index) {
  if (index >= segment->pages) return STATUS_END_OF_FILE;
  PFN_NUMBER page;
  const NTSTATUS status = mm::SharePage(segment, index, &page);
  if (NT_SUCCESS(status)) mm::ReleaseShare(page, false);
  return status;
}

}  // namespace

/// Whether a file may be cut to a size (0: none): not while it is mapped as an image, nor below that size
/// while a program has a view of it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/MmCanFileBeTruncated.
NT_EXPORT(MmCanFileBeTruncated, nt::AtMost(APC_LEVEL), Full, "MmFileSection.Truncated*");
extern "C" BOOLEAN NTAPI MmCanFileBeTruncated(PSECTION_OBJECT_POINTERS SectionPointer,
                                              PLARGE_INTEGER NewFileSize) {
  if (SectionPointer->ImageSectionObject != nullptr) return FALSE;
  const FileSegment segment(SectionPointer);
  if (!segment || segment->user_views == 0) return TRUE;
  const ULONG64 size = NewFileSize != nullptr ? static_cast<ULONG64>(NewFileSize->QuadPart) : 0;
  return size >= segment->bytes;
}

/// Whether programs can write to a file through views.
/// Returns: how many such views there are.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/MmDoesFileHaveUserWritableReferences.
NT_EXPORT(MmDoesFileHaveUserWritableReferences, nt::AtMost(APC_LEVEL), Full, "MmFileSection.Writable*");
extern "C" ULONG NTAPI MmDoesFileHaveUserWritableReferences(PSECTION_OBJECT_POINTERS SectionPointer) {
  const FileSegment segment(SectionPointer);
  return segment ? static_cast<ULONG>(segment->writable_views) : 0;
}

/// Flushes a file's image section, for a write to the file or its deletion.
/// Returns: FALSE where the file is mapped as an image, or (MmFlushForDelete) a program has a view of its
/// data.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/MmFlushImageSection.
NT_EXPORT(MmFlushImageSection, nt::AtMost(APC_LEVEL), Full, "MmFileSection.FlushImage*");
extern "C" BOOLEAN NTAPI MmFlushImageSection(PSECTION_OBJECT_POINTERS SectionObjectPointer,
                                             MMFLUSH_TYPE FlushType) {
  if (SectionObjectPointer->ImageSectionObject != nullptr) return FALSE;
  if (FlushType != MmFlushForDelete) return TRUE;
  const FileSegment segment(SectionObjectPointer);
  return !segment || segment->user_views == 0;
}

/// Reads pages of files into memory before they are asked for.
/// Returns: STATUS_SUCCESS, or why a page could not be read (STATUS_END_OF_FILE, STATUS_NO_MEMORY,
/// STATUS_IN_PAGE_ERROR); STATUS_INVALID_PARAMETER for an image.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a file without a section has no place for its pages: nothing is read.
/// Source: WDK ntifs/MmPrefetchPages.
NT_EXPORT(MmPrefetchPages, nt::Exactly(PASSIVE_LEVEL), Partial, "MmFileSection.Prefetch*");
extern "C" NTSTATUS NTAPI MmPrefetchPages(ULONG NumberOfLists, PREAD_LIST* ReadLists) {
  NTSTATUS result = STATUS_SUCCESS;
  for (ULONG list = 0; list < NumberOfLists; ++list) {
    const READ_LIST& reads = *ReadLists[list];
    if (reads.IsImage) return STATUS_INVALID_PARAMETER;
    const FileSegment segment(reads.FileObject->SectionObjectPointer);
    for (ULONG i = 0; segment && i < reads.NumberOfEntries; ++i) {
      const NTSTATUS status = Prefetch(segment.get(), reads.List[i].Alignment / kPageSize);
      if (!NT_SUCCESS(status)) result = status;
    }
  }
  return result;
}
