// What the files of mm (and the pools in ex) share.
#pragma once

#include "ke/spin_guard.h"
#include "mm/mm.h"
#include "mm/page_bitmap.h"
#include "mm/paging.h"
#include "mm/pte.h"
#include "nt/ntos.h"

// One record a page of RAM; Windows's layout as far as a debugger looks at it.
typedef struct _MMPFNENTRY1 {
  UCHAR PageLocation : 3;
  UCHAR WriteInProgress : 1;
  UCHAR Modified : 1;
  UCHAR ReadInProgress : 1;
  UCHAR CacheAttribute : 2;
} MMPFNENTRY1;

typedef struct _MMPFN {
  union {
    ULONG64 Flink;  // while on its way back to the free pages: the next one's PFN
    PVOID Event;
  } u1;
  PMMPTE PteAddress;
  MMPTE OriginalPte;
  union {
    ULONG64 Blink;
    ULONG64 ShareCount;
  } u2;
  struct {
    USHORT ReferenceCount;  // 1 for its PTE and one for each lock
    MMPFNENTRY1 e1;
    UCHAR e3;
  } u3;
  ULONG Unused;
  struct {
    ULONG64 PteFrame : 36;
    ULONG64 Spare : 21;
    ULONG64 PrototypePte : 1;      // PteAddress is a section's; u2.ShareCount counts the views' valid PTEs
    ULONG64 FreeWhenUnlocked : 1;  // its owner has gone, an MDL still locks it
    ULONG64 Spare2 : 5;
  } u4;
} MMPFN, *PMMPFN;
static_assert(sizeof(MMPFN) == 48 && FIELD_OFFSET(MMPFN, OriginalPte) == 16 && FIELD_OFFSET(MMPFN, u3) == 32);

extern "C" {
extern PMMPFN MmPfnDatabase;
extern ULONG64 MmNumberOfPhysicalPages;
extern ULONG64 MmLowestPhysicalPage;
extern ULONG64 MmHighestPhysicalPage;
extern volatile ULONG64 MmAvailablePages;
}

namespace mm {

inline constexpr ULONG64 kPageSize = 4096;
constexpr ULONG64 PagesFor(ULONG64 bytes) {
  return (bytes + kPageSize - 1) / kPageSize;
}

// MMPFNENTRY1.PageLocation, Windows's values.
enum class PageLocation : UCHAR {
  kZeroed = 0,
  kFree = 1,
  kStandby = 2,
  kModified = 3,  // in transition, the only copy
  kBad = 5,
  kActive = 6,
};
enum class Zero : bool { kNo, kYes };
// MMPFNENTRY1.CacheAttribute, Windows's values: every mapping of a page caches it alike.
enum class PageCache : UCHAR { kNonCached = 0, kCached = 1, kWriteCombined = 2, kNotMapped = 3 };

// A lock whose holder may take page faults and wait; raises to APC_LEVEL. Init comes first.
class SleepLock {
 public:
  void Init() {
    free_ = 1;
    KeInitializeEvent(&event_, SynchronizationEvent, FALSE);
  }
  // Returns the IRQL before; at most APC_LEVEL (in the boot's first phase, when nobody contends, any).
  KIRQL Acquire() {
    const KIRQL old = KeGetCurrentIrql();
    if (old < APC_LEVEL) KfRaiseIrql(APC_LEVEL);
    // free_ counts down from 1 (free); each waiter is handed the lock by one set of the event.
    if (__atomic_sub_fetch(&free_, 1, __ATOMIC_ACQUIRE) != 0) {
      KeWaitForSingleObject(&event_, WrPoolAllocation, KernelMode, FALSE, nullptr);
    }
    return old;
  }
  bool IsHeld() const { return free_ != 1; }
  void Release(KIRQL old) {
    if (__atomic_add_fetch(&free_, 1, __ATOMIC_RELEASE) != 1) KeSetEvent(&event_, IO_NO_INCREMENT, FALSE);
    if (old < APC_LEVEL) KeLowerIrql(old);
  }

 private:
  LONG free_;
  KEVENT event_;
};

class SleepGuard {
 public:
  explicit SleepGuard(SleepLock& lock) : lock_(lock), irql_(lock.Acquire()) {}
  ~SleepGuard() { lock_.Release(irql_); }
  SleepGuard(const SleepGuard&) = delete;
  SleepGuard& operator=(const SleepGuard&) = delete;

 private:
  SleepLock& lock_;
  KIRQL irql_;
};

// ---- Physical pages (pfn_database.cpp). IRQL <= DISPATCH_LEVEL ----
inline constexpr PFN_NUMBER kNoPage = 0;  // PFN 0 is never given out
extern KSPIN_LOCK g_pfn_lock;
void InitPhysicalPages(const boot::LoaderBlock* block);
bool InitPfnDatabase(const boot::LoaderBlock* block);
PFN_NUMBER AllocatePage(Zero zero);
PFN_NUMBER AllocatePageRun(ULONG64 pages, ULONG64 low, ULONG64 high, ULONG64 boundary);
void FreePage(PFN_NUMBER pfn);
void FreePageRun(PFN_NUMBER first, ULONG64 pages);
// The record of a page of RAM; 0 for device memory.
PMMPFN PfnRecordOrNull(PFN_NUMBER pfn);
void SetPageOwner(PFN_NUMBER pfn, PMMPTE pte, PageLocation location);
// How a page (or device memory) is mapped: as it is already, else as wanted, and so from now on.
Cache CacheOfPage(PFN_NUMBER pfn, Cache wanted);
PageCache PageCacheOf(Cache cache);
void SetPageCache(PFN_NUMBER first, ULONG64 pages, PageCache cache);
inline void* PageAddress(PFN_NUMBER pfn) {
  return MmPhysicalToVirtual(pfn * kPageSize);
}
void ZeroPage(PFN_NUMBER pfn);
// Pages that were in use at boot and belong in a dump, pages of boot files: see MmDescribeDumpPages.
const PageBitmap& FreePages();

extern const boot::LoaderBlock* g_loader_block;
// Calls visit(first PFN, pages) for each range of RAM, ascending.
template <typename Visit>
void ForEachRamRange(Visit visit) {
  for (ULONG i = 0; i < g_loader_block->memory_descriptor_count && i < boot::kMaxMemoryDescriptors; ++i) {
    const boot::MemoryDescriptor& range = g_loader_block->memory[i];
    if (range.type != boot::MemoryType::kFirmwarePermanent && range.page_count != 0) {
      visit(range.base_page, range.page_count);
    }
  }
}

// ---- Page tables (page_tables.cpp). IRQL <= DISPATCH_LEVEL ----
// Makes the page table of `va` (and those of the pages after it) present; in the lower half those of the
// current address space.
bool EnsurePageTables(ULONG64 va, ULONG64 pages);
// Top-level entry for a 512 GiB slot: made at boot, so that every address space shares it.
bool EnsureTopLevel(ULONG64 va);
struct Walk {
  MMPTE entry;       // the leaf, or the entry where the walk ended
  UCHAR level;       // 1 PTE, 2 PDE (2 MiB leaf or end), 3 PPE, 4 PXE
  bool valid;        // the leaf is valid
  ULONG64 physical;  // of the address, if valid
};
Walk WalkTables(ULONG64 va);
// False for addresses whose bits 63..47 differ.
constexpr bool IsCanonical(ULONG64 va) {
  return va + 0x8000'0000'0000 < 0x1'0000'0000'0000;
}
constexpr bool IsSystemAddress(ULONG64 va) {
  return va >= 0xFFFF8000'00000000;
}
void FlushPage(ULONG64 va);  // this processor

// ---- Ranges of system addresses (va_region.cpp). IRQL <= DISPATCH_LEVEL ----
class VaRegion {
 public:
  bool Init(ULONG64 base, ULONG64 pages);
  ULONG64 Reserve(ULONG64 pages, ULONG64 alignment_pages = 1);  // address, 0 when none is left
  void Release(ULONG64 va, ULONG64 pages);
  enum class Match { kWhole, kNotReserved, kInside, kWrongSize };
  // How a range compares with the reservations; *mapped: pages of the reservation at `va` that are mapped.
  Match Compare(ULONG64 va, ULONG64 pages, ULONG64* mapped);
  // The reservation, whose pages are unmapped, is on its way out: nothing can be compared with it any more.
  void Close(ULONG64 va);
  bool Contains(ULONG64 va) const { return va - base_ < pages_ * kPageSize; }
  bool IsReserved(ULONG64 va) const { return Contains(va) && !bitmap_.IsFree((va - base_) / kPageSize); }
  ULONG64 base() const { return base_; }
  ULONG64 pages() const { return pages_; }
  const PageBitmap& bitmap() const { return bitmap_; }

 private:
  KSPIN_LOCK lock_ = 0;
  ULONG64 base_ = 0;
  ULONG64 pages_ = 0;
  PageBitmap bitmap_;
  ULONG64* starts_ = nullptr;  // a bit a page: set where a reservation begins
};
extern VaRegion g_nonpaged_pool_region;
extern VaRegion g_paged_pool_region;
extern VaRegion g_system_pte_region;
extern VaRegion g_image_region;
bool InitVaRegions();

// Maps `pages` fresh pages at `va` (reserved by the caller); on failure nothing stays mapped.
bool MapFreshPages(ULONG64 va, ULONG64 pages, Protection protection, Zero zero);
// System addresses with page tables; 0 when there are none.
ULONG64 ReserveSystemPtes(ULONG64 pages);
// Maps given, physically contiguous pages (device memory too) at a new address; 0 on failure. `va` keeps no
// offset.
ULONG64 MapPhysicalPages(PFN_NUMBER first, ULONG64 pages, Protection protection, Cache cache);
ULONG64 MapPageList(const PFN_NUMBER* list, ULONG64 pages, Protection protection, Cache cache);

// Bug check 0xDA unless the range is exactly a reservation of system PTEs.
void CheckSystemPtes(ULONG64 va, ULONG64 pages);

enum class FreePagesToo : bool { kNo, kYes };
// Unmaps and gives the range back. Addresses and pages are reused only after every processor has flushed its
// TLB, which happens for many ranges at once.
void RetireRange(VaRegion& region, ULONG64 va, ULONG64 pages, FreePagesToo free_pages);
// The same for nonpaged pool of that protection, which this processor may map again before (kept_ranges.h).
void RetirePoolRange(ULONG64 va, ULONG64 pages, Protection protection);
// The same for pages in the middle of a range whose addresses stay reserved.
void RetirePages(ULONG64 va, ULONG64 pages);
// Flushes and reuses what RetireRange has gathered: when memory runs short.
bool DrainRetired();

// ---- Images (image_list.cpp) ----
void InitModuleList(const boot::LoaderBlock* block);

}  // namespace mm
