// Ranges of nonpaged pool between a free and the next allocation of the same size. IRQL <= DISPATCH_LEVEL.
#pragma once

#include "mm/mm_internal.h"

namespace mm {

inline constexpr ULONG64 kLargestKeptRange = 4;  // pages

bool InitKeptRanges(ULONG processors);
// Keeps an unmapped range with its pages (a chain through MMPFN.u1.Flink, the last page first). False: it
// does not fit, and goes the common way.
bool KeepRange(ULONG64 va, ULONG64 pages, Protection protection, PFN_NUMBER chain);
// A kept range of the current processor, mapped again; 0: there is none.
ULONG64 TakeKeptRange(ULONG64 pages, Protection protection, Zero zero);
// Hands everything that is kept to `release`. False: there was nothing.
bool DrainKeptRanges(void (*release)(ULONG64 va, ULONG64 pages, PFN_NUMBER chain));

}  // namespace mm
