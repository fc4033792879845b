// Documented routines of plug and play and power that mingw-w64's headers lack. Source: the WDK page of each.
#pragma once

#include "ddi.h"

extern "C" {
NTSTATUS NTAPI IoReportRootDevice(PDRIVER_OBJECT DriverObject);
ULONG NTAPI HalGetBusData(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber, PVOID Buffer,
                          ULONG Length);
ULONG NTAPI HalSetBusData(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber, PVOID Buffer,
                          ULONG Length);
}
