// What the machine's memory looks like, and copies that cannot fault.
#include "ke/ke.h"
#include "mm/mm_internal.h"
#include "nt/export.h"

namespace {

using mm::kPageSize;

constexpr ULONG kRangesTag = 'rPmM';

// Copies at most to the page's end, through the map of all physical memory. False: it is not RAM.
bool CopyPart(PUCHAR target, MM_COPY_ADDRESS address, SIZE_T bytes, ULONG flags) {
  const auto at = static_cast<ULONG64>(address.PhysicalAddress.QuadPart);
  PFN_NUMBER pfn = at / kPageSize;
  const bool lock = flags == MM_COPY_MEMORY_VIRTUAL;
  if (lock && (!mm::IsCanonical(at) || !NT_SUCCESS(mm::LockPage(at, false, &pfn)))) return false;
  const bool ram = mm::PfnRecordOrNull(pfn) != nullptr;
  if (ram) RtlCopyMemory(target, static_cast<PUCHAR>(mm::PageAddress(pfn)) + at % kPageSize, bytes);
  if (lock) mm::UnlockPage(pfn);
  return ram;
}

}  // namespace

/// The first address of the system half.
/// IRQL: any.
/// Differs from NT: none.
/// Source: ntddk.h.
NT_EXPORT_DATA(MmSystemRangeStart, Full, "MmMemory.Limits*");
extern "C" PVOID MmSystemRangeStart = reinterpret_cast<PVOID>(0xFFFF8000'00000000);

/// The last address that a program may use.
/// IRQL: any.
/// Differs from NT: none.
/// Source: ntddk.h.
NT_EXPORT_DATA(MmHighestUserAddress, Full, "MmMemory.Limits*");
extern "C" PVOID MmHighestUserAddress = reinterpret_cast<PVOID>(0x00007FFF'FFFEFFFF);

/// The first address at which a probe of a program's buffer fails.
/// IRQL: any.
/// Differs from NT: none.
/// Source: ntddk.h.
NT_EXPORT_DATA(MmUserProbeAddress, Full, "MmMemory.Limits*");
extern "C" ULONG64 MmUserProbeAddress = 0x00007FFF'FFFF0000;

/// Copies from a virtual or a physical address without ever faulting.
/// Returns: STATUS_INVALID_ADDRESS where the source ends early, with the bytes copied so far.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: memory of devices is refused.
/// Source: WDK ntddk/MmCopyMemory.
NT_EXPORT(MmCopyMemory, nt::AtMost(APC_LEVEL), Partial, "MmMemory.Copy*");
extern "C" NTSTATUS NTAPI MmCopyMemory(PVOID TargetAddress, MM_COPY_ADDRESS SourceAddress,
                                       SIZE_T NumberOfBytes, ULONG Flags, PSIZE_T NumberOfBytesTransferred) {
  *NumberOfBytesTransferred = 0;
  if (Flags != MM_COPY_MEMORY_PHYSICAL && Flags != MM_COPY_MEMORY_VIRTUAL) return STATUS_INVALID_PARAMETER_4;
  auto* target = static_cast<PUCHAR>(TargetAddress);
  while (NumberOfBytes != 0) {
    const ULONG64 offset = static_cast<ULONG64>(SourceAddress.PhysicalAddress.QuadPart) % kPageSize;
    const SIZE_T part = NumberOfBytes < kPageSize - offset ? NumberOfBytes : kPageSize - offset;
    if (!CopyPart(target, SourceAddress, part, Flags)) return STATUS_INVALID_ADDRESS;
    *NumberOfBytesTransferred += part;
    SourceAddress.PhysicalAddress.QuadPart += static_cast<LONGLONG>(part);
    target += part;
    NumberOfBytes -= part;
  }
  return STATUS_SUCCESS;
}

/// The ranges of physical memory, ended by an empty one. The caller frees the array with ExFreePool.
/// Returns: the array, NULL without memory.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: ntddk.h; not documented.
NT_EXPORT(MmGetPhysicalMemoryRanges, nt::Exactly(PASSIVE_LEVEL), Full, "MmMemory.Ranges*");
extern "C" PPHYSICAL_MEMORY_RANGE NTAPI MmGetPhysicalMemoryRanges() {
  const SIZE_T bytes = (boot::kMaxMemoryDescriptors + 1) * sizeof(PHYSICAL_MEMORY_RANGE);
  auto* ranges =
      static_cast<PPHYSICAL_MEMORY_RANGE>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kRangesTag));
  if (ranges == nullptr) return nullptr;
  RtlZeroMemory(ranges, bytes);
  ULONG count = 0;
  mm::ForEachRamRange([&](ULONG64 first, ULONG64 pages) {
    const auto base = static_cast<LONGLONG>(first * kPageSize);
    const auto size = static_cast<LONGLONG>(pages * kPageSize);
    PHYSICAL_MEMORY_RANGE* last = count != 0 ? &ranges[count - 1] : nullptr;
    if (last != nullptr && last->BaseAddress.QuadPart + last->NumberOfBytes.QuadPart == base) {
      last->NumberOfBytes.QuadPart += size;
      return;
    }
    ranges[count].BaseAddress.QuadPart = base;
    ranges[count++].NumberOfBytes.QuadPart = size;
  });
  return ranges;
}

/// Changes the protection of an MDL's system mapping: PAGE_READONLY, PAGE_READWRITE, PAGE_EXECUTE_READ,
/// PAGE_EXECUTE_READWRITE or PAGE_EXECUTE.
/// Returns: STATUS_NOT_MAPPED_VIEW for an MDL without a mapping, STATUS_INVALID_PAGE_PROTECTION for other
/// values. A mapping that is not there is bug check 0x1A (0x1235).
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: PAGE_NOACCESS is refused.
/// Source: WDK wdm/MmProtectMdlSystemAddress.
NT_EXPORT(MmProtectMdlSystemAddress, nt::AtMost(DISPATCH_LEVEL), Partial, "MmMemory.Protect*");
extern "C" NTSTATUS NTAPI MmProtectMdlSystemAddress(PMDL MemoryDescriptorList, ULONG NewProtect) {
  mm::Protection protection;
  switch (NewProtect) {
    case PAGE_READONLY:
      protection = mm::Protection::kReadOnly;
      break;
    case PAGE_READWRITE:
      protection = mm::Protection::kReadWrite;
      break;
    case PAGE_EXECUTE:
    case PAGE_EXECUTE_READ:
      protection = mm::Protection::kExecuteRead;
      break;
    case PAGE_EXECUTE_READWRITE:
      protection = mm::Protection::kExecuteReadWrite;
      break;
    default:
      return STATUS_INVALID_PAGE_PROTECTION;
  }
  PMDL mdl = MemoryDescriptorList;
  if ((mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) == 0) return STATUS_NOT_MAPPED_VIEW;
  if (!mm::WalkTables(mm::Va(mdl->MappedSystemVa)).valid) {
    KeBugCheckEx(MEMORY_MANAGEMENT, 0x1235, mm::Va(mdl), mm::Va(mdl->MappedSystemVa), 0);
  }
  const ULONG64 start = mm::Va(mdl->MappedSystemVa) & ~(kPageSize - 1);
  const ULONG64 pages = mm::PagesFor(static_cast<ULONG64>(mdl->ByteOffset) + mdl->ByteCount);
  for (ULONG64 i = 0; i < pages; ++i) {
    PMMPTE pte = mm::PteOf(start) + i;
    mm::Store(pte, mm::ValidPte(mm::Load(pte).u.Hard.PageFrameNumber, protection));
  }
  KeFlushEntireTb(TRUE, TRUE);
  return STATUS_SUCCESS;
}
