// The host's requests about devices and power.
#include "kd/control.h"
#include "po_internal.h"

namespace pnp {
namespace {

using kd::ReplyWriter;
using kd::RequestReader;

// A text of the host, wide; gone with its scope.
class HostText {
 public:
  HostText() = default;
  ~HostText() {
    if (text_.Buffer != nullptr) ExFreePoolWithTag(text_.Buffer, kNameTag);
  }
  HostText(const HostText&) = delete;
  HostText& operator=(const HostText&) = delete;
  NTSTATUS Read(RequestReader& request) {
    const ktl::Text text = request.String();
    return request.Failed() ? STATUS_INVALID_PARAMETER : io::WideFromUtf8(text.data, text.length, &text_);
  }
  PUNICODE_STRING get() { return &text_; }

 private:
  UNICODE_STRING text_ = {};
};

void WriteName(ReplyWriter& reply, PCUNICODE_STRING name) {
  char text[512];
  ULONG length = 0;
  RtlUnicodeToUTF8N(text, sizeof(text), &length, name->Buffer, name->Length);
  reply.String(text, length);
}

struct Addition {
  PUNICODE_STRING hardware_id, service;
  bool persistent;
  ReplyWriter* reply;
};

// A device's name under ROOT: its hardware identifier without what a name cannot have.
void NameFromId(PCUNICODE_STRING id, Name* name) {
  USHORT first = 0;
  for (USHORT i = 0; i < id->Length / sizeof(WCHAR); ++i) {
    if (id->Buffer[i] == L'\\') first = i + 1;
  }
  name->Append(id->Buffer + first, id->Length - first * sizeof(WCHAR));
  const WCHAR bad[] = {L',', L'/', L'*'};
  for (const WCHAR character : bad) name->Replace(character, L'_');
}

NTSTATUS Add(PVOID context) {
  auto* addition = static_cast<Addition*>(context);
  Name name, ids;
  NameFromId(addition->hardware_id, &name);
  ids.Append(addition->hardware_id).Append(L"\0", 2 * sizeof(WCHAR));
  NTSTATUS status = NT_SUCCESS(name.Status()) ? ids.Status() : name.Status();
  if (NT_SUCCESS(status) && addition->service->Length != 0)
    status = MapHardwareId(addition->hardware_id, addition->service, addition->persistent);
  if (!NT_SUCCESS(status)) return status;
  const RootDevice root = {name.Get(), ids.Get()->Buffer, ids.length(), nullptr, addition->persistent};
  PDEVICE_NODE node;
  status = AddRootDevice(root, true, &node);
  if (!NT_SUCCESS(status)) return status;
  WriteName(*addition->reply, &node->InstancePath);
  addition->reply->U32(node->Problem);
  addition->reply->U32(node->State);
  return STATUS_SUCCESS;
}

NTSTATUS HandleAdd(RequestReader& request, ReplyWriter& reply) {
  HostText hardware_id, service;
  NTSTATUS status = hardware_id.Read(request);
  if (NT_SUCCESS(status)) status = service.Read(request);
  const ULONG flags = request.U32();
  if (!NT_SUCCESS(status)) return status;
  if (request.Failed() || hardware_id.get()->Length == 0 || hardware_id.get()->Length > 300)
    return STATUS_INVALID_PARAMETER;
  for (USHORT i = 0; i < hardware_id.get()->Length / sizeof(WCHAR); ++i) {
    const WCHAR character = hardware_id.get()->Buffer[i];
    if (character <= 0x20 || character > 0x7F || character == L',') return STATUS_OBJECT_NAME_INVALID;
  }
  Addition addition = {hardware_id.get(), service.get(), (flags & boot::kDevnodeKeep) != 0, &reply};
  return Run(Add, &addition);
}

NTSTATUS InstallWhereMissing(PVOID hardware_id) {
  InstallDevices(static_cast<PCUNICODE_STRING>(hardware_id));
  return STATUS_SUCCESS;
}

NTSTATUS HandleMap(RequestReader& request, ReplyWriter&) {
  HostText hardware_id, service;
  NTSTATUS status = hardware_id.Read(request);
  if (NT_SUCCESS(status)) status = service.Read(request);
  const ULONG values = request.U32();
  if (!NT_SUCCESS(status)) return status;
  if (request.Failed() || hardware_id.get()->Length == 0 || service.get()->Length == 0)
    return STATUS_INVALID_PARAMETER;
  status = MapHardwareId(hardware_id.get(), service.get(), true);
  for (ULONG i = 0; i < values && NT_SUCCESS(status); ++i) {
    HostText name;
    status = name.Read(request);
    const ULONG number = request.U32();
    if (!NT_SUCCESS(status)) return status;
    if (request.Failed()) return STATUS_INVALID_PARAMETER;
    status = MapParameter(hardware_id.get(), name.get(), number);
  }
  return NT_SUCCESS(status) ? Run(InstallWhereMissing, hardware_id.get()) : status;
}

struct Change {
  PUNICODE_STRING path;
  boot::DevnodeOperation operation;
};

NTSTATUS Remove(PDEVICE_NODE node) {
  if (IsRootDevice(node)) node->Reported = FALSE;
  return RemoveNode(node, false);
}

NTSTATUS Apply(PVOID context) {
  auto* change = static_cast<Change*>(context);
  PDEVICE_NODE node = FindNode(change->path);
  if (node == nullptr || node->Parent == nullptr) return STATUS_NO_SUCH_DEVICE;
  switch (change->operation) {
    case boot::DevnodeOperation::kRemove:
      return Remove(node);
    case boot::DevnodeOperation::kSurpriseRemove:
      if (IsRootDevice(node)) ForgetRootDevice(node);
      SurpriseRemoveNode(node);
      return STATUS_SUCCESS;
    case boot::DevnodeOperation::kStopAndRestart:
      return StopAndRestart(node);
    case boot::DevnodeOperation::kRescan:
      Enumerate(node);
      return STATUS_SUCCESS;
    case boot::DevnodeOperation::kEject:
      return EjectNode(node);
  }
  return STATUS_INVALID_PARAMETER;
}

NTSTATUS HandleChange(RequestReader& request, ReplyWriter&) {
  HostText path;
  const NTSTATUS status = path.Read(request);
  const auto operation = static_cast<boot::DevnodeOperation>(request.U32());
  if (!NT_SUCCESS(status)) return status;
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  Change change = {path.get(), operation};
  return Run(Apply, &change);
}

bool WriteNode(PDEVICE_NODE node, PVOID context) {
  auto* reply = static_cast<ReplyWriter*>(context);
  ULONG depth = 0;
  for (PDEVICE_NODE at = node; at->Parent != nullptr; at = at->Parent) ++depth;
  WriteName(*reply, &node->InstancePath);
  WriteName(*reply, &node->ServiceName);
  reply->U32(depth);
  reply->U32(node->State);
  reply->U32(node->Problem);
  return true;
}

NTSTATUS HandleQuery(RequestReader&, ReplyWriter& reply) {
  return Run(
      [](PVOID context) {
        VisitTree(IopRootDeviceNode, WriteNode, context);
        return NTSTATUS{STATUS_SUCCESS};
      },
      &reply);
}

NTSTATUS HandlePower(RequestReader& request, ReplyWriter& reply) {
  const auto operation = static_cast<boot::PowerOperation>(request.U32());
  const ULONG value = request.U32();
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  NTSTATUS status = STATUS_SUCCESS;
  switch (operation) {
    case boot::PowerOperation::kQuery:
      break;
    case boot::PowerOperation::kSleep:  // S1 is PowerSystemSleeping1
      status = po::Sleep(static_cast<SYSTEM_POWER_STATE>(value + PowerSystemWorking));
      break;
    case boot::PowerOperation::kWake:
      status = po::Wake();
      break;
    case boot::PowerOperation::kSource:
      status = po::ChangeSetting(GUID_ACDC_POWER_SOURCE, value);
      break;
    default:
      return STATUS_INVALID_PARAMETER;
  }
  reply.U32(po::SystemState());
  return status;
}

struct Driver {
  PDRIVER_OBJECT driver;
  PDEVICE_NODE found;
};

// A node whose stack has a device of the driver.
bool FindUser(PDEVICE_NODE node, PVOID context) {
  auto* driver = static_cast<Driver*>(context);
  if (node->Parent == nullptr || node->Legacy) return true;
  PDRIVER_OBJECT drivers[16];
  const ULONG count = IopReferenceStackDrivers(node->PhysicalDeviceObject, drivers, RTL_NUMBER_OF(drivers));
  for (ULONG i = 0; i < count; ++i) {
    if (drivers[i] == driver->driver) driver->found = node;
    ObfDereferenceObject(drivers[i]);
  }
  return driver->found == nullptr;
}

NTSTATUS RemoveUsers(PVOID context) {
  auto* driver = static_cast<Driver*>(context);
  for (;;) {
    driver->found = nullptr;
    VisitTree(IopRootDeviceNode, FindUser, driver);
    if (driver->found == nullptr) return STATUS_SUCCESS;
    PDEVICE_NODE node = driver->found;
    if (IsRootDevice(node)) node->Reported = FALSE;
    const NTSTATUS status = RemoveNode(node, true);
    if (!NT_SUCCESS(status)) return status;
  }
}

}  // namespace

NTSTATUS RemoveDevicesOf(PDRIVER_OBJECT driver) {
  Driver user = {driver, nullptr};
  return Run(RemoveUsers, &user);
}

void InitializeControl() {
  kd::RegisterRequestHandler(boot::Request::kDevnodeAdd, HandleAdd);
  kd::RegisterRequestHandler(boot::Request::kDevnodeMap, HandleMap);
  kd::RegisterRequestHandler(boot::Request::kDevnodeChange, HandleChange);
  kd::RegisterRequestHandler(boot::Request::kDevnodeQuery, HandleQuery);
  kd::RegisterRequestHandler(boot::Request::kPower, HandlePower);
}

}  // namespace pnp
