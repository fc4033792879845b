// Names to objects: directories, symbolic links (reparse), parse procedures.
#include "ob_internal.h"
#include "ob/security.h"

#include "nt/export.h"

namespace {

// The pool buffer that a reparse builds its new name in.
struct NameBuffer {
  PWCH buffer = nullptr;
  ~NameBuffer() {
    if (buffer != nullptr) ExFreePoolWithTag(buffer, kNameTag);
  }
};

// Splits the first component off `rest` (which may begin with one backslash).
UNICODE_STRING TakeComponent(UNICODE_STRING* rest) {
  if (rest->Length != 0 && rest->Buffer[0] == L'\\') {
    ++rest->Buffer;
    rest->Length -= sizeof(WCHAR);
  }
  USHORT length = 0;
  while (length < rest->Length / sizeof(WCHAR) && rest->Buffer[length] != L'\\') ++length;
  UNICODE_STRING component = {static_cast<USHORT>(length * sizeof(WCHAR)),
                              static_cast<USHORT>(length * sizeof(WCHAR)), rest->Buffer};
  rest->Buffer += length;
  rest->Length = static_cast<USHORT>(rest->Length - component.Length);
  return component;
}

// new name = link target + rest.
NTSTATUS ReparseName(const UNICODE_STRING& target, const UNICODE_STRING& rest, NameBuffer* storage,
                     UNICODE_STRING* name) {
  const ULONG length = target.Length + rest.Length;
  if (length > 0xFFFC) return STATUS_NAME_TOO_LONG;
  auto* buffer = static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, length + sizeof(WCHAR), kNameTag));
  if (buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlCopyMemory(buffer, target.Buffer, target.Length);
  RtlCopyMemory(reinterpret_cast<UCHAR*>(buffer) + target.Length, rest.Buffer, rest.Length);
  buffer[length / sizeof(WCHAR)] = 0;
  if (storage->buffer != nullptr) ExFreePoolWithTag(storage->buffer, kNameTag);
  storage->buffer = buffer;
  *name = {static_cast<USHORT>(length), static_cast<USHORT>(length + sizeof(WCHAR)), buffer};
  return STATUS_SUCCESS;
}

struct Walk {
  UNICODE_STRING name;  // complete name of this round
  UNICODE_STRING rest;  // not walked yet
  POBJECT_TYPE type;
  KPROCESSOR_MODE mode;
  ULONG attributes;
  PVOID parse_context;
  PVOID insert;
  NameBuffer storage;
};

NTSTATUS CallParse(Walk* walk, PVOID object, PVOID* found) {
  POBJECT_TYPE type = ObGetObjectType(object);
  *found = nullptr;
  NTSTATUS status =
      type->TypeInfo.ParseProcedure(object, walk->type, nullptr, walk->mode, walk->attributes, &walk->name,
                                    &walk->rest, walk->parse_context, nullptr, found);
  ObfDereferenceObject(object);
  if (NT_SUCCESS(status) && *found == nullptr && status != STATUS_REPARSE)
    status = STATUS_OBJECT_NAME_NOT_FOUND;
  return status;
}

NTSTATUS InsertHere(Walk* walk, POBJECT_DIRECTORY directory, const UNICODE_STRING& component, PVOID* found) {
  // The object keeps the last component only.
  POBJECT_HEADER_NAME_INFO info = ObjectNameInfo(ObjectToHeader(walk->insert));
  RtlMoveMemory(info->Name.Buffer, component.Buffer, component.Length);
  info->Name.Length = component.Length;
  info->Name.Buffer[component.Length / sizeof(WCHAR)] = 0;
  NTSTATUS status = ObpInsertDirectoryEntry(directory, walk->insert);
  if (!NT_SUCCESS(status)) return status;
  ObfReferenceObject(walk->insert);
  *found = walk->insert;
  return STATUS_SUCCESS;
}

// A link in the middle of a name is followed; at its end too, unless the caller wants the link itself.
bool FollowsLink(const Walk* walk) {
  return walk->rest.Length != 0 || (walk->type != ObpSymbolicLinkObjectType && walk->insert == nullptr);
}

// The object `component` of `directory`, referenced; 0 if there is none.
PVOID Step(POBJECT_DIRECTORY directory, const UNICODE_STRING& component) {
  const bool dos_devices = directory == ObpRootDirectoryObject && component.Length == 2 * sizeof(WCHAR) &&
                           component.Buffer[0] == L'?' && component.Buffer[1] == L'?';
  if (!dos_devices) return ObpLookupDirectoryEntry(directory, &component);
  ObfReferenceObject(ObpGlobalDosDevicesDirectory);
  return ObpGlobalDosDevicesDirectory;
}

// One component further. STATUS_SUCCESS with *found 0: go on from *object.
NTSTATUS WalkDirectory(Walk* walk, PVOID* object, PVOID* found) {
  auto* directory = static_cast<POBJECT_DIRECTORY>(*object);
  const UNICODE_STRING component = TakeComponent(&walk->rest);
  if (component.Length == 0) {
    // "\" alone names the root itself; an empty component anywhere else is an error.
    if (directory == ObpRootDirectoryObject && walk->rest.Length == 0) return STATUS_SUCCESS;
    ObfDereferenceObject(directory);
    return STATUS_OBJECT_NAME_INVALID;
  }
  *object = Step(directory, component);
  NTSTATUS status = STATUS_SUCCESS;
  if (*object == nullptr) {
    status = walk->rest.Length != 0    ? STATUS_OBJECT_PATH_NOT_FOUND
             : walk->insert == nullptr ? STATUS_OBJECT_NAME_NOT_FOUND
                                       : InsertHere(walk, directory, component, found);
  }
  ObfDereferenceObject(directory);
  return status;
}

// Walks from `object` (referenced; the reference is consumed). STATUS_REPARSE: walk->name is a new name from
// the root.
NTSTATUS WalkFrom(Walk* walk, PVOID object, PVOID* found) {
  for (;;) {
    POBJECT_TYPE type = ObGetObjectType(object);
    if (type == ObpSymbolicLinkObjectType && FollowsLink(walk)) {
      NTSTATUS status = ReparseName(static_cast<POBJECT_SYMBOLIC_LINK>(object)->LinkTarget, walk->rest,
                                    &walk->storage, &walk->name);
      ObfDereferenceObject(object);
      return NT_SUCCESS(status) ? STATUS_REPARSE : status;
    }
    if (type->TypeInfo.ParseProcedure != nullptr && (walk->insert == nullptr || walk->rest.Length != 0)) {
      return CallParse(walk, object, found);
    }
    if (walk->rest.Length == 0) {
      *found = object;
      return STATUS_SUCCESS;
    }
    if (type != ObpDirectoryObjectType) {
      ObfDereferenceObject(object);
      return STATUS_OBJECT_TYPE_MISMATCH;
    }
    NTSTATUS status = WalkDirectory(walk, &object, found);
    if (!NT_SUCCESS(status) || *found != nullptr) return status;
  }
}

NTSTATUS StartingObject(HANDLE root, Walk* walk, PVOID* object) {
  if (root == nullptr) {
    if (walk->rest.Length == 0) return STATUS_OBJECT_PATH_SYNTAX_BAD;
    if (walk->rest.Buffer[0] != L'\\') return STATUS_OBJECT_PATH_SYNTAX_BAD;
    *object = ObpRootDirectoryObject;
    ObfReferenceObject(*object);
    return STATUS_SUCCESS;
  }
  NTSTATUS status = ob::ReferenceHandle(root, nullptr, object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  POBJECT_TYPE type = ObGetObjectType(*object);
  if (type == ObpDirectoryObjectType && walk->rest.Length != 0 && walk->rest.Buffer[0] == L'\\') {
    ObfDereferenceObject(*object);
    return STATUS_OBJECT_PATH_SYNTAX_BAD;
  }
  if (type == ObpDirectoryObjectType || type->TypeInfo.ParseProcedure != nullptr) return STATUS_SUCCESS;
  ObfDereferenceObject(*object);
  return STATUS_OBJECT_TYPE_MISMATCH;
}

}  // namespace

extern "C" NTSTATUS NTAPI ObpLookupObjectName(HANDLE RootDirectory, PUNICODE_STRING Name, ULONG Attributes,
                                              POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                              PVOID ParseContext, PVOID InsertObject, PVOID* Found) {
  *Found = nullptr;
  if (Name->Length % sizeof(WCHAR) != 0) return STATUS_OBJECT_NAME_INVALID;
  Walk walk = {*Name, *Name, ObjectType, AccessMode, Attributes, ParseContext, InsertObject, {}};
  PVOID object = nullptr;
  NTSTATUS status = StartingObject(RootDirectory, &walk, &object);
  if (!NT_SUCCESS(status)) return status;
  for (ULONG reparses = 0; reparses <= kMaxReparses; ++reparses) {
    status = WalkFrom(&walk, object, Found);
    if (status != STATUS_REPARSE) {
      if (NT_SUCCESS(status) && InsertObject != nullptr && *Found != InsertObject) {
        // The name exists: with OBJ_OPENIF the caller gets that object.
        if (!(Attributes & OBJ_OPENIF))
          status = STATUS_OBJECT_NAME_COLLISION;
        else if (ObGetObjectType(*Found) != ObjectType)
          status = STATUS_OBJECT_TYPE_MISMATCH;
        else
          return STATUS_OBJECT_NAME_EXISTS;
      } else if (NT_SUCCESS(status) && ObjectType != nullptr && ObGetObjectType(*Found) != ObjectType) {
        status = STATUS_OBJECT_TYPE_MISMATCH;
      }
      if (!NT_SUCCESS(status) && *Found != nullptr) {
        ObfDereferenceObject(*Found);
        *Found = nullptr;
      }
      return status;
    }
    walk.rest = walk.name;
    object = ObpRootDirectoryObject;
    ObfReferenceObject(object);
  }
  return STATUS_OBJECT_NAME_NOT_FOUND;
}

/// Finds a named object and references it, if the caller may have the access.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: not documented; ntifs of the mingw-w64 DDK.
NT_EXPORT(ObReferenceObjectByName, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.* ObSecurity.*");
extern "C" NTSTATUS NTAPI ObReferenceObjectByName(PUNICODE_STRING ObjectName, ULONG Attributes,
                                                  PACCESS_STATE AccessState, ACCESS_MASK DesiredAccess,
                                                  POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                                  PVOID ParseContext, PVOID* Object) {
  *Object = nullptr;
  if (ObjectName == nullptr || ObjectName->Length == 0) return STATUS_OBJECT_NAME_INVALID;
  PVOID found;
  NTSTATUS status = ObpLookupObjectName(nullptr, ObjectName, Attributes, ObjectType, AccessMode, ParseContext,
                                        nullptr, &found);
  if (!NT_SUCCESS(status)) return status;
  ACCESS_MASK granted;
  const NTSTATUS allowed =
      ob::CheckAccess(found, DesiredAccess, Attributes, AccessMode, AccessState, &granted);
  if (!NT_SUCCESS(allowed)) {
    ObfDereferenceObject(found);
    return allowed;
  }
  *Object = found;
  return status;
}
