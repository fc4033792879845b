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
