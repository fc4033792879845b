/* A DPC per processor, for one processor too many. */
#include <ntddk.h>

static KDPC Dpcs[64];

static VOID Nothing(PKDPC Object, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG Count = KeQueryActiveProcessorCount(NULL);
    ULONG i;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (i = 0; i <= Count; i++) {
        KeInitializeDpc(&Dpcs[i], Nothing, NULL);
        KeSetTargetProcessorDpc(&Dpcs[i], (CCHAR)i);
        KeInsertQueueDpc(&Dpcs[i], NULL, NULL);
    }
    return STATUS_UNSUCCESSFUL;
}
