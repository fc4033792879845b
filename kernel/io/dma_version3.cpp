// The functions that version 3 of DMA_OPERATIONS adds.
#include "dma_internal.h"

namespace dma {
namespace {

// What we keep in a driver's DmaTransferContext.
struct Transfer {
  ULONG mark;
  PDMA_ADAPTER adapter;
};
constexpr ULONG kTransferMark = 'xTmD';
static_assert(sizeof(Transfer) <= DMA_TRANSFER_CONTEXT_SIZE_V1);

constexpr ULONG64 kMostBytes = MAXULONG;

NTSTATUS NTAPI GetDmaAdapterInfo(PDMA_ADAPTER adapter, PDMA_ADAPTER_INFO info) {
  if (info->Version != DMA_ADAPTER_INFO_VERSION1) return STATUS_NOT_SUPPORTED;
  info->V1 = {FALSE, Of(adapter)->scatter ? MAXULONG : 1, Of(adapter)->width,
              ADAPTER_INFO_SYNCHRONOUS_CALLBACK, 1};
  return STATUS_SUCCESS;
}

NTSTATUS NTAPI GetDmaTransferInfo(PDMA_ADAPTER adapter, PMDL mdl, ULONGLONG offset, ULONG length, BOOLEAN,
                                  PDMA_TRANSFER_INFO info) {
  if (info->Version != DMA_TRANSFER_INFO_VERSION1 && info->Version != DMA_TRANSFER_INFO_VERSION2)
    return STATUS_NOT_SUPPORTED;
  ULONG elements, registers;
  if (!Measure(Of(adapter), {mdl, offset, length}, &elements, &registers)) return STATUS_INVALID_PARAMETER;
  const ULONG64 start = MmGetMdlByteOffset(mdl) + offset;
  const ULONG pages = static_cast<ULONG>((start % PAGE_SIZE + length + PAGE_SIZE - 1) / PAGE_SIZE);
  info->V1 = {registers, elements, ListSize(elements)};
  if (info->Version == DMA_TRANSFER_INFO_VERSION2) info->V2.LogicalPageCount = pages;
  return STATUS_SUCCESS;
}

NTSTATUS NTAPI InitializeDmaTransferContext(PDMA_ADAPTER adapter, PVOID context) {
  if (context == nullptr) return STATUS_INVALID_PARAMETER;
  RtlZeroMemory(context, DMA_TRANSFER_CONTEXT_SIZE_V1);
  *static_cast<Transfer*>(context) = {kTransferMark, adapter};
  return STATUS_SUCCESS;
}

bool IsTransfer(PDMA_ADAPTER adapter, PVOID context) {
  const auto* transfer = static_cast<const Transfer*>(context);
  return transfer != nullptr && transfer->mark == kTransferMark && transfer->adapter == adapter;
}

PVOID NTAPI AllocateCommonBufferEx(PDMA_ADAPTER adapter, PPHYSICAL_ADDRESS highest, ULONG length,
                                   PPHYSICAL_ADDRESS logical, BOOLEAN, ULONG) {
  const ULONG64 high = highest != nullptr ? static_cast<ULONG64>(highest->QuadPart) : MAXULONG64;
  return AllocateCommon(Of(adapter), length, 0, high, MmCached, logical);
}

NTSTATUS NTAPI AllocateAdapterChannelEx(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, PVOID context,
                                        ULONG registers, ULONG flags, PDRIVER_CONTROL routine,
                                        PVOID routine_context, PVOID* base) {
  const bool now = (flags & DMA_SYNCHRONOUS_CALLBACK) != 0;
  if (!IsTransfer(adapter, context) || (flags & ~static_cast<ULONG>(DMA_SYNCHRONOUS_CALLBACK)) != 0)
    return STATUS_INVALID_PARAMETER;
  if ((routine == nullptr) != (base != nullptr) || (base != nullptr && !now)) return STATUS_INVALID_PARAMETER;
  return Acquire(Of(adapter), {registers, true, now, device, routine, routine_context, context, base});
}

// For the controllers of systems that have one.
NTSTATUS NTAPI ConfigureAdapterChannel(PDMA_ADAPTER, ULONG, PVOID) {
  return STATUS_NOT_IMPLEMENTED;
}

BOOLEAN NTAPI CancelAdapterChannel(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, PVOID context) {
  return Cancel(Of(adapter), device, context);
}

// Maps as many pieces as the list has room for; without a list, one. The completion routine is for transfers
// that a system's DMA controller ends.
NTSTATUS NTAPI MapTransferEx(PDMA_ADAPTER adapter, PMDL mdl, PVOID base, ULONGLONG offset, ULONG,
                             PULONG length, BOOLEAN write, PSCATTER_GATHER_LIST list, ULONG room,
                             PDMA_COMPLETION_ROUTINE, PVOID) {
  constexpr ULONG kFirst = FIELD_OFFSET(SCATTER_GATHER_LIST, Elements);
  const ULONG elements = list == nullptr ? 1
                         : room < kFirst ? 0
                                         : (room - kFirst) / sizeof(SCATTER_GATHER_ELEMENT);
  if (elements == 0 || *length == 0) return STATUS_INVALID_PARAMETER;
  ULONG done = 0, count = 0;
  while (done != *length && count < elements) {
    Part part = {mdl, offset + done, *length - done};
    const ULONG64 logical = Map(Of(adapter), static_cast<Register*>(base), &part, write != FALSE);
    if (part.length == 0) break;
    if (list != nullptr) {
      list->Elements[count].Address.QuadPart = static_cast<LONGLONG>(logical);
      list->Elements[count].Length = part.length;
      list->Elements[count].Reserved = 0;
    }
    ++count;
    done += part.length;
  }
  *length = done;
  if (list != nullptr) list->NumberOfElements = count;
  return done != 0 ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

// Whether a list's asker said where it is to go: to a routine, or by the pointer, at once.
bool IsListWish(PDMA_ADAPTER adapter, PVOID context, ULONG flags, PDRIVER_LIST_CONTROL routine,
                bool has_list) {
  const bool now = (flags & DMA_SYNCHRONOUS_CALLBACK) != 0;
  if (!IsTransfer(adapter, context) || (flags & ~static_cast<ULONG>(DMA_SYNCHRONOUS_CALLBACK)) != 0)
    return false;
  return routine != nullptr || (now && has_list);
}

NTSTATUS NTAPI GetScatterGatherListEx(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, PVOID context, PMDL mdl,
                                      ULONGLONG offset, ULONG length, ULONG flags,
                                      PDRIVER_LIST_CONTROL routine, PVOID routine_context, BOOLEAN write,
                                      PDMA_COMPLETION_ROUTINE, PVOID, PSCATTER_GATHER_LIST* list) {
  if (!IsListWish(adapter, context, flags, routine, list != nullptr)) return STATUS_INVALID_PARAMETER;
  const bool now = (flags & DMA_SYNCHRONOUS_CALLBACK) != 0;
  return GetList(
      Of(adapter),
      {{mdl, offset, length}, write != FALSE, now, device, routine, routine_context, context, list});
}

NTSTATUS NTAPI BuildScatterGatherListEx(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, PVOID context, PMDL mdl,
                                        ULONGLONG offset, ULONG length, ULONG flags,
                                        PDRIVER_LIST_CONTROL routine, PVOID routine_context, BOOLEAN write,
                                        PVOID buffer, ULONG room, PDMA_COMPLETION_ROUTINE, PVOID,
                                        PVOID list) {
  if (!IsListWish(adapter, context, flags, routine, list != nullptr)) return STATUS_INVALID_PARAMETER;
  const ListWish wish = {
      {mdl, offset, length}, write != FALSE, (flags & DMA_SYNCHRONOUS_CALLBACK) != 0, device, routine,
      routine_context,       context,        static_cast<PSCATTER_GATHER_LIST*>(list)};
  return BuildList(Of(adapter), wish, buffer, room);
}

NTSTATUS NTAPI FlushAdapterBuffersEx(PDMA_ADAPTER adapter, PMDL mdl, PVOID base, ULONGLONG offset,
                                     ULONG length, BOOLEAN write) {
  Flush(Of(adapter), static_cast<Register*>(base), {mdl, offset, length}, write != FALSE);
  return STATUS_SUCCESS;
}

VOID NTAPI FreeAdapterObject(PDMA_ADAPTER adapter, IO_ALLOCATION_ACTION action) {
  if (action != KeepObject) ReleaseAdapter(Of(adapter), action == DeallocateObjectKeepRegisters);
}

// For transfers of a system's DMA controller; a bus master's is not ours to stop.
NTSTATUS NTAPI CancelMappedTransfer(PDMA_ADAPTER, PVOID) {
  return STATUS_NOT_SUPPORTED;
}

// ---- Domains: without an IOMMU there is none ----
PVOID NTAPI AllocateCommonBufferWithBounds(PDMA_ADAPTER adapter, PPHYSICAL_ADDRESS lowest,
                                           PPHYSICAL_ADDRESS highest, ULONG length, ULONG,
                                           MEMORY_CACHING_TYPE* type, ULONG, PPHYSICAL_ADDRESS logical) {
  const ULONG64 low = lowest != nullptr ? static_cast<ULONG64>(lowest->QuadPart) : 0;
  const ULONG64 high = highest != nullptr ? static_cast<ULONG64>(highest->QuadPart) : MAXULONG64;
  return AllocateCommon(Of(adapter), length, low, high, type != nullptr ? *type : MmCached, logical);
}

NTSTATUS NTAPI AllocateDomainCommonBuffer(PDMA_ADAPTER, HANDLE, PPHYSICAL_ADDRESS, ULONG, ULONG,
                                          MEMORY_CACHING_TYPE*, ULONG, PPHYSICAL_ADDRESS, PVOID*) {
  return STATUS_NOT_SUPPORTED;
}

NTSTATUS NTAPI FlushDmaBuffer(PDMA_ADAPTER, PMDL, BOOLEAN) {
  return STATUS_SUCCESS;  // the processors' caches are coherent
}

NTSTATUS NTAPI JoinDmaDomain(PDMA_ADAPTER, HANDLE) {
  return STATUS_NOT_SUPPORTED;
}

NTSTATUS NTAPI LeaveDmaDomain(PDMA_ADAPTER) {
  return STATUS_NOT_SUPPORTED;
}

HANDLE NTAPI GetDmaDomain(PDMA_ADAPTER) {
  return nullptr;
}

}  // namespace
}  // namespace dma

// Many common buffers at once.
struct _DMA_COMMON_BUFFER_VECTOR {
  ULONG count;
  struct {
    PVOID buffer;  // 0: freed
    PHYSICAL_ADDRESS logical;
  } elements[1];
};

namespace dma {
namespace {

VOID NTAPI FreeCommonBufferFromVector(PDMA_ADAPTER, PDMA_COMMON_BUFFER_VECTOR vector, ULONG index) {
  if (index >= vector->count || vector->elements[index].buffer == nullptr) return;
  MmFreeContiguousMemory(vector->elements[index].buffer);
  vector->elements[index].buffer = nullptr;
}

VOID NTAPI FreeCommonBufferVector(PDMA_ADAPTER adapter, PDMA_COMMON_BUFFER_VECTOR vector) {
  for (ULONG i = 0; i < vector->count; ++i) FreeCommonBufferFromVector(adapter, vector, i);
  ExFreePoolWithTag(vector, kTag);
}

NTSTATUS NTAPI AllocateCommonBufferVector(PDMA_ADAPTER adapter, PHYSICAL_ADDRESS lowest,
                                          PHYSICAL_ADDRESS highest, MEMORY_CACHING_TYPE type, ULONG, ULONG,
                                          ULONG count, ULONGLONG size, PDMA_COMMON_BUFFER_VECTOR* result) {
  *result = nullptr;
  if (count == 0 || count > kMostRegisters * 64 || size == 0 || size > kMostBytes)
    return STATUS_INVALID_PARAMETER;
  const SIZE_T bytes = sizeof(_DMA_COMMON_BUFFER_VECTOR) * count;
  auto* vector = static_cast<PDMA_COMMON_BUFFER_VECTOR>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kTag));
  if (vector == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(vector, bytes);
  for (; vector->count < count; ++vector->count) {
    auto& element = vector->elements[vector->count];
    element.buffer =
        AllocateCommon(Of(adapter), static_cast<ULONG>(size), static_cast<ULONG64>(lowest.QuadPart),
                       static_cast<ULONG64>(highest.QuadPart), type, &element.logical);
    if (element.buffer != nullptr) continue;
    FreeCommonBufferVector(adapter, vector);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  *result = vector;
  return STATUS_SUCCESS;
}

VOID NTAPI GetCommonBufferFromVectorByIndex(PDMA_ADAPTER, PDMA_COMMON_BUFFER_VECTOR vector, ULONG index,
                                            PVOID* buffer, PPHYSICAL_ADDRESS logical) {
  *buffer = index < vector->count ? vector->elements[index].buffer : nullptr;
  logical->QuadPart = *buffer != nullptr ? vector->elements[index].logical.QuadPart : 0;
}

}  // namespace

void FillVersion3(PDMA_OPERATIONS operations) {
  operations->Size = sizeof(DMA_OPERATIONS);
  operations->GetDmaAdapterInfo = GetDmaAdapterInfo;
  operations->GetDmaTransferInfo = GetDmaTransferInfo;
  operations->InitializeDmaTransferContext = InitializeDmaTransferContext;
  operations->AllocateCommonBufferEx = AllocateCommonBufferEx;
  operations->AllocateAdapterChannelEx = AllocateAdapterChannelEx;
  operations->ConfigureAdapterChannel = ConfigureAdapterChannel;
  operations->CancelAdapterChannel = CancelAdapterChannel;
  operations->MapTransferEx = MapTransferEx;
  operations->GetScatterGatherListEx = GetScatterGatherListEx;
  operations->BuildScatterGatherListEx = BuildScatterGatherListEx;
  operations->FlushAdapterBuffersEx = FlushAdapterBuffersEx;
  operations->FreeAdapterObject = FreeAdapterObject;
  operations->CancelMappedTransfer = CancelMappedTransfer;
  operations->AllocateDomainCommonBuffer = AllocateDomainCommonBuffer;
  operations->FlushDmaBuffer = FlushDmaBuffer;
  operations->JoinDmaDomain = JoinDmaDomain;
  operations->LeaveDmaDomain = LeaveDmaDomain;
  operations->GetDmaDomain = GetDmaDomain;
  operations->AllocateCommonBufferWithBounds = AllocateCommonBufferWithBounds;
  operations->AllocateCommonBufferVector = AllocateCommonBufferVector;
  operations->GetCommonBufferFromVectorByIndex = GetCommonBufferFromVectorByIndex;
  operations->FreeCommonBufferFromVector = FreeCommonBufferFromVector;
  operations->FreeCommonBufferVector = FreeCommonBufferVector;
}

}  // namespace dma
