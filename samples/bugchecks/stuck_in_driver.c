/*
 * A driver with a watchdog, as display drivers have one: a call into the device should be over in 100 ms, and the timer
 * that watches it finds its thread still inside. The driver stops the machine as its port driver would.
 */
#include <ntddk.h>


typedef struct _WATCHDOG {
    KTIMER Timer;
    KDPC Dpc;
    PKTHREAD Thread; /* inside the device; NULL: none */
} WATCHDOG, *PWATCHDOG;

static WATCHDOG Watchdog;
static UNICODE_STRING DriverName = RTL_CONSTANT_STRING(L"stuck_in_driver.sys");
static volatile ULONG DeviceReady; /* a register that never changes */

static void Bark(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PWATCHDOG Dog = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    if (Dog->Thread != NULL)
        KeBugCheckEx(THREAD_STUCK_IN_DEVICE_DRIVER, (ULONG_PTR)Dog->Thread, (ULONG_PTR)Dog, (ULONG_PTR)&DriverName, 1);
}

static void WaitForDevice(void)
{
    while (!DeviceReady)
        YieldProcessor();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    LARGE_INTEGER Limit;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeTimer(&Watchdog.Timer);
    KeInitializeDpc(&Watchdog.Dpc, Bark, &Watchdog);
    Limit.QuadPart = -100 * 1000 * 10LL;
    Watchdog.Thread = KeGetCurrentThread();
    KeSetTimer(&Watchdog.Timer, Limit, &Watchdog.Dpc);
    WaitForDevice();
    Watchdog.Thread = NULL;
    KeCancelTimer(&Watchdog.Timer);
    return STATUS_UNSUCCESSFUL;
}
