// Symbolic links.
#include "ob_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"

extern "C" VOID NTAPI ObpDeleteSymbolicLink(PVOID Object) {
  auto* link = static_cast<POBJECT_SYMBOLIC_LINK>(Object);
  if (link->LinkTarget.Buffer != nullptr) ExFreePoolWithTag(link->LinkTarget.Buffer, kNameTag);
}

namespace {

NTSTATUS MakeLink(POBJECT_ATTRIBUTES attributes, PCUNICODE_STRING target, PVOID* object) {
  if (target->Length % sizeof(WCHAR) != 0) return STATUS_INVALID_PARAMETER;
  NTSTATUS status = ObCreateObject(KernelMode, ObpSymbolicLinkObjectType, attributes, KernelMode, nullptr,
                                   sizeof(OBJECT_SYMBOLIC_LINK), 0, 0, object);
  if (!NT_SUCCESS(status)) return status;
  auto* link = static_cast<POBJECT_SYMBOLIC_LINK>(*object);
  KeQuerySystemTime(&link->CreationTime);
  status = ob::DuplicateString(*target, NonPagedPoolNx, kNameTag, &link->LinkTarget);
  if (!NT_SUCCESS(status)) ObfDereferenceObject(*object);
  return status;
}

}  // namespace

namespace ob {

NTSTATUS CreateLink(const wchar_t* path, const wchar_t* target) {
  UNICODE_STRING name = String(path);
  UNICODE_STRING to = String(target);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  PVOID object;
  NTSTATUS status = MakeLink(&attributes, &to, &object);
  return NT_SUCCESS(status) ? ObInsertObject(object, nullptr, 0, 0, nullptr, nullptr) : status;
}

}  // namespace ob

/// Creates a symbolic link object; it lives until its last handle closes, unless OBJ_PERMANENT.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: no access check (kernel callers only).
/// Source: WDK ntifs/ZwCreateSymbolicLinkObject (not documented there); Windows Internals 7 part 2.
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtCreateSymbolicLinkObject(PHANDLE LinkHandle,
                                                                       ACCESS_MASK DesiredAccess,
                                                                       POBJECT_ATTRIBUTES ObjectAttributes,
                                                                       PUNICODE_STRING LinkTarget) {
  PVOID object;
  NTSTATUS status = MakeLink(ObjectAttributes, LinkTarget, &object);
  return NT_SUCCESS(status) ? ObInsertObject(object, nullptr, DesiredAccess, 0, nullptr, LinkHandle) : status;
}

/// NtCreateSymbolicLinkObject with previous mode kernel.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: not documented; Windows Internals 7 part 2.
NT_EXPORT(ZwCreateSymbolicLinkObject, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ZwCreateSymbolicLinkObject(PHANDLE LinkHandle, ACCESS_MASK DesiredAccess,
                                                     POBJECT_ATTRIBUTES ObjectAttributes,
                                                     PUNICODE_STRING LinkTarget) {
  return ke::CallService(NtCreateSymbolicLinkObject, LinkHandle, DesiredAccess, ObjectAttributes, LinkTarget);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenSymbolicLinkObject(PHANDLE LinkHandle,
                                                                     ACCESS_MASK DesiredAccess,
                                                                     POBJECT_ATTRIBUTES ObjectAttributes) {
  return ObOpenObjectByName(ObjectAttributes, ObpSymbolicLinkObjectType, KeGetCurrentThread()->PreviousMode,
                            nullptr, DesiredAccess, nullptr, LinkHandle);
}

/// Opens a symbolic link object (the link, not what it leads to).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwOpenSymbolicLinkObject.
NT_EXPORT(ZwOpenSymbolicLinkObject, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ZwOpenSymbolicLinkObject(PHANDLE LinkHandle, ACCESS_MASK DesiredAccess,
                                                   POBJECT_ATTRIBUTES ObjectAttributes) {
  return ke::CallService(NtOpenSymbolicLinkObject, LinkHandle, DesiredAccess, ObjectAttributes);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQuerySymbolicLinkObject(HANDLE LinkHandle,
                                                                      PUNICODE_STRING LinkTarget,
                                                                      PULONG ReturnedLength) {
  PVOID object;
  NTSTATUS status = ob::ReferenceHandle(LinkHandle, ObpSymbolicLinkObjectType, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  const UNICODE_STRING& target = static_cast<POBJECT_SYMBOLIC_LINK>(object)->LinkTarget;
  if (ReturnedLength != nullptr) *ReturnedLength = target.MaximumLength;
  const USHORT wanted = ReturnedLength != nullptr ? target.MaximumLength : target.Length;
  if (LinkTarget->MaximumLength < wanted) {
    status = STATUS_BUFFER_TOO_SMALL;
  } else {
    RtlCopyMemory(LinkTarget->Buffer, target.Buffer, wanted);
    LinkTarget->Length = target.Length;
  }
  ObfDereferenceObject(object);
  return status;
}

/// The target of a symbolic link.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwQuerySymbolicLinkObject.
NT_EXPORT(ZwQuerySymbolicLinkObject, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ZwQuerySymbolicLinkObject(HANDLE LinkHandle, PUNICODE_STRING LinkTarget,
                                                    PULONG ReturnedLength) {
  return ke::CallService(NtQuerySymbolicLinkObject, LinkHandle, LinkTarget, ReturnedLength);
}
