// What a function's configuration space says, and what is written there.
#include "hal/pci.h"
#include "pci_internal.h"

namespace pci {
namespace {

template <typename T>
T Read(const Function* at, ULONG offset) {
  return hal::ReadPci<T>(at->device, at->function, offset);
}
template <typename T>
void Write(const Function* at, ULONG offset, T value) {
  hal::WritePci<T>(at->device, at->function, offset, value);
}

// The place of a capability. A list that leads into the header, or in circles, ends there.
UCHAR FindCapability(const Function* at, UCHAR id) {
  if ((at->header.Status & PCI_STATUS_CAPABILITIES_LIST) == 0) return 0;
  constexpr ULONG kMost = (256 - 64) / 4;
  UCHAR place = Read<UCHAR>(at, kCapabilities) & 0xFC;
  for (ULONG i = 0; i < kMost && place >= 0x40; ++i) {
    if (Read<UCHAR>(at, place) == id) return place;
    place = Read<UCHAR>(at, place + 1u) & 0xFC;
  }
  return 0;
}

ULONG BarCount(const Function* at) {
  switch (at->header.HeaderType & ~PCI_MULTIFUNCTION) {
    case PCI_DEVICE_TYPE:
      return PCI_TYPE0_ADDRESSES;
    case PCI_BRIDGE_TYPE:
      return PCI_TYPE1_ADDRESSES;
    default:
      return 0;
  }
}

ULONG BarOffset(ULONG index) {
  return kFirstBar + index * sizeof(ULONG);
}

// The bits of a register that can be written; it keeps its value.
ULONG WritableBits(const Function* at, ULONG index) {
  const ULONG old = Read<ULONG>(at, BarOffset(index));
  Write<ULONG>(at, BarOffset(index), MAXULONG);
  const ULONG bits = Read<ULONG>(at, BarOffset(index));
  Write<ULONG>(at, BarOffset(index), old);
  return bits;
}

// Sizes that are no power of two come from a broken device: such a register is not used.
Bar SizeBar(const Function* at, ULONG index, bool last) {
  const ULONG low = WritableBits(at, index);
  Bar bar = {};
  bar.memory = (low & 1) == 0;
  if (!bar.memory) {
    bar.size = ((~(low & ~3u)) & 0xFFFF) + 1;
    if (low == 0 || (low & 0xFFFC) == 0) bar.size = 0;
  } else {
    bar.wide = ((low >> 1) & 3) == 2;
    bar.prefetchable = (low & 8) != 0;
    if (bar.wide && last) return {};
    ULONG64 bits = low & ~0xFu;
    bits |= bar.wide ? static_cast<ULONG64>(WritableBits(at, index + 1)) << 32 : MAXULONG64 << 32;
    bar.size = (low & ~0xFu) == 0 && !bar.wide ? 0 : ~bits + 1;
  }
  if ((bar.size & (bar.size - 1)) != 0) bar.size = 0;
  return bar;
}

}  // namespace

void Stop(const Function* at) {
  constexpr USHORT kWorking = PCI_ENABLE_IO_SPACE | PCI_ENABLE_MEMORY_SPACE | PCI_ENABLE_BUS_MASTER;
  Write<USHORT>(at, kCommand, Read<USHORT>(at, kCommand) & static_cast<USHORT>(~kWorking));
  SetMessage(at, false, 0, 0);
}

void Probe(Function* at) {
  at->message_capability = FindCapability(at, PCI_CAPABILITY_ID_MSI);
  Stop(at);  // what is sized would otherwise answer at wrong places
  const ULONG count = BarCount(at);
  for (ULONG i = 0; i < count; ++i) {
    at->bars[i] = SizeBar(at, i, i + 1 == count);
    if (at->bars[i].wide) ++i;
  }
}

void SetBar(const Function* at, ULONG index, ULONG64 address) {
  Write<ULONG>(at, BarOffset(index), static_cast<ULONG>(address));
  if (at->bars[index].wide) Write<ULONG>(at, BarOffset(index + 1), static_cast<ULONG>(address >> 32));
}

void SetMessage(const Function* at, bool enable, ULONG64 address, USHORT data) {
  if (at->message_capability == 0) return;
  constexpr USHORT kEnable = 0x1, kMessages = 0x70, kWide = 0x80;
  const ULONG place = at->message_capability;
  const USHORT control = Read<USHORT>(at, place + 2) & static_cast<USHORT>(~(kEnable | kMessages));
  Write<USHORT>(at, place + 2, control);
  if (!enable) return;
  Write<ULONG>(at, place + 4, static_cast<ULONG>(address));
  if (control & kWide) Write<ULONG>(at, place + 8, static_cast<ULONG>(address >> 32));
  Write<USHORT>(at, place + (control & kWide ? 12 : 8), data);
  Write<USHORT>(at, place + 2, control | kEnable);
}

ULONG ReadConfiguration(const Function* at, ULONG offset, PVOID buffer, ULONG length) {
  if (offset >= hal::kPciConfigurationSize) return 0;
  if (length > hal::kPciConfigurationSize - offset) length = hal::kPciConfigurationSize - offset;
  hal::ReadPci(at->device, at->function, offset, buffer, length);
  return length;
}

ULONG WriteConfiguration(const Function* at, ULONG offset, const void* buffer, ULONG length) {
  if (offset >= hal::kPciConfigurationSize) return 0;
  if (length > hal::kPciConfigurationSize - offset) length = hal::kPciConfigurationSize - offset;
  hal::WritePci(at->device, at->function, offset, buffer, length);
  return length;
}

}  // namespace pci
