// Descriptors of files: a device keeps its own, a file system those of its files.
#include "io_internal.h"
#include "ob/security.h"

namespace {

NTSTATUS NTAPI SignalAndKeep(PDEVICE_OBJECT, PIRP, PVOID event) {
  KeSetEvent(static_cast<PKEVENT>(event), IO_NO_INCREMENT, FALSE);
  return STATUS_MORE_PROCESSING_REQUIRED;
}

// Sends a request about an open file and waits; *information is what the file system leaves there.
NTSTATUS Ask(PFILE_OBJECT file, const IO_STACK_LOCATION& request, PVOID buffer, ULONG_PTR* information) {
  PDEVICE_OBJECT device = IoGetRelatedDeviceObject(file);
  PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
  if (irp == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  KEVENT done;
  KeInitializeEvent(&done, NotificationEvent, FALSE);
  irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  irp->Tail.Overlay.OriginalFileObject = file;
  irp->RequestorMode = KernelMode;
  irp->UserBuffer = buffer;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  *stack = request;
  stack->FileObject = file;
  IoSetCompletionRoutine(irp, SignalAndKeep, &done, TRUE, TRUE, TRUE);
  NTSTATUS status = IofCallDriver(device, irp);
  if (status == STATUS_PENDING) KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, nullptr);
  status = irp->IoStatus.Status;
  *information = irp->IoStatus.Information;
  IoFreeIrp(irp);
  return status;
}

// What a file of a file system without security answers: everybody may do everything.
NTSTATUS QueryWorld(SECURITY_INFORMATION* information, PSECURITY_DESCRIPTOR descriptor, PULONG length) {
  alignas(ULONG) UCHAR list[64];
  SECURITY_DESCRIPTOR world;
  auto* acl = reinterpret_cast<PACL>(list);
  PSID everybody = SeExports->SeWorldSid;
  NTSTATUS status = RtlCreateSecurityDescriptor(&world, SECURITY_DESCRIPTOR_REVISION);
  if (NT_SUCCESS(status)) status = RtlCreateAcl(acl, sizeof(list), ACL_REVISION);
  if (NT_SUCCESS(status)) status = RtlAddAccessAllowedAce(acl, ACL_REVISION, FILE_ALL_ACCESS, everybody);
  if (NT_SUCCESS(status)) status = RtlSetDaclSecurityDescriptor(&world, TRUE, acl, FALSE);
  if (NT_SUCCESS(status)) status = RtlSetOwnerSecurityDescriptor(&world, everybody, FALSE);
  if (NT_SUCCESS(status)) status = RtlSetGroupSecurityDescriptor(&world, everybody, FALSE);
  PSECURITY_DESCRIPTOR whole = &world;
  return NT_SUCCESS(status) ? SeQuerySecurityDescriptorInfo(information, descriptor, length, &whole) : status;
}

NTSTATUS Query(PFILE_OBJECT file, SECURITY_INFORMATION* information, PSECURITY_DESCRIPTOR descriptor,
               PULONG length) {
  IO_STACK_LOCATION request = {};
  request.MajorFunction = IRP_MJ_QUERY_SECURITY;
  request.Parameters.QuerySecurity.SecurityInformation = *information;
  request.Parameters.QuerySecurity.Length = *length;
  ULONG_PTR needed = 0;
  const NTSTATUS status = Ask(file, request, descriptor, &needed);
  if (status == STATUS_INVALID_DEVICE_REQUEST) return QueryWorld(information, descriptor, length);
  if (NT_SUCCESS(status) || status == STATUS_BUFFER_OVERFLOW || status == STATUS_BUFFER_TOO_SMALL)
    *length = static_cast<ULONG>(needed);
  return status == STATUS_BUFFER_OVERFLOW ? STATUS_BUFFER_TOO_SMALL : status;
}

NTSTATUS Set(PFILE_OBJECT file, SECURITY_INFORMATION information, PSECURITY_DESCRIPTOR descriptor) {
  IO_STACK_LOCATION request = {};
  request.MajorFunction = IRP_MJ_SET_SECURITY;
  request.Parameters.SetSecurity.SecurityInformation = information;
  request.Parameters.SetSecurity.SecurityDescriptor = descriptor;
  ULONG_PTR unused;
  const NTSTATUS status = Ask(file, request, nullptr, &unused);
  // A file system without security has nothing to change.
  return status == STATUS_INVALID_DEVICE_REQUEST ? STATUS_SUCCESS : status;
}

}  // namespace

NTSTATUS io::FileSecurity(PVOID object, bool set, PSECURITY_INFORMATION information,
                          PSECURITY_DESCRIPTOR descriptor, PULONG length) {
  auto* file = static_cast<PFILE_OBJECT>(object);
  // Opened by its own name, a device or a volume is what the handle stands for.
  const bool of_device = file->FileName.Length == 0 || (file->Flags & FO_DIRECT_DEVICE_OPEN) != 0;
  if (of_device) {
    return set ? ob::SetSecurity(file->DeviceObject, *information, descriptor)
               : ob::QuerySecurity(file->DeviceObject, *information, descriptor, length);
  }
  return set ? Set(file, *information, descriptor) : Query(file, information, descriptor, length);
}
