/* Verified with DMA checking: an adapter channel is freed that was never allocated. */
#include <ntddk.h>

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
    Adapter->DmaOperations->FreeAdapterChannel(Adapter);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
