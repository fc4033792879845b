// Address spaces: the lower half of a process, and the window of the system half in which sections are
// mapped.
//
// An MMVAD describes a range of pages that were reserved together. Page tables say the rest: what is
// committed has a PTE that is not zero (views: only where a page differs from the MMVAD). The space's lock
// guards MMVADs and every change of its PTEs but trimming (the PFN lock) and the bringing in of private pages
// (compare and exchange). Its holder touches no memory of the space itself.
#pragma once

#include "mm/mm_internal.h"
#include "mm/process_counts.h"
#include "mm/mm_types.h"
#include "nt/eprocess.h"

#ifndef MEM_PHYSICAL
#define MEM_PHYSICAL 0x00400000
#endif
#ifndef MEM_WRITE_WATCH
#define MEM_WRITE_WATCH 0x00200000
#endif

namespace mm {

struct Segment;
struct AddressSpace;
// kWindow: addresses for pages that only user mode can map there (AWE).
enum class VadKind : UCHAR { kPrivate, kView, kMdlMapping, kWindow };

}  // namespace mm

typedef struct _MMVAD {
  ULONG64 StartingVpn;
  ULONG64 EndingVpn;  // inclusive
  mm::VadKind Kind;
  mm::Protection Protection;
  BOOLEAN NoDecommit;    // a view's
  ULONG Secured;         // MmSecureVirtualMemory
  mm::Segment* Segment;  // kView: a counted reference
  mm::AddressSpace* Space;
  ULONG64 FirstPage;  // kView: page of the segment at StartingVpn
} MMVAD, *PMMVAD;

namespace mm {

inline constexpr ULONG64 kAllocationGranularity = 0x10000;
inline constexpr ULONG64 kLargePageSize = 0x200000;
inline constexpr ULONG64 kLowestUserAddress = 0x10000;
inline constexpr ULONG64 kUserEnd = 0x00007FFF'FFFF0000;

struct AddressSpace {
  SleepLock lock;
  ULONG64 low;  // of the addresses it may hand out
  ULONG64 end;  // == low: the process has ended
  RTL_AVL_TABLE vads;
  PEPROCESS process;  // 0: the system's views
  volatile LONG64 locked_pages;
  LIST_ENTRY lock_records;  // LockRecord, with TrackLockedPages; under the PFN lock
  LIST_ENTRY secured;       // SecureRecord
  LIST_ENTRY link;          // all spaces of processes
  MmProcessCounts counts;   // under `lock`
  bool Contains(ULONG64 va) const { return va >= low && va < end; }
};

// ---- Spaces (address_space.cpp) ----
// The system's views. Its range is empty until InitSystemViews.
AddressSpace& SystemViews();
bool InitSystemViews();
// Of the process whose address space is current; the System process gets its own at the first call. 0: the
// process has none (any more).
AddressSpace* CurrentSpace();
AddressSpace* EnsureCurrentSpace();
void InitSpace(AddressSpace* space, PEPROCESS process, ULONG64 low, ULONG64 end);
// Calls visit for every process's space while attached to it. IRQL <= APC_LEVEL.
void ForEachSpace(void (*visit)(AddressSpace& space, PVOID context), PVOID context);

// The lock is held for all of these.
PMMVAD FindVad(AddressSpace& space, ULONG64 va);
// The lowest (or highest) free range of whole granules; 0: none.
ULONG64 FindFreeRange(AddressSpace& space, ULONG64 pages, bool top_down, ULONG64 below = ~0ull,
                      ULONG64 alignment = kAllocationGranularity);
bool RangeIsFree(AddressSpace& space, ULONG64 va, ULONG64 pages);
// A copy of `vad` in the tree; 0 without memory. The range is free.
PMMVAD InsertVad(AddressSpace& space, const MMVAD& vad);
void RemoveVad(AddressSpace& space, PMMVAD vad);
PMMVAD FirstVad(AddressSpace& space);
// Makes PTEs of the range zero and gives back what they held. Flushes every TLB.
void ClearPages(const MMVAD& vad, ULONG64 va, ULONG64 pages);
// Removes the MMVAD with its pages.
void DeleteVad(AddressSpace& space, PMMVAD vad);

inline ULONG64 StartOf(const MMVAD& vad) {
  return vad.StartingVpn * kPageSize;
}
inline ULONG64 PagesOf(const MMVAD& vad) {
  return vad.EndingVpn - vad.StartingVpn + 1;
}

// ---- Commitment (commitment.cpp). The space's lock is held ----
// Room for pages of private memory, in memory or in the page file. False: there is none.
bool ChargeCommitment(AddressSpace& space, ULONG64 pages);
void ReturnCommitment(AddressSpace& space, ULONG64 pages);
// A page of a range becomes valid, or stops being so.
void CountResident(AddressSpace& space, LONG64 change);
void CountAddresses(AddressSpace& space, LONG64 bytes);

// ---- Faults (user_fault.cpp). Takes the space's lock ----
NTSTATUS ResolveSpaceFault(AddressSpace& space, ULONG64 va, Access access);

// ---- Virtual memory (virtual_memory.cpp). In the current address space; take the lock ----
struct Region {
  ULONG64 base;
  ULONG64 size;
  ULONG64 below = ~0ull;  // where the place is free to choose: it ends there at most
};
// ZeroBits of ZwAllocateVirtualMemory and ZwMapViewOfSection. False: it means nothing.
bool LimitOfZeroBits(ULONG_PTR zero_bits, ULONG64* below);
NTSTATUS AllocateVirtual(AddressSpace& space, Region* region, ULONG type, Protection protection);
NTSTATUS FreeVirtual(AddressSpace& space, Region* region, ULONG type);
NTSTATUS ProtectVirtual(AddressSpace& space, Region* region, Protection protection, ULONG* old);
// MEM_* protection constants to ours and back. False: not a protection.
bool ProtectionFromWin32(ULONG protect, Protection* protection);
ULONG ProtectionToWin32(Protection protection);
// The protection of a page as VirtualQuery tells it; kNone: reserved only.
Protection PageProtection(const MMVAD& vad, ULONG64 va);
// STATUS_INVALID_PAGE_PROTECTION where part of the range is secured.
NTSTATUS CheckSecured(AddressSpace& space, ULONG64 va, ULONG64 pages, Protection wanted = Protection::kNone);

// Writes what was modified through a view to its file (section.cpp).
NTSTATUS FlushView(AddressSpace& space, Region* region);

// Bug check 0x76, or 0xCB with TrackLockedPages, for a process that ends with pages locked.
void CheckLockedPages(AddressSpace& space);

// Runs a function in the address space of a process given by handle (NtCurrentProcess() too).
// STATUS_PROCESS_IS_TERMINATING when it has none any more.
NTSTATUS InProcess(HANDLE process, NTSTATUS (*run)(AddressSpace& space, PVOID context), PVOID context);
NTSTATUS InProcessObject(PEPROCESS process, NTSTATUS (*run)(AddressSpace& space, PVOID context),
                         PVOID context);
template <typename Function>
NTSTATUS InProcess(HANDLE process, Function function) {
  return InProcess(
      process, [](AddressSpace& space, PVOID context) { return (*static_cast<Function*>(context))(space); },
      &function);
}
template <typename Function>
NTSTATUS InProcessObject(PEPROCESS process, Function function) {
  return InProcessObject(
      process, [](AddressSpace& space, PVOID context) { return (*static_cast<Function*>(context))(space); },
      &function);
}

}  // namespace mm
