// The I/O manager.
#pragma once

#include "boot/loader_block.h"
#include "nt/objects.h"

extern "C" {
// Phase 1, after cm (which needs IoInitSystem's file system only to load hives: see CmInitSystem2): types,
// directories, the boot drivers (hostfs.sys) out of the loader's files, \??\C:, \SystemRoot, the control
// requests.
NTSTATUS IoInitSystem(const boot::LoaderBlock* Block);
// Shutdown: notifies registered drivers (IRP_MJ_SHUTDOWN), then flushes the registry and the file systems.
VOID IoShutdownSystem();

extern POBJECT_TYPE IopDriverObjectType;

// Driver Verifier's way into a dispatch routine, in place of the plain call; 0: none.
typedef NTSTATUS (*PIO_CALL_DRIVER)(PDEVICE_OBJECT DeviceObject, PIRP Irp, PDRIVER_DISPATCH Routine);
extern PIO_CALL_DRIVER pIofCallDriver;

// Loads the driver of a service key (\Registry\Machine\System\CurrentControlSet\Services\NAME).
// PASSIVE_LEVEL.
NTSTATUS IopLoadDriverByServiceKey(PUNICODE_STRING ServiceKey);
}

namespace io {

// What a driver left behind when it was unloaded. Lines of text, UTF-8, '\n' after each.
struct Findings {
  char text[4096];
  ULONG length;
};
NTSTATUS UnloadDriver(PUNICODE_STRING service_key, Findings* findings);

// Load detail for the service's report: missing imports, warnings.
struct LoadDetail {
  char text[8192];
  ULONG length;
};
NTSTATUS LoadDriver(PUNICODE_STRING service_key, LoadDetail* detail);
// Loads an image without calling its entry.
NTSTATUS LoadImageFile(PUNICODE_STRING path, PKLDR_DATA_TABLE_ENTRY* image);

PDRIVER_OBJECT ReferenceDriverOfServiceOrNull(PCUNICODE_STRING service_name);

}  // namespace io
