// The pieces of I/O verification that the way of an IRP passes (io_thunks.cpp). Each looks at its own option.
#pragma once

#include "verifier.h"

namespace vf {

[[noreturn]] FORCEINLINE void IoViolation(ULONG kind, ULONG_PTR p2, ULONG_PTR p3, ULONG_PTR p4) {
  VerifierBugCheckIfAppropriate(kIoViolation, kind, p2, p3, p4);
}

// ---- irp_checks.cpp: an IRP that a verified driver passes on or sends, and one that it completes ----
void CheckForwarded(PDEVICE_OBJECT device, PIRP irp, PVOID caller);
// Frame: the stack of whoever completes it begins there.
void CheckCompleted(PIRP irp, PVOID caller, PVOID frame);
// A request that the driver made itself, before and after it was sent.
struct SentRequest {
  bool watched;          // it waits by an event
  bool event_signalled;  // before
};
SentRequest LookAtSent(PIRP irp);
void CheckSent(const SentRequest& sent, PIRP irp, NTSTATUS status, PVOID caller);

// ---- device_checks.cpp ----
// The first request of a device that was just added: what AddDevice left undone.
void CheckStartingDevice(PDEVICE_OBJECT device, PIRP irp, PVOID routine);
// Around the dispatch of a removal; the device object stays until EndRemoval.
struct RemovalWatch {
  PDEVICE_OBJECT device;  // 0: no removal
  UCHAR minor;
  bool deleted;  // before
};
RemovalWatch BeginRemoval(PDEVICE_OBJECT device, PIRP irp);
void EndRemoval(const RemovalWatch& watch, PDEVICE_OBJECT device, PIRP irp, NTSTATUS status, PVOID routine);

// ---- pending.cpp: forced pending, the log of IRPs, invariant MDLs ----
NTSTATUS ForcePending(PDEVICE_OBJECT device, PIRP irp);  // passes it on, one way or the other
enum IrpEvent : UCHAR { kIrpDispatched = 1, kIrpCompleted = 2 };
void LogIrp(IrpEvent event, PDEVICE_OBJECT device, PIRP irp);
void NoteBuffer(PDEVICE_OBJECT device, PIRP irp);
void CheckBuffer(PIRP irp);

}  // namespace vf
