/* Verified with DDI compliance: ZwCreateFile with a spin lock held is told at the call, not deep inside the file system. */
#include <ntddk.h>

static KSPIN_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Status;
    UNICODE_STRING Path;
    HANDLE File;
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    RtlInitUnicodeString(&Path, L"\\DosDevices\\C:\\Temp\\report.txt");
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    KeAcquireSpinLock(&Lock, &OldIrql);
    ZwCreateFile(&File, GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Status, NULL, FILE_ATTRIBUTE_NORMAL, 0, FILE_OVERWRITE_IF,
                 FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
