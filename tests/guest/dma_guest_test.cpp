// Adapters of bus masters. Oracle: the WDK's pages of DMA_OPERATIONS.
#include "pnp_fixture.h"

namespace {

// An adapter that is put back.
class Adapter {
 public:
  enum Kind { kReachesAll, kNoMaster, kShort, kShortOnePiece };
  // Short: 24 bits, as a bus master without Dma32BitAddresses has them.
  explicit Adapter(Kind kind = kReachesAll, ULONG maximum = 64 * 1024) {
    DEVICE_DESCRIPTION description = {};
    description.Version = DEVICE_DESCRIPTION_VERSION2;
    description.Master = kind != kNoMaster;
    description.ScatterGather = kind != kShortOnePiece;
    description.Dma32BitAddresses = kind == kReachesAll;
    description.InterfaceType = kind == kReachesAll ? PCIBus : Isa;
    description.MaximumLength = maximum;
    toy::EnsureBus();
    adapter_ = IoGetDmaAdapter(toy::bus_pdo, &description, &registers_);
  }
  ~Adapter() {
    if (adapter_ != nullptr) adapter_->DmaOperations->PutDmaAdapter(adapter_);
  }
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;
  PDMA_ADAPTER get() const { return adapter_; }
  PDMA_OPERATIONS operator->() const { return adapter_->DmaOperations; }
  ULONG registers() const { return registers_; }

 private:
  PDMA_ADAPTER adapter_;
  ULONG registers_ = 0;
};

constexpr ULONG kBytes = 5 * PAGE_SIZE;

constexpr ULONG64 kShortLimit = 1 << 24;

// Contiguous memory with its MDL, which begins 100 bytes into a page; far: beyond what a device of 24 bits
// reaches.
class Buffer {
 public:
  explicit Buffer(bool far = false) {
    PHYSICAL_ADDRESS low, high;
    const PHYSICAL_ADDRESS boundary = {};
    low.QuadPart = far ? kShortLimit : 0;
    high.QuadPart = MAXLONGLONG;
    memory_ = static_cast<UCHAR*>(
        MmAllocateContiguousMemorySpecifyCache(kBytes + PAGE_SIZE, low, high, boundary, MmCached));
    if (memory_ == nullptr) return;
    mdl_ = IoAllocateMdl(start(), kBytes, FALSE, FALSE, nullptr);
    if (mdl_ != nullptr) MmBuildMdlForNonPagedPool(mdl_);
  }
  ~Buffer() {
    if (mdl_ != nullptr) IoFreeMdl(mdl_);
    if (memory_ != nullptr) MmFreeContiguousMemory(memory_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  UCHAR* start() const { return memory_ + 100; }
  PMDL mdl() const { return mdl_; }

 private:
  UCHAR* memory_ = nullptr;
  PMDL mdl_ = nullptr;
};

struct Listed {
  LONG calls;
  PSCATTER_GATHER_LIST list;
};

VOID NTAPI OnList(PDEVICE_OBJECT, PIRP, PSCATTER_GATHER_LIST list, PVOID context) {
  auto* listed = static_cast<Listed*>(context);
  listed->list = list;
  ++listed->calls;
}

IO_ALLOCATION_ACTION NTAPI OnChannel(PDEVICE_OBJECT, PIRP, PVOID, PVOID context) {
  ++*static_cast<LONG*>(context);
  return DeallocateObjectKeepRegisters;
}

}  // namespace

NT_TEST(IoDma, CommonBufferIsContiguousAndItsAddressIsTrue) {
  Adapter adapter;
  NT_ASSERT_TRUE(adapter.get() != nullptr);
  NT_EXPECT_TRUE(adapter.registers() >= 16);
  PHYSICAL_ADDRESS logical;
  auto* buffer = static_cast<UCHAR*>(adapter->AllocateCommonBuffer(adapter.get(), kBytes, &logical, TRUE));
  NT_ASSERT_TRUE(buffer != nullptr);
  for (ULONG at = 0; at < kBytes; at += 512)
    NT_EXPECT_EQ(MmGetPhysicalAddress(buffer + at).QuadPart, logical.QuadPart + at);
  NT_EXPECT_TRUE(static_cast<ULONG64>(logical.QuadPart) + kBytes <= 0x100000000);
  adapter->FreeCommonBuffer(adapter.get(), kBytes, logical, buffer, TRUE);
}

NT_TEST(IoDma, SlavesHaveNoAdapter) {
  Adapter adapter(Adapter::kNoMaster);
  NT_EXPECT_TRUE(adapter.get() == nullptr);
}

NT_TEST(IoDma, ScatterGatherListNamesEveryByte) {
  Adapter adapter;
  Buffer buffer;
  NT_ASSERT_TRUE(buffer.mdl() != nullptr);
  Listed listed = {};
  KIRQL irql = KeRaiseIrqlToDpcLevel();
  const NTSTATUS status = adapter->GetScatterGatherList(
      adapter.get(), toy::bus_device, buffer.mdl(), buffer.start() + 10, kBytes - 20, OnList, &listed, TRUE);
  KeLowerIrql(irql);
  NT_ASSERT_SUCCESS(status);
  NT_EXPECT_EQ(listed.calls, 1);
  ULONG place = 10;
  for (ULONG i = 0; i < listed.list->NumberOfElements; ++i) {
    const SCATTER_GATHER_ELEMENT& element = listed.list->Elements[i];
    for (ULONG at = 0; at < element.Length; at += 100)
      NT_EXPECT_EQ(element.Address.QuadPart + at, MmGetPhysicalAddress(buffer.start() + place + at).QuadPart);
    place += element.Length;
  }
  NT_EXPECT_EQ(place, kBytes - 10);
  PMDL same;
  NT_EXPECT_SUCCESS(adapter->BuildMdlFromScatterGatherList(adapter.get(), listed.list, buffer.mdl(), &same));
  NT_EXPECT_TRUE(same == buffer.mdl());
  adapter->PutScatterGatherList(adapter.get(), listed.list, TRUE);
}

NT_TEST(IoDma, CallersListNeedsItsRoom) {
  Adapter adapter;
  Buffer buffer;
  ULONG size, registers;
  NT_ASSERT_SUCCESS(adapter->CalculateScatterGatherList(adapter.get(), buffer.mdl(), buffer.start(), kBytes,
                                                        &size, &registers));
  NT_EXPECT_EQ(registers, 6u);
  PVOID list = ExAllocatePoolWithTag(NonPagedPool, size, 'tamD');
  Listed listed = {};
  NT_EXPECT_EQ(adapter->BuildScatterGatherList(adapter.get(), toy::bus_device, buffer.mdl(), buffer.start(),
                                               kBytes, OnList, &listed, FALSE, list, size - 1),
               STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_SUCCESS(adapter->BuildScatterGatherList(adapter.get(), toy::bus_device, buffer.mdl(),
                                                    buffer.start(), kBytes, OnList, &listed, FALSE, list,
                                                    size));
  NT_EXPECT_TRUE(listed.list == list);
  ExFreePoolWithTag(list, 'tamD');
}

NT_TEST(IoDma, ChannelAndTransfers) {
  Adapter adapter;
  Buffer buffer;
  LONG calls = 0;
  KIRQL irql = KeRaiseIrqlToDpcLevel();
  NT_EXPECT_SUCCESS(adapter->AllocateAdapterChannel(adapter.get(), toy::bus_device, 6, OnChannel, &calls));
  NT_EXPECT_EQ(calls, 1);
  ULONG done = 0;
  while (done < kBytes) {
    ULONG length = kBytes - done;
    const PHYSICAL_ADDRESS logical =
        adapter->MapTransfer(adapter.get(), buffer.mdl(), nullptr, buffer.start() + done, &length, TRUE);
    NT_EXPECT_EQ(logical.QuadPart, MmGetPhysicalAddress(buffer.start() + done).QuadPart);
    if (length == 0) break;
    done += length;
  }
  NT_EXPECT_EQ(done, kBytes);
  NT_EXPECT_TRUE(
      adapter->FlushAdapterBuffers(adapter.get(), buffer.mdl(), nullptr, buffer.start(), kBytes, TRUE));
  adapter->FreeMapRegisters(adapter.get(), nullptr, 6);
  KeLowerIrql(irql);
}

namespace {

// What the device would see there, as the processor's memory.
UCHAR* AtAddress(PHYSICAL_ADDRESS address) {
  return static_cast<UCHAR*>(MmGetVirtualForPhysical(address));
}

void FillWith(UCHAR* memory, ULONG bytes, UCHAR seed) {
  for (ULONG i = 0; i < bytes; ++i) memory[i] = static_cast<UCHAR>(seed + i * 7 + (i >> 8));
}

ULONG Differences(const UCHAR* memory, ULONG bytes, UCHAR seed) {
  ULONG count = 0;
  for (ULONG i = 0; i < bytes; ++i)
    if (memory[i] != static_cast<UCHAR>(seed + i * 7 + (i >> 8))) ++count;
  return count;
}

struct Grant {
  PVOID base;
  LONG calls;
  IO_ALLOCATION_ACTION action;
};

IO_ALLOCATION_ACTION NTAPI OnGrant(PDEVICE_OBJECT, PIRP, PVOID base, PVOID context) {
  auto* grant = static_cast<Grant*>(context);
  grant->base = base;
  ++grant->calls;
  return grant->action;
}

}  // namespace

NT_TEST(IoDma, WhatTheDeviceCannotReachIsCopied) {
  Adapter adapter(Adapter::kShort);
  Buffer buffer(true);
  NT_ASSERT_TRUE(adapter.get() != nullptr && buffer.mdl() != nullptr);
  NT_EXPECT_TRUE(adapter.registers() >= 16);
  constexpr bool kWays[] = {true, false};
  for (const bool write : kWays) {
    Listed listed = {};
    FillWith(buffer.start(), kBytes, write ? 1 : 9);
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    NT_EXPECT_SUCCESS(adapter->GetScatterGatherList(adapter.get(), toy::bus_device, buffer.mdl(),
                                                    buffer.start(), kBytes, OnList, &listed, write));
    KeLowerIrql(irql);
    NT_ASSERT_EQ(listed.calls, 1);
    ULONG total = 0;
    for (ULONG i = 0; i < listed.list->NumberOfElements; ++i) {
      const SCATTER_GATHER_ELEMENT& element = listed.list->Elements[i];
      total += element.Length;
      NT_EXPECT_TRUE(static_cast<ULONG64>(element.Address.QuadPart) + element.Length <= kShortLimit);
    }
    NT_EXPECT_EQ(total, kBytes);
    NT_ASSERT_EQ(listed.list->NumberOfElements, 1u);
    UCHAR* device = AtAddress(listed.list->Elements[0].Address);
    NT_ASSERT_TRUE(device != nullptr);
    if (write) NT_EXPECT_EQ(Differences(device, kBytes, 1), 0u);
    if (!write) FillWith(device, kBytes, 77);
    irql = KeRaiseIrqlToDpcLevel();
    adapter->PutScatterGatherList(adapter.get(), listed.list, write);
    KeLowerIrql(irql);
    NT_EXPECT_EQ(Differences(buffer.start(), kBytes, write ? 1 : 77), 0u);
  }
}

NT_TEST(IoDma, MdlOfACopiedTransferHasTheCopysPages) {
  Adapter adapter(Adapter::kShort);
  Buffer buffer(true);
  Listed listed = {};
  KIRQL irql = KeRaiseIrqlToDpcLevel();
  NT_EXPECT_SUCCESS(adapter->GetScatterGatherList(adapter.get(), toy::bus_device, buffer.mdl(),
                                                  buffer.start(), kBytes, OnList, &listed, TRUE));
  KeLowerIrql(irql);
  NT_ASSERT_EQ(listed.calls, 1);
  PMDL target;
  NT_ASSERT_SUCCESS(
      adapter->BuildMdlFromScatterGatherList(adapter.get(), listed.list, buffer.mdl(), &target));
  NT_EXPECT_TRUE(target != buffer.mdl());
  NT_EXPECT_EQ(MmGetMdlByteCount(target), kBytes);
  NT_EXPECT_EQ(static_cast<ULONG64>(MmGetMdlPfnArray(target)[0]) * PAGE_SIZE + MmGetMdlByteOffset(target),
               static_cast<ULONG64>(listed.list->Elements[0].Address.QuadPart));
  if (target != buffer.mdl()) IoFreeMdl(target);
  irql = KeRaiseIrqlToDpcLevel();
  adapter->PutScatterGatherList(adapter.get(), listed.list, TRUE);
  KeLowerIrql(irql);
}

// Two pages of registers: the transfer goes in steps, and what is read arrives when it is flushed.
NT_TEST(IoDma, TransferInStepsThroughFewRegisters) {
  Adapter adapter(Adapter::kShortOnePiece, PAGE_SIZE);
  Buffer buffer(true);
  NT_EXPECT_EQ(adapter.registers(), 3u);
  Grant grant = {nullptr, 0, DeallocateObjectKeepRegisters};
  KIRQL irql = KeRaiseIrqlToDpcLevel();
  NT_EXPECT_SUCCESS(adapter->AllocateAdapterChannel(adapter.get(), toy::bus_device, 2, OnGrant, &grant));
  NT_EXPECT_EQ(grant.calls, 1);
  NT_EXPECT_TRUE(grant.base != nullptr);
  FillWith(buffer.start(), kBytes, 200);
  ULONG steps = 0;
  for (ULONG done = 0; done < kBytes; ++steps) {
    ULONG length = kBytes - done;
    UCHAR* at = buffer.start() + done;
    const PHYSICAL_ADDRESS logical =
        adapter->MapTransfer(adapter.get(), buffer.mdl(), grant.base, at, &length, FALSE);
    NT_EXPECT_TRUE(length != 0 && static_cast<ULONG64>(logical.QuadPart) + length <= kShortLimit);
    if (length == 0) break;
    FillWith(AtAddress(logical), length, static_cast<UCHAR>(steps));
    NT_EXPECT_TRUE(Differences(at, length, static_cast<UCHAR>(steps)) != 0);
    NT_EXPECT_TRUE(adapter->FlushAdapterBuffers(adapter.get(), buffer.mdl(), grant.base, at, length, FALSE));
    NT_EXPECT_EQ(Differences(at, length, static_cast<UCHAR>(steps)), 0u);
    done += length;
  }
  NT_EXPECT_EQ(steps, 3u);  // 8092, 8192, 4196 bytes
  adapter->FreeMapRegisters(adapter.get(), grant.base, 2);
  KeLowerIrql(irql);
}

NT_TEST(IoDma, WhoFindsNoRegistersWaitsForThem) {
  Adapter adapter(Adapter::kShort, PAGE_SIZE);
  Grant first = {nullptr, 0, DeallocateObjectKeepRegisters}, second = first;
  KIRQL irql = KeRaiseIrqlToDpcLevel();
  NT_EXPECT_EQ(adapter->AllocateAdapterChannel(adapter.get(), toy::bus_device, adapter.registers() + 1,
                                               OnGrant, &first),
               STATUS_INSUFFICIENT_RESOURCES);
  NT_EXPECT_SUCCESS(adapter->AllocateAdapterChannel(adapter.get(), toy::bus_device, 2, OnGrant, &first));
  NT_EXPECT_SUCCESS(adapter->AllocateAdapterChannel(adapter.get(), toy::bus_device, 2, OnGrant, &second));
  NT_EXPECT_EQ(first.calls, 1);
  NT_EXPECT_EQ(second.calls, 0);
  adapter->FreeMapRegisters(adapter.get(), first.base, 2);
  NT_EXPECT_EQ(second.calls, 1);
  adapter->FreeMapRegisters(adapter.get(), second.base, 2);
  KeLowerIrql(irql);
}

NT_TEST(IoDma, KeptAdapterIsForOneUntilItIsFreed) {
  Adapter adapter;
  Grant first = {nullptr, 0, KeepObject}, second = {nullptr, 0, DeallocateObject};
  KIRQL irql = KeRaiseIrqlToDpcLevel();
  NT_EXPECT_SUCCESS(adapter->AllocateAdapterChannel(adapter.get(), toy::bus_device, 1, OnGrant, &first));
  NT_EXPECT_SUCCESS(adapter->AllocateAdapterChannel(adapter.get(), toy::bus_device, 1, OnGrant, &second));
  NT_EXPECT_EQ(first.calls, 1);
  NT_EXPECT_EQ(second.calls, 0);
  adapter->FreeAdapterChannel(adapter.get());
  NT_EXPECT_EQ(second.calls, 1);
  KeLowerIrql(irql);
}

NT_TEST(HalBus, BusThatIsNotThere) {
  UCHAR data[4] = {1, 2, 3, 4};
  NT_EXPECT_EQ(HalGetBusDataByOffset(PCIConfiguration, 200, 0, data, 0, sizeof(data)), 0u);
  NT_EXPECT_EQ(HalSetBusDataByOffset(PCIConfiguration, 200, 0, data, 0, sizeof(data)), 0u);
  NT_EXPECT_EQ(HalGetBusData(PCIConfiguration, 200, 0, data, sizeof(data)), 0u);
  NT_EXPECT_EQ(HalSetBusData(PCIConfiguration, 200, 0, data, sizeof(data)), 0u);
  NT_EXPECT_EQ(HalGetBusData(EisaConfiguration, 0, 0, data, sizeof(data)), 0u);
  NT_EXPECT_EQ(data[3], 4);
}
