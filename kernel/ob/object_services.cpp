// Zw services on handles, directories, names.
#include "ob_internal.h"
#include "ob/security.h"
#include "ke/service_call.h"
#include "nt/access_rights.h"
#include "nt/export.h"

/// Closes a handle.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtClose.
NT_EXPORT(NtClose, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtClose(HANDLE Handle) {
  return ObCloseHandle(Handle, KeGetCurrentThread()->PreviousMode);
}

/// Closes a handle.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwClose.
NT_EXPORT(ZwClose, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ZwClose(HANDLE Handle) {
  return ke::CallService(NtClose, Handle);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtCreateDirectoryObject(PHANDLE DirectoryHandle,
                                                                    ACCESS_MASK DesiredAccess,
                                                                    POBJECT_ATTRIBUTES ObjectAttributes) {
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, ObpDirectoryObjectType, ObjectAttributes, KernelMode, nullptr,
                                   sizeof(OBJECT_DIRECTORY), 0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  KeInitializeSpinLock(&static_cast<POBJECT_DIRECTORY>(object)->Lock);
  return ObInsertObject(object, nullptr, DesiredAccess, 0, nullptr, DirectoryHandle);
}

/// Creates an object directory.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwCreateDirectoryObject.
NT_EXPORT(ZwCreateDirectoryObject, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ZwCreateDirectoryObject(PHANDLE DirectoryHandle, ACCESS_MASK DesiredAccess,
                                                  POBJECT_ATTRIBUTES ObjectAttributes) {
  return ke::CallService(NtCreateDirectoryObject, DirectoryHandle, DesiredAccess, ObjectAttributes);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenDirectoryObject(PHANDLE DirectoryHandle,
                                                                  ACCESS_MASK DesiredAccess,
                                                                  POBJECT_ATTRIBUTES ObjectAttributes) {
  return ObOpenObjectByName(ObjectAttributes, ObpDirectoryObjectType, KeGetCurrentThread()->PreviousMode,
                            nullptr, DesiredAccess, nullptr, DirectoryHandle);
}

/// Opens an object directory.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm (not documented), exported.
NT_EXPORT(ZwOpenDirectoryObject, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ZwOpenDirectoryObject(PHANDLE DirectoryHandle, ACCESS_MASK DesiredAccess,
                                                POBJECT_ATTRIBUTES ObjectAttributes) {
  return ke::CallService(NtOpenDirectoryObject, DirectoryHandle, DesiredAccess, ObjectAttributes);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtMakeTemporaryObject(HANDLE Handle) {
  PVOID object;
  NTSTATUS status = ob::ReferenceHandle(Handle, nullptr, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  ObMakeTemporaryObject(object);
  ObfDereferenceObject(object);
  return STATUS_SUCCESS;
}

/// Takes the permanence of a named object away.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwMakeTemporaryObject.
NT_EXPORT(ZwMakeTemporaryObject, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ZwMakeTemporaryObject(HANDLE Handle) {
  return ke::CallService(NtMakeTemporaryObject, Handle);
}

namespace {

// The full path of a directory entry, built from its end backwards. Returns the bytes that it takes.
ULONG PathLength(PVOID object) {
  ULONG length = 0;
  while (object != ObpRootDirectoryObject) {
    POBJECT_HEADER_NAME_INFO info = ObjectNameInfo(ObjectToHeader(object));
    if (info == nullptr || info->Directory == nullptr) break;
    length += info->Name.Length + sizeof(WCHAR);
    object = info->Directory;
  }
  return length;
}

void WritePath(PVOID object, UCHAR* end) {
  while (object != ObpRootDirectoryObject) {
    POBJECT_HEADER_NAME_INFO info = ObjectNameInfo(ObjectToHeader(object));
    if (info == nullptr || info->Directory == nullptr) break;
    end -= info->Name.Length;
    RtlCopyMemory(end, info->Name.Buffer, info->Name.Length);
    end -= sizeof(WCHAR);
    *reinterpret_cast<WCHAR*>(end) = L'\\';
    object = info->Directory;
  }
}

// Files and keys: the type knows the rest of the name.
NTSTATUS TypedName(PVOID object, UNICODE_STRING* prefix, UNICODE_STRING* rest) {
  POBJECT_TYPE type = ObGetObjectType(object);
  if (type->TypeInfo.QueryNameProcedure == nullptr) return STATUS_NOT_SUPPORTED;
  return type->TypeInfo.QueryNameProcedure(object, FALSE, prefix, rest);
}

}  // namespace

/// The full name of an object (a file's: the device's name and the file's path). Objects without a name: an
/// empty string.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ObQueryNameString.
NT_EXPORT(ObQueryNameString, nt::AtMost(APC_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ObQueryNameString(PVOID Object, POBJECT_NAME_INFORMATION ObjectNameInfo,
                                            ULONG Length, PULONG ReturnLength) {
  UNICODE_STRING prefix = {};
  UNICODE_STRING rest = {};
  PVOID named = Object;
  if (NT_SUCCESS(TypedName(Object, &prefix, &rest)) && prefix.Buffer != nullptr) {
    named = prefix.Buffer;  // the procedure answers with the object that the name begins with
  }
  const bool root = named == ObpRootDirectoryObject;
  const ULONG path = root ? sizeof(WCHAR) : PathLength(named);
  const ULONG name = path + rest.Length;
  *ReturnLength = sizeof(OBJECT_NAME_INFORMATION) + (name != 0 ? name + sizeof(WCHAR) : 0);
  if (Length < *ReturnLength) return STATUS_INFO_LENGTH_MISMATCH;
  if (name == 0) {
    ObjectNameInfo->Name = {};
    return STATUS_SUCCESS;
  }
  auto* text = reinterpret_cast<UCHAR*>(ObjectNameInfo + 1);
  if (root)
    *reinterpret_cast<WCHAR*>(text) = L'\\';
  else
    WritePath(named, text + path);
  RtlCopyMemory(text + path, rest.Buffer, rest.Length);
  *reinterpret_cast<WCHAR*>(text + name) = 0;
  ObjectNameInfo->Name = {static_cast<USHORT>(name), static_cast<USHORT>(name + sizeof(WCHAR)),
                          reinterpret_cast<PWCH>(text)};
  return STATUS_SUCCESS;
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQueryObject(HANDLE Handle, OBJECT_INFORMATION_CLASS Class,
                                                          PVOID Information, ULONG Length,
                                                          PULONG ReturnLength) {
  PVOID object;
  ACCESS_MASK granted;
  NTSTATUS status = ob::ReferenceHandle(Handle, nullptr, &object, &granted);
  if (!NT_SUCCESS(status)) return status;
  ULONG needed = 0;
  POBJECT_HEADER header = ObjectToHeader(object);
  if (Class == 0) {
    needed = sizeof(PUBLIC_OBJECT_BASIC_INFORMATION);
    if (Length < needed) {
      status = STATUS_INFO_LENGTH_MISMATCH;
    } else {
      *static_cast<PPUBLIC_OBJECT_BASIC_INFORMATION>(Information) = {
          (header->Flags & OB_FLAG_PERMANENT_OBJECT) ? static_cast<ULONG>(OBJ_PERMANENT) : 0u,
          granted,
          static_cast<ULONG>(header->HandleCount),
          static_cast<ULONG>(header->PointerCount - 1),
          {}};
    }
  } else if (Class == 1) {
    status = ObQueryNameString(object, static_cast<POBJECT_NAME_INFORMATION>(Information), Length, &needed);
  } else if (Class == 2) {
    const UNICODE_STRING& name = ObGetObjectType(object)->Name;
    needed = sizeof(PUBLIC_OBJECT_TYPE_INFORMATION) + name.MaximumLength;
    if (Length < needed) {
      status = STATUS_INFO_LENGTH_MISMATCH;
    } else {
      auto* info = static_cast<PPUBLIC_OBJECT_TYPE_INFORMATION>(Information);
      RtlZeroMemory(info, sizeof(*info));
      info->TypeName = {name.Length, name.MaximumLength, reinterpret_cast<PWCH>(info + 1)};
      RtlCopyMemory(info + 1, name.Buffer, name.MaximumLength);
    }
  } else {
    status = STATUS_INVALID_INFO_CLASS;
  }
  if (ReturnLength != nullptr) *ReturnLength = needed;
  ObfDereferenceObject(object);
  return status;
}

/// Basic facts, name or type of a handle's object (ObjectBasicInformation 0, ObjectNameInformation 1,
/// ObjectTypeInformation 2).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the other classes answer STATUS_INVALID_INFO_CLASS; type information holds the name only.
/// Source: WDK ntifs/ZwQueryObject.
NT_EXPORT(ZwQueryObject, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelOb.*");
extern "C" NTSTATUS NTAPI ZwQueryObject(HANDLE Handle, OBJECT_INFORMATION_CLASS Class, PVOID Information,
                                        ULONG Length, PULONG ReturnLength) {
  return ke::CallService(NtQueryObject, Handle, Class, Information, Length, ReturnLength);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable,
                                                                  PLARGE_INTEGER Timeout) {
  PVOID object;
  NTSTATUS status = ob::ReferenceHandle(Handle, nullptr, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  PVOID dispatcher = ob::DispatcherObject(object);
  status = dispatcher != nullptr
               ? KeWaitForSingleObject(dispatcher, UserRequest, KernelMode, Alertable, Timeout)
               : STATUS_OBJECT_TYPE_MISMATCH;
  ObfDereferenceObject(object);
  return status;
}

/// Waits for the object of a handle.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwWaitForSingleObject.
NT_EXPORT(ZwWaitForSingleObject, nt::Exactly(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout) {
  return ke::CallService(NtWaitForSingleObject, Handle, Alertable, Timeout);
}

namespace {

constexpr ULONG kCloseSource = 1, kSameAccess = 2, kSameAttributes = 4;  // DUPLICATE_...

// Being in another process for a moment: its handles are the current ones.
class Visit {
 public:
  explicit Visit(PVOID process) : away_(process != IoGetCurrentProcess()) {
    if (away_) KeStackAttachProcess(static_cast<PKPROCESS>(process), &state_);
  }
  ~Visit() {
    if (away_) KeUnstackDetachProcess(&state_);
  }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

 private:
  bool away_;
  KAPC_STATE state_;
};

NTSTATUS TakeSource(PVOID process, HANDLE source, bool close, PVOID* object,
                    OBJECT_HANDLE_INFORMATION* information) {
  const KPROCESSOR_MODE mode = KeGetCurrentThread()->PreviousMode;
  Visit visit(process);
  const NTSTATUS status = ObReferenceObjectByHandle(source, 0, nullptr, mode, object, information);
  if (NT_SUCCESS(status) && close) ObCloseHandle(source, mode);
  return status;
}

}  // namespace

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtDuplicateObject(HANDLE SourceProcessHandle, HANDLE SourceHandle,
                                                              HANDLE TargetProcessHandle,
                                                              PHANDLE TargetHandle, ACCESS_MASK DesiredAccess,
                                                              ULONG HandleAttributes, ULONG Options) {
  if (TargetHandle != nullptr) *TargetHandle = nullptr;
  const KPROCESSOR_MODE mode = KeGetCurrentThread()->PreviousMode;
  PVOID from, object, to = nullptr;
  NTSTATUS status =
      ObReferenceObjectByHandle(SourceProcessHandle, PROCESS_DUP_HANDLE, PsProcessType, mode, &from, nullptr);
  if (!NT_SUCCESS(status)) return status;
  if (TargetProcessHandle != nullptr)
    status =
        ObReferenceObjectByHandle(TargetProcessHandle, PROCESS_DUP_HANDLE, PsProcessType, mode, &to, nullptr);
  OBJECT_HANDLE_INFORMATION information = {};
  if (NT_SUCCESS(status))
    status = TakeSource(from, SourceHandle, (Options & kCloseSource) != 0, &object, &information);
  if (NT_SUCCESS(status)) {
    HANDLE made = nullptr;
    if (to != nullptr && TargetHandle != nullptr) {
      Visit visit(to);
      ACCESS_MASK access = (Options & kSameAccess) ? information.GrantedAccess : DesiredAccess;
      RtlMapGenericMask(&access, &ObGetObjectType(object)->TypeInfo.GenericMapping);
      // What the source has not is asked for anew.
      if ((access & ~information.GrantedAccess) != 0)
        status = ob::CheckAccess(object, access, 0, mode, nullptr, &access);
      const ULONG attributes = (Options & kSameAttributes) ? information.HandleAttributes : HandleAttributes;
      if (NT_SUCCESS(status))
        status = ob::CreateHandle(OB_OPERATION_HANDLE_DUPLICATE, object, access, attributes,
                                  __builtin_return_address(0), &made);
    }
    if (TargetHandle != nullptr) *TargetHandle = made;
    ObfDereferenceObject(object);
  }
  if (to != nullptr) ObfDereferenceObject(to);
  ObfDereferenceObject(from);
  return status;
}

/// A handle of one process to the object of a handle of another (or the same); DUPLICATE_CLOSE_SOURCE closes
/// that one, whatever comes of it. From user mode, access that the source has not is checked against the
/// object.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwDuplicateObject.
NT_EXPORT(ZwDuplicateObject, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.* ObSecurity.*");
extern "C" NTSTATUS NTAPI ZwDuplicateObject(HANDLE SourceProcessHandle, HANDLE SourceHandle,
                                            HANDLE TargetProcessHandle, PHANDLE TargetHandle,
                                            ACCESS_MASK DesiredAccess, ULONG HandleAttributes,
                                            ULONG Options) {
  return ke::CallService(NtDuplicateObject, SourceProcessHandle, SourceHandle, TargetProcessHandle,
                         TargetHandle, DesiredAccess, HandleAttributes, Options);
}
