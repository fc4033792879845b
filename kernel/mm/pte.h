// Page-table entries: formats with Windows's type and field names (the debugger reads them from our PDB) and
// where the self-map shows them.
//
// A PTE that is not valid is one of: zero (nothing there); transition (the page's content is kept in memory,
// a touch below DISPATCH_LEVEL makes it valid again); demand-zero (Protection set, nothing else: a touch
// gives a zeroed page).
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

// Windows's MM_* protection values.
enum class Protection : UCHAR { kReadOnly = 1, kExecuteRead = 3, kReadWrite = 4, kExecuteReadWrite = 6 };

enum class Cache : UCHAR { kCached, kWriteThrough, kUncached };

constexpr bool IsWritable(Protection p) {
  return p == Protection::kReadWrite || p == Protection::kExecuteReadWrite;
}
constexpr bool IsExecutable(Protection p) {
  return p == Protection::kExecuteRead || p == Protection::kExecuteReadWrite;
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

inline bool IsTransition(MMPTE pte) {
  return pte.u.Hard.Valid == 0 && pte.u.Trans.Transition != 0 && pte.u.Trans.Prototype == 0;
}
inline bool IsDemandZero(MMPTE pte) {
  return pte.u.Hard.Valid == 0 && pte.u.Soft.Transition == 0 && pte.u.Soft.Prototype == 0 &&
         pte.u.Soft.Protection != 0;
}
inline Protection ProtectionOf(MMPTE valid) {
  const bool execute = valid.u.Hard.NoExecute == 0;
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
static_assert(((boot::kPteBase >> 39) & 511) == boot::kSelfMapSlot);

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
