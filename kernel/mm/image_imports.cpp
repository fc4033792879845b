// Binding a driver's imports: to exports of loaded images, or to traps for documented exports that we do not
// have.
#include "mm/image_internal.h"

namespace mm {
namespace {

// One string: every name with its zero, ascending; an empty one ends it.
constexpr char kDocumented[] =
#define NT_DOCUMENTED_EXPORT(Name) Name "\0"
#include "documented_exports.inc"
#undef NT_DOCUMENTED_EXPORT
    ;

// A trap: puts the name in rcx and jumps to MiUnimplementedExport, so that the caller's return address is on
// top.
constexpr ULONG64 kTrapSize = 32;
constexpr ULONG64 kTrapNameSize = 64;  // the name's start; stands after all stubs

int CompareText(const char* a, const char* b) {
  while (*a != 0 && *a == *b) {
    ++a;
    ++b;
  }
  return static_cast<UCHAR>(*a) - static_cast<UCHAR>(*b);
}

void CopyText(char* target, const char* source, ULONG64 room) {
  ULONG64 i = 0;
  for (; i + 1 < room && source[i] != 0; ++i) target[i] = source[i];
  target[i] = 0;
}

bool IsKernelLibrary(const LoadedImage* library) {
  return library == KernelImage();
}

enum class Verdict { kBound, kTrap, kMissing };

Verdict Resolve(LoadedImage* library, const ImportThunk& thunk, ULONG64* address) {
  PVOID found =
      thunk.name != nullptr ? FindExport(library, thunk.name) : FindExportByOrdinal(library, thunk.ordinal);
  *address = Va(found);
  if (found != nullptr) return Verdict::kBound;
  const bool known = IsKernelLibrary(library) && thunk.name != nullptr && IsDocumentedExport(thunk.name);
  return known ? Verdict::kTrap : Verdict::kMissing;
}

void FormatOrdinal(ULONG ordinal, char* text) {
  char digits[8];
  ULONG count = 0;
  do {
    digits[count++] = static_cast<char>('0' + ordinal % 10);
    ordinal /= 10;
  } while (ordinal != 0);
  *text++ = '#';
  while (count != 0) *text++ = digits[--count];
  *text = 0;
}

// What code with C++ exceptions imports, be it from the kernel (which has none of it) or from a run-time
// library.
bool IsOfCxxExceptions(const char* name) {
  static constexpr const char* kNames[] = {"__CxxFrameHandler", "__CxxFrameHandler2", "__CxxFrameHandler3",
                                           "__CxxFrameHandler4", "_CxxThrowException"};
  for (const char* known : kNames) {
    if (CompareText(known, name) == 0) return true;
  }
  return false;
}

// First pass: what is missing, how many traps are needed, which images are used.
struct Survey {
  LoadedImage* image;
  ImageReport* report;
  LoadedImage* library = nullptr;
  const char* library_name = nullptr;
  ULONG traps = 0;
  bool missing_name = false;
  bool missing_ordinal = false;
  bool missing_library = false;
  bool too_many = false;
  bool cxx_exceptions = false;

  bool Library(const char* name) {
    library_name = name;
    library = FindImageByName(name);
    if (library == nullptr) {
      missing_library = true;
      ++report->missing_libraries;
      ReportLine(report, "missing library: ", name);
      return true;
    }
    for (ULONG i = 0; i < image->import_count; ++i) {
      if (image->imports[i] == library) return true;
    }
    if (image->import_count == kMaxImportedImages) {
      too_many = true;
      return false;
    }
    image->imports[image->import_count++] = library;
    return true;
  }

  bool Import(const ImportThunk& thunk) {
    if (thunk.name != nullptr && IsOfCxxExceptions(thunk.name)) return RefuseCxxExceptions(thunk.name);
    if (library == nullptr) return true;
    ULONG64 address = 0;
    char ordinal[16];
    switch (Resolve(library, thunk, &address)) {
      case Verdict::kBound:
        return true;
      case Verdict::kTrap:
        ++traps;
        ++report->trapped_imports;
        ReportLine(report, "warning: ", library_name, "!", thunk.name,
                   " is not implemented; calling it stops the machine");
        return true;
      case Verdict::kMissing:
        break;
    }
    ++report->missing_imports;
    (thunk.name != nullptr ? missing_name : missing_ordinal) = true;
    FormatOrdinal(thunk.ordinal, ordinal);
    ReportLine(report, library_name, "!", thunk.name != nullptr ? thunk.name : ordinal);
    return true;
  }

  bool RefuseCxxExceptions(const char* name) {
    if (!cxx_exceptions) {
      ReportLine(
          report,
          "refused: C++ exceptions are not supported in kernel mode, and the driver uses them (imports ",
          library_name, "!", name, ")");
    }
    cxx_exceptions = true;
    return true;
  }
};

[[noreturn]] void UnimplementedExport(const char* name) {
  const PVOID caller = __builtin_return_address(0);
  PKLDR_DATA_TABLE_ENTRY entry = MiLookupDataTableEntry(caller);
  DbgPrint("mm: %wZ called %s, which this kernel does not implement\n",
           entry != nullptr ? &entry->BaseDllName : nullptr, name);
  KeBugCheckEx(static_cast<ULONG>(STATUS_DRIVER_ENTRYPOINT_NOT_FOUND), Va(name), Va(caller),
               entry != nullptr ? Va(entry->DllBase) : 0, 0);
}

// Second pass: fills the address table.
struct Binder {
  LoadedImage* image;
  ImageView view;
  UCHAR* stubs;
  char* names;
  ULONG traps = 0;
  LoadedImage* library = nullptr;

  bool Library(const char* name) {
    library = FindImageByName(name);
    return true;
  }

  bool Import(const ImportThunk& thunk) {
    ULONG64 address = 0;
    if (Resolve(library, thunk, &address) == Verdict::kTrap) {
      address = MakeTrap(thunk.name);
    } else if (MiVerifier != nullptr && thunk.name != nullptr && IsKernelLibrary(library)) {
      address = Va(MiVerifier->bind_import(&image->entry, thunk.name, reinterpret_cast<PVOID>(address)));
    }
    view.Write(thunk.slot_rva, address);
    return true;
  }

  ULONG64 MakeTrap(const char* name) {
    UCHAR* stub = stubs + traps * kTrapSize;
    char* text = names + traps * kTrapNameSize;
    ++traps;
    CopyText(text, name, kTrapNameSize);
    const ULONG64 name_address = Va(text);
    const ULONG64 handler = reinterpret_cast<ULONG64>(&UnimplementedExport);
    const UCHAR code[] = {0x48, 0xB9, 0, 0, 0, 0, 0, 0, 0, 0,  // mov rcx, name
                          0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0,  // mov rax, UnimplementedExport
                          0xFF, 0xE0};                         // jmp rax
    RtlCopyMemory(stub, code, sizeof(code));
    RtlCopyMemory(stub + 2, &name_address, sizeof(name_address));
    RtlCopyMemory(stub + 12, &handler, sizeof(handler));
    return Va(stub);
  }
};

// Writable while the stubs are written, executable afterwards.
bool AllocateTraps(LoadedImage* image, ULONG count) {
  if (count == 0) return true;
  const ULONG64 pages = PagesFor(count * (kTrapSize + kTrapNameSize));
  const ULONG64 va = g_system_pte_region.Reserve(pages);
  if (va == 0) return false;
  if (!MapFreshPages(va, pages, Protection::kReadWrite, Zero::kYes)) {
    g_system_pte_region.Release(va, pages);
    return false;
  }
  image->traps = va;
  image->trap_pages = pages;
  return true;
}

void SealTraps(const LoadedImage* image) {
  for (ULONG64 i = 0; i < image->trap_pages; ++i) {
    PMMPTE pte = PteOf(image->traps) + i;
    Store(pte, ValidPte(Load(pte).u.Hard.PageFrameNumber, Protection::kExecuteRead));
    FlushPage(image->traps + i * kPageSize);
  }
}

NTSTATUS SurveyStatus(const Survey& survey) {
  if (survey.too_many) return STATUS_INSUFFICIENT_RESOURCES;
  if (survey.cxx_exceptions) return STATUS_DRIVER_ENTRYPOINT_NOT_FOUND;
  if (survey.missing_library) return STATUS_DRIVER_UNABLE_TO_LOAD;
  if (survey.missing_name) return STATUS_DRIVER_ENTRYPOINT_NOT_FOUND;
  return survey.missing_ordinal ? STATUS_DRIVER_ORDINAL_NOT_FOUND : STATUS_SUCCESS;
}

}  // namespace

bool IsDocumentedExport(const char* name) {
  for (const char* at = kDocumented; *at != 0;) {
    const int order = CompareText(at, name);
    if (order == 0) return true;
    if (order > 0) return false;
    while (*at++ != 0) {
    }
  }
  return false;
}

NTSTATUS BindImports(LoadedImage* image, ImageView view, DataDirectory directory, ImageReport* report) {
  Survey survey = {image, report};
  if (ForEachImport(view, directory, survey) != ImageError::kNone) {
    ReportLine(report, "invalid image: ", "the import table leads outside the image");
    return STATUS_INVALID_IMAGE_FORMAT;
  }
  const NTSTATUS status = SurveyStatus(survey);
  if (!NT_SUCCESS(status)) {
    image->import_count = 0;
    return status;
  }
  if (!AllocateTraps(image, survey.traps)) return STATUS_INSUFFICIENT_RESOURCES;
  auto* stubs = reinterpret_cast<UCHAR*>(image->traps);
  Binder binder = {image, view, stubs, reinterpret_cast<char*>(stubs + survey.traps * kTrapSize)};
  ForEachImport(view, directory, binder);
  SealTraps(image);
  for (ULONG i = 0; i < image->import_count; ++i) ++image->imports[i]->entry.LoadCount;
  return STATUS_SUCCESS;
}

void ReleaseImports(LoadedImage* image) {
  for (ULONG i = 0; i < image->import_count; ++i) --image->imports[i]->entry.LoadCount;
  image->import_count = 0;
  if (image->traps != 0)
    RetireRange(g_system_pte_region, image->traps, image->trap_pages, FreePagesToo::kYes);
  image->traps = 0;
}

}  // namespace mm
