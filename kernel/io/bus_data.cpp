// Configuration space of buses. PCI is the only bus that has one, and bus 0 the only one of its kind.
#include "hal/pci.h"
#include "io_internal.h"
#include "nt/export.h"

namespace {

// Calls `access(device, function, length)` for the part of a function's configuration space that there is.
// Returns its length; 0: there is no such bus; 2 with the identifier of nobody in `buffer`: no such function.
template <typename Access>
ULONG AtFunction(BUS_DATA_TYPE type, ULONG bus, ULONG slot, PVOID buffer, ULONG offset, ULONG length,
                 Access access) {
  if (type != PCIConfiguration || bus != 0 || !hal::HasPci()) return 0;
  PCI_SLOT_NUMBER place;
  place.u.AsULONG = slot;
  const ULONG device = place.u.bits.DeviceNumber, function = place.u.bits.FunctionNumber;
  constexpr USHORT kNobody = PCI_INVALID_VENDORID;
  if (hal::ReadPci<USHORT>(device, function, 0) == kNobody) {
    if (length < sizeof(kNobody) || offset != 0) return 0;
    RtlCopyMemory(buffer, &kNobody, sizeof(kNobody));
    return sizeof(kNobody);
  }
  if (offset >= hal::kPciConfigurationSize) return 0;
  if (length > hal::kPciConfigurationSize - offset) length = hal::kPciConfigurationSize - offset;
  access(device, function, length);
  return length;
}

}  // namespace

/// Reads a part of a device's configuration space. Returns the bytes read; 0: there is no such bus; 2 and
/// PCI_INVALID_VENDORID: there is no such device.
/// IRQL: any.
/// Differs from NT: none; a machine without --device has no PCI bus.
/// Source: WDK ntddk/HalGetBusDataByOffset.
NT_EXPORT(HalGetBusDataByOffset, nt::AnyIrql(), Full, "HalBus.* EduBus.*");
extern "C" ULONG NTAPI HalGetBusDataByOffset(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber,
                                             PVOID Buffer, ULONG Offset, ULONG Length) {
  return AtFunction(BusDataType, BusNumber, SlotNumber, Buffer, Offset, Length,
                    [&](ULONG device, ULONG function, ULONG length) {
                      hal::ReadPci(device, function, Offset, Buffer, length);
                    });
}

/// Writes a part of a device's configuration space. Returns the bytes written; 0: there is no such bus or
/// device.
/// IRQL: any.
/// Differs from NT: none; a machine without --device has no PCI bus.
/// Source: WDK ntddk/HalSetBusDataByOffset.
NT_EXPORT(HalSetBusDataByOffset, nt::AnyIrql(), Full, "HalBus.* EduBus.*");
extern "C" ULONG NTAPI HalSetBusDataByOffset(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber,
                                             PVOID Buffer, ULONG Offset, ULONG Length) {
  USHORT nobody = 0;
  const ULONG length = AtFunction(BusDataType, BusNumber, SlotNumber, &nobody, Offset, Length,
                                  [&](ULONG device, ULONG function, ULONG bytes) {
                                    hal::WritePci(device, function, Offset, Buffer, bytes);
                                  });
  return nobody == PCI_INVALID_VENDORID ? 0 : length;
}

/// HalGetBusDataByOffset from the space's beginning.
/// IRQL: any.
/// Differs from NT: none; a machine without --device has no PCI bus.
/// Source: WDK ntddk/HalGetBusData.
NT_EXPORT(HalGetBusData, nt::AnyIrql(), Full, "HalBus.* EduBus.*");
extern "C" ULONG NTAPI HalGetBusData(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber,
                                     PVOID Buffer, ULONG Length) {
  return HalGetBusDataByOffset(BusDataType, BusNumber, SlotNumber, Buffer, 0, Length);
}

/// HalSetBusDataByOffset from the space's beginning.
/// IRQL: any.
/// Differs from NT: none; a machine without --device has no PCI bus.
/// Source: WDK ntddk/HalSetBusData.
NT_EXPORT(HalSetBusData, nt::AnyIrql(), Full, "HalBus.* EduBus.*");
extern "C" ULONG NTAPI HalSetBusData(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber,
                                     PVOID Buffer, ULONG Length) {
  return HalSetBusDataByOffset(BusDataType, BusNumber, SlotNumber, Buffer, 0, Length);
}
