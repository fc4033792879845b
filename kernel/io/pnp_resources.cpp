// Who has which addresses, ports, interrupts: assignment by the requirements that a device states.
#include "pnp_internal.h"
#include "ke/ke.h"

namespace pnp {
namespace {

// What is taken, by type and range. Changed by the worker alone.
struct Claim {
  LIST_ENTRY link;
  PDEVICE_NODE node;
  UCHAR type;
  bool shared;
  ULONG64 first, last;
};
LIST_ENTRY g_claims = {&g_claims, &g_claims};

constexpr ULONG kMessageToken = CM_RESOURCE_INTERRUPT_MESSAGE_TOKEN;
constexpr USHORT kMessage = CM_RESOURCE_INTERRUPT_MESSAGE;

// The claim that a range meets; 0: it is free.
Claim* Conflict(UCHAR type, ULONG64 first, ULONG64 last, bool shared) {
  for (LIST_ENTRY* at = g_claims.Flink; at != &g_claims; at = at->Flink) {
    auto* claim = CONTAINING_RECORD(at, Claim, link);
    if (claim->type == type && claim->first <= last && first <= claim->last && !(shared && claim->shared))
      return claim;
  }
  return nullptr;
}

NTSTATUS Take(PDEVICE_NODE node, UCHAR type, ULONG64 first, ULONG64 last, bool shared) {
  auto* claim = static_cast<Claim*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Claim), kNodeTag));
  if (claim == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *claim = {{}, node, type, shared, first, last};
  InsertTailList(&g_claims, &claim->link);
  return STATUS_SUCCESS;
}

// The lowest free range that a requirement allows.
bool FindRange(UCHAR type, ULONG64 low, ULONG64 high, ULONG64 length, ULONG64 alignment, bool shared,
               ULONG64* start) {
  if (length == 0) length = 1;
  if (alignment == 0) alignment = 1;
  for (ULONG64 at = (low + alignment - 1) / alignment * alignment; at >= low;) {
    const ULONG64 last = at + length - 1;
    if (last < at || last > high) return false;
    const Claim* conflict = Conflict(type, at, last, shared);
    if (conflict == nullptr) {
      *start = at;
      return true;
    }
    if (conflict->last >= high) return false;
    at = (conflict->last + 1 + alignment - 1) / alignment * alignment;
  }
  return false;
}

NTSTATUS AssignRange(PDEVICE_NODE node, const IO_RESOURCE_DESCRIPTOR& want,
                     PCM_PARTIAL_RESOURCE_DESCRIPTOR raw) {
  const auto& range = want.u.Generic;
  const bool shared = want.ShareDisposition == CmResourceShareShared;
  ULONG64 start;
  if (!FindRange(want.Type, static_cast<ULONG64>(range.MinimumAddress.QuadPart),
                 static_cast<ULONG64>(range.MaximumAddress.QuadPart), range.Length, range.Alignment, shared,
                 &start))
    return STATUS_CONFLICTING_ADDRESSES;
  raw->u.Generic.Start.QuadPart = static_cast<LONGLONG>(start);
  raw->u.Generic.Length = range.Length;
  return Take(node, want.Type, start, start + (range.Length != 0 ? range.Length - 1 : 0), shared);
}

NTSTATUS AssignInterrupt(PDEVICE_NODE node, const IO_RESOURCE_DESCRIPTOR& want,
                         PCM_PARTIAL_RESOURCE_DESCRIPTOR raw, PCM_PARTIAL_RESOURCE_DESCRIPTOR translated) {
  constexpr KAFFINITY kFirstProcessor = 1;  // where the I/O APIC and messages deliver to
  if (want.Flags & kMessage) {
    UCHAR vector;
    const NTSTATUS status = KeAllocateMessageVector(&vector);
    if (!NT_SUCCESS(status)) return status;
    raw->u.MessageInterrupt.Raw.MessageCount = 1;
    raw->u.MessageInterrupt.Raw.Vector = kMessageToken;
    raw->u.MessageInterrupt.Raw.Affinity = kFirstProcessor;
    translated->u.MessageInterrupt.Translated.Level = vector >> 4;
    translated->u.MessageInterrupt.Translated.Vector = vector;
    translated->u.MessageInterrupt.Translated.Affinity = kFirstProcessor;
    return STATUS_SUCCESS;
  }
  const bool shared = want.ShareDisposition == CmResourceShareShared;
  ULONG64 line;
  if (!FindRange(want.Type, want.u.Interrupt.MinimumVector, want.u.Interrupt.MaximumVector, 1, 1, shared,
                 &line))
    return STATUS_CONFLICTING_ADDRESSES;
  const UCHAR vector = KeVectorOfLine(static_cast<ULONG>(line));
  if (vector == 0) return STATUS_CONFLICTING_ADDRESSES;
  raw->u.Interrupt.Level = raw->u.Interrupt.Vector = static_cast<ULONG>(line);
  raw->u.Interrupt.Affinity = kFirstProcessor;
  translated->u.Interrupt.Level = vector >> 4;
  translated->u.Interrupt.Vector = vector;
  translated->u.Interrupt.Affinity = kFirstProcessor;
  return Take(node, want.Type, line, line, shared);
}

NTSTATUS AssignOne(PDEVICE_NODE node, const IO_RESOURCE_DESCRIPTOR& want, PCM_PARTIAL_RESOURCE_DESCRIPTOR raw,
                   PCM_PARTIAL_RESOURCE_DESCRIPTOR translated) {
  RtlZeroMemory(raw, sizeof(*raw));
  raw->Type = want.Type;
  raw->ShareDisposition = want.ShareDisposition;
  raw->Flags = want.Flags;
  *translated = *raw;
  NTSTATUS status = STATUS_SUCCESS;
  switch (want.Type) {
    case CmResourceTypeInterrupt:
      return AssignInterrupt(node, want, raw, translated);
    case CmResourceTypePort:
    case CmResourceTypeMemory:
      status = AssignRange(node, want, raw);
      break;
    case CmResourceTypeDma:
      raw->u.Dma.Channel = want.u.Dma.MinimumChannel;
      break;
    case CmResourceTypeBusNumber:
      raw->u.BusNumber.Start = want.u.BusNumber.MinBusNumber;
      raw->u.BusNumber.Length = want.u.BusNumber.Length;
      break;
    default:  // private data of a bus goes through
      RtlCopyMemory(&raw->u.DevicePrivate, &want.u.DevicePrivate, sizeof(raw->u.DevicePrivate));
      break;
  }
  translated->u = raw->u;
  return status;
}

ULONG SizeFor(ULONG descriptors) {
  return FIELD_OFFSET(CM_RESOURCE_LIST, List[0].PartialResourceList.PartialDescriptors) +
         descriptors * sizeof(CM_PARTIAL_RESOURCE_DESCRIPTOR);
}

PCM_RESOURCE_LIST AllocateList(PDEVICE_NODE node, ULONG descriptors) {
  const ULONG size = SizeFor(descriptors);
  auto* list = static_cast<PCM_RESOURCE_LIST>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kNodeTag));
  if (list == nullptr) return nullptr;
  RtlZeroMemory(list, size);
  list->Count = 1;
  list->List[0].InterfaceType = node->InterfaceType;
  list->List[0].BusNumber = node->BusNumber;
  list->List[0].PartialResourceList.Version = 1;
  list->List[0].PartialResourceList.Revision = 1;
  return list;
}

// Tries one of the alternative lists. An alternative descriptor counts only when the one before it failed.
NTSTATUS AssignList(PDEVICE_NODE node, const IO_RESOURCE_LIST& wanted) {
  node->ResourceList = AllocateList(node, wanted.Count);
  node->ResourceListTranslated = AllocateList(node, wanted.Count);
  if (node->ResourceList == nullptr || node->ResourceListTranslated == nullptr)
    return STATUS_INSUFFICIENT_RESOURCES;
  auto& raw = node->ResourceList->List[0].PartialResourceList;
  auto& translated = node->ResourceListTranslated->List[0].PartialResourceList;
  NTSTATUS status = STATUS_SUCCESS;
  for (ULONG i = 0; i < wanted.Count; ++i) {
    const IO_RESOURCE_DESCRIPTOR& want = wanted.Descriptors[i];
    if (want.Type == CmResourceTypeConfigData) continue;
    const bool alternative = (want.Option & IO_RESOURCE_ALTERNATIVE) != 0;
    if (alternative && NT_SUCCESS(status)) continue;
    if (!alternative && !NT_SUCCESS(status)) break;
    status = AssignOne(node, want, &raw.PartialDescriptors[raw.Count],
                       &translated.PartialDescriptors[translated.Count]);
    if (NT_SUCCESS(status)) ++raw.Count, ++translated.Count;
  }
  return status;
}

void FreeLists(PDEVICE_NODE node) {
  PCM_RESOURCE_LIST* const lists[] = {&node->ResourceList, &node->ResourceListTranslated};
  for (PCM_RESOURCE_LIST* list : lists) {
    if (*list != nullptr) ExFreePoolWithTag(*list, kNodeTag);
    *list = nullptr;
  }
}

void FreeMessages(const CM_RESOURCE_LIST* translated) {
  if (translated == nullptr) return;
  const auto& list = translated->List[0].PartialResourceList;
  for (ULONG i = 0; i < list.Count; ++i) {
    const auto& descriptor = list.PartialDescriptors[i];
    if (descriptor.Type == CmResourceTypeInterrupt && (descriptor.Flags & kMessage))
      KeFreeMessageVector(static_cast<UCHAR>(descriptor.u.MessageInterrupt.Translated.Vector));
  }
}

// A device that states no requirements has what its bus says it was left with.
NTSTATUS KeepBootResources(PDEVICE_NODE node) {
  if (node->BootResources == nullptr) return STATUS_SUCCESS;
  const ULONG size = ResourceListSize(node->BootResources);
  PCM_RESOURCE_LIST* const lists[] = {&node->ResourceList, &node->ResourceListTranslated};
  for (PCM_RESOURCE_LIST* list : lists) {
    *list = static_cast<PCM_RESOURCE_LIST>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kNodeTag));
    if (*list == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(*list, node->BootResources, size);
  }
  return STATUS_SUCCESS;
}

void FilterRequirements(PDEVICE_NODE node) {
  IO_STACK_LOCATION stack = {};
  stack.MinorFunction = IRP_MN_FILTER_RESOURCE_REQUIREMENTS;
  stack.Parameters.FilterResourceRequirements.IoResourceRequirementList = node->ResourceRequirements;
  ULONG_PTR information = reinterpret_cast<ULONG_PTR>(node->ResourceRequirements);
  const NTSTATUS status = Send(node->PhysicalDeviceObject, &stack, &information);
  // Who replaced the list has freed the old one.
  if (NT_SUCCESS(status))
    node->ResourceRequirements = reinterpret_cast<PIO_RESOURCE_REQUIREMENTS_LIST>(information);
}

}  // namespace

ULONG ResourceListSize(const CM_RESOURCE_LIST* list) {
  ULONG size = FIELD_OFFSET(CM_RESOURCE_LIST, List);
  for (ULONG i = 0; i < list->Count; ++i) {
    const auto* full =
        reinterpret_cast<const CM_FULL_RESOURCE_DESCRIPTOR*>(reinterpret_cast<const UCHAR*>(list) + size);
    size += FIELD_OFFSET(CM_FULL_RESOURCE_DESCRIPTOR, PartialResourceList.PartialDescriptors);
    for (ULONG j = 0; j < full->PartialResourceList.Count; ++j) {
      const auto& descriptor = full->PartialResourceList.PartialDescriptors[j];
      size += sizeof(descriptor);
      if (descriptor.Type == CmResourceTypeDeviceSpecific) size += descriptor.u.DeviceSpecificData.DataSize;
    }
  }
  return size;
}

void ReleaseResources(PDEVICE_NODE node) {
  FreeMessages(node->ResourceListTranslated);
  FreeLists(node);
  for (LIST_ENTRY* at = g_claims.Flink; at != &g_claims;) {
    auto* claim = CONTAINING_RECORD(at, Claim, link);
    at = at->Flink;
    if (claim->node != node) continue;
    RemoveEntryList(&claim->link);
    ExFreePoolWithTag(claim, kNodeTag);
  }
}

NTSTATUS AssignResources(PDEVICE_NODE node) {
  ReleaseResources(node);
  FilterRequirements(node);
  const IO_RESOURCE_REQUIREMENTS_LIST* requirements = node->ResourceRequirements;
  if (requirements == nullptr || requirements->AlternativeLists == 0) return KeepBootResources(node);
  NTSTATUS status = STATUS_CONFLICTING_ADDRESSES;
  const IO_RESOURCE_LIST* list = requirements->List;
  for (ULONG i = 0; i < requirements->AlternativeLists && !NT_SUCCESS(status); ++i) {
    status = AssignList(node, *list);
    if (!NT_SUCCESS(status)) ReleaseResources(node);
    list = reinterpret_cast<const IO_RESOURCE_LIST*>(&list->Descriptors[list->Count]);
  }
  return status;
}

}  // namespace pnp
