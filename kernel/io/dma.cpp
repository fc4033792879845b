// Adapters of bus-master devices. A device reaches memory by its physical addresses, so nothing is mapped or
// copied.
#include "io_internal.h"
#include "nt/export.h"

namespace io {
namespace {

constexpr ULONG kDmaTag = ' amD';
constexpr ULONG64 kFourGigabytes = 0x100000000;

// What a driver holds; ours behind the public part.
struct Adapter {
  DMA_ADAPTER adapter;
  ULONG64 highest;  // address that the device can form
  ULONG maximum_length;
};

Adapter* Of(PDMA_ADAPTER adapter) {
  return CONTAINING_RECORD(adapter, Adapter, adapter);
}

VOID NTAPI PutDmaAdapter(PDMA_ADAPTER adapter) {
  ExFreePoolWithTag(Of(adapter), kDmaTag);
}

PVOID NTAPI AllocateCommonBuffer(PDMA_ADAPTER adapter, ULONG length, PPHYSICAL_ADDRESS logical, BOOLEAN) {
  PHYSICAL_ADDRESS highest;
  highest.QuadPart = static_cast<LONGLONG>(Of(adapter)->highest);
  PVOID buffer = MmAllocateContiguousMemory(length, highest);
  if (buffer != nullptr) *logical = MmGetPhysicalAddress(buffer);
  return buffer;
}

VOID NTAPI FreeCommonBuffer(PDMA_ADAPTER, ULONG, PHYSICAL_ADDRESS, PVOID buffer, BOOLEAN) {
  MmFreeContiguousMemory(buffer);
}

// There are no map registers to wait for: the routine is called at once.
NTSTATUS NTAPI AllocateAdapterChannel(PDMA_ADAPTER, PDEVICE_OBJECT device, ULONG, PDRIVER_CONTROL routine,
                                      PVOID context) {
  routine(device, device->CurrentIrp, nullptr, context);
  return STATUS_SUCCESS;
}

BOOLEAN NTAPI FlushAdapterBuffers(PDMA_ADAPTER, PMDL, PVOID, PVOID, ULONG, BOOLEAN) {
  return TRUE;  // the processors' caches are coherent
}

VOID NTAPI FreeAdapterChannel(PDMA_ADAPTER) {}

VOID NTAPI FreeMapRegisters(PDMA_ADAPTER, PVOID, ULONG) {}

// Walks the physically contiguous pieces of a part of a chain of MDLs; false: the chain ends before it.
// `visit` gets address and length; false from it ends the walk.
template <typename Visit>
bool VisitPieces(PMDL mdl, PVOID current, ULONG length, Visit visit) {
  ULONG_PTR skip =
      reinterpret_cast<ULONG_PTR>(current) - reinterpret_cast<ULONG_PTR>(MmGetMdlVirtualAddress(mdl));
  ULONG64 start = 0, bytes = 0;
  for (; mdl != nullptr && length != 0; mdl = mdl->Next, skip = 0) {
    const PFN_NUMBER* pages = MmGetMdlPfnArray(mdl);
    for (ULONG_PTR at = skip; at < MmGetMdlByteCount(mdl) && length != 0;) {
      const ULONG_PTR place = MmGetMdlByteOffset(mdl) + at;
      const ULONG64 address =
          (static_cast<ULONG64>(pages[place / PAGE_SIZE]) * PAGE_SIZE) + place % PAGE_SIZE;
      ULONG_PTR piece = PAGE_SIZE - place % PAGE_SIZE;
      if (piece > MmGetMdlByteCount(mdl) - at) piece = MmGetMdlByteCount(mdl) - at;
      if (piece > length) piece = length;
      if (bytes != 0 && start + bytes != address) {
        if (!visit(start, bytes)) return true;
        bytes = 0;
      }
      if (bytes == 0) start = address;
      bytes += piece;
      at += piece;
      length -= static_cast<ULONG>(piece);
    }
  }
  if (bytes != 0) visit(start, bytes);
  return length == 0;
}

PHYSICAL_ADDRESS NTAPI MapTransfer(PDMA_ADAPTER, PMDL mdl, PVOID, PVOID current, PULONG length, BOOLEAN) {
  PHYSICAL_ADDRESS first = {};
  VisitPieces(mdl, current, *length, [&](ULONG64 start, ULONG64 bytes) {
    first.QuadPart = static_cast<LONGLONG>(start);
    *length = static_cast<ULONG>(bytes);
    return false;
  });
  return first;
}

ULONG NTAPI GetDmaAlignment(PDMA_ADAPTER) {
  return 1;
}

ULONG NTAPI ReadDmaCounter(PDMA_ADAPTER) {
  return 0;  // a bus master counts for itself
}

ULONG ListSize(ULONG elements) {
  return FIELD_OFFSET(SCATTER_GATHER_LIST, Elements) + elements * sizeof(SCATTER_GATHER_ELEMENT);
}

NTSTATUS NTAPI CalculateScatterGatherList(PDMA_ADAPTER, PMDL mdl, PVOID current, ULONG length, PULONG size,
                                          PULONG registers) {
  const ULONG pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(current, length);
  ULONG elements = pages;
  if (mdl != nullptr) {
    elements = 0;
    const auto count = [&](ULONG64, ULONG64) { return ++elements != 0; };
    if (!VisitPieces(mdl, current, length, count)) return STATUS_BUFFER_TOO_SMALL;
  }
  *size = ListSize(elements);
  if (registers != nullptr) *registers = pages;
  return STATUS_SUCCESS;
}

NTSTATUS NTAPI BuildScatterGatherList(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, PMDL mdl, PVOID current,
                                      ULONG length, PDRIVER_LIST_CONTROL routine, PVOID context, BOOLEAN,
                                      PVOID buffer, ULONG room) {
  ULONG needed;
  const NTSTATUS status = CalculateScatterGatherList(adapter, mdl, current, length, &needed, nullptr);
  if (!NT_SUCCESS(status)) return status;
  if (room < needed) return STATUS_BUFFER_TOO_SMALL;
  auto* list = static_cast<PSCATTER_GATHER_LIST>(buffer);
  list->NumberOfElements = 0;
  list->Reserved = 0;
  bool reachable = true;
  VisitPieces(mdl, current, length, [&](ULONG64 start, ULONG64 bytes) {
    SCATTER_GATHER_ELEMENT& element = list->Elements[list->NumberOfElements++];
    element.Address.QuadPart = static_cast<LONGLONG>(start);
    element.Length = static_cast<ULONG>(bytes);
    element.Reserved = 0;
    reachable = reachable && start + bytes - 1 <= Of(adapter)->highest;
    return true;
  });
  if (!reachable) return STATUS_INSUFFICIENT_RESOURCES;
  routine(device, device->CurrentIrp, list, context);
  return STATUS_SUCCESS;
}

VOID NTAPI PutScatterGatherList(PDMA_ADAPTER, PSCATTER_GATHER_LIST list, BOOLEAN) {
  ExFreePoolWithTag(list, kDmaTag);
}

NTSTATUS NTAPI GetScatterGatherList(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, PMDL mdl, PVOID current,
                                    ULONG length, PDRIVER_LIST_CONTROL routine, PVOID context,
                                    BOOLEAN write) {
  ULONG size;
  NTSTATUS status = CalculateScatterGatherList(adapter, mdl, current, length, &size, nullptr);
  if (!NT_SUCCESS(status)) return status;
  PVOID list = ExAllocatePoolWithTag(NonPagedPoolNx, size, kDmaTag);
  if (list == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  status = BuildScatterGatherList(adapter, device, mdl, current, length, routine, context, write, list, size);
  if (!NT_SUCCESS(status)) ExFreePoolWithTag(list, kDmaTag);
  return status;
}

// The list has the pages' own addresses, so the MDL of it is the one it was made of.
NTSTATUS NTAPI BuildMdlFromScatterGatherList(PDMA_ADAPTER, PSCATTER_GATHER_LIST, PMDL original,
                                             PMDL* target) {
  *target = original;
  return STATUS_SUCCESS;
}

constinit DMA_OPERATIONS g_operations = {sizeof(DMA_OPERATIONS),
                                         PutDmaAdapter,
                                         AllocateCommonBuffer,
                                         FreeCommonBuffer,
                                         AllocateAdapterChannel,
                                         FlushAdapterBuffers,
                                         FreeAdapterChannel,
                                         FreeMapRegisters,
                                         MapTransfer,
                                         GetDmaAlignment,
                                         ReadDmaCounter,
                                         GetScatterGatherList,
                                         PutScatterGatherList,
                                         CalculateScatterGatherList,
                                         BuildScatterGatherList,
                                         BuildMdlFromScatterGatherList};

}  // namespace
}  // namespace io

/// The adapter of a bus-master device: buffers that it shares with its driver, and the addresses of others.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: devices that are no bus masters, and version 3 of the description, have no adapter (0); a
/// device of 32 bits is refused memory above 4 GiB, where Windows copies.
/// Source: WDK wdm/IoGetDmaAdapter.
NT_EXPORT(IoGetDmaAdapter, nt::AtMost(PASSIVE_LEVEL), Partial, "IoDma.*");
extern "C" PDMA_ADAPTER NTAPI IoGetDmaAdapter(PDEVICE_OBJECT, PDEVICE_DESCRIPTION DeviceDescription,
                                              PULONG NumberOfMapRegisters) {
  if (DeviceDescription->Version > DEVICE_DESCRIPTION_VERSION2 || !DeviceDescription->Master) return nullptr;
  auto* adapter =
      static_cast<io::Adapter*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(io::Adapter), io::kDmaTag));
  if (adapter == nullptr) return nullptr;
  const bool wide = DeviceDescription->Dma64BitAddresses != FALSE;
  adapter->adapter = {1, sizeof(DMA_ADAPTER), &io::g_operations};
  adapter->highest = wide ? MAXULONG64 >> 1 : io::kFourGigabytes - 1;
  adapter->maximum_length = DeviceDescription->MaximumLength;
  *NumberOfMapRegisters = BYTES_TO_PAGES(DeviceDescription->MaximumLength) + 1;
  return &adapter->adapter;
}
