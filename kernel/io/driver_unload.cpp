// Unloading a driver, and what it leaves behind.
#include "driver_internal.h"

#include "kd/control.h"
#include "mm/mm.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "ps/ps.h"

namespace io {
namespace {

struct Search {
  PDRIVER_OBJECT driver;
  PKLDR_DATA_TABLE_ENTRY image;
  Findings* findings;
  struct Handle {
    HANDLE handle;
    PVOID object;
    PVOID creator;
  } handles[32];
  ULONG handle_count;
  ULONG handles_left_out;
  struct Tag {
    ULONG tag;
    ULONG blocks;
    SIZE_T bytes;
  } tags[16];
  ULONG tag_count;
};

bool InImage(PKLDR_DATA_TABLE_ENTRY image, PVOID address) {
  const auto offset = reinterpret_cast<ULONG_PTR>(address) - reinterpret_cast<ULONG_PTR>(image->DllBase);
  return offset < image->SizeOfImage;
}

ULONG OffsetIn(PKLDR_DATA_TABLE_ENTRY image, PVOID address) {
  return static_cast<ULONG>(reinterpret_cast<ULONG_PTR>(address) -
                            reinterpret_cast<ULONG_PTR>(image->DllBase));
}

template <typename... Arguments>
void Report(Search* search, const char* format, Arguments... arguments) {
  AppendText(search->findings->text, sizeof(search->findings->text), &search->findings->length, format,
             arguments...);
}

bool VisitThread(PETHREAD thread, PVOID context) {
  auto* search = static_cast<Search*>(context);
  if (InImage(search->image, thread->StartAddress)) {
    Report(search, "thread %u (0x%p), started at %wZ+0x%x, is alive\n",
           HandleToULong(thread->Cid.UniqueThread), thread, &search->image->BaseDllName,
           OffsetIn(search->image, thread->StartAddress));
  }
  return true;
}

void FindDevices(Search* search) {
  for (PDEVICE_OBJECT device = search->driver->DeviceObject; device != nullptr; device = device->NextDevice) {
    POBJECT_HEADER_NAME_INFO name = ObjectNameInfo(ObjectToHeader(device));
    if (name != nullptr && name->Directory != nullptr) {
      Report(search, "device \\Device\\%wZ (0x%p) exists\n", &name->Name, device);
    } else {
      Report(search, "device 0x%p exists\n", device);
    }
  }
}

void VisitHandle(HANDLE handle, PVOID object, const HANDLE_TABLE_ENTRY& entry, PVOID context) {
  PVOID creator = entry.Creator;
  auto* search = static_cast<Search*>(context);
  if (!InImage(search->image, creator)) return;
  if (search->handle_count < RTL_NUMBER_OF(search->handles)) {
    search->handles[search->handle_count++] = {handle, object, creator};
  } else {
    ++search->handles_left_out;
  }
}

void FindHandles(Search* search) {
  ob::EnumerateHandles(ObpKernelHandleTable, VisitHandle, search);
  for (ULONG i = 0; i < search->handle_count; ++i) {
    const auto& found = search->handles[i];
    PVOID object;
    if (!NT_SUCCESS(ob::ReferenceHandle(found.handle, nullptr, &object, nullptr))) continue;
    Report(search, "handle 0x%x (%wZ), opened at %wZ+0x%x, is open\n", HandleToULong(found.handle),
           &ObGetObjectType(object)->Name, &search->image->BaseDllName,
           OffsetIn(search->image, found.creator));
    ObfDereferenceObject(object);
  }
  if (search->handles_left_out != 0) Report(search, "%u more handles are open\n", search->handles_left_out);
}

VOID VisitPool(const MmPoolBlock* block, PVOID context) {
  auto* search = static_cast<Search*>(context);
  for (ULONG i = 0; i < RTL_NUMBER_OF(search->tags); ++i) {
    auto& entry = search->tags[i];
    if (i == search->tag_count) {
      entry = {block->Tag, 0, 0};
      ++search->tag_count;
    }
    if (entry.tag != block->Tag) continue;
    ++entry.blocks;
    entry.bytes += block->Bytes;
    return;
  }
}

void FindPool(Search* search) {
  MmQueryPoolOfImage(search->image, VisitPool, search);
  for (ULONG i = 0; i < search->tag_count; ++i) {
    const auto& entry = search->tags[i];
    char tag[5] = {};
    for (int c = 0; c < 4; ++c) {
      const char character = static_cast<char>((entry.tag >> (8 * c)) & 0x7F);
      tag[c] = character >= ' ' ? character : '.';
    }
    Report(search, "%u pool blocks of tag '%s', %u bytes, are allocated\n", entry.blocks, tag,
           static_cast<ULONG>(entry.bytes));
  }
}

// Fills `search` and frees it.
void FindLeftBehind(PDRIVER_OBJECT driver, Search* search, Findings* findings) {
  RtlZeroMemory(search, sizeof(*search));
  search->driver = driver;
  search->image = static_cast<PKLDR_DATA_TABLE_ENTRY>(driver->DriverSection);
  search->findings = findings;
  ps::EnumerateThreads(PsInitialSystemProcess, VisitThread, search);
  FindDevices(search);
  FindHandles(search);
  FindPool(search);
  ExFreePoolWithTag(search, kFileTag);
}

struct UnloadRequest {
  PUNICODE_STRING key;
  Findings* findings;
};

void CheckIrqlAfterUnload(PDRIVER_OBJECT driver) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql == PASSIVE_LEVEL) return;
  KeBugCheckEx(0xC8 /* IRQL_UNEXPECTED_VALUE */, (static_cast<ULONG_PTR>(irql) << 16) | (PASSIVE_LEVEL << 8),
               reinterpret_cast<ULONG_PTR>(driver->DriverUnload), reinterpret_cast<ULONG_PTR>(driver), 0);
}

}  // namespace
}  // namespace io

static NTSTATUS IopUnloadDriver(PVOID Context) {
  auto* request = static_cast<io::UnloadRequest*>(Context);
  io::ServiceDescription service;
  NTSTATUS status = io::ReadServiceKey(request->key, &service);
  if (!NT_SUCCESS(status)) return status;
  PDRIVER_OBJECT driver;
  status = io::ReferenceDriver(&service.name, &driver);
  io::FreeServiceDescription(&service);
  if (!NT_SUCCESS(status)) return status;
  if (driver->DriverUnload == nullptr || driver->DriverSection == nullptr) {
    ObfDereferenceObject(driver);
    return STATUS_INVALID_DEVICE_REQUEST;
  }
  if (driver->Flags & DRVO_UNLOAD_INVOKED) {
    ObfDereferenceObject(driver);
    return STATUS_INVALID_DEVICE_REQUEST;
  }
  // Before anything is done: a driver whose unload routine has run is not to be kept.
  auto* search =
      static_cast<io::Search*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(io::Search), kFileTag));
  if (search == nullptr) {
    ObfDereferenceObject(driver);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  driver->Flags |= DRVO_UNLOAD_INVOKED;
  driver->DriverUnload(driver);
  io::CheckIrqlAfterUnload(driver);
  io::FindLeftBehind(driver, search, request->findings);
  auto* image = static_cast<PKLDR_DATA_TABLE_ENTRY>(driver->DriverSection);
  if (driver->DeviceObject == nullptr) io::SendDriverEvent(boot::Event::kDriverUnloaded, image);
  ObMakeTemporaryObject(driver);
  ObfDereferenceObject(driver);  // the look-up's
  ObfDereferenceObject(driver);  // the load's: the last one unless devices or files keep the driver
  return STATUS_SUCCESS;
}

namespace io {

NTSTATUS UnloadDriver(PUNICODE_STRING service_key, Findings* findings) {
  findings->length = 0;
  UnloadRequest request = {service_key, findings};
  return RunOnWorker(IopUnloadDriver, &request);
}

}  // namespace io

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtUnloadDriver(PUNICODE_STRING DriverServiceName) {
  auto* findings =
      static_cast<io::Findings*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(io::Findings), kFileTag));
  if (findings == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  NTSTATUS status = io::UnloadDriver(DriverServiceName, findings);
  ExFreePoolWithTag(findings, kFileTag);
  return status;
}

/// Stops and unloads the driver of a service key: STATUS_INVALID_DEVICE_REQUEST if it has no unload routine.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: no privilege is asked for; devices in use do not delay the unload routine.
/// Source: WDK wdm/ZwUnloadDriver.
NT_EXPORT(ZwUnloadDriver, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwUnloadDriver(PUNICODE_STRING DriverServiceName) {
  return ke::CallService(NtUnloadDriver, DriverServiceName);
}
