// Private to cc. A file's cache is a set of views of 256 KiB of it, whose pages are read and written by
// paging requests to the file system. Everything of a map is under its resource, which is held over those
// requests: a file system's paging path may use the caches of other streams, not that of the same.
#pragma once

#include "nt/export.h"
#include "ob/ob.h"

namespace cc {

inline constexpr ULONG kTag = 'cScC';
inline constexpr ULONG kViewSize = VACB_MAPPING_GRANULARITY;
inline constexpr ULONG kViewPages = kViewSize / PAGE_SIZE;
static_assert(kViewPages == 64, "a view's page masks are 64-bit words");
inline constexpr LONG kMaximumViews = 96;      // clean ones beyond that are given back
inline constexpr LONG kDirtyThreshold = 2048;  // pages; beyond that writers wait
inline constexpr ULONG kReadCluster = 16;      // pages that one miss reads at most

struct View {
  LIST_ENTRY link;  // the map's, the most recently used first
  LONGLONG offset;
  PUCHAR base;  // kViewSize bytes of paged pool
  ULONG64 valid;
  ULONG64 dirty;
  volatile LONG users;  // pins, maps and MDLs
};

}  // namespace cc

// Windows's names; the layout is ours.
typedef struct _SHARED_CACHE_MAP {
  LIST_ENTRY SharedCacheMapLinks;
  LONG OpenCount;
  PFILE_OBJECT FileObject;  // referenced
  PSECTION_OBJECT_POINTERS SectionObjectPointers;
  LARGE_INTEGER FileSize;
  LARGE_INTEGER ValidDataLength;
  LARGE_INTEGER SectionSize;
  CACHE_MANAGER_CALLBACKS Callbacks;
  PVOID LazyWriteContext;
  LIST_ENTRY Views;
  LIST_ENTRY BcbList;
  LIST_ENTRY PrivateList;
  LONG DirtyPages;
  ULONG Readers;  // the lazy writer's and look-ups' references, under g_maps_lock
  BOOLEAN PinAccess;
  BOOLEAN DisableReadAhead;
  BOOLEAN DisableWriteBehind;
  PCACHE_UNINITIALIZE_EVENT UninitializeEvent;
  ERESOURCE Resource;
} SHARED_CACHE_MAP, *PSHARED_CACHE_MAP;

typedef struct _PRIVATE_CACHE_MAP {
  LIST_ENTRY PrivateLinks;
  PFILE_OBJECT FileObject;
  PSHARED_CACHE_MAP SharedCacheMap;
  ULONG ReadAheadGranularity;
} PRIVATE_CACHE_MAP, *PPRIVATE_CACHE_MAP;

typedef struct _BCB {
  PUBLIC_BCB Public;  // first: callers see it
  LIST_ENTRY BcbLinks;
  PSHARED_CACHE_MAP SharedCacheMap;
  cc::View* View;
  PUCHAR BaseAddress;
  LONG PinCount;
  BOOLEAN Pinned;  // false: mapped for reading only
  BOOLEAN Dirty;
  ERESOURCE Resource;  // held shared or exclusive by who pins
} BCB, *PBCB;

// In fsrtl: the file system's locks around a flush. A failed acquisition needs no release.
extern "C" NTSTATUS FsRtlAcquireFileForCcFlushEx(PFILE_OBJECT FileObject);
extern "C" VOID FsRtlReleaseFileForCcFlush(PFILE_OBJECT FileObject);

namespace cc {

class MapGuard {
 public:
  explicit MapGuard(PSHARED_CACHE_MAP map) : map_(map) {
    ExEnterCriticalRegionAndAcquireResourceExclusive(&map_->Resource);
  }
  ~MapGuard() { ExReleaseResourceAndLeaveCriticalRegion(&map_->Resource); }
  MapGuard(const MapGuard&) = delete;
  MapGuard& operator=(const MapGuard&) = delete;

 private:
  PSHARED_CACHE_MAP map_;
};

// ---- views.cpp; all under the map's resource ----
// The view over `offset`; 0: not there. `make`: it is made, 0 without memory.
View* FindView(PSHARED_CACHE_MAP map, LONGLONG offset, bool make);
// Makes pages of a view valid: reads them, or zeroes what lies beyond the valid data. `wait` false:
// STATUS_CANT_WAIT if that needs a read.
NTSTATUS FillPages(PSHARED_CACHE_MAP map, View* view, ULONG first, ULONG count, bool wait);
// The same for pages that are about to be overwritten: those wholly inside [from, to) are not read.
NTSTATUS FillForWrite(PSHARED_CACHE_MAP map, View* view, ULONG from, ULONG to, bool wait);
void SetDirty(PSHARED_CACHE_MAP map, View* view, ULONG first, ULONG count);
// Writes the dirty pages of [offset, end) out.
NTSTATUS Flush(PSHARED_CACHE_MAP map, LONGLONG offset, LONGLONG end);
// Forgets the pages of [offset, end), dirty ones too. False: some are in use.
bool Purge(PSHARED_CACHE_MAP map, LONGLONG offset, LONGLONG end);
void Trim(PSHARED_CACHE_MAP map, LONG limit);
void FreeViews(PSHARED_CACHE_MAP map);
// A paging request for whole pages.
NTSTATUS PagingIo(PFILE_OBJECT file, bool write, LONGLONG offset, PVOID buffer, ULONG length);

inline ULONG PagesIn(ULONG from, ULONG to) {
  return to <= from ? 0 : (to - 1) / PAGE_SIZE - from / PAGE_SIZE + 1;
}
inline PSHARED_CACHE_MAP MapOf(PFILE_OBJECT file) {
  return file->SectionObjectPointer == nullptr
             ? nullptr
             : static_cast<PSHARED_CACHE_MAP>(file->SectionObjectPointer->SharedCacheMap);
}

// ---- lazy_writer.cpp ----
extern LIST_ENTRY g_maps;
extern KSPIN_LOCK g_maps_lock;
extern volatile LONG g_dirty_pages;
extern volatile LONG g_views;
// There is something to write, or a map to delete.
void WakeLazyWriter();
// Runs one whole pass and waits for its end.
NTSTATUS WaitForLazyWriter();

// ---- maps.cpp ----
// A reference that keeps the map in memory; 0: there is none.
PSHARED_CACHE_MAP ReferenceMap(PSECTION_OBJECT_POINTERS pointers);
void DereferenceMap(PSHARED_CACHE_MAP map);

}  // namespace cc
