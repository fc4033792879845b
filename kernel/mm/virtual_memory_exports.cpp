// Virtual memory of processes: ZwAllocateVirtualMemory and its kin.
#include "mm/address_space.h"
#include "mm/section.h"
#include "ke/service_call.h"
#include "nt/export.h"

namespace {

using mm::kPageSize;
using mm::Protection;
using mm::Region;

ULONG_PTR Address(PVOID* base) {
  return reinterpret_cast<ULONG_PTR>(*base);
}

void Store(const Region& region, PVOID* base, PSIZE_T size) {
  *base = reinterpret_cast<PVOID>(region.base);
  *size = region.size;
}

// Address windows, large pages, pages whose writes are watched: when and for whom.
NTSTATUS CheckSpecialTypes(ULONG_PTR base, SIZE_T size, ULONG type, ULONG protect) {
  if ((type & MEM_PHYSICAL) != 0 && (type & ~ULONG{MEM_TOP_DOWN}) != (MEM_PHYSICAL | MEM_RESERVE))
    return STATUS_INVALID_PARAMETER_5;
  if ((type & MEM_PHYSICAL) != 0 && protect != PAGE_READWRITE) return STATUS_INVALID_PARAMETER_6;
  if ((type & MEM_WRITE_WATCH) != 0 && (type & MEM_RESERVE) == 0) return STATUS_INVALID_PARAMETER_5;
  if ((type & MEM_LARGE_PAGES) != 0) {
    constexpr ULONG kBoth = MEM_RESERVE | MEM_COMMIT;
    if ((type & kBoth) != kBoth || (type & MEM_WRITE_WATCH) != 0) return STATUS_INVALID_PARAMETER_5;
    if (size % mm::kLargePageSize != 0) return STATUS_INVALID_PARAMETER_4;
    if (base % mm::kLargePageSize != 0) return STATUS_INVALID_PARAMETER_2;
  }
  if ((type & (MEM_PHYSICAL | MEM_LARGE_PAGES)) == 0) return STATUS_SUCCESS;
  const LUID lock_memory = {SE_LOCK_MEMORY_PRIVILEGE, 0};
  return SeSinglePrivilegeCheck(lock_memory, KeGetCurrentThread()->PreviousMode) ? STATUS_SUCCESS
                                                                                 : STATUS_PRIVILEGE_NOT_HELD;
}

NTSTATUS CheckAllocation(ULONG_PTR base, ULONG_PTR zero_bits, SIZE_T size, ULONG type, ULONG protect,
                         Protection* protection) {
  constexpr ULONG kKnown =
      MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_TOP_DOWN | MEM_PHYSICAL | MEM_LARGE_PAGES | MEM_WRITE_WATCH;
  ULONG64 below;
  if (!mm::LimitOfZeroBits(zero_bits, &below)) return STATUS_INVALID_PARAMETER_3;
  if (size == 0) return STATUS_INVALID_PARAMETER_4;
  if ((type & ~kKnown) != 0 || (type & (MEM_COMMIT | MEM_RESERVE | MEM_RESET)) == 0)
    return STATUS_INVALID_PARAMETER_5;
  if ((type & MEM_RESET) != 0 && (type & ~static_cast<ULONG>(MEM_RESET)) != 0)
    return STATUS_INVALID_PARAMETER_5;
  if (!mm::ProtectionFromWin32(protect, protection)) return STATUS_INVALID_PAGE_PROTECTION;
  if (mm::IsCopyOnWrite(*protection)) return STATUS_INVALID_PAGE_PROTECTION;
  if (const NTSTATUS status = CheckSpecialTypes(base, size, type, protect); !NT_SUCCESS(status))
    return status;
  return base >= mm::kUserEnd ? STATUS_INVALID_PARAMETER_2 : STATUS_SUCCESS;
}

NTSTATUS Allocate(HANDLE process, PVOID* base, ULONG_PTR zero_bits, PSIZE_T size, ULONG type, ULONG protect) {
  Protection protection;
  NTSTATUS status = CheckAllocation(Address(base), zero_bits, *size, type, protect, &protection);
  if (!NT_SUCCESS(status)) return status;
  Region region = {Address(base), *size};
  mm::LimitOfZeroBits(zero_bits, &region.below);
  status = mm::InProcess(process, [&](mm::AddressSpace& space) {
    return mm::AllocateVirtual(space, &region, type, protection);
  });
  if (NT_SUCCESS(status)) Store(region, base, size);
  return status;
}

NTSTATUS Free(HANDLE process, PVOID* base, PSIZE_T size, ULONG type) {
  if (type != MEM_RELEASE && type != MEM_DECOMMIT) return STATUS_INVALID_PARAMETER_4;
  if (Address(base) >= mm::kUserEnd) return STATUS_INVALID_PARAMETER_2;
  Region region = {Address(base), *size};
  const NTSTATUS status =
      mm::InProcess(process, [&](mm::AddressSpace& space) { return mm::FreeVirtual(space, &region, type); });
  if (NT_SUCCESS(status)) Store(region, base, size);
  return status;
}

// The pages after `va` that are like it.
void Describe(mm::AddressSpace& space, ULONG64 va, PMEMORY_BASIC_INFORMATION info) {
  *info = {};
  info->BaseAddress = reinterpret_cast<PVOID>(va);
  const PMMVAD vad = mm::FindVad(space, va);
  if (vad == nullptr) {
    ULONG64 end = space.end;
    PVOID restart = nullptr;
    while (const auto* next =
               static_cast<PMMVAD>(RtlEnumerateGenericTableWithoutSplayingAvl(&space.vads, &restart))) {
      if (mm::StartOf(*next) > va && mm::StartOf(*next) < end) end = mm::StartOf(*next);
    }
    info->RegionSize = end - va;
    info->State = MEM_FREE;
    info->Protect = PAGE_NOACCESS;
    return;
  }
  const Protection protection = mm::PageProtection(*vad, va);
  const ULONG64 end = mm::StartOf(*vad) + mm::PagesOf(*vad) * kPageSize;
  ULONG64 next = va + kPageSize;
  while (next < end && mm::PageProtection(*vad, next) == protection) next += kPageSize;
  info->AllocationBase = reinterpret_cast<PVOID>(mm::StartOf(*vad));
  info->AllocationProtect = mm::ProtectionToWin32(vad->Protection);
  info->RegionSize = next - va;
  const bool committed = protection != Protection::kNone;
  info->State = committed ? MEM_COMMIT : MEM_RESERVE;
  info->Protect = committed ? mm::ProtectionToWin32(protection) : 0;
  const bool is_private = vad->Kind == mm::VadKind::kPrivate || vad->Kind == mm::VadKind::kWindow;
  const bool image = vad->Kind == mm::VadKind::kView && vad->Segment->image != nullptr;
  info->Type = is_private ? MEM_PRIVATE : image ? MEM_IMAGE : MEM_MAPPED;
}

NTSTATUS Query(HANDLE process, PVOID base, ULONG info_class, PVOID information, SIZE_T length,
               PSIZE_T returned) {
  constexpr ULONG kBasicInformation = 0;
  if (info_class != kBasicInformation) return STATUS_INVALID_INFO_CLASS;
  if (length < sizeof(MEMORY_BASIC_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
  const ULONG64 va = mm::Va(base) & ~(kPageSize - 1);
  if (va >= mm::kUserEnd) return STATUS_INVALID_PARAMETER;
  MEMORY_BASIC_INFORMATION info;
  const NTSTATUS status = mm::InProcess(process, [&](mm::AddressSpace& space) {
    mm::SleepGuard guard(space.lock);
    Describe(space, va, &info);
    return STATUS_SUCCESS;
  });
  if (!NT_SUCCESS(status)) return status;
  *static_cast<PMEMORY_BASIC_INFORMATION>(information) = info;
  if (returned != nullptr) *returned = sizeof(info);
  return STATUS_SUCCESS;
}

}  // namespace

/// Reserves (MEM_RESERVE) and commits (MEM_COMMIT) pages of a process: at the address, or where there is
/// room. Committed pages are zero at their first touch. Returns: STATUS_CONFLICTING_ADDRESSES where something
/// is, STATUS_NO_MEMORY, STATUS_COMMITMENT_LIMIT, STATUS_INVALID_PAGE_PROTECTION, STATUS_INVALID_PARAMETER_n,
/// STATUS_PRIVILEGE_NOT_HELD. Large pages are there at once, each of them contiguous. What maps pages into an
/// address window (MEM_PHYSICAL), and what tells the writes to watched pages (MEM_WRITE_WATCH), are services
/// that drivers do not have.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwAllocateVirtualMemory, VirtualAlloc.
NT_EXPORT(ZwAllocateVirtualMemory, nt::Exactly(PASSIVE_LEVEL), Full, "MmVirtual.*");
extern "C" NTSTATUS NTAPI ZwAllocateVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress,
                                                  ULONG_PTR ZeroBits, PSIZE_T RegionSize,
                                                  ULONG AllocationType, ULONG Protect) {
  return ke::CallService(NtAllocateVirtualMemory, ProcessHandle, BaseAddress, ZeroBits, RegionSize,
                         AllocationType, Protect);
}

/// ZwAllocateVirtualMemory for a caller whose arguments are checked by its previous mode.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwAllocateVirtualMemory; the previous mode is always kernel.
/// Source: WDK ntifs/NtAllocateVirtualMemory.
NT_EXPORT(NtAllocateVirtualMemory, nt::Exactly(PASSIVE_LEVEL), Partial, "MmVirtual.NtEntries*");
extern "C" NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress,
                                                  ULONG_PTR ZeroBits, PSIZE_T RegionSize,
                                                  ULONG AllocationType, ULONG Protect) {
  return Allocate(ProcessHandle, BaseAddress, ZeroBits, RegionSize, AllocationType, Protect);
}

/// Decommits pages (MEM_DECOMMIT) or gives the address range back (MEM_RELEASE), whole (size 0) or in part.
/// Returns: STATUS_MEMORY_NOT_ALLOCATED, STATUS_FREE_VM_NOT_AT_BASE, STATUS_UNABLE_TO_FREE_VM for a range
/// past the end, STATUS_UNABLE_TO_DELETE_SECTION for a view, STATUS_INVALID_PAGE_PROTECTION for secured
/// memory.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwFreeVirtualMemory.
NT_EXPORT(ZwFreeVirtualMemory, nt::Exactly(PASSIVE_LEVEL), Full, "MmVirtual.*");
extern "C" NTSTATUS NTAPI ZwFreeVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize,
                                              ULONG FreeType) {
  return ke::CallService(NtFreeVirtualMemory, ProcessHandle, BaseAddress, RegionSize, FreeType);
}

/// ZwFreeVirtualMemory for a caller whose arguments are checked by its previous mode.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the previous mode is always kernel.
/// Source: WDK ntifs/NtFreeVirtualMemory.
NT_EXPORT(NtFreeVirtualMemory, nt::Exactly(PASSIVE_LEVEL), Partial, "MmVirtual.NtEntries*");
extern "C" NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize,
                                              ULONG FreeType) {
  return Free(ProcessHandle, BaseAddress, RegionSize, FreeType);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress,
                                                                   PSIZE_T RegionSize, ULONG NewProtect,
                                                                   PULONG OldProtect) {
  Protection protection;
  if (!mm::ProtectionFromWin32(NewProtect, &protection)) return STATUS_INVALID_PAGE_PROTECTION;
  Region region = {Address(BaseAddress), *RegionSize};
  ULONG old = 0;
  const NTSTATUS status = mm::InProcess(ProcessHandle, [&](mm::AddressSpace& space) {
    return mm::ProtectVirtual(space, &region, protection, &old);
  });
  if (!NT_SUCCESS(status)) return status;
  Store(region, BaseAddress, RegionSize);
  *OldProtect = old;
  return STATUS_SUCCESS;
}

/// Changes the protection of committed pages; *OldProtect is that of the first.
/// Returns: STATUS_NOT_COMMITTED, STATUS_CONFLICTING_ADDRESSES for a range that is not within one allocation,
/// STATUS_INVALID_PAGE_PROTECTION (also for secured memory), STATUS_SECTION_PROTECTION.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: ntifs.h; the WDK has no page, see VirtualProtectEx.
NT_EXPORT(ZwProtectVirtualMemory, nt::Exactly(PASSIVE_LEVEL), Full, "MmVirtual.Protect*");
extern "C" NTSTATUS NTAPI ZwProtectVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize,
                                                 ULONG NewProtect, PULONG OldProtect) {
  return ke::CallService(NtProtectVirtualMemory, ProcessHandle, BaseAddress, RegionSize, NewProtect,
                         OldProtect);
}

/// ZwQueryVirtualMemory for a caller whose arguments are checked by its previous mode.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwQueryVirtualMemory; the previous mode is always kernel.
/// Source: WDK ntifs/NtQueryVirtualMemory.
NT_EXPORT(NtQueryVirtualMemory, nt::Exactly(PASSIVE_LEVEL), Partial, "MmVirtual.NtEntries*");
extern "C" NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
                                               ULONG MemoryInformationClass, PVOID MemoryInformation,
                                               SIZE_T MemoryInformationLength, PSIZE_T ReturnLength) {
  return Query(ProcessHandle, BaseAddress, MemoryInformationClass, MemoryInformation, MemoryInformationLength,
               ReturnLength);
}

/// MemoryBasicInformation: state, protection and type of the pages from an address on that are alike.
/// Returns: STATUS_INVALID_INFO_CLASS for other classes, STATUS_INVALID_PARAMETER for system addresses.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: MemoryBasicInformation only.
/// Source: WDK ntifs/ZwQueryVirtualMemory.
NT_EXPORT(ZwQueryVirtualMemory, nt::Exactly(PASSIVE_LEVEL), Partial, "MmVirtual.Query*");
extern "C" NTSTATUS NTAPI ZwQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
                                               ULONG MemoryInformationClass, PVOID MemoryInformation,
                                               SIZE_T MemoryInformationLength, PSIZE_T ReturnLength) {
  return ke::CallService(NtQueryVirtualMemory, ProcessHandle, BaseAddress, MemoryInformationClass,
                         MemoryInformation, MemoryInformationLength, ReturnLength);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtFlushVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress,
                                                                 PSIZE_T RegionSize,
                                                                 PIO_STATUS_BLOCK IoStatus) {
  Region region = {Address(BaseAddress), *RegionSize};
  const NTSTATUS status =
      mm::InProcess(ProcessHandle, [&](mm::AddressSpace& space) { return mm::FlushView(space, &region); });
  *IoStatus = {};
  IoStatus->Status = status;
  if (!NT_SUCCESS(status)) return status;
  Store(region, BaseAddress, RegionSize);
  IoStatus->Information = region.size;
  return STATUS_SUCCESS;
}

/// Writes a mapped file's modified pages in a range to the file.
/// Returns: STATUS_NOT_MAPPED_DATA for a range that is no view of a file; the file system's status.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a page that a processor modifies through a view meanwhile is written at the next flush.
/// Source: WDK ntifs/ZwFlushVirtualMemory.
NT_EXPORT(ZwFlushVirtualMemory, nt::Exactly(PASSIVE_LEVEL), Full, "MmSection.FileBacked*");
extern "C" NTSTATUS NTAPI ZwFlushVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize,
                                               PIO_STATUS_BLOCK IoStatus) {
  return ke::CallService(NtFlushVirtualMemory, ProcessHandle, BaseAddress, RegionSize, IoStatus);
}
