// IRP_MJ_DIRECTORY_CONTROL: enumeration. The first query takes a sorted copy of the names; later ones go on
// in it.
#include "names.h"
#include "volume.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

// Where the classes put what they have in common.
struct EntryLayout {
  ULONG fixed;          // bytes before FileName
  ULONG name_length;    // offset of FileNameLength
  bool has_attributes;  // times, sizes, attributes at their common offsets
  ULONG file_id;        // offset of FileId, 0: none
};

bool LayoutOf(FILE_INFORMATION_CLASS kind, EntryLayout* layout) {
  constexpr ULONG kName = FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, FileNameLength);
  switch (kind) {
    case FileDirectoryInformation:
      *layout = {FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, FileName), kName, true, 0};
      return true;
    case FileFullDirectoryInformation:
      *layout = {FIELD_OFFSET(FILE_FULL_DIR_INFORMATION, FileName), kName, true, 0};
      return true;
    case FileBothDirectoryInformation:
      *layout = {FIELD_OFFSET(FILE_BOTH_DIR_INFORMATION, FileName), kName, true, 0};
      return true;
    case FileIdFullDirectoryInformation:
      *layout = {FIELD_OFFSET(FILE_ID_FULL_DIR_INFORMATION, FileName), kName, true,
                 FIELD_OFFSET(FILE_ID_FULL_DIR_INFORMATION, FileId)};
      return true;
    case FileIdBothDirectoryInformation:
      *layout = {FIELD_OFFSET(FILE_ID_BOTH_DIR_INFORMATION, FileName), kName, true,
                 FIELD_OFFSET(FILE_ID_BOTH_DIR_INFORMATION, FileId)};
      return true;
    case FileNamesInformation:
      *layout = {FIELD_OFFSET(FILE_NAMES_INFORMATION, FileName),
                 FIELD_OFFSET(FILE_NAMES_INFORMATION, FileNameLength), false, 0};
      return true;
    default:
      return false;
  }
}

int CompareNames(const ListedName* a, const ListedName* b) {
  const USHORT common = a->units < b->units ? a->units : b->units;
  for (USHORT i = 0; i < common; ++i) {
    const WCHAR left = RtlUpcaseUnicodeChar(a->name[i]);
    const WCHAR right = RtlUpcaseUnicodeChar(b->name[i]);
    if (left != right) return left < right ? -1 : 1;
  }
  return static_cast<int>(a->units) - static_cast<int>(b->units);
}

// Sorts by heap: no recursion, no worst case.
void SortNames(ListedName** entries, ULONG count) {
  auto sift = [entries](ULONG root, ULONG end) {
    for (ULONG child; (child = 2 * root + 1) < end; root = child) {
      if (child + 1 < end && CompareNames(entries[child], entries[child + 1]) < 0) ++child;
      if (CompareNames(entries[root], entries[child]) >= 0) return;
      ListedName* swapped = entries[root];
      entries[root] = entries[child];
      entries[child] = swapped;
    }
  };
  for (ULONG root = count / 2; root > 0; --root) sift(root - 1, count);
  for (ULONG last = count; last > 1; --last) {
    ListedName* swapped = entries[0];
    entries[0] = entries[last - 1];
    entries[last - 1] = swapped;
    sift(0, last - 1);
  }
}

ListedName* CopyName(const WCHAR* name, USHORT units, bool is_directory) {
  auto* copy = static_cast<ListedName*>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ListedName) + units * sizeof(WCHAR), kTag));
  if (copy == nullptr) return nullptr;
  copy->units = units;
  copy->is_directory = is_directory;
  RtlCopyMemory(copy->name, name, units * sizeof(WCHAR));
  return copy;
}

bool Wanted(const Ccb* ccb, const WCHAR* name, USHORT units) {
  return ccb->pattern_units == 0 ||
         names::Matches(ccb->pattern, ccb->pattern_units, name, units, RtlUpcaseUnicodeChar);
}

NTSTATUS AddEntry(Ccb* ccb, const WCHAR* name, USHORT units, bool is_directory) {
  if (!Wanted(ccb, name, units)) return STATUS_SUCCESS;
  ListedName* copy = CopyName(name, units, is_directory);
  if (copy == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ccb->entries[ccb->entry_count++] = copy;
  return STATUS_SUCCESS;
}

void DropEntries(Ccb* ccb) {
  for (ULONG i = 0; i < ccb->entry_count; ++i) ExFreePoolWithTag(ccb->entries[i], kTag);
  if (ccb->entries != nullptr) ExFreePoolWithTag(ccb->entries, kTag);
  ccb->entries = nullptr;
  ccb->entry_count = 0;
  ccb->position = 0;
}

NTSTATUS TakeEntries(Volume& volume, Fcb* fcb, Ccb* ccb) {
  DropEntries(ccb);
  NTSTATUS status = volume.LoadListing(fcb, true);
  if (!NT_SUCCESS(status)) return status;
  const ULONG most = fcb->listing->count + 2;
  ccb->entries =
      static_cast<ListedName**>(ExAllocatePoolWithTag(NonPagedPoolNx, most * sizeof(ListedName*), kTag));
  if (ccb->entries == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const WCHAR dots[2] = {'.', '.'};
  if (fcb != volume.root()) {
    status = AddEntry(ccb, dots, 1, true);
    if (NT_SUCCESS(status)) status = AddEntry(ccb, dots, 2, true);
  }
  const ULONG first = ccb->entry_count;
  for (ListedName* bucket : fcb->listing->buckets) {
    for (; bucket != nullptr && NT_SUCCESS(status); bucket = bucket->next) {
      status = AddEntry(ccb, bucket->name, bucket->units, bucket->is_directory);
    }
  }
  if (NT_SUCCESS(status)) SortNames(ccb->entries + first, ccb->entry_count - first);
  return status;
}

NTSTATUS SetPattern(Ccb* ccb, const UNICODE_STRING* pattern) {
  if (ccb->pattern != nullptr) ExFreePoolWithTag(ccb->pattern, kTag);
  ccb->pattern = nullptr;
  ccb->pattern_units = 0;
  const USHORT units = pattern != nullptr ? pattern->Length / sizeof(WCHAR) : 0;
  if (units == 0 || (units == 1 && pattern->Buffer[0] == '*')) return STATUS_SUCCESS;
  ccb->pattern = static_cast<WCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, units * sizeof(WCHAR), kTag));
  if (ccb->pattern == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlCopyMemory(ccb->pattern, pattern->Buffer, units * sizeof(WCHAR));
  ccb->pattern_units = units;
  return STATUS_SUCCESS;
}

// The attributes of an entry: of the open file, whose delayed writes count, or of the host's.
NTSTATUS EntryAttributes(Volume& volume, Fcb* directory, const ListedName* entry, Fcb* out) {
  RtlZeroMemory(out, sizeof *out);
  out->is_directory = entry->is_directory;
  const bool dots =
      entry->name[0] == '.' && (entry->units == 1 || (entry->units == 2 && entry->name[1] == '.'));
  Fcb* fcb = nullptr;
  NTSTATUS status = STATUS_SUCCESS;
  if (dots) {
    fcb = entry->units == 2 && directory->parent != nullptr ? directory->parent : directory;
    volume.Reference(fcb);
  } else {
    const UNICODE_STRING name = {static_cast<USHORT>(entry->units * sizeof(WCHAR)),
                                 static_cast<USHORT>(entry->units * sizeof(WCHAR)),
                                 const_cast<PWSTR>(entry->name)};
    status = volume.Lookup(directory, name, false, &fcb);
  }
  if (NT_SUCCESS(status)) {
    status = volume.LoadAttributes(fcb);
    out->is_directory = fcb->is_directory;
    out->attributes = fcb->attributes;
    volume.Release(fcb);
  }
  return status == STATUS_IO_REPARSE_TAG_NOT_HANDLED ? STATUS_SUCCESS
                                                     : status;  // a link is listed, without its facts
}

void FillEntry(const EntryLayout& layout, const ListedName* entry, const Fcb* facts, ULONG name_bytes,
               PUCHAR out) {
  RtlZeroMemory(out, layout.fixed);
  if (layout.has_attributes) {
    auto* common = reinterpret_cast<FILE_DIRECTORY_INFORMATION*>(out);
    common->CreationTime = TimeOf(facts->attributes.modification);
    common->LastAccessTime = TimeOf(facts->attributes.access);
    common->LastWriteTime = TimeOf(facts->attributes.modification);
    common->ChangeTime = TimeOf(facts->attributes.change);
    common->EndOfFile.QuadPart = facts->is_directory ? 0 : static_cast<LONGLONG>(facts->attributes.size);
    common->AllocationSize.QuadPart = static_cast<LONGLONG>(AllocationOf(facts));
    common->FileAttributes = FileAttributesOf(facts);
  }
  if (layout.file_id != 0) *reinterpret_cast<ULONG64*>(out + layout.file_id) = facts->attributes.qid.path;
  *reinterpret_cast<ULONG*>(out + layout.name_length) = entry->units * sizeof(WCHAR);
  RtlCopyMemory(out + layout.fixed, entry->name, name_bytes);
}

NTSTATUS FillBuffer(Volume& volume, Fcb* fcb, Ccb* ccb, const EntryLayout& layout, bool single, PUCHAR buffer,
                    ULONG length, Fcb* facts, ULONG* used) {
  PUCHAR previous = nullptr;
  ULONG at = 0;
  while (ccb->position < ccb->entry_count) {
    const ListedName* entry = ccb->entries[ccb->position];
    const ULONG name_bytes = entry->units * sizeof(WCHAR);
    const ULONG room = at < length ? length - at : 0;
    if (layout.fixed + name_bytes > room) {
      if (previous != nullptr) break;
      if (layout.fixed > room) return STATUS_BUFFER_TOO_SMALL;
    }
    if (layout.has_attributes) {
      const NTSTATUS status = EntryAttributes(volume, fcb, entry, facts);
      if (status == STATUS_OBJECT_NAME_NOT_FOUND) {  // gone meanwhile
        ++ccb->position;
        continue;
      }
      if (!NT_SUCCESS(status)) return previous != nullptr ? STATUS_SUCCESS : status;
    }
    const ULONG copied = name_bytes <= room - layout.fixed ? name_bytes : room - layout.fixed;
    FillEntry(layout, entry, facts, copied, buffer + at);
    if (previous != nullptr) *reinterpret_cast<ULONG*>(previous) = static_cast<ULONG>(buffer + at - previous);
    previous = buffer + at;
    *used = at + layout.fixed + copied;
    ++ccb->position;
    if (copied < name_bytes) return STATUS_BUFFER_OVERFLOW;
    at = (*used + 7) & ~7u;
    if (single) break;
  }
  return previous != nullptr ? STATUS_SUCCESS : STATUS_NO_MORE_FILES;
}

NTSTATUS QueryLocked(Volume& volume, PIO_STACK_LOCATION stack, PVOID buffer, ULONG* used) {
  auto* fcb = static_cast<Fcb*>(stack->FileObject->FsContext);
  auto* ccb = static_cast<Ccb*>(stack->FileObject->FsContext2);
  if (fcb == nullptr || ccb == nullptr || !fcb->is_directory || ccb->is_volume)
    return STATUS_INVALID_PARAMETER;
  EntryLayout layout;
  if (!LayoutOf(stack->Parameters.QueryDirectory.FileInformationClass, &layout))
    return STATUS_INVALID_INFO_CLASS;
  if (stack->Parameters.QueryDirectory.Length < layout.fixed) return STATUS_INFO_LENGTH_MISMATCH;
  const bool first = !ccb->scanning;
  NTSTATUS status = STATUS_SUCCESS;
  if (first)
    status = SetPattern(ccb, reinterpret_cast<PUNICODE_STRING>(stack->Parameters.QueryDirectory.FileName));
  if (NT_SUCCESS(status) && (first || (stack->Flags & SL_RESTART_SCAN) != 0))
    status = TakeEntries(volume, fcb, ccb);
  if (!NT_SUCCESS(status)) return status;
  ccb->scanning = true;
  if (first && ccb->entry_count == 0) return STATUS_NO_SUCH_FILE;
  auto* facts = static_cast<Fcb*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Fcb), kTag));
  if (facts == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(facts, sizeof *facts);
  status = FillBuffer(volume, fcb, ccb, layout, (stack->Flags & SL_RETURN_SINGLE_ENTRY) != 0,
                      static_cast<PUCHAR>(buffer), stack->Parameters.QueryDirectory.Length, facts, used);
  ExFreePoolWithTag(facts, kTag);
  return status;
}

}  // namespace

NTSTATUS NTAPI HostFsDirectoryControl(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  if (volume != nullptr && stack->MinorFunction == IRP_MN_NOTIFY_CHANGE_DIRECTORY)
    return HostFsNotify(*volume, irp);
  if (volume == nullptr || stack->MinorFunction != IRP_MN_QUERY_DIRECTORY)
    return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
  HeldBuffer buffer;
  NTSTATUS status = HoldBuffer(irp, stack->Parameters.QueryDirectory.Length, IoWriteAccess, &buffer);
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  ULONG used = 0;
  volume->Lock();
  status = QueryLocked(*volume, stack, buffer.address, &used);
  volume->Unlock();
  ReleaseBuffer(&buffer);
  return Complete(irp, status, used);
}

}  // namespace hostfs
