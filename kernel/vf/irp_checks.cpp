// What is wrong with an IRP at the moment when a verified driver lets it go: downwards, upwards, or back to
// memory.
#include "call_checks.h"
#include "io/io_internal.h"
#include "io_checks.h"
#include "irp_flights.h"
#include "nt/seh.h"

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)
constexpr ULONG kFreedNoIrp = 0x01, kFreedOnThread = 0x02, kCalledNoIrp = 0x03, kBadDevice = 0x04,
                kCompletedPending = 0x06, kCompletedWithCancel = 0x07, kBadFsdBuffer = 0x08,
                kBadControlBuffer = 0x09, kStatusBlockGone = 0x0C, kEventGone = 0x0D, kCompleteAbove = 0x0E,
                kClosedFile = 0x0F, kCallAbove = 0x10, kForwardedWithCancel = 0x203, kNoDevice = 0x204,
                kForwardedBeneath = 0x205, kControlCopied = 0x206, kCompletionCopied = 0x207,
                kOutOfStack = 0x208, kCompletedBeneath = 0x209, kFreedInUse = 0x20B,
                kInitializedAllocated = 0x20D, kPnpStatus = 0x20E, kPowerStatus = 0x20F, kWmiStatus = 0x210,
                kDeviceSkipped = 0x211, kUnknownStatus = 0x213, kUnknownInformation = 0x214,
                kPnpFailureForwarded = 0x215, kPnpNotSupported = 0x216, kPowerFailureForwarded = 0x219,
                kPowerNotSupported = 0x21A, kForeignWmi = 0x220, kPageableCompletion = 0x227,
                kRelationMissing = 0x22B, kPnpUnknownCompleted = 0x22D, kPnpSuccessCompleted = 0x22E,
                kPnpUntouchedCompleted = 0x22F, kPowerUnknownCompleted = 0x230,
                kPowerSuccessCompleted = 0x231, kPowerUntouchedCompleted = 0x232,
                kCapabilitiesVersion = 0x233, kCapabilitiesSize = 0x234, kCapabilitiesAddress = 0x235,
                kCapabilitiesNumber = 0x236, kSystemIrp = 0x237, kNeverForwarded = 0x239, kMajorIrql = 0x23A,
                kMustNotFail = 0x247, kApcNeeded = 0x302, kRemoveFailed = 0x306, kEventSignalled = 0x307,
                kReusedInUse = 0x310, kReusedBuilt = 0x311, kTooMuchInformation = 0x312;
constexpr ULONG kInterruptsOff = 0xC0, kUserAddressInIrp = 0xE2;
constexpr CSHORT kDeviceType = 3;
constexpr ULONG64 kInterruptFlag = 0x200;
constexpr UCHAR kLastPnpMinor = 0x19, kLastPowerMinor = 0x03;
constexpr UCHAR kSurpriseRemoval = 0x17;

bool IsSent(PIRP irp) {  // by whoever made it, with no dispatch routine above
  return irp->CurrentLocation == irp->StackCount + 1;
}

void CheckKernelAddresses(PIRP irp) {
  if (irp->RequestorMode != KernelMode) return;
  const PVOID addresses[] = {irp->AssociatedIrp.SystemBuffer, irp->UserBuffer, irp->MdlAddress, irp->UserIosb,
                             irp->UserEvent};
  for (PVOID address : addresses) {
    if (address != nullptr && Bits(address) <= MmUserProbeAddress)
      VerifierBugCheckIfAppropriate(kViolation, kUserAddressInIrp, Bits(irp), Bits(address), 0);
  }
}

// A request that starts here: its maker has to have prepared it as the system would.
void CheckOriginal(PIRP irp, const IO_STACK_LOCATION* next, PVOID caller) {
  const bool untouched = irp->IoStatus.Status == STATUS_NOT_SUPPORTED;
  const ULONG_PTR at = Bits(caller);
  if (next->MajorFunction == IRP_MJ_PNP && !untouched) IoViolation(kPnpStatus, at, Bits(irp), 0);
  if (next->MajorFunction == IRP_MJ_POWER && !untouched) IoViolation(kPowerStatus, at, Bits(irp), 0);
  if (next->MajorFunction == IRP_MJ_SYSTEM_CONTROL && !untouched) IoViolation(kWmiStatus, at, Bits(irp), 0);
  if (KeGetCurrentIrql() >= APC_LEVEL && !IsListEmpty(&irp->ThreadListEntry))
    IoViolation(kApcNeeded, at, Bits(irp), 0);
  if (next->MajorFunction != IRP_MJ_PNP) return;
  if (next->MinorFunction <= IRP_MN_CANCEL_STOP_DEVICE || next->MinorFunction == kSurpriseRemoval)
    IoViolation(kSystemIrp, 0, 0, 0);
  if (next->MinorFunction != IRP_MN_QUERY_CAPABILITIES) return;
  const DEVICE_CAPABILITIES* capabilities = next->Parameters.DeviceCapabilities.Capabilities;
  if (capabilities->Version != 1) IoViolation(kCapabilitiesVersion, at, Bits(irp), 0);
  if (capabilities->Size < sizeof(*capabilities)) IoViolation(kCapabilitiesSize, at, Bits(irp), 0);
  if (capabilities->Address != MAXULONG) IoViolation(kCapabilitiesAddress, at, Bits(irp), 0);
  if (capabilities->UINumber != MAXULONG) IoViolation(kCapabilitiesNumber, at, Bits(irp), 0);
}

bool IsUnknownMinor(UCHAR major, UCHAR minor) {
  return major == IRP_MJ_PNP ? minor > kLastPnpMinor : major == IRP_MJ_POWER && minor > kLastPowerMinor;
}

// A status that says "nobody has looked at this" cannot be put back, and what is unknown must stay as it
// came.
void CheckChanges(PIRP irp, const Flight& flight, ULONG_PTR at) {
  const bool reset = irp->IoStatus.Status == STATUS_NOT_SUPPORTED && flight.status != STATUS_NOT_SUPPORTED;
  if (reset && flight.major == IRP_MJ_PNP) IoViolation(kPnpNotSupported, at, Bits(irp), 0);
  if (reset && flight.major == IRP_MJ_POWER) IoViolation(kPowerNotSupported, at, Bits(irp), 0);
  if (!IsUnknownMinor(flight.major, flight.minor)) return;
  if (irp->IoStatus.Status != flight.status) IoViolation(kUnknownStatus, at, Bits(irp), 0);
  if (irp->IoStatus.Information != flight.information) IoViolation(kUnknownInformation, at, Bits(irp), 0);
}

// The device below the one whose dispatch routine forwards; no reference: it is only compared.
PDEVICE_OBJECT LowerOf(PDEVICE_OBJECT device) {
  PDEVICE_OBJECT lower = IoGetLowerDeviceObject(device);
  if (lower != nullptr) ObfDereferenceObject(lower);
  return lower;
}

void CheckPassedOn(PDEVICE_OBJECT device, PIRP irp, const Flight& flight, PVOID caller) {
  const ULONG_PTR at = Bits(caller);
  const bool skipped = irp->CurrentLocation == flight.location + 1;
  const IO_STACK_LOCATION* next = IoGetNextIrpStackLocation(irp);
  CheckChanges(irp, flight, at);
  const bool failed = !NT_SUCCESS(irp->IoStatus.Status) && irp->IoStatus.Status != STATUS_NOT_SUPPORTED;
  if (failed && flight.major == IRP_MJ_PNP) IoViolation(kPnpFailureForwarded, at, Bits(irp), 0);
  if (failed && flight.major == IRP_MJ_POWER) IoViolation(kPowerFailureForwarded, at, Bits(irp), 0);
  if (!skipped && irp->CurrentLocation == flight.location) {
    const IO_STACK_LOCATION* current = IoGetCurrentIrpStackLocation(irp);
    constexpr UCHAR kInvoke = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
    const auto routine = reinterpret_cast<PVOID>(next->CompletionRoutine);
    const bool copied = (next->Control & kInvoke) != 0 && (current->Control & kInvoke) != 0 &&
                        routine != nullptr && next->CompletionRoutine == current->CompletionRoutine &&
                        next->Context == current->Context;
    if (copied) IoViolation(kCompletionCopied, at, Bits(irp), 0);
    if ((next->Control & SL_PENDING_RETURNED) != 0) IoViolation(kControlCopied, 0, 0, 0);
  }
  for (PDEVICE_OBJECT below = LowerOf(flight.device); below != nullptr && below != device;) {
    below = LowerOf(below);
    if (below == device) IoViolation(kDeviceSkipped, at, Bits(irp), 0);
  }
}

void CheckIrqlOfMajor(PIRP irp, UCHAR major, PVOID caller) {
  const bool low = major == IRP_MJ_CREATE || major == IRP_MJ_CLOSE || major == IRP_MJ_CLEANUP ||
                   major == IRP_MJ_PNP || major == IRP_MJ_SYSTEM_CONTROL;
  if (low && KeGetCurrentIrql() > APC_LEVEL) IoViolation(kMajorIrql, Bits(caller), Bits(irp), 0);
}

}  // namespace

void CheckForwarded(PDEVICE_OBJECT device, PIRP irp, PVOID caller) {
  if (IsOn(kSecurity)) CheckKernelAddresses(irp);
  if (!IsOn(DRIVER_VERIFIER_IO_CHECKING)) return;
  const KIRQL irql = KeGetCurrentIrql();
  const ULONG_PTR at = Bits(caller);
  if ((__readeflags() & kInterruptFlag) == 0)
    VerifierBugCheckIfAppropriate(kViolation, kInterruptsOff, Bits(irp), 0, 0);
  if (irql > DISPATCH_LEVEL) IoViolation(kCallAbove, irql, 0, 0);
  if (irp->Type != IO_TYPE_IRP) IoViolation(kCalledNoIrp, Bits(irp), 0, 0);
  if (device == nullptr) IoViolation(kNoDevice, 0, 0, 0);
  if (device->Type != kDeviceType || device->DriverObject == nullptr)
    IoViolation(kBadDevice, Bits(device), 0, 0);
  if (irp->CancelRoutine != nullptr) IoViolation(kForwardedWithCancel, at, Bits(irp), 0);
  if (IsBeneath(irp)) IoViolation(kForwardedBeneath, at, Bits(irp), 0);
  if (irp->CurrentLocation <= 1) IoViolation(kOutOfStack, at, Bits(irp), 0);
  const IO_STACK_LOCATION* next = IoGetNextIrpStackLocation(irp);
  constexpr ULONG kGone = FO_CLEANUP_COMPLETE | FO_FILE_OPEN_CANCELLED;
  if (next->MajorFunction == IRP_MJ_CREATE && next->FileObject != nullptr &&
      (next->FileObject->Flags & kGone) != 0)
    IoViolation(kClosedFile, Bits(device), Bits(irp), Bits(next->FileObject));
  if (next->CompletionRoutine != nullptr && next->Control != 0 &&
      IsPageable(reinterpret_cast<PVOID>(next->CompletionRoutine)))
    IoViolation(kPageableCompletion, at, Bits(irp), 0);
  CheckIrqlOfMajor(irp, next->MajorFunction, caller);
  Flight flight;
  if (FindFlight(irp, &flight))
    CheckPassedOn(device, irp, flight, caller);
  else if (IsSent(irp))
    CheckOriginal(irp, next, caller);
}

SentRequest LookAtSent(PIRP irp) {
  const bool watched = IsOn(DRIVER_VERIFIER_IO_CHECKING) && IsSent(irp) && irp->UserEvent != nullptr;
  return {watched, watched && KeReadStateEvent(irp->UserEvent) != 0};
}

void CheckSent(const SentRequest& sent, PIRP irp, NTSTATUS status, PVOID caller) {
  if (sent.watched && sent.event_signalled && status == STATUS_PENDING)
    IoViolation(kEventSignalled, Bits(caller), Bits(irp), 0);
}

namespace {

// On the stack of this thread, in a frame that is gone.
bool IsUnwound(PVOID address, PVOID frame) {
  return address >= KeGetCurrentThread()->StackLimit && address < frame;
}

// Only the bottom of a stack may end a request of these two majors that was not passed down.
void CheckEndedHere(PIRP irp, const Flight& flight, ULONG_PTR at) {
  if ((flight.fate & kForwarded) != 0 || LowerOf(flight.device) == nullptr) return;
  const bool pnp = flight.major == IRP_MJ_PNP;
  if (!pnp && flight.major != IRP_MJ_POWER) return;
  if (IsUnknownMinor(flight.major, flight.minor))
    IoViolation(pnp ? kPnpUnknownCompleted : kPowerUnknownCompleted, at, Bits(irp), 0);
  if (irp->IoStatus.Status == STATUS_NOT_SUPPORTED)
    IoViolation(pnp ? kPnpUntouchedCompleted : kPowerUntouchedCompleted, at, Bits(irp), 0);
  if (NT_SUCCESS(irp->IoStatus.Status))
    IoViolation(pnp ? kPnpSuccessCompleted : kPowerSuccessCompleted, at, Bits(irp), 0);
}

void CheckResult(PIRP irp, const IO_STACK_LOCATION* stack, ULONG_PTR at) {
  const NTSTATUS status = irp->IoStatus.Status;
  const bool failed = !NT_SUCCESS(status) && status != STATUS_NOT_SUPPORTED;
  if (stack->MajorFunction == IRP_MJ_PNP) {
    const UCHAR minor = stack->MinorFunction;
    if (failed && minor == IRP_MN_REMOVE_DEVICE) IoViolation(kRemoveFailed, at, Bits(irp), 0);
    if (failed && (minor == IRP_MN_CANCEL_REMOVE_DEVICE || minor == IRP_MN_CANCEL_STOP_DEVICE ||
                   minor == IRP_MN_STOP_DEVICE || minor == kSurpriseRemoval))
      IoViolation(kMustNotFail, 0, 0, 0);
    if (minor == IRP_MN_QUERY_DEVICE_RELATIONS && NT_SUCCESS(status) &&
        stack->Parameters.QueryDeviceRelations.Type == TargetDeviceRelation && irp->IoStatus.Information == 0)
      IoViolation(kRelationMissing, at, Bits(irp), 0);
  }
  if (failed && (stack->MajorFunction == IRP_MJ_CLOSE || stack->MajorFunction == IRP_MJ_CLEANUP))
    IoViolation(kMustNotFail, 0, 0, 0);
  const bool control = stack->MajorFunction == IRP_MJ_DEVICE_CONTROL;
  if (control && NT_SUCCESS(status) && (irp->Flags & IRP_BUFFERED_IO) != 0 &&
      (irp->Flags & IRP_INPUT_OPERATION) != 0 &&
      irp->IoStatus.Information > stack->Parameters.DeviceIoControl.OutputBufferLength)
    IoViolation(kTooMuchInformation, at, Bits(irp), 0);
}

}  // namespace

void CheckCompleted(PIRP irp, PVOID caller, PVOID frame) {
  if (!IsOn(DRIVER_VERIFIER_IO_CHECKING)) return;
  const KIRQL irql = KeGetCurrentIrql();
  const ULONG_PTR at = Bits(caller);
  if (irql > DISPATCH_LEVEL) IoViolation(kCompleteAbove, irql, Bits(irp), 0);
  if (irp->Type != IO_TYPE_IRP) return;  // 0x44 says it
  const NTSTATUS status = irp->IoStatus.Status;
  if (status == STATUS_PENDING || status == -1)
    IoViolation(kCompletedPending, static_cast<ULONG_PTR>(static_cast<LONG_PTR>(status)), Bits(irp), 0);
  if (irp->CancelRoutine != nullptr)
    IoViolation(kCompletedWithCancel, reinterpret_cast<ULONG_PTR>(irp->CancelRoutine), Bits(irp), 0);
  if (IsSent(irp)) IoViolation(kNeverForwarded, 0, 0, 0);
  if (irp->CurrentLocation > irp->StackCount) return;
  if (IsBeneath(irp)) IoViolation(kCompletedBeneath, at, Bits(irp), 0);
  if (IsUnwound(irp->UserIosb, frame)) IoViolation(kStatusBlockGone, Bits(irp->UserIosb), 0, 0);
  if (IsUnwound(irp->UserEvent, frame)) IoViolation(kEventGone, Bits(irp->UserEvent), 0, 0);
  const IO_STACK_LOCATION* stack = IoGetCurrentIrpStackLocation(irp);
  CheckResult(irp, stack, at);
  Flight flight;
  if (!FindFlight(irp, &flight)) return;
  CheckChanges(irp, flight, at);
  CheckEndedHere(irp, flight, at);
  if (flight.major == IRP_MJ_SYSTEM_CONTROL && (flight.fate & kForwarded) == 0 &&
      LowerOf(flight.device) != nullptr && stack->Parameters.WMI.ProviderId != Bits(flight.device))
    IoViolation(kForeignWmi, at, Bits(irp), stack->Parameters.WMI.ProviderId);
}

namespace {

// With a driver other than the one that asks.
bool IsInUse(PIRP irp, PVOID caller) {
  if (IsInFlight(irp)) return true;
  if (irp->CurrentLocation < 1 || irp->CurrentLocation > irp->StackCount) return false;
  const PDEVICE_OBJECT device = IoGetCurrentIrpStackLocation(irp)->DeviceObject;
  const PVF_SUSPECT_DRIVER_ENTRY driver = DriverOf(caller);
  return device != nullptr && driver != nullptr && device->DriverObject->DriverStart != driver->StartAddress;
}

ULONG StatusOfException(PEXCEPTION_POINTERS pointers, ULONG* code) {
  *code = static_cast<ULONG>(pointers->ExceptionRecord->ExceptionCode);
  return EXCEPTION_EXECUTE_HANDLER;
}

}  // namespace

extern "C" {

VOID NTAPI VerifierIoFreeIrp(PIRP Irp) {
  if (Irp->Type != IO_TYPE_IRP) IoViolation(kFreedNoIrp, Bits(Irp), 0, 0);
  if (!IsListEmpty(&Irp->ThreadListEntry)) IoViolation(kFreedOnThread, Bits(Irp), 0, 0);
  if (IsInUse(Irp, CALLER)) IoViolation(kFreedInUse, Bits(CALLER), Bits(Irp), 0);
  IoFreeIrp(Irp);
}

VOID NTAPI VerifierIoInitializeIrp(PIRP Irp, USHORT PacketSize, CCHAR StackSize) {
  if (IsIrpOfPool(Irp, PacketSize)) IoViolation(kInitializedAllocated, Bits(CALLER), Bits(Irp), 0);
  IoInitializeIrp(Irp, PacketSize, StackSize);
}

VOID NTAPI VerifierIoReuseIrp(PIRP Irp, NTSTATUS Iostatus) {
  if (!IsListEmpty(&Irp->ThreadListEntry) || (Irp->Flags & IRP_ASSOCIATED_IRP) != 0)
    IoViolation(kReusedBuilt, Bits(CALLER), Bits(Irp), 0);
  if (IsInUse(Irp, CALLER)) IoViolation(kReusedInUse, Bits(CALLER), Bits(Irp), 0);
  IoReuseIrp(Irp, Iostatus);
}

PIRP NTAPI VerifierIoBuildAsynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject,
                                                 PVOID Buffer, ULONG Length, PLARGE_INTEGER StartingOffset,
                                                 PIO_STATUS_BLOCK IoStatusBlock) {
  ULONG code = 0;
  __try {
    return IoBuildAsynchronousFsdRequest(MajorFunction, DeviceObject, Buffer, Length, StartingOffset,
                                         IoStatusBlock);
  } __except (StatusOfException(GetExceptionInformation(), &code)) {
    __asm__ volatile("nop");
  }
  IoViolation(kBadFsdBuffer, Bits(DeviceObject), MajorFunction, code);
}

PIRP NTAPI VerifierIoBuildDeviceIoControlRequest(ULONG IoControlCode, PDEVICE_OBJECT DeviceObject,
                                                 PVOID InputBuffer, ULONG InputBufferLength,
                                                 PVOID OutputBuffer, ULONG OutputBufferLength,
                                                 BOOLEAN InternalDeviceIoControl, PKEVENT Event,
                                                 PIO_STATUS_BLOCK IoStatusBlock) {
  ULONG code = 0;
  __try {
    return IoBuildDeviceIoControlRequest(IoControlCode, DeviceObject, InputBuffer, InputBufferLength,
                                         OutputBuffer, OutputBufferLength, InternalDeviceIoControl, Event,
                                         IoStatusBlock);
  } __except (StatusOfException(GetExceptionInformation(), &code)) {
    __asm__ volatile("nop");
  }
  IoViolation(kBadControlBuffer, Bits(DeviceObject), IoControlCode, code);
}

}  // extern "C"

namespace {

#define VF_THUNK(Name) {#Name, reinterpret_cast<PVOID>(&Verifier##Name), DRIVER_VERIFIER_IO_CHECKING}
const Thunk kThunks[] = {
    VF_THUNK(IoFreeIrp),
    VF_THUNK(IoInitializeIrp),
    VF_THUNK(IoReuseIrp),
    VF_THUNK(IoBuildAsynchronousFsdRequest),
    VF_THUNK(IoBuildDeviceIoControlRequest),
};

}  // namespace

const ThunkTable kIrpThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
