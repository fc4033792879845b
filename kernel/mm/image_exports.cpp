// Looking up exports: of loaded images, and for drivers (MmGetSystemRoutineAddress).
#include "nt/export.h"
#include "mm/image_internal.h"

namespace mm {
namespace {

constexpr ULONG kMaxForwards = 8;

bool ProbeResident(const void* address, uint64_t size) {
  const ULONG64 first = Va(address) & ~(kPageSize - 1);
  for (ULONG64 page = first; page < Va(address) + size; page += kPageSize) {
    if (!MakeResident(page)) return false;
  }
  return true;
}

// The image that a forwarder's library part ("HAL", no suffix) names.
LoadedImage* FindForwardLibrary(const char* forwarder, const char** rest) {
  char name[72];
  ULONG length = 0;
  for (; forwarder[length] != 0 && forwarder[length] != '.'; ++length) {
    if (length >= 64) return nullptr;
    name[length] = forwarder[length];
  }
  if (forwarder[length] != '.') return nullptr;
  *rest = forwarder + length + 1;
  static constexpr char kSuffixes[3][5] = {".dll", ".sys", ".exe"};
  for (const auto& suffix : kSuffixes) {
    RtlCopyMemory(name + length, suffix, sizeof(suffix));
    if (LoadedImage* image = FindImageByName(name)) return image;
  }
  return nullptr;
}

ULONG ParseOrdinal(const char* digits) {
  ULONG value = 0;
  for (; *digits >= '0' && *digits <= '9' && value < 65536; ++digits) {
    value = value * 10 + static_cast<ULONG>(*digits - '0');
  }
  return value;
}

// `name` may be "#12".
PVOID Follow(LoadedImage* image, const char* name, ULONG ordinal) {
  for (ULONG hop = 0; image != nullptr && hop < kMaxForwards; ++hop) {
    const ImageView view = ViewOf(image);
    const ExportResult found = name != nullptr ? FindExportByName(view, image->exports, name)
                                               : FindExportByOrdinal(view, image->exports, ordinal);
    if (found.rva != 0) return static_cast<PUCHAR>(image->entry.DllBase) + found.rva;
    if (found.forwarder == nullptr) return nullptr;
    const char* rest = nullptr;
    image = FindForwardLibrary(found.forwarder, &rest);
    name = rest;
    if (image != nullptr && rest[0] == '#') {
      ordinal = ParseOrdinal(rest + 1);
      name = nullptr;
    }
  }
  return nullptr;
}

}  // namespace

ImageView ViewOf(LoadedImage* image) {
  return {static_cast<uint8_t*>(image->entry.DllBase), image->entry.SizeOfImage, ProbeResident};
}

PVOID FindExport(LoadedImage* image, const char* name) {
  return Follow(image, name, 0);
}

PVOID FindExportByOrdinal(LoadedImage* image, ULONG ordinal) {
  return Follow(image, nullptr, ordinal);
}

}  // namespace mm

extern "C" PVOID MiFindExportedRoutine(PKLDR_DATA_TABLE_ENTRY Entry, const char* Name) {
  return mm::FindExport(mm::ImageOf(Entry), Name);
}

/// The address of a routine or variable that the kernel or the HAL exports.
/// Returns: the address; NULL for a name that is not exported.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; names that we do not implement yet are absent, as on an older Windows.
/// Source: WDK wdm/MmGetSystemRoutineAddress.
NT_EXPORT(MmGetSystemRoutineAddress, nt::Exactly(PASSIVE_LEVEL), Full, "MmImage.SystemRoutine*");
extern "C" PVOID NTAPI MmGetSystemRoutineAddress(PUNICODE_STRING SystemRoutineName) {
  char name[128];
  const ULONG length = SystemRoutineName->Length / sizeof(WCHAR);
  if (length >= sizeof(name)) return nullptr;
  for (ULONG i = 0; i < length; ++i) {
    if (SystemRoutineName->Buffer[i] > 0x7E) return nullptr;
    name[i] = static_cast<char>(SystemRoutineName->Buffer[i]);
  }
  name[length] = 0;
  return mm::FindExport(mm::KernelImage(), name);
}
