// Objects into the name space and into handles.
#include "ob_internal.h"
#include "ob/security.h"
#include "nt/export.h"

namespace {

// Frees the creation record; from here on the object is an ordinary one.
void EndCreation(POBJECT_HEADER header) {
  POBJECT_CREATE_INFORMATION info = header->ObjectCreateInfo;
  header->Flags &= ~OB_FLAG_NEW_OBJECT;
  header->ObjectCreateInfo = nullptr;
  if (info != nullptr) ExFreePoolWithTag(info, kObjectTag);
}

}  // namespace

/// Enters a new object into the name space (if it has a name) and, when wanted, into the handle table. With a
/// handle the caller's reference is consumed; if the name exists and OBJ_OPENIF is set the existing object is
/// what is returned (STATUS_OBJECT_NAME_EXISTS). On failure the new object is dereferenced.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: no access check (kernel callers only).
/// Source: WDK ntifs/ObInsertObject.
NT_EXPORT(ObInsertObject, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelOb.*");
extern "C" NTSTATUS NTAPI ObInsertObject(PVOID Object, PACCESS_STATE, ACCESS_MASK DesiredAccess,
                                         ULONG ObjectPointerBias, PVOID* NewObject, PHANDLE Handle) {
  POBJECT_HEADER header = ObjectToHeader(Object);
  const OBJECT_CREATE_INFORMATION info = *header->ObjectCreateInfo;
  NTSTATUS result = STATUS_SUCCESS;
  PVOID found = Object;
  if (POBJECT_HEADER_NAME_INFO name = ObjectNameInfo(header); name != nullptr) {
    UNICODE_STRING path =
        name->Name;  // InsertHere shortens the object's own copy while the walk still reads this one
    UNICODE_STRING copy = {
        0, path.MaximumLength,
        static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, path.MaximumLength, kNameTag))};
    if (copy.Buffer == nullptr) {
      EndCreation(header);
      ObfDereferenceObject(Object);
      return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(copy.Buffer, path.Buffer, path.Length);
    copy.Length = path.Length;
    result = ObpLookupObjectName(info.RootDirectory, &copy, info.Attributes, ObGetObjectType(Object),
                                 KernelMode, info.ParseContext, Object, &found);
    ExFreePoolWithTag(copy.Buffer, kNameTag);
    if (!NT_SUCCESS(result)) {
      EndCreation(header);
      ObfDereferenceObject(Object);
      return result;
    }
    if (found == Object) ObfDereferenceObject(found);  // the look-up's reference
  }
  EndCreation(header);
  NTSTATUS status = STATUS_SUCCESS;
  if (Handle != nullptr) {
    status = ObpCreateHandle(found, DesiredAccess, info.Attributes, __builtin_return_address(0), Handle);
    if (NT_SUCCESS(status) && NewObject != nullptr) {
      for (ULONG i = 0; i < ObjectPointerBias; ++i) ObfReferenceObject(found);
      *NewObject = found;
    }
    if (!NT_SUCCESS(status) && found == Object) ObMakeTemporaryObject(Object);
    if (found != Object) ObfDereferenceObject(found);
    ObfDereferenceObject(Object);
  } else if (found != Object) {
    ObfDereferenceObject(Object);
    if (NewObject != nullptr)
      *NewObject = found;
    else
      ObfDereferenceObject(found);
  } else if (NewObject != nullptr) {
    *NewObject = found;
  }
  return NT_SUCCESS(status) ? result : status;
}

/// Opens a handle to an object by name.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: not documented; the DDK's ntifs of older days.
NT_EXPORT(ObOpenObjectByName, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ObOpenObjectByName(POBJECT_ATTRIBUTES ObjectAttributes, POBJECT_TYPE ObjectType,
                                             KPROCESSOR_MODE AccessMode, PACCESS_STATE AccessState,
                                             ACCESS_MASK DesiredAccess, PVOID ParseContext, PHANDLE Handle) {
  *Handle = nullptr;
  if (ObjectAttributes == nullptr || ObjectAttributes->Length != sizeof(OBJECT_ATTRIBUTES))
    return STATUS_INVALID_PARAMETER;
  UNICODE_STRING empty = {};
  PUNICODE_STRING name = ObjectAttributes->ObjectName != nullptr ? ObjectAttributes->ObjectName : &empty;
  PVOID object;
  NTSTATUS status = ObpLookupObjectName(ObjectAttributes->RootDirectory, name, ObjectAttributes->Attributes,
                                        ObjectType, AccessMode, ParseContext, nullptr, &object);
  if (!NT_SUCCESS(status)) return status;
  ACCESS_MASK granted;
  NTSTATUS opened =
      ob::CheckAccess(object, DesiredAccess, ObjectAttributes->Attributes, AccessMode, AccessState, &granted);
  if (NT_SUCCESS(opened))
    opened =
        ObpCreateHandle(object, granted, ObjectAttributes->Attributes, __builtin_return_address(0), Handle);
  ObfDereferenceObject(object);
  return NT_SUCCESS(opened) ? status : opened;
}
