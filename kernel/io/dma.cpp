// IoGetDmaAdapter, and the functions of versions 1 and 2 that its adapters have.
#include "dma_internal.h"
#include "nt/export.h"

extern "C" ULONG64 MmHighestPhysicalPage;

namespace dma {

VOID NTAPI PutScatterGatherList(PDMA_ADAPTER adapter, PSCATTER_GATHER_LIST list, BOOLEAN write);
NTSTATUS NTAPI BuildMdlFromScatterGatherList(PDMA_ADAPTER adapter, PSCATTER_GATHER_LIST list, PMDL original,
                                             PMDL* target);

PVOID AllocateCommon(Adapter* adapter, ULONG length, ULONG64 lowest, ULONG64 highest,
                     MEMORY_CACHING_TYPE type, PPHYSICAL_ADDRESS logical) {
  PHYSICAL_ADDRESS low, high;
  const PHYSICAL_ADDRESS boundary = {};
  low.QuadPart = static_cast<LONGLONG>(lowest);
  high.QuadPart = static_cast<LONGLONG>(highest < adapter->highest ? highest : adapter->highest);
  PVOID buffer = MmAllocateContiguousMemorySpecifyCache(length, low, high, boundary, type);
  if (buffer != nullptr) *logical = MmGetPhysicalAddress(buffer);
  return buffer;
}

namespace {

VOID NTAPI PutDmaAdapter(PDMA_ADAPTER adapter) {
  DestroyRegisters(Of(adapter));
  ExFreePoolWithTag(Of(adapter), kTag);
}

// The processors' caches are coherent with devices: all memory may be cached.
PVOID NTAPI AllocateCommonBuffer(PDMA_ADAPTER adapter, ULONG length, PPHYSICAL_ADDRESS logical, BOOLEAN) {
  return AllocateCommon(Of(adapter), length, 0, MAXULONG64, MmCached, logical);
}

VOID NTAPI FreeCommonBuffer(PDMA_ADAPTER, ULONG, PHYSICAL_ADDRESS, PVOID buffer, BOOLEAN) {
  MmFreeContiguousMemory(buffer);
}

NTSTATUS NTAPI AllocateAdapterChannel(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, ULONG registers,
                                      PDRIVER_CONTROL routine, PVOID context) {
  return Acquire(Of(adapter), {registers, true, false, device, routine, context, nullptr, nullptr});
}

BOOLEAN NTAPI FlushAdapterBuffers(PDMA_ADAPTER adapter, PMDL mdl, PVOID base, PVOID current, ULONG length,
                                  BOOLEAN write) {
  Flush(Of(adapter), static_cast<Register*>(base), {mdl, OffsetOf(mdl, current), length}, write != FALSE);
  return TRUE;
}

VOID NTAPI FreeAdapterChannel(PDMA_ADAPTER adapter) {
  ReleaseAdapter(Of(adapter), false);
}

VOID NTAPI FreeMapRegisters(PDMA_ADAPTER adapter, PVOID base, ULONG) {
  FreeGroup(Of(adapter), static_cast<Register*>(base));
}

PHYSICAL_ADDRESS NTAPI MapTransfer(PDMA_ADAPTER adapter, PMDL mdl, PVOID base, PVOID current, PULONG length,
                                   BOOLEAN write) {
  Part part = {mdl, OffsetOf(mdl, current), *length};
  PHYSICAL_ADDRESS logical;
  logical.QuadPart =
      static_cast<LONGLONG>(Map(Of(adapter), static_cast<Register*>(base), &part, write != FALSE));
  *length = part.length;
  return logical;
}

ULONG NTAPI GetDmaAlignment(PDMA_ADAPTER) {
  return 1;
}

ULONG NTAPI ReadDmaCounter(PDMA_ADAPTER) {
  return 0;  // a bus master counts for itself
}

ListWish WishOf(PDEVICE_OBJECT device, PMDL mdl, PVOID current, ULONG length, PDRIVER_LIST_CONTROL routine,
                PVOID context, BOOLEAN write) {
  const Part part = {mdl, OffsetOf(mdl, current), length};
  return {part, write != FALSE, false, device, routine, context, nullptr, nullptr};
}

NTSTATUS NTAPI GetScatterGatherList(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, PMDL mdl, PVOID current,
                                    ULONG length, PDRIVER_LIST_CONTROL routine, PVOID context,
                                    BOOLEAN write) {
  return GetList(Of(adapter), WishOf(device, mdl, current, length, routine, context, write));
}

// Without an MDL, for the worst case: every page on its own.
NTSTATUS NTAPI CalculateScatterGatherList(PDMA_ADAPTER adapter, PMDL mdl, PVOID current, ULONG length,
                                          PULONG size, PULONG registers) {
  const ULONG pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(current, length);
  ULONG elements = pages, needed;
  if (mdl != nullptr && !Measure(Of(adapter), {mdl, OffsetOf(mdl, current), length}, &elements, &needed))
    return STATUS_BUFFER_TOO_SMALL;
  *size = ListSize(elements);
  if (registers != nullptr) *registers = pages;
  return STATUS_SUCCESS;
}

NTSTATUS NTAPI BuildScatterGatherList(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, PMDL mdl, PVOID current,
                                      ULONG length, PDRIVER_LIST_CONTROL routine, PVOID context,
                                      BOOLEAN write, PVOID buffer, ULONG room) {
  return BuildList(Of(adapter), WishOf(device, mdl, current, length, routine, context, write), buffer, room);
}

void FillVersion2(PDMA_OPERATIONS operations) {
  operations->PutDmaAdapter = PutDmaAdapter;
  operations->AllocateCommonBuffer = AllocateCommonBuffer;
  operations->FreeCommonBuffer = FreeCommonBuffer;
  operations->AllocateAdapterChannel = AllocateAdapterChannel;
  operations->FlushAdapterBuffers = FlushAdapterBuffers;
  operations->FreeAdapterChannel = FreeAdapterChannel;
  operations->FreeMapRegisters = FreeMapRegisters;
  operations->MapTransfer = MapTransfer;
  operations->GetDmaAlignment = GetDmaAlignment;
  operations->ReadDmaCounter = ReadDmaCounter;
  operations->GetScatterGatherList = GetScatterGatherList;
  operations->PutScatterGatherList = PutScatterGatherList;
  operations->CalculateScatterGatherList = CalculateScatterGatherList;
  operations->BuildScatterGatherList = BuildScatterGatherList;
  operations->BuildMdlFromScatterGatherList = BuildMdlFromScatterGatherList;
}

DMA_OPERATIONS g_operations[3];  // of versions 1 to 3
volatile LONG g_filled;

// Whoever comes at the same time writes the same.
PDMA_OPERATIONS OperationsOf(ULONG version) {
  if (InterlockedCompareExchange(&g_filled, 0, 0) == 0) {
    for (DMA_OPERATIONS& operations : g_operations) FillVersion2(&operations);
    g_operations[0].Size = FIELD_OFFSET(DMA_OPERATIONS, CalculateScatterGatherList);
    g_operations[1].Size = FIELD_OFFSET(DMA_OPERATIONS, GetDmaAdapterInfo);
    FillVersion3(&g_operations[2]);
    InterlockedExchange(&g_filled, 1);
  }
  return &g_operations[version - 1];
}

ULONG WidthOf(const DEVICE_DESCRIPTION& description) {
  if (description.Version == DEVICE_DESCRIPTION_VERSION3) return description.DmaAddressWidth;
  if (description.Dma64BitAddresses) return 64;
  const bool pci = description.ScatterGather && description.InterfaceType == PCIBus;
  return description.Dma32BitAddresses || pci ? 32 : 24;  // 24: an ISA bus master
}

}  // namespace
}  // namespace dma

/// The adapter of a bus-master device: buffers that it shares with its driver, and the addresses of others.
/// What the device cannot reach is copied through map registers. 0: the device is no bus master (the machine
/// has no DMA controller that it could use), or there is no memory.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; there is no IOMMU, so devices are in no DMA domain.
/// Source: WDK wdm/IoGetDmaAdapter.
NT_EXPORT(IoGetDmaAdapter, nt::AtMost(PASSIVE_LEVEL), Full, "IoDma.* IoDmaVersion3.*");
extern "C" PDMA_ADAPTER NTAPI IoGetDmaAdapter(PDEVICE_OBJECT, PDEVICE_DESCRIPTION DeviceDescription,
                                              PULONG NumberOfMapRegisters) {
  const ULONG version = DeviceDescription->Version;
  if (version > DEVICE_DESCRIPTION_VERSION3 || !DeviceDescription->Master) return nullptr;
  const ULONG width = dma::WidthOf(*DeviceDescription);
  if (width == 0 || width > 64) return nullptr;
  auto* adapter =
      static_cast<dma::Adapter*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(dma::Adapter), dma::kTag));
  if (adapter == nullptr) return nullptr;
  RtlZeroMemory(adapter, sizeof(*adapter));
  const ULONG number = version == 0 ? 1 : version;
  adapter->adapter = {static_cast<USHORT>(number), sizeof(DMA_ADAPTER), dma::OperationsOf(number)};
  adapter->width = width;
  adapter->highest = width == 64 ? MAXULONG64 >> 1 : (1ull << width) - 1;
  adapter->scatter = DeviceDescription->ScatterGather != FALSE;
  KeInitializeSpinLock(&adapter->lock);
  InitializeListHead(&adapter->waiting);
  const ULONG wanted = DeviceDescription->MaximumLength / PAGE_SIZE + 2;
  const bool bounces = !adapter->scatter || adapter->highest / PAGE_SIZE < MmHighestPhysicalPage;
  if (bounces && !dma::CreateRegisters(adapter, wanted)) {
    ExFreePoolWithTag(adapter, dma::kTag);
    return nullptr;
  }
  adapter->limit = bounces ? adapter->count : wanted;
  *NumberOfMapRegisters = adapter->limit;
  return &adapter->adapter;
}
