/* Verified with DMA checking: an adapter is released before its map registers. */
#include <ntddk.h>

static IO_ALLOCATION_ACTION Control(PDEVICE_OBJECT Device, PIRP Irp, PVOID Base, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Base);
    UNREFERENCED_PARAMETER(Context);
    return DeallocateObjectKeepRegisters;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Pdo = NULL;
    DEVICE_DESCRIPTION Description;
    PDMA_ADAPTER Adapter;
    ULONG Registers;
    NTSTATUS Status;
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
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Adapter->DmaOperations->AllocateAdapterChannel(Adapter, Pdo, 1, Control, NULL);
    KeLowerIrql(OldIrql);
    Adapter->DmaOperations->PutDmaAdapter(Adapter);
    return STATUS_UNSUCCESSFUL;
}
