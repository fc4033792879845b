// Reserving, committing, protecting and freeing private memory.
#include "mm/address_space.h"

#include "ke/ke.h"

namespace mm {
namespace {

ULONG64 PageDown(ULONG64 va) {
  return va & ~(kPageSize - 1);
}
ULONG64 PageUp(ULONG64 va) {
  return PageDown(va + kPageSize - 1);
}

// Makes the range whole pages. False: it is empty or lies outside the space.
bool RoundToPages(const AddressSpace& space, Region* region) {
  const ULONG64 start = PageDown(region->base);
  const ULONG64 end = PageUp(region->base + region->size);
  if (region->size == 0 || region->size > space.end - space.low || !space.Contains(start) || end <= start ||
      end > space.end) {
    return false;
  }
  *region = {start, end - start};
  return true;
}

void SetProtection(AddressSpace& space, PMMPTE pte, Protection protection) {
  for (;;) {
    const MMPTE old = Load(pte);
    MMPTE changed = old;
    if (old.u.Hard.Valid == 0) {
      changed.u.Soft.Protection = static_cast<ULONG64>(protection);
    } else if (IsNoAccess(protection) || IsGuard(protection)) {
      changed = TransitionPte(old.u.Hard.PageFrameNumber, protection);
    } else {
      changed = ValidPteAt(pte, old.u.Hard.PageFrameNumber, protection);
    }
    if (!CompareExchange(pte, old, changed)) continue;
    if (old.u.Hard.Valid != 0 && changed.u.Hard.Valid == 0) CountResident(space, -1);
    return;
  }
}

// A view's page: a shared valid PTE goes back to its prototype form and is made again at the next touch.
void SetViewProtection(const MMVAD& vad, ULONG64 va, Protection protection) {
  const PMMPTE pte = PteOf(va);
  const MMPTE old = Load(pte);
  const bool shared = old.u.Hard.Valid != 0 && MmPfnDatabase[old.u.Hard.PageFrameNumber].u4.PrototypePte != 0;
  if (shared) ClearPages(vad, va, 1);
  if (shared || old.u.Long == 0 || IsPrototype(old)) {
    Store(pte, PrototypePte(protection));
  } else {
    const bool was_copied = IsCopyOnWrite(protection);  // the copy is this view's own
    SetProtection(*vad.Space, pte,
                  was_copied
                      ? (IsExecutable(protection) ? Protection::kExecuteReadWrite : Protection::kReadWrite)
                      : protection);
  }
}

NTSTATUS CommitPages(AddressSpace& space, ULONG64 va, ULONG64 pages, Protection protection) {
  // Charged before page tables are made: too much is refused while it costs nothing.
  if (!ChargeCommitment(space, pages)) return STATUS_COMMITMENT_LIMIT;
  if (!EnsurePageTables(va, pages)) {
    ReturnCommitment(space, pages);
    return STATUS_NO_MEMORY;
  }
  ULONG64 before = 0;
  for (ULONG64 i = 0; i < pages; ++i) {
    const PMMPTE pte = PteOf(va) + i;
    if (Load(pte).u.Long == 0) {
      Store(pte, DemandZeroPte(protection));
    } else {
      SetProtection(space, pte, protection);
      ++before;
    }
  }
  ReturnCommitment(space, before);
  KeFlushEntireTb(TRUE, TRUE);
  return STATUS_SUCCESS;
}

// Contiguous pages for a range that has just been committed: valid before the first touch.
NTSTATUS FillWithLargePages(AddressSpace& space, const Region& region, Protection protection) {
  constexpr ULONG64 kPages = kLargePageSize / kPageSize;
  for (ULONG64 va = region.base; va < region.base + region.size; va += kLargePageSize) {
    // A run as long as the boundary that it may not cross begins at one.
    const PFN_NUMBER first = AllocatePageRun(kPages, 0, ~0ull, kPages);
    if (first == kNoPage) return STATUS_INSUFFICIENT_RESOURCES;
    for (ULONG64 i = 0; i < kPages; ++i) {
      RtlZeroMemory(PageAddress(first + i), kPageSize);
      const PMMPTE pte = PteOf(va) + i;
      SetPageOwner(first + i, pte, PageLocation::kActive);
      Store(pte, ValidPteAt(pte, first + i, protection));
    }
    CountResident(space, kPages);
  }
  return STATUS_SUCCESS;
}

NTSTATUS Reserve(AddressSpace& space, Region* region, ULONG type, Protection protection) {
  MMVAD vad = {};
  if (region->base == 0) {
    region->size = PageUp(region->size);
    if (region->size == 0 || region->size > space.end - space.low) return STATUS_INVALID_PARAMETER_4;
    region->base = FindFreeRange(space, region->size / kPageSize, (type & MEM_TOP_DOWN) != 0, region->below,
                                 (type & MEM_LARGE_PAGES) != 0 ? kLargePageSize : kAllocationGranularity);
    if (region->base == 0) return STATUS_NO_MEMORY;
  } else {
    const ULONG64 start = region->base & ~(kAllocationGranularity - 1);
    region->size += region->base - start;
    region->base = start;
    if (!RoundToPages(space, region)) return STATUS_INVALID_PARAMETER_2;
    if (!RangeIsFree(space, region->base, region->size / kPageSize)) return STATUS_CONFLICTING_ADDRESSES;
  }
  vad.StartingVpn = region->base / kPageSize;
  vad.EndingVpn = vad.StartingVpn + region->size / kPageSize - 1;
  vad.Kind = (type & MEM_PHYSICAL) != 0 ? VadKind::kWindow : VadKind::kPrivate;
  vad.Protection = protection;
  const PMMVAD inserted = InsertVad(space, vad);
  if (inserted == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  if ((type & MEM_COMMIT) == 0) return STATUS_SUCCESS;
  NTSTATUS status = CommitPages(space, region->base, region->size / kPageSize, protection);
  if (NT_SUCCESS(status) && (type & MEM_LARGE_PAGES) != 0)
    status = FillWithLargePages(space, *region, protection);
  if (!NT_SUCCESS(status)) DeleteVad(space, inserted);
  return status;
}

// The MMVAD that holds the whole range.
NTSTATUS WholeVad(AddressSpace& space, const Region& region, NTSTATUS nothing, PMMVAD* result) {
  const PMMVAD vad = FindVad(space, region.base);
  if (vad == nullptr) return nothing;
  if ((region.base + region.size - 1) / kPageSize > vad->EndingVpn) return STATUS_CONFLICTING_ADDRESSES;
  *result = vad;
  return STATUS_SUCCESS;
}

// Cuts the released range out of its MMVAD.
NTSTATUS ReleasePart(AddressSpace& space, PMMVAD vad, const Region& region) {
  const MMVAD whole = *vad;
  const ULONG64 first = region.base / kPageSize;
  const ULONG64 last = first + region.size / kPageSize - 1;
  if (first == whole.StartingVpn && last == whole.EndingVpn) {
    DeleteVad(space, vad);
    return STATUS_SUCCESS;
  }
  ClearPages(whole, region.base, region.size / kPageSize);
  CountAddresses(space, -static_cast<LONG64>(region.size));
  // Ends of an MMVAD may be moved in place: its order among the others stays.
  if (last == whole.EndingVpn) {
    vad->EndingVpn = first - 1;
    return STATUS_SUCCESS;
  }
  if (first == whole.StartingVpn) {
    vad->StartingVpn = last + 1;
    return STATUS_SUCCESS;
  }
  vad->EndingVpn = first - 1;
  MMVAD rest = whole;
  rest.StartingVpn = last + 1;
  CountAddresses(space, -static_cast<LONG64>(PagesOf(rest) * kPageSize));
  if (InsertVad(space, rest) != nullptr) return STATUS_SUCCESS;
  ClearPages(whole, (last + 1) * kPageSize, whole.EndingVpn - last);
  return STATUS_INSUFFICIENT_RESOURCES;
}

}  // namespace

bool LimitOfZeroBits(ULONG_PTR zero_bits, ULONG64* below) {
  constexpr ULONG_PTR kMostBits = 21, kFirstMask = 32;
  *below = ~0ull;
  if (zero_bits == 0) return true;
  if (zero_bits > kMostBits && zero_bits < kFirstMask) return false;
  // A number of zero bits of 32, or a mask that says which bits may be set.
  *below = zero_bits < kFirstMask ? 1ull << (32 - zero_bits) : 1ull << (63 - __builtin_clzll(zero_bits)) << 1;
  return true;
}

bool ProtectionFromWin32(ULONG protect, Protection* protection) {
  static constexpr Protection kAccess[8] = {Protection::kNoAccess,         Protection::kReadOnly,
                                            Protection::kReadWrite,        Protection::kWriteCopy,
                                            Protection::kExecute,          Protection::kExecuteRead,
                                            Protection::kExecuteReadWrite, Protection::kExecuteWriteCopy};
  const ULONG access = protect & 0xFF;
  const ULONG qualifiers = protect & ~0xFFu;
  if (access == 0 || (access & (access - 1)) != 0) return false;
  if ((qualifiers & ~(PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE)) != 0) return false;
  if (access == PAGE_NOACCESS && qualifiers != 0) return false;
  if ((qualifiers & PAGE_GUARD) != 0 && qualifiers != PAGE_GUARD) return false;
  auto value = static_cast<UCHAR>(kAccess[__builtin_ctz(access)]);
  if ((qualifiers & PAGE_GUARD) != 0) value |= static_cast<UCHAR>(Protection::kGuard);
  if ((qualifiers & (PAGE_NOCACHE | PAGE_WRITECOMBINE)) != 0)
    value |= static_cast<UCHAR>(Protection::kNoCache);
  *protection = static_cast<Protection>(value);
  return true;
}

ULONG ProtectionToWin32(Protection protection) {
  static constexpr ULONG kAccess[8] = {PAGE_NOACCESS,          PAGE_READONLY,         PAGE_EXECUTE,
                                       PAGE_EXECUTE_READ,      PAGE_READWRITE,        PAGE_WRITECOPY,
                                       PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY};
  if (IsNoAccess(protection)) return PAGE_NOACCESS;
  ULONG result = kAccess[static_cast<UCHAR>(AccessOf(protection))];
  if (IsGuard(protection)) result |= PAGE_GUARD;
  if (QualifierOf(protection) == static_cast<UCHAR>(Protection::kNoCache)) result |= PAGE_NOCACHE;
  return result;
}

Protection PageProtection(const MMVAD& vad, ULONG64 va) {
  const bool view = vad.Kind == VadKind::kView;
  if (vad.Kind == VadKind::kMdlMapping) return vad.Protection;
  if (WalkTables(va).level != 1) return view ? vad.Protection : Protection::kNone;
  const MMPTE pte = Load(PteOf(va));
  if (pte.u.Hard.Valid != 0) {
    const Protection protection = ProtectionOf(pte);
    return pte.u.Hard.CacheDisable != 0 ? static_cast<Protection>(static_cast<UCHAR>(protection) |
                                                                  static_cast<UCHAR>(Protection::kNoCache))
                                        : protection;
  }
  if (pte.u.Long == 0) return view ? vad.Protection : Protection::kNone;
  return static_cast<Protection>(pte.u.Soft.Protection);
}

NTSTATUS AllocateVirtual(AddressSpace& space, Region* region, ULONG type, Protection protection) {
  SleepGuard guard(space.lock);
  if (region->base == 0 || (type & MEM_RESERVE) != 0) return Reserve(space, region, type, protection);
  if (!RoundToPages(space, region)) return STATUS_INVALID_PARAMETER_2;
  PMMVAD vad = nullptr;
  const NTSTATUS status = WholeVad(space, *region, STATUS_CONFLICTING_ADDRESSES, &vad);
  if (!NT_SUCCESS(status)) return status;
  if ((type & MEM_RESET) != 0) return STATUS_SUCCESS;  // advice; the content stays
  if (vad->Kind == VadKind::kMdlMapping || vad->Kind == VadKind::kWindow) return STATUS_CONFLICTING_ADDRESSES;
  if (vad->Kind == VadKind::kView) return STATUS_ALREADY_COMMITTED;
  return CommitPages(space, region->base, region->size / kPageSize, protection);
}

NTSTATUS FreeVirtual(AddressSpace& space, Region* region, ULONG type) {
  SleepGuard guard(space.lock);
  const PMMVAD vad = FindVad(space, region->base);
  if (vad == nullptr) return STATUS_MEMORY_NOT_ALLOCATED;
  const bool window = vad->Kind == VadKind::kWindow;
  if (vad->Kind != VadKind::kPrivate && !window) return STATUS_UNABLE_TO_DELETE_SECTION;
  if (window && type == MEM_DECOMMIT) return STATUS_MEMORY_NOT_ALLOCATED;
  if (region->size == 0) {
    if (PageDown(region->base) != StartOf(*vad)) return STATUS_FREE_VM_NOT_AT_BASE;
    *region = {StartOf(*vad), PagesOf(*vad) * kPageSize};
  } else if (!RoundToPages(space, region)) {
    return STATUS_INVALID_PARAMETER_3;
  }
  if ((region->base + region->size - 1) / kPageSize > vad->EndingVpn) return STATUS_UNABLE_TO_FREE_VM;
  const NTSTATUS secured = CheckSecured(space, region->base, region->size / kPageSize);
  if (!NT_SUCCESS(secured)) return secured;
  if (type == MEM_RELEASE) return ReleasePart(space, vad, *region);
  ClearPages(*vad, region->base, region->size / kPageSize);
  return STATUS_SUCCESS;
}

NTSTATUS ProtectVirtual(AddressSpace& space, Region* region, Protection protection, ULONG* old) {
  SleepGuard guard(space.lock);
  if (!RoundToPages(space, region)) return STATUS_INVALID_PARAMETER_2;
  PMMVAD vad = nullptr;
  const NTSTATUS status = WholeVad(space, *region, STATUS_CONFLICTING_ADDRESSES, &vad);
  if (!NT_SUCCESS(status)) return status;
  if (vad->Kind == VadKind::kMdlMapping) return STATUS_INVALID_PAGE_PROTECTION;
  if (vad->Kind == VadKind::kPrivate && IsCopyOnWrite(protection)) return STATUS_INVALID_PAGE_PROTECTION;
  if (vad->Kind == VadKind::kView && IsWritable(protection) && !IsWritable(vad->Protection) &&
      !IsCopyOnWrite(vad->Protection)) {
    return STATUS_SECTION_PROTECTION;
  }
  const NTSTATUS secured = CheckSecured(space, region->base, region->size / kPageSize, protection);
  if (!NT_SUCCESS(secured)) return secured;
  const ULONG64 pages = region->size / kPageSize;
  for (ULONG64 i = 0; i < pages; ++i) {
    if (PageProtection(*vad, region->base + i * kPageSize) == Protection::kNone) return STATUS_NOT_COMMITTED;
  }
  if (!EnsurePageTables(region->base, pages)) return STATUS_NO_MEMORY;
  *old = ProtectionToWin32(PageProtection(*vad, region->base));
  for (ULONG64 i = 0; i < pages; ++i) {
    const ULONG64 va = region->base + i * kPageSize;
    if (vad->Kind == VadKind::kView) {
      SetViewProtection(*vad, va, protection);
    } else {
      SetProtection(space, PteOf(va), protection);
    }
  }
  KeFlushEntireTb(TRUE, TRUE);
  return STATUS_SUCCESS;
}

NTSTATUS InProcessObject(PEPROCESS process, NTSTATUS (*run)(AddressSpace&, PVOID), PVOID context) {
  KAPC_STATE state;
  KeStackAttachProcess(&process->Pcb, &state);
  AddressSpace* space = EnsureCurrentSpace();
  const NTSTATUS status = space != nullptr ? run(*space, context) : STATUS_PROCESS_IS_TERMINATING;
  KeUnstackDetachProcess(&state);
  return status;
}

NTSTATUS InProcess(HANDLE process, NTSTATUS (*run)(AddressSpace&, PVOID), PVOID context) {
  if (process == ZwCurrentProcess()) {
    AddressSpace* space = EnsureCurrentSpace();
    return space != nullptr ? run(*space, context) : STATUS_PROCESS_IS_TERMINATING;
  }
  PVOID object;
  NTSTATUS status =
      ObReferenceObjectByHandle(process, PROCESS_VM_OPERATION, PsProcessType, KernelMode, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  status = InProcessObject(static_cast<PEPROCESS>(object), run, context);
  ObDereferenceObject(object);
  return status;
}

}  // namespace mm
