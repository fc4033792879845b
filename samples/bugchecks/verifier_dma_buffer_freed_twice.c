/* Verified with DMA checking: a common buffer is freed twice. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Pdo = NULL;
    DEVICE_DESCRIPTION Description;
    PDMA_ADAPTER Adapter;
    ULONG Registers;
    NTSTATUS Status;
    PVOID Buffer;
    PHYSICAL_ADDRESS Logical;

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
    Buffer = Adapter->DmaOperations->AllocateCommonBuffer(Adapter, 64, &Logical, TRUE);
    if (Buffer == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Adapter->DmaOperations->FreeCommonBuffer(Adapter, 64, Logical, Buffer, TRUE);
    Adapter->DmaOperations->FreeCommonBuffer(Adapter, 64, Logical, Buffer, TRUE);
    return STATUS_UNSUCCESSFUL;
}
