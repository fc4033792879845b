/* A wait for four events without wait blocks of its own: the thread has room for three. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KEVENT Events[THREAD_WAIT_OBJECTS + 1];
    PVOID Objects[THREAD_WAIT_OBJECTS + 1];

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Events); ++Index) {
        KeInitializeEvent(&Events[Index], NotificationEvent, TRUE);
        Objects[Index] = &Events[Index];
    }
    return KeWaitForMultipleObjects(RTL_NUMBER_OF(Objects), Objects, WaitAll, Executive, KernelMode, FALSE, NULL, NULL);
}
