// Volumes as the mount manager knows them: there is none here. Each routine says so once and fails as the
// documentation lets it fail.
#include "io_internal.h"
#include "nt/export.h"

namespace {

void SayOnce(volatile LONG* said, const char* name) {
  if (InterlockedExchange(said, 1) == 0)
    DbgPrint("io: %s was called: this machine has no mount manager\n", name);
}

}  // namespace

/// The GUID that the mount manager gave a volume: fails, as there is none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: there is no mount manager; STATUS_NOT_SUPPORTED.
/// Source: WDK ntddk/IoVolumeDeviceToGuid.
NT_EXPORT(IoVolumeDeviceToGuid, nt::AtMost(APC_LEVEL), Stub, "");
extern "C" NTSTATUS NTAPI IoVolumeDeviceToGuid(PVOID VolumeDeviceObject, GUID* Guid) {
  static volatile LONG said;
  SayOnce(&said, "IoVolumeDeviceToGuid");
  return STATUS_NOT_SUPPORTED;
}

/// The volume's name with that GUID: fails, as there is none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: there is no mount manager; STATUS_NOT_SUPPORTED.
/// Source: WDK ntddk/IoVolumeDeviceToGuidPath.
NT_EXPORT(IoVolumeDeviceToGuidPath, nt::AtMost(APC_LEVEL), Stub, "");
extern "C" NTSTATUS NTAPI IoVolumeDeviceToGuidPath(PVOID VolumeDeviceObject, PUNICODE_STRING GuidPath) {
  static volatile LONG said;
  SayOnce(&said, "IoVolumeDeviceToGuidPath");
  *GuidPath = {};
  return STATUS_NOT_SUPPORTED;
}
