/* Verified with I/O checking: IoBuildSynchronousFsdRequest for direct I/O with a buffer that does not exist. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;
    LARGE_INTEGER Offset;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Device->Flags |= DO_DIRECT_IO;
    Offset.QuadPart = 0;
    IoBuildAsynchronousFsdRequest(IRP_MJ_READ, Device, (PVOID)0x10000, 512, &Offset, NULL);
    return STATUS_UNSUCCESSFUL;
}
