// Adapters of bus masters. Oracle: the WDK's pages of DMA_OPERATIONS.
#include "pnp_fixture.h"

namespace {

// An adapter that is put back.
class Adapter {
 public:
  explicit Adapter(bool master = true) {
    DEVICE_DESCRIPTION description = {};
    description.Version = DEVICE_DESCRIPTION_VERSION;
    description.Master = master;
    description.ScatterGather = TRUE;
    description.Dma32BitAddresses = TRUE;
    description.InterfaceType = PCIBus;
    description.MaximumLength = 64 * 1024;
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

// Nonpaged memory with its MDL, which begins 100 bytes into a page.
class Buffer {
 public:
  Buffer() : memory_(static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPool, kBytes + PAGE_SIZE, 'tamD'))) {
    mdl_ = IoAllocateMdl(start(), kBytes, FALSE, FALSE, nullptr);
    if (mdl_ != nullptr) MmBuildMdlForNonPagedPool(mdl_);
  }
  ~Buffer() {
    if (mdl_ != nullptr) IoFreeMdl(mdl_);
    ExFreePoolWithTag(memory_, 'tamD');
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  UCHAR* start() const { return memory_ + 100; }
  PMDL mdl() const { return mdl_; }

 private:
  UCHAR* memory_;
  PMDL mdl_;
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
  Adapter adapter(false);
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

NT_TEST(HalBus, BusThatIsNotThere) {
  UCHAR data[4] = {1, 2, 3, 4};
  NT_EXPECT_EQ(HalGetBusDataByOffset(PCIConfiguration, 200, 0, data, 0, sizeof(data)), 0u);
  NT_EXPECT_EQ(HalSetBusDataByOffset(PCIConfiguration, 200, 0, data, 0, sizeof(data)), 0u);
  NT_EXPECT_EQ(data[3], 4);
}
