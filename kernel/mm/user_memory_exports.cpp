// Drivers and the memory of programs: probing, securing, copying between processes.
#include "mm/address_space.h"
#include "nt/export.h"

namespace {

using mm::Access;
using mm::kPageSize;

constexpr ULONG kSecureTag = 'eSmM';

struct SecureRecord {
  LIST_ENTRY link;  // first: freed by its link
  ULONG64 va;
  ULONG64 pages;
  PEPROCESS process;
  bool written;  // PAGE_READWRITE: the pages stay writable
};

// Whether [va, va + length) is below the probe address.
bool IsUserRange(ULONG64 va, SIZE_T length) {
  return va + length >= va && va + length <= MmUserProbeAddress;
}

void CheckProbe(const volatile VOID* address, SIZE_T length, ULONG alignment) {
  if ((mm::Va(address) & (alignment - 1)) != 0) ExRaiseDatatypeMisalignment();
  if (!IsUserRange(mm::Va(address), length)) ExRaiseAccessViolation();
}

// Copies at most to the page's end, by the page's address in the map of all memory, so that nothing can
// fault. The current address space is that of `va`.
NTSTATUS CopyPart(ULONG64 va, PUCHAR buffer, SIZE_T bytes, bool write) {
  PFN_NUMBER pfn;
  const NTSTATUS status = mm::LockPage(va, write, &pfn);
  if (!NT_SUCCESS(status)) return status;
  PUCHAR page = static_cast<PUCHAR>(mm::PageAddress(pfn)) + va % kPageSize;
  RtlCopyMemory(write ? page : buffer, write ? buffer : page, bytes);
  mm::UnlockPage(pfn);
  return STATUS_SUCCESS;
}

NTSTATUS CopyParts(ULONG64 va, PUCHAR buffer, SIZE_T bytes, bool write, SIZE_T* done) {
  *done = 0;
  while (*done < bytes) {
    const ULONG64 at = va + *done;
    const ULONG64 room = kPageSize - at % kPageSize;
    const SIZE_T part = bytes - *done < room ? bytes - *done : room;
    const NTSTATUS status = CopyPart(at, buffer + *done, part, write);
    if (!NT_SUCCESS(status)) return status;
    *done += part;
  }
  return STATUS_SUCCESS;
}

NTSTATUS CopyInProcess(PEPROCESS process, ULONG64 va, PUCHAR buffer, SIZE_T bytes, bool write, SIZE_T* done) {
  KAPC_STATE state;
  KeStackAttachProcess(reinterpret_cast<PKPROCESS>(process), &state);
  const NTSTATUS status = CopyParts(va, buffer, bytes, write, done);
  KeUnstackDetachProcess(&state);
  return status;
}

}  // namespace

namespace mm {

NTSTATUS CheckSecured(AddressSpace& space, ULONG64 va, ULONG64 pages, Protection wanted) {
  for (PLIST_ENTRY link = space.secured.Flink; link != &space.secured; link = link->Flink) {
    const auto* record = CONTAINING_RECORD(link, SecureRecord, link);
    const bool meet = record->va < va + pages * kPageSize && va < record->va + record->pages * kPageSize;
    const bool touchable = wanted != Protection::kNone && !IsNoAccess(wanted) && !IsGuard(wanted);
    const bool allowed = touchable && (!record->written || IsWritable(wanted) || IsCopyOnWrite(wanted));
    if (meet && !allowed) return STATUS_INVALID_PAGE_PROTECTION;
  }
  return STATUS_SUCCESS;
}

}  // namespace mm

/// Checks that a buffer lies in user space and is aligned; touches nothing. Length 0 is always good.
/// Returns: nothing; raises STATUS_ACCESS_VIOLATION or STATUS_DATATYPE_MISALIGNMENT.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ProbeForRead.
NT_EXPORT(ProbeForRead, nt::AtMost(APC_LEVEL), Full, "MmUser.Probe*");
extern "C" VOID NTAPI ProbeForRead(const VOID* Address, SIZE_T Length, ULONG Alignment) {
  if (Length != 0) CheckProbe(Address, Length, Alignment);
}

/// Checks that a buffer lies in user space, is aligned and can be written: a byte of each page is read and
/// written back. Length 0 is always good.
/// Returns: nothing; raises STATUS_ACCESS_VIOLATION or STATUS_DATATYPE_MISALIGNMENT.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ProbeForWrite.
NT_EXPORT(ProbeForWrite, nt::AtMost(APC_LEVEL), Full, "MmUser.Probe*");
extern "C" VOID NTAPI ProbeForWrite(PVOID Address, SIZE_T Length, ULONG Alignment) {
  if (Length == 0) return;
  CheckProbe(Address, Length, Alignment);
  const ULONG64 end = mm::Va(Address) + Length;
  for (ULONG64 va = mm::Va(Address); va < end; va = (va & ~(kPageSize - 1)) + kPageSize) {
    auto* byte = reinterpret_cast<volatile UCHAR*>(va);
    *byte = *byte;
  }
}

/// Keeps the current process from freeing pages or changing their protection; they are probed for
/// PAGE_READONLY or PAGE_READWRITE access first. Returns: a handle for MmUnsecureVirtualMemory, NULL where a
/// page does not allow that access. A change of protection that leaves it is allowed.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/MmSecureVirtualMemory.
NT_EXPORT(MmSecureVirtualMemory, nt::AtMost(APC_LEVEL), Full, "MmUser.Secure*");
extern "C" HANDLE NTAPI MmSecureVirtualMemory(PVOID Address, SIZE_T Size, ULONG ProbeMode) {
  const ULONG64 first = mm::Va(Address) & ~(kPageSize - 1);
  const ULONG64 pages = mm::PagesFor(mm::Va(Address) - first + Size);
  if (Size == 0 || !IsUserRange(mm::Va(Address), Size)) return nullptr;
  if (ProbeMode != PAGE_READONLY && ProbeMode != PAGE_READWRITE) return nullptr;
  mm::AddressSpace* space = mm::EnsureCurrentSpace();
  if (space == nullptr) return nullptr;
  auto* record =
      static_cast<SecureRecord*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(SecureRecord), kSecureTag));
  if (record == nullptr) return nullptr;
  *record = {
      {}, first, pages, reinterpret_cast<PEPROCESS>(PsGetCurrentProcess()), ProbeMode == PAGE_READWRITE};
  {
    mm::SleepGuard guard(space->lock);
    InsertTailList(&space->secured, &record->link);
  }
  const Access access = ProbeMode == PAGE_READWRITE ? Access::kWrite : Access::kRead;
  for (ULONG64 i = 0; i < pages; ++i) {
    if (NT_SUCCESS(mm::ResolveFault(first + i * kPageSize, access))) continue;
    MmUnsecureVirtualMemory(record);
    return nullptr;
  }
  return record;
}

/// Undoes MmSecureVirtualMemory, in the same process.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/MmUnsecureVirtualMemory.
NT_EXPORT(MmUnsecureVirtualMemory, nt::AtMost(APC_LEVEL), Full, "MmUser.Secure*");
extern "C" VOID NTAPI MmUnsecureVirtualMemory(HANDLE SecureHandle) {
  mm::AddressSpace* space = mm::EnsureCurrentSpace();
  if (space == nullptr) return;
  {
    mm::SleepGuard guard(space->lock);
    RemoveEntryList(&static_cast<SecureRecord*>(SecureHandle)->link);
  }
  ExFreePoolWithTag(SecureHandle, kSecureTag);
}

/// Copies between the memory of two processes (or system memory).
/// Returns: STATUS_ACCESS_VIOLATION where an address has no memory that allows it, STATUS_PARTIAL_COPY when
/// part was copied before; *ReturnSize is how much.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented; used by many drivers.
NT_EXPORT(MmCopyVirtualMemory, nt::AtMost(APC_LEVEL), Full, "MmUser.CopyBetweenProcesses*");
extern "C" NTSTATUS NTAPI MmCopyVirtualMemory(PEPROCESS SourceProcess, const VOID* SourceAddress,
                                              PEPROCESS TargetProcess, PVOID TargetAddress, SIZE_T BufferSize,
                                              KPROCESSOR_MODE PreviousMode, PSIZE_T ReturnSize) {
  *ReturnSize = 0;
  if (PreviousMode == UserMode &&
      (!IsUserRange(mm::Va(SourceAddress), BufferSize) || !IsUserRange(mm::Va(TargetAddress), BufferSize))) {
    return STATUS_ACCESS_VIOLATION;
  }
  auto* buffer = static_cast<PUCHAR>(ExAllocatePoolWithTag(NonPagedPoolNx, kPageSize, kSecureTag));
  if (buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  NTSTATUS status = STATUS_SUCCESS;
  while (NT_SUCCESS(status) && *ReturnSize < BufferSize) {
    const SIZE_T left = BufferSize - *ReturnSize;
    const SIZE_T part = left < kPageSize ? left : kPageSize;
    SIZE_T read = 0;
    SIZE_T written = 0;
    status = CopyInProcess(SourceProcess, mm::Va(SourceAddress) + *ReturnSize, buffer, part, false, &read);
    const NTSTATUS second =
        CopyInProcess(TargetProcess, mm::Va(TargetAddress) + *ReturnSize, buffer, read, true, &written);
    if (NT_SUCCESS(status)) status = second;
    *ReturnSize += written;
  }
  ExFreePoolWithTag(buffer, kSecureTag);
  return !NT_SUCCESS(status) && *ReturnSize != 0 ? STATUS_PARTIAL_COPY : status;
}
