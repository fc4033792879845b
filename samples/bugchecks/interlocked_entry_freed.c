/* A list under a spin lock: an entry is put to another use while it still stands in the list, and the next removal
 * finds that its neighbours do not know each other. */
#include <ntddk.h>

typedef struct _REQUEST {
    LIST_ENTRY Link;
    ULONG Number;
} REQUEST;

static LIST_ENTRY Queue;
static KSPIN_LOCK QueueLock;
static REQUEST Requests[3];

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    InitializeListHead(&Queue);
    KeInitializeSpinLock(&QueueLock);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Requests); ++Index) {
        Requests[Index].Number = Index;
        ExInterlockedInsertTailList(&Queue, &Requests[Index].Link, &QueueLock);
    }
    RtlZeroMemory(&Requests[1], sizeof(REQUEST));
    Requests[1].Link.Flink = Requests[1].Link.Blink = &Requests[1].Link;
    while (ExInterlockedRemoveHeadList(&Queue, &QueueLock) != NULL)
        continue;
    return STATUS_UNSUCCESSFUL;
}
