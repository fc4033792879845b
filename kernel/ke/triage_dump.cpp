// The arrays in which KbCallbackTriageDumpData callbacks name memory.
#include "nt/triage_dump.h"

#include "nt/export.h"

namespace {
constexpr ULONG kMostData = 128 * 1024;
constexpr ULONG kHeader = FIELD_OFFSET(KTRIAGE_DUMP_DATA_ARRAY, Blocks);
}  // namespace

extern "C" {

/// Makes Size bytes an empty array of memory ranges.
/// Returns: STATUS_INVALID_PARAMETER where not even one range fits.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeTriageDumpDataArray.
NT_EXPORT(KeInitializeTriageDumpDataArray, nt::AnyIrql(), Full, "KeBugCheck.Triage*");
NTSTATUS NTAPI KeInitializeTriageDumpDataArray(PKTRIAGE_DUMP_DATA_ARRAY KtriageDumpDataArray, ULONG Size) {
  if (KtriageDumpDataArray == nullptr || Size < kHeader + sizeof(KADDRESS_RANGE))
    return STATUS_INVALID_PARAMETER;
  RtlZeroMemory(KtriageDumpDataArray, Size);
  InitializeListHead(&KtriageDumpDataArray->List);
  KtriageDumpDataArray->NumBlocksTotal = (Size - kHeader) / static_cast<ULONG>(sizeof(KADDRESS_RANGE));
  KtriageDumpDataArray->MaxDataSize = kMostData;
  return STATUS_SUCCESS;
}

/// Adds a range; one that begins where the last ended makes that longer.
/// Returns: STATUS_INVALID_PARAMETER for an empty range, STATUS_BUFFER_OVERFLOW when it would be too much
/// memory, STATUS_INSUFFICIENT_RESOURCES when the array is full.
/// IRQL: any.
/// Differs from NT: none known; the WDK names no statuses.
/// Source: WDK wdm/KeAddTriageDumpDataBlock.
NT_EXPORT(KeAddTriageDumpDataBlock, nt::AnyIrql(), Full, "KeBugCheck.Triage*");
NTSTATUS NTAPI KeAddTriageDumpDataBlock(PKTRIAGE_DUMP_DATA_ARRAY KtriageDumpDataArray, PVOID Address,
                                        SIZE_T Size) {
  if (KtriageDumpDataArray == nullptr || Address == nullptr || Size == 0) return STATUS_INVALID_PARAMETER;
  if (Size > KtriageDumpDataArray->MaxDataSize - KtriageDumpDataArray->DataSize)
    return STATUS_BUFFER_OVERFLOW;
  const ULONG used = KtriageDumpDataArray->NumBlocksUsed;
  KADDRESS_RANGE* last = used != 0 ? &KtriageDumpDataArray->Blocks[used - 1] : nullptr;
  if (last != nullptr && static_cast<UCHAR*>(last->Address) + last->Size == Address) {
    last->Size += Size;
  } else {
    if (used == KtriageDumpDataArray->NumBlocksTotal) return STATUS_INSUFFICIENT_RESOURCES;
    KtriageDumpDataArray->Blocks[used] = {Address, Size};
    KtriageDumpDataArray->NumBlocksUsed = used + 1;
  }
  KtriageDumpDataArray->DataSize += static_cast<ULONG>(Size);
  return STATUS_SUCCESS;
}

}  // extern "C"
