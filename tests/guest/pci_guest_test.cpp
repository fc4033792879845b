// The PCI bus of a machine with the edu device: configuration space through the HAL and through the device's
// stack. Oracle: the PCI specification, the device's, and the WDK's pages of the routines.
#include "ddi_pnp.h"
#include "nt_test.h"

namespace {

constexpr ULONG kEduSlot = 1;  // device 1, function 0

ULONG ReadDword(ULONG slot, ULONG offset) {
  ULONG value = 0;
  NT_EXPECT_EQ(HalGetBusDataByOffset(PCIConfiguration, 0, slot, &value, offset, sizeof(value)),
               sizeof(value));
  return value;
}

}  // namespace

NT_TEST(EduBus, HeaderIsTheDevices) {
  PCI_COMMON_CONFIG config = {};
  NT_ASSERT_EQ(HalGetBusData(PCIConfiguration, 0, kEduSlot, &config, sizeof(config)), sizeof(config));
  NT_EXPECT_EQ(config.VendorID, 0x1234);
  NT_EXPECT_EQ(config.DeviceID, 0x11E8);
  NT_EXPECT_EQ(config.RevisionID, 0x10);
  NT_EXPECT_EQ(config.HeaderType, 0);
  NT_EXPECT_EQ(config.u.type0.InterruptPin, 1);
  NT_EXPECT_TRUE((config.Status & PCI_STATUS_CAPABILITIES_LIST) != 0);
}

NT_TEST(EduBus, PartsOfAnyLengthAgree) {
  UCHAR whole[64], part[8];
  NT_ASSERT_EQ(HalGetBusData(PCIConfiguration, 0, kEduSlot, whole, sizeof(whole)), sizeof(whole));
  for (ULONG offset = 0; offset < 50; ++offset) {
    for (ULONG length = 1; length <= sizeof(part); ++length) {
      NT_EXPECT_EQ(HalGetBusDataByOffset(PCIConfiguration, 0, kEduSlot, part, offset, length), length);
      NT_EXPECT_EQ(RtlCompareMemory(part, whole + offset, length), length);
    }
  }
}

NT_TEST(EduBus, SlotWithoutADeviceSaysSo) {
  USHORT data[2] = {1, 2};
  NT_EXPECT_EQ(HalGetBusData(PCIConfiguration, 0, 5, data, sizeof(data)), 2u);
  NT_EXPECT_EQ(data[0], PCI_INVALID_VENDORID);
  NT_EXPECT_EQ(data[1], 2);
  NT_EXPECT_EQ(HalSetBusData(PCIConfiguration, 0, 5, data, sizeof(data)), 0u);
  NT_EXPECT_EQ(HalGetBusData(PCIConfiguration, 0, kEduSlot | 1 << 5, data, sizeof(data)), 2u);  // function 1
}

NT_TEST(EduBus, OffsetsBeyondTheSpaceAreCut) {
  UCHAR data[16];
  NT_EXPECT_EQ(HalGetBusDataByOffset(PCIConfiguration, 0, kEduSlot, data, 4092, sizeof(data)), 4u);
  NT_EXPECT_EQ(HalGetBusDataByOffset(PCIConfiguration, 0, kEduSlot, data, 4096, sizeof(data)), 0u);
  NT_EXPECT_EQ(HalGetBusDataByOffset(PCIConfiguration, 0, kEduSlot, data, MAXULONG, sizeof(data)), 0u);
  NT_EXPECT_EQ(HalSetBusDataByOffset(PCIConfiguration, 0, kEduSlot, data, 4096, sizeof(data)), 0u);
}

// At any IRQL. The cache line size is a register without effects.
NT_TEST(EduBus, WritesArriveAtHighLevel) {
  constexpr ULONG kCacheLineSize = 0x0C;
  KIRQL irql;
  KeRaiseIrql(HIGH_LEVEL, &irql);
  UCHAR old = 0, now = 0x20, seen = 0;
  const ULONG read = HalGetBusDataByOffset(PCIConfiguration, 0, kEduSlot, &old, kCacheLineSize, 1);
  const ULONG written = HalSetBusDataByOffset(PCIConfiguration, 0, kEduSlot, &now, kCacheLineSize, 1);
  HalGetBusDataByOffset(PCIConfiguration, 0, kEduSlot, &seen, kCacheLineSize, 1);
  HalSetBusDataByOffset(PCIConfiguration, 0, kEduSlot, &old, kCacheLineSize, 1);
  KeLowerIrql(irql);
  NT_EXPECT_EQ(read, 1u);
  NT_EXPECT_EQ(written, 1u);
  NT_EXPECT_EQ(seen, 0x20);
}

// Nobody has started the device: it decodes nothing and is no bus master, and its size was put back.
NT_TEST(EduBus, DeviceWithoutADriverIsQuiet) {
  const ULONG command = ReadDword(kEduSlot, 0x04) & 0xFFFF;
  NT_EXPECT_EQ(command & (PCI_ENABLE_IO_SPACE | PCI_ENABLE_MEMORY_SPACE | PCI_ENABLE_BUS_MASTER), 0u);
  NT_EXPECT_EQ(ReadDword(kEduSlot, 0x10) & ~0xFu, 0u);
}

NT_TEST(EduBus, HostBridgeIsFunctionZero) {
  NT_EXPECT_EQ(ReadDword(0, 0), 0x00081B36u);
  NT_EXPECT_EQ(ReadDword(0, 8) >> 16, 0x0600u);
}

namespace {

// The device without its driver: its registers at an address that nobody has, its line by number.
class Hardware {
 public:
  Hardware() {
    const ULONG address = 0xC0000000;
    SetCommand(PCI_ENABLE_MEMORY_SPACE);
    HalSetBusDataByOffset(PCIConfiguration, 0, kEduSlot, const_cast<ULONG*>(&address), 0x10, sizeof(address));
    PHYSICAL_ADDRESS physical;
    physical.QuadPart = address;
    registers_ = static_cast<UCHAR*>(MmMapIoSpace(physical, kSize, MmNonCached));
  }
  ~Hardware() {
    MmUnmapIoSpace(registers_, kSize);
    ULONG nothing = 0;
    SetCommand(0);
    HalSetBusDataByOffset(PCIConfiguration, 0, kEduSlot, &nothing, 0x10, sizeof(nothing));
  }
  Hardware(const Hardware&) = delete;
  Hardware& operator=(const Hardware&) = delete;
  ULONG Read(ULONG offset) const { return *At(offset); }
  void Write(ULONG offset, ULONG value) const { *At(offset) = value; }
  void Raise(ULONG status) const { Write(0x60, status); }

 private:
  static constexpr SIZE_T kSize = 0x1000;
  static void SetCommand(USHORT command) {
    HalSetBusDataByOffset(PCIConfiguration, 0, kEduSlot, &command, 4, sizeof(command));
  }
  volatile ULONG* At(ULONG offset) const { return reinterpret_cast<volatile ULONG*>(registers_ + offset); }
  UCHAR* registers_;
};

constexpr ULONG kEduLine = 13;  // 12, and one further a device

struct Seen {
  const Hardware* hardware;
  volatile LONG calls, served;
  volatile ULONG status, processor;
  volatile KIRQL irql;
};

BOOLEAN NTAPI OnInterrupt(PKINTERRUPT, PVOID context) {
  auto* seen = static_cast<Seen*>(context);
  InterlockedIncrement(&seen->calls);
  const ULONG status = seen->hardware->Read(0x24);
  if (status == 0) return FALSE;
  seen->hardware->Write(0x64, status);
  seen->status = status;
  seen->processor = KeGetCurrentProcessorNumberEx(nullptr);
  seen->irql = KeGetCurrentIrql();
  InterlockedIncrement(&seen->served);
  return TRUE;
}

BOOLEAN NTAPI NotMine(PKINTERRUPT, PVOID context) {
  InterlockedIncrement(&static_cast<Seen*>(context)->calls);
  return FALSE;
}

PKINTERRUPT ConnectEdu(PKSERVICE_ROUTINE routine, Seen* seen, KAFFINITY affinity) {
  PKINTERRUPT interrupt = nullptr;
  IO_CONNECT_INTERRUPT_PARAMETERS connect = {};
  connect.Version = CONNECT_FULLY_SPECIFIED;
  connect.FullySpecified.InterruptObject = &interrupt;
  connect.FullySpecified.ServiceRoutine = routine;
  connect.FullySpecified.ServiceContext = seen;
  connect.FullySpecified.Vector = kEduLine;
  connect.FullySpecified.InterruptMode = LevelSensitive;
  connect.FullySpecified.ShareVector = TRUE;
  connect.FullySpecified.ProcessorEnableMask = affinity;
  NT_EXPECT_SUCCESS(IoConnectInterruptEx(&connect));
  return interrupt;
}

void WaitForCount(volatile LONG* count, LONG wanted) {
  LARGE_INTEGER pause;
  pause.QuadPart = -10'000;
  while (InterlockedCompareExchange(count, 0, 0) < wanted) KeDelayExecutionThread(KernelMode, FALSE, &pause);
}

}  // namespace

NT_TEST(EduInterrupt, SharedLineReachesEveryRoutine) {
  Hardware hardware;
  NT_ASSERT_EQ(hardware.Read(0) & 0xFFFF, 0xEDu);
  Seen other = {&hardware, 0, 0, 0, 0, 0}, edu = other;
  PKINTERRUPT first = ConnectEdu(NotMine, &other, 1), second = ConnectEdu(OnInterrupt, &edu, 1);
  for (LONG i = 1; i <= 20; ++i) {
    hardware.Raise(0x1000u + static_cast<ULONG>(i));
    WaitForCount(&edu.served, i);
    NT_EXPECT_EQ(edu.status, 0x1000u + static_cast<ULONG>(i));
  }
  NT_EXPECT_EQ(edu.served, 20);
  NT_EXPECT_TRUE(other.calls >= 20);
  NT_EXPECT_TRUE(edu.irql > DISPATCH_LEVEL && edu.irql <= 12);
  IoDisconnectInterrupt(first);
  hardware.Raise(0x77);
  WaitForCount(&edu.served, 21);
  NT_EXPECT_EQ(edu.status, 0x77u);
  IoDisconnectInterrupt(second);
}

NT_TEST(EduInterrupt, ComesToTheProcessorOfItsAffinity) {
  Hardware hardware;
  const ULONG processors = KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS);
  for (ULONG processor = 0; processor < processors; ++processor) {
    Seen seen = {&hardware, 0, 0, 0, 0, 0};
    PKINTERRUPT interrupt = ConnectEdu(OnInterrupt, &seen, KAFFINITY{1} << processor);
    for (LONG i = 1; i <= 5; ++i) {
      hardware.Raise(1);
      WaitForCount(&seen.served, i);
      NT_EXPECT_EQ(seen.processor, processor);
    }
    IoDisconnectInterrupt(interrupt);
  }
}
