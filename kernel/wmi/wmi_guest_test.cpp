// WMI providers, queries and events. Oracle: the WDK pages of IRP_MN_REGINFO_EX, IRP_MN_QUERY_ALL_DATA and
// IoWMI...
#include "nt_test.h"

#include <wmistr.h>

namespace {

GUID kBlock = {0x5D2F9A11, 0x10A2, 0x4B3C, {0x88, 0x01, 0x42, 0x17, 0x9E, 0x00, 0x51, 0x02}};
GUID kOther = {0x5D2F9A12, 0x10A2, 0x4B3C, {0x88, 0x01, 0x42, 0x17, 0x9E, 0x00, 0x51, 0x02}};

struct Provider {
  PDEVICE_OBJECT device;
  volatile LONG asked;  // IRP_MN_REGINFO...
  bool only_old;        // knows IRP_MN_REGINFO alone
  bool small_first;     // pretends that the first buffer is too small
  ULONG blocks;
  ULONG data;
  KEVENT answered;
};
Provider providers[2];

Provider* ProviderOf(PDEVICE_OBJECT device) {
  return device == providers[0].device ? &providers[0] : &providers[1];
}

NTSTATUS Complete(PIRP irp, NTSTATUS status, ULONG_PTR information) {
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = information;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
  return status;
}

NTSTATUS TellBlocks(Provider* provider, PIRP irp, PIO_STACK_LOCATION stack) {
  if (provider->only_old && stack->MinorFunction == IRP_MN_REGINFO_EX)
    return Complete(irp, STATUS_NOT_SUPPORTED, 0);
  auto* info = static_cast<PWMIREGINFO>(stack->Parameters.WMI.Buffer);
  const ULONG size = FIELD_OFFSET(WMIREGINFO, WmiRegGuid) + provider->blocks * sizeof(WMIREGGUID);
  if (InterlockedIncrement(&provider->asked) == 1 && provider->small_first) {
    info->BufferSize = stack->Parameters.WMI.BufferSize + 100;
    return Complete(irp, STATUS_BUFFER_TOO_SMALL, sizeof(ULONG));
  }
  NT_EXPECT_TRUE(!provider->small_first || stack->Parameters.WMI.BufferSize > 4096);
  info->BufferSize = size;
  info->GuidCount = provider->blocks;
  for (ULONG i = 0; i < provider->blocks; ++i) {
    info->WmiRegGuid[i].Guid = i == 0 ? kBlock : kOther;
    info->WmiRegGuid[i].InstanceCount = 1;
  }
  const NTSTATUS status = Complete(irp, STATUS_SUCCESS, size);
  KeSetEvent(&provider->answered, IO_NO_INCREMENT, FALSE);
  return status;
}

NTSTATUS TellData(Provider* provider, PIRP irp, PIO_STACK_LOCATION stack) {
  auto* node = static_cast<PWNODE_ALL_DATA>(stack->Parameters.WMI.Buffer);
  NT_EXPECT_TRUE((node->WnodeHeader.Flags & WNODE_FLAG_ALL_DATA) != 0);
  const auto* path = static_cast<const GUID*>(stack->Parameters.WMI.DataPath);
  NT_EXPECT_TRUE(memcmp(path, &kBlock, sizeof(GUID)) == 0 || memcmp(path, &kOther, sizeof(GUID)) == 0);
  NT_EXPECT_EQ(memcmp(path, &node->WnodeHeader.Guid, sizeof(GUID)), 0);
  const ULONG size = sizeof(WNODE_ALL_DATA) + provider->data;
  if (stack->Parameters.WMI.BufferSize < size) {
    auto* small = reinterpret_cast<PWNODE_TOO_SMALL>(node);
    small->WnodeHeader.BufferSize = sizeof(*small);
    small->WnodeHeader.Flags |= WNODE_FLAG_TOO_SMALL;
    small->SizeNeeded = size;
    return Complete(irp, STATUS_SUCCESS, sizeof(*small));
  }
  node->DataBlockOffset = sizeof(WNODE_ALL_DATA);
  node->InstanceCount = 1;
  node->FixedInstanceSize = provider->data;
  memset(node + 1, static_cast<int>(provider->data & 0xFF), provider->data);
  return Complete(irp, STATUS_SUCCESS, size);
}

NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT device, PIRP irp) {
  Provider* provider = ProviderOf(device);
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  NT_EXPECT_EQ(stack->Parameters.WMI.ProviderId, (ULONG_PTR)device);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  switch (stack->MinorFunction) {
    case IRP_MN_REGINFO:
    case IRP_MN_REGINFO_EX:
      return TellBlocks(provider, irp, stack);
    case IRP_MN_QUERY_ALL_DATA:
      return TellData(provider, irp, stack);
    default:
      return Complete(irp, STATUS_NOT_SUPPORTED, 0);
  }
}

bool Make(Provider* provider, ULONG blocks, ULONG data) {
  RtlZeroMemory(provider, sizeof(*provider));
  provider->blocks = blocks;
  provider->data = data;
  KeInitializeEvent(&provider->answered, NotificationEvent, FALSE);
  nt_test::driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
  if (!NT_SUCCESS(
          IoCreateDevice(nt_test::driver, 0, nullptr, FILE_DEVICE_UNKNOWN, 0, FALSE, &provider->device)))
    return false;
  provider->device->Flags &= ~DO_DEVICE_INITIALIZING;
  return true;
}

void WaitForAnswer(Provider* provider) {
  KeWaitForSingleObject(&provider->answered, Executive, KernelMode, FALSE, nullptr);
}

// A query that finds the block as soon as the provider's answer is known.
NTSTATUS Query(PVOID block, PULONG size, PVOID buffer) {
  for (int i = 0; i < 10000; ++i) {
    const NTSTATUS status = IoWMIQueryAllData(block, size, buffer);
    if (status != STATUS_WMI_GUID_NOT_FOUND) return status;
    LARGE_INTEGER moment;
    moment.QuadPart = -10'000;
    KeDelayExecutionThread(KernelMode, FALSE, &moment);
  }
  return STATUS_TIMEOUT;
}

struct Heard {
  KEVENT event;
  volatile LONG count;
  ULONG value;
};

VOID NTAPI OnEvent(PVOID wnode, PVOID context) {
  auto* heard = static_cast<Heard*>(context);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  heard->value = *reinterpret_cast<ULONG*>(static_cast<PWNODE_HEADER>(wnode) + 1);
  InterlockedIncrement(&heard->count);
  KeSetEvent(&heard->event, IO_NO_INCREMENT, FALSE);
}

PWNODE_HEADER NewEvent(const GUID& guid, ULONG value, ULONG flags) {
  auto* node =
      static_cast<PWNODE_HEADER>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(WNODE_HEADER) + 8, 'tseT'));
  if (node == nullptr) return nullptr;
  RtlZeroMemory(node, sizeof(*node));
  node->BufferSize = sizeof(WNODE_HEADER) + 8;
  node->Guid = guid;
  node->Flags = flags;
  *reinterpret_cast<ULONG*>(node + 1) = value;
  return node;
}

}  // namespace

NT_TEST(Wmi, RegistrationAsksTheDriver) {
  NT_ASSERT_TRUE(Make(&providers[0], 2, 16));
  PDEVICE_OBJECT device = providers[0].device;
  NT_EXPECT_EQ(IoWMIDeviceObjectToProviderId(device), 0u);
  NT_EXPECT_EQ(IoWMIRegistrationControl(device, WMIREG_ACTION_DEREGISTER), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(IoWMIRegistrationControl(device, WMIREG_ACTION_REGISTER), STATUS_SUCCESS);
  WaitForAnswer(&providers[0]);
  NT_EXPECT_EQ(providers[0].asked, 1);
  NT_EXPECT_TRUE(IoWMIDeviceObjectToProviderId(device) != 0);
  KeClearEvent(&providers[0].answered);
  NT_EXPECT_EQ(IoWMIRegistrationControl(device, WMIREG_ACTION_UPDATE_GUIDS), STATUS_SUCCESS);
  WaitForAnswer(&providers[0]);
  NT_EXPECT_EQ(providers[0].asked, 2);
  KeClearEvent(&providers[0].answered);
  NT_EXPECT_EQ(IoWMIRegistrationControl(device, WMIREG_ACTION_REREGISTER), STATUS_SUCCESS);
  WaitForAnswer(&providers[0]);
  NT_EXPECT_EQ(providers[0].asked, 3);
  NT_EXPECT_EQ(IoWMIRegistrationControl(device, 77), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(IoWMIRegistrationControl(device, WMIREG_ACTION_DEREGISTER), STATUS_SUCCESS);
  NT_EXPECT_EQ(IoWMIDeviceObjectToProviderId(device), 0u);
  IoDeleteDevice(device);
}

NT_TEST(Wmi, QueryCollectsFromEveryProvider) {
  NT_ASSERT_TRUE(Make(&providers[0], 1, 16));
  NT_ASSERT_TRUE(Make(&providers[1], 2, 3000));  // needs a second, larger buffer
  providers[0].only_old = true;
  providers[1].small_first = true;
  PVOID block, other;
  NT_ASSERT_SUCCESS(IoWMIOpenBlock(&kBlock, 1, &block));
  NT_ASSERT_SUCCESS(IoWMIOpenBlock(&kOther, 1, &other));
  ULONG size = 0;
  NT_EXPECT_EQ(IoWMIQueryAllData(block, &size, nullptr), STATUS_WMI_GUID_NOT_FOUND);
  for (Provider& provider : providers) {
    NT_EXPECT_SUCCESS(IoWMIRegistrationControl(provider.device, WMIREG_ACTION_REGISTER));
    WaitForAnswer(&provider);
    size = 0;
    NT_EXPECT_EQ(Query(&provider == &providers[0] ? block : other, &size, nullptr), STATUS_BUFFER_TOO_SMALL);
  }
  size = 0;
  NT_EXPECT_EQ(IoWMIQueryAllData(block, &size, nullptr), STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_TRUE(size >= 2 * sizeof(WNODE_ALL_DATA) + 3016);
  static UCHAR buffer[8192];
  ULONG room = sizeof(buffer);
  NT_EXPECT_EQ(IoWMIQueryAllData(block, &room, buffer), STATUS_SUCCESS);
  NT_EXPECT_EQ(room, size);
  auto* first = reinterpret_cast<PWNODE_ALL_DATA>(buffer);
  NT_EXPECT_EQ(first->WnodeHeader.ProviderId, IoWMIDeviceObjectToProviderId(providers[0].device));
  NT_EXPECT_EQ(first->FixedInstanceSize, 16u);
  NT_ASSERT_TRUE(first->WnodeHeader.Linkage != 0 && first->WnodeHeader.Linkage < room);
  auto* second = reinterpret_cast<PWNODE_ALL_DATA>(buffer + first->WnodeHeader.Linkage);
  NT_EXPECT_EQ(second->WnodeHeader.ProviderId, IoWMIDeviceObjectToProviderId(providers[1].device));
  NT_EXPECT_EQ(second->FixedInstanceSize, 3000u);
  NT_EXPECT_EQ(reinterpret_cast<UCHAR*>(second + 1)[2999], 3000 & 0xFF);
  NT_EXPECT_EQ(second->WnodeHeader.Linkage, 0u);
  for (Provider& provider : providers) {
    NT_EXPECT_SUCCESS(IoWMIRegistrationControl(provider.device, WMIREG_ACTION_DEREGISTER));
    IoDeleteDevice(provider.device);
  }
  NT_EXPECT_EQ(IoWMIQueryAllData(block, &room, buffer), STATUS_WMI_GUID_NOT_FOUND);
  ObDereferenceObject(block);
  ObDereferenceObject(other);
}

NT_TEST(Wmi, EventsReachTheirListeners) {
  static Heard heard;
  KeInitializeEvent(&heard.event, SynchronizationEvent, FALSE);
  PVOID block;
  NT_ASSERT_SUCCESS(IoWMIOpenBlock(&kBlock, 4, &block));
  NT_EXPECT_SUCCESS(IoWMISetNotificationCallback(block, OnEvent, &heard));
  PWNODE_HEADER node = NewEvent(kBlock, 17, WNODE_FLAG_EVENT_ITEM);
  NT_ASSERT_TRUE(node != nullptr);
  NT_EXPECT_EQ(IoWMIWriteEvent(node), STATUS_SUCCESS);
  KeWaitForSingleObject(&heard.event, Executive, KernelMode, FALSE, nullptr);
  NT_EXPECT_EQ(heard.value, 17u);
  NT_EXPECT_EQ(heard.count, 1);
  node = NewEvent(kOther, 18, WNODE_FLAG_EVENT_ITEM);
  NT_ASSERT_TRUE(node != nullptr);
  NT_EXPECT_EQ(IoWMIWriteEvent(node), STATUS_SUCCESS);  // nobody listens for this one
  node = NewEvent(kBlock, 19, WNODE_FLAG_EVENT_ITEM);
  NT_ASSERT_TRUE(node != nullptr);
  NT_EXPECT_EQ(IoWMIWriteEvent(node), STATUS_SUCCESS);
  KeWaitForSingleObject(&heard.event, Executive, KernelMode, FALSE, nullptr);
  NT_EXPECT_EQ(heard.value, 19u);
  NT_EXPECT_EQ(heard.count, 2);
  node = NewEvent(kBlock, 20, WNODE_FLAG_ALL_DATA);
  NT_ASSERT_TRUE(node != nullptr);
  NT_EXPECT_EQ(IoWMIWriteEvent(node), STATUS_INVALID_PARAMETER);
  ExFreePool(node);
  NT_EXPECT_EQ(IoWMIWriteEvent(nullptr), STATUS_INVALID_PARAMETER);
  ObDereferenceObject(block);
}
