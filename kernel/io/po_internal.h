// Private to power: requests to stacks, the system's transitions.
#pragma once

#include "pnp_internal.h"

namespace po {

// What a power request asks for.
struct Request {
  UCHAR minor;
  POWER_STATE_TYPE type;
  POWER_STATE state;
  POWER_ACTION action;
};
// Sends a request for the whole system to a device's stack and waits. PASSIVE_LEVEL.
NTSTATUS SendAndWait(PDEVICE_OBJECT device, const Request& request);

// A device woke the machine (its IRP_MN_WAIT_WAKE succeeded). IRQL <= DISPATCH_LEVEL.
void NoteWake();

// The system to sleep (S1 to S4) and back to work; PASSIVE_LEVEL. STATUS_INVALID_DEVICE_STATE if it is there.
NTSTATUS Sleep(SYSTEM_POWER_STATE state);
NTSTATUS Wake();
// The last word to all devices: S5.
void ShutDownDevices();
SYSTEM_POWER_STATE SystemState();

void InitializeSettings();
// A power setting has a new value: those who registered hear of it. PASSIVE_LEVEL.
NTSTATUS ChangeSetting(const GUID& setting, ULONG value);

}  // namespace po
