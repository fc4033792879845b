// The driver of the PCI bus, \Driver\pci: one bus without bridges below it. Everything here is called by
// plug and play's worker at PASSIVE_LEVEL, but what is said to be callable at any IRQL.
#pragma once

#include "pnp_answers.h"

namespace boot {
struct LoaderBlock;
}

namespace pci {

inline constexpr ULONG kTag = 'BicP';

// Offsets in a function's configuration space.
inline constexpr ULONG kCommand = 0x04, kFirstBar = 0x10, kCapabilities = 0x34, kInterruptLine = 0x3C;

// A base address register, as its size was read out.
struct Bar {
  ULONG64 size;  // a power of two; 0: there is none
  bool memory;
  bool wide;  // takes the next register as well
  bool prefetchable;
};

struct Bus;

// The extension of both kinds of device objects begins with this.
struct Common {
  Bus* bus;  // 0: this is the bus's function device
};

// A function of a device: the extension of its PDO.
struct Function {
  Common common;
  LIST_ENTRY link;  // in its bus's list
  PDEVICE_OBJECT self;
  UCHAR device, function;
  PCI_COMMON_HEADER header;  // as it was found, base addresses aside
  UCHAR message_capability;  // offset of the MSI capability; 0: none
  Bar bars[PCI_TYPE0_ADDRESSES];
  bool present;  // the last scan found it
};

// The extension of the bus's function device.
struct Bus {
  Common common;
  PDEVICE_OBJECT self, lower;
  LIST_ENTRY functions;
  ULONG64 window_first, window_last;  // what memory registers may be given
};

inline Function* FunctionOf(PDEVICE_OBJECT device) {
  return static_cast<Function*>(device->DeviceExtension);
}

// ---- pci_config.cpp ----
// Capabilities and the sizes of the base address registers. The function decodes nothing at the end.
void Probe(Function* function);
void Stop(const Function* function);  // no decoding, no bus mastering, no messages
void SetBar(const Function* function, ULONG index, ULONG64 address);
// One message to this address; `enable` false: no messages.
void SetMessage(const Function* function, bool enable, ULONG64 address, USHORT data);
// Bytes of the configuration space, at any IRQL: how many there were.
ULONG ReadConfiguration(const Function* function, ULONG offset, PVOID buffer, ULONG length);
ULONG WriteConfiguration(const Function* function, ULONG offset, const void* buffer, ULONG length);

// ---- pci_resources.cpp ----
// 0: it needs nothing, or there is no memory.
PIO_RESOURCE_REQUIREMENTS_LIST Requirements(const Function* function);
NTSTATUS Start(const Function* function, const CM_RESOURCE_LIST* raw, const CM_RESOURCE_LIST* translated);
void SetFirstLine(ULONG line);  // of the I/O APIC, for device 0's pin A

// ---- pci_device.cpp ----
NTSTATUS FunctionPnp(PDEVICE_OBJECT device, PIRP irp);

// ---- pci_interface.cpp ----
NTSTATUS AnswerInterface(Function* function, PIO_STACK_LOCATION stack, NTSTATUS otherwise);

// ---- pci_bus.cpp ----
// The host bridge's device, if the machine has PCI. After the registry is there.
NTSTATUS Initialize(const boot::LoaderBlock* block);

}  // namespace pci
