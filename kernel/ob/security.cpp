// Descriptors of objects in use.
#include "ob_internal.h"
#include "ob/security.h"

#include "ke/service_call.h"
#include "nt/export.h"

namespace ob {
namespace {

NTSTATUS Check(POBJECT_HEADER header, ACCESS_MASK desired, PSECURITY_SUBJECT_CONTEXT subject,
               ACCESS_MASK* granted) {
  GENERIC_MAPPING mapping = ObTypeIndexTable[header->TypeIndex]->TypeInfo.GenericMapping;
  PushLockGuard guard(&header->Lock, PushLockGuard::Access::kShared);
  if (header->SecurityDescriptor == nullptr) return STATUS_SUCCESS;
  NTSTATUS status;
  PPRIVILEGE_SET used = nullptr;
  const BOOLEAN allowed = SeAccessCheck(header->SecurityDescriptor, subject, FALSE, desired, 0, &used,
                                        &mapping, UserMode, granted, &status);
  if (used != nullptr) ExFreePool(used);
  return allowed ? STATUS_SUCCESS : status;
}

// The rights that a query or a change of such parts needs.
ACCESS_MASK ReadRights(SECURITY_INFORMATION information) {
  return ((information & ~ULONG{SACL_SECURITY_INFORMATION}) != 0 ? READ_CONTROL : 0) |
         ((information & SACL_SECURITY_INFORMATION) ? ACCESS_SYSTEM_SECURITY : 0);
}
ACCESS_MASK WriteRights(SECURITY_INFORMATION information) {
  constexpr SECURITY_INFORMATION kOwner =
      OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION | LABEL_SECURITY_INFORMATION;
  return ((information & kOwner) ? WRITE_OWNER : 0) |
         ((information & DACL_SECURITY_INFORMATION) ? WRITE_DAC : 0) |
         ((information & SACL_SECURITY_INFORMATION) ? ACCESS_SYSTEM_SECURITY : 0);
}

SecurityMethod MethodOf(PVOID object) {
  return reinterpret_cast<SecurityMethod>(ObGetObjectType(object)->TypeInfo.SecurityProcedure);
}

}  // namespace

NTSTATUS CheckAccess(PVOID object, ACCESS_MASK desired, ULONG attributes, KPROCESSOR_MODE mode,
                     PACCESS_STATE state, ACCESS_MASK* granted) {
  *granted = desired;
  POBJECT_HEADER header = ObjectToHeader(object);
  const bool checked = mode != KernelMode || (attributes & OBJ_FORCE_ACCESS_CHECK) != 0;
  if (!checked || header->SecurityDescriptor == nullptr) return STATUS_SUCCESS;
  if (state != nullptr) return Check(header, desired, &state->SubjectSecurityContext, granted);
  SECURITY_SUBJECT_CONTEXT subject;
  SeCaptureSubjectContext(&subject);
  const NTSTATUS status = Check(header, desired, &subject, granted);
  SeReleaseSubjectContext(&subject);
  return status;
}

NTSTATUS AssignSecurity(PVOID object, PSECURITY_DESCRIPTOR explicit_descriptor) {
  GENERIC_MAPPING mapping = ObGetObjectType(object)->TypeInfo.GenericMapping;
  SECURITY_SUBJECT_CONTEXT subject;
  SeCaptureSubjectContext(&subject);
  PSECURITY_DESCRIPTOR made = nullptr;
  const NTSTATUS status =
      SeAssignSecurity(nullptr, explicit_descriptor, &made, FALSE, &subject, &mapping, NonPagedPoolNx);
  SeReleaseSubjectContext(&subject);
  if (NT_SUCCESS(status)) ObjectToHeader(object)->SecurityDescriptor = made;
  return status;
}

NTSTATUS QuerySecurity(PVOID object, SECURITY_INFORMATION information, PSECURITY_DESCRIPTOR descriptor,
                       PULONG length) {
  if (SecurityMethod method = MethodOf(object); method != nullptr)
    return method(object, false, &information, descriptor, length);
  POBJECT_HEADER header = ObjectToHeader(object);
  PushLockGuard guard(&header->Lock, PushLockGuard::Access::kShared);
  return SeQuerySecurityDescriptorInfo(&information, descriptor, length, &header->SecurityDescriptor);
}

NTSTATUS SetSecurity(PVOID object, SECURITY_INFORMATION information, PSECURITY_DESCRIPTOR descriptor) {
  if (SecurityMethod method = MethodOf(object); method != nullptr)
    return method(object, true, &information, descriptor, nullptr);
  POBJECT_HEADER header = ObjectToHeader(object);
  PushLockGuard guard(&header->Lock, PushLockGuard::Access::kExclusive);
  if (header->SecurityDescriptor == nullptr) {
    const NTSTATUS status = AssignSecurity(object, nullptr);
    if (!NT_SUCCESS(status)) return status;
  }
  PSECURITY_DESCRIPTOR now = header->SecurityDescriptor;
  const NTSTATUS status = SeSetSecurityDescriptorInfo(object, &information, descriptor, &now, NonPagedPoolNx,
                                                      &ObGetObjectType(object)->TypeInfo.GenericMapping);
  if (!NT_SUCCESS(status) || now == header->SecurityDescriptor) return status;
  ExFreePoolWithTag(header->SecurityDescriptor, 0);
  header->SecurityDescriptor = now;
  return status;
}

}  // namespace ob

extern "C" {
NTSTATUS NTAPI SeCaptureSecurityDescriptor(PSECURITY_DESCRIPTOR, KPROCESSOR_MODE, POOL_TYPE, BOOLEAN,
                                           PSECURITY_DESCRIPTOR*);
VOID NTAPI SeReleaseSecurityDescriptor(PSECURITY_DESCRIPTOR, KPROCESSOR_MODE, BOOLEAN);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQuerySecurityObject(HANDLE Handle,
                                                                  SECURITY_INFORMATION SecurityInformation,
                                                                  PSECURITY_DESCRIPTOR SecurityDescriptor,
                                                                  ULONG Length, PULONG LengthNeeded) {
  PVOID object;
  const KPROCESSOR_MODE mode = KeGetCurrentThread()->PreviousMode;
  NTSTATUS status =
      ObReferenceObjectByHandle(Handle, ob::ReadRights(SecurityInformation), nullptr, mode, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  status = ob::QuerySecurity(object, SecurityInformation, SecurityDescriptor, &Length);
  *LengthNeeded = Length;
  ObfDereferenceObject(object);
  return status;
}

/// Parts of an object's security descriptor, self-relative. A buffer that is too small gets the needed
/// length.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none. C: is a file system without security, as FAT is: its files answer that everybody may do
/// everything.
/// Source: WDK ntifs/ZwQuerySecurityObject.
NT_EXPORT(ZwQuerySecurityObject, nt::AtMost(PASSIVE_LEVEL), Full, "ObSecurity.* IoFileSecurity.*");
extern "C" NTSTATUS NTAPI ZwQuerySecurityObject(HANDLE Handle, SECURITY_INFORMATION SecurityInformation,
                                                PSECURITY_DESCRIPTOR SecurityDescriptor, ULONG Length,
                                                PULONG LengthNeeded) {
  return ke::CallService(NtQuerySecurityObject, Handle, SecurityInformation, SecurityDescriptor, Length,
                         LengthNeeded);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtSetSecurityObject(HANDLE Handle,
                                                                SECURITY_INFORMATION SecurityInformation,
                                                                PSECURITY_DESCRIPTOR SecurityDescriptor) {
  if (SecurityDescriptor == nullptr) return STATUS_ACCESS_VIOLATION;
  PVOID object;
  const KPROCESSOR_MODE mode = KeGetCurrentThread()->PreviousMode;
  NTSTATUS status = ObReferenceObjectByHandle(Handle, ob::WriteRights(SecurityInformation), nullptr, mode,
                                              &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  PSECURITY_DESCRIPTOR captured;
  status = SeCaptureSecurityDescriptor(SecurityDescriptor, mode, NonPagedPoolNx, TRUE, &captured);
  if (NT_SUCCESS(status)) {
    const bool complete = (!(SecurityInformation & OWNER_SECURITY_INFORMATION) ||
                           static_cast<SECURITY_DESCRIPTOR_RELATIVE*>(captured)->Owner != 0) &&
                          (!(SecurityInformation & GROUP_SECURITY_INFORMATION) ||
                           static_cast<SECURITY_DESCRIPTOR_RELATIVE*>(captured)->Group != 0);
    status =
        complete ? ob::SetSecurity(object, SecurityInformation, captured) : STATUS_INVALID_SECURITY_DESCR;
    SeReleaseSecurityDescriptor(captured, mode, TRUE);
  }
  ObfDereferenceObject(object);
  return status;
}

/// Replaces parts of an object's security descriptor; opens from user mode are checked against it from then
/// on.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none. C: is a file system without security, as FAT is: its files keep nothing of it.
/// Source: WDK ntifs/ZwSetSecurityObject.
NT_EXPORT(ZwSetSecurityObject, nt::AtMost(PASSIVE_LEVEL), Full, "ObSecurity.* IoFileSecurity.*");
extern "C" NTSTATUS NTAPI ZwSetSecurityObject(HANDLE Handle, SECURITY_INFORMATION SecurityInformation,
                                              PSECURITY_DESCRIPTOR SecurityDescriptor) {
  return ke::CallService(NtSetSecurityObject, Handle, SecurityInformation, SecurityDescriptor);
}

/// A copy of an object's whole descriptor; 0 if it has none.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the answer is always memory of its own.
/// Source: WDK wdm/ObGetObjectSecurity.
NT_EXPORT(ObGetObjectSecurity, nt::AtMost(PASSIVE_LEVEL), Full, "ObSecurity.*");
extern "C" NTSTATUS NTAPI ObGetObjectSecurity(PVOID Object, PSECURITY_DESCRIPTOR* SecurityDescriptor,
                                              PBOOLEAN MemoryAllocated) {
  constexpr SECURITY_INFORMATION kAll = OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION |
                                        DACL_SECURITY_INFORMATION | SACL_SECURITY_INFORMATION;
  *SecurityDescriptor = nullptr;
  *MemoryAllocated = FALSE;
  if (ob::MethodOf(Object) == nullptr && ObjectToHeader(Object)->SecurityDescriptor == nullptr)
    return STATUS_SUCCESS;
  ULONG length = 0;
  NTSTATUS status = ob::QuerySecurity(Object, kAll, nullptr, &length);
  while (status == STATUS_BUFFER_TOO_SMALL) {
    PVOID buffer = ExAllocatePoolWithTag(NonPagedPoolNx, length, kObjectTag);
    if (buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    status = ob::QuerySecurity(Object, kAll, buffer, &length);
    if (NT_SUCCESS(status)) {
      *SecurityDescriptor = buffer;
      *MemoryAllocated = TRUE;
    } else {
      ExFreePoolWithTag(buffer, kObjectTag);
    }
  }
  return status;
}

/// Gives back what ObGetObjectSecurity answered.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ObReleaseObjectSecurity.
NT_EXPORT(ObReleaseObjectSecurity, nt::AtMost(APC_LEVEL), Full, "ObSecurity.*");
extern "C" VOID NTAPI ObReleaseObjectSecurity(PSECURITY_DESCRIPTOR SecurityDescriptor,
                                              BOOLEAN MemoryAllocated) {
  if (SecurityDescriptor != nullptr && MemoryAllocated) ExFreePoolWithTag(SecurityDescriptor, kObjectTag);
}

/// Whether closing a handle is to be audited: never, nothing is audited.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; no audit policy is in force.
/// Source: WDK ntifs/ObQueryObjectAuditingByHandle.
NT_EXPORT(ObQueryObjectAuditingByHandle, nt::AtMost(PASSIVE_LEVEL), Full, "ObSecurity.*");
extern "C" NTSTATUS NTAPI ObQueryObjectAuditingByHandle(HANDLE Handle, PBOOLEAN GenerateOnClose) {
  PVOID object;
  const NTSTATUS status = ob::ReferenceHandle(Handle, nullptr, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  *GenerateOnClose = FALSE;
  ObfDereferenceObject(object);
  return STATUS_SUCCESS;
}
