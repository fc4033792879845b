// Images that are no drivers: SystemLoadGdiDriverInformation and its undoing.
#include "image_information.h"

#include "ex/ex.h"
#include "mm/image.h"

extern "C" NTSTATUS (*ExpLoadImageFile)(PUNICODE_STRING, PKLDR_DATA_TABLE_ENTRY*) = nullptr;

namespace {

struct GdiDriver {
  UNICODE_STRING DriverName;
  PVOID ImageAddress;
  PVOID SectionPointer;  // what unloads it
  PVOID EntryPoint;
  PVOID ExportSectionPointer;
  ULONG ImageLength;
};
static_assert(sizeof(GdiDriver) == 0x38);

}  // namespace

namespace ex {

NTSTATUS LoadGdiDriver(PVOID information, ULONG length) {
  if (length != sizeof(GdiDriver)) return STATUS_INFO_LENGTH_MISMATCH;
  if (ExpLoadImageFile == nullptr) return STATUS_DEVICE_NOT_READY;
  auto* driver = static_cast<GdiDriver*>(information);
  PKLDR_DATA_TABLE_ENTRY image;
  const NTSTATUS status = ExpLoadImageFile(&driver->DriverName, &image);
  if (!NT_SUCCESS(status)) return status;
  driver->ImageAddress = image->DllBase;
  driver->SectionPointer = image;
  driver->EntryPoint = image->EntryPoint;
  driver->ExportSectionPointer = nullptr;
  driver->ImageLength = image->SizeOfImage;
  return STATUS_SUCCESS;
}

NTSTATUS UnloadGdiDriver(PVOID information, ULONG length) {
  if (length != sizeof(PVOID)) return STATUS_INFO_LENGTH_MISMATCH;
  return MmUnloadSystemImage(*static_cast<PKLDR_DATA_TABLE_ENTRY*>(information));
}

}  // namespace ex
