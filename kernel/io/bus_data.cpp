// Configuration space of buses.
#include "io_internal.h"
#include "nt/export.h"

/// Reads a device's configuration space; 0: there is no such bus.
/// IRQL: any.
/// Differs from NT: the machine has no bus with a configuration space, so the answer is always that.
/// Source: WDK ntddk/HalGetBusDataByOffset.
NT_EXPORT(HalGetBusDataByOffset, nt::AnyIrql(), Partial, "HalBus.*");
extern "C" ULONG NTAPI HalGetBusDataByOffset(BUS_DATA_TYPE, ULONG, ULONG, PVOID, ULONG, ULONG) {
  return 0;
}

/// Writes a device's configuration space; 0: there is no such bus.
/// IRQL: any.
/// Differs from NT: the machine has no bus with a configuration space, so the answer is always that.
/// Source: WDK ntddk/HalSetBusDataByOffset.
NT_EXPORT(HalSetBusDataByOffset, nt::AnyIrql(), Partial, "HalBus.*");
extern "C" ULONG NTAPI HalSetBusDataByOffset(BUS_DATA_TYPE, ULONG, ULONG, PVOID, ULONG, ULONG) {
  return 0;
}
