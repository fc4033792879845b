/* A driver wants to use registers that no processor has: the mask was not asked from RtlGetEnabledExtendedFeatures. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    XSTATE_SAVE Save;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    return KeSaveExtendedProcessorState(1ull << 60, &Save);
}
