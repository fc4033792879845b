// Asking providers, and events from them. A data block object is what IoWMIOpenBlock gives: it is
// dereferenced when it is no longer needed.
#include "wmi_internal.h"

namespace wmi {
namespace {

struct Block {
  GUID guid;
  ACCESS_MASK access;
  LIST_ENTRY link;
  WMI_NOTIFICATION_CALLBACK callback;  // 0: nobody wants to hear of events
  PVOID context;
};

// WMIGUID_ access rights.
constexpr ACCESS_MASK kQuery = 1, kSet = 2, kExecute = 0x10,
                      kAll = STANDARD_RIGHTS_READ | SYNCHRONIZE | 0xFFF;

constexpr ULONG kFirstData = 1024, kLargestData = 256 * 1024;

POBJECT_TYPE block_type;
LIST_ENTRY blocks = {&blocks, &blocks};
KSPIN_LOCK blocks_lock;

VOID NTAPI DeleteBlock(PVOID object) {
  auto* block = static_cast<Block*>(object);
  ke::SpinGuard guard(&blocks_lock);
  if (block->link.Flink != nullptr) RemoveEntryList(&block->link);
}

NTSTATUS HaveType() {
  static volatile LONG creating;
  if (block_type != nullptr) return STATUS_SUCCESS;
  while (InterlockedCompareExchange(&creating, 1, 0) != 0) {
    LARGE_INTEGER moment = {};
    moment.QuadPart = -10'000;
    KeDelayExecutionThread(KernelMode, FALSE, &moment);
  }
  NTSTATUS status = STATUS_SUCCESS;
  if (block_type == nullptr) {
    const GENERIC_MAPPING mapping = {kQuery, kSet, kExecute, kAll};
    status = ob::CreateType(
        {L"WmiGuid", kTag, mapping, kAll, DeleteBlock, nullptr, nullptr, nullptr, false, 0}, &block_type);
  }
  creating = 0;
  return status;
}

// What one provider answers, in pool; it tells by WNODE_TOO_SMALL how much room it needs.
NTSTATUS AskProvider(Provider* provider, UCHAR minor, const GUID& guid, const UCHAR* request,
                     ULONG request_size, PWNODE_HEADER* answer) {
  for (ULONG size = kFirstData > request_size ? kFirstData : request_size; size <= kLargestData;) {
    auto* node = static_cast<PWNODE_HEADER>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kTag));
    if (node == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(node, size);
    RtlCopyMemory(node, request, request_size);
    node->BufferSize = request_size;
    ULONG_PTR used = 0;
    GUID path = guid;
    NTSTATUS status = Send(provider->device, minor, &path, node, size, &used);
    ULONG more = 0;
    if (NT_SUCCESS(status) && (node->Flags & WNODE_FLAG_TOO_SMALL) != 0)
      more = reinterpret_cast<PWNODE_TOO_SMALL>(node)->SizeNeeded;
    if (NT_SUCCESS(status) && more == 0) {
      node->BufferSize = used <= size ? static_cast<ULONG>(used) : size;
      *answer = node;
      return node->BufferSize >= sizeof(WNODE_HEADER) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
    }
    ExFreePoolWithTag(node, kTag);
    if (!NT_SUCCESS(status)) return status;
    size = more > size ? more : size * 2;
  }
  return STATUS_BUFFER_TOO_SMALL;
}

struct Output {
  UCHAR* bytes;
  ULONG room;
  ULONG used;  // what all answers need, each at a multiple of 8
  PWNODE_HEADER last;
};

void Append(Output* output, PWNODE_HEADER node) {
  const ULONG at = (output->used + 7) & ~7u;
  output->used = at + node->BufferSize;
  if (output->used > output->room) return;
  auto* copy = reinterpret_cast<PWNODE_HEADER>(output->bytes + at);
  RtlCopyMemory(copy, node, node->BufferSize);
  copy->Linkage = 0;
  if (output->last != nullptr) {
    output->last->Linkage =
        static_cast<ULONG>(reinterpret_cast<UCHAR*>(copy) - reinterpret_cast<UCHAR*>(output->last));
  }
  output->last = copy;
}

NTSTATUS AskAll(const Block* block, Output* output) {
  WNODE_ALL_DATA request = {};
  request.WnodeHeader.Guid = block->guid;
  request.WnodeHeader.Flags = WNODE_FLAG_ALL_DATA;
  NTSTATUS status = STATUS_WMI_GUID_NOT_FOUND;
  for (ULONG number = 0;; ++number) {
    Provider* provider = AcquireProviderOf(block->guid, number);
    if (provider == nullptr) break;
    PWNODE_HEADER answer;
    request.WnodeHeader.ProviderId = provider->id;
    const NTSTATUS one = AskProvider(provider, IRP_MN_QUERY_ALL_DATA, block->guid,
                                     reinterpret_cast<const UCHAR*>(&request), sizeof(request), &answer);
    ReleaseProvider(provider);
    if (NT_SUCCESS(one)) {
      Append(output, answer);
      ExFreePoolWithTag(answer, kTag);
      status = STATUS_SUCCESS;
    } else if (!NT_SUCCESS(status)) {
      status = one;
    }
  }
  return status;
}

struct EventDelivery {
  WORK_QUEUE_ITEM item;
  PWNODE_HEADER node;
};

// False for an object whose last reference is gone: it waits for the lock to leave the list.
bool TryReference(Block* block) {
  auto* count = reinterpret_cast<volatile LONG64*>(&ObjectToHeader(block)->PointerCount);
  for (LONG64 now = *count; now != 0; now = *count) {
    if (InterlockedCompareExchange64(count, now + 1, now) == now) return true;
  }
  return false;
}

// The n-th block object with a callback for the event, referenced.
Block* ListenerOf(const GUID& guid, ULONG number) {
  ke::SpinGuard guard(&blocks_lock);
  for (LIST_ENTRY* link = blocks.Flink; link != &blocks; link = link->Flink) {
    auto* block = CONTAINING_RECORD(link, Block, link);
    if (block->callback == nullptr || RtlCompareMemory(&block->guid, &guid, sizeof(guid)) != sizeof(guid))
      continue;
    if (number-- == 0) return TryReference(block) ? block : nullptr;
  }
  return nullptr;
}

VOID NTAPI DeliverEvent(PVOID context) {
  auto* delivery = static_cast<EventDelivery*>(context);
  for (ULONG number = 0;; ++number) {
    Block* block = ListenerOf(delivery->node->Guid, number);
    if (block == nullptr) break;
    block->callback(delivery->node, block->context);
    ObfDereferenceObject(block);
  }
  ExFreePool(delivery->node);
  ExFreePoolWithTag(delivery, kTag);
}

}  // namespace
}  // namespace wmi

extern "C" {

/// Opens a data block by its GUID, for queries or for events; the object is to be dereferenced.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: no access is checked.
/// Source: WDK wdm/IoWMIOpenBlock.
NT_EXPORT(IoWMIOpenBlock, nt::AtMost(APC_LEVEL), Partial, "Wmi.*");
NTSTATUS NTAPI IoWMIOpenBlock(GUID* DataBlockGuid, ULONG DesiredAccess, PVOID* DataBlockObject) {
  NTSTATUS status = wmi::HaveType();
  if (!NT_SUCCESS(status)) return status;
  PVOID object;
  status = ObCreateObject(KernelMode, wmi::block_type, nullptr, KernelMode, nullptr, sizeof(wmi::Block), 0, 0,
                          &object);
  if (!NT_SUCCESS(status)) return status;
  auto* block = static_cast<wmi::Block*>(object);
  block->guid = *DataBlockGuid;
  block->access = DesiredAccess;
  block->callback = nullptr;
  ke::SpinGuard guard(&wmi::blocks_lock);
  InsertTailList(&wmi::blocks, &block->link);
  *DataBlockObject = object;
  return STATUS_SUCCESS;
}

/// Asks every provider of a block for all its data: WNODE_ALL_DATA structures, linked by their headers.
/// STATUS_BUFFER_TOO_SMALL tells the size that is needed.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: names of static instances are not added to what the drivers answer.
/// Source: WDK wdm/IoWMIQueryAllData.
NT_EXPORT(IoWMIQueryAllData, nt::AtMost(APC_LEVEL), Partial, "Wmi.*");
NTSTATUS NTAPI IoWMIQueryAllData(PVOID DataBlockObject, PULONG InOutBufferSize, PVOID OutBuffer) {
  wmi::Output output = {static_cast<UCHAR*>(OutBuffer), OutBuffer != nullptr ? *InOutBufferSize : 0, 0,
                        nullptr};
  const NTSTATUS status = wmi::AskAll(static_cast<wmi::Block*>(DataBlockObject), &output);
  if (!NT_SUCCESS(status)) return status;
  *InOutBufferSize = output.used;
  return output.used <= output.room ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL;
}

/// Sets the routine that is called with each event of a block, at PASSIVE_LEVEL.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: providers are not told that somebody listens (IRP_MN_ENABLE_EVENTS).
/// Source: WDK wdm/IoWMISetNotificationCallback.
NT_EXPORT(IoWMISetNotificationCallback, nt::AtMost(APC_LEVEL), Partial, "Wmi.*");
NTSTATUS NTAPI IoWMISetNotificationCallback(PVOID Object, WMI_NOTIFICATION_CALLBACK Callback, PVOID Context) {
  auto* block = static_cast<wmi::Block*>(Object);
  ke::SpinGuard guard(&wmi::blocks_lock);
  block->context = Context;
  block->callback = Callback;
  return STATUS_SUCCESS;
}

/// Delivers an event to those who listen for its GUID; frees the pool block that it is in, unless it fails.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: events for loggers (WNODE_FLAG_TRACED_GUID) are not taken: STATUS_INVALID_PARAMETER.
/// Source: WDK wdm/IoWMIWriteEvent.
NT_EXPORT(IoWMIWriteEvent, nt::AtMost(APC_LEVEL), Partial, "Wmi.*");
NTSTATUS NTAPI IoWMIWriteEvent(PVOID WnodeEventItem) {
  auto* node = static_cast<PWNODE_HEADER>(WnodeEventItem);
  if (node == nullptr || (node->Flags & WNODE_FLAG_TRACED_GUID) != 0 ||
      (node->Flags & WNODE_FLAG_EVENT_ITEM) == 0)
    return STATUS_INVALID_PARAMETER;
  auto* delivery = static_cast<wmi::EventDelivery*>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(wmi::EventDelivery), wmi::kTag));
  if (delivery == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  delivery->node = node;
  ExInitializeWorkItem(&delivery->item, wmi::DeliverEvent, delivery);
  ExQueueWorkItem(&delivery->item, DelayedWorkQueue);
  return STATUS_SUCCESS;
}

}  // extern "C"
