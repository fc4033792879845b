// Code integrity: nothing of a driver may be writable and executable. What hypervisor-protected Windows would
// refuse.
#include "mm/image_parser.h"
#include "verifier.h"

extern "C" PUNICODE_STRING KiBugCheckDriver;

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)
constexpr ULONG kExecutablePool = 0x2000, kExecutablePage = 0x2001, kExecutableMapping = 0x2002,
                kWritableCode = 0x2003, kUnalignedSection = 0x2004, kImportsInCode = 0x2005;
constexpr ULONG kMdlMappingNoExecute = 0x40000000;
constexpr ULONG kPageExecute = 0xF0;  // PAGE_EXECUTE, PAGE_EXECUTE_READ, ...
constexpr ULONG kTypePaged = 1;

// The file's section header, as it lies in the mapped image; the parts of the headers that lead to it.
struct SectionHeader {
  char name[8];
  ULONG virtual_size;
  ULONG virtual_address;
  ULONG raw_and_lines[5];
  ULONG characteristics;
};
static_assert(sizeof(SectionHeader) == 40);
constexpr ULONG kNewHeaderAt = 0x3C, kSectionCountAt = 6, kOptionalSizeAt = 20, kOptionalAt = 24,
                kAlignmentAt = 32, kImportTableAt = 208;

// None of the driver's code is on the stack: it is named here.
[[noreturn]] void ImageViolation(PVF_SUSPECT_DRIVER_ENTRY driver, ULONG kind, const VOID* p3,
                                 const SectionHeader* section) {
  KiBugCheckDriver = &driver->BaseName;
  VerifierBugCheckIfAppropriate(kViolation, kind, Bits(&driver->BaseName), Bits(p3), Bits(section->name));
}

template <typename T>
T ValueAt(const UCHAR* at) {
  T value;
  RtlCopyMemory(&value, at, sizeof(value));
  return value;
}

}  // namespace

void CheckPoolIntegrity(ULONG type, ULONG tag, PVOID caller) {
  if (IsOn(kCodeIntegrity) && (type & (kTypePaged | kNonPagedNx)) == 0)
    VerifierBugCheckIfAppropriate(kViolation, kExecutablePool, Bits(caller), type, tag);
}

void CheckMappingProtection(ULONG priority, KPROCESSOR_MODE mode, PVOID caller) {
  if (IsOn(kCodeIntegrity) && mode == KernelMode && (priority & kMdlMappingNoExecute) == 0)
    VerifierBugCheckIfAppropriate(kViolation, kExecutableMapping, Bits(caller), priority, 0);
}

void CheckImageIntegrity(PVF_SUSPECT_DRIVER_ENTRY driver) {
  if (!IsOn(kCodeIntegrity)) return;
  const auto base = static_cast<PUCHAR>(driver->StartAddress);
  const PUCHAR headers = base + ValueAt<ULONG>(base + kNewHeaderAt);
  const PUCHAR optional = headers + kOptionalAt;
  const ULONG alignment = ValueAt<ULONG>(optional + kAlignmentAt);
  const ULONG imports = ValueAt<ULONG>(optional + kImportTableAt);
  const auto* section =
      reinterpret_cast<const SectionHeader*>(optional + ValueAt<USHORT>(headers + kOptionalSizeAt));
  for (ULONG i = 0; i < ValueAt<USHORT>(headers + kSectionCountAt); ++i, ++section) {
    const bool executable = (section->characteristics & mm::kSectionExecute) != 0;
    if (executable && (section->characteristics & mm::kSectionWrite) != 0)
      ImageViolation(driver, kWritableCode, section, section);
    if (alignment % PAGE_SIZE != 0 || section->virtual_address % PAGE_SIZE != 0)
      ImageViolation(driver, kUnalignedSection, section, section);
    if (executable && imports != 0 && imports - section->virtual_address < section->virtual_size)
      ImageViolation(driver, kImportsInCode, optional + kImportTableAt, section);
  }
}

extern "C" NTSTATUS NTAPI VerifierMmProtectMdlSystemAddress(PMDL Mdl, ULONG NewProtect) {
  if ((NewProtect & kPageExecute) != 0)
    VerifierBugCheckIfAppropriate(kViolation, kExecutablePage, Bits(CALLER), NewProtect, 0);
  return MmProtectMdlSystemAddress(Mdl, NewProtect);
}

namespace {

const Thunk kThunks[] = {{"MmProtectMdlSystemAddress",
                          reinterpret_cast<PVOID>(&VerifierMmProtectMdlSystemAddress), kCodeIntegrity}};

}  // namespace

const ThunkTable kIntegrityThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
