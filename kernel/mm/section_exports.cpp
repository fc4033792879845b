// Sections and views: ZwCreateSection, ZwMapViewOfSection, MmMapViewInSystemSpace, ...
#include "mm/section.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "ob/ob.h"

extern "C" {
POBJECT_TYPE MmSectionObjectType;
}

/// The type of section objects.
/// IRQL: any.
/// Differs from NT: none.
/// Source: ntifs.h.
NT_EXPORT_DATA(MmSectionObjectType, Full, "MmSection.ObjectType*");

namespace {

using mm::Protection;
using mm::Region;
using mm::Section;

NTSTATUS SectionOf(HANDLE handle, ACCESS_MASK access, Section** section) {
  PVOID object;
  const NTSTATUS status =
      ObReferenceObjectByHandle(handle, access, MmSectionObjectType, KernelMode, &object, nullptr);
  *section = static_cast<Section*>(object);
  return status;
}

NTSTATUS FileOf(HANDLE handle, PFILE_OBJECT* file) {
  *file = nullptr;
  if (handle == nullptr) return STATUS_SUCCESS;
  PVOID object;
  const NTSTATUS status =
      ObReferenceObjectByHandle(handle, FILE_READ_DATA, IoFileObjectType, KernelMode, &object, nullptr);
  if (NT_SUCCESS(status)) *file = static_cast<PFILE_OBJECT>(object);
  return status == STATUS_OBJECT_TYPE_MISMATCH ? STATUS_INVALID_FILE_FOR_SECTION : status;
}

NTSTATUS Create(PHANDLE handle, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes,
                PLARGE_INTEGER maximum_size, ULONG protect, ULONG allocation_attributes, HANDLE file_handle) {
  PFILE_OBJECT file;
  NTSTATUS status = FileOf(file_handle, &file);
  if (!NT_SUCCESS(status)) return status;
  Section* section = nullptr;
  status = mm::CreateSection(attributes, maximum_size, protect, allocation_attributes, file, &section);
  if (file != nullptr) ObDereferenceObject(file);
  return NT_SUCCESS(status) ? ObInsertObject(section, nullptr, access, 0, nullptr, handle) : status;
}

// What ZwMapViewOfSection and MmMapViewOfSection are asked for.
struct ViewRequest {
  PVOID* base;
  ULONG_PTR zero_bits;
  SIZE_T commit;
  PLARGE_INTEGER offset;
  PSIZE_T size;
  SECTION_INHERIT inherit;
  ULONG allocation_type;
  ULONG protect;
};

NTSTATUS CheckView(const ViewRequest& request, Region* region) {
  constexpr ULONG kKnown = MEM_TOP_DOWN | MEM_RESERVE | MEM_LARGE_PAGES;
  if (!mm::LimitOfZeroBits(request.zero_bits, &region->below)) return STATUS_INVALID_PARAMETER_4;
  if (request.commit > region->size && region->size != 0) return STATUS_INVALID_PARAMETER_5;
  if (request.inherit != ViewShare && request.inherit != ViewUnmap) return STATUS_INVALID_PARAMETER_8;
  return (request.allocation_type & ~kKnown) != 0 ? STATUS_INVALID_PARAMETER_9 : STATUS_SUCCESS;
}

NTSTATUS MapIn(PEPROCESS process, Section* section, const ViewRequest& request) {
  Protection protection;
  PLARGE_INTEGER offset = request.offset;
  Region region = {mm::Va(*request.base), *request.size};
  const NTSTATUS checked = CheckView(request, &region);
  if (!NT_SUCCESS(checked)) return checked;
  if (!mm::ProtectionFromWin32(request.protect, &protection)) return STATUS_INVALID_PAGE_PROTECTION;
  const ULONG64 start = offset != nullptr ? static_cast<ULONG64>(offset->QuadPart) : 0;
  if (start % mm::kAllocationGranularity != 0) return STATUS_MAPPED_ALIGNMENT;
  const bool top_down = (request.allocation_type & MEM_TOP_DOWN) != 0;
  const NTSTATUS status = mm::InProcessObject(process, [&](mm::AddressSpace& space) {
    if (section->segment->image != nullptr) return mm::MapImageView(space, section, &region, top_down);
    return mm::MapView(space, section, start, &region, top_down, protection);
  });
  if (!NT_SUCCESS(status)) return status;
  *request.base = reinterpret_cast<PVOID>(region.base);
  *request.size = region.size;
  return status;
}

NTSTATUS ProcessOf(HANDLE handle, PEPROCESS* process) {
  if (handle == ZwCurrentProcess()) {
    *process = reinterpret_cast<PEPROCESS>(PsGetCurrentProcess());
    ObReferenceObject(*process);
    return STATUS_SUCCESS;
  }
  PVOID object;
  const NTSTATUS status =
      ObReferenceObjectByHandle(handle, PROCESS_VM_OPERATION, PsProcessType, KernelMode, &object, nullptr);
  *process = static_cast<PEPROCESS>(object);
  return status;
}

NTSTATUS Map(HANDLE section_handle, HANDLE process_handle, const ViewRequest& request) {
  Section* section;
  NTSTATUS status = SectionOf(section_handle, SECTION_MAP_READ, &section);
  if (!NT_SUCCESS(status)) return status;
  PEPROCESS process;
  status = ProcessOf(process_handle, &process);
  if (NT_SUCCESS(status)) {
    status = MapIn(process, section, request);
    ObDereferenceObject(process);
  }
  ObDereferenceObject(section);
  return status;
}

NTSTATUS UnmapIn(PEPROCESS process, PVOID base) {
  return mm::InProcessObject(process,
                             [&](mm::AddressSpace& space) { return mm::UnmapView(space, mm::Va(base)); });
}

NTSTATUS MapInSystem(PVOID section_object, PVOID* base, PSIZE_T size, ULONG64 offset) {
  auto* section = static_cast<Section*>(section_object);
  Region region = {0, *size};
  const auto protection =
      mm::IsWritable(section->protection) ? Protection::kReadWrite : Protection::kReadOnly;
  const NTSTATUS status = mm::MapView(mm::SystemViews(), section, offset, &region, false, protection);
  if (!NT_SUCCESS(status)) return status;
  *base = reinterpret_cast<PVOID>(region.base);
  *size = region.size;
  return STATUS_SUCCESS;
}

}  // namespace

/// Creates a section: memory of the page file, or of a file, that several views can share. A file that is
/// shorter than a writable section is extended.
/// Returns: STATUS_INVALID_FILE_FOR_SECTION, STATUS_MAPPED_FILE_SIZE_ZERO, STATUS_SECTION_TOO_BIG,
/// STATUS_INVALID_PAGE_PROTECTION.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: an image's shared sections are private, and headers are one page at most; SEC_RESERVE
/// commits; no large pages; what
/// ZwWriteFile writes to a file is seen by its views only where the page has not been touched yet.
/// Source: WDK wdm/ZwCreateSection.
NT_EXPORT(ZwCreateSection, nt::Exactly(PASSIVE_LEVEL), Partial, "MmSection.*");
extern "C" NTSTATUS NTAPI ZwCreateSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess,
                                          POBJECT_ATTRIBUTES ObjectAttributes, PLARGE_INTEGER MaximumSize,
                                          ULONG SectionPageProtection, ULONG AllocationAttributes,
                                          HANDLE FileHandle) {
  return ke::CallService(NtCreateSection, SectionHandle, DesiredAccess, ObjectAttributes, MaximumSize,
                         SectionPageProtection, AllocationAttributes, FileHandle);
}

/// ZwCreateSection for a caller whose arguments are checked by its previous mode.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwCreateSection; the previous mode is always kernel.
/// Source: WDK ntifs/NtCreateSection.
NT_EXPORT(NtCreateSection, nt::Exactly(PASSIVE_LEVEL), Partial, "MmSection.NtEntries*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtCreateSection(PHANDLE SectionHandle, ULONG DesiredAccess,
                                                            POBJECT_ATTRIBUTES ObjectAttributes,
                                                            PLARGE_INTEGER MaximumSize,
                                                            ULONG SectionPageProtection,
                                                            ULONG AllocationAttributes, HANDLE FileHandle) {
  return Create(SectionHandle, DesiredAccess, ObjectAttributes, MaximumSize, SectionPageProtection,
                AllocationAttributes, FileHandle);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess,
                                                          POBJECT_ATTRIBUTES ObjectAttributes) {
  return ObOpenObjectByName(ObjectAttributes, MmSectionObjectType, KernelMode, nullptr, DesiredAccess,
                            nullptr, SectionHandle);
}

/// Opens a section by name.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwOpenSection.
NT_EXPORT(ZwOpenSection, nt::Exactly(PASSIVE_LEVEL), Full, "MmSection.Named*");
extern "C" NTSTATUS NTAPI ZwOpenSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess,
                                        POBJECT_ATTRIBUTES ObjectAttributes) {
  return ke::CallService(NtOpenSection, SectionHandle, DesiredAccess, ObjectAttributes);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQuerySection(HANDLE SectionHandle,
                                                           ULONG SectionInformationClass,
                                                           PVOID SectionInformation,
                                                           SIZE_T SectionInformationLength,
                                                           PSIZE_T ReturnLength) {
  struct Basic {
    PVOID base;
    ULONG attributes;
    LARGE_INTEGER size;
  };
  if (SectionInformationClass != 0) return STATUS_INVALID_INFO_CLASS;
  if (SectionInformationLength < sizeof(Basic)) return STATUS_INFO_LENGTH_MISMATCH;
  Section* section;
  const NTSTATUS status = SectionOf(SectionHandle, SECTION_QUERY, &section);
  if (!NT_SUCCESS(status)) return status;
  auto* basic = static_cast<Basic*>(SectionInformation);
  *basic = {nullptr, section->attributes, {}};
  basic->size.QuadPart = static_cast<LONGLONG>(section->bytes);
  if (ReturnLength != nullptr) *ReturnLength = sizeof(Basic);
  ObDereferenceObject(section);
  return STATUS_SUCCESS;
}

/// SectionBasicInformation: base address (0), attributes, size.
/// Returns: STATUS_INVALID_INFO_CLASS for other classes, STATUS_INFO_LENGTH_MISMATCH.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: SectionBasicInformation only.
/// Source: not documented; NtQuerySection.
NT_EXPORT(ZwQuerySection, nt::Exactly(PASSIVE_LEVEL), Partial, "MmSection.Query*");
extern "C" NTSTATUS NTAPI ZwQuerySection(HANDLE SectionHandle, ULONG SectionInformationClass,
                                         PVOID SectionInformation, SIZE_T SectionInformationLength,
                                         PSIZE_T ReturnLength) {
  return ke::CallService(NtQuerySection, SectionHandle, SectionInformationClass, SectionInformation,
                         SectionInformationLength, ReturnLength);
}

/// ZwMapViewOfSection for a caller whose arguments are checked by its previous mode.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwMapViewOfSection; the previous mode is always kernel.
/// Source: not documented; see ZwMapViewOfSection.
NT_EXPORT(NtMapViewOfSection, nt::Exactly(PASSIVE_LEVEL), Partial, "MmSection.NtEntries*");
extern "C" NTSTATUS NTAPI NtMapViewOfSection(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID* BaseAddress,
                                             ULONG_PTR ZeroBits, SIZE_T CommitSize,
                                             PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize,
                                             SECTION_INHERIT InheritDisposition, ULONG AllocationType,
                                             ULONG Win32Protect) {
  return Map(SectionHandle, ProcessHandle,
             {BaseAddress, ZeroBits, CommitSize, SectionOffset, ViewSize, InheritDisposition, AllocationType,
              Win32Protect});
}

/// Maps a view of a section into a process. Offsets and addresses are multiples of 64 KiB; a size of 0 is the
/// rest. An image is mapped whole, with its sections' protections, and relocated where it is not at its
/// preferred base. Returns: STATUS_IMAGE_NOT_AT_BASE then, STATUS_SECTION_PROTECTION for a view that may do
/// more than the section, STATUS_CONFLICTING_ADDRESSES, STATUS_MAPPED_ALIGNMENT, STATUS_INVALID_VIEW_SIZE,
/// STATUS_NO_MEMORY.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; CommitSize commits nothing that is not committed already, and InheritDisposition is
/// for processes made by cloning, which there are not.
/// Source: WDK wdm/ZwMapViewOfSection.
NT_EXPORT(ZwMapViewOfSection, nt::Exactly(PASSIVE_LEVEL), Full, "MmSection.*");
extern "C" NTSTATUS NTAPI ZwMapViewOfSection(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID* BaseAddress,
                                             ULONG_PTR ZeroBits, SIZE_T CommitSize,
                                             PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize,
                                             SECTION_INHERIT InheritDisposition, ULONG AllocationType,
                                             ULONG Win32Protect) {
  return ke::CallService(NtMapViewOfSection, SectionHandle, ProcessHandle, BaseAddress, ZeroBits, CommitSize,
                         SectionOffset, ViewSize, InheritDisposition, AllocationType, Win32Protect);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtUnmapViewOfSection(HANDLE ProcessHandle, PVOID BaseAddress) {
  PEPROCESS process;
  NTSTATUS status = ProcessOf(ProcessHandle, &process);
  if (!NT_SUCCESS(status)) return status;
  status = UnmapIn(process, BaseAddress);
  ObDereferenceObject(process);
  return status;
}

/// Unmaps the view that contains an address.
/// Returns: STATUS_NOT_MAPPED_VIEW where there is none.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwUnmapViewOfSection.
NT_EXPORT(ZwUnmapViewOfSection, nt::Exactly(PASSIVE_LEVEL), Full, "MmSection.*");
extern "C" NTSTATUS NTAPI ZwUnmapViewOfSection(HANDLE ProcessHandle, PVOID BaseAddress) {
  return ke::CallService(NtUnmapViewOfSection, ProcessHandle, BaseAddress);
}

/// Creates a section object without a handle; the file by handle or by pointer.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwCreateSection.
/// Source: not documented; used by file systems.
NT_EXPORT(MmCreateSection, nt::Exactly(PASSIVE_LEVEL), Partial, "MmSection.SystemView*");
extern "C" NTSTATUS NTAPI MmCreateSection(PVOID* SectionObject, ACCESS_MASK DesiredAccess,
                                          POBJECT_ATTRIBUTES ObjectAttributes,
                                          PLARGE_INTEGER InputMaximumSize, ULONG SectionPageProtection,
                                          ULONG AllocationAttributes, HANDLE FileHandle,
                                          PFILE_OBJECT FileObject) {
  PFILE_OBJECT file = nullptr;
  NTSTATUS status = FileOf(FileHandle, &file);
  if (!NT_SUCCESS(status)) return status;
  Section* section = nullptr;
  status = mm::CreateSection(ObjectAttributes, InputMaximumSize, SectionPageProtection, AllocationAttributes,
                             file != nullptr ? file : FileObject, &section);
  if (file != nullptr) ObDereferenceObject(file);
  if (NT_SUCCESS(status)) *SectionObject = section;
  return status;
}

/// Maps a section into system space, for every process. A size of 0 is the whole section.
/// Returns: the address in *MappedBase.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/MmMapViewInSystemSpace.
NT_EXPORT(MmMapViewInSystemSpace, nt::AtMost(APC_LEVEL), Full, "MmSection.SystemView*");
extern "C" NTSTATUS NTAPI MmMapViewInSystemSpace(PVOID Section, PVOID* MappedBase, PSIZE_T ViewSize) {
  return MapInSystem(Section, MappedBase, ViewSize, 0);
}

/// MmMapViewInSystemSpace from an offset on.
/// Returns: STATUS_MAPPED_ALIGNMENT for an offset that is no multiple of 64 KiB.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: Flags has no effect.
/// Source: not documented; wdm.h.
NT_EXPORT(MmMapViewInSystemSpaceEx, nt::AtMost(APC_LEVEL), Partial, "MmSection.SystemView*");
extern "C" NTSTATUS NTAPI MmMapViewInSystemSpaceEx(PVOID Section, PVOID* MappedBase, PSIZE_T ViewSize,
                                                   PLARGE_INTEGER SectionOffset, ULONG_PTR Flags) {
  const auto offset = static_cast<ULONG64>(SectionOffset->QuadPart);
  if (offset % mm::kAllocationGranularity != 0) return STATUS_MAPPED_ALIGNMENT;
  return MapInSystem(Section, MappedBase, ViewSize, offset);
}

/// Unmaps a view of MmMapViewInSystemSpace, by its base address.
/// Returns: STATUS_NOT_MAPPED_VIEW where there is none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/MmUnmapViewInSystemSpace.
NT_EXPORT(MmUnmapViewInSystemSpace, nt::AtMost(APC_LEVEL), Full, "MmSection.SystemView*");
extern "C" NTSTATUS NTAPI MmUnmapViewInSystemSpace(PVOID MappedBase) {
  return mm::UnmapView(mm::SystemViews(), mm::Va(MappedBase));
}

/// MmMapViewInSystemSpace for the current session.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: there are no sessions: every process sees the view.
/// Source: not documented; used by display drivers.
NT_EXPORT(MmMapViewInSessionSpace, nt::AtMost(APC_LEVEL), Partial, "MmSection.SystemView*");
extern "C" NTSTATUS NTAPI MmMapViewInSessionSpace(PVOID Section, PVOID* MappedBase, PSIZE_T ViewSize) {
  return MapInSystem(Section, MappedBase, ViewSize, 0);
}

/// Undoes MmMapViewInSessionSpace.
/// Returns: STATUS_NOT_MAPPED_VIEW where there is none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: there are no sessions.
/// Source: not documented; used by display drivers.
NT_EXPORT(MmUnmapViewInSessionSpace, nt::AtMost(APC_LEVEL), Partial, "MmSection.SystemView*");
extern "C" NTSTATUS NTAPI MmUnmapViewInSessionSpace(PVOID MappedBase) {
  return mm::UnmapView(mm::SystemViews(), mm::Va(MappedBase));
}

/// ZwMapViewOfSection by pointers.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: as ZwMapViewOfSection.
/// Source: not documented; used by many drivers.
NT_EXPORT(MmMapViewOfSection, nt::AtMost(APC_LEVEL), Full, "MmSection.ByPointer*");
extern "C" NTSTATUS NTAPI MmMapViewOfSection(PVOID SectionToMap, PEPROCESS Process, PVOID* CapturedBase,
                                             ULONG_PTR ZeroBits, SIZE_T CommitSize,
                                             PLARGE_INTEGER SectionOffset, PSIZE_T CapturedViewSize,
                                             SECTION_INHERIT InheritDisposition, ULONG AllocationType,
                                             ULONG Win32Protect) {
  return MapIn(Process, static_cast<Section*>(SectionToMap),
               {CapturedBase, ZeroBits, CommitSize, SectionOffset, CapturedViewSize, InheritDisposition,
                AllocationType, Win32Protect});
}

/// ZwUnmapViewOfSection by a process's pointer.
/// Returns: STATUS_NOT_MAPPED_VIEW where there is none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented; used by many drivers.
NT_EXPORT(MmUnmapViewOfSection, nt::AtMost(APC_LEVEL), Full, "MmSection.ByPointer*");
extern "C" NTSTATUS NTAPI MmUnmapViewOfSection(PEPROCESS Process, PVOID BaseAddress) {
  return UnmapIn(Process, BaseAddress);
}
