// Handle tables: the kernel's, which is also the System process's, and one for each user process. Entries are
// 4 apart; kernel handles carry the high bits of kKernelHandleBase and mean the same in every process; user
// mode has none. A spin lock guards a table, so that no handle operation ever blocks.
#include "callbacks.h"
#include "ob_internal.h"
#include "ob/security.h"
#include "nt/export.h"

extern "C" {
HANDLE_TABLE* ObpKernelHandleTable;
static HANDLE_TABLE ObpKernelHandles;
}

namespace ob {
namespace {

constexpr ULONG_PTR kKernelHandleBase = 0xFFFFFFFF80000000;
const HANDLE kCurrentProcess = reinterpret_cast<HANDLE>(static_cast<LONG_PTR>(-1));
const HANDLE kCurrentThread = reinterpret_cast<HANDLE>(static_cast<LONG_PTR>(-2));

HANDLE_TABLE_ENTRY* EntryLocked(HANDLE_TABLE* table, ULONG index) {
  if (index == 0 || index >= table->NextHandleNeedingPool) return nullptr;
  return &table->TableCode[index / HANDLE_TABLE_PAGE_ENTRIES][index % HANDLE_TABLE_PAGE_ENTRIES];
}

HANDLE_TABLE* CurrentTable() {
  return reinterpret_cast<PEPROCESS>(PsGetCurrentProcess())->ObjectTable;
}

// Where a handle is looked up, and its index there; 0: it can be none.
HANDLE_TABLE* DecodeHandle(HANDLE handle, KPROCESSOR_MODE mode, ULONG* index) {
  ULONG_PTR value = reinterpret_cast<ULONG_PTR>(handle);
  const bool is_kernel = (value & kKernelHandleBase) == kKernelHandleBase;
  if (is_kernel && mode != KernelMode) return nullptr;
  if (is_kernel) value &= ~kKernelHandleBase;
  value >>= 2;
  if (value == 0 || value >= static_cast<ULONG_PTR>(HANDLE_TABLE_PAGE_ENTRIES) * HANDLE_TABLE_PAGES)
    return nullptr;
  *index = static_cast<ULONG>(value);
  return is_kernel ? ObpKernelHandleTable : CurrentTable();
}

// One more page of entries on the free list; `page` becomes the table's.
void AddPageLocked(HANDLE_TABLE* table, HANDLE_TABLE_ENTRY* page) {
  const ULONG first = table->NextHandleNeedingPool;
  table->TableCode[first / HANDLE_TABLE_PAGE_ENTRIES] = page;
  table->NextHandleNeedingPool = first + HANDLE_TABLE_PAGE_ENTRIES;
  for (ULONG i = HANDLE_TABLE_PAGE_ENTRIES; i-- > 0;) {
    const ULONG index = first + i;
    if (index == 0) continue;  // handle 0 is no handle
    page[i].NextFreeTableEntry = table->FirstFreeHandle;
    table->FirstFreeHandle = index;
  }
}

NTSTATUS Grow(HANDLE_TABLE* table) {
  constexpr SIZE_T kBytes = sizeof(HANDLE_TABLE_ENTRY) * HANDLE_TABLE_PAGE_ENTRIES;
  auto* page = static_cast<HANDLE_TABLE_ENTRY*>(ExAllocatePoolWithTag(NonPagedPoolNx, kBytes, kHandleTag));
  if (page == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(page, kBytes);
  NTSTATUS status = STATUS_SUCCESS;
  {
    ke::SpinGuard guard(&table->Lock);
    if (table->FirstFreeHandle == 0 &&
        table->NextHandleNeedingPool < HANDLE_TABLE_PAGE_ENTRIES * HANDLE_TABLE_PAGES) {
      AddPageLocked(table, page);
      return STATUS_SUCCESS;
    }
    if (table->FirstFreeHandle == 0) status = STATUS_INSUFFICIENT_RESOURCES;  // else somebody else was faster
  }
  ExFreePoolWithTag(page, kHandleTag);
  return status;
}

// Takes a free entry; 0 when there is none.
ULONG TakeEntry(HANDLE_TABLE* table, const HANDLE_TABLE_ENTRY& value) {
  ke::SpinGuard guard(&table->Lock);
  const ULONG index = table->FirstFreeHandle;
  if (index == 0) return 0;
  HANDLE_TABLE_ENTRY* entry = EntryLocked(table, index);
  table->FirstFreeHandle = entry->NextFreeTableEntry;
  *entry = value;
  ++table->HandleCount;
  return index;
}

PVOID PseudoHandleObject(HANDLE handle) {
  if (handle == kCurrentProcess) return IoGetCurrentProcess();
  if (handle == kCurrentThread) return KeGetCurrentThread();
  return nullptr;
}

}  // namespace

NTSTATUS InitHandleTable() {
  ObpKernelHandleTable = &ObpKernelHandles;
  KeInitializeSpinLock(&ObpKernelHandles.Lock);
  return Grow(ObpKernelHandleTable);
}

PVOID LookupHandle(HANDLE handle, KPROCESSOR_MODE mode, HANDLE_TABLE_ENTRY* result) {
  if (PVOID object = PseudoHandleObject(handle); object != nullptr) {
    ObfReferenceObject(object);
    *result = {ObjectToHeader(object),
               {.GrantedAccessBits = ObGetObjectType(object)->TypeInfo.ValidAccessMask},
               0,
               nullptr};
    return object;
  }
  ULONG index;
  HANDLE_TABLE* table = DecodeHandle(handle, mode, &index);
  if (table == nullptr) return nullptr;
  ShortGuard guard(&table->Lock);
  HANDLE_TABLE_ENTRY* entry = EntryLocked(table, index);
  if (entry == nullptr || entry->Object == nullptr) return nullptr;
  PVOID object = &static_cast<POBJECT_HEADER>(entry->Object)->Body;
  ObfReferenceObject(object);
  *result = *entry;
  return object;
}

namespace {

NTSTATUS ReferenceEntry(HANDLE handle, POBJECT_TYPE type, KPROCESSOR_MODE mode, PVOID* object,
                        HANDLE_TABLE_ENTRY* entry) {
  *object = nullptr;
  PVOID body = LookupHandle(handle, mode, entry);
  if (body == nullptr) return STATUS_INVALID_HANDLE;
  if (type != nullptr && ObGetObjectType(body) != type) {
    ObfDereferenceObject(body);
    return STATUS_OBJECT_TYPE_MISMATCH;
  }
  *object = body;
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS ReferenceHandle(HANDLE handle, POBJECT_TYPE type, PVOID* object, ACCESS_MASK* granted,
                         KPROCESSOR_MODE mode) {
  HANDLE_TABLE_ENTRY entry;
  const NTSTATUS status = ReferenceEntry(handle, type, mode, object, &entry);
  if (NT_SUCCESS(status) && granted != nullptr) *granted = entry.GrantedAccessBits;
  return status;
}

void EnumerateHandles(HANDLE_TABLE* table, void (*visit)(HANDLE, PVOID, const HANDLE_TABLE_ENTRY&, PVOID),
                      PVOID context) {
  const ULONG_PTR base = table == ObpKernelHandleTable ? kKernelHandleBase : 0;
  ke::SpinGuard guard(&table->Lock);
  for (ULONG index = 1; index < table->NextHandleNeedingPool; ++index) {
    HANDLE_TABLE_ENTRY* entry = EntryLocked(table, index);
    if (entry->Object == nullptr) continue;
    visit(reinterpret_cast<HANDLE>(base | (static_cast<ULONG_PTR>(index) << 2)),
          &static_cast<POBJECT_HEADER>(entry->Object)->Body, *entry, context);
  }
}

}  // namespace ob

namespace ob {
namespace {

// The rights that a request asks for, without generic ones and MAXIMUM_ALLOWED.
ACCESS_MASK SpecificAccess(POBJECT_TYPE type, ACCESS_MASK access) {
  RtlMapGenericMask(&access, &type->TypeInfo.GenericMapping);
  if (access & MAXIMUM_ALLOWED) access = (access & ~MAXIMUM_ALLOWED) | type->TypeInfo.ValidAccessMask;
  return access & (type->TypeInfo.ValidAccessMask | ACCESS_SYSTEM_SECURITY);
}

// Enters `value` in the table; the table's reference to the object is the caller's already.
NTSTATUS EnterHandle(HANDLE_TABLE* table, const HANDLE_TABLE_ENTRY& value, ULONG* index) {
  NTSTATUS status = STATUS_SUCCESS;
  while ((*index = TakeEntry(table, value)) == 0 && NT_SUCCESS(status)) status = Grow(table);
  return status;
}

// Takes a handle's entry out of its table; 0 when there is none, or (`status`) when it is protected.
POBJECT_HEADER RemoveEntry(HANDLE_TABLE* table, ULONG index, NTSTATUS* status) {
  ke::SpinGuard guard(&table->Lock);
  HANDLE_TABLE_ENTRY* entry = EntryLocked(table, index);
  *status = STATUS_INVALID_HANDLE;
  if (entry == nullptr || entry->Object == nullptr) return nullptr;
  *status = STATUS_HANDLE_NOT_CLOSABLE;
  if (entry->Attributes & OBJ_PROTECT_CLOSE) return nullptr;
  auto* header = static_cast<POBJECT_HEADER>(entry->Object);
  *entry = {nullptr, {.NextFreeTableEntry = table->FirstFreeHandle}, 0, nullptr};
  table->FirstFreeHandle = index;
  --table->HandleCount;
  *status = STATUS_SUCCESS;
  return header;
}

// The end of a handle that is out of its table.
void EndHandle(POBJECT_HEADER header) {
  PVOID object = &header->Body;
  POBJECT_TYPE type = ObGetObjectType(object);
  const LONG_PTR left = InterlockedDecrement64(&header->HandleCount);
  InterlockedDecrement(reinterpret_cast<volatile LONG*>(&type->TotalNumberOfHandles));
  if (type->TypeInfo.CloseProcedure != nullptr) {
    type->TypeInfo.CloseProcedure(IoGetCurrentProcess(), object, left + 1, left + 1);
  }
  if (left == 0) ObpDeleteNameCheck(object);
  ObfDereferenceObject(object);
}

}  // namespace

NTSTATUS CreateHandle(OB_OPERATION operation, PVOID object, ACCESS_MASK access, ULONG attributes,
                      PVOID creator, HANDLE* handle) {
  if (PVOID caller = reinterpret_cast<PETHREAD>(KeGetCurrentThread())->ServiceCaller; caller != nullptr)
    creator = caller;
  POBJECT_HEADER header = ObjectToHeader(object);
  POBJECT_TYPE type = ObGetObjectType(object);
  HandleOperation callbacks(type, object, operation, (attributes & OBJ_KERNEL_HANDLE) != 0);
  access = callbacks.Restrict(SpecificAccess(type, access));
  ObfReferenceObject(object);
  InterlockedIncrement64(&header->HandleCount);
  InterlockedIncrement(reinterpret_cast<volatile LONG*>(&type->TotalNumberOfHandles));
  ULONG index;
  HANDLE_TABLE* table = (attributes & OBJ_KERNEL_HANDLE) ? ObpKernelHandleTable : CurrentTable();
  const NTSTATUS status =
      EnterHandle(table, {header, {.GrantedAccessBits = access}, attributes & OBJ_INHERIT, creator}, &index);
  if (NT_SUCCESS(status)) {
    const ULONG_PTR base = (attributes & OBJ_KERNEL_HANDLE) ? kKernelHandleBase : 0;
    *handle = reinterpret_cast<HANDLE>(base | (static_cast<ULONG_PTR>(index) << 2));
  } else {
    InterlockedDecrement64(&header->HandleCount);
    InterlockedDecrement(reinterpret_cast<volatile LONG*>(&type->TotalNumberOfHandles));
    ObfDereferenceObject(object);
  }
  callbacks.Complete(status, access);
  return status;
}

HANDLE_TABLE* CreateHandleTable(PEPROCESS process) {
  auto* table =
      static_cast<HANDLE_TABLE*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(HANDLE_TABLE), kHandleTag));
  if (table == nullptr) return nullptr;
  RtlZeroMemory(table, sizeof(*table));
  KeInitializeSpinLock(&table->Lock);
  table->QuotaProcess = process;
  return table;
}

namespace {

// The entry `index` of `from`, its object referenced, if it is to be inherited.
bool TakeInheritable(HANDLE_TABLE* from, ULONG index, HANDLE_TABLE_ENTRY* entry) {
  ke::SpinGuard guard(&from->Lock);
  const HANDLE_TABLE_ENTRY* found = EntryLocked(from, index);
  if (found == nullptr || found->Object == nullptr || (found->Attributes & OBJ_INHERIT) == 0) return false;
  *entry = *found;
  ObfReferenceObject(&static_cast<POBJECT_HEADER>(entry->Object)->Body);
  return true;
}

// The free list of a table into which entries were put by index: what is free, the lowest first.
void RebuildFreeList(HANDLE_TABLE* table) {
  ke::SpinGuard guard(&table->Lock);
  table->FirstFreeHandle = 0;
  for (ULONG index = table->NextHandleNeedingPool; index-- > 1;) {
    HANDLE_TABLE_ENTRY* entry = EntryLocked(table, index);
    if (entry->Object != nullptr) continue;
    entry->NextFreeTableEntry = table->FirstFreeHandle;
    table->FirstFreeHandle = index;
  }
}

NTSTATUS GrowTo(HANDLE_TABLE* table, ULONG index) {
  while (table->NextHandleNeedingPool <= index) {
    {
      ke::SpinGuard guard(&table->Lock);
      table->FirstFreeHandle = 0;  // nobody else has the table yet
    }
    const NTSTATUS status = Grow(table);
    if (!NT_SUCCESS(status)) return status;
  }
  return STATUS_SUCCESS;
}

// The reference to the object is the new handle's.
void EnterInherited(HANDLE_TABLE* to, ULONG index, const HANDLE_TABLE_ENTRY& entry) {
  const POBJECT_HEADER header = static_cast<POBJECT_HEADER>(entry.Object);
  POBJECT_TYPE type = ObGetObjectType(&header->Body);
  InterlockedIncrement64(&header->HandleCount);
  InterlockedIncrement(reinterpret_cast<volatile LONG*>(&type->TotalNumberOfHandles));
  {
    ke::SpinGuard guard(&to->Lock);
    *EntryLocked(to, index) = entry;
    ++to->HandleCount;
  }
}

}  // namespace

NTSTATUS InheritHandles(HANDLE_TABLE* to, HANDLE_TABLE* from) {
  NTSTATUS status = STATUS_SUCCESS;
  for (ULONG index = 1; NT_SUCCESS(status) && index < from->NextHandleNeedingPool; ++index) {
    HANDLE_TABLE_ENTRY entry;
    if (!TakeInheritable(from, index, &entry)) continue;
    status = GrowTo(to, index);
    if (NT_SUCCESS(status)) {
      EnterInherited(to, index, entry);
    } else {
      ObfDereferenceObject(&static_cast<POBJECT_HEADER>(entry.Object)->Body);
    }
  }
  RebuildFreeList(to);
  return status;
}

void CloseAllHandles(HANDLE_TABLE* table) {
  for (ULONG index = 1; index < table->NextHandleNeedingPool; ++index) {
    {
      ke::SpinGuard guard(&table->Lock);
      EntryLocked(table, index)->Attributes &= ~static_cast<ULONG>(OBJ_PROTECT_CLOSE);
    }
    NTSTATUS status;
    if (POBJECT_HEADER header = RemoveEntry(table, index, &status); header != nullptr) EndHandle(header);
  }
}

void DeleteHandleTable(HANDLE_TABLE* table) {
  CloseAllHandles(table);
  for (HANDLE_TABLE_ENTRY* page : table->TableCode) {
    if (page != nullptr) ExFreePoolWithTag(page, kHandleTag);
  }
  ExFreePoolWithTag(table, kHandleTag);
}

}  // namespace ob

extern "C" NTSTATUS NTAPI ObpCreateHandle(PVOID Object, ACCESS_MASK GrantedAccess, ULONG Attributes,
                                          PVOID Creator, PHANDLE Handle) {
  return ob::CreateHandle(OB_OPERATION_HANDLE_CREATE, Object, GrantedAccess, Attributes, Creator, Handle);
}

/// Closes a handle: the last one of a temporary named object takes its name away.
/// IRQL: <= PASSIVE_LEVEL as documented; nothing checks it.
/// Differs from NT: none.
/// Source: WDK ntifs/ObCloseHandle.
NT_EXPORT(ObCloseHandle, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ObCloseHandle(HANDLE Handle, KPROCESSOR_MODE PreviousMode) {
  if (ob::PseudoHandleObject(Handle) != nullptr) return STATUS_SUCCESS;
  ULONG index;
  HANDLE_TABLE* table = ob::DecodeHandle(Handle, PreviousMode, &index);
  if (table == nullptr) return STATUS_INVALID_HANDLE;
  NTSTATUS status;
  POBJECT_HEADER header = ob::RemoveEntry(table, index, &status);
  if (header != nullptr) ob::EndHandle(header);
  return status;
}

/// The object of a handle, referenced, if it is of the type (0: any). Callers from kernel mode get it
/// whatever access the handle has, as on Windows; from user mode the granted access counts.
/// IRQL: <= PASSIVE_LEVEL as documented; nothing checks it.
/// Differs from NT: none.
/// Source: WDK wdm/ObReferenceObjectByHandle.
NT_EXPORT(ObReferenceObjectByHandle, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ObReferenceObjectByHandle(HANDLE Handle, ACCESS_MASK DesiredAccess,
                                                    POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                                    PVOID* Object,
                                                    POBJECT_HANDLE_INFORMATION HandleInformation) {
  HANDLE_TABLE_ENTRY entry;
  NTSTATUS status = ob::ReferenceEntry(Handle, ObjectType, AccessMode, Object, &entry);
  if (!NT_SUCCESS(status)) return status;
  const ACCESS_MASK granted = entry.GrantedAccessBits;
  if (AccessMode != KernelMode && (DesiredAccess & ~granted) != 0) {
    ObfDereferenceObject(*Object);
    *Object = nullptr;
    return STATUS_ACCESS_DENIED;
  }
  if (HandleInformation != nullptr) *HandleInformation = {entry.Attributes, granted};
  return STATUS_SUCCESS;
}

/// ObReferenceObjectByHandle; the tag is not kept.
/// IRQL: <= PASSIVE_LEVEL.
/// Differs from NT: none. Tags are for the tracing of references, which is off, as it is where no debugger asks for it.
/// Source: WDK wdm/ObReferenceObjectByHandleWithTag.
NT_EXPORT(ObReferenceObjectByHandleWithTag, nt::AtMost(PASSIVE_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ObReferenceObjectByHandleWithTag(HANDLE Handle, ACCESS_MASK DesiredAccess,
                                                           POBJECT_TYPE ObjectType,
                                                           KPROCESSOR_MODE AccessMode, ULONG, PVOID* Object,
                                                           POBJECT_HANDLE_INFORMATION HandleInformation) {
  return ObReferenceObjectByHandle(Handle, DesiredAccess, ObjectType, AccessMode, Object, HandleInformation);
}

namespace {

NTSTATUS OpenByPointer(PVOID object, ULONG attributes, PACCESS_STATE state, ACCESS_MASK desired,
                       POBJECT_TYPE type, KPROCESSOR_MODE mode, PVOID creator, PHANDLE handle) {
  *handle = nullptr;
  if (type != nullptr && ObGetObjectType(object) != type) return STATUS_OBJECT_TYPE_MISMATCH;
  ACCESS_MASK granted;
  const NTSTATUS status = ob::CheckAccess(object, desired, attributes, mode, state, &granted);
  return NT_SUCCESS(status) ? ObpCreateHandle(object, granted, attributes, creator, handle) : status;
}

}  // namespace

/// Opens a handle to an object that the caller refers to by pointer, if the subject may have the access.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ObOpenObjectByPointer.
NT_EXPORT(ObOpenObjectByPointer, nt::AtMost(APC_LEVEL), Full, "KernelOb.* ObSecurity.*");
extern "C" NTSTATUS NTAPI ObOpenObjectByPointer(PVOID Object, ULONG HandleAttributes,
                                                PACCESS_STATE PassedAccessState, ACCESS_MASK DesiredAccess,
                                                POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                                PHANDLE Handle) {
  return OpenByPointer(Object, HandleAttributes, PassedAccessState, DesiredAccess, ObjectType, AccessMode,
                       __builtin_return_address(0), Handle);
}

/// ObOpenObjectByPointer; the tag is for reference tracing, which is not kept.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none. Tags are for the tracing of references, which is off, as it is where no debugger asks for it.
/// Source: WDK ntifs/ObOpenObjectByPointerWithTag.
NT_EXPORT(ObOpenObjectByPointerWithTag, nt::AtMost(APC_LEVEL), Full, "ObSecurity.*");
extern "C" NTSTATUS NTAPI ObOpenObjectByPointerWithTag(PVOID Object, ULONG HandleAttributes,
                                                       PACCESS_STATE PassedAccessState,
                                                       ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                                       KPROCESSOR_MODE AccessMode, ULONG, PHANDLE Handle) {
  return OpenByPointer(Object, HandleAttributes, PassedAccessState, DesiredAccess, ObjectType, AccessMode,
                       __builtin_return_address(0), Handle);
}

/// Whether a handle value is a kernel handle's (OBJ_KERNEL_HANDLE).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ObIsKernelHandle.
NT_EXPORT(ObIsKernelHandle, nt::AtMost(APC_LEVEL), Full, "KernelOb.*");
extern "C" BOOLEAN NTAPI ObIsKernelHandle(HANDLE Handle) {
  const auto value = reinterpret_cast<ULONG_PTR>(Handle);
  return (value & ob::kKernelHandleBase) == ob::kKernelHandleBase && Handle != ob::kCurrentProcess &&
         Handle != ob::kCurrentThread;
}
