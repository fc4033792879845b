// Private to the loading and unloading of drivers.
#pragma once

#include "io_internal.h"
#include "boot/control.h"
#include "mm/image.h"

namespace io {

// What a service key says.
struct ServiceDescription {
  UNICODE_STRING key;         // full path, pool (kNameTag)
  UNICODE_STRING name;        // last component, inside `key`
  UNICODE_STRING image_path;  // NT path, pool (kNameTag)
  ULONG type;                 // 1 kernel, 2 file system
};
NTSTATUS ReadServiceKey(PCUNICODE_STRING key, ServiceDescription* service);
void FreeServiceDescription(ServiceDescription* service);

// The driver object of a service by its name, referenced.
NTSTATUS ReferenceDriver(PCUNICODE_STRING name, PDRIVER_OBJECT* driver);

// Makes the driver object of a loaded image and calls its DriverEntry. On failure everything is undone, the
// image included, unless devices of the driver keep it.
NTSTATUS StartImage(const ServiceDescription& service, PKLDR_DATA_TABLE_ENTRY image, LoadDetail* detail);

// A driver object of that name (pool, kNameTag; it owns it on success), known in the name space, with
// dispatch routines that refuse every request. `key` may be 0.
NTSTATUS NewDriverObject(const UNICODE_STRING& name, const UNICODE_STRING& service_name, PCUNICODE_STRING key,
                         PDRIVER_OBJECT* driver);
// Calls what IoRegisterDriverReinitialization registered, including what the routines register themselves.
void CallReinitializeRoutines(PDRIVER_OBJECT driver);

// The same of IoRegisterBootDriverReinitialization, once.
void CallBootReinitializeRoutines();

// Runs `routine(context)` on a system worker (nt!IopLoadUnloadDriver) and waits.
NTSTATUS RunOnWorker(NTSTATUS (*routine)(PVOID context), PVOID context);

void SendDriverEvent(boot::Event event, PKLDR_DATA_TABLE_ENTRY image);

}  // namespace io
