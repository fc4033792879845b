// GUID_BUS_INTERFACE_STANDARD: the configuration space at DISPATCH_LEVEL, for the device's drivers.
#include "pci_internal.h"

extern "C" PDMA_ADAPTER NTAPI IoGetDmaAdapter(PDEVICE_OBJECT PhysicalDeviceObject,
                                              PDEVICE_DESCRIPTION DeviceDescription,
                                              PULONG NumberOfMapRegisters);

namespace pci {
namespace {

VOID NTAPI Reference(PVOID context) {
  ObfReferenceObject(static_cast<Function*>(context)->self);
}

VOID NTAPI Dereference(PVOID context) {
  ObfDereferenceObject(static_cast<Function*>(context)->self);
}

// The bus's addresses are the processors'.
BOOLEAN NTAPI TranslateBusAddress(PVOID, PHYSICAL_ADDRESS address, ULONG, PULONG space,
                                  PPHYSICAL_ADDRESS translated) {
  if (*space != 0) return FALSE;  // there are no ports
  *translated = address;
  return TRUE;
}

PDMA_ADAPTER NTAPI GetDmaAdapter(PVOID context, PDEVICE_DESCRIPTION description, PULONG registers) {
  return IoGetDmaAdapter(static_cast<Function*>(context)->self, description, registers);
}

ULONG NTAPI GetBusData(PVOID context, ULONG space, PVOID buffer, ULONG offset, ULONG length) {
  if (space != PCI_WHICHSPACE_CONFIG) return 0;
  return ReadConfiguration(static_cast<Function*>(context), offset, buffer, length);
}

ULONG NTAPI SetBusData(PVOID context, ULONG space, PVOID buffer, ULONG offset, ULONG length) {
  if (space != PCI_WHICHSPACE_CONFIG) return 0;
  return WriteConfiguration(static_cast<Function*>(context), offset, buffer, length);
}

}  // namespace

NTSTATUS AnswerInterface(Function* function, PIO_STACK_LOCATION stack, NTSTATUS otherwise) {
  const auto& query = stack->Parameters.QueryInterface;
  if (!IsEqualGUID(*query.InterfaceType, GUID_BUS_INTERFACE_STANDARD)) return otherwise;
  if (query.Size < sizeof(BUS_INTERFACE_STANDARD) || query.Version < 1) return STATUS_INVALID_PARAMETER;
  auto* answer = reinterpret_cast<PBUS_INTERFACE_STANDARD>(query.Interface);
  *answer = {sizeof(BUS_INTERFACE_STANDARD),
             1,
             function,
             Reference,
             Dereference,
             TranslateBusAddress,
             GetDmaAdapter,
             SetBusData,
             GetBusData};
  Reference(function);  // the caller's
  return STATUS_SUCCESS;
}

}  // namespace pci
