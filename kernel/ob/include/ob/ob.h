// The object manager's interface to the other modules, beside the NT functions of the public headers.
#pragma once

#include "arch/cpu.h"
#include "ke/spin_guard.h"
#include "nt/objects.h"

extern "C" {
// Phase 0, after mm: types, the root directory and Windows's standard directories and links.
NTSTATUS ObInitSystem();

extern POBJECT_TYPE ObpTypeObjectType;
extern POBJECT_TYPE ObpDirectoryObjectType;
extern POBJECT_TYPE ObpSymbolicLinkObjectType;
extern POBJECT_DIRECTORY ObpRootDirectoryObject;
extern POBJECT_DIRECTORY ObpTypeDirectoryObject;
extern HANDLE_TABLE* ObpKernelHandleTable;

// Creates a type and enters it in \ObjectTypes. PASSIVE_LEVEL.
NTSTATUS NTAPI ObCreateObjectType(PUNICODE_STRING TypeName, POBJECT_TYPE_INITIALIZER ObjectTypeInitializer,
                                  PSECURITY_DESCRIPTOR SecurityDescriptor, POBJECT_TYPE* ObjectType);
POBJECT_TYPE NTAPI ObGetObjectType(PVOID Object);
NTSTATUS NTAPI ObOpenObjectByName(POBJECT_ATTRIBUTES ObjectAttributes, POBJECT_TYPE ObjectType,
                                  KPROCESSOR_MODE AccessMode, PACCESS_STATE AccessState,
                                  ACCESS_MASK DesiredAccess, PVOID ParseContext, PHANDLE Handle);
// Walks `name` from the root (or RootDirectory). With `insert` the last component is created in its
// directory. On success *found carries a reference. Parse procedures are called without locks. IRQL <=
// DISPATCH_LEVEL as far as the parse procedure allows.
NTSTATUS NTAPI ObpLookupObjectName(HANDLE RootDirectory, PUNICODE_STRING Name, ULONG Attributes,
                                   POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode, PVOID ParseContext,
                                   PVOID InsertObject, PVOID* Found);
NTSTATUS NTAPI ObpCreateHandle(PVOID Object, ACCESS_MASK GrantedAccess, ULONG Attributes, PVOID Creator,
                               PHANDLE Handle);
NTSTATUS NTAPI ObCloseHandle(HANDLE Handle, KPROCESSOR_MODE PreviousMode);
}

namespace ob {

struct TypeDescription {
  const wchar_t* name;
  ULONG pool_tag;
  GENERIC_MAPPING mapping;
  ACCESS_MASK valid_access;
  OB_DELETE_METHOD delete_procedure;
  OB_CLOSE_METHOD close_procedure;
  OB_PARSE_METHOD parse_procedure;
  OB_QUERYNAME_METHOD query_name_procedure;
  bool waitable;           // the body begins with a DISPATCHER_HEADER
  LONG dispatcher_offset;  // not waitable: offset of an embedded dispatcher object, 0 = none
};
NTSTATUS CreateType(const TypeDescription& description, POBJECT_TYPE* type);

// The object of a handle of the kernel or the current process, referenced; checks the type (0 = any). For
// user mode there are no kernel handles.
NTSTATUS ReferenceHandle(HANDLE handle, POBJECT_TYPE type, PVOID* object, ACCESS_MASK* granted,
                         KPROCESSOR_MODE mode = KernelMode);
// A reference to an object that somebody else's list leads to and that may be on its way out: false if its
// last reference is gone. The list's lock keeps the memory.
inline bool ReferenceIfAlive(PVOID object) {
  volatile LONG_PTR* count = &ObjectToHeader(object)->PointerCount;
  for (LONG_PTR seen = *count; seen > 0;) {
    const LONG_PTR now = InterlockedCompareExchange64(count, seen + 1, seen);
    if (now == seen) return true;
    seen = now;
  }
  return false;
}
// The dispatcher object to wait for on behalf of `object`; 0 if the type cannot be waited for.
PVOID DispatcherObject(PVOID object);

// Calls `visit` for each entry of a directory (object referenced during the call); false from it ends the
// walk.
NTSTATUS EnumerateDirectory(POBJECT_DIRECTORY directory,
                            bool (*visit)(PVOID object, PCUNICODE_STRING name, PVOID context), PVOID context);
// Creates a permanent directory / link; used at boot.
NTSTATUS CreateDirectory(const wchar_t* path, POBJECT_DIRECTORY* directory);
NTSTATUS CreateLink(const wchar_t* path, const wchar_t* target);

// A user process's table of handles; 0 without memory. PASSIVE_LEVEL. Handles are closed in the process that
// ends; the table is deleted with the process object.
HANDLE_TABLE* CreateHandleTable(PEPROCESS process);
void CloseAllHandles(HANDLE_TABLE* table);
// Enters the handles of `from` that carry OBJ_INHERIT in the new, empty table `to`, under the same values.
// That is neither a creation nor a duplication: nobody who is registered for such hears of it. PASSIVE_LEVEL;
// `from` lives on meanwhile.
NTSTATUS InheritHandles(HANDLE_TABLE* to, HANDLE_TABLE* from);
void DeleteHandleTable(HANDLE_TABLE* table);

// Calls `visit` for every open handle of a table, which is locked (DISPATCH_LEVEL): no calls back into ob.
void EnumerateHandles(HANDLE_TABLE* table,
                      void (*visit)(HANDLE handle, PVOID object, const HANDLE_TABLE_ENTRY& entry,
                                    PVOID context),
                      PVOID context);

// A null-terminated wide string as UNICODE_STRING (no copy).
inline UNICODE_STRING String(const wchar_t* text) {
  USHORT length = 0;
  while (text[length] != 0) ++length;
  return {static_cast<USHORT>(length * 2), static_cast<USHORT>(length * 2 + 2), const_cast<PWCH>(text)};
}

// A zero-terminated copy in pool; without memory copy->Buffer is 0.
NTSTATUS DuplicateString(const UNICODE_STRING& from, POOL_TYPE pool, ULONG tag, UNICODE_STRING* copy);

// Holds a push lock with normal kernel APCs off.
class PushLockGuard {
 public:
  enum class Access { kShared, kExclusive };
  PushLockGuard(PEX_PUSH_LOCK lock, Access access) : lock_(lock) {
    KeEnterCriticalRegion();
    if (access == Access::kExclusive)
      ExAcquirePushLockExclusiveEx(lock_, 0);
    else
      ExAcquirePushLockSharedEx(lock_, 0);
  }
  ~PushLockGuard() {
    ExReleasePushLockEx(lock_, 0);
    KeLeaveCriticalRegion();
  }
  PushLockGuard(const PushLockGuard&) = delete;
  PushLockGuard& operator=(const PushLockGuard&) = delete;

 private:
  PEX_PUSH_LOCK lock_;
};

// Takes the same locks for a handful of instructions that neither wait nor signal: with interrupts off
// instead of CR8 raised, which costs a virtual machine far less. While it has to wait, interrupts are as they
// were.
class ShortGuard {
 public:
  explicit ShortGuard(KSPIN_LOCK* lock) : lock_(lock), enabled_(arch::DisableInterruptsAndTell()) {
    while ((__atomic_fetch_or(lock_, KSPIN_LOCK{1}, __ATOMIC_ACQUIRE) & 1) != 0) {
      arch::RestoreInterrupts(enabled_);
      arch::Pause();
      arch::DisableInterrupts();
    }
  }
  ~ShortGuard() {
    __atomic_store_n(lock_, 0, __ATOMIC_RELEASE);
    arch::RestoreInterrupts(enabled_);
  }
  ShortGuard(const ShortGuard&) = delete;
  ShortGuard& operator=(const ShortGuard&) = delete;

 private:
  KSPIN_LOCK* lock_;
  bool enabled_;
};

}  // namespace ob
