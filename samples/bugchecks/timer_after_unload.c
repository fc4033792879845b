/* The unload routine forgets a timer whose DPC routine is in the driver: it expires when the code is gone. */
#include <ntddk.h>

#define TAG 'remT'

typedef struct _TIMER_CONTEXT {
    KTIMER Timer;
    KDPC Dpc;
} TIMER_CONTEXT, *PTIMER_CONTEXT;

static void TimerDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
}

static void Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver); /* KeCancelTimer and ExFreePoolWithTag belong here */
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PTIMER_CONTEXT Context = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Context), TAG);
    LARGE_INTEGER Due;

    UNREFERENCED_PARAMETER(RegistryPath);
    if (Context == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Driver->DriverUnload = Unload;
    KeInitializeTimer(&Context->Timer);
    KeInitializeDpc(&Context->Dpc, TimerDpc, Context);
    Due.QuadPart = -10 * 1000 * 10LL;
    KeSetTimerEx(&Context->Timer, Due, 10, &Context->Dpc);
    return STATUS_SUCCESS;
}
