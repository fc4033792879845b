// Small services for file systems, and what there is none of here.
#include "fsrtl_internal.h"

namespace {

constexpr ULONG kBalancedReads = CTL_CODE('f', 6, METHOD_NEITHER, FILE_ANY_ACCESS);  // FT_BALANCED_READ_MODE

}  // namespace

/// Registers a redirector with the multiple UNC provider.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there is no network and no multiple UNC provider: opening \Device\Mup fails as on a
/// Windows without one, and the status of that is returned.
/// Source: WDK ntifs/FsRtlRegisterUncProvider.
NT_EXPORT(FsRtlRegisterUncProvider, nt::AtMost(PASSIVE_LEVEL), Partial, "FsRtlMisc.*");
extern "C" NTSTATUS NTAPI FsRtlRegisterUncProvider(PHANDLE MupHandle, PUNICODE_STRING, BOOLEAN) {
  *MupHandle = nullptr;
  UNICODE_STRING name = ob::String(L"\\Device\\Mup");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  HANDLE mup;
  const NTSTATUS status =
      ZwOpenFile(&mup, GENERIC_WRITE, &attributes, &iosb, FILE_SHARE_READ | FILE_SHARE_WRITE, 0);
  if (!NT_SUCCESS(status)) return status;
  ZwClose(mup);
  return STATUS_INVALID_DEVICE_REQUEST;  // somebody's own \Device\Mup
}

/// Takes a redirector back: closes the provider's handle.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlDeregisterUncProvider.
NT_EXPORT(FsRtlDeregisterUncProvider, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlMisc.*");
extern "C" VOID NTAPI FsRtlDeregisterUncProvider(HANDLE Handle) {
  if (Handle != nullptr) ZwClose(Handle);
}

/// Whether the programs that check volumes at the start of the system have ended. There are none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAreVolumeStartupApplicationsComplete.
NT_EXPORT(FsRtlAreVolumeStartupApplicationsComplete, nt::AtMost(APC_LEVEL), Full, "FsRtlMisc.*");
extern "C" BOOLEAN NTAPI FsRtlAreVolumeStartupApplicationsComplete() {
  return TRUE;
}

/// Asks a mirrored volume to spread reads over its copies; the device's answer.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlBalanceReads.
NT_EXPORT(FsRtlBalanceReads, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlMisc.*");
extern "C" NTSTATUS NTAPI FsRtlBalanceReads(PDEVICE_OBJECT TargetDevice) {
  ULONG_PTR written;
  return fsrtl::SendControl(TargetDevice, kBalancedReads, nullptr, 0, nullptr, 0, &written);
}
