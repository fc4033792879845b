#include "irp_flights.h"

#include "ke/spin_guard.h"
#include "verifier.h"

namespace vf {
namespace {

constexpr ULONG kFlights = 256;
Flight g_flights[kFlights];
KSPIN_LOCK g_lock;
ULONG g_order;

bool IsMarkedPending(PIRP irp) {
  if (irp->CurrentLocation > irp->StackCount) return false;
  return (IoGetCurrentIrpStackLocation(irp)->Control & SL_PENDING_RETURNED) != 0;
}

// Under the lock: the innermost was entered last.
const Flight* FindLocked(PIRP irp) {
  const Flight* found = nullptr;
  for (const Flight& flight : g_flights) {
    if (flight.irp != irp || flight.thread != KeGetCurrentThread()) continue;
    if (found == nullptr || static_cast<LONG>(flight.order - found->order) > 0) found = &flight;
  }
  return found;
}

}  // namespace

Flight* EnterFlight(PIRP irp, PDEVICE_OBJECT device) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  ke::SpinGuard guard(&g_lock);
  for (Flight& flight : g_flights) {
    if (flight.irp != nullptr) continue;
    flight = {irp,
              device,
              KeGetCurrentThread(),
              irp->CurrentLocation,
              stack->MajorFunction,
              stack->MinorFunction,
              0,
              false,
              false,
              irp->IoStatus.Status,
              irp->IoStatus.Information,
              STATUS_SUCCESS,
              ++g_order};
    return &flight;
  }
  return nullptr;
}

// While the lock is held nobody gets past NoteFate to complete the IRP: it can be looked at.
Flight LeaveFlight(Flight* flight) {
  ke::SpinGuard guard(&g_lock);
  if (flight->fate == 0) flight->marked_pending = IsMarkedPending(flight->irp);
  const Flight outcome = *flight;
  flight->irp = nullptr;
  return outcome;
}

bool FindFlight(PIRP irp, Flight* found) {
  ke::SpinGuard guard(&g_lock);
  const Flight* flight = FindLocked(irp);
  if (flight != nullptr) *found = *flight;
  return flight != nullptr;
}

bool IsInFlight(PIRP irp) {
  ke::SpinGuard guard(&g_lock);
  for (const Flight& flight : g_flights) {
    if (flight.irp == irp) return true;
  }
  return false;
}

void NoteFate(PIRP irp, UCHAR fate) {
  ke::SpinGuard guard(&g_lock);
  for (Flight& flight : g_flights) {
    if (flight.irp != irp) continue;
    // Its own location is still the current one where nobody has taken it further.
    const CHAR own = static_cast<CHAR>(fate == kForwarded ? irp->CurrentLocation + 1 : irp->CurrentLocation);
    if (flight.fate == 0 && flight.location == own && fate == kCompleted)
      flight.marked_pending = IsMarkedPending(irp);
    flight.fate |= fate;
    // Whoever waited for the driver below and completes the request himself need not return its status.
    if (fate == kCompleted && flight.location == irp->CurrentLocation &&
        flight.thread == KeGetCurrentThread())
      flight.lower_pending = false;
    if (fate == kCompleted) flight.completed_status = irp->IoStatus.Status;
  }
}

void NotePendingBelow(PIRP irp) {
  ke::SpinGuard guard(&g_lock);
  if (auto* flight = const_cast<Flight*>(FindLocked(irp))) flight->lower_pending = true;
}

bool IsBeneath(PIRP irp) {
  Flight flight;
  return FindFlight(irp, &flight) && irp->CurrentLocation < flight.location;
}

}  // namespace vf
