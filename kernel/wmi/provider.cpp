// The list of providers, and what they said about their blocks. A spin lock guards the list and the
// answers; it is not held while a driver is asked.
#include "wmi_internal.h"

namespace wmi {
namespace {

constexpr ULONG kFirstAnswer = 4096, kLargestAnswer = 256 * 1024;

LIST_ENTRY providers = {&providers, &providers};
KSPIN_LOCK list_lock;
ULONG next_id = 1;

struct ListGuard : ke::SpinGuard {
  ListGuard() : ke::SpinGuard(&list_lock) {}
};

Provider* FindLocked(PDEVICE_OBJECT device) {
  for (LIST_ENTRY* link = providers.Flink; link != &providers; link = link->Flink) {
    auto* provider = CONTAINING_RECORD(link, Provider, link);
    if (provider->device == device) return provider;
  }
  return nullptr;
}

bool Provides(const Provider* provider, const GUID& block) {
  if (provider->info == nullptr) return false;
  const ULONG room = (provider->info_size - FIELD_OFFSET(WMIREGINFO, WmiRegGuid)) / sizeof(WMIREGGUID);
  for (ULONG i = 0; i < provider->info->GuidCount && i < room; ++i) {
    const WMIREGGUID& entry = provider->info->WmiRegGuid[i];
    if ((entry.Flags & WMIREG_FLAG_REMOVE_GUID) == 0 &&
        RtlCompareMemory(&entry.Guid, &block, sizeof(GUID)) == sizeof(GUID))
      return true;
  }
  return false;
}

// Asks for the blocks; a buffer that is too small is told by STATUS_BUFFER_TOO_SMALL or a first number beyond
// it.
NTSTATUS AskForBlocks(PDEVICE_OBJECT device, ULONG path, PWMIREGINFO* answer, ULONG* answer_size) {
  for (ULONG size = kFirstAnswer; size <= kLargestAnswer;) {
    auto* info = static_cast<PWMIREGINFO>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kTag));
    if (info == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(info, size);
    ULONG_PTR used = 0;
    const auto data_path = reinterpret_cast<PVOID>(static_cast<ULONG_PTR>(path));
    NTSTATUS status = Send(device, IRP_MN_REGINFO_EX, data_path, info, size, &used);
    if (status == STATUS_NOT_SUPPORTED || status == STATUS_INVALID_DEVICE_REQUEST)
      status = Send(device, IRP_MN_REGINFO, data_path, info, size, &used);
    const ULONG wanted = info->BufferSize;
    if (NT_SUCCESS(status) && wanted <= size && used >= FIELD_OFFSET(WMIREGINFO, WmiRegGuid) &&
        used <= size) {
      *answer = info;
      *answer_size = static_cast<ULONG>(used);
      return STATUS_SUCCESS;
    }
    ExFreePoolWithTag(info, kTag);
    const bool too_small = status == STATUS_BUFFER_TOO_SMALL || (NT_SUCCESS(status) && wanted > size);
    if (!too_small) return NT_SUCCESS(status) ? STATUS_UNSUCCESSFUL : status;
    size = wanted > size ? wanted : size * 2;
  }
  return STATUS_INSUFFICIENT_RESOURCES;
}

void SetAnswer(PDEVICE_OBJECT device, PWMIREGINFO info, ULONG size) {
  {
    ListGuard guard;
    if (Provider* provider = FindLocked(device); provider != nullptr) {
      PWMIREGINFO old = provider->info;
      provider->info = info;
      provider->info_size = size;
      info = old;
    }
  }
  if (info != nullptr) ExFreePoolWithTag(info, kTag);
}

struct Question {
  WORK_QUEUE_ITEM item;
  Provider* provider;  // its rundown protection is held
  ULONG path;
};

VOID NTAPI AskLater(PVOID context) {
  auto* question = static_cast<Question*>(context);
  PWMIREGINFO info;
  ULONG size;
  PDEVICE_OBJECT device = question->provider->device;
  if (NT_SUCCESS(AskForBlocks(device, question->path, &info, &size))) SetAnswer(device, info, size);
  ReleaseProvider(question->provider);
  ExFreePoolWithTag(question, kTag);
}

// The driver is asked by a worker thread, as it may hold locks of its own while it registers.
NTSTATUS QueueQuestion(Provider* provider, ULONG path) {
  auto* question = static_cast<Question*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Question), kTag));
  if (question == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  if (!ExAcquireRundownProtection(&provider->requests)) {
    ExFreePoolWithTag(question, kTag);
    return STATUS_DELETE_PENDING;
  }
  question->provider = provider;
  question->path = path;
  ExInitializeWorkItem(&question->item, AskLater, question);
  ExQueueWorkItem(&question->item, DelayedWorkQueue);
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS Send(PDEVICE_OBJECT device, UCHAR minor, PVOID data_path, PVOID buffer, ULONG size,
              ULONG_PTR* information) {
  PDEVICE_OBJECT top = IoGetAttachedDeviceReference(device);
  KEVENT done;
  IO_STATUS_BLOCK iosb = {};
  KeInitializeEvent(&done, NotificationEvent, FALSE);
  PIRP irp = IoBuildSynchronousFsdRequest(IRP_MJ_FLUSH_BUFFERS, top, nullptr, 0, nullptr, &done, &iosb);
  if (irp == nullptr) {
    ObfDereferenceObject(top);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = IRP_MJ_SYSTEM_CONTROL;
  stack->MinorFunction = minor;
  stack->Parameters.WMI.ProviderId = reinterpret_cast<ULONG_PTR>(device);
  stack->Parameters.WMI.DataPath = data_path;
  stack->Parameters.WMI.BufferSize = size;
  stack->Parameters.WMI.Buffer = buffer;
  NTSTATUS status = IofCallDriver(top, irp);
  if (status == STATUS_PENDING) {
    KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, nullptr);
    status = iosb.Status;
  }
  *information = iosb.Information;  // 0 after an error that came at once
  ObfDereferenceObject(top);
  return status;
}

Provider* AcquireProviderOf(const GUID& block, ULONG number) {
  ListGuard guard;
  for (LIST_ENTRY* link = providers.Flink; link != &providers; link = link->Flink) {
    auto* provider = CONTAINING_RECORD(link, Provider, link);
    if (!Provides(provider, block)) continue;
    if (number-- == 0) return ExAcquireRundownProtection(&provider->requests) ? provider : nullptr;
  }
  return nullptr;
}

void ReleaseProvider(Provider* provider) {
  ExReleaseRundownProtection(&provider->requests);
}

NTSTATUS Register(PDEVICE_OBJECT device) {
  auto* provider = static_cast<Provider*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Provider), kTag));
  if (provider == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(provider, sizeof(*provider));
  provider->device = device;
  ExInitializeRundownProtection(&provider->requests);
  {
    ListGuard guard;
    if (FindLocked(device) != nullptr) {
      ExFreePoolWithTag(provider, kTag);
      return STATUS_OBJECT_NAME_EXISTS;
    }
    provider->id = next_id++;
    ObfReferenceObject(device);
    InsertTailList(&providers, &provider->link);
  }
  return QueueQuestion(provider, WMIREGISTER);
}

NTSTATUS Deregister(PDEVICE_OBJECT device) {
  Provider* provider;
  {
    ListGuard guard;
    provider = FindLocked(device);
    if (provider == nullptr) return STATUS_INVALID_PARAMETER;
    RemoveEntryList(&provider->link);
  }
  ExWaitForRundownProtectionRelease(&provider->requests);
  if (provider->info != nullptr) ExFreePoolWithTag(provider->info, kTag);
  ExFreePoolWithTag(provider, kTag);
  ObfDereferenceObject(device);
  return STATUS_SUCCESS;
}

NTSTATUS Update(PDEVICE_OBJECT device) {
  ListGuard guard;
  Provider* provider = FindLocked(device);
  return provider != nullptr ? QueueQuestion(provider, WMIUPDATE) : STATUS_INVALID_PARAMETER;
}

ULONG IdOf(PDEVICE_OBJECT device) {
  ListGuard guard;
  const Provider* provider = FindLocked(device);
  return provider != nullptr ? provider->id : 0;
}

}  // namespace wmi
