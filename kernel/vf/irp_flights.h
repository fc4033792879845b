// IRPs inside dispatch routines of verified drivers: what came in, and what became of it.
#pragma once

#include "nt/ntos.h"

namespace vf {

enum : UCHAR { kCompleted = 1, kForwarded = 2 };

struct Flight {
  PIRP irp;  // 0: a free entry
  PDEVICE_OBJECT device;
  PKTHREAD thread;
  CHAR location;  // IRP.CurrentLocation when the routine was called
  UCHAR major, minor;
  UCHAR fate;
  bool marked_pending;  // when it was completed or passed on
  bool lower_pending;   // IoCallDriver returned STATUS_PENDING
  NTSTATUS status;      // on the way in
  ULONG_PTR information;
  NTSTATUS completed_status;
  ULONG order;  // of the calls: one that skips its location has the same as the call below it
};

// All of them: IRQL <= DISPATCH_LEVEL. 0: no room, nothing is known of this call then.
Flight* EnterFlight(PIRP irp, PDEVICE_OBJECT device);
Flight LeaveFlight(Flight* flight);
// The innermost call of this thread that has the IRP, as a copy; false: none.
bool FindFlight(PIRP irp, Flight* found);
// Some dispatch routine of a verified driver has it.
bool IsInFlight(PIRP irp);
// Each call that has it learns what happens to it.
void NoteFate(PIRP irp, UCHAR fate);
// The innermost call of this thread that had the IRP; the IRP itself may be gone.
void NotePendingBelow(PIRP irp);
// The IRP is with a driver below the one whose dispatch routine runs here.
bool IsBeneath(PIRP irp);

}  // namespace vf
