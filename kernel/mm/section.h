// Section objects and what they map.
//
// A segment is the memory behind sections: of the page file, or of a file (then all sections of that file
// share it). Its prototype PTEs say where each page is: nowhere yet (zero: zeroes, or the file), in memory
// (transition form), or in a slot of the page file. A page's record counts the views' PTEs that map it; a
// page that no view maps can be written out. The segment's lock comes after the lock of an address space.
#pragma once

#include "mm/address_space.h"

namespace mm {

// SEC_IMAGE: which bytes of a program's file lie at which pages, and how they may be touched. Nothing is
// written back: writable pages are copied at the first write.
struct ImagePart {
  ULONG64 first_page, pages;
  ULONG64 file_offset, file_bytes;  // zeroes follow
  Protection protection;
};
struct ImageMap {
  ULONG64 preferred_base;
  ULONG64 bytes;  // SizeOfImage
  ULONG relocation_rva, relocation_bytes;
  ULONG part_count;
  ImagePart parts[1];  // the headers, then the sections
};

struct Segment {
  LIST_ENTRY link;
  LONG references;  // under the list's lock
  SleepLock lock;
  ULONG64 pages;
  ULONG64 bytes;
  PFILE_OBJECT file;  // 0: the page file
  ImageMap* image;    // 0: data
  PSECTION_OBJECT_POINTERS pointers;
  PMMPTE ptes;
  volatile LONG user_views;      // of programs
  volatile LONG writable_views;  // of these, through which the file can be written
};

// A section object's body.
struct Section {
  Segment* segment;
  ULONG64 bytes;
  Protection protection;  // the most that a view may have
  ULONG win32_protection;
  ULONG attributes;
};

// ---- segment.cpp. IRQL <= APC_LEVEL ----
void InitSegments();
NTSTATUS CreatePagefileSegment(ULONG64 bytes, Segment** segment);
// The segment of a file, at least `bytes` long; makes or extends it.
NTSTATUS OpenFileSegment(PFILE_OBJECT file, ULONG64 bytes, Segment** segment);
// The segment of a program's file as an image.
NTSTATUS OpenImageSegment(PFILE_OBJECT file, Segment** segment);
// A view of a process comes (1) or goes (-1).
void CountUserView(Segment* segment, Protection protection, LONG change);
// The segment of a file, referenced; 0: no section of it exists.
Segment* FindFileSegment(PSECTION_OBJECT_POINTERS pointers);
void ReferenceSegment(Segment* segment);
void DereferenceSegment(Segment* segment);
// A resident page with one more view's share; the caller puts it into a PTE.
NTSTATUS SharePage(Segment* segment, ULONG64 index, PFN_NUMBER* pfn);
void ReleaseShare(PFN_NUMBER pfn, bool dirty);
// Writes modified pages of a file segment to the file.
NTSTATUS FlushSegment(Segment* segment, ULONG64 first, ULONG64 pages);
// Writes out and frees every page that no view maps; returns how many.
ULONG64 PageOutSegments(ULONG64 enough);

// ---- image_section.cpp ----
NTSTATUS ReadImageMap(PFILE_OBJECT file, ImageMap** map);
void FreeImageMap(ImageMap* map);
NTSTATUS ReadImagePage(Segment* segment, ULONG64 index, PFN_NUMBER pfn);
// In the process: at *region's base, else where the image wants to lie, else anywhere; relocated where it is
// not there (STATUS_IMAGE_NOT_AT_BASE).
NTSTATUS MapImageView(AddressSpace& space, Section* section, Region* region, bool top_down);

// ---- section.cpp ----
extern "C" POBJECT_TYPE MmSectionObjectType;
NTSTATUS MapView(AddressSpace& space, Section* section, ULONG64 offset, Region* region, bool top_down,
                 Protection protection);
NTSTATUS UnmapView(AddressSpace& space, ULONG64 va);
// Takes the shared pages of all views out of their PTEs, so that the segments' pages can be written out;
// returns how many. Flushes every TLB.
ULONG64 TrimViews(AddressSpace& space);
// Trims all processes and the system's views; writes out what was trimmed of private pages.
void TrimProcesses();
ULONG64 PageOutProcesses(ULONG64 enough);
// A section object without a handle; the file may be 0.
NTSTATUS CreateSection(POBJECT_ATTRIBUTES attributes, PLARGE_INTEGER maximum_size, ULONG protect,
                       ULONG allocation_attributes, PFILE_OBJECT file, Section** section);

}  // namespace mm

// In fsrtl: the file system's locks around sections and their writes. A failed acquisition needs no release.
extern "C" {
NTSTATUS FsRtlAcquireToCreateMappedSection(PFILE_OBJECT FileObject, ULONG PageProtection);
NTSTATUS FsRtlAcquireFileForCcFlushEx(PFILE_OBJECT FileObject);
VOID FsRtlReleaseFileForCcFlush(PFILE_OBJECT FileObject);
NTSTATUS FsRtlAcquireFileForModWriteEx(PFILE_OBJECT FileObject, PLARGE_INTEGER EndingOffset,
                                       PERESOURCE* ResourceToRelease);
VOID FsRtlReleaseFileForModWrite(PFILE_OBJECT FileObject, PERESOURCE ResourceToRelease);
VOID NTAPI FsRtlReleaseFile(PFILE_OBJECT FileObject);
}
