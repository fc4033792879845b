/* A device's state lies in paged pool, its event too: it is initialized at DISPATCH_LEVEL, before its page ever was in memory. */
#include <ntddk.h>

#define TAG 'tatS'

typedef struct {
    UCHAR Names[PAGE_SIZE];
    KEVENT Done;
    UCHAR Buffer[PAGE_SIZE];
} STATE;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    STATE *State = ExAllocatePoolWithTag(PagedPool, sizeof(STATE), TAG);
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (State == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    State->Names[0] = 1;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    KeInitializeEvent(&State->Done, NotificationEvent, FALSE);
    KeLowerIrql(OldIrql);
    ExFreePoolWithTag(State, TAG);
    return STATUS_UNSUCCESSFUL;
}
