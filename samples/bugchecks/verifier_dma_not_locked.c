/* Verified with DMA checking: a scatter/gather list for a buffer that was not locked. */
#include <ntddk.h>

static UCHAR Buffer[3 * PAGE_SIZE];

static VOID Execute(PDEVICE_OBJECT Device, PIRP Irp, PSCATTER_GATHER_LIST List, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(List);
    UNREFERENCED_PARAMETER(Context);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Pdo = NULL;
    DEVICE_DESCRIPTION Description;
    PDMA_ADAPTER Adapter;
    ULONG Registers;
    NTSTATUS Status;
    PMDL Mdl;
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoReportDetectedDevice(Driver, InterfaceTypeUndefined, (ULONG)-1, (ULONG)-1, NULL, NULL, FALSE, &Pdo);
    if (!NT_SUCCESS(Status))
        return Status;
    RtlZeroMemory(&Description, sizeof(Description));
    Description.Version = DEVICE_DESCRIPTION_VERSION;
    Description.Master = TRUE;
    Description.ScatterGather = TRUE;
    Description.Dma32BitAddresses = TRUE;
    Description.InterfaceType = PCIBus;
    Description.MaximumLength = PAGE_SIZE;
    Adapter = IoGetDmaAdapter(Pdo, &Description, &Registers);
    if (Adapter == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Mdl = IoAllocateMdl(Buffer, 512, FALSE, FALSE, NULL);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Adapter->DmaOperations->GetScatterGatherList(Adapter, Pdo, Mdl, Buffer, 512, Execute, NULL, FALSE);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
