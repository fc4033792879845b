// The list of loaded images, and the table that answers "whose code is this" without a lock.
#include "mm/image_internal.h"

extern "C" {
LIST_ENTRY PsLoadedModuleList = {&PsLoadedModuleList, &PsLoadedModuleList};
KSPIN_LOCK PsLoadedModuleSpinLock;
PUNLOADED_DRIVERS MmUnloadedDrivers;
ULONG MmLastUnloadedDriver;
}

namespace mm {

SleepLock g_load_lock;

namespace {

constexpr ULONG kMaxImages = 256;
constexpr ULONG kUnloadedTag = 'dUmM';

// A slot's base is written last and cleared first.
struct ImageRange {
  volatile ULONG64 base;
  ULONG64 size;
  LoadedImage* image;
};
ImageRange g_ranges[kMaxImages];

LoadedImage g_kernel_image;
UNLOADED_DRIVERS g_unloaded[MI_UNLOADED_DRIVERS];

WCHAR g_kernel_full_name[] = L"\\SystemRoot\\system32\\ntoskrnl.exe";
WCHAR g_kernel_base_name[] = L"ntoskrnl.exe";

// ASCII only: file names of images as import tables spell them.
WCHAR Lower(WCHAR c) {
  return c >= L'A' && c <= L'Z' ? static_cast<WCHAR>(c + 32) : c;
}

bool EqualsNoCase(PCUNICODE_STRING wide, const char* narrow) {
  ULONG i = 0;
  for (; i < wide->Length / sizeof(WCHAR); ++i) {
    if (narrow[i] == 0 || Lower(wide->Buffer[i]) != Lower(static_cast<UCHAR>(narrow[i]))) return false;
  }
  return narrow[i] == 0;
}

bool SameName(const char* a, const char* b) {
  for (; *a != 0 && Lower(static_cast<UCHAR>(*a)) == Lower(static_cast<UCHAR>(*b)); ++a, ++b) {
  }
  return *a == *b;
}

bool SameText(PCUNICODE_STRING a, PCUNICODE_STRING b) {
  if (a->Length != b->Length) return false;
  for (ULONG i = 0; i < a->Length / sizeof(WCHAR); ++i) {
    if (Lower(a->Buffer[i]) != Lower(b->Buffer[i])) return false;
  }
  return true;
}

template <typename Match>
LoadedImage* FindImage(Match match) {
  for (PLIST_ENTRY link = PsLoadedModuleList.Flink; link != &PsLoadedModuleList; link = link->Flink) {
    auto* entry = CONTAINING_RECORD(link, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
    if (match(entry)) return ImageOf(entry);
  }
  return nullptr;
}

void SetName(UNICODE_STRING* target, WCHAR* text, SIZE_T bytes_with_zero) {
  target->Buffer = text;
  target->Length = static_cast<USHORT>(bytes_with_zero - sizeof(WCHAR));
  target->MaximumLength = static_cast<USHORT>(bytes_with_zero);
}

}  // namespace

LoadedImage* KernelImage() {
  return &g_kernel_image;
}

bool InsertImage(LoadedImage* image) {
  ke::SpinGuard guard(&PsLoadedModuleSpinLock);
  for (ImageRange& range : g_ranges) {
    if (range.base != 0) continue;
    range.size = image->entry.SizeOfImage;
    range.image = image;
    __atomic_store_n(&range.base, Va(image->entry.DllBase), __ATOMIC_RELEASE);
    // The new entry's links are complete before a reader can reach it.
    PLIST_ENTRY link = &image->entry.InLoadOrderLinks;
    PLIST_ENTRY last = PsLoadedModuleList.Blink;
    link->Flink = &PsLoadedModuleList;
    link->Blink = last;
    __atomic_store_n(&last->Flink, link, __ATOMIC_RELEASE);
    PsLoadedModuleList.Blink = link;
    return true;
  }
  return false;
}

void RemoveImage(LoadedImage* image) {
  ke::SpinGuard guard(&PsLoadedModuleSpinLock);
  for (ImageRange& range : g_ranges) {
    if (range.image != image) continue;
    range.base = 0;
    range.image = nullptr;
  }
  PLIST_ENTRY link = &image->entry.InLoadOrderLinks;
  link->Blink->Flink = link->Flink;
  link->Flink->Blink = link->Blink;
}

LoadedImage* FindImageByName(const char* name) {
  if (SameName(name, "hal.dll") || SameName(name, "hal")) return &g_kernel_image;
  return FindImage([&](PKLDR_DATA_TABLE_ENTRY entry) { return EqualsNoCase(&entry->BaseDllName, name); });
}

LoadedImage* FindImageByFullName(PCUNICODE_STRING name) {
  return FindImage([&](PKLDR_DATA_TABLE_ENTRY entry) { return SameText(&entry->FullDllName, name); });
}

ImageSection* FindSection(LoadedImage* image, ULONG64 va) {
  const ULONG64 rva = va - Va(image->entry.DllBase);
  for (ULONG i = 0; i < image->section_count; ++i) {
    ImageSection& section = image->sections[i];
    if (rva - section.rva < static_cast<ULONG64>(section.pages) * kPageSize) return &section;
  }
  return nullptr;
}

void RememberUnloaded(const LoadedImage* image) {
  const KLDR_DATA_TABLE_ENTRY& entry = image->entry;
  auto* name =
      static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, entry.BaseDllName.Length + 2, kUnloadedTag));
  PWCH old = nullptr;
  {
    ke::SpinGuard guard(&PsLoadedModuleSpinLock);
    UNLOADED_DRIVERS& slot = MmUnloadedDrivers[MmLastUnloadedDriver];
    MmLastUnloadedDriver = (MmLastUnloadedDriver + 1) % MI_UNLOADED_DRIVERS;
    old = slot.Name.Buffer;
    slot.Name = {};
    if (name != nullptr) {
      RtlCopyMemory(name, entry.BaseDllName.Buffer, entry.BaseDllName.Length);
      slot.Name.Buffer = name;
      slot.Name.Length = entry.BaseDllName.Length;
      slot.Name.MaximumLength = entry.BaseDllName.Length;
    }
    slot.StartAddress = entry.DllBase;
    slot.EndAddress = static_cast<PUCHAR>(entry.DllBase) + entry.SizeOfImage;
    KeQuerySystemTime(&slot.CurrentTime);
  }
  if (old != nullptr) ExFreePoolWithTag(old, kUnloadedTag);
}

void DescribeImage(LoadedImage* image, const ImageInfo& info) {
  KLDR_DATA_TABLE_ENTRY& entry = image->entry;
  const DataDirectory& exceptions = info.directories[kExceptionDirectory];
  if (exceptions.rva != 0) entry.ExceptionTable = static_cast<PUCHAR>(entry.DllBase) + exceptions.rva;
  entry.ExceptionTableSize = exceptions.size;
  entry.CheckSum = info.checksum;
  entry.TimeDateStamp = info.time_date_stamp;
  entry.SizeOfImageNotRounded = info.size_of_image;
  image->exports = info.directories[kExportDirectory];
}

void InitModuleList(const boot::LoaderBlock* block) {
  g_load_lock.Init();
  MmUnloadedDrivers = g_unloaded;
  KLDR_DATA_TABLE_ENTRY& entry = g_kernel_image.entry;
  entry.DllBase = reinterpret_cast<PVOID>(block->kernel_base);
  entry.EntryPoint = reinterpret_cast<PVOID>(block->kernel_entry);
  entry.SizeOfImage = static_cast<ULONG>(block->kernel_size);
  entry.LoadCount = 1;
  SetName(&entry.FullDllName, g_kernel_full_name, sizeof(g_kernel_full_name));
  SetName(&entry.BaseDllName, g_kernel_base_name, sizeof(g_kernel_base_name));
  g_kernel_image.pages = PagesFor(entry.SizeOfImage);
  static ImageInfo info;
  const char* reason = "";
  const ImageBytes bytes = {static_cast<const uint8_t*>(entry.DllBase), entry.SizeOfImage};
  if (ParseHeaders(bytes, &info, &reason) == ImageError::kNone) DescribeImage(&g_kernel_image, info);
  InsertImage(&g_kernel_image);
}

}  // namespace mm

extern "C" PKLDR_DATA_TABLE_ENTRY MiLookupDataTableEntry(PVOID Pc) {
  using namespace mm;
  const ULONG64 pc = Va(Pc);
  for (const ImageRange& range : g_ranges) {
    const ULONG64 base = __atomic_load_n(&range.base, __ATOMIC_ACQUIRE);
    if (base != 0 && pc - base < range.size) {
      LoadedImage* image = range.image;
      return image != nullptr ? &image->entry : nullptr;
    }
  }
  return nullptr;
}

// Newest first: addresses are used again.
extern "C" PUNICODE_STRING MiLookupUnloadedDriver(PVOID Address) {
  for (ULONG i = 1; MmUnloadedDrivers != nullptr && i <= MI_UNLOADED_DRIVERS; ++i) {
    UNLOADED_DRIVERS& slot =
        MmUnloadedDrivers[(MmLastUnloadedDriver + MI_UNLOADED_DRIVERS - i) % MI_UNLOADED_DRIVERS];
    if (Address >= slot.StartAddress && Address < slot.EndAddress) return &slot.Name;
  }
  return nullptr;
}
