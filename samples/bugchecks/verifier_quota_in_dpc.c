/* Verified: pool with quota is asked for in a DPC, whoever it is charged to. */
#include <ntddk.h>

static KDPC Dpc;

static VOID NTAPI OnDpc(PKDPC Own, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PVOID Block = ExAllocatePoolWithQuotaTag(NonPagedPoolNx | POOL_QUOTA_FAIL_INSTEAD_OF_RAISE, 64, 'atuQ');

    UNREFERENCED_PARAMETER(Own);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    if (Block != NULL)
        ExFreePoolWithTag(Block, 'atuQ');
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, OnDpc, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    return STATUS_SUCCESS;
}
