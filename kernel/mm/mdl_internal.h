// Memory descriptor lists: what their files share.
#pragma once

#include "mm/address_space.h"

namespace mm {

inline ULONG64 StartOf(const MDL* mdl) {
  return Va(mdl->StartVa) + mdl->ByteOffset;
}
inline ULONG64 PageCountOf(const MDL* mdl) {
  return PagesFor(static_cast<ULONG64>(mdl->ByteOffset) + mdl->ByteCount);
}
inline PPFN_NUMBER PagesOf(PMDL mdl) {
  return reinterpret_cast<PPFN_NUMBER>(mdl + 1);
}

// How many pages of a process are locked, for which MDL and by whom. IRQL <= DISPATCH_LEVEL. ReturnLocks: bug
// check 0x76 where fewer are locked than unlocked.
void ChargeLocks(AddressSpace& space, PMDL mdl, ULONG64 pages, PVOID caller);
void ReturnLocks(AddressSpace& space, PMDL mdl, ULONG64 pages);

// The protection and caching of a mapping, from MmMapLockedPagesSpecifyCache's arguments.
Protection MappingProtection(ULONG priority);
Cache CacheOf(MEMORY_CACHING_TYPE type);

// Who holds system PTEs, with TrackPtes; forgetting what was not noted does nothing. IRQL <= DISPATCH_LEVEL.
void NotePtes(ULONG64 va, ULONG64 pages, PVOID caller);
void ForgetPtes(ULONG64 va);
// Bug check 0xD8 (with TrackPtes) or 0x3F.
[[noreturn]] void StopWithoutPtes(ULONG64 wanted);

// Maps the MDL's pages into a process: at `base`, or where there is room. IRQL <= APC_LEVEL.
NTSTATUS MapMdlInSpace(AddressSpace& space, PMDL mdl, Protection protection, Cache cache, ULONG64 base,
                       ULONG64* va);
// False: there is no such mapping.
bool UnmapMdlInSpace(AddressSpace& space, ULONG64 va);

}  // namespace mm
