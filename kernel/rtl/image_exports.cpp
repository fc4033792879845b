// Headers, directories and exports of an image in memory. Nothing of the headers is trusted beyond the sizes
// given.
#include "rtl/rtl.h"

#include <ntimage.h>

namespace {

constexpr ULONG kNoRangeCheck = 1;  // RTL_IMAGE_NT_HEADER_EX_FLAG_NO_RANGE_CHECK
constexpr LONG kFarthestHeader = 256 * 1024 * 1024;

PVOID At(PVOID base, ULONG offset) {
  return static_cast<UCHAR*>(base) + offset;
}

// The file offset of an address in the image, for an image that is not mapped; 0: none.
ULONG FileOffset(PIMAGE_NT_HEADERS headers, ULONG address) {
  auto* section = IMAGE_FIRST_SECTION(headers);
  for (USHORT i = 0; i < headers->FileHeader.NumberOfSections; ++i, ++section) {
    const ULONG offset = address - section->VirtualAddress;
    if (address >= section->VirtualAddress && offset < section->SizeOfRawData)
      return section->PointerToRawData + offset;
  }
  return 0;
}

}  // namespace

extern "C" {

/// Finds the PE header of an image, by default within Size bytes.
/// IRQL: any at which the image is resident.
/// Differs from NT: none.
/// Source: not documented; used with RtlImageNtHeader.
NT_EXPORT(RtlImageNtHeaderEx, nt::AnyIrql(), Full, "RtlImage.*");
NTSTATUS NTAPI RtlImageNtHeaderEx(ULONG Flags, PVOID BaseOfImage, ULONG64 Size,
                                  PIMAGE_NT_HEADERS* OutHeaders) {
  if (OutHeaders != nullptr) *OutHeaders = nullptr;
  if (OutHeaders == nullptr || BaseOfImage == nullptr ||
      BaseOfImage == reinterpret_cast<PVOID>(~ULONG_PTR{0}) || (Flags & ~kNoRangeCheck) != 0)
    return STATUS_INVALID_PARAMETER;
  const bool check = (Flags & kNoRangeCheck) == 0;
  if (check && Size < sizeof(IMAGE_DOS_HEADER)) return STATUS_INVALID_IMAGE_FORMAT;
  auto* dos = static_cast<PIMAGE_DOS_HEADER>(BaseOfImage);
  if (dos->e_magic != IMAGE_DOS_SIGNATURE || dos->e_lfanew < 0 || dos->e_lfanew >= kFarthestHeader)
    return STATUS_INVALID_IMAGE_FORMAT;
  if (check && static_cast<ULONG64>(dos->e_lfanew) + sizeof(IMAGE_NT_HEADERS) > Size)
    return STATUS_INVALID_IMAGE_FORMAT;
  auto* headers = static_cast<PIMAGE_NT_HEADERS>(At(BaseOfImage, static_cast<ULONG>(dos->e_lfanew)));
  if (headers->Signature != IMAGE_NT_SIGNATURE) return STATUS_INVALID_IMAGE_FORMAT;
  *OutHeaders = headers;
  return STATUS_SUCCESS;
}

/// Finds the PE header of an image; 0 if it is none.
/// IRQL: any at which the image is resident.
/// Differs from NT: none.
/// Source: not documented; used by many drivers.
NT_EXPORT(RtlImageNtHeader, nt::AnyIrql(), Full, "RtlImage.*");
PIMAGE_NT_HEADERS NTAPI RtlImageNtHeader(PVOID Base) {
  PIMAGE_NT_HEADERS headers = nullptr;
  RtlImageNtHeaderEx(kNoRangeCheck, Base, 0, &headers);
  return headers;
}

/// Finds a data directory of an image, mapped or as it lies in its file, and its size; 0 if it has none.
/// IRQL: any at which the image is resident.
/// Differs from NT: none.
/// Source: not documented; used by many drivers.
NT_EXPORT(RtlImageDirectoryEntryToData, nt::AnyIrql(), Full, "RtlImage.*");
PVOID NTAPI RtlImageDirectoryEntryToData(PVOID BaseOfImage, BOOLEAN MappedAsImage, USHORT DirectoryEntry,
                                         PULONG Size) {
  *Size = 0;
  PIMAGE_NT_HEADERS headers = RtlImageNtHeader(BaseOfImage);
  if (headers == nullptr || headers->OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC ||
      DirectoryEntry >= headers->OptionalHeader.NumberOfRvaAndSizes ||
      DirectoryEntry >= IMAGE_NUMBEROF_DIRECTORY_ENTRIES)
    return nullptr;
  const IMAGE_DATA_DIRECTORY& directory = headers->OptionalHeader.DataDirectory[DirectoryEntry];
  if (directory.VirtualAddress == 0) return nullptr;
  const bool direct = MappedAsImage || directory.VirtualAddress < headers->OptionalHeader.SizeOfHeaders;
  const ULONG offset = direct ? directory.VirtualAddress : FileOffset(headers, directory.VirtualAddress);
  if (offset == 0) return nullptr;
  *Size = directory.Size;
  return At(BaseOfImage, offset);
}

/// Finds an export of a mapped image by name; 0 if there is none, or it is forwarded to another image.
/// IRQL: PASSIVE_LEVEL; works at any at which the image is resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlFindExportedRoutineByName (not documented in detail).
NT_EXPORT(RtlFindExportedRoutineByName, nt::AnyIrql(), Full, "RtlImage.*");
PVOID NTAPI RtlFindExportedRoutineByName(PVOID DllBase, PCSZ RoutineName) {
  ULONG size;
  PVOID directory = RtlImageDirectoryEntryToData(DllBase, TRUE, IMAGE_DIRECTORY_ENTRY_EXPORT, &size);
  if (directory == nullptr) return nullptr;
  auto* exports = static_cast<PIMAGE_EXPORT_DIRECTORY>(directory);
  auto* names = static_cast<ULONG*>(At(DllBase, exports->AddressOfNames));
  ULONG low = 0, high = exports->NumberOfNames;
  while (low < high) {
    const ULONG middle = low + (high - low) / 2;
    const int order = strcmp(RoutineName, static_cast<const char*>(At(DllBase, names[middle])));
    if (order == 0) {
      const USHORT ordinal = static_cast<USHORT*>(At(DllBase, exports->AddressOfNameOrdinals))[middle];
      if (ordinal >= exports->NumberOfFunctions) return nullptr;
      PVOID routine = At(DllBase, static_cast<ULONG*>(At(DllBase, exports->AddressOfFunctions))[ordinal]);
      const auto inside =
          static_cast<ULONG_PTR>(static_cast<UCHAR*>(routine) - static_cast<UCHAR*>(directory));
      return inside < size ? nullptr : routine;  // a forwarder is a text in the directory
    }
    if (order < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return nullptr;
}

}  // extern "C"
