/* In C++: uses of the overlay that a driver makes: compiles with no warning, or the build fails. */
#define POOL_NX_OPTIN 1
#include <ntifs.h>
#include <ntstrsafe.h>

extern "C" DRIVER_INITIALIZE DriverEntry;
_IRQL_requires_max_(APC_LEVEL) static NTSTATUS Guarded(PEX_PUSH_LOCK lock, PEX_SPIN_LOCK spin, PVOID user) {
  NTSTATUS status = STATUS_SUCCESS;
  KIRQL irql;
  ExAcquirePushLockExclusive(lock);
  irql = ExAcquireSpinLockExclusive(spin);
  ExReleaseSpinLockExclusive(spin, irql);
  __try {
    ProbeForRead(user, 16, 1);
    if (*(volatile char*)user == 0) __leave;
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    status = GetExceptionCode();
  }
  ExReleasePushLockExclusive(lock);
  return status;
}

NTSTATUS DriverEntry(_In_ PDRIVER_OBJECT DriverObject, _In_ PUNICODE_STRING RegistryPath) {
  WCHAR text[64];
  UNICODE_STRING name = {0, sizeof(text), text};
  EX_PUSH_LOCK push = 0;
  EX_SPIN_LOCK spin = 0;
  PVOID file;
  PVOID block;
  LARGE_INTEGER now;
  ExInitializeDriverRuntime(DrvRtPoolNxOptIn);
  block = ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED, 64, 'tseT');
  if (block != NULL) ExFreePoolWithTag(block, 'tseT');
  block = ExAllocatePoolZero(NonPagedPool, 64, 'tseT');
  if (block != NULL) ExFreePoolWithTag(block, 'tseT');
  KeQuerySystemTimePrecise(&now);
  RtlUnicodeStringPrintf(&name, L"%wZ %d", RegistryPath, 5);
  if (NT_SUCCESS(ObReferenceObjectByHandle(NULL, 0, *IoFileObjectType, KernelMode, &file, NULL)))
    ObDereferenceObject(file);
  if (DriverObject->DeviceObject != NULL) IoDeleteDevice(DriverObject->DeviceObject);
  return Guarded(&push, &spin, text);
}
