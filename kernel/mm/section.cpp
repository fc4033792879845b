// Section objects and their views.
#include "mm/section.h"

#include "ke/ke.h"
#include "ob/ob.h"

extern "C" POBJECT_TYPE MmSectionObjectType;

namespace mm {
namespace {

VOID NTAPI DeleteSection(PVOID object) {
  auto* section = static_cast<Section*>(object);
  if (section->segment != nullptr) DereferenceSegment(section->segment);
}

// Whether a view with `view` may be made of a section with `section`.
bool MayView(Protection section, Protection view) {
  if (IsWritable(view) && !IsWritable(section)) return false;
  return !IsExecutable(view) || IsExecutable(section);
}

NTSTATUS FileBytes(PFILE_OBJECT file, PLARGE_INTEGER maximum_size, bool writable, ULONG64* bytes) {
  FILE_STANDARD_INFORMATION info;
  const NTSTATUS status = FileInformation(file, false, FileStandardInformation, &info, sizeof(info));
  if (!NT_SUCCESS(status)) return status;
  if (info.Directory) return STATUS_INVALID_FILE_FOR_SECTION;
  const auto file_bytes = static_cast<ULONG64>(info.EndOfFile.QuadPart);
  const ULONG64 wanted = maximum_size != nullptr ? static_cast<ULONG64>(maximum_size->QuadPart) : 0;
  *bytes = wanted != 0 ? wanted : file_bytes;
  if (*bytes == 0) return STATUS_MAPPED_FILE_SIZE_ZERO;
  if (*bytes <= file_bytes) return STATUS_SUCCESS;
  if (!writable) return STATUS_SECTION_TOO_BIG;
  FILE_END_OF_FILE_INFORMATION end;
  end.EndOfFile.QuadPart = static_cast<LONGLONG>(*bytes);
  return FileInformation(file, true, FileEndOfFileInformation, &end, sizeof(end));
}

NTSTATUS OpenSegment(PFILE_OBJECT file, PLARGE_INTEGER maximum_size, Protection protection,
                     ULONG win32_protection, ULONG64* bytes, Segment** segment) {
  if (file == nullptr) {
    *bytes = maximum_size != nullptr ? static_cast<ULONG64>(maximum_size->QuadPart) : 0;
    if (*bytes == 0) return STATUS_INVALID_PARAMETER_4;
    return CreatePagefileSegment(*bytes, segment);
  }
  NTSTATUS status = FsRtlAcquireToCreateMappedSection(file, win32_protection);
  if (!NT_SUCCESS(status)) return status;
  status = FileBytes(file, maximum_size, IsWritable(protection), bytes);
  if (NT_SUCCESS(status)) status = OpenFileSegment(file, *bytes, segment);
  FsRtlReleaseFile(file);
  return status;
}

// The processor's dirty bits of a view become the pages' own.
void HarvestDirty(const MMVAD& vad, ULONG64 va, ULONG64 pages) {
  for (ULONG64 i = 0; i < pages; ++i, va += kPageSize) {
    if (WalkTables(va).level != 1) continue;
    const PMMPTE pte = PteOf(va);
    MMPTE old = Load(pte);
    while (old.u.Hard.Valid != 0 && old.u.Hard.Dirty != 0) {
      MMPTE clean = old;
      clean.u.Hard.Dirty = 0;
      PMMPFN record = MmPfnDatabase + old.u.Hard.PageFrameNumber;
      if (record->u4.PrototypePte == 0) break;
      if (CompareExchange(pte, old, clean)) {
        ke::SpinGuard guard(&g_pfn_lock);
        record->u3.e1.Modified = 1;
        break;
      }
      old = Load(pte);
    }
  }
  KeFlushEntireTb(TRUE, TRUE);
}

// Takes a shared page that nobody has locked out of a view's PTE. The PFN lock: against MmProbeAndLockPages.
bool DetachViewPage(PMMPTE pte, MMPTE* old) {
  ke::SpinGuard guard(&g_pfn_lock);
  *old = Load(pte);
  if (old->u.Hard.Valid == 0) return false;
  const PMMPFN record = MmPfnDatabase + old->u.Hard.PageFrameNumber;
  if (record->u4.PrototypePte == 0 || record->u3.ReferenceCount != 1) return false;
  *old = Exchange(pte, PrototypePte(ProtectionOf(*old)));
  return true;
}

bool TrimViewPage(PMMPTE pte) {
  MMPTE old;
  if (!DetachViewPage(pte, &old)) return false;
  // The share goes after the flush: until then a processor may write to the page.
  KeFlushSingleTb(reinterpret_cast<PVOID>(VaOf(pte)));
  ReleaseShare(old.u.Hard.PageFrameNumber, old.u.Hard.Dirty != 0);
  return true;
}

}  // namespace

bool InitSections() {
  InitSegments();
  const GENERIC_MAPPING mapping = {STANDARD_RIGHTS_READ | SECTION_QUERY | SECTION_MAP_READ,
                                   STANDARD_RIGHTS_WRITE | SECTION_MAP_WRITE,
                                   STANDARD_RIGHTS_EXECUTE | SECTION_MAP_EXECUTE, SECTION_ALL_ACCESS};
  const ob::TypeDescription type = {
      L"Section", 'tceS', mapping, SECTION_ALL_ACCESS, DeleteSection, nullptr, nullptr, nullptr, false, 0};
  return NT_SUCCESS(ob::CreateType(type, &MmSectionObjectType));
}

NTSTATUS CreateSection(POBJECT_ATTRIBUTES attributes, PLARGE_INTEGER maximum_size, ULONG protect,
                       ULONG allocation_attributes, PFILE_OBJECT file, Section** result) {
  constexpr ULONG kKnown = SEC_COMMIT | SEC_RESERVE | SEC_NOCACHE | SEC_IMAGE;
  Protection protection;
  if (!ProtectionFromWin32(protect, &protection) || IsGuard(protection) || IsNoAccess(protection)) {
    return STATUS_INVALID_PAGE_PROTECTION;
  }
  if ((allocation_attributes & ~kKnown) != 0 ||
      (allocation_attributes & (SEC_COMMIT | SEC_RESERVE | SEC_IMAGE)) == 0) {
    return STATUS_INVALID_PARAMETER_6;
  }
  const bool image = (allocation_attributes & SEC_IMAGE) != 0;
  if (image && file == nullptr) return STATUS_INVALID_FILE_FOR_SECTION;
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, MmSectionObjectType, attributes, KernelMode, nullptr,
                                   sizeof(Section), 0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  auto* section = static_cast<Section*>(object);
  *section = {};
  section->protection = protection;
  section->win32_protection = protect;
  section->attributes = allocation_attributes | (file != nullptr ? SEC_FILE : 0);
  if (image) {
    status = OpenImageSegment(file, &section->segment);
    if (NT_SUCCESS(status)) section->bytes = section->segment->image->bytes;
  } else {
    status = OpenSegment(file, maximum_size, protection, protect, &section->bytes, &section->segment);
  }
  if (!NT_SUCCESS(status)) {
    section->segment = nullptr;
    ObDereferenceObject(section);
    return status;
  }
  *result = section;
  return STATUS_SUCCESS;
}

NTSTATUS MapView(AddressSpace& space, Section* section, ULONG64 offset, Region* region, bool top_down,
                 Protection protection) {
  if (!MayView(section->protection, protection)) return STATUS_SECTION_PROTECTION;
  if (offset >= section->bytes || region->size > PagesFor(section->bytes - offset) * kPageSize) {
    return STATUS_INVALID_VIEW_SIZE;
  }
  const ULONG64 pages = PagesFor(region->size != 0 ? region->size : section->bytes - offset);
  SleepGuard guard(space.lock);
  const ULONG64 base =
      region->base != 0 ? region->base : FindFreeRange(space, pages, top_down, region->below);
  if (base == 0) return STATUS_NO_MEMORY;
  if (base % kAllocationGranularity != 0) return STATUS_MAPPED_ALIGNMENT;
  if (!space.Contains(base) || pages * kPageSize > space.end - base) return STATUS_INVALID_PARAMETER_3;
  if (!RangeIsFree(space, base, pages)) return STATUS_CONFLICTING_ADDRESSES;
  MMVAD vad = {};
  vad.StartingVpn = base / kPageSize;
  vad.EndingVpn = vad.StartingVpn + pages - 1;
  vad.Kind = VadKind::kView;
  vad.Protection = protection;
  vad.Segment = section->segment;
  vad.FirstPage = offset / kPageSize;
  if (InsertVad(space, vad) == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ReferenceSegment(section->segment);
  if (space.process != nullptr) CountUserView(section->segment, protection, 1);
  *region = {base, pages * kPageSize};
  return STATUS_SUCCESS;
}

NTSTATUS UnmapView(AddressSpace& space, ULONG64 va) {
  SleepGuard guard(space.lock);
  const PMMVAD vad = FindVad(space, va);
  if (vad == nullptr || vad->Kind != VadKind::kView) return STATUS_NOT_MAPPED_VIEW;
  const NTSTATUS secured = CheckSecured(space, StartOf(*vad), PagesOf(*vad));
  if (!NT_SUCCESS(secured)) return secured;
  DeleteVad(space, vad);
  return STATUS_SUCCESS;
}

namespace {

// What of a view is to be flushed: the segment (referenced) and its pages.
NTSTATUS FindFlushed(AddressSpace& space, Region* region, Segment** segment, ULONG64* page) {
  SleepGuard guard(space.lock);
  const PMMVAD vad = FindVad(space, region->base);
  if (vad == nullptr || vad->Kind != VadKind::kView || vad->Segment->file == nullptr)
    return STATUS_NOT_MAPPED_DATA;
  const ULONG64 first = region->base / kPageSize;
  ULONG64 last = region->size == 0 ? vad->EndingVpn : (region->base + region->size - 1) / kPageSize;
  if (last > vad->EndingVpn) return STATUS_NOT_MAPPED_VIEW;
  *region = {first * kPageSize, (last - first + 1) * kPageSize};
  HarvestDirty(*vad, region->base, last - first + 1);
  *segment = vad->Segment;
  *page = vad->FirstPage + first - vad->StartingVpn;
  ReferenceSegment(*segment);
  return STATUS_SUCCESS;
}

}  // namespace

// The file system's locks are taken without the address space's: their owner may fault in it.
NTSTATUS FlushView(AddressSpace& space, Region* region) {
  Segment* segment;
  ULONG64 page;
  NTSTATUS status = FindFlushed(space, region, &segment, &page);
  if (!NT_SUCCESS(status)) return status;
  status = FsRtlAcquireFileForCcFlushEx(segment->file);
  if (NT_SUCCESS(status)) {
    status = FlushSegment(segment, page, region->size / kPageSize);
    FsRtlReleaseFileForCcFlush(segment->file);
  }
  DereferenceSegment(segment);
  return status;
}

ULONG64 TrimViews(AddressSpace& space) {
  SleepGuard guard(space.lock);
  ULONG64 trimmed = 0;
  PVOID restart = nullptr;
  while (const auto* vad =
             static_cast<PMMVAD>(RtlEnumerateGenericTableWithoutSplayingAvl(&space.vads, &restart))) {
    if (vad->Kind != VadKind::kView) continue;
    for (ULONG64 vpn = vad->StartingVpn; vpn <= vad->EndingVpn; ++vpn) {
      const ULONG64 va = vpn * kPageSize;
      if (WalkTables(va).level == 1 && TrimViewPage(PteOf(va))) ++trimmed;
    }
  }
  return trimmed;
}

void TrimProcesses() {
  TrimViews(SystemViews());
  ForEachSpace(
      [](AddressSpace& space, PVOID) {
        TrimViews(space);
        if (TrimRange(space.low, (space.end - space.low) / kPageSize) != 0) KeFlushEntireTb(TRUE, TRUE);
      },
      nullptr);
}

ULONG64 PageOutProcesses(ULONG64 enough) {
  struct {
    ULONG64 enough;
    ULONG64 written;
  } order = {enough, 0};
  using Order = decltype(order);
  ForEachSpace(
      [](AddressSpace& space, PVOID context) {
        auto* given = static_cast<Order*>(context);
        given->written += PageOutRange(space.low, (space.end - space.low) / kPageSize, given->enough);
      },
      &order);
  return order.written;
}

}  // namespace mm
