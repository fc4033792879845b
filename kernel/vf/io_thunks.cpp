// I/O verification: what a verified driver does with IRPs (bug check 0xC9), and how its dispatch and
// completion routines come back.
#include "call_checks.h"
#include "io/io.h"
#include "io/verifier_hooks.h"
#include "io_checks.h"
#include "irp_flights.h"

namespace vf {
namespace {

constexpr ULONG kDispatchIrql = 0x05, kStatusDiffers = 0x224, kStatusIllegal = 0x225,
                kNeitherCompletedNorPassed = 0x226, kPendingLost = 0x228, kPendingUnmarked = 0x23D,
                kMarkedNotReturned = 0x23E, kSuspicious = 0x300;
constexpr ULONG kInterruptsOff = 0xC1, kDispatchApcs = 0xC5, kCompletionIrql = 0xFA, kCompletionApcs = 0xFB,
                kIrqlReturn = 0x2001D;
constexpr ULONG64 kInterruptFlag = 0x200;
constexpr NTSTATUS kReservedBit = 0x10000000;  // no status has it

// What a routine has to leave as it found it.
struct Surroundings {
  KIRQL irql;
  SHORT normal, special;
  ULONG apcs;
};
Surroundings LookAround() {
  const PKTHREAD thread = KeGetCurrentThread();
  return {KeGetCurrentIrql(), thread->KernelApcDisable, thread->SpecialApcDisable,
          thread->CombinedApcDisable};
}

// The locks that code of this driver took and holds, at DISPATCH_LEVEL or above.
void CheckHeldLocks(PVOID routine) {
  const PVF_SUSPECT_DRIVER_ENTRY driver = DriverOf(routine);
  HeldLock held;
  if (driver == nullptr || !FindHeldLock(driver->StartAddress, driver->EndAddress, &held)) return;
  RuleViolation(held.queued ? kRuleQueuedSpinLock : kRuleSpinLock, Bits(held.lock));
}

void CheckSurroundings(PDEVICE_OBJECT device, PVOID routine, const Surroundings& before) {
  const bool io = IsOn(DRIVER_VERIFIER_IO_CHECKING), ddi = IsOn(DRIVER_VERIFIER_DDI_COMPLIANCE);
  if ((__readeflags() & kInterruptFlag) == 0)
    VerifierBugCheckIfAppropriate(kViolation, kInterruptsOff, Bits(routine), 0, 0);
  const Surroundings after = LookAround();
  if (ddi && before.irql < DISPATCH_LEVEL && after.irql >= DISPATCH_LEVEL) CheckHeldLocks(routine);
  if (after.irql != before.irql && io) IoViolation(kDispatchIrql, Bits(device), before.irql, after.irql);
  if (after.irql != before.irql && ddi)
    VerifierBugCheckIfAppropriate(kViolation, kIrqlReturn, Bits(routine), before.irql, after.irql);
  if (IsOn(kDdiAdditional) && after.normal != before.normal)
    RuleViolation(kRuleCriticalRegions, static_cast<USHORT>(after.normal));
  if (ddi && after.special != before.special)
    RuleViolation(kRuleGuardedRegions, static_cast<USHORT>(after.special));
  if (io && after.apcs != before.apcs)
    VerifierBugCheckIfAppropriate(kViolation, kDispatchApcs, Bits(routine), after.apcs, before.apcs);
}

void CheckReturn(ULONG_PTR routine, PIRP irp, NTSTATUS status, const Flight& flight) {
  const ULONG_PTR shown = static_cast<ULONG>(status);
  if (status == -1) IoViolation(kStatusIllegal, routine, Bits(irp), 0);
  if ((status & kReservedBit) != 0) IoViolation(kSuspicious, routine, Bits(irp), shown);
  if (flight.fate == 0) {
    if (status != STATUS_PENDING) IoViolation(kNeitherCompletedNorPassed, routine, Bits(irp), 0);
    if (!flight.marked_pending) IoViolation(kPendingUnmarked, routine, Bits(irp), shown);
    return;
  }
  // Somebody forgot to return what the driver below returned.
  if (flight.lower_pending && status != STATUS_PENDING)
    IoViolation(kNeitherCompletedNorPassed, routine, Bits(irp), 0);
  if (flight.marked_pending && status != STATUS_PENDING)
    IoViolation(kMarkedNotReturned, routine, Bits(irp), shown);
  if (flight.fate == kCompleted && !flight.marked_pending && status != flight.completed_status)
    IoViolation(kStatusDiffers, routine, Bits(irp), static_cast<ULONG>(flight.completed_status));
}

}  // namespace

extern "C" {

PVOID _AddressOfReturnAddress();

// In IofCallDriver's place for every device, once a driver is verified with I/O checking or DDI compliance.
NTSTATUS IovCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp, PDRIVER_DISPATCH Routine) {
  const bool io_checking = IsOn(DRIVER_VERIFIER_IO_CHECKING);
  if (io_checking) NoteFate(Irp, kForwarded);
  const auto routine = reinterpret_cast<PVOID>(Routine);
  if (DriverOf(routine) == nullptr) return Routine(DeviceObject, Irp);
  LogIrp(kIrpDispatched, DeviceObject, Irp);
  NoteBuffer(DeviceObject, Irp);
  RemovalWatch removal = {};
  Flight* entry = nullptr;
  if (io_checking) {
    CheckStartingDevice(DeviceObject, Irp, routine);
    removal = BeginRemoval(DeviceObject, Irp);
    entry = EnterFlight(Irp, DeviceObject);
  }
  const Surroundings before = LookAround();
  const NTSTATUS status = Routine(DeviceObject, Irp);
  CheckSurroundings(DeviceObject, routine, before);
  if (entry != nullptr) CheckReturn(Bits(routine), Irp, status, LeaveFlight(entry));
  EndRemoval(removal, DeviceObject, Irp, status, routine);
  return status;
}

static NTSTATUS IovCallCompletion(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context,
                                  PIO_COMPLETION_ROUTINE Routine) {
  const auto routine = reinterpret_cast<PVOID>(Routine);
  if (!IsOn(DRIVER_VERIFIER_IO_CHECKING) || DriverOf(routine) == nullptr)
    return Routine(DeviceObject, Irp, Context);
  const bool pending = Irp->PendingReturned && DeviceObject != nullptr;
  const Surroundings before = LookAround();
  const NTSTATUS status = Routine(DeviceObject, Irp, Context);
  const Surroundings after = LookAround();
  if (after.irql != before.irql)
    VerifierBugCheckIfAppropriate(kViolation, kCompletionIrql, Bits(routine), before.irql, after.irql);
  if (after.apcs != before.apcs)
    VerifierBugCheckIfAppropriate(kViolation, kCompletionApcs, Bits(routine), after.apcs, before.apcs);
  // Whoever goes on with the completion has to pass the mark on.
  if (pending && status != STATUS_MORE_PROCESSING_REQUIRED &&
      (IoGetCurrentIrpStackLocation(Irp)->Control & SL_PENDING_RETURNED) == 0)
    IoViolation(kPendingLost, Bits(routine), Bits(Irp), 0);
  return status;
}

static void IovCompleting(PIRP Irp) {
  if (IsOn(DRIVER_VERIFIER_IO_CHECKING)) NoteFate(Irp, kCompleted);
  CheckBuffer(Irp);
}

}  // extern "C"

void HookIoCalls() {
  static constexpr IOP_VERIFIER kHooks = {IovCompleting, IovCallCompletion};
  pIofCallDriver = IovCallDriver;
  IopVerifier = &kHooks;
}

extern "C" {

NTSTATUS FASTCALL VerifierIofCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
  PVOID caller = __builtin_return_address(0);
  CheckForwarded(DeviceObject, Irp, caller);
  const SentRequest sent = LookAtSent(Irp);
  const NTSTATUS status = ForcePending(DeviceObject, Irp);
  if (status == STATUS_PENDING && IsOn(DRIVER_VERIFIER_IO_CHECKING)) NotePendingBelow(Irp);
  CheckSent(sent, Irp, status, caller);
  return status;
}

VOID FASTCALL VerifierIofCompleteRequest(PIRP Irp, CCHAR PriorityBoost) {
  CheckCompleted(Irp, __builtin_return_address(0), _AddressOfReturnAddress());
  LogIrp(kIrpCompleted, nullptr, Irp);
  IofCompleteRequest(Irp, PriorityBoost);
}

}  // extern "C"

namespace {

constexpr ULONG kIrpOptions = DRIVER_VERIFIER_IO_CHECKING | kSecurity | kForcePending | kIrpLogging;
const Thunk kThunks[] = {
    {"IofCallDriver", reinterpret_cast<PVOID>(&VerifierIofCallDriver), kIrpOptions},
    {"IoCallDriver", reinterpret_cast<PVOID>(&VerifierIofCallDriver), kIrpOptions},
    {"PoCallDriver", reinterpret_cast<PVOID>(&VerifierIofCallDriver), kIrpOptions},
    {"IofCompleteRequest", reinterpret_cast<PVOID>(&VerifierIofCompleteRequest), kIrpOptions},
    {"IoCompleteRequest", reinterpret_cast<PVOID>(&VerifierIofCompleteRequest), kIrpOptions},
};

}  // namespace

const ThunkTable kIoThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
