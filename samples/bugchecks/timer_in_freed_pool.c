/* A device's memory is freed while its timer still runs. Driver Verifier looks for that at every free. */
#include <ntddk.h>

#define TAG 'remT'

typedef struct {
    ULONG State;
    KTIMER Timer;
} DEVICE;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    DEVICE *Device = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Device), TAG);
    LARGE_INTEGER DueTime;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Device == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    DueTime.QuadPart = -600000000;
    KeInitializeTimer(&Device->Timer);
    KeSetTimer(&Device->Timer, DueTime, NULL);
    ExFreePoolWithTag(Device, TAG);
    return STATUS_UNSUCCESSFUL;
}
