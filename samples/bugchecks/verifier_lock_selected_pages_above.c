/* Verified: MmProbeAndLockSelectedPages above DISPATCH_LEVEL. */
#include <ntifs.h>

NTKERNELAPI VOID NTAPI MmProbeAndLockSelectedPages(PMDL Mdl, PFILE_SEGMENT_ELEMENT Segments, KPROCESSOR_MODE Mode,
                                                   LOCK_OPERATION Operation);

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, 'ldmB');
    PMDL Mdl = Block == NULL ? NULL : IoAllocateMdl(Block, PAGE_SIZE, FALSE, FALSE, NULL);
    KIRQL OldIrql;
    FILE_SEGMENT_ELEMENT Segment;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Segment.Buffer = Block;
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    MmProbeAndLockSelectedPages(Mdl, &Segment, KernelMode, IoReadAccess);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
