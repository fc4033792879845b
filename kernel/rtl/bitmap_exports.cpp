// Bitmaps over 32-bit units, lowest bit first. The caller locks.
#include "rtl/rtl.h"

namespace {

constexpr ULONG kNone = 0xFFFFFFFF;

bool IsSet(const RTL_BITMAP* map, ULONG bit) {
  return (map->Buffer[bit / 32] >> (bit % 32) & 1) != 0;
}

void Change(PRTL_BITMAP map, ULONG start, ULONG count, bool set) {
  while (count != 0) {
    const ULONG shift = start % 32;
    const ULONG part = count < 32 - shift ? count : 32 - shift;
    const ULONG mask = (part == 32 ? ~0u : (1u << part) - 1) << shift;
    if (set) {
      map->Buffer[start / 32] |= mask;
    } else {
      map->Buffer[start / 32] &= ~mask;
    }
    start += part;
    count -= part;
  }
}

// The first bit from `from` on that has the given value; the map's size if there is none.
ULONG NextBit(const RTL_BITMAP* map, ULONG from, bool set) {
  while (from < map->SizeOfBitMap) {
    const ULONG unit = (set ? map->Buffer[from / 32] : ~map->Buffer[from / 32]) >> (from % 32);
    if (unit != 0) {
      const ULONG found = from + static_cast<ULONG>(__builtin_ctz(unit));
      return found < map->SizeOfBitMap ? found : map->SizeOfBitMap;
    }
    from = (from / 32 + 1) * 32;
  }
  return map->SizeOfBitMap;
}

ULONG FindRun(const RTL_BITMAP* map, ULONG count, ULONG from, ULONG limit, bool set) {
  for (ULONG start = NextBit(map, from, set); start < limit;) {
    const ULONG end = NextBit(map, start, !set);
    if (end - start >= count) return start;
    start = NextBit(map, end, set);
  }
  return kNone;
}

// From the hint to the end, then from the beginning.
ULONG Find(const RTL_BITMAP* map, ULONG count, ULONG hint, bool set) {
  if (hint >= map->SizeOfBitMap) hint = 0;
  if (count == 0) return hint & ~7u;
  if (count > map->SizeOfBitMap) return kNone;
  const ULONG found = FindRun(map, count, hint, map->SizeOfBitMap, set);
  return found != kNone || hint == 0 ? found : FindRun(map, count, 0, map->SizeOfBitMap, set);
}

bool All(const RTL_BITMAP* map, ULONG start, ULONG count, bool set) {
  if (count == 0 || start >= map->SizeOfBitMap || count > map->SizeOfBitMap - start) return false;
  return NextBit(map, start, !set) >= start + count;
}

}  // namespace

extern "C" {

/// Describes a buffer of bits; changes none of them.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlInitializeBitMap.
NT_EXPORT(RtlInitializeBitMap, nt::AnyIrql(), Full, "RtlBitmap.*");
VOID NTAPI RtlInitializeBitMap(PRTL_BITMAP BitMapHeader, PULONG BitMapBuffer, ULONG SizeOfBitMap) {
  BitMapHeader->SizeOfBitMap = SizeOfBitMap;
  BitMapHeader->Buffer = BitMapBuffer;
}

/// Sets a run of bits.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlSetBits.
NT_EXPORT(RtlSetBits, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
VOID NTAPI RtlSetBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToSet) {
  Change(BitMapHeader, StartingIndex, NumberToSet, true);
}

/// Clears a run of bits.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlClearBits.
NT_EXPORT(RtlClearBits, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
VOID NTAPI RtlClearBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToClear) {
  Change(BitMapHeader, StartingIndex, NumberToClear, false);
}

/// Sets one bit.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlSetBit.
NT_EXPORT(RtlSetBit, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
VOID NTAPI RtlSetBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber) {
  Change(BitMapHeader, BitNumber, 1, true);
}

/// Clears one bit.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlClearBit.
NT_EXPORT(RtlClearBit, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
VOID NTAPI RtlClearBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber) {
  Change(BitMapHeader, BitNumber, 1, false);
}

/// Tells whether a bit is set.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlTestBit.
NT_EXPORT(RtlTestBit, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
BOOLEAN NTAPI RtlTestBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber) {
  return IsSet(BitMapHeader, BitNumber);
}

/// Sets every bit, those of the last unit beyond the size included.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlSetAllBits.
NT_EXPORT(RtlSetAllBits, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
VOID NTAPI RtlSetAllBits(PRTL_BITMAP BitMapHeader) {
  Change(BitMapHeader, 0, (BitMapHeader->SizeOfBitMap + 31) & ~31u, true);
}

/// Clears every bit, those of the last unit beyond the size included.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlClearAllBits.
NT_EXPORT(RtlClearAllBits, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
VOID NTAPI RtlClearAllBits(PRTL_BITMAP BitMapHeader) {
  Change(BitMapHeader, 0, (BitMapHeader->SizeOfBitMap + 31) & ~31u, false);
}

/// Tells whether a run lies in the bitmap and is all set; FALSE for an empty run.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlAreBitsSet.
NT_EXPORT(RtlAreBitsSet, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
BOOLEAN NTAPI RtlAreBitsSet(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length) {
  return All(BitMapHeader, StartingIndex, Length, true);
}

/// Tells whether a run lies in the bitmap and is all clear; FALSE for an empty run.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlAreBitsClear.
NT_EXPORT(RtlAreBitsClear, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
BOOLEAN NTAPI RtlAreBitsClear(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length) {
  return All(BitMapHeader, StartingIndex, Length, false);
}

/// Finds a run of set bits, from the hint on and then from the beginning; 0xFFFFFFFF if there is none.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindSetBits.
NT_EXPORT(RtlFindSetBits, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlFindSetBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex) {
  return Find(BitMapHeader, NumberToFind, HintIndex, true);
}

/// Finds a run of clear bits, from the hint on and then from the beginning; 0xFFFFFFFF if there is none.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindClearBits.
NT_EXPORT(RtlFindClearBits, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlFindClearBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex) {
  return Find(BitMapHeader, NumberToFind, HintIndex, false);
}

/// Finds a run of set bits and inverts it; 0xFFFFFFFF if there is none.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindSetBitsAndClear.
NT_EXPORT(RtlFindSetBitsAndClear, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlFindSetBitsAndClear(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex) {
  const ULONG found = Find(BitMapHeader, NumberToFind, HintIndex, true);
  if (found != kNone) Change(BitMapHeader, found, NumberToFind, false);
  return found;
}

/// Finds a run of clear bits and inverts it; 0xFFFFFFFF if there is none.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindClearBitsAndSet.
NT_EXPORT(RtlFindClearBitsAndSet, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlFindClearBitsAndSet(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex) {
  const ULONG found = Find(BitMapHeader, NumberToFind, HintIndex, false);
  if (found != kNone) Change(BitMapHeader, found, NumberToFind, true);
  return found;
}

/// Counts the set bits.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlNumberOfSetBits.
NT_EXPORT(RtlNumberOfSetBits, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlNumberOfSetBits(PRTL_BITMAP BitMapHeader) {
  ULONG count = 0;
  for (ULONG start = NextBit(BitMapHeader, 0, true); start < BitMapHeader->SizeOfBitMap;) {
    const ULONG end = NextBit(BitMapHeader, start, false);
    count += end - start;
    start = NextBit(BitMapHeader, end, true);
  }
  return count;
}

/// Counts the clear bits.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlNumberOfClearBits.
NT_EXPORT(RtlNumberOfClearBits, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlNumberOfClearBits(PRTL_BITMAP BitMapHeader) {
  return BitMapHeader->SizeOfBitMap - RtlNumberOfSetBits(BitMapHeader);
}

/// Counts the set bits of a number.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlNumberOfSetBitsUlongPtr.
NT_EXPORT(RtlNumberOfSetBitsUlongPtr, nt::AnyIrql(), Full, "RtlBitmap.*");
ULONG NTAPI RtlNumberOfSetBitsUlongPtr(ULONG_PTR Target) {
  ULONG count = 0;
  for (; Target != 0; Target &= Target - 1) ++count;
  return count;
}

/// Finds the next run of clear bits from an index on; returns its length, 0 if there is none.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindNextForwardRunClear.
NT_EXPORT(RtlFindNextForwardRunClear, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlFindNextForwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex) {
  const ULONG start = NextBit(BitMapHeader, FromIndex, false);
  *StartingRunIndex = start;
  return start == BitMapHeader->SizeOfBitMap ? 0 : NextBit(BitMapHeader, start, true) - start;
}

/// Finds the first run of clear bits; returns its length, 0 if there is none.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindFirstRunClear.
NT_EXPORT(RtlFindFirstRunClear, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlFindFirstRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex) {
  return RtlFindNextForwardRunClear(BitMapHeader, 0, StartingIndex);
}

/// Finds the run of clear bits that ends at or before an index; returns its length, 0 if there is none.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindLastBackwardRunClear.
NT_EXPORT(RtlFindLastBackwardRunClear, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlFindLastBackwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex) {
  ULONG end = FromIndex;
  while (IsSet(BitMapHeader, end)) {
    if (end == 0) return 0;
    --end;
  }
  ULONG start = end;
  while (start != 0 && !IsSet(BitMapHeader, start - 1)) --start;
  *StartingRunIndex = start;
  return end - start + 1;
}

/// Finds the longest run of clear bits; returns its length, 0 if there is none.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindLongestRunClear.
NT_EXPORT(RtlFindLongestRunClear, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlFindLongestRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex) {
  ULONG longest = 0;
  *StartingIndex = 0;
  for (ULONG start = NextBit(BitMapHeader, 0, false); start < BitMapHeader->SizeOfBitMap;) {
    const ULONG end = NextBit(BitMapHeader, start, true);
    if (end - start > longest) {
      longest = end - start;
      *StartingIndex = start;
    }
    start = NextBit(BitMapHeader, end, false);
  }
  return longest;
}

/// Lists runs of clear bits: the first ones, or the longest ones, longest first. Returns how many.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindClearRuns.
NT_EXPORT(RtlFindClearRuns, nt::AtMost(APC_LEVEL), Full, "RtlBitmap.*");
ULONG NTAPI RtlFindClearRuns(PRTL_BITMAP BitMapHeader, PRTL_BITMAP_RUN RunArray, ULONG SizeOfRunArray,
                             BOOLEAN LocateLongestRuns) {
  ULONG count = 0;
  for (ULONG start = NextBit(BitMapHeader, 0, false); start < BitMapHeader->SizeOfBitMap;) {
    const ULONG end = NextBit(BitMapHeader, start, true);
    ULONG at = count;
    if (LocateLongestRuns) {
      for (at = 0; at < count && RunArray[at].NumberOfBits >= end - start;) ++at;
    } else if (count == SizeOfRunArray) {
      break;
    }
    if (at < SizeOfRunArray) {
      if (count < SizeOfRunArray) ++count;
      for (ULONG i = count - 1; i > at; --i) RunArray[i] = RunArray[i - 1];
      RunArray[at].StartingIndex = start;
      RunArray[at].NumberOfBits = end - start;
    }
    start = NextBit(BitMapHeader, end, false);
  }
  return count;
}

/// Returns the number of the lowest set bit, -1 for zero.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindLeastSignificantBit.
NT_EXPORT(RtlFindLeastSignificantBit, nt::AnyIrql(), Full, "RtlBitmap.*");
CCHAR NTAPI RtlFindLeastSignificantBit(ULONGLONG Set) {
  return Set == 0 ? -1 : static_cast<CCHAR>(__builtin_ctzll(Set));
}

/// Returns the number of the highest set bit, -1 for zero.
/// IRQL: as the documentation says; any where the bitmap is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFindMostSignificantBit.
NT_EXPORT(RtlFindMostSignificantBit, nt::AnyIrql(), Full, "RtlBitmap.*");
CCHAR NTAPI RtlFindMostSignificantBit(ULONGLONG Set) {
  return Set == 0 ? -1 : static_cast<CCHAR>(63 - __builtin_clzll(Set));
}

}  // extern "C"
