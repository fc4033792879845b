/* A driver charges a process for the pool it takes on its behalf, and gives more back than it had charged. */
#include <ntifs.h>

#define BYTES 0x1000

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PEPROCESS Process = PsGetCurrentProcess();

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    PsChargePoolQuota(Process, PagedPool, BYTES);
    PsReturnPoolQuota(Process, PagedPool, BYTES);
    for (ULONG Times = 0; Times < 0x10000; ++Times) /* others are charged as well: until it shows */
        PsReturnPoolQuota(Process, PagedPool, BYTES);
    return STATUS_UNSUCCESSFUL;
}
