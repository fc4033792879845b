// Loaded images: what the loader's files share.
#pragma once

#include "mm/image.h"
#include "mm/image_parser.h"
#include "mm/mm_internal.h"

namespace mm {

struct ImageSection {
  ULONG rva;
  ULONG pages;
  Protection protection;
  bool pageable;
  bool discardable;
  bool freed;
  char name[9];
  LONG locks;  // MmLockPagableDataSection
};

inline constexpr ULONG kMaxImportedImages = 16;

// A loaded image. Nonpaged, `entry` first: a PKLDR_DATA_TABLE_ENTRY is a LoadedImage*.
struct LoadedImage {
  KLDR_DATA_TABLE_ENTRY entry;
  ULONG64 pages;
  DataDirectory exports;
  ULONG64 traps;  // page of trap stubs, 0 = none
  ULONG64 trap_pages;
  LoadedImage* imports[kMaxImportedImages];
  ULONG import_count;
  bool all_pageable;  // MmPageEntireDriver
  ULONG section_count;
  ImageSection sections[1];  // section_count
};
static_assert(FIELD_OFFSET(LoadedImage, entry) == 0);

inline constexpr ULONG kImageTag = 'dLmM';

inline LoadedImage* ImageOf(PKLDR_DATA_TABLE_ENTRY entry) {
  return reinterpret_cast<LoadedImage*>(entry);
}
// ntoskrnl.exe.
LoadedImage* KernelImage();

// What loading a file with that mistake answers.
NTSTATUS StatusOf(ImageError error);

// Fills in what the headers say.
void DescribeImage(LoadedImage* image, const ImageInfo& info);

// The list and the lock-free table. False: the table is full.
bool InsertImage(LoadedImage* image);
void RemoveImage(LoadedImage* image);
// By file name, without regard to case; hal.dll is ntoskrnl.exe. Under the load lock.
LoadedImage* FindImageByName(const char* name);
LoadedImage* FindImageByFullName(PCUNICODE_STRING name);
void RememberUnloaded(const LoadedImage* image);
extern SleepLock g_load_lock;

// Adds a line to a report: parts one after the other, those that are 0 left out. `report` may be 0.
void ReportLine(ImageReport* report, const char* a, const char* b = nullptr, const char* c = nullptr,
                const char* d = nullptr, const char* e = nullptr);

// A page-table view of an image that is mapped at its own address; reads make pages resident.
ImageView ViewOf(LoadedImage* image);

// Binds the imports of an image being built in `view`. On success image->imports (counted in their LoadCount)
// and the traps are set; on failure nothing is held.
NTSTATUS BindImports(LoadedImage* image, ImageView view, DataDirectory directory, ImageReport* report);
void ReleaseImports(LoadedImage* image);

// TRUE if Windows's kernel or HAL exports the name.
bool IsDocumentedExport(const char* name);

// Address of an export of a mapped image; forwarders followed. 0: none.
PVOID FindExport(LoadedImage* image, const char* name);
PVOID FindExportByOrdinal(LoadedImage* image, ULONG ordinal);

// The section that contains an address, 0 if none.
ImageSection* FindSection(LoadedImage* image, ULONG64 va);

}  // namespace mm
