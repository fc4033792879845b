// Loading and unloading of driver images.
//
// An image is built in a private writable mapping (copied, relocated, bound), then its pages are mapped at
// their own address with each section's protection; pageable sections are not resident at first.
#include "ex/pool.h"
#include "ke/ke.h"
#include "mm/image_internal.h"

extern "C" ERESOURCE PsLoadedModuleResource;

namespace mm {
NTSTATUS StatusOf(ImageError error) {
  switch (error) {
    case ImageError::kNone:
      return STATUS_SUCCESS;
    case ImageError::kNotMz:
      return STATUS_INVALID_IMAGE_NOT_MZ;
    case ImageError::kNe:
      return STATUS_INVALID_IMAGE_NE_FORMAT;
    case ImageError::kX86:
      return STATUS_INVALID_IMAGE_WIN_32;
    case ImageError::kChecksumMismatch:
      return STATUS_IMAGE_CHECKSUM_MISMATCH;
    case ImageError::kInvalid:
    case ImageError::kBadRelocations:
      break;
  }
  return STATUS_INVALID_IMAGE_FORMAT;
}

namespace {

// Drivers walk the list of images under PsLoadedModuleResource: it does not change meanwhile. PASSIVE_LEVEL.
class ModuleListGuard {
 public:
  ModuleListGuard() {
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&PsLoadedModuleResource, TRUE);
  }
  ~ModuleListGuard() {
    ExReleaseResourceLite(&PsLoadedModuleResource);
    KeLeaveCriticalRegion();
  }
  ModuleListGuard(const ModuleListGuard&) = delete;
  ModuleListGuard& operator=(const ModuleListGuard&) = delete;
};

constexpr ULONG64 kImageAlignmentPages = 16;  // 64 KiB
constexpr ULONG kHeaderPagesSection = 1;
constexpr ULONG kSystemMapped = 0x01000000;
constexpr ULONG kEntryProcessed = 0x00004000;
constexpr ULONG kImageDll = 0x00000004;

struct ImageLoad {
  ImageBytes file;
  ImageInfo info;
  ImageReport* report;
  LoadedImage* image;
  PPFN_NUMBER pages;  // kNoPage where a gap between sections needs none
  ULONG64 page_count;
  ULONG64 staging;  // the writable mapping
  ULONG64 base;
};

Protection SectionProtection(ULONG characteristics) {
  const bool execute = (characteristics & kSectionExecute) != 0;
  if ((characteristics & kSectionWrite) != 0)
    return execute ? Protection::kExecuteReadWrite : Protection::kReadWrite;
  return execute ? Protection::kExecuteRead : Protection::kReadOnly;
}

// Drivers' INIT sections are discarded by name; few linkers set the flag.
bool IsDiscardable(const SectionHeader& section) {
  const char* name = section.name;
  return (section.characteristics & kSectionDiscardable) != 0 ||
         (name[0] == 'I' && name[1] == 'N' && name[2] == 'I' && name[3] == 'T' && name[4] == 0);
}

bool IsPageable(const SectionHeader& section) {
  const char* name = section.name;
  return name[0] == 'P' && name[1] == 'A' && name[2] == 'G' && name[3] == 'E' &&
         (section.characteristics & kSectionNotPaged) == 0;
}

void DescribeSections(ImageLoad& load) {
  ImageSection* headers = &load.image->sections[0];
  headers->pages = static_cast<ULONG>(PagesFor(load.info.size_of_headers));
  headers->protection = Protection::kReadOnly;
  RtlCopyMemory(headers->name, "headers", 8);
  for (ULONG i = 0; i < load.info.section_count; ++i) {
    const SectionHeader& from = load.info.sections[i];
    ImageSection& to = load.image->sections[i + kHeaderPagesSection];
    to.rva = from.rva;
    to.pages = static_cast<ULONG>(PagesFor(from.virtual_size));
    to.protection = SectionProtection(from.characteristics);
    to.pageable = IsPageable(from);
    to.discardable = IsDiscardable(from);
    RtlCopyMemory(to.name, from.name, sizeof(to.name));
    if (to.protection == Protection::kExecuteReadWrite) {
      ReportLine(load.report, "warning: section ", to.name, " is writable and executable");
    }
  }
}

bool AllocateImage(ImageLoad& load, PCUNICODE_STRING full_name, PCUNICODE_STRING base_name) {
  const ULONG sections = load.info.section_count + kHeaderPagesSection;
  const SIZE_T fixed = FIELD_OFFSET(LoadedImage, sections) + sections * sizeof(ImageSection);
  const SIZE_T bytes = fixed + full_name->Length + base_name->Length + 2 * sizeof(WCHAR);
  auto* memory = static_cast<PUCHAR>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kImageTag));
  if (memory == nullptr) return false;
  RtlZeroMemory(memory, bytes);
  auto* image = reinterpret_cast<LoadedImage*>(memory);
  image->section_count = sections;
  image->pages = PagesFor(load.info.size_of_image);
  PWCH text = reinterpret_cast<PWCH>(memory + fixed);
  const auto copy = [&text](PCUNICODE_STRING from) {
    UNICODE_STRING to = {from->Length, static_cast<USHORT>(from->Length + sizeof(WCHAR)), text};
    RtlCopyMemory(text, from->Buffer, from->Length);
    text += from->Length / sizeof(WCHAR) + 1;
    return to;
  };
  image->entry.FullDllName = copy(full_name);
  image->entry.BaseDllName = copy(base_name);
  load.image = image;
  return true;
}

// Physical pages, all zero, and the staging mapping over them.
bool AllocateStaging(ImageLoad& load) {
  load.page_count = load.image->pages;
  load.pages = static_cast<PPFN_NUMBER>(
      ExAllocatePoolWithTag(NonPagedPoolNx, load.page_count * sizeof(PFN_NUMBER), kImageTag));
  if (load.pages == nullptr) return false;
  for (ULONG64 i = 0; i < load.page_count; ++i) load.pages[i] = kNoPage;
  for (ULONG64 i = 0; i < load.page_count; ++i) {
    load.pages[i] = AllocatePage(Zero::kYes);
    if (load.pages[i] == kNoPage) return false;
  }
  load.staging = MapPageList(load.pages, load.page_count, Protection::kReadWrite, Cache::kCached);
  return load.staging != 0;
}

void CopySections(const ImageLoad& load) {
  auto* staging = reinterpret_cast<PUCHAR>(load.staging);
  RtlCopyMemory(staging, load.file.data, load.info.size_of_headers);
  for (ULONG i = 0; i < load.info.section_count; ++i) {
    const SectionHeader& section = load.info.sections[i];
    RtlCopyMemory(staging + section.rva, load.file.data + section.raw_offset, section.raw_size);
  }
}

// Return-only: control-flow guard's check leaves the target to the call that follows.
__attribute__((naked)) void GuardCheckIcall() {
  __asm__("ret");
}
// The target is in rax.
__attribute__((naked)) void GuardDispatchIcall() {
  __asm__("jmp *%rax");
}

void FillLoadConfig(const ImageLoad& load, ImageView view) {
  const LoadConfig config = ReadLoadConfig(view, load.info.directories[kLoadConfigDirectory], load.base);
  if (config.security_cookie != 0) {
    // As Windows: random, the upper 16 bits zero, never the compiler's default.
    constexpr ULONG64 kDefaultCookie = 0x2B992DDFA232;
    LARGE_INTEGER counter = KeQueryPerformanceCounter(nullptr);
    const boot::LoaderBlock* block = KeLoaderBlock;
    ULONG64 cookie = block->random_seed[0] ^ block->random_seed[1] * load.base ^
                     static_cast<ULONG64>(counter.QuadPart) * 0x9E3779B97F4A7C15;
    cookie &= 0xFFFF'FFFF'FFFF;
    if (cookie == 0 || cookie == kDefaultCookie) ++cookie;
    view.Write(config.security_cookie, cookie);
  }
  if (config.guard_check != 0) view.Write(config.guard_check, reinterpret_cast<ULONG64>(&GuardCheckIcall));
  if (config.guard_dispatch != 0)
    view.Write(config.guard_dispatch, reinterpret_cast<ULONG64>(&GuardDispatchIcall));
}

NTSTATUS BuildImage(ImageLoad& load) {
  CopySections(load);
  const ImageView view = {reinterpret_cast<uint8_t*>(load.staging), load.info.size_of_image};
  const ImageError relocated =
      Relocate(view, load.info.directories[kRelocationDirectory], load.base - load.info.preferred_base);
  if (relocated != ImageError::kNone) {
    ReportLine(load.report, "invalid image: ", "its relocation table is damaged");
    return StatusOf(relocated);
  }
  FillLoadConfig(load, view);
  return BindImports(load.image, view, load.info.directories[kImportDirectory], load.report);
}

// Gives each section its pages with its protection; pages in no section are freed with the load.
void MapSections(ImageLoad& load) {
  for (ULONG i = 0; i < load.image->section_count; ++i) {
    const ImageSection& section = load.image->sections[i];
    for (ULONG page = 0; page < section.pages; ++page) {
      const ULONG64 index = section.rva / kPageSize + page;
      const PFN_NUMBER pfn = load.pages[index];
      PMMPTE pte = PteOf(load.base) + index;
      SetPageOwner(pfn, pte, section.pageable ? PageLocation::kModified : PageLocation::kActive);
      Store(pte,
            section.pageable ? TransitionPte(pfn, section.protection) : ValidPte(pfn, section.protection));
      load.pages[index] = kNoPage;
    }
  }
}

void FillEntry(ImageLoad& load) {
  KLDR_DATA_TABLE_ENTRY& entry = load.image->entry;
  entry.DllBase = reinterpret_cast<PVOID>(load.base);
  entry.SizeOfImage = static_cast<ULONG>(load.image->pages * kPageSize);
  if (load.info.entry_rva != 0) entry.EntryPoint = static_cast<PUCHAR>(entry.DllBase) + load.info.entry_rva;
  entry.Flags = kSystemMapped | kEntryProcessed | kImageDll;
  entry.LoadCount = 1;
  DescribeImage(load.image, load.info);
}

// Frees what is not part of the image; after a failure, everything.
void EndLoad(ImageLoad& load, bool loaded) {
  if (load.staging != 0) RetireRange(g_system_pte_region, load.staging, load.page_count, FreePagesToo::kNo);
  // The staging mapping is gone from this processor; no other ever used it.
  for (ULONG64 i = 0; load.pages != nullptr && i < load.page_count; ++i) {
    if (load.pages[i] != kNoPage) FreePage(load.pages[i]);
  }
  if (load.pages != nullptr) ExFreePoolWithTag(load.pages, kImageTag);
  if (loaded) return;
  if (load.base != 0) g_image_region.Release(load.base, load.image->pages);
  if (load.image != nullptr) ExFreePoolWithTag(load.image, kImageTag);
}

NTSTATUS LoadParsed(ImageLoad& load, PCUNICODE_STRING full_name, PCUNICODE_STRING base_name) {
  if (!AllocateImage(load, full_name, base_name)) return STATUS_INSUFFICIENT_RESOURCES;
  DescribeSections(load);
  load.base = g_image_region.Reserve(load.image->pages, kImageAlignmentPages);
  if (load.base == 0 || !EnsurePageTables(load.base, load.image->pages) || !AllocateStaging(load)) {
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  const NTSTATUS status = BuildImage(load);
  if (!NT_SUCCESS(status)) return status;
  FillEntry(load);
  MapSections(load);
  if (InsertImage(load.image)) {
    if (MiVerifier != nullptr) MiVerifier->loaded(&load.image->entry);
    return STATUS_SUCCESS;
  }
  ReleaseImports(load.image);
  RetirePages(load.base, load.image->pages);
  return STATUS_INSUFFICIENT_RESOURCES;
}

void FreeSection(LoadedImage* image, ImageSection& section) {
  if (section.freed) return;
  section.freed = true;
  RetirePages(Va(image->entry.DllBase) + section.rva, section.pages);
}

}  // namespace

void ReportLine(ImageReport* report, const char* a, const char* b, const char* c, const char* d,
                const char* e) {
  if (report == nullptr) return;
  const char* const parts[] = {a, b, c, d, e, "\n"};
  ULONG length = report->length;
  for (const char* part : parts) {
    for (; part != nullptr && *part != 0; ++part) {
      if (length + 1 >= sizeof(report->text)) {
        ++report->lines_dropped;
        report->text[report->length] = 0;
        return;
      }
      report->text[length++] = *part;
    }
  }
  report->text[length] = 0;
  report->length = length;
}

}  // namespace mm

extern "C" {

const MiVerifierHooks* MiVerifier;

NTSTATUS MmLoadSystemImage(const void* File, SIZE_T Size, PCUNICODE_STRING FullName,
                           PCUNICODE_STRING BaseName, mm::ImageReport* Report,
                           PKLDR_DATA_TABLE_ENTRY* Entry) {
  using namespace mm;
  *Entry = nullptr;
  Report->missing_imports = Report->missing_libraries = Report->trapped_imports = 0;
  Report->lines_dropped = Report->length = 0;
  Report->text[0] = 0;
  auto* load = static_cast<ImageLoad*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ImageLoad), kImageTag));
  if (load == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(load, sizeof(*load));
  load->file = {static_cast<const uint8_t*>(File), Size};
  load->report = Report;
  const char* reason = "";
  NTSTATUS status = StatusOf(ParseImage(load->file, &load->info, &reason));
  if (NT_SUCCESS(status)) {
    ModuleListGuard list_guard;
    SleepGuard guard(g_load_lock);
    status = FindImageByFullName(FullName) != nullptr ? STATUS_IMAGE_ALREADY_LOADED
                                                      : LoadParsed(*load, FullName, BaseName);
    const bool loaded = NT_SUCCESS(status);
    if (loaded) *Entry = &load->image->entry;
    if (status != STATUS_IMAGE_ALREADY_LOADED) EndLoad(*load, loaded);
  } else {
    ReportLine(Report, "invalid image: ", reason);
  }
  ExFreePoolWithTag(load, kImageTag);
  return status;
}

NTSTATUS MmUnloadSystemImage(PKLDR_DATA_TABLE_ENTRY Entry) {
  using namespace mm;
  LoadedImage* image = ImageOf(Entry);
  {
    ModuleListGuard list_guard;
    SleepGuard guard(g_load_lock);
    if (image == KernelImage() || Entry->LoadCount != 1) return STATUS_CANNOT_DELETE;
    ex::CheckPools();  // what the driver has overwritten is found while it can still be named
    if (MiVerifier != nullptr) MiVerifier->unloading(Entry);
    RememberUnloaded(image);
    RemoveImage(image);
    ReleaseImports(image);
    RetireRange(g_image_region, Va(Entry->DllBase), image->pages, FreePagesToo::kYes);
  }
  // Other processors must fault on what was unloaded, from now on.
  DrainRetired();
  if (MiVerifier != nullptr) MiVerifier->unloaded(&Entry->BaseDllName);
  ExFreePoolWithTag(image, kImageTag);
  return STATUS_SUCCESS;
}

VOID MmFreeDriverInitialization(PKLDR_DATA_TABLE_ENTRY Entry) {
  using namespace mm;
  LoadedImage* image = ImageOf(Entry);
  for (ULONG i = 0; i < image->section_count; ++i) {
    if (image->sections[i].discardable) FreeSection(image, image->sections[i]);
  }
  DrainRetired();
}

}  // extern "C"
