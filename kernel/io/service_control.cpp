// Requests of the host: services, images, directories, files, devices. Handlers run at PASSIVE_LEVEL, one at
// a time.
#include "cm/cm.h"
#include "driver_internal.h"
#include "hal/hal.h"
#include "kd/control.h"
#include "kd/kd.h"
#include "ke/bugcheck.h"
#include "pnp_internal.h"
#include "ps/ps.h"

namespace io {
namespace {

using kd::ReplyWriter;
using kd::RequestReader;

// A string that goes with its scope (tag kNameTag).
struct ScopedString {
  UNICODE_STRING value = {};
  ScopedString() = default;
  ~ScopedString() {
    if (value.Buffer != nullptr) ExFreePoolWithTag(value.Buffer, kNameTag);
  }
  ScopedString(const ScopedString&) = delete;
  ScopedString& operator=(const ScopedString&) = delete;
};

NTSTATUS ReadString(RequestReader& request, ScopedString* string) {
  const ktl::Text text = request.String();
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  return WideFromUtf8(text.data, text.length, &string->value);
}

// A service name, and its key. Names with a backslash would leave the Services key.
NTSTATUS ReadServiceName(RequestReader& request, ScopedString* name, ScopedString* key) {
  NTSTATUS status = ReadString(request, name);
  if (!NT_SUCCESS(status)) return status;
  if (name->value.Length == 0 || name->value.Length > 512) return STATUS_OBJECT_NAME_INVALID;
  for (USHORT i = 0; i < name->value.Length / sizeof(WCHAR); ++i) {
    if (name->value.Buffer[i] == L'\\' || name->value.Buffer[i] == L'/') return STATUS_OBJECT_NAME_INVALID;
  }
  return ServiceKeyOf(&name->value, &key->value);
}

void WriteString(ReplyWriter& reply, PCUNICODE_STRING string) {
  char text[1024];
  ULONG length = 0;
  RtlUnicodeToUTF8N(text, sizeof(text), &length, string->Buffer, string->Length);
  reply.String(text, length);
}

NTSTATUS OpenKey(PUNICODE_STRING name, ACCESS_MASK access, HANDLE* key) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return ZwOpenKey(key, access, &attributes);
}

NTSTATUS SetNumber(HANDLE key, const wchar_t* name, ULONG number) {
  UNICODE_STRING value = ob::String(name);
  return ZwSetValueKey(key, &value, 0, REG_DWORD, &number, sizeof(number));
}

NTSTATUS HandleCreate(RequestReader& request, ReplyWriter&) {
  ScopedString name, key, path;
  NTSTATUS status = ReadServiceName(request, &name, &key);
  if (NT_SUCCESS(status)) status = ReadString(request, &path);
  const ULONG type = request.U32();
  const ULONG start = request.U32();
  const ULONG error_control = request.U32();
  if (!NT_SUCCESS(status)) return status;
  if (request.Failed() || path.value.Length == 0 || (type != 1 && type != 2) || start > 4 ||
      error_control > 3)
    return STATUS_INVALID_PARAMETER;
  ScopedString nt_path;
  status = NtPathOf(&path.value, &nt_path.value);
  if (!NT_SUCCESS(status)) return status;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &key.value, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr,
                             nullptr);
  HANDLE handle;
  ULONG disposition;
  status =
      ZwCreateKey(&handle, KEY_ALL_ACCESS, &attributes, 0, nullptr, REG_OPTION_NON_VOLATILE, &disposition);
  if (!NT_SUCCESS(status)) return status;
  if (disposition != REG_CREATED_NEW_KEY) {
    ZwClose(handle);
    return STATUS_OBJECT_NAME_COLLISION;
  }
  UNICODE_STRING image_path = ob::String(L"ImagePath");
  status = ZwSetValueKey(handle, &image_path, 0, REG_EXPAND_SZ, nt_path.value.Buffer,
                         nt_path.value.Length + sizeof(WCHAR));
  if (NT_SUCCESS(status)) status = SetNumber(handle, L"Type", type);
  if (NT_SUCCESS(status)) status = SetNumber(handle, L"Start", start);
  if (NT_SUCCESS(status)) status = SetNumber(handle, L"ErrorControl", error_control);
  if (!NT_SUCCESS(status)) ZwDeleteKey(handle);
  ZwClose(handle);
  NTSTATUS flushed = CmFlushHives();
  return NT_SUCCESS(status) ? flushed : status;
}

NTSTATUS HandleDelete(RequestReader& request, ReplyWriter&) {
  ScopedString name, key;
  NTSTATUS status = ReadServiceName(request, &name, &key);
  if (!NT_SUCCESS(status)) return status;
  if (PDRIVER_OBJECT driver = ReferenceDriverOfServiceOrNull(&name.value); driver != nullptr) {
    ObfDereferenceObject(driver);
    return STATUS_DELETE_PENDING;  // it runs: stop it first
  }
  HANDLE handle;
  status = OpenKey(&key.value, DELETE, &handle);
  if (!NT_SUCCESS(status)) return status;
  status = ZwDeleteKey(handle);
  ZwClose(handle);
  NTSTATUS flushed = CmFlushHives();
  return NT_SUCCESS(status) ? flushed : status;
}

NTSTATUS HandleStart(RequestReader& request, ReplyWriter& reply) {
  ScopedString name, key;
  NTSTATUS status = ReadServiceName(request, &name, &key);
  if (!NT_SUCCESS(status)) return status;
  auto* detail =
      static_cast<LoadDetail*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(LoadDetail), kFileTag));
  if (detail == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  status = LoadDriver(&key.value, detail);
  reply.String(detail->text, detail->length);
  ExFreePoolWithTag(detail, kFileTag);
  return status;
}

NTSTATUS HandleStop(RequestReader& request, ReplyWriter& reply) {
  ScopedString name, key;
  NTSTATUS status = ReadServiceName(request, &name, &key);
  if (!NT_SUCCESS(status)) return status;
  auto* findings = static_cast<Findings*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Findings), kFileTag));
  if (findings == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  findings->length = 0;
  // A plug and play driver is in use for as long as it has devices.
  if (PDRIVER_OBJECT driver = ReferenceDriverOfServiceOrNull(&name.value); driver != nullptr) {
    if (driver->DriverExtension->AddDevice != nullptr) status = pnp::RemoveDevicesOf(driver);
    ObfDereferenceObject(driver);
  }
  if (NT_SUCCESS(status)) status = UnloadDriver(&key.value, findings);
  reply.String(findings->text, findings->length);
  ExFreePoolWithTag(findings, kFileTag);
  return status;
}

void WriteService(ReplyWriter& reply, const ServiceDescription& service) {
  WriteString(reply, &service.name);
  WriteString(reply, &service.image_path);
  reply.U32(service.type);
  PDRIVER_OBJECT driver = ReferenceDriverOfServiceOrNull(&service.name);
  reply.U32(driver != nullptr ? 4 : 1);
  reply.U64(driver != nullptr ? reinterpret_cast<ULONG64>(driver->DriverStart) : 0);
  reply.U64(driver != nullptr ? driver->DriverSize : 0);
  if (driver != nullptr) ObfDereferenceObject(driver);
}

NTSTATUS QueryOne(PCUNICODE_STRING name, ReplyWriter& reply) {
  ScopedString key;
  NTSTATUS status = ServiceKeyOf(name, &key.value);
  if (!NT_SUCCESS(status)) return status;
  ServiceDescription service;
  status = ReadServiceKey(&key.value, &service);
  if (!NT_SUCCESS(status)) return status;
  WriteService(reply, service);
  FreeServiceDescription(&service);
  return STATUS_SUCCESS;
}

NTSTATUS QueryAll(ReplyWriter& reply) {
  UNICODE_STRING path = ob::String(L"\\Registry\\Machine\\System\\CurrentControlSet\\Services");
  HANDLE key;
  NTSTATUS status = OpenKey(&path, KEY_READ, &key);
  if (!NT_SUCCESS(status)) return status;
  constexpr ULONG kSize = 1024;
  auto* information =
      static_cast<PKEY_BASIC_INFORMATION>(ExAllocatePoolWithTag(NonPagedPoolNx, kSize, kNameTag));
  if (information == nullptr) status = STATUS_INSUFFICIENT_RESOURCES;
  for (ULONG index = 0; NT_SUCCESS(status); ++index) {
    ULONG length;
    status = ZwEnumerateKey(key, index, KeyBasicInformation, information, kSize, &length);
    if (!NT_SUCCESS(status)) break;
    const UNICODE_STRING name = {static_cast<USHORT>(information->NameLength),
                                 static_cast<USHORT>(information->NameLength), information->Name};
    QueryOne(&name, reply);  // keys that are no drivers' services are left out
  }
  if (information != nullptr) ExFreePoolWithTag(information, kNameTag);
  ZwClose(key);
  return status == STATUS_NO_MORE_ENTRIES ? STATUS_SUCCESS : status;
}

NTSTATUS HandleQuery(RequestReader& request, ReplyWriter& reply) {
  ScopedString name;
  NTSTATUS status = ReadString(request, &name);
  if (!NT_SUCCESS(status)) return status;
  return name.value.Length == 0 ? QueryAll(reply) : QueryOne(&name.value, reply);
}

bool NameTheService(PVOID object, PCUNICODE_STRING name, PVOID context) {
  auto* wanted = static_cast<PVOID*>(context);
  auto* driver = static_cast<PDRIVER_OBJECT>(object);
  if (ObGetObjectType(object) != IoDriverObjectType || driver->DriverSection != wanted[0]) return true;
  auto* reply = static_cast<ReplyWriter*>(wanted[1]);
  WriteString(*reply, name);
  wanted[0] = nullptr;
  return false;
}

// The name of the service whose driver's image this is, or "".
void WriteServiceOf(ReplyWriter& reply, PKLDR_DATA_TABLE_ENTRY image) {
  PVOID context[2] = {image, &reply};
  const wchar_t* const folders[] = {L"\\Driver", L"\\FileSystem"};
  for (const wchar_t* folder : folders) {
    UNICODE_STRING path = ob::String(folder);
    PVOID directory;
    if (!NT_SUCCESS(ObReferenceObjectByName(&path, OBJ_CASE_INSENSITIVE, nullptr, 0, ObpDirectoryObjectType,
                                            KernelMode, nullptr, &directory)))
      continue;
    ob::EnumerateDirectory(static_cast<POBJECT_DIRECTORY>(directory), NameTheService, context);
    ObfDereferenceObject(directory);
    if (context[0] == nullptr) return;
  }
  reply.String("", 0);
}

NTSTATUS HandleDriverQuery(RequestReader&, ReplyWriter& reply) {
  for (LIST_ENTRY* link = PsLoadedModuleList.Flink; link != &PsLoadedModuleList; link = link->Flink) {
    PKLDR_DATA_TABLE_ENTRY image = CONTAINING_RECORD(link, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
    WriteString(reply, &image->BaseDllName);
    reply.U64(reinterpret_cast<ULONG64>(image->DllBase));
    reply.U64(image->SizeOfImage);
    WriteString(reply, &image->FullDllName);
    WriteServiceOf(reply, image);
  }
  return STATUS_SUCCESS;
}

NTSTATUS OpenForHost(RequestReader& request, ACCESS_MASK access, ULONG options, HANDLE* file) {
  ScopedString path, nt_path;
  NTSTATUS status = ReadString(request, &path);
  if (NT_SUCCESS(status)) status = NtPathOf(&path.value, &nt_path.value);
  if (!NT_SUCCESS(status)) return status;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &nt_path.value, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr,
                             nullptr);
  IO_STATUS_BLOCK iosb;
  return ZwOpenFile(file, access | SYNCHRONIZE, &attributes, &iosb,
                    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                    options | FILE_SYNCHRONOUS_IO_NONALERT);
}

NTSTATUS HandleDirectory(RequestReader& request, ReplyWriter& reply) {
  HANDLE directory;
  NTSTATUS status = OpenForHost(request, FILE_LIST_DIRECTORY, FILE_DIRECTORY_FILE, &directory);
  if (!NT_SUCCESS(status)) return status;
  constexpr ULONG kSize = 8192;
  auto* buffer = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, kSize, kFileTag));
  if (buffer == nullptr) status = STATUS_INSUFFICIENT_RESOURCES;
  for (BOOLEAN restart = TRUE; NT_SUCCESS(status); restart = FALSE) {
    IO_STATUS_BLOCK iosb;
    status = ZwQueryDirectoryFile(directory, nullptr, nullptr, nullptr, &iosb, buffer, kSize,
                                  FileDirectoryInformation, FALSE, nullptr, restart);
    if (!NT_SUCCESS(status)) break;
    for (auto* entry = reinterpret_cast<PFILE_DIRECTORY_INFORMATION>(buffer);;
         entry = reinterpret_cast<PFILE_DIRECTORY_INFORMATION>(reinterpret_cast<UCHAR*>(entry) +
                                                               entry->NextEntryOffset)) {
      const UNICODE_STRING name = {static_cast<USHORT>(entry->FileNameLength),
                                   static_cast<USHORT>(entry->FileNameLength), entry->FileName};
      WriteString(reply, &name);
      reply.U32(entry->FileAttributes);
      reply.U64(static_cast<ULONG64>(entry->EndOfFile.QuadPart));
      reply.U64(static_cast<ULONG64>(entry->LastWriteTime.QuadPart));
      if (entry->NextEntryOffset == 0) break;
    }
  }
  if (buffer != nullptr) ExFreePoolWithTag(buffer, kFileTag);
  ZwClose(directory);
  return status == STATUS_NO_MORE_FILES || status == STATUS_NO_SUCH_FILE ? STATUS_SUCCESS : status;
}

NTSTATUS HandleReadFile(RequestReader& request, ReplyWriter& reply) {
  HANDLE file;
  NTSTATUS status = OpenForHost(request, FILE_READ_DATA, FILE_NON_DIRECTORY_FILE, &file);
  if (!NT_SUCCESS(status)) return status;
  LARGE_INTEGER offset;
  offset.QuadPart = static_cast<LONGLONG>(request.U64());
  ULONG length = request.U32();
  if (length > 32 * 1024) length = 32 * 1024;
  PVOID buffer = ExAllocatePoolWithTag(NonPagedPoolNx, length + 1, kFileTag);
  if (buffer == nullptr || request.Failed())
    status = request.Failed() ? STATUS_INVALID_PARAMETER : STATUS_INSUFFICIENT_RESOURCES;
  if (NT_SUCCESS(status)) {
    IO_STATUS_BLOCK iosb = {};
    status = ZwReadFile(file, nullptr, nullptr, nullptr, &iosb, buffer, length, &offset, nullptr);
    if (NT_SUCCESS(status)) reply.Append(buffer, iosb.Information);
  }
  if (buffer != nullptr) ExFreePoolWithTag(buffer, kFileTag);
  ZwClose(file);
  return status == STATUS_END_OF_FILE ? STATUS_SUCCESS : status;
}

struct Activity {
  PDRIVER_OBJECT driver;
  ReplyWriter* reply;
  ULONG alive;
  ULONG runnable;
  bool write;
};

bool VisitActivity(PETHREAD thread, PVOID context) {
  auto* activity = static_cast<Activity*>(context);
  const auto offset = reinterpret_cast<ULONG_PTR>(thread->StartAddress) -
                      reinterpret_cast<ULONG_PTR>(activity->driver->DriverStart);
  if (offset >= activity->driver->DriverSize) return true;
  if (activity->write) {
    activity->reply->U64(reinterpret_cast<ULONG64>(thread));
    activity->reply->U32(thread->Tcb.State);
    activity->reply->U32(thread->Tcb.WaitReason);
    activity->reply->U64(thread->Tcb.ContextSwitches);
    return true;
  }
  ++activity->alive;
  const UCHAR state = thread->Tcb.State;
  if (state == Ready || state == Running || state == Standby || state == DeferredReady) ++activity->runnable;
  return true;
}

NTSTATUS HandleActivity(RequestReader& request, ReplyWriter& reply) {
  ScopedString name;
  NTSTATUS status = ReadString(request, &name);
  if (!NT_SUCCESS(status)) return status;
  PDRIVER_OBJECT driver;
  status = ReferenceDriver(&name.value, &driver);
  if (!NT_SUCCESS(status)) return status;
  Activity activity = {driver, &reply, 0, 0, false};
  ps::EnumerateThreads(PsInitialSystemProcess, VisitActivity, &activity);
  ULONG devices = 0;
  for (PDEVICE_OBJECT device = driver->DeviceObject; device != nullptr; device = device->NextDevice)
    ++devices;
  reply.U32(activity.alive);
  reply.U32(devices);
  reply.U32(activity.runnable);
  activity.write = true;
  ps::EnumerateThreads(PsInitialSystemProcess, VisitActivity, &activity);
  ObfDereferenceObject(driver);
  return STATUS_SUCCESS;
}

bool VisitObject(PVOID object, PCUNICODE_STRING name, PVOID context) {
  auto* reply = static_cast<ReplyWriter*>(context);
  WriteString(*reply, name);
  WriteString(*reply, &ObGetObjectType(object)->Name);
  return true;
}

bool VisitObjectAndAddress(PVOID object, PCUNICODE_STRING name, PVOID context) {
  VisitObject(object, name, context);
  static_cast<ReplyWriter*>(context)->U64(reinterpret_cast<ULONG64>(object));
  return true;
}

NTSTATUS ListDirectory(RequestReader& request, ReplyWriter& reply,
                       bool (*visit)(PVOID, PCUNICODE_STRING, PVOID)) {
  ScopedString path;
  NTSTATUS status = ReadString(request, &path);
  if (!NT_SUCCESS(status)) return status;
  PVOID directory;
  status = ObReferenceObjectByName(&path.value, OBJ_CASE_INSENSITIVE, nullptr, 0, ObpDirectoryObjectType,
                                   KernelMode, nullptr, &directory);
  if (!NT_SUCCESS(status)) return status;
  status = ob::EnumerateDirectory(static_cast<POBJECT_DIRECTORY>(directory), visit, &reply);
  ObfDereferenceObject(directory);
  return status;
}

NTSTATUS HandleDevices(RequestReader& request, ReplyWriter& reply) {
  return ListDirectory(request, reply, VisitObject);
}

NTSTATUS HandleObjects(RequestReader& request, ReplyWriter& reply) {
  return ListDirectory(request, reply, VisitObjectAndAddress);
}

NTSTATUS HandleCrash(RequestReader&, ReplyWriter&) {
  KeBugCheckEx(MANUALLY_INITIATED_CRASH, 0, 0, 0, 0);
}

NTSTATUS HandleLiveDump(RequestReader&, ReplyWriter&) {
  KiTakeLiveDump();
  return STATUS_SUCCESS;
}

NTSTATUS HandleWatchKernel(RequestReader&, ReplyWriter&) {
  return ps::CreateSystemThread(KiWatchKernel, nullptr, nullptr);
}

// Runs after the reply is on its way.
VOID NTAPI ShutdownThread(PVOID) {
  LARGE_INTEGER pause;
  pause.QuadPart = -20'000;  // 2 ms: the reply goes first
  KeDelayExecutionThread(KernelMode, FALSE, &pause);
  kd::SetMachineState(boot::MachineState::kShuttingDown);
  IoShutdownSystem();
  kd::SetMachineState(boot::MachineState::kStopped);
}

NTSTATUS HandleShutdown(RequestReader&, ReplyWriter&) {
  return ps::CreateSystemThread(ShutdownThread, nullptr, nullptr);
}

}  // namespace

NTSTATUS InitServiceControl() {
  using boot::Request;
  kd::RegisterRequestHandler(Request::kShutdown, HandleShutdown);
  kd::RegisterRequestHandler(Request::kServiceCreate, HandleCreate);
  kd::RegisterRequestHandler(Request::kServiceDelete, HandleDelete);
  kd::RegisterRequestHandler(Request::kServiceStart, HandleStart);
  kd::RegisterRequestHandler(Request::kServiceStop, HandleStop);
  kd::RegisterRequestHandler(Request::kServiceQuery, HandleQuery);
  kd::RegisterRequestHandler(Request::kDriverQuery, HandleDriverQuery);
  kd::RegisterRequestHandler(Request::kDirectory, HandleDirectory);
  kd::RegisterRequestHandler(Request::kReadFile, HandleReadFile);
  kd::RegisterRequestHandler(Request::kDriverActivity, HandleActivity);
  kd::RegisterRequestHandler(Request::kDevices, HandleDevices);
  kd::RegisterRequestHandler(Request::kObjects, HandleObjects);
  kd::RegisterRequestHandler(Request::kCrash, HandleCrash);
  kd::RegisterRequestHandler(Request::kLiveDump, HandleLiveDump);
  kd::RegisterRequestHandler(Request::kWatchKernel, HandleWatchKernel);
  return STATUS_SUCCESS;
}

}  // namespace io
