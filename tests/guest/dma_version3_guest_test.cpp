// Version 3 of DMA: the routines whose names end in Ex, contexts, vectors of common buffers. Oracle: the
// WDK's pages of DMA_OPERATIONS.
#include <ntddk.h>

#include "nt_test.h"

namespace {

constexpr ULONG kBytes = 3 * PAGE_SIZE;
constexpr ULONG64 kReach = 1 << 24;

// A device, its adapter of 24 bits, memory beyond its reach, and a transfer's context.
class Rig {
 public:
  explicit Rig(ULONG maximum = kBytes) {
    IoCreateDevice(nt_test::driver, 0, nullptr, FILE_DEVICE_UNKNOWN, 0, FALSE, &device_);
    DEVICE_DESCRIPTION description = {};
    description.Version = DEVICE_DESCRIPTION_VERSION3;
    description.Master = TRUE;
    description.ScatterGather = TRUE;
    description.InterfaceType = PCIBus;
    description.MaximumLength = maximum;
    description.DmaAddressWidth = 24;
    adapter_ = IoGetDmaAdapter(device_, &description, &registers_);
    PHYSICAL_ADDRESS low, high, boundary = {};
    low.QuadPart = kReach;
    high.QuadPart = MAXLONGLONG;
    memory_ =
        static_cast<UCHAR*>(MmAllocateContiguousMemorySpecifyCache(kBytes, low, high, boundary, MmCached));
    mdl_ = IoAllocateMdl(memory_, kBytes, FALSE, FALSE, nullptr);
    MmBuildMdlForNonPagedPool(mdl_);
    NT_EXPECT_SUCCESS(adapter_->DmaOperations->InitializeDmaTransferContext(adapter_, context_));
    KeRaiseIrql(DISPATCH_LEVEL, &irql_);
  }
  ~Rig() {
    KeLowerIrql(irql_);
    IoFreeMdl(mdl_);
    MmFreeContiguousMemory(memory_);
    adapter_->DmaOperations->PutDmaAdapter(adapter_);
    IoDeleteDevice(device_);
  }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;
  PDMA_OPERATIONS operator->() const { return adapter_->DmaOperations; }
  PDMA_ADAPTER adapter() const { return adapter_; }
  PDEVICE_OBJECT device() const { return device_; }
  PMDL mdl() const { return mdl_; }
  UCHAR* memory() const { return memory_; }
  PVOID context() { return context_; }
  ULONG registers() const { return registers_; }

 private:
  PDEVICE_OBJECT device_ = nullptr;
  PDMA_ADAPTER adapter_ = nullptr;
  ULONG registers_ = 0;
  UCHAR* memory_ = nullptr;
  PMDL mdl_ = nullptr;
  KIRQL irql_ = 0;
  UCHAR context_[DMA_TRANSFER_CONTEXT_SIZE_V1] = {};
};

UCHAR* AtAddress(PHYSICAL_ADDRESS address) {
  return static_cast<UCHAR*>(MmGetVirtualForPhysical(address));
}

IO_ALLOCATION_ACTION NTAPI OnGrant(PDEVICE_OBJECT, PIRP, PVOID, PVOID context) {
  ++*static_cast<LONG*>(context);
  return DeallocateObject;
}

VOID NTAPI OnList(PDEVICE_OBJECT, PIRP, PSCATTER_GATHER_LIST list, PVOID context) {
  *static_cast<PSCATTER_GATHER_LIST*>(context) = list;
}

}  // namespace

NT_TEST(IoDmaVersion3, TableAndAdapterSayTheirVersion) {
  Rig rig;
  NT_EXPECT_EQ(rig.adapter()->Version, 3);
  NT_EXPECT_TRUE(rig->Size >= FIELD_OFFSET(DMA_OPERATIONS, FreeCommonBufferVector));
  DMA_ADAPTER_INFO info = {};
  info.Version = DMA_ADAPTER_INFO_VERSION1;
  NT_EXPECT_SUCCESS(rig->GetDmaAdapterInfo(rig.adapter(), &info));
  NT_EXPECT_EQ(info.V1.DmaAddressWidth, 24u);
  NT_EXPECT_EQ(info.V1.Flags & ADAPTER_INFO_SYNCHRONOUS_CALLBACK, 1u);
  info.Version = 99;
  NT_EXPECT_EQ(rig->GetDmaAdapterInfo(rig.adapter(), &info), STATUS_NOT_SUPPORTED);
}

NT_TEST(IoDmaVersion3, TransferInfoCountsPagesAndRegisters) {
  Rig rig;
  DMA_TRANSFER_INFO info = {};
  info.Version = DMA_TRANSFER_INFO_VERSION2;
  NT_EXPECT_SUCCESS(rig->GetDmaTransferInfo(rig.adapter(), rig.mdl(), 100, kBytes - 100, TRUE, &info));
  NT_EXPECT_EQ(info.V2.MapRegisterCount, 3u);
  NT_EXPECT_EQ(info.V2.ScatterGatherElementCount, 1u);
  NT_EXPECT_EQ(info.V2.LogicalPageCount, 3u);
  NT_EXPECT_TRUE(info.V2.ScatterGatherListSize >= sizeof(SCATTER_GATHER_LIST));
  NT_EXPECT_TRUE(!NT_SUCCESS(rig->GetDmaTransferInfo(rig.adapter(), rig.mdl(), 100, kBytes, TRUE, &info)));
}

NT_TEST(IoDmaVersion3, SynchronousChannelMapsAndFlushes) {
  Rig rig;
  PVOID base = nullptr;
  NT_ASSERT_SUCCESS(rig->AllocateAdapterChannelEx(rig.adapter(), rig.device(), rig.context(), 3,
                                                  DMA_SYNCHRONOUS_CALLBACK, nullptr, nullptr, &base));
  NT_EXPECT_TRUE(base != nullptr);
  PVOID second = nullptr;
  NT_EXPECT_EQ(rig->AllocateAdapterChannelEx(rig.adapter(), rig.device(), rig.context(), 1,
                                             DMA_SYNCHRONOUS_CALLBACK, nullptr, nullptr, &second),
               STATUS_INSUFFICIENT_RESOURCES);  // the adapter is taken
  SCATTER_GATHER_LIST list = {};
  ULONG length = kBytes;
  RtlFillMemory(rig.memory(), kBytes, 0);
  NT_ASSERT_SUCCESS(rig->MapTransferEx(rig.adapter(), rig.mdl(), base, 0, 0, &length, FALSE, &list,
                                       sizeof(list), nullptr, nullptr));
  NT_EXPECT_EQ(length, kBytes);
  NT_ASSERT_EQ(list.NumberOfElements, 1u);
  NT_EXPECT_TRUE(static_cast<ULONG64>(list.Elements[0].Address.QuadPart) + kBytes <= kReach);
  RtlFillMemory(AtAddress(list.Elements[0].Address), kBytes, 0x5A);
  NT_EXPECT_SUCCESS(rig->FlushAdapterBuffersEx(rig.adapter(), rig.mdl(), base, 0, kBytes, FALSE));
  NT_EXPECT_EQ(rig.memory()[0], 0x5A);
  NT_EXPECT_EQ(rig.memory()[kBytes - 1], 0x5A);
  rig->FreeAdapterObject(rig.adapter(), DeallocateObject);
  NT_EXPECT_SUCCESS(rig->AllocateAdapterChannelEx(rig.adapter(), rig.device(), rig.context(), 3,
                                                  DMA_SYNCHRONOUS_CALLBACK, nullptr, nullptr, &second));
  rig->FreeAdapterObject(rig.adapter(), DeallocateObjectKeepRegisters);
  rig->FreeMapRegisters(rig.adapter(), second, 3);
}

NT_TEST(IoDmaVersion3, ParametersThatContradictEachOther) {
  Rig rig;
  PVOID base;
  LONG calls = 0;
  UCHAR strange[DMA_TRANSFER_CONTEXT_SIZE_V1] = {};
  NT_EXPECT_EQ(rig->AllocateAdapterChannelEx(rig.adapter(), rig.device(), rig.context(), 1, 0, nullptr,
                                             nullptr, &base),
               STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(rig->AllocateAdapterChannelEx(rig.adapter(), rig.device(), rig.context(), 1,
                                             DMA_SYNCHRONOUS_CALLBACK, OnGrant, &calls, &base),
               STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(
      rig->AllocateAdapterChannelEx(rig.adapter(), rig.device(), strange, 1, 0, OnGrant, &calls, nullptr),
      STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(calls, 0);
}

NT_TEST(IoDmaVersion3, WaitingRequestCanBeCancelled) {
  Rig rig;
  PVOID base = nullptr;
  LONG calls = 0;
  UCHAR context[DMA_TRANSFER_CONTEXT_SIZE_V1];
  NT_EXPECT_SUCCESS(rig->InitializeDmaTransferContext(rig.adapter(), context));
  NT_ASSERT_SUCCESS(rig->AllocateAdapterChannelEx(rig.adapter(), rig.device(), rig.context(), 1,
                                                  DMA_SYNCHRONOUS_CALLBACK, nullptr, nullptr, &base));
  NT_EXPECT_SUCCESS(
      rig->AllocateAdapterChannelEx(rig.adapter(), rig.device(), context, 1, 0, OnGrant, &calls, nullptr));
  NT_EXPECT_TRUE(rig->CancelAdapterChannel(rig.adapter(), rig.device(), context));
  NT_EXPECT_TRUE(!rig->CancelAdapterChannel(rig.adapter(), rig.device(), context));
  NT_EXPECT_SUCCESS(
      rig->AllocateAdapterChannelEx(rig.adapter(), rig.device(), context, 1, 0, OnGrant, &calls, nullptr));
  rig->FreeAdapterObject(rig.adapter(), DeallocateObject);
  NT_EXPECT_EQ(calls, 1);
}

NT_TEST(IoDmaVersion3, ListsBothWays) {
  Rig rig;
  PSCATTER_GATHER_LIST list = nullptr, again = nullptr;
  RtlFillMemory(rig.memory(), kBytes, 0x21);
  NT_ASSERT_SUCCESS(rig->GetScatterGatherListEx(rig.adapter(), rig.device(), rig.context(), rig.mdl(), 0,
                                                kBytes, DMA_SYNCHRONOUS_CALLBACK, nullptr, nullptr, TRUE,
                                                nullptr, nullptr, &list));
  NT_ASSERT_TRUE(list != nullptr);
  NT_EXPECT_EQ(AtAddress(list->Elements[0].Address)[PAGE_SIZE], 0x21);
  NT_EXPECT_EQ(
      rig->GetScatterGatherListEx(rig.adapter(), rig.device(), rig.context(), rig.mdl(), 0, kBytes,
                                  DMA_SYNCHRONOUS_CALLBACK, nullptr, nullptr, TRUE, nullptr, nullptr, &again),
      STATUS_INSUFFICIENT_RESOURCES);  // no registers are left
  NT_EXPECT_SUCCESS(rig->GetScatterGatherListEx(rig.adapter(), rig.device(), rig.context(), rig.mdl(), 0,
                                                kBytes, 0, OnList, &again, TRUE, nullptr, nullptr, nullptr));
  NT_EXPECT_TRUE(again == nullptr);
  rig->PutScatterGatherList(rig.adapter(), list, TRUE);
  NT_ASSERT_TRUE(again != nullptr);
  rig->PutScatterGatherList(rig.adapter(), again, TRUE);
}

NT_TEST(IoDmaVersion3, CommonBuffersInTheirBounds) {
  Rig rig;
  PHYSICAL_ADDRESS low, high, logical;
  low.QuadPart = 0x800000;
  high.QuadPart = 0xFFFFFF;
  PVOID buffer =
      rig->AllocateCommonBufferWithBounds(rig.adapter(), &low, &high, PAGE_SIZE, 0, nullptr, 0, &logical);
  NT_ASSERT_TRUE(buffer != nullptr);
  NT_EXPECT_TRUE(logical.QuadPart >= low.QuadPart && logical.QuadPart + PAGE_SIZE - 1 <= high.QuadPart);
  rig->FreeCommonBuffer(rig.adapter(), PAGE_SIZE, logical, buffer, TRUE);
  PDMA_COMMON_BUFFER_VECTOR vector;
  low.QuadPart = 0;
  NT_ASSERT_SUCCESS(
      rig->AllocateCommonBufferVector(rig.adapter(), low, high, MmCached, 0, 0, 4, 2 * PAGE_SIZE, &vector));
  for (ULONG i = 0; i < 4; ++i) {
    rig->GetCommonBufferFromVectorByIndex(rig.adapter(), vector, i, &buffer, &logical);
    NT_ASSERT_TRUE(buffer != nullptr);
    NT_EXPECT_EQ(MmGetPhysicalAddress(buffer).QuadPart, logical.QuadPart);
  }
  rig->FreeCommonBufferFromVector(rig.adapter(), vector, 1);
  rig->GetCommonBufferFromVectorByIndex(rig.adapter(), vector, 1, &buffer, &logical);
  NT_EXPECT_TRUE(buffer == nullptr);
  rig->FreeCommonBufferVector(rig.adapter(), vector);
}
