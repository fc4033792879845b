// Object directories: hash tables of named objects, each guarded by a spin lock, so that a look-up never
// blocks.
#include "ob_internal.h"

namespace {

ULONG HashName(PCUNICODE_STRING name) {
  ULONG hash = 0;
  for (USHORT i = 0; i < name->Length / sizeof(WCHAR); ++i)
    hash = hash * 33 + RtlUpcaseUnicodeChar(name->Buffer[i]);
  return hash;
}

bool NamesEqual(PCUNICODE_STRING a, PCUNICODE_STRING b) {
  if (a->Length != b->Length) return false;
  for (USHORT i = 0; i < a->Length / sizeof(WCHAR); ++i) {
    if (a->Buffer[i] != b->Buffer[i] &&
        RtlUpcaseUnicodeChar(a->Buffer[i]) != RtlUpcaseUnicodeChar(b->Buffer[i]))
      return false;
  }
  return true;
}

// The link that points to the entry of `name`, or to the chain's end.
POBJECT_DIRECTORY_ENTRY* FindLocked(POBJECT_DIRECTORY directory, PCUNICODE_STRING name, ULONG hash) {
  POBJECT_DIRECTORY_ENTRY* link = &directory->HashBuckets[hash % OBJECT_HASH_BUCKETS];
  while (*link != nullptr) {
    if ((*link)->HashValue == hash &&
        NamesEqual(&ObjectNameInfo(ObjectToHeader((*link)->Object))->Name, name))
      break;
    link = &(*link)->ChainLink;
  }
  return link;
}

}  // namespace

extern "C" NTSTATUS ObpInsertDirectoryEntry(POBJECT_DIRECTORY Directory, PVOID Object) {
  auto* entry = static_cast<POBJECT_DIRECTORY_ENTRY>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(OBJECT_DIRECTORY_ENTRY), kDirectoryTag));
  if (entry == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  POBJECT_HEADER_NAME_INFO name = ObjectNameInfo(ObjectToHeader(Object));
  *entry = {nullptr, Object, HashName(&name->Name)};
  {
    ke::SpinGuard guard(&Directory->Lock);
    POBJECT_DIRECTORY_ENTRY* link = FindLocked(Directory, &name->Name, entry->HashValue);
    if (*link == nullptr) {
      ObfReferenceObject(Object);
      name->Directory = Directory;
      entry->ChainLink = nullptr;
      *link = entry;
      return STATUS_SUCCESS;
    }
  }
  ExFreePoolWithTag(entry, kDirectoryTag);
  return STATUS_OBJECT_NAME_COLLISION;
}

extern "C" PVOID ObpLookupDirectoryEntry(POBJECT_DIRECTORY Directory, PCUNICODE_STRING Name) {
  const ULONG hash = HashName(Name);
  ke::SpinGuard guard(&Directory->Lock);
  POBJECT_DIRECTORY_ENTRY entry = *FindLocked(Directory, Name, hash);
  if (entry == nullptr) return nullptr;
  ObfReferenceObject(entry->Object);
  return entry->Object;
}

extern "C" BOOLEAN ObpDeleteDirectoryEntry(POBJECT_DIRECTORY Directory, PVOID Object) {
  POBJECT_HEADER_NAME_INFO name = ObjectNameInfo(ObjectToHeader(Object));
  POBJECT_DIRECTORY_ENTRY entry;
  {
    ke::SpinGuard guard(&Directory->Lock);
    if (name->Directory != Directory) return FALSE;
    POBJECT_DIRECTORY_ENTRY* link = FindLocked(Directory, &name->Name, HashName(&name->Name));
    entry = *link;
    if (entry == nullptr || entry->Object != Object) return FALSE;
    *link = entry->ChainLink;
    name->Directory = nullptr;
  }
  ExFreePoolWithTag(entry, kDirectoryTag);
  return TRUE;
}

// A directory goes when nobody refers to it; what is still in it loses the directory's reference.
extern "C" VOID NTAPI ObpDeleteDirectory(PVOID Object) {
  auto* directory = static_cast<POBJECT_DIRECTORY>(Object);
  for (auto& bucket : directory->HashBuckets) {
    while (bucket != nullptr) {
      POBJECT_DIRECTORY_ENTRY entry = bucket;
      bucket = entry->ChainLink;
      ObjectNameInfo(ObjectToHeader(entry->Object))->Directory = nullptr;
      ObfDereferenceObject(entry->Object);
      ExFreePoolWithTag(entry, kDirectoryTag);
    }
  }
}

namespace ob {
namespace {

struct Snapshot {
  PVOID* objects;
  ULONG count;
  ULONG capacity;
};

// References up to `capacity` objects; returns how many there are.
ULONG TakeSnapshot(POBJECT_DIRECTORY directory, Snapshot* snapshot) {
  ke::SpinGuard guard(&directory->Lock);
  ULONG total = 0;
  snapshot->count = 0;
  for (auto* entry : directory->HashBuckets) {
    for (; entry != nullptr; entry = entry->ChainLink) {
      ++total;
      if (snapshot->count == snapshot->capacity) continue;
      ObfReferenceObject(entry->Object);
      snapshot->objects[snapshot->count++] = entry->Object;
    }
  }
  return total;
}

}  // namespace

NTSTATUS EnumerateDirectory(POBJECT_DIRECTORY directory, bool (*visit)(PVOID, PCUNICODE_STRING, PVOID),
                            PVOID context) {
  Snapshot snapshot = {nullptr, 0, 0};
  for (ULONG wanted = 64;;) {
    snapshot.objects =
        static_cast<PVOID*>(ExAllocatePoolWithTag(NonPagedPoolNx, wanted * sizeof(PVOID), kDirectoryTag));
    if (snapshot.objects == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    snapshot.capacity = wanted;
    const ULONG total = TakeSnapshot(directory, &snapshot);
    if (total <= wanted) break;
    for (ULONG i = 0; i < snapshot.count; ++i) ObfDereferenceObject(snapshot.objects[i]);
    ExFreePoolWithTag(snapshot.objects, kDirectoryTag);
    wanted = total + 32;
  }
  bool going = true;
  for (ULONG i = 0; i < snapshot.count; ++i) {
    PVOID object = snapshot.objects[i];
    if (going) going = visit(object, &ObjectNameInfo(ObjectToHeader(object))->Name, context);
    ObfDereferenceObject(object);
  }
  ExFreePoolWithTag(snapshot.objects, kDirectoryTag);
  return STATUS_SUCCESS;
}

}  // namespace ob
