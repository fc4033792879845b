// Types of the I/O manager, the boot drivers, C:.
#include "client.h"
#include "cm/cm.h"
#include "driver_internal.h"
#include "ex/ex.h"
#include "mm/mm.h"
#include "nt/export.h"
#include "pci_internal.h"
#include "po_internal.h"

extern "C" {
POBJECT_TYPE IoFileObjectType;
POBJECT_TYPE IoDeviceObjectType;
POBJECT_TYPE IoDriverObjectType;
}

/// The type of file objects.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ObReferenceObjectByHandle.
NT_EXPORT_DATA(IoFileObjectType, Full, "KernelIo.*");
/// The type of device objects.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented; used by many drivers.
NT_EXPORT_DATA(IoDeviceObjectType, Full, "KernelIo.*");
/// The type of driver objects.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented; used by many drivers.
NT_EXPORT_DATA(IoDriverObjectType, Full, "KernelIo.*");

namespace io {
namespace {

NTSTATUS CreateTypes() {
  const GENERIC_MAPPING mapping = {FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE,
                                   FILE_ALL_ACCESS};
  const ob::TypeDescription types[] = {
      {L"File", kFileTag, mapping, FILE_ALL_ACCESS, IopDeleteFile, IopCloseFile, IopParseFile,
       IopQueryFileName, false, FIELD_OFFSET(FILE_OBJECT, Event)},
      {L"Device", 'iveD', mapping, FILE_ALL_ACCESS, IopDeleteDevice, nullptr, IopParseDevice, nullptr, false,
       0},
      {L"Driver", 'virD', mapping, FILE_ALL_ACCESS, IopDeleteDriver, nullptr, nullptr, nullptr, false, 0},
  };
  POBJECT_TYPE* const variables[] = {&IoFileObjectType, &IoDeviceObjectType, &IoDriverObjectType};
  for (ULONG i = 0; i < RTL_NUMBER_OF(types); ++i) {
    NTSTATUS status = ob::CreateType(types[i], variables[i]);
    if (!NT_SUCCESS(status)) return status;
  }
  IoFileObjectType->TypeInfo.SecurityProcedure = reinterpret_cast<PVOID>(FileSecurity);
  return STATUS_SUCCESS;
}

NTSTATUS SetNumber(HANDLE key, const wchar_t* name, ULONG number) {
  UNICODE_STRING value = ob::String(name);
  return ZwSetValueKey(key, &value, 0, REG_DWORD, &number, sizeof(number));
}

// The service key of a boot driver, volatile: it is there for as long as the machine runs.
NTSTATUS CreateBootServiceKey(const UNICODE_STRING& key_name, const UNICODE_STRING& path, ULONG first_line) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, const_cast<PUNICODE_STRING>(&key_name),
                             OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  HANDLE key;
  NTSTATUS status = ZwCreateKey(&key, KEY_ALL_ACCESS, &attributes, 0, nullptr, REG_OPTION_VOLATILE, nullptr);
  if (!NT_SUCCESS(status)) return status;
  UNICODE_STRING image_path = ob::String(L"ImagePath");
  status = ZwSetValueKey(key, &image_path, 0, REG_EXPAND_SZ, path.Buffer, path.Length + sizeof(WCHAR));
  if (NT_SUCCESS(status)) status = SetNumber(key, L"Type", 2);
  if (NT_SUCCESS(status)) status = SetNumber(key, L"Start", 0);
  if (NT_SUCCESS(status)) status = SetNumber(key, L"ErrorControl", 1);
  // Where a real machine's driver would be given its resources.
  if (NT_SUCCESS(status)) status = SetNumber(key, L"FirstInterruptLine", first_line);
  ZwClose(key);
  return status;
}

NTSTATUS LoadBootDriver(const boot::BootFile& file, ULONG first_line) {
  size_t length = 0;
  while (length < sizeof(file.name) && file.name[length] != 0) ++length;
  size_t stem = length;
  while (stem != 0 && file.name[stem - 1] != '.') --stem;
  UNICODE_STRING base, name;
  NTSTATUS status = WideFromUtf8(file.name, length, &base);
  if (!NT_SUCCESS(status)) return status;
  status = WideFromUtf8(file.name, stem != 0 ? stem - 1 : length, &name);
  if (!NT_SUCCESS(status)) return status;
  WCHAR path_buffer[96] = {};
  UNICODE_STRING path = {0, sizeof(path_buffer), path_buffer};
  RtlAppendUnicodeToString(&path, L"\\SystemRoot\\System32\\drivers\\");
  RtlAppendUnicodeStringToString(&path, &base);
  ServiceDescription service = {};
  UNICODE_STRING key;
  status = ServiceKeyOf(&name, &key);
  if (NT_SUCCESS(status)) status = CreateBootServiceKey(key, path, first_line);
  if (NT_SUCCESS(status)) status = ReadServiceKey(&key, &service);
  auto* report =
      static_cast<mm::ImageReport*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(mm::ImageReport), kFileTag));
  if (report == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  PKLDR_DATA_TABLE_ENTRY image = nullptr;
  if (NT_SUCCESS(status)) {
    status = MmLoadSystemImage(MmPhysicalToVirtual(file.physical), file.size, &path, &base, report, &image);
    if (report->length != 0) DbgPrint("%s: %s", file.name, report->text);
  }
  if (NT_SUCCESS(status)) status = StartImage(service, image, nullptr);
  ExFreePoolWithTag(report, kFileTag);
  if (!NT_SUCCESS(status)) DbgPrint("io: boot driver %s: %08x\n", file.name, status);
  return status;
}

}  // namespace

NTSTATUS LoadBootDrivers(const boot::LoaderBlock* block) {
  for (ULONG i = 0; i < block->boot_file_count && i < boot::kMaxBootFiles; ++i) {
    NTSTATUS status = LoadBootDriver(block->boot_files[i], block->virtio_first_line);
    if (!NT_SUCCESS(status)) return status;
  }
  CallBootReinitializeRoutines();
  return STATUS_SUCCESS;
}

}  // namespace io

extern "C" NTSTATUS IoInitSystem(const boot::LoaderBlock* Block) {
  NTSTATUS status = io::CreateTypes();
  if (NT_SUCCESS(status)) status = ob::CreateLink(L"\\SystemRoot", L"\\??\\C:\\Windows");
  if (NT_SUCCESS(status)) status = pnp::InitializeRoot();
  if (NT_SUCCESS(status)) status = io::LoadBootDrivers(Block);
  if (!NT_SUCCESS(status)) return status;
  ExpLoadImageFile = io::LoadImageFile;
  // A hive that cannot be read is reported and left alone: the machine runs with an empty one that is never
  // written.
  status = CmLoadSystemHive();
  if (!NT_SUCCESS(status))
    DbgPrint("cm: \\SystemRoot\\System32\\config\\SYSTEM: %08x: starting with an empty registry\n", status);
  pnp::InitializeControl();
  status = pci::Initialize(Block);
  if (!NT_SUCCESS(status)) return status;
  pnp::AddRootDevicesLater();
  status = io::InitClientServer();
  return NT_SUCCESS(status) ? io::InitServiceControl() : status;
}
