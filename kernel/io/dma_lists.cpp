// Scatter-gather lists: all of a transfer mapped at once.
#include "dma_internal.h"

namespace dma {
namespace {

// Behind the list's elements; SCATTER_GATHER_LIST.Reserved points here.
struct Header {
  Adapter* adapter;
  Register* group;
  Part part;
  bool write;
  bool owned;  // the memory is ours
  ULONG elements;
  PDRIVER_LIST_CONTROL routine;
  PVOID context;
};

ULONG HeaderOffset(ULONG elements) {
  const ULONG end = FIELD_OFFSET(SCATTER_GATHER_LIST, Elements) +
                    elements * static_cast<ULONG>(sizeof(SCATTER_GATHER_ELEMENT));
  return (end + alignof(Header) - 1) & ~static_cast<ULONG>(alignof(Header) - 1);
}

Header* HeaderOf(PSCATTER_GATHER_LIST list) {
  return reinterpret_cast<Header*>(list->Reserved);
}

void Fill(PSCATTER_GATHER_LIST list) {
  Header* header = HeaderOf(list);
  Part rest = header->part;
  list->NumberOfElements = 0;
  while (rest.length != 0 && list->NumberOfElements < header->elements) {
    Part next = rest;
    SCATTER_GATHER_ELEMENT& element = list->Elements[list->NumberOfElements++];
    element.Address.QuadPart =
        static_cast<LONGLONG>(Map(header->adapter, header->group, &next, header->write));
    element.Length = next.length;
    element.Reserved = 0;
    rest.offset += next.length;
    rest.length -= next.length;
  }
}

IO_ALLOCATION_ACTION NTAPI OnRegisters(PDEVICE_OBJECT device, PIRP irp, PVOID base, PVOID context) {
  auto* list = static_cast<PSCATTER_GATHER_LIST>(context);
  Header* header = HeaderOf(list);
  header->group = static_cast<Register*>(base);
  Fill(list);
  header->routine(device, irp, list, header->context);
  return DeallocateObjectKeepRegisters;
}

NTSTATUS Begin(Adapter* adapter, const ListWish& wish, PSCATTER_GATHER_LIST list, ULONG elements,
               ULONG registers, bool owned) {
  auto* header = reinterpret_cast<Header*>(reinterpret_cast<PUCHAR>(list) + HeaderOffset(elements));
  *header = {adapter, nullptr, wish.part, wish.write, owned, elements, wish.routine, wish.context};
  list->Reserved = reinterpret_cast<ULONG_PTR>(header);
  PVOID base = nullptr;
  const NTSTATUS status =
      Acquire(adapter, {registers, false, wish.now, wish.device,
                        wish.routine != nullptr ? OnRegisters : nullptr, list, wish.transfer, &base});
  if (!NT_SUCCESS(status) || wish.routine != nullptr) return status;
  header->group = static_cast<Register*>(base);
  Fill(list);
  *wish.list = list;
  return status;
}

}  // namespace

ULONG ListSize(ULONG elements) {
  return HeaderOffset(elements) + static_cast<ULONG>(sizeof(Header));
}

NTSTATUS GetList(Adapter* adapter, const ListWish& wish) {
  ULONG elements, registers;
  if (!Measure(adapter, wish.part, &elements, &registers)) return STATUS_BUFFER_TOO_SMALL;
  auto* list =
      static_cast<PSCATTER_GATHER_LIST>(ExAllocatePoolWithTag(NonPagedPoolNx, ListSize(elements), kTag));
  if (list == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const NTSTATUS status = Begin(adapter, wish, list, elements, registers, true);
  if (!NT_SUCCESS(status)) ExFreePoolWithTag(list, kTag);
  return status;
}

NTSTATUS BuildList(Adapter* adapter, const ListWish& wish, PVOID buffer, ULONG room) {
  ULONG elements, registers;
  if (!Measure(adapter, wish.part, &elements, &registers)) return STATUS_BUFFER_TOO_SMALL;
  if (room < ListSize(elements)) return STATUS_BUFFER_TOO_SMALL;
  return Begin(adapter, wish, static_cast<PSCATTER_GATHER_LIST>(buffer), elements, registers, false);
}

VOID NTAPI PutScatterGatherList(PDMA_ADAPTER, PSCATTER_GATHER_LIST list, BOOLEAN write) {
  Header* header = HeaderOf(list);
  Adapter* adapter = header->adapter;
  Register* group = header->group;
  Flush(adapter, group, header->part, write != FALSE);
  if (header->owned) ExFreePoolWithTag(list, kTag);
  if (group != nullptr) FreeGroup(adapter, group);
}

namespace {

// The pages that a list's elements name, behind a header for them; false: they do not make up one buffer.
bool FillPages(PSCATTER_GATHER_LIST list, PPFN_NUMBER pages, ULONG count) {
  ULONG page = 0;
  for (ULONG i = 0; i < list->NumberOfElements; ++i) {
    const SCATTER_GATHER_ELEMENT& element = list->Elements[i];
    const auto first = static_cast<ULONG64>(element.Address.QuadPart);
    const ULONG64 end = first + element.Length;
    if (i != 0 && first % PAGE_SIZE != 0) return false;
    if (i + 1 != list->NumberOfElements && end % PAGE_SIZE != 0) return false;
    for (ULONG64 at = first / PAGE_SIZE; at * PAGE_SIZE < end && page < count; ++at)
      pages[page++] = static_cast<PFN_NUMBER>(at);
  }
  return page == count;
}

}  // namespace

// Where nothing is bounced the pages are the original's.
NTSTATUS NTAPI BuildMdlFromScatterGatherList(PDMA_ADAPTER, PSCATTER_GATHER_LIST list, PMDL original,
                                             PMDL* target) {
  const Header* header = HeaderOf(list);
  *target = original;
  if (header->group == nullptr) return STATUS_SUCCESS;
  auto* address = static_cast<PUCHAR>(MmGetMdlVirtualAddress(original)) + header->part.offset;
  PMDL mdl = IoAllocateMdl(address, header->part.length, FALSE, FALSE, nullptr);
  if (mdl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  if (!FillPages(list, MmGetMdlPfnArray(mdl), ADDRESS_AND_SIZE_TO_SPAN_PAGES(address, header->part.length))) {
    IoFreeMdl(mdl);
    return STATUS_NOT_SUPPORTED;
  }
  mdl->MdlFlags |= MDL_PAGES_LOCKED;
  *target = mdl;
  return STATUS_SUCCESS;
}

}  // namespace dma
