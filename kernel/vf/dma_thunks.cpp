// DMA checking (bug check 0xE6): the operations of a verified driver's adapters lead here, and on to the
// adapter's own.
#include "ke/spin_guard.h"
#include "verifier.h"

extern "C" {

// An adapter of a verified driver; the list VfDmaAdapters. It stays, released, until the driver is unloaded.
typedef struct _VF_DMA_ADAPTER {
  LIST_ENTRY Links;
  PDMA_ADAPTER Adapter;
  const DMA_OPERATIONS* Original;
  PVOID Caller;
  ULONG MapRegisters;  // that it may have at once
  LONG CommonBuffers;
  LONG Channels;
  LONG HeldRegisters;
  LONG Lists;
  LONG MappedBytes;  // by MapTransfer, not flushed
  BOOLEAN Released;
  UCHAR Operations[512];  // a DMA_OPERATIONS of any version
} VF_DMA_ADAPTER, *PVF_DMA_ADAPTER;
LIST_ENTRY VfDmaAdapters = {&VfDmaAdapters, &VfDmaAdapters};
}

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)
constexpr ULONG kDmaViolation = 0xE6;
constexpr ULONG kExtraBuffers = 0x03, kExtraChannels = 0x04, kExtraRegisters = 0x05, kExtraLists = 0x06,
                kBuffersLeft = 0x07, kChannelsLeft = 0x08, kRegistersLeft = 0x09, kListsLeft = 0x0A,
                kTwoChannels = 0x0B, kNotFlushed = 0x0D, kNotLocked = 0x0E, kStillMapped = 0x10,
                kBadIrql = 0x13, kTooManyRegisters = 0x15, kReleasedAdapter = 0x18, kOutsideMdl = 0x1B,
                kZeroLength = 0x21;
KSPIN_LOCK g_lock;

[[noreturn]] void Violation(ULONG kind, ULONG_PTR p2 = 0, ULONG_PTR p3 = 0, ULONG_PTR p4 = 0) {
  VerifierBugCheckIfAppropriate(kDmaViolation, kind, p2, p3, p4);
}

PVF_DMA_ADAPTER Of(PDMA_ADAPTER adapter) {
  return CONTAINING_RECORD(adapter->DmaOperations, VF_DMA_ADAPTER, Operations);
}

// Every operation begins here: the adapter is alive, and the IRQL is one of these.
PVF_DMA_ADAPTER Begin(PDMA_ADAPTER adapter, KIRQL lowest, KIRQL highest) {
  PVF_DMA_ADAPTER own = Of(adapter);
  if (own->Released) Violation(kReleasedAdapter, Bits(adapter), Bits(own));
  const KIRQL irql = KeGetCurrentIrql();
  // 1: another is expected, 2: it is too high.
  if (irql < lowest) Violation(kBadIrql, 1, lowest, irql);
  if (irql > highest) Violation(kBadIrql, lowest == highest ? 1 : 2, highest, irql);
  return own;
}

LONG Add(LONG* counter, LONG change) {
  return __atomic_add_fetch(counter, change, __ATOMIC_SEQ_CST);
}

void CheckBuffer(PMDL mdl, PVOID current, ULONG length) {
  constexpr CSHORT kHasPages = MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL | MDL_IO_SPACE;
  if (length == 0) Violation(kZeroLength);
  if ((mdl->MdlFlags & kHasPages) == 0) Violation(kNotLocked, Bits(mdl));
  const ULONG_PTR start = Bits(MmGetMdlVirtualAddress(mdl));
  if (Bits(current) - start >= MmGetMdlByteCount(mdl)) Violation(kOutsideMdl, Bits(current), Bits(mdl));
}

VOID NTAPI PutAdapter(PDMA_ADAPTER adapter) {
  PVF_DMA_ADAPTER own = Begin(adapter, PASSIVE_LEVEL, DISPATCH_LEVEL);
  const auto left = [&](ULONG kind, LONG count) {
    if (count > 0) Violation(kind, Bits(adapter), static_cast<ULONG>(count), Bits(own));
  };
  left(kBuffersLeft, own->CommonBuffers);
  left(kChannelsLeft, own->Channels);
  left(kRegistersLeft, own->HeldRegisters);
  left(kListsLeft, own->Lists);
  own->Released = TRUE;
}

PVOID NTAPI AllocateBuffer(PDMA_ADAPTER adapter, ULONG length, PPHYSICAL_ADDRESS logical, BOOLEAN cache) {
  PVF_DMA_ADAPTER own = Begin(adapter, PASSIVE_LEVEL, PASSIVE_LEVEL);
  PVOID buffer = own->Original->AllocateCommonBuffer(adapter, length, logical, cache);
  if (buffer != nullptr) Add(&own->CommonBuffers, 1);
  return buffer;
}

VOID NTAPI FreeBuffer(PDMA_ADAPTER adapter, ULONG length, PHYSICAL_ADDRESS logical, PVOID buffer,
                      BOOLEAN cache) {
  PVF_DMA_ADAPTER own = Begin(adapter, PASSIVE_LEVEL, PASSIVE_LEVEL);
  const LONG left = Add(&own->CommonBuffers, -1);
  if (left < 0) Violation(kExtraBuffers, static_cast<ULONG>(-left));
  own->Original->FreeCommonBuffer(adapter, length, logical, buffer, cache);
}

// What the driver's routine returns says what it keeps.
struct ChannelRequest {
  PVF_DMA_ADAPTER own;
  PDRIVER_CONTROL routine;
  PVOID context;
  ULONG registers;
};

IO_ALLOCATION_ACTION NTAPI GotChannel(PDEVICE_OBJECT device, PIRP irp, PVOID base, PVOID context) {
  const ChannelRequest request = *static_cast<ChannelRequest*>(context);
  ExFreePoolWithTag(context, kTag);
  const IO_ALLOCATION_ACTION action = request.routine(device, irp, base, request.context);
  if (action != KeepObject) Add(&request.own->Channels, -1);
  if (action == DeallocateObject) Add(&request.own->HeldRegisters, -static_cast<LONG>(request.registers));
  return action;
}

NTSTATUS NTAPI AllocateChannel(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, ULONG registers,
                               PDRIVER_CONTROL routine, PVOID context) {
  PVF_DMA_ADAPTER own = Begin(adapter, DISPATCH_LEVEL, DISPATCH_LEVEL);
  if (registers > own->MapRegisters) Violation(kTooManyRegisters, registers, own->MapRegisters);
  auto* request =
      static_cast<ChannelRequest*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ChannelRequest), kTag));
  if (request == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *request = {own, routine, context, registers};
  const LONG channels = Add(&own->Channels, 1);
  if (channels > 1) Violation(kTwoChannels, static_cast<ULONG>(channels));
  Add(&own->HeldRegisters, static_cast<LONG>(registers));
  const NTSTATUS status =
      own->Original->AllocateAdapterChannel(adapter, device, registers, GotChannel, request);
  if (NT_SUCCESS(status)) return status;
  Add(&own->Channels, -1);
  Add(&own->HeldRegisters, -static_cast<LONG>(registers));
  ExFreePoolWithTag(request, kTag);
  return status;
}

VOID NTAPI FreeChannel(PDMA_ADAPTER adapter) {
  PVF_DMA_ADAPTER own = Begin(adapter, DISPATCH_LEVEL, DISPATCH_LEVEL);
  const LONG left = Add(&own->Channels, -1);
  if (left < 0) Violation(kExtraChannels, static_cast<ULONG>(-left));
  own->Original->FreeAdapterChannel(adapter);
}

VOID NTAPI FreeRegisters(PDMA_ADAPTER adapter, PVOID base, ULONG registers) {
  PVF_DMA_ADAPTER own = Begin(adapter, DISPATCH_LEVEL, DISPATCH_LEVEL);
  if (own->MappedBytes > 0) Violation(kStillMapped, BYTES_TO_PAGES(static_cast<ULONG>(own->MappedBytes)));
  const LONG left = Add(&own->HeldRegisters, -static_cast<LONG>(registers));
  if (left < 0) Violation(kExtraRegisters, static_cast<ULONG>(-left));
  own->Original->FreeMapRegisters(adapter, base, registers);
}

PHYSICAL_ADDRESS NTAPI Map(PDMA_ADAPTER adapter, PMDL mdl, PVOID base, PVOID current, PULONG length,
                           BOOLEAN write) {
  PVF_DMA_ADAPTER own = Begin(adapter, PASSIVE_LEVEL, DISPATCH_LEVEL);
  CheckBuffer(mdl, current, *length);
  const ULONG room = own->MapRegisters * PAGE_SIZE;
  if (static_cast<ULONG>(own->MappedBytes) + *length > room)
    Violation(kNotFlushed, static_cast<ULONG>(own->MappedBytes) + *length, room);
  const PHYSICAL_ADDRESS address = own->Original->MapTransfer(adapter, mdl, base, current, length, write);
  Add(&own->MappedBytes, static_cast<LONG>(*length));
  return address;
}

BOOLEAN NTAPI Flush(PDMA_ADAPTER adapter, PMDL mdl, PVOID base, PVOID current, ULONG length, BOOLEAN write) {
  PVF_DMA_ADAPTER own = Begin(adapter, PASSIVE_LEVEL, DISPATCH_LEVEL);
  __atomic_store_n(&own->MappedBytes, 0, __ATOMIC_SEQ_CST);
  return own->Original->FlushAdapterBuffers(adapter, mdl, base, current, length, write);
}

NTSTATUS NTAPI GetList(PDMA_ADAPTER adapter, PDEVICE_OBJECT device, PMDL mdl, PVOID current, ULONG length,
                       PDRIVER_LIST_CONTROL routine, PVOID context, BOOLEAN write) {
  PVF_DMA_ADAPTER own = Begin(adapter, DISPATCH_LEVEL, DISPATCH_LEVEL);
  CheckBuffer(mdl, current, length);
  Add(&own->Lists, 1);  // the routine may give the list back
  const NTSTATUS status =
      own->Original->GetScatterGatherList(adapter, device, mdl, current, length, routine, context, write);
  if (!NT_SUCCESS(status)) Add(&own->Lists, -1);
  return status;
}

VOID NTAPI PutList(PDMA_ADAPTER adapter, PSCATTER_GATHER_LIST list, BOOLEAN write) {
  PVF_DMA_ADAPTER own = Begin(adapter, DISPATCH_LEVEL, DISPATCH_LEVEL);
  const LONG left = Add(&own->Lists, -1);
  if (left < 0) Violation(kExtraLists, 0, static_cast<ULONG>(-left));
  own->Original->PutScatterGatherList(adapter, list, write);
}

void Replace(PVF_DMA_ADAPTER own) {
  const ULONG size =
      own->Original->Size < sizeof(own->Operations) ? own->Original->Size : sizeof(own->Operations);
  RtlCopyMemory(own->Operations, own->Original, size);
  auto* operations = reinterpret_cast<PDMA_OPERATIONS>(own->Operations);
  operations->PutDmaAdapter = PutAdapter;
  operations->AllocateCommonBuffer = AllocateBuffer;
  operations->FreeCommonBuffer = FreeBuffer;
  operations->AllocateAdapterChannel = AllocateChannel;
  operations->FreeAdapterChannel = FreeChannel;
  operations->FreeMapRegisters = FreeRegisters;
  operations->MapTransfer = Map;
  operations->FlushAdapterBuffers = Flush;
  operations->GetScatterGatherList = GetList;
  operations->PutScatterGatherList = PutList;
  own->Adapter->DmaOperations = operations;
}

}  // namespace

extern "C" PDMA_ADAPTER NTAPI VerifierIoGetDmaAdapter(PDEVICE_OBJECT PhysicalDeviceObject,
                                                      PDEVICE_DESCRIPTION DeviceDescription,
                                                      PULONG NumberOfMapRegisters) {
  PDMA_ADAPTER adapter = IoGetDmaAdapter(PhysicalDeviceObject, DeviceDescription, NumberOfMapRegisters);
  auto* own =
      adapter == nullptr
          ? nullptr
          : static_cast<PVF_DMA_ADAPTER>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(VF_DMA_ADAPTER), kTag));
  if (own == nullptr) return adapter;
  RtlZeroMemory(own, sizeof(*own));
  own->Adapter = adapter;
  own->Original = adapter->DmaOperations;
  own->Caller = CALLER;
  own->MapRegisters = *NumberOfMapRegisters;
  Replace(own);
  ke::SpinGuard guard(&g_lock);
  InsertTailList(&VfDmaAdapters, &own->Links);
  return adapter;
}

// What the driver released is really given back now; what it kept goes on without being watched.
void ForgetDmaAdapters(PVF_SUSPECT_DRIVER_ENTRY driver) {
  for (;;) {
    PVF_DMA_ADAPTER own = nullptr;
    {
      ke::SpinGuard guard(&g_lock);
      for (PLIST_ENTRY at = VfDmaAdapters.Flink; at != &VfDmaAdapters && own == nullptr; at = at->Flink) {
        auto* candidate = CONTAINING_RECORD(at, VF_DMA_ADAPTER, Links);
        if (candidate->Caller >= driver->StartAddress && candidate->Caller < driver->EndAddress)
          own = candidate;
      }
      if (own != nullptr) RemoveEntryList(&own->Links);
    }
    if (own == nullptr) return;
    own->Adapter->DmaOperations = const_cast<PDMA_OPERATIONS>(own->Original);
    if (own->Released) own->Original->PutDmaAdapter(own->Adapter);
    ExFreePoolWithTag(own, kTag);
  }
}

namespace {

const Thunk kThunks[] = {{"IoGetDmaAdapter", reinterpret_cast<PVOID>(&VerifierIoGetDmaAdapter), kDma}};

}  // namespace

const ThunkTable kDmaThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
