// Page-table entries: formats with Windows's type and field names (the debugger reads them from our PDB) and
// where the self-map shows them.
//
// A PTE that is not valid is one of: zero (nothing there, or a view's page that the address's MMVAD knows);
// transition (the page's content is kept in memory, a touch below DISPATCH_LEVEL makes it valid again);
// demand-zero (Protection set, nothing else: a touch gives a zeroed page); paged out (PageFileHigh names a
// slot of the page file); prototype (a view's page with a protection of its own).
#pragma once

#include "boot/loader_block.h"
#include "nt/ntos.h"

typedef struct _MMPTE_HARDWARE {
  ULONG64 Valid : 1;
  ULONG64 Dirty1 : 1;  // the processor's write bit
  ULONG64 Owner : 1;
  ULONG64 WriteThrough : 1;
  ULONG64 CacheDisable : 1;
  ULONG64 Accessed : 1;
  ULONG64 Dirty : 1;
  ULONG64 LargePage : 1;
  ULONG64 Global : 1;
  ULONG64 CopyOnWrite : 1;
  ULONG64 Unused : 1;
  ULONG64 Write : 1;
  ULONG64 PageFrameNumber : 36;
  ULONG64 ReservedForHardware : 4;
  ULONG64 ReservedForSoftware : 4;
  ULONG64 WsleAge : 4;
  ULONG64 WsleProtection : 3;
  ULONG64 NoExecute : 1;
} MMPTE_HARDWARE;

typedef struct _MMPTE_TRANSITION {
  ULONG64 Valid : 1;
  ULONG64 Write : 1;
  ULONG64 Spare : 1;
  ULONG64 IoTracker : 1;
  ULONG64 SwizzleBit : 1;
  ULONG64 Protection : 5;
  ULONG64 Prototype : 1;
  ULONG64 Transition : 1;
  ULONG64 PageFrameNumber : 36;
  ULONG64 Unused : 16;
} MMPTE_TRANSITION;

typedef struct _MMPTE_SOFTWARE {
  ULONG64 Valid : 1;
  ULONG64 PageFileReserved : 1;
  ULONG64 PageFileAllocated : 1;
  ULONG64 ColdPage : 1;
  ULONG64 SwizzleBit : 1;
  ULONG64 Protection : 5;
  ULONG64 Prototype : 1;
  ULONG64 Transition : 1;
  ULONG64 PageFileLow : 4;
  ULONG64 UsedPageTableEntries : 10;
  ULONG64 ShadowStack : 1;
  ULONG64 Unused : 5;
  ULONG64 PageFileHigh : 32;
} MMPTE_SOFTWARE;

typedef struct _MMPTE {
  union {
    ULONG64 Long;
    volatile ULONG64 VolatileLong;
    MMPTE_HARDWARE Hard;
    MMPTE_TRANSITION Trans;
    MMPTE_SOFTWARE Soft;
  } u;
} MMPTE, *PMMPTE;
static_assert(sizeof(MMPTE) == 8);

namespace mm {

// Windows's MM_* protection values: three bits of access, two that qualify it.
enum class Protection : UCHAR {
  kNone = 0,
  kReadOnly = 1,
  kExecute = 2,
  kExecuteRead = 3,
  kReadWrite = 4,
  kWriteCopy = 5,
  kExecuteReadWrite = 6,
  kExecuteWriteCopy = 7,
  kNoCache = 8,     // qualifies
  kGuard = 0x10,    // qualifies: the first touch raises STATUS_GUARD_PAGE_VIOLATION and removes it
  kNoAccess = 0x18  // whole
};

// What PWT and PCD mean is said by the PAT that ke sets: write-back, write-combining, -, uncached.
enum class Cache : UCHAR { kCached, kWriteCombined, kUncached };

constexpr Protection AccessOf(Protection p) {
  return static_cast<Protection>(static_cast<UCHAR>(p) & 7);
}
constexpr UCHAR QualifierOf(Protection p) {
  return static_cast<UCHAR>(p) & 0x18;
}
constexpr bool IsGuard(Protection p) {
  return QualifierOf(p) == static_cast<UCHAR>(Protection::kGuard);
}
constexpr bool IsNoAccess(Protection p) {
  return QualifierOf(p) == static_cast<UCHAR>(Protection::kNoAccess);
}
constexpr bool IsCopyOnWrite(Protection p) {
  return AccessOf(p) == Protection::kWriteCopy || AccessOf(p) == Protection::kExecuteWriteCopy;
}
constexpr bool IsWritable(Protection p) {
  return AccessOf(p) == Protection::kReadWrite || AccessOf(p) == Protection::kExecuteReadWrite;
}
constexpr bool IsExecutable(Protection p) {
  const Protection access = AccessOf(p);
  return access == Protection::kExecute || access == Protection::kExecuteRead ||
         access == Protection::kExecuteReadWrite || access == Protection::kExecuteWriteCopy;
}

inline MMPTE ValidPte(PFN_NUMBER pfn, Protection protection, Cache cache = Cache::kCached) {
  MMPTE pte = {};
  pte.u.Hard.Valid = 1;
  pte.u.Hard.Accessed = 1;
  if (IsWritable(protection)) {
    pte.u.Hard.Dirty1 = 1;
    pte.u.Hard.Dirty = 1;
    pte.u.Hard.Write = 1;
  }
  if (!IsExecutable(protection)) pte.u.Hard.NoExecute = 1;
  if (IsCopyOnWrite(protection)) pte.u.Hard.CopyOnWrite = 1;
  if (QualifierOf(protection) == static_cast<UCHAR>(Protection::kNoCache)) cache = Cache::kUncached;
  if (cache != Cache::kCached) pte.u.Hard.WriteThrough = 1;
  if (cache == Cache::kUncached) pte.u.Hard.CacheDisable = 1;
  pte.u.Hard.PageFrameNumber = pfn;
  return pte;
}

inline MMPTE TransitionPte(PFN_NUMBER pfn, Protection protection) {
  MMPTE pte = {};
  pte.u.Trans.Transition = 1;
  pte.u.Trans.Protection = static_cast<ULONG64>(protection);
  pte.u.Trans.PageFrameNumber = pfn;
  return pte;
}

inline MMPTE DemandZeroPte(Protection protection) {
  MMPTE pte = {};
  pte.u.Soft.Protection = static_cast<ULONG64>(protection);
  return pte;
}

inline MMPTE PagedOutPte(ULONG slot, Protection protection) {
  MMPTE pte = DemandZeroPte(protection);
  pte.u.Soft.PageFileHigh = slot;
  return pte;
}

// A page of a view: resolved through its MMVAD, with this protection.
inline MMPTE PrototypePte(Protection protection) {
  MMPTE pte = DemandZeroPte(protection);
  pte.u.Soft.Prototype = 1;
  return pte;
}

inline bool IsTransition(MMPTE pte) {
  return pte.u.Hard.Valid == 0 && pte.u.Trans.Transition != 0 && pte.u.Trans.Prototype == 0;
}
inline bool IsDemandZero(MMPTE pte) {
  return pte.u.Hard.Valid == 0 && pte.u.Soft.Transition == 0 && pte.u.Soft.Prototype == 0 &&
         pte.u.Soft.Protection != 0 && pte.u.Soft.PageFileHigh == 0;
}
inline bool IsPagedOut(MMPTE pte) {
  return pte.u.Hard.Valid == 0 && pte.u.Soft.Transition == 0 && pte.u.Soft.Prototype == 0 &&
         pte.u.Soft.PageFileHigh != 0;
}
inline bool IsPrototype(MMPTE pte) {
  return pte.u.Hard.Valid == 0 && pte.u.Soft.Prototype != 0;
}
inline Protection ProtectionOf(MMPTE valid) {
  const bool execute = valid.u.Hard.NoExecute == 0;
  if (valid.u.Hard.CopyOnWrite != 0) return execute ? Protection::kExecuteWriteCopy : Protection::kWriteCopy;
  if (valid.u.Hard.Dirty1 != 0) return execute ? Protection::kExecuteReadWrite : Protection::kReadWrite;
  return execute ? Protection::kExecuteRead : Protection::kReadOnly;
}

// ---- The self-map ----
inline ULONG64 Va(const volatile void* address) {
  return reinterpret_cast<ULONG64>(address);
}
inline PMMPTE PteOf(ULONG64 va) {
  return reinterpret_cast<PMMPTE>(boot::kPteBase + (va >> 9 & 0x7F'FFFF'FFF8));
}
inline PMMPTE PdeOf(ULONG64 va) {
  return PteOf(Va(PteOf(va)));
}
inline PMMPTE PpeOf(ULONG64 va) {
  return PteOf(Va(PdeOf(va)));
}
inline PMMPTE PxeOf(ULONG64 va) {
  return PteOf(Va(PpeOf(va)));
}
// The page that a PTE of the self-map maps.
inline ULONG64 VaOf(const MMPTE* pte) {
  return static_cast<ULONG64>(static_cast<LONG64>((Va(pte) - boot::kPteBase) << 25) >> 16);
}
inline bool IsPteOfSelfMap(const MMPTE* pte) {
  return Va(pte) - boot::kPteBase < (1ull << 39);
}
inline bool IsUserPte(const MMPTE* pte) {
  return Va(pte) - boot::kPteBase < (1ull << 38);
}
static_assert(((boot::kPteBase >> 39) & 511) == boot::kSelfMapSlot);

// A valid PTE for its place: the lower half belongs to user mode.
inline MMPTE ValidPteAt(const MMPTE* place, PFN_NUMBER pfn, Protection protection) {
  MMPTE pte = ValidPte(pfn, protection);
  if (IsUserPte(place)) pte.u.Hard.Owner = 1;
  return pte;
}

inline MMPTE Load(const MMPTE* pte) {
  MMPTE value;
  value.u.Long = __atomic_load_n(&pte->u.Long, __ATOMIC_ACQUIRE);
  return value;
}
inline void Store(PMMPTE pte, MMPTE value) {
  __atomic_store_n(&pte->u.Long, value.u.Long, __ATOMIC_RELEASE);
}
inline MMPTE Exchange(PMMPTE pte, MMPTE value) {
  MMPTE old;
  old.u.Long = __atomic_exchange_n(&pte->u.Long, value.u.Long, __ATOMIC_ACQ_REL);
  return old;
}
inline bool CompareExchange(PMMPTE pte, MMPTE expected, MMPTE desired) {
  return __atomic_compare_exchange_n(&pte->u.Long, &expected.u.Long, desired.u.Long, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE);
}

}  // namespace mm
