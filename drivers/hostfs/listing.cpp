// What a directory holds: look-ups without regard to case, enumeration.
#include "names.h"
#include "volume.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

// A listed name of the host's bytes; 0 if NT cannot name such a file (or memory is short, which the caller
// checks by *failed).
ListedName* MakeListed(const p9::DirectoryEntry& entry, bool* failed) {
  WCHAR name[256];
  ULONG bytes = 0;
  const NTSTATUS status =
      RtlUTF8ToUnicodeN(name, 255 * sizeof(WCHAR), &bytes, entry.name.bytes, entry.name.length);
  const USHORT units = static_cast<USHORT>(bytes / sizeof(WCHAR));
  if (status != STATUS_SUCCESS || !names::IsValidComponent(name, units)) return nullptr;
  auto* listed =
      static_cast<ListedName*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ListedName) + bytes, kTag));
  if (listed == nullptr) {
    *failed = true;
    return nullptr;
  }
  listed->units = units;
  listed->is_directory = (entry.qid.type & p9::kQidDirectory) != 0;
  listed->hash = HashName(name, units);
  RtlCopyMemory(listed->name, name, bytes);
  return listed;
}

}  // namespace

void FreeListing(Listing* listing) {
  if (listing == nullptr) return;
  for (ListedName* bucket : listing->buckets) {
    while (bucket != nullptr) {
      ListedName* next = bucket->next;
      ExFreePoolWithTag(bucket, kTag);
      bucket = next;
    }
  }
  ExFreePoolWithTag(listing, kTag);
}

NTSTATUS Volume::LoadListing(Fcb* directory, bool fresh) {
  const ULONG64 now = KeQueryInterruptTime();
  if (!fresh && directory->listing != nullptr && now - directory->listing->loaded < kListingLife)
    return STATUS_SUCCESS;
  FreeListing(directory->listing);
  directory->listing = nullptr;
  const ULONG fid = client_.NewFid();
  NTSTATUS status = client_.Walk(directory->fid, fid, nullptr, nullptr);
  if (!NT_SUCCESS(status)) return status;
  auto* listing = static_cast<Listing*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Listing), kTag));
  if (listing == nullptr) {
    status = STATUS_INSUFFICIENT_RESOURCES;
  } else {
    RtlZeroMemory(listing, sizeof(Listing));
    listing->loaded = now;
    status = client_.Open(fid, p9::kReadOnly | p9::kDirectory);
  }
  if (NT_SUCCESS(status)) status = FillListing(directory, fid, listing);
  client_.Clunk(fid);
  if (!NT_SUCCESS(status)) FreeListing(listing);
  return status;
}

NTSTATUS Volume::FillListing(Fcb* directory, ULONG fid, Listing* listing) {
  ULONG64 offset = 0;
  for (;;) {
    p9::Decoder entries(nullptr, 0);
    const NTSTATUS status = client_.ReadDirectory(fid, offset, &entries);
    if (!NT_SUCCESS(status)) return status;
    if (entries.left() == 0) break;
    while (entries.left() != 0) {
      const p9::DirectoryEntry entry = entries.ReadDirectoryEntry();
      if (!entries.valid()) return STATUS_IO_DEVICE_ERROR;
      offset = entry.offset;
      bool failed = false;
      ListedName* listed = MakeListed(entry, &failed);
      if (failed) return STATUS_INSUFFICIENT_RESOURCES;
      if (listed == nullptr) continue;
      ListedName** bucket = &listing->buckets[listed->hash % kListingBuckets];
      listed->next = *bucket;
      *bucket = listed;
      ++listing->count;
    }
  }
  directory->listing = listing;
  return STATUS_SUCCESS;
}

ListedName* Volume::FindListed(Fcb* directory, const WCHAR* name, USHORT units) {
  if (directory->listing == nullptr) return nullptr;
  const ULONG hash = HashName(name, units);
  for (ListedName* listed = directory->listing->buckets[hash % kListingBuckets]; listed != nullptr;
       listed = listed->next) {
    if (listed->hash == hash && SameName(listed->name, listed->units, name, units)) return listed;
  }
  return nullptr;
}

void Volume::AddListed(Fcb* directory, const WCHAR* name, USHORT units, bool is_directory) {
  if (directory->listing == nullptr || FindListed(directory, name, units) != nullptr) return;
  auto* listed = static_cast<ListedName*>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ListedName) + units * sizeof(WCHAR), kTag));
  if (listed == nullptr) {
    FreeListing(directory->listing);
    directory->listing = nullptr;
    return;
  }
  listed->units = units;
  listed->is_directory = is_directory;
  listed->hash = HashName(name, units);
  RtlCopyMemory(listed->name, name, units * sizeof(WCHAR));
  ListedName** bucket = &directory->listing->buckets[listed->hash % kListingBuckets];
  listed->next = *bucket;
  *bucket = listed;
  ++directory->listing->count;
}

void Volume::RemoveListed(Fcb* directory, const WCHAR* name, USHORT units) {
  if (directory->listing == nullptr) return;
  const ULONG hash = HashName(name, units);
  for (ListedName** link = &directory->listing->buckets[hash % kListingBuckets]; *link != nullptr;
       link = &(*link)->next) {
    ListedName* listed = *link;
    if (listed->hash != hash || !SameName(listed->name, listed->units, name, units)) continue;
    *link = listed->next;
    --directory->listing->count;
    ExFreePoolWithTag(listed, kTag);
    return;
  }
}

NTSTATUS Volume::IsEmpty(Fcb* directory) {
  const NTSTATUS status = LoadListing(directory, true);
  if (!NT_SUCCESS(status)) return status;
  return directory->listing->count == 0 ? STATUS_SUCCESS : STATUS_DIRECTORY_NOT_EMPTY;
}

}  // namespace hostfs
