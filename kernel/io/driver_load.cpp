// Loading a driver: service key -> file -> image -> driver object -> DriverEntry.
#include "driver_internal.h"

#include "ex/ex.h"
#include "kd/control.h"
#include "kd/kd.h"
#include "mm/mm.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "ps/ps.h"

#ifndef IRQL_UNEXPECTED_VALUE
#define IRQL_UNEXPECTED_VALUE 0xC8
#endif

namespace io {
namespace {

constexpr ULONG kMaximumImageSize = 64 * 1024 * 1024;
UNICODE_STRING g_hardware_key;

// The whole file in nonpaged pool (tag kFileTag).
NTSTATUS ReadImageFile(PUNICODE_STRING path, PVOID* data, SIZE_T* size) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  HANDLE file;
  IO_STATUS_BLOCK iosb;
  NTSTATUS status =
      ZwOpenFile(&file, FILE_READ_DATA | SYNCHRONIZE, &attributes, &iosb, FILE_SHARE_READ | FILE_SHARE_DELETE,
                 FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE);
  if (!NT_SUCCESS(status)) return status;
  FILE_STANDARD_INFORMATION standard;
  status = ZwQueryInformationFile(file, &iosb, &standard, sizeof(standard), FileStandardInformation);
  PVOID buffer = nullptr;
  if (NT_SUCCESS(status) &&
      (standard.EndOfFile.QuadPart == 0 || standard.EndOfFile.QuadPart > kMaximumImageSize)) {
    status = STATUS_INVALID_IMAGE_FORMAT;
  }
  if (NT_SUCCESS(status)) {
    *size = static_cast<SIZE_T>(standard.EndOfFile.QuadPart);
    buffer = ExAllocatePoolWithTag(NonPagedPoolNx, *size, kFileTag);
    if (buffer == nullptr) status = STATUS_INSUFFICIENT_RESOURCES;
  }
  LARGE_INTEGER offset = {};
  if (NT_SUCCESS(status)) {
    status = ZwReadFile(file, nullptr, nullptr, nullptr, &iosb, buffer, static_cast<ULONG>(*size), &offset,
                        nullptr);
    if (NT_SUCCESS(status) && iosb.Information != *size) status = STATUS_INVALID_IMAGE_FORMAT;
  }
  ZwClose(file);
  if (!NT_SUCCESS(status) && buffer != nullptr) ExFreePoolWithTag(buffer, kFileTag);
  *data = buffer;
  return status;
}

UNICODE_STRING BaseName(const UNICODE_STRING& path) {
  USHORT start = static_cast<USHORT>(path.Length / sizeof(WCHAR));
  while (start != 0 && path.Buffer[start - 1] != L'\\') --start;
  const auto length = static_cast<USHORT>(path.Length - start * sizeof(WCHAR));
  return {length, length, path.Buffer + start};
}

// Reads the file and maps it; `report` tells what the loader found.
NTSTATUS MapFile(PUNICODE_STRING path, mm::ImageReport* report, PKLDR_DATA_TABLE_ENTRY* image) {
  PVOID data;
  SIZE_T size;
  NTSTATUS status = ReadImageFile(path, &data, &size);
  if (!NT_SUCCESS(status)) return status;
  const UNICODE_STRING base = BaseName(*path);
  status = MmLoadSystemImage(data, size, path, &base, report, image);
  ExFreePoolWithTag(data, kFileTag);
  return status;
}

NTSTATUS MapImage(const ServiceDescription& service, LoadDetail* detail, PKLDR_DATA_TABLE_ENTRY* image) {
  auto* report =
      static_cast<mm::ImageReport*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(mm::ImageReport), kFileTag));
  if (report == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  report->length = 0;
  UNICODE_STRING path = service.image_path;
  const NTSTATUS status = MapFile(&path, report, image);
  for (ULONG i = 0; i < report->length && detail->length < sizeof(detail->text) - 1; ++i) {
    detail->text[detail->length++] = report->text[i];
  }
  ExFreePoolWithTag(report, kFileTag);
  return status;
}

NTSTATUS CreateDriverObject(const ServiceDescription& service, PKLDR_DATA_TABLE_ENTRY image,
                            PDRIVER_OBJECT* result) {
  const wchar_t* folder = service.type == 2 ? L"\\FileSystem\\" : L"\\Driver\\";
  UNICODE_STRING name = {0, static_cast<USHORT>(26 + service.name.Length), nullptr};
  name.Buffer = static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, name.MaximumLength, kNameTag));
  if (name.Buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlAppendUnicodeToString(&name, folder);
  RtlAppendUnicodeStringToString(&name, &service.name);
  PDRIVER_OBJECT driver;
  const NTSTATUS status = NewDriverObject(name, service.name, &service.key, &driver);
  if (!NT_SUCCESS(status)) return status;
  driver->HardwareDatabase = &g_hardware_key;
  driver->DriverInit = reinterpret_cast<PDRIVER_INITIALIZE>(image->EntryPoint);
  driver->DriverStart = image->DllBase;
  driver->DriverSize = image->SizeOfImage;
  driver->DriverSection = image;
  *result = driver;
  return STATUS_SUCCESS;
}

void NoteDriverEntry(PDRIVER_OBJECT driver) {
  boot::ControlArea* control = kd::Control();
  char text[64];
  ULONG length = 0;
  AppendText(text, sizeof(text), &length, "%wZ", &driver->DriverExtension->ServiceKeyName);
  UCHAR buffer[96];
  ktl::PayloadWriter payload(buffer, sizeof(buffer));
  payload.String(text, length);
  kd::SendEvent(boot::Event::kDriverEntry, payload);
  if (control != nullptr && control->driver_entry_tsc == 0 && !IopDriverExtensionOf(driver)->boot_driver) {
    control->driver_entry_tsc = __rdtsc();
  }
}

// DriverEntry must come back at the IRQL it was called at. A system worker that comes back at another is bug
// check 0xE1 on Windows, which names the worker's routine; 0xC8 (the IRQL is not what it should be) is raised
// at once here, so that its second parameter can name the driver.
void CheckIrqlAfterEntry(PDRIVER_OBJECT driver) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql == PASSIVE_LEVEL) return;
  KeBugCheckEx(IRQL_UNEXPECTED_VALUE, (static_cast<ULONG_PTR>(irql) << 16) | (PASSIVE_LEVEL << 8),
               reinterpret_cast<ULONG_PTR>(driver->DriverInit), reinterpret_cast<ULONG_PTR>(driver), 0);
}

}  // namespace

void SendDriverEvent(boot::Event event, PKLDR_DATA_TABLE_ENTRY image) {
  char text[128];
  ULONG length = 0;
  AppendText(text, sizeof(text), &length, "%wZ", &image->BaseDllName);
  UCHAR buffer[256];
  ktl::PayloadWriter payload(buffer, sizeof(buffer));
  payload.String(text, length);
  if (event == boot::Event::kDriverLoaded) {
    payload.U64(reinterpret_cast<ULONG64>(image->DllBase));
    payload.U64(image->SizeOfImage);
  }
  kd::SendEvent(event, payload);
}

NTSTATUS StartImage(const ServiceDescription& service, PKLDR_DATA_TABLE_ENTRY image, LoadDetail* detail) {
  g_hardware_key = ob::String(L"\\REGISTRY\\MACHINE\\HARDWARE\\DESCRIPTION\\SYSTEM");
  PDRIVER_OBJECT driver;
  NTSTATUS status = CreateDriverObject(service, image, &driver);
  if (!NT_SUCCESS(status)) {
    MmUnloadSystemImage(image);
    return status;
  }
  SendDriverEvent(boot::Event::kDriverLoaded, image);
  ps::NotifyImageLoad(&image->FullDllName, image->DllBase, image->SizeOfImage);
  const bool boot_driver = detail == nullptr;
  IopDriverExtensionOf(driver)->boot_driver = boot_driver;
  UNICODE_STRING registry_path = IopDriverExtensionOf(driver)->RegistryPath;
  // What loading this driver brought in of the others' pageable code goes out again: a driver starts with the
  // memory of a machine that has been up for a while, and reaches pageable code only where it may.
  if (!boot_driver) MmTrimPageableImages();
  NoteDriverEntry(driver);
  if (boot_driver) ExIncludeInPoolFaults(image->DllBase, image->SizeOfImage);
  if (!boot_driver) ExArmPoolFaults(TRUE);
  status = driver->DriverInit(driver, &registry_path);
  if (!boot_driver) ExArmPoolFaults(FALSE);
  CheckIrqlAfterEntry(driver);
  if (driver->DriverExtension->AddDevice != nullptr) driver->Flags &= ~static_cast<ULONG>(DRVO_LEGACY_DRIVER);
  KeSetEvent(&IopDriverExtensionOf(driver)->EntryDone, 0, FALSE);
  if (NT_SUCCESS(status)) {
    IopReadyDeviceObjects(driver);
    MmFreeDriverInitialization(image);
    CallReinitializeRoutines(driver);
    return STATUS_SUCCESS;
  }
  if (driver->DeviceObject != nullptr && detail != nullptr) {
    AppendText(detail->text, sizeof(detail->text), &detail->length,
               "warning: DriverEntry failed and left devices behind: the image stays loaded\n");
  }
  ObMakeTemporaryObject(driver);
  ObfDereferenceObject(driver);
  return status;
}

namespace {

struct LoadRequest {
  PUNICODE_STRING key;
  LoadDetail* detail;
};

}  // namespace
}  // namespace io

// The load itself, on a system worker.
static NTSTATUS IopLoadDriver(PVOID Context) {
  auto* request = static_cast<io::LoadRequest*>(Context);
  io::ServiceDescription service;
  NTSTATUS status = io::ReadServiceKey(request->key, &service);
  if (!NT_SUCCESS(status)) return status;
  PDRIVER_OBJECT loaded;
  const NTSTATUS found = io::ReferenceDriver(&service.name, &loaded);
  if (NT_SUCCESS(found)) {
    ObfDereferenceObject(loaded);
    status = STATUS_IMAGE_ALREADY_LOADED;
  } else if (found == STATUS_INSUFFICIENT_RESOURCES) {
    status = found;
  }
  PKLDR_DATA_TABLE_ENTRY image = nullptr;
  if (NT_SUCCESS(status)) status = io::MapImage(service, request->detail, &image);
  if (NT_SUCCESS(status)) status = io::StartImage(service, image, request->detail);
  io::FreeServiceDescription(&service);
  return status;
}

namespace io {

NTSTATUS LoadImageFile(PUNICODE_STRING path, PKLDR_DATA_TABLE_ENTRY* image) {
  auto* report =
      static_cast<mm::ImageReport*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(mm::ImageReport), kFileTag));
  if (report == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const NTSTATUS status = MapFile(path, report, image);
  ExFreePoolWithTag(report, kFileTag);
  return status;
}

NTSTATUS LoadDriver(PUNICODE_STRING service_key, LoadDetail* detail) {
  detail->length = 0;
  LoadRequest request = {service_key, detail};
  return RunOnWorker(IopLoadDriver, &request);
}

}  // namespace io

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtLoadDriver(PUNICODE_STRING DriverServiceName) {
  auto* detail =
      static_cast<io::LoadDetail*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(io::LoadDetail), kFileTag));
  if (detail == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  NTSTATUS status = io::LoadDriver(DriverServiceName, detail);
  ExFreePoolWithTag(detail, kFileTag);
  return status;
}

/// Loads and starts the driver of a service key.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: no privilege is asked for (kernel callers only).
/// Source: WDK wdm/ZwLoadDriver.
NT_EXPORT(ZwLoadDriver, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwLoadDriver(PUNICODE_STRING DriverServiceName) {
  return ke::CallService(NtLoadDriver, DriverServiceName);
}
