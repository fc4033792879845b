// Device objects of verified drivers: how they are added, attached, removed and deleted.
#include "io/io_internal.h"
#include "io_checks.h"

extern "C" PUNICODE_STRING KiBugCheckDriver;

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)
constexpr ULONG kTimerTwice = 0x0A, kDeletedAttached = 0x201, kDetachedTwice = 0x202,
                kRemoveNotDetached = 0x21D, kRemoveNotDeleted = 0x21E, kRoutineMissing = 0x21F,
                kNotPageable = 0x23F, kDeletedTwice = 0x240, kSurpriseDetached = 0x241,
                kSurpriseDeleted = 0x242, kInitializing = 0x243, kNoBuffering = 0x244, kBothBuffering = 0x245,
                kOtherType = 0x246;
constexpr UCHAR kSurpriseRemoval = 0x17;

bool IsDeleted(PDEVICE_OBJECT device) {
  return (IopDeviceExtension(device)->ExtensionFlags & DOE_DELETE_PENDING) != 0;
}
PDEVICE_OBJECT AttachedTo(PDEVICE_OBJECT device) {
  return IopDeviceExtension(device)->AttachedTo;
}
bool IsPnp(PIRP irp, UCHAR minor) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  return stack->MajorFunction == IRP_MJ_PNP && stack->MinorFunction == minor;
}

}  // namespace

void CheckStartingDevice(PDEVICE_OBJECT device, PIRP irp, PVOID routine) {
  if (!IsPnp(irp, IRP_MN_START_DEVICE)) return;
  const PDEVICE_OBJECT lower = AttachedTo(device);
  if (lower == nullptr) return;
  constexpr ULONG kBoth = DO_BUFFERED_IO | DO_DIRECT_IO;
  // None of the driver's code is on the stack: it is named here.
  if (PVF_SUSPECT_DRIVER_ENTRY driver = DriverOf(routine)) KiBugCheckDriver = &driver->BaseName;
  if ((device->Flags & DO_DEVICE_INITIALIZING) != 0) IoViolation(kInitializing, 0, 0, 0);
  if ((device->Flags & kBoth) == kBoth) IoViolation(kBothBuffering, 0, 0, 0);
  if ((lower->Flags & ~device->Flags & DO_POWER_PAGABLE) != 0) IoViolation(kNotPageable, 0, 0, 0);
  constexpr UCHAR kRequired[] = {IRP_MJ_POWER, IRP_MJ_SYSTEM_CONTROL};
  for (const UCHAR major : kRequired) {
    if (device->DriverObject->MajorFunction[major] == IopInvalidDeviceRequest)
      IoViolation(kRoutineMissing, Bits(routine), Bits(irp), 0);
  }
  // A filter above the function driver looks like what it filters.
  const bool filter = AttachedTo(lower) != nullptr;
  if (filter && (device->Flags & kBoth) != (lower->Flags & kBoth)) IoViolation(kNoBuffering, 0, 0, 0);
  if (filter && device->DeviceType != lower->DeviceType) IoViolation(kOtherType, 0, 0, 0);
  KiBugCheckDriver = nullptr;
}

RemovalWatch BeginRemoval(PDEVICE_OBJECT device, PIRP irp) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  const bool removal = stack->MajorFunction == IRP_MJ_PNP && (stack->MinorFunction == IRP_MN_REMOVE_DEVICE ||
                                                              stack->MinorFunction == kSurpriseRemoval);
  if (!removal || AttachedTo(device) == nullptr) return {};
  ObfReferenceObject(device);
  return {device, stack->MinorFunction, IsDeleted(device)};
}

void EndRemoval(const RemovalWatch& watch, PDEVICE_OBJECT device, PIRP irp, NTSTATUS status, PVOID routine) {
  if (watch.device == nullptr) return;
  const bool attached = AttachedTo(device) != nullptr, deleted = IsDeleted(device) && !watch.deleted;
  if (watch.minor == IRP_MN_REMOVE_DEVICE && status != STATUS_PENDING) {
    if (attached) IoViolation(kRemoveNotDetached, Bits(routine), Bits(irp), Bits(device));
    if (!deleted) IoViolation(kRemoveNotDeleted, Bits(routine), Bits(irp), Bits(device));
  }
  if (watch.minor == kSurpriseRemoval) {
    if (deleted) IoViolation(kSurpriseDeleted, Bits(routine), Bits(irp), Bits(device));
    if (!attached) IoViolation(kSurpriseDetached, Bits(routine), Bits(irp), Bits(device));
  }
  ObfDereferenceObject(device);
}

extern "C" {

VOID NTAPI VerifierIoDeleteDevice(PDEVICE_OBJECT DeviceObject) {
  if (IsOn(DRIVER_VERIFIER_IO_CHECKING)) {
    if (IsDeleted(DeviceObject)) IoViolation(kDeletedTwice, Bits(CALLER), 0, 0);
    if (AttachedTo(DeviceObject) != nullptr)
      IoViolation(kDeletedAttached, Bits(CALLER), Bits(DeviceObject), 0);
  }
  if (IsOn(kMiscellaneous)) CheckDeletedDevice(DeviceObject);
  IoDeleteDevice(DeviceObject);
}

VOID NTAPI VerifierIoDetachDevice(PDEVICE_OBJECT TargetDevice) {
  if (TargetDevice->AttachedDevice == nullptr)
    IoViolation(kDetachedTwice, Bits(CALLER), Bits(TargetDevice), 0);
  IoDetachDevice(TargetDevice);
}

NTSTATUS NTAPI VerifierIoInitializeTimer(PDEVICE_OBJECT DeviceObject, PIO_TIMER_ROUTINE TimerRoutine,
                                         PVOID Context) {
  if (DeviceObject->Timer != nullptr) IoViolation(kTimerTwice, Bits(DeviceObject), 0, 0);
  return IoInitializeTimer(DeviceObject, TimerRoutine, Context);
}

}  // extern "C"

namespace {

#define VF_THUNK(Name) {#Name, reinterpret_cast<PVOID>(&Verifier##Name), DRIVER_VERIFIER_IO_CHECKING}
const Thunk kThunks[] = {
    {"IoDeleteDevice", reinterpret_cast<PVOID>(&VerifierIoDeleteDevice),
     DRIVER_VERIFIER_IO_CHECKING | kMiscellaneous},
    VF_THUNK(IoDetachDevice),
    VF_THUNK(IoInitializeTimer),
};

}  // namespace

const ThunkTable kDeviceThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
