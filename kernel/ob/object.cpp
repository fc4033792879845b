// Objects: creation, references, deletion.
#include "ob_internal.h"
#include "ob/security.h"
#include "nt/export.h"
#include "ex/ex.h"

namespace {

WORK_QUEUE_ITEM g_removal_item;
void* volatile g_removal_list;  // OBJECT_HEADER.NextToFree

VOID NTAPI RemovalWorker(PVOID) {
  auto* header = static_cast<POBJECT_HEADER>(InterlockedExchangePointer(&g_removal_list, nullptr));
  while (header != nullptr) {
    auto* next = static_cast<POBJECT_HEADER>(header->NextToFree);
    ObpRemoveObjectRoutine(header);
    header = next;
  }
}

// The last reference went at raised IRQL: a worker deletes the object. Whoever makes the list non-empty
// queues it.
void DeferRemoval(POBJECT_HEADER header) {
  void* head;
  do {
    head = g_removal_list;
    header->NextToFree = head;
  } while (InterlockedCompareExchangePointer(&g_removal_list, header, head) != head);
  if (head != nullptr) return;
  ExInitializeWorkItem(&g_removal_item, RemovalWorker, nullptr);
  ExQueueWorkItem(&g_removal_item, CriticalWorkQueue);
}

NTSTATUS CaptureName(POBJECT_ATTRIBUTES attributes, UNICODE_STRING* name) {
  *name = {};
  if (attributes == nullptr || attributes->ObjectName == nullptr || attributes->ObjectName->Length == 0)
    return STATUS_SUCCESS;
  const UNICODE_STRING& source = *attributes->ObjectName;
  if (source.Length % sizeof(WCHAR) != 0 || source.Buffer == nullptr) return STATUS_OBJECT_NAME_INVALID;
  return ob::DuplicateString(source, NonPagedPoolNx, kNameTag, name);
}

void CountObject(POBJECT_TYPE type) {
  const ULONG count = InterlockedIncrement(reinterpret_cast<volatile LONG*>(&type->TotalNumberOfObjects));
  if (count > type->HighWaterNumberOfObjects) type->HighWaterNumberOfObjects = count;
}

// An object that was not handed out yet: its type's delete procedure must not see it.
void Discard(POBJECT_HEADER header, PWCH name, SIZE_T prefix) {
  POBJECT_TYPE type = ObTypeIndexTable[header->TypeIndex];
  InterlockedDecrement(reinterpret_cast<volatile LONG*>(&type->TotalNumberOfObjects));
  ExFreePoolWithTag(header->ObjectCreateInfo, kObjectTag);
  if (name != nullptr) ExFreePoolWithTag(name, kNameTag);
  ExFreePoolWithTag(reinterpret_cast<UCHAR*>(header) - prefix, type->Key);
}

}  // namespace

extern "C" VOID ObpRemoveObjectRoutine(POBJECT_HEADER Header) {
  POBJECT_TYPE type = ObTypeIndexTable[Header->TypeIndex];
  if (type->TypeInfo.DeleteProcedure != nullptr) type->TypeInfo.DeleteProcedure(&Header->Body);
  if ((Header->Flags & OB_FLAG_NEW_OBJECT) && Header->ObjectCreateInfo != nullptr) {
    ExFreePoolWithTag(Header->ObjectCreateInfo, kObjectTag);
  }
  InterlockedDecrement(reinterpret_cast<volatile LONG*>(&type->TotalNumberOfObjects));
  if (Header->SecurityDescriptor != nullptr) ExFreePoolWithTag(Header->SecurityDescriptor, 0);
  POBJECT_HEADER_NAME_INFO name = ObjectNameInfo(Header);
  const ULONG tag = type->Key;
  if (name == nullptr) {
    ExFreePoolWithTag(Header, tag);
    return;
  }
  if (name->Name.Buffer != nullptr) ExFreePoolWithTag(name->Name.Buffer, kNameTag);
  ExFreePoolWithTag(name, tag);
}

/// Creates an object of a type, with one reference, not yet in the name space (ObInsertObject does that).
/// IRQL: <= DISPATCH_LEVEL (nonpaged pool only); on Windows PASSIVE_LEVEL.
/// Differs from NT: quota charges are ignored.
/// Source: WDK ntifs (undocumented), Windows Internals 7 part 2, chapter 8.
NT_EXPORT(ObCreateObject, nt::AtMost(DISPATCH_LEVEL), Partial, "KernelOb.*");
extern "C" NTSTATUS NTAPI ObCreateObject(KPROCESSOR_MODE, POBJECT_TYPE ObjectType,
                                         POBJECT_ATTRIBUTES ObjectAttributes, KPROCESSOR_MODE,
                                         PVOID ParseContext, ULONG ObjectSize, ULONG, ULONG, PVOID* Object) {
  if (ObjectAttributes != nullptr && ObjectAttributes->Length != sizeof(OBJECT_ATTRIBUTES))
    return STATUS_INVALID_PARAMETER;
  UNICODE_STRING name;
  NTSTATUS status = CaptureName(ObjectAttributes, &name);
  if (!NT_SUCCESS(status)) return status;
  const SIZE_T prefix = name.Buffer != nullptr ? sizeof(OBJECT_HEADER_NAME_INFO) : 0;
  const SIZE_T size = prefix + FIELD_OFFSET(OBJECT_HEADER, Body) + ObjectSize;
  auto* block = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, size, ObjectType->Key));
  auto* info = static_cast<POBJECT_CREATE_INFORMATION>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(OBJECT_CREATE_INFORMATION), kObjectTag));
  if (block == nullptr || info == nullptr) {
    if (block != nullptr) ExFreePoolWithTag(block, ObjectType->Key);
    if (info != nullptr) ExFreePoolWithTag(info, kObjectTag);
    if (name.Buffer != nullptr) ExFreePoolWithTag(name.Buffer, kNameTag);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  RtlZeroMemory(block, size);
  auto* header = reinterpret_cast<POBJECT_HEADER>(block + prefix);
  if (prefix != 0) {
    auto* name_info = reinterpret_cast<POBJECT_HEADER_NAME_INFO>(block);
    name_info->Name = name;
    name_info->ReferenceCount = 1;
    header->InfoMask = OB_INFOMASK_NAME;
  }
  header->PointerCount = 1;
  header->TypeIndex = ObjectType->Index;
  header->Flags = OB_FLAG_NEW_OBJECT;
  const ULONG attributes = ObjectAttributes != nullptr ? ObjectAttributes->Attributes : 0;
  if (attributes & OBJ_PERMANENT) header->Flags |= OB_FLAG_PERMANENT_OBJECT;
  if (attributes & OBJ_KERNEL_HANDLE) header->Flags |= OB_FLAG_KERNEL_OBJECT;
  *info = {attributes, ObjectAttributes != nullptr ? ObjectAttributes->RootDirectory : nullptr, KernelMode,
           ParseContext};
  header->ObjectCreateInfo = info;
  CountObject(ObjectType);
  *Object = &header->Body;
  if (ObjectAttributes == nullptr || ObjectAttributes->SecurityDescriptor == nullptr) return STATUS_SUCCESS;
  status = ob::AssignSecurity(*Object, ObjectAttributes->SecurityDescriptor);
  if (!NT_SUCCESS(status)) Discard(header, name.Buffer, prefix);
  return status;
}

/// Adds a reference to an object that the caller already may use. Returns the new count.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ObReferenceObject.
NT_EXPORT(ObfReferenceObject, nt::AtMost(DISPATCH_LEVEL), Full, "KernelOb.*");
extern "C" LONG_PTR FASTCALL ObfReferenceObject(PVOID Object) {
  const LONG_PTR count = InterlockedIncrement64(&ObjectToHeader(Object)->PointerCount);
  if (count <= 1)
    KeBugCheckEx(REFERENCE_BY_POINTER, reinterpret_cast<ULONG_PTR>(ObGetObjectType(Object)),
                 reinterpret_cast<ULONG_PTR>(Object), 0x10, count);
  return count;
}

/// ObfReferenceObject; the tag is for reference tracing, which is not kept.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none. Tags are for the tracing of references, which is off, as it is where no debugger asks for it.
/// Source: WDK wdm/ObReferenceObjectWithTag.
NT_EXPORT(ObfReferenceObjectWithTag, nt::AtMost(DISPATCH_LEVEL), Full, "KernelOb.*");
extern "C" LONG_PTR FASTCALL ObfReferenceObjectWithTag(PVOID Object, ULONG) {
  return ObfReferenceObject(Object);
}

/// Gives a reference back; the last one deletes the object (above PASSIVE_LEVEL: a system worker does).
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ObDereferenceObject.
NT_EXPORT(ObfDereferenceObject, nt::AtMost(DISPATCH_LEVEL), Full, "KernelOb.*");
extern "C" LONG_PTR FASTCALL ObfDereferenceObject(PVOID Object) {
  POBJECT_HEADER header = ObjectToHeader(Object);
  const LONG_PTR count = InterlockedDecrement64(&header->PointerCount);
  if (count > 0) return count;
  if (count < 0) {
    KeBugCheckEx(REFERENCE_BY_POINTER, reinterpret_cast<ULONG_PTR>(ObTypeIndexTable[header->TypeIndex & 63]),
                 reinterpret_cast<ULONG_PTR>(Object), 0x18, count);
  }
  if (KeGetCurrentIrql() == PASSIVE_LEVEL) {
    ObpRemoveObjectRoutine(header);
  } else {
    DeferRemoval(header);
  }
  return 0;
}

/// ObfDereferenceObject; the tag is for reference tracing, which is not kept.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none. Tags are for the tracing of references, which is off, as it is where no debugger asks for it.
/// Source: WDK wdm/ObDereferenceObjectWithTag.
NT_EXPORT(ObfDereferenceObjectWithTag, nt::AtMost(DISPATCH_LEVEL), Full, "KernelOb.*");
extern "C" LONG_PTR FASTCALL ObfDereferenceObjectWithTag(PVOID Object, ULONG) {
  return ObfDereferenceObject(Object);
}

/// Gives a reference back; the deletion is always a worker's.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ObDereferenceObjectDeferDelete.
NT_EXPORT(ObDereferenceObjectDeferDelete, nt::AtMost(DISPATCH_LEVEL), Full, "KernelOb.*");
extern "C" VOID NTAPI ObDereferenceObjectDeferDelete(PVOID Object) {
  POBJECT_HEADER header = ObjectToHeader(Object);
  if (InterlockedDecrement64(&header->PointerCount) == 0) DeferRemoval(header);
}

/// Adds a reference if the object is of the type (0: any).
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the type of symbolic links is not special.
/// Source: WDK wdm/ObReferenceObjectByPointer.
NT_EXPORT(ObReferenceObjectByPointer, nt::AtMost(DISPATCH_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ObReferenceObjectByPointer(PVOID Object, ACCESS_MASK, POBJECT_TYPE ObjectType,
                                                     KPROCESSOR_MODE) {
  if (ObjectType != nullptr && ObGetObjectType(Object) != ObjectType) return STATUS_OBJECT_TYPE_MISMATCH;
  ObfReferenceObject(Object);
  return STATUS_SUCCESS;
}

/// ObReferenceObjectByPointer; the tag is not kept.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none. Tags are for the tracing of references, which is off, as it is where no debugger asks for it.
/// Source: WDK wdm/ObReferenceObjectByPointerWithTag.
NT_EXPORT(ObReferenceObjectByPointerWithTag, nt::AtMost(DISPATCH_LEVEL), Full, "KernelOb.*");
extern "C" NTSTATUS NTAPI ObReferenceObjectByPointerWithTag(PVOID Object, ACCESS_MASK DesiredAccess,
                                                            POBJECT_TYPE ObjectType,
                                                            KPROCESSOR_MODE AccessMode, ULONG) {
  return ObReferenceObjectByPointer(Object, DesiredAccess, ObjectType, AccessMode);
}

/// The type of an object.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented; exported by every Windows since 7.
NT_EXPORT(ObGetObjectType, nt::AnyIrql(), Full, "KernelOb.*");
extern "C" POBJECT_TYPE NTAPI ObGetObjectType(PVOID Object) {
  return ObTypeIndexTable[ObjectToHeader(Object)->TypeIndex & 63];
}

/// The number of references of an object, of interest only while nobody else changes it.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs.
NT_EXPORT(ObGetObjectPointerCount, nt::AnyIrql(), Full, "KernelOb.*");
extern "C" ULONG NTAPI ObGetObjectPointerCount(PVOID Object) {
  return static_cast<ULONG>(ObjectToHeader(Object)->PointerCount);
}

extern "C" VOID ObpDeleteNameCheck(PVOID Object) {
  POBJECT_HEADER header = ObjectToHeader(Object);
  POBJECT_HEADER_NAME_INFO name = ObjectNameInfo(header);
  if (name == nullptr || header->HandleCount != 0 || (header->Flags & OB_FLAG_PERMANENT_OBJECT)) return;
  POBJECT_DIRECTORY directory = name->Directory;
  if (directory != nullptr && ObpDeleteDirectoryEntry(directory, Object)) ObfDereferenceObject(Object);
}

/// Takes the permanence of a named object away: it loses its name once no handle is open.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ObMakeTemporaryObject.
NT_EXPORT(ObMakeTemporaryObject, nt::AtMost(APC_LEVEL), Full, "KernelOb.*");
extern "C" VOID NTAPI ObMakeTemporaryObject(PVOID Object) {
  ObjectToHeader(Object)->Flags &= ~OB_FLAG_PERMANENT_OBJECT;
  ObpDeleteNameCheck(Object);
}
