// Object types, the standard directories, boot.
#include "ob_internal.h"
#include "nt/export.h"

extern "C" {
POBJECT_TYPE ObTypeIndexTable[64];
POBJECT_TYPE ObpTypeObjectType;
POBJECT_TYPE ObpDirectoryObjectType;
POBJECT_TYPE ObpSymbolicLinkObjectType;
POBJECT_DIRECTORY ObpRootDirectoryObject;
POBJECT_DIRECTORY ObpTypeDirectoryObject;
POBJECT_DIRECTORY ObpGlobalDosDevicesDirectory;
}

namespace {

constexpr UCHAR kFirstTypeIndex = 2;  // as on Windows: 0 and 1 are never used
UCHAR g_next_type_index = kFirstTypeIndex;

// A type object; ObpTypeObjectType itself is made before there is a type of types.
POBJECT_TYPE AllocateType(PUNICODE_STRING name, POBJECT_TYPE_INITIALIZER initializer, ULONG tag) {
  constexpr SIZE_T kSize =
      sizeof(OBJECT_HEADER_NAME_INFO) + FIELD_OFFSET(OBJECT_HEADER, Body) + sizeof(OBJECT_TYPE);
  auto* info = static_cast<POBJECT_HEADER_NAME_INFO>(ExAllocatePoolWithTag(NonPagedPoolNx, kSize, 'TjbO'));
  auto* buffer =
      static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, name->Length + sizeof(WCHAR), kNameTag));
  if (info == nullptr || buffer == nullptr) return nullptr;
  RtlZeroMemory(info, kSize);
  RtlCopyMemory(buffer, name->Buffer, name->Length);
  buffer[name->Length / sizeof(WCHAR)] = 0;
  info->Name = {name->Length, static_cast<USHORT>(name->Length + sizeof(WCHAR)), buffer};
  info->ReferenceCount = 1;
  auto* header = reinterpret_cast<POBJECT_HEADER>(info + 1);
  header->PointerCount = 1;
  header->InfoMask = OB_INFOMASK_NAME;
  header->Flags = OB_FLAG_PERMANENT_OBJECT | OB_FLAG_KERNEL_OBJECT;
  header->TypeIndex = kFirstTypeIndex;
  auto* type = reinterpret_cast<POBJECT_TYPE>(&header->Body);
  InitializeListHead(&type->TypeList);
  InitializeListHead(&type->CallbackList);
  type->Name = info->Name;
  type->TypeInfo = *initializer;
  type->Key = tag;
  type->Index = g_next_type_index++;
  ObTypeIndexTable[type->Index] = type;
  return type;
}

ULONG TagOf(PCUNICODE_STRING name) {
  ULONG tag = 0;
  for (USHORT i = 0; i < 4; ++i) {
    const ULONG c = i < name->Length / sizeof(WCHAR) ? (name->Buffer[i] & 0x7F) : ' ';
    tag |= c << (8 * i);
  }
  return tag;
}

struct NamedDirectory {
  const wchar_t* path;
  POBJECT_DIRECTORY* where;
};

NTSTATUS CreateStandardDirectories() {
  const NamedDirectory directories[] = {
      {L"\\ObjectTypes", &ObpTypeDirectoryObject},
      {L"\\GLOBAL??", &ObpGlobalDosDevicesDirectory},
      {L"\\Device", nullptr},
      {L"\\Driver", nullptr},
      {L"\\FileSystem", nullptr},
      {L"\\Callback", nullptr},
      {L"\\KernelObjects", nullptr},
      {L"\\BaseNamedObjects", nullptr},
      {L"\\Security", nullptr},
  };
  for (const auto& directory : directories) {
    NTSTATUS status = ob::CreateDirectory(directory.path, directory.where);
    if (!NT_SUCCESS(status)) return status;
  }
  for (POBJECT_TYPE type : ObTypeIndexTable) {
    if (type == nullptr) continue;
    NTSTATUS status = ObpInsertDirectoryEntry(ObpTypeDirectoryObject, type);
    if (!NT_SUCCESS(status)) return status;
  }
  NTSTATUS status = ob::CreateLink(L"\\DosDevices", L"\\??");
  if (NT_SUCCESS(status)) status = ob::CreateLink(L"\\GLOBAL??\\Global", L"\\GLOBAL??");
  if (NT_SUCCESS(status)) status = ob::CreateLink(L"\\GLOBAL??\\GLOBALROOT", L"");
  return status;
}

}  // namespace

extern "C" NTSTATUS NTAPI ObCreateObjectType(PUNICODE_STRING TypeName,
                                             POBJECT_TYPE_INITIALIZER ObjectTypeInitializer,
                                             PSECURITY_DESCRIPTOR, POBJECT_TYPE* ObjectType) {
  if (g_next_type_index >= RTL_NUMBER_OF(ObTypeIndexTable)) return STATUS_INSUFFICIENT_RESOURCES;
  POBJECT_TYPE type = AllocateType(TypeName, ObjectTypeInitializer, TagOf(TypeName));
  if (type == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *ObjectType = type;
  return ObpTypeDirectoryObject != nullptr ? ObpInsertDirectoryEntry(ObpTypeDirectoryObject, type)
                                           : STATUS_SUCCESS;
}

namespace ob {

NTSTATUS CreateType(const TypeDescription& description, POBJECT_TYPE* type) {
  UNICODE_STRING name = String(description.name);
  OBJECT_TYPE_INITIALIZER initializer = {};
  initializer.Length = sizeof(initializer);
  initializer.CaseInsensitive = 1;
  initializer.GenericMapping = description.mapping;
  initializer.ValidAccessMask = description.valid_access;
  initializer.PoolType = NonPagedPoolNx;
  initializer.DeleteProcedure = description.delete_procedure;
  initializer.CloseProcedure = description.close_procedure;
  initializer.ParseProcedure = description.parse_procedure;
  initializer.QueryNameProcedure = description.query_name_procedure;
  NTSTATUS status = ObCreateObjectType(&name, &initializer, nullptr, type);
  if (!NT_SUCCESS(status)) return status;
  (*type)->Key = description.pool_tag;
  (*type)->DefaultObject =
      description.waitable ? reinterpret_cast<PVOID>(static_cast<LONG_PTR>(-1))
                           : reinterpret_cast<PVOID>(static_cast<LONG_PTR>(description.dispatcher_offset));
  return STATUS_SUCCESS;
}

PVOID DispatcherObject(PVOID object) {
  const auto where = reinterpret_cast<LONG_PTR>(ObGetObjectType(object)->DefaultObject);
  if (where == -1) return object;
  if (where <= 0) return nullptr;
  return static_cast<UCHAR*>(object) + where;
}

NTSTATUS CreateDirectory(const wchar_t* path, POBJECT_DIRECTORY* directory) {
  UNICODE_STRING name = String(path);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, ObpDirectoryObjectType, &attributes, KernelMode, nullptr,
                                   sizeof(OBJECT_DIRECTORY), 0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  KeInitializeSpinLock(&static_cast<POBJECT_DIRECTORY>(object)->Lock);
  status = ObInsertObject(object, nullptr, 0, 0, nullptr, nullptr);
  if (NT_SUCCESS(status) && directory != nullptr) *directory = static_cast<POBJECT_DIRECTORY>(object);
  return status;
}

}  // namespace ob

extern "C" NTSTATUS ObInitSystem() {
  NTSTATUS status = ob::InitHandleTable();
  if (!NT_SUCCESS(status)) return status;
  const GENERIC_MAPPING directory_mapping = {
      STANDARD_RIGHTS_READ | DIRECTORY_QUERY | DIRECTORY_TRAVERSE,
      STANDARD_RIGHTS_WRITE | DIRECTORY_CREATE_OBJECT | DIRECTORY_CREATE_SUBDIRECTORY,
      STANDARD_RIGHTS_EXECUTE | DIRECTORY_QUERY | DIRECTORY_TRAVERSE, DIRECTORY_ALL_ACCESS};
  const GENERIC_MAPPING link_mapping = {STANDARD_RIGHTS_READ | SYMBOLIC_LINK_QUERY, STANDARD_RIGHTS_WRITE,
                                        STANDARD_RIGHTS_EXECUTE | SYMBOLIC_LINK_QUERY,
                                        SYMBOLIC_LINK_ALL_ACCESS};
  const ob::TypeDescription types[] = {
      {L"Type", 'TjbO', {}, STANDARD_RIGHTS_ALL | 1, nullptr, nullptr, nullptr, nullptr, false, 0},
      {L"Directory", kDirectoryTag, directory_mapping, DIRECTORY_ALL_ACCESS, ObpDeleteDirectory, nullptr,
       nullptr, nullptr, false, 0},
      {L"SymbolicLink", 'kniL', link_mapping, SYMBOLIC_LINK_ALL_ACCESS, ObpDeleteSymbolicLink, nullptr,
       nullptr, nullptr, false, 0},
  };
  POBJECT_TYPE* const variables[] = {&ObpTypeObjectType, &ObpDirectoryObjectType, &ObpSymbolicLinkObjectType};
  for (ULONG i = 0; i < RTL_NUMBER_OF(types); ++i) {
    status = ob::CreateType(types[i], variables[i]);
    if (!NT_SUCCESS(status)) return status;
  }
  PVOID root;
  status = ObCreateObject(KernelMode, ObpDirectoryObjectType, nullptr, KernelMode, nullptr,
                          sizeof(OBJECT_DIRECTORY), 0, 0, &root);
  if (!NT_SUCCESS(status)) return status;
  ObpRootDirectoryObject = static_cast<POBJECT_DIRECTORY>(root);
  KeInitializeSpinLock(&ObpRootDirectoryObject->Lock);
  ObjectToHeader(root)->Flags |= OB_FLAG_PERMANENT_OBJECT;
  return CreateStandardDirectories();
}
