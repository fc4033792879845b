/* An interrupt service routine divides by zero. The line is the first serial port's: the host's requests interrupt on it. */
#include <ntddk.h>

#define SERIAL_LINE 4

static volatile LONG Divisor;

static BOOLEAN ServiceRoutine(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    UNREFERENCED_PARAMETER(Context);
    return (BOOLEAN)(100 / Divisor);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PKINTERRUPT Interrupt;
    KEVENT Never;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoConnectInterrupt(&Interrupt, ServiceRoutine, NULL, NULL, SERIAL_LINE, 5, 5, Latched, TRUE, 1, FALSE);
    if (!NT_SUCCESS(Status))
        return Status;
    /* The port's interrupt enable register: it interrupts at once, for its transmitter is empty. */
    WRITE_PORT_UCHAR((PUCHAR)0x3F9, 0x03);
    KeInitializeEvent(&Never, NotificationEvent, FALSE);
    return KeWaitForSingleObject(&Never, Executive, KernelMode, FALSE, NULL);
}
