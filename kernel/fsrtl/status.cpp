// Statuses that file systems expect, memory by exception.
#include "fsrtl_internal.h"

namespace fsrtl {

PVOID AllocateOrRaise(POOL_TYPE type, SIZE_T bytes, ULONG tag) {
  PVOID memory = ExAllocatePoolWithTag(type, bytes, tag);
  if (memory == nullptr) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
  return memory;
}

}  // namespace fsrtl

/// Whether a file system's exception handler may take a status as an answer: not a fault of its own code.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlIsNtstatusExpected.
NT_EXPORT(FsRtlIsNtstatusExpected, nt::AnyIrql(), Full, "FsRtlStatus.*");
extern "C" BOOLEAN NTAPI FsRtlIsNtstatusExpected(NTSTATUS Ntstatus) {
  switch (Ntstatus) {
    case STATUS_DATATYPE_MISALIGNMENT:
    case STATUS_ACCESS_VIOLATION:
    case STATUS_ILLEGAL_INSTRUCTION:
    case STATUS_INSTRUCTION_MISALIGNMENT:
      return FALSE;
    default:
      return TRUE;
  }
}

/// The status if it is expected, GenericException if not.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNormalizeNtstatus.
NT_EXPORT(FsRtlNormalizeNtstatus, nt::AnyIrql(), Full, "FsRtlStatus.*");
extern "C" NTSTATUS NTAPI FsRtlNormalizeNtstatus(NTSTATUS Exception, NTSTATUS GenericException) {
  return FsRtlIsNtstatusExpected(Exception) ? Exception : GenericException;
}

/// Whether a status says that a device has failed altogether.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlIsTotalDeviceFailure.
NT_EXPORT(FsRtlIsTotalDeviceFailure, nt::AnyIrql(), Full, "FsRtlStatus.*");
extern "C" BOOLEAN NTAPI FsRtlIsTotalDeviceFailure(NTSTATUS Status) {
  if (NT_SUCCESS(Status)) return FALSE;
  switch (Status) {
    case STATUS_CRC_ERROR:
    case STATUS_DEVICE_DATA_ERROR:
      return FALSE;  // a part of the device cannot be read
    default:
      return TRUE;
  }
}

/// Memory of a pool; raises STATUS_INSUFFICIENT_RESOURCES where there is none.
/// IRQL: <= APC_LEVEL; nonpaged pool <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAllocatePool.
NT_EXPORT(FsRtlAllocatePool, nt::AtMost(DISPATCH_LEVEL), Full, "FsRtlStatus.*");
extern "C" PVOID NTAPI FsRtlAllocatePool(POOL_TYPE PoolType, ULONG NumberOfBytes) {
  return fsrtl::AllocateOrRaise(PoolType, NumberOfBytes);
}

/// The same with a tag.
/// IRQL: <= APC_LEVEL; nonpaged pool <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAllocatePoolWithTag.
NT_EXPORT(FsRtlAllocatePoolWithTag, nt::AtMost(DISPATCH_LEVEL), Full, "FsRtlStatus.*");
extern "C" PVOID NTAPI FsRtlAllocatePoolWithTag(POOL_TYPE PoolType, ULONG NumberOfBytes, ULONG Tag) {
  return fsrtl::AllocateOrRaise(PoolType, NumberOfBytes, Tag);
}
