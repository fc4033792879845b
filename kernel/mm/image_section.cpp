// Sections of programs' images (SEC_IMAGE): pages come from the file as the headers say.
#include "mm/image_internal.h"
#include "mm/section.h"

#include "ke/ke.h"

namespace mm {
namespace {

constexpr ULONG kMapTag = 'mImM';

Protection ViewProtection(ULONG characteristics) {
  const bool execute = (characteristics & kSectionExecute) != 0;
  if ((characteristics & kSectionWrite) != 0)
    return execute ? Protection::kExecuteWriteCopy : Protection::kWriteCopy;
  return execute ? Protection::kExecuteRead : Protection::kReadOnly;
}

NTSTATUS MakeMap(const ImageInfo& info, ImageMap** result) {
  const SIZE_T bytes = sizeof(ImageMap) + info.section_count * sizeof(ImagePart);
  auto* map = static_cast<ImageMap*>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kMapTag));
  if (map == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const DataDirectory& relocations = info.directories[kRelocationDirectory];
  map->preferred_base = info.preferred_base;
  map->bytes = info.size_of_image;
  map->relocation_rva = info.relocations_stripped ? 0 : relocations.rva;
  map->relocation_bytes = relocations.size;
  map->part_count = 1 + info.section_count;
  map->parts[0] = {0, 1, 0, info.size_of_headers, Protection::kReadOnly};
  for (ULONG i = 0; i < info.section_count; ++i) {
    const SectionHeader& section = info.sections[i];
    map->parts[i + 1] = {section.rva / kPageSize, PagesFor(section.virtual_size), section.raw_offset,
                         section.raw_size, ViewProtection(section.characteristics)};
  }
  *result = map;
  return STATUS_SUCCESS;
}

const ImagePart* PartOf(const ImageMap& map, ULONG64 page) {
  for (ULONG i = 0; i < map.part_count; ++i) {
    if (page - map.parts[i].first_page < map.parts[i].pages) return &map.parts[i];
  }
  return nullptr;
}

NTSTATUS ReadHeaders(PFILE_OBJECT file, PFN_NUMBER page, ImageInfo* info) {
  FILE_STANDARD_INFORMATION standard;
  NTSTATUS status = FileInformation(file, false, FileStandardInformation, &standard, sizeof(standard));
  if (!NT_SUCCESS(status)) return status;
  if (standard.Directory) return STATUS_INVALID_FILE_FOR_SECTION;
  const auto bytes = static_cast<ULONG64>(standard.EndOfFile.QuadPart);
  ULONG done = 0;
  if (bytes != 0) {
    const auto wanted = static_cast<ULONG>(bytes < kPageSize ? bytes : kPageSize);
    status = PagingTransfer(file, false, page, 0, wanted, &done);
    if (!NT_SUCCESS(status)) return status;
  }
  const char* reason;
  return StatusOf(ParseProgram({static_cast<const uint8_t*>(PageAddress(page)), done}, bytes, info, &reason));
}

// What no part covers is not to be touched.
Protection ProtectionOfPage(const ImageMap& map, ULONG64 page) {
  const ImagePart* part = PartOf(map, page);
  return part != nullptr ? part->protection : Protection::kNoAccess;
}

ULONG64 ChooseBase(AddressSpace& space, const ImageMap& map, const Region& region, bool top_down) {
  const ULONG64 pages = PagesFor(map.bytes);
  if (region.base != 0) return region.base;
  const ULONG64 preferred = map.preferred_base;
  if (preferred % kAllocationGranularity == 0 && space.Contains(preferred) &&
      pages * kPageSize <= space.end - preferred && RangeIsFree(space, preferred, pages))
    return preferred;
  return map.relocation_rva != 0 ? FindFreeRange(space, pages, top_down, region.below) : 0;
}

NTSTATUS Place(AddressSpace& space, Section* section, Region* region, bool top_down) {
  const ImageMap& map = *section->segment->image;
  const ULONG64 pages = PagesFor(map.bytes);
  SleepGuard guard(space.lock);
  const ULONG64 base = ChooseBase(space, map, *region, top_down);
  if (base == 0) return STATUS_CONFLICTING_ADDRESSES;
  if (base % kAllocationGranularity != 0) return STATUS_MAPPED_ALIGNMENT;
  if (!space.Contains(base) || pages * kPageSize > space.end - base) return STATUS_INVALID_PARAMETER_3;
  if (!RangeIsFree(space, base, pages)) return STATUS_CONFLICTING_ADDRESSES;
  if (!EnsurePageTables(base, pages)) return STATUS_NO_MEMORY;
  MMVAD vad = {};
  vad.StartingVpn = base / kPageSize;
  vad.EndingVpn = vad.StartingVpn + pages - 1;
  vad.Kind = VadKind::kView;
  vad.Protection = Protection::kExecuteWriteCopy;
  vad.Segment = section->segment;
  if (InsertVad(space, vad) == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ReferenceSegment(section->segment);
  CountUserView(section->segment, vad.Protection, 1);
  for (ULONG64 i = 0; i < pages; ++i)
    Store(PteOf(base + i * kPageSize), PrototypePte(ProtectionOfPage(map, i)));
  *region = {base, pages * kPageSize};
  return STATUS_SUCCESS;
}

DECLSPEC_NOINLINE NTSTATUS RelocateGuarded(const Region& region, const ImageMap& map, bool* done) {
  *done = false;
  __try {
    const ImageView view = {reinterpret_cast<uint8_t*>(region.base), region.size};
    const DataDirectory directory = {map.relocation_rva, map.relocation_bytes};
    *done = Relocate(view, directory, region.base - map.preferred_base) == ImageError::kNone;
    __asm__ volatile("nop");
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  return *done ? STATUS_SUCCESS : STATUS_INVALID_IMAGE_FORMAT;
}

// Gives each part of the view its protection, or one for all of them.
NTSTATUS ProtectParts(AddressSpace& space, const Region& view, const ImageMap& map, bool writable) {
  for (ULONG i = 0; i < map.part_count; ++i) {
    const ImagePart& part = map.parts[i];
    Region region = {view.base + part.first_page * kPageSize, part.pages * kPageSize};
    ULONG old;
    const NTSTATUS status =
        ProtectVirtual(space, &region, writable ? Protection::kExecuteWriteCopy : part.protection, &old);
    if (!NT_SUCCESS(status)) return status;
  }
  return STATUS_SUCCESS;
}

NTSTATUS MoveView(AddressSpace& space, const Region& view, const ImageMap& map) {
  if (map.relocation_rva == 0) return STATUS_CONFLICTING_ADDRESSES;
  bool done = false;
  NTSTATUS status = ProtectParts(space, view, map, true);
  if (NT_SUCCESS(status)) status = RelocateGuarded(view, map, &done);
  if (NT_SUCCESS(status)) status = ProtectParts(space, view, map, false);
  return status;
}

}  // namespace

NTSTATUS ReadImageMap(PFILE_OBJECT file, ImageMap** map) {
  auto* info = static_cast<ImageInfo*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ImageInfo), kMapTag));
  if (info == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const PFN_NUMBER page = AllocatePage(Zero::kYes);
  NTSTATUS status = page != kNoPage ? ReadHeaders(file, page, info) : STATUS_NO_MEMORY;
  if (NT_SUCCESS(status)) status = MakeMap(*info, map);
  if (page != kNoPage) FreePage(page);
  ExFreePoolWithTag(info, kMapTag);
  return status;
}

void FreeImageMap(ImageMap* map) {
  ExFreePoolWithTag(map, kMapTag);
}

NTSTATUS ReadImagePage(Segment* segment, ULONG64 index, PFN_NUMBER pfn) {
  const ImagePart* part = PartOf(*segment->image, index);
  if (part == nullptr) return STATUS_SUCCESS;
  const ULONG64 start = (index - part->first_page) * kPageSize;
  if (start >= part->file_bytes) return STATUS_SUCCESS;
  const ULONG64 left = part->file_bytes - start;
  const auto wanted = static_cast<ULONG>(left < kPageSize ? left : kPageSize);
  ULONG done = 0;
  Count(g_events.reads);
  const NTSTATUS status = PagingTransfer(segment->file, false, pfn, part->file_offset + start, wanted, &done);
  if (!NT_SUCCESS(status)) return status;
  return done == wanted ? STATUS_SUCCESS : STATUS_END_OF_FILE;
}

NTSTATUS MapImageView(AddressSpace& space, Section* section, Region* region, bool top_down) {
  const ImageMap& map = *section->segment->image;
  NTSTATUS status = Place(space, section, region, top_down);
  if (!NT_SUCCESS(status) || region->base == map.preferred_base) return status;
  status = MoveView(space, *region, map);
  if (NT_SUCCESS(status)) return STATUS_IMAGE_NOT_AT_BASE;
  (void)UnmapView(space, region->base);
  return status;
}

}  // namespace mm
