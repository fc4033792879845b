// I/O verification: what a verified driver does with IRPs (bug check 0xC9), and how its dispatch routines
// come back.
#include "io/io.h"
#include "ob/ob.h"
#include "verifier.h"

namespace vf {
namespace {

constexpr ULONG kFreedNoIrp = 0x01, kFreedOnThread = 0x02, kCalledNoIrp = 0x03, kBadDevice = 0x04,
                kDispatchIrql = 0x05, kCompletedPending = 0x06, kCompletedWithCancel = 0x07,
                kCompleteAbove = 0x0E, kCallAbove = 0x10, kForwardedWithCancel = 0x203, kOutOfStack = 0x208,
                kNeitherCompletedNorPassed = 0x226, kPendingUnmarked = 0x23D;
constexpr ULONG kDispatchApcs = 0xC5, kIrqlReturn = 0x2001D;
constexpr CSHORT kDeviceType = 3;
#define CALLER __builtin_return_address(0)

[[noreturn]] FORCEINLINE void IoViolation(ULONG kind, ULONG_PTR p2, ULONG_PTR p3, ULONG_PTR p4) {
  VerifierBugCheckIfAppropriate(kIoViolation, kind, p2, p3, p4);
}

// IRPs inside a verified driver's dispatch routine, so that what became of them is known when it returns.
enum : UCHAR { kCompleted = 1, kForwarded = 2 };
struct InFlight {
  PIRP irp;
  UCHAR fate;
};
constexpr ULONG kInFlight = 256;
InFlight g_in_flight[kInFlight];
KSPIN_LOCK g_lock;

InFlight* Enter(PIRP irp) {
  ke::SpinGuard guard(&g_lock);
  for (InFlight& entry : g_in_flight) {
    if (entry.irp != nullptr) continue;
    entry = {irp, 0};
    return &entry;
  }
  return nullptr;
}

struct Outcome {
  UCHAR fate;
  bool marked_pending;  // only where the IRP was still this driver's
};

// While the lock is held nobody gets past Note to complete the IRP: it can be looked at.
Outcome Leave(InFlight* entry) {
  ke::SpinGuard guard(&g_lock);
  Outcome outcome = {entry->fate, true};
  if (outcome.fate == 0)
    outcome.marked_pending = (IoGetCurrentIrpStackLocation(entry->irp)->Control & SL_PENDING_RETURNED) != 0;
  entry->irp = nullptr;
  return outcome;
}

// The innermost dispatch of the IRP: the entry that was made last is not known, so all of them learn it.
void Note(PIRP irp, UCHAR fate) {
  ke::SpinGuard guard(&g_lock);
  for (InFlight& entry : g_in_flight) {
    if (entry.irp == irp) entry.fate |= fate;
  }
}

}  // namespace

extern "C" {

VOID NTAPI VerifierIoFreeIrp(PIRP Irp) {
  if (Irp->Type != IO_TYPE_IRP) IoViolation(kFreedNoIrp, Bits(Irp), 0, 0);
  if (!IsListEmpty(&Irp->ThreadListEntry)) IoViolation(kFreedOnThread, Bits(Irp), 0, 0);
  IoFreeIrp(Irp);
}

NTSTATUS FASTCALL VerifierIofCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > DISPATCH_LEVEL) IoViolation(kCallAbove, irql, 0, 0);
  if (Irp->Type != IO_TYPE_IRP) IoViolation(kCalledNoIrp, Bits(Irp), 0, 0);
  if (DeviceObject == nullptr || DeviceObject->Type != kDeviceType || DeviceObject->DriverObject == nullptr)
    IoViolation(kBadDevice, Bits(DeviceObject), 0, 0);
  if (Irp->CancelRoutine != nullptr) IoViolation(kForwardedWithCancel, Bits(CALLER), Bits(Irp), 0);
  if (Irp->CurrentLocation <= 1) IoViolation(kOutOfStack, Bits(CALLER), Bits(Irp), 0);
  Note(Irp, kForwarded);
  return IofCallDriver(DeviceObject, Irp);
}

VOID FASTCALL VerifierIofCompleteRequest(PIRP Irp, CCHAR PriorityBoost) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > DISPATCH_LEVEL) IoViolation(kCompleteAbove, irql, Bits(Irp), 0);
  const NTSTATUS status = Irp->IoStatus.Status;
  if (Irp->Type == IO_TYPE_IRP && (status == STATUS_PENDING || status == -1))
    IoViolation(kCompletedPending, static_cast<ULONG_PTR>(static_cast<LONG_PTR>(status)), Bits(Irp), 0);
  if (Irp->Type == IO_TYPE_IRP && Irp->CancelRoutine != nullptr)
    IoViolation(kCompletedWithCancel, reinterpret_cast<ULONG_PTR>(Irp->CancelRoutine), Bits(Irp), 0);
  Note(Irp, kCompleted);
  IofCompleteRequest(Irp, PriorityBoost);
}

// In IofCallDriver's place for every device, once a driver is verified with I/O checking or DDI compliance.
NTSTATUS IovCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp, PDRIVER_DISPATCH Routine) {
  if (DriverOf(reinterpret_cast<PVOID>(Routine)) == nullptr) return Routine(DeviceObject, Irp);
  const bool io_checking = IsOn(DRIVER_VERIFIER_IO_CHECKING);
  const KIRQL irql = KeGetCurrentIrql();
  const ULONG apcs = KeGetCurrentThread()->CombinedApcDisable;
  InFlight* entry = io_checking ? Enter(Irp) : nullptr;
  const NTSTATUS status = Routine(DeviceObject, Irp);
  const KIRQL after = KeGetCurrentIrql();
  const auto routine = reinterpret_cast<ULONG_PTR>(Routine);
  if (after != irql && io_checking) IoViolation(kDispatchIrql, Bits(DeviceObject), irql, after);
  if (after != irql) VerifierBugCheckIfAppropriate(kViolation, kIrqlReturn, routine, irql, after);
  const ULONG apcs_after = KeGetCurrentThread()->CombinedApcDisable;
  if (apcs_after != apcs && io_checking)
    VerifierBugCheckIfAppropriate(kViolation, kDispatchApcs, routine, apcs_after, apcs);
  if (entry == nullptr) return status;
  const Outcome outcome = Leave(entry);
  if (outcome.fate != 0) return status;
  if (status != STATUS_PENDING) IoViolation(kNeitherCompletedNorPassed, routine, Bits(Irp), 0);
  if (!outcome.marked_pending) IoViolation(kPendingUnmarked, routine, Bits(Irp), STATUS_PENDING);
  return status;
}

}  // extern "C"

void HookIoCalls() {
  pIofCallDriver = IovCallDriver;
}

namespace {

#define VF_THUNK(Name) {#Name, reinterpret_cast<PVOID>(&Verifier##Name), DRIVER_VERIFIER_IO_CHECKING}
const Thunk kThunks[] = {
    VF_THUNK(IoFreeIrp),
    VF_THUNK(IofCallDriver),
    VF_THUNK(IofCompleteRequest),
};

}  // namespace

const ThunkTable kIoThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
