// The life of devices: reported, added, started, stopped, refused, removed. Oracle: the WDK's pages on the
// plug and play minor IRPs.
#include "pnp_fixture.h"

using toy::Child;
using toy::children;
using toy::PlaceOf;
using toy::PluggedChild;
using toy::WaitFor;

namespace {

// An open file of a child's function device, as a program holds it.
class OpenFile {
 public:
  explicit OpenFile(PDEVICE_OBJECT pdo) {
    UCHAR buffer[512];
    auto* name = reinterpret_cast<POBJECT_NAME_INFORMATION>(buffer);
    ULONG length;
    if (!NT_SUCCESS(ObQueryNameString(pdo, name, sizeof(buffer), &length))) return;
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &name->Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr,
                               nullptr);
    IO_STATUS_BLOCK iosb;
    if (!NT_SUCCESS(ZwCreateFile(&handle_, GENERIC_READ, &attributes, &iosb, nullptr, 0, FILE_SHARE_READ,
                                 FILE_OPEN, 0, nullptr, 0)))
      handle_ = nullptr;
  }
  ~OpenFile() { Close(); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  bool is_open() const { return handle_ != nullptr; }
  void Close() {
    if (handle_ != nullptr) ZwClose(handle_);
    handle_ = nullptr;
  }

 private:
  HANDLE handle_ = nullptr;
};

void Unplug(Child* child) {
  child->present = false;
  IoInvalidateDeviceRelations(toy::bus_pdo, BusRelations);
}

}  // namespace

NT_TEST(PnpDevice, RootDeviceIsAddedAndStarted) {
  toy::EnsureBus();
  NT_ASSERT_TRUE(toy::bus_pdo != nullptr);
  WCHAR enumerator[16] = {};
  ULONG length;
  NT_EXPECT_SUCCESS(IoGetDeviceProperty(toy::bus_pdo, DevicePropertyEnumeratorName, sizeof(enumerator),
                                        enumerator, &length));
  NT_EXPECT_EQ(length, 5 * sizeof(WCHAR));
  NT_EXPECT_TRUE(RtlCompareMemory(enumerator, L"ROOT", length) == length);
  NT_EXPECT_TRUE(nt_test::driver->DeviceObject != nullptr);
}

NT_TEST(PnpDevice, DetectedDeviceHasAPdo) {
  PDEVICE_OBJECT pdo = nullptr;
  NT_ASSERT_SUCCESS(IoReportDetectedDevice(nt_test::driver, Isa, 3, 0, nullptr, nullptr, FALSE, &pdo));
  NT_ASSERT_TRUE(pdo != nullptr);
  INTERFACE_TYPE type = InterfaceTypeUndefined;
  ULONG number = 0, length;
  NT_EXPECT_SUCCESS(IoGetDeviceProperty(pdo, DevicePropertyLegacyBusType, sizeof(type), &type, &length));
  NT_EXPECT_EQ(type, Isa);
  NT_EXPECT_SUCCESS(IoGetDeviceProperty(pdo, DevicePropertyBusNumber, sizeof(number), &number, &length));
  NT_EXPECT_EQ(number, 3u);
  ObDereferenceObject(pdo);
}

NT_TEST(PnpBus, ChildrenAreAddedFilteredStartedAndAskedForTheirState) {
  PluggedChild child(0);
  NT_EXPECT_TRUE(child->started);
  const LONG filter = PlaceOf(children[0], IRP_MN_FILTER_RESOURCE_REQUIREMENTS);
  const LONG start = PlaceOf(children[0], IRP_MN_START_DEVICE);
  const LONG state = PlaceOf(children[0], IRP_MN_QUERY_PNP_DEVICE_STATE);
  NT_EXPECT_TRUE(filter >= 0 && filter < start && start < state);
  NT_EXPECT_TRUE(child->pdo_counts[IRP_MN_QUERY_ID] >= 3);
  NT_EXPECT_EQ(child->counts[IRP_MN_START_DEVICE], 1);
  NT_EXPECT_TRUE(child->memory_start >= 0xD0000000 && child->memory_start <= 0xD00FF000);
  NT_EXPECT_EQ(child->memory_start & 0xFFF, 0u);
  NT_EXPECT_TRUE(child->interrupt_vector != 0);
}

NT_TEST(PnpBus, ResourcesOfTwoChildrenDoNotOverlap) {
  PluggedChild one(0), other(1);
  NT_EXPECT_TRUE(one->memory_start != other->memory_start);
  NT_EXPECT_TRUE(one->interrupt_vector != other->interrupt_vector);
}

NT_TEST(PnpBus, VanishedChildIsRemovedBySurprise) {
  PluggedChild child(0);
  Unplug(&children[0]);
  WaitFor([] { return children[0].pdo == nullptr; });
  NT_EXPECT_EQ(child->counts[IRP_MN_SURPRISE_REMOVAL], 1);
  NT_EXPECT_EQ(child->counts[IRP_MN_QUERY_REMOVE_DEVICE], 0);
  NT_EXPECT_EQ(child->counts[IRP_MN_REMOVE_DEVICE], 1);
  NT_EXPECT_TRUE(PlaceOf(children[0], IRP_MN_SURPRISE_REMOVAL) < PlaceOf(children[0], IRP_MN_REMOVE_DEVICE));
  NT_EXPECT_EQ(child->pdo_counts[IRP_MN_REMOVE_DEVICE], 1);
}

NT_TEST(PnpBus, RemovalBySurpriseEndsWhenTheLastFileIsClosed) {
  PluggedChild child(0), witness(1);
  OpenFile file(children[0].pdo);
  NT_ASSERT_TRUE(file.is_open());
  Unplug(&children[0]);
  WaitFor([] { return children[0].counts[IRP_MN_SURPRISE_REMOVAL] != 0; });
  IoInvalidateDeviceState(children[1].pdo);  // an action behind the one that would remove
  WaitFor([] { return children[1].counts[IRP_MN_QUERY_PNP_DEVICE_STATE] == 2; });
  NT_EXPECT_EQ(child->counts[IRP_MN_REMOVE_DEVICE], 0);
  file.Close();
  WaitFor([] { return children[0].pdo == nullptr; });
  NT_EXPECT_EQ(child->counts[IRP_MN_REMOVE_DEVICE], 1);
}

NT_TEST(PnpBus, EjectRemovesInOrderAndAsksTheBus) {
  PluggedChild child(0);
  IoRequestDeviceEject(children[0].pdo);
  WaitFor([] { return children[0].pdo == nullptr; });
  NT_EXPECT_EQ(child->counts[IRP_MN_SURPRISE_REMOVAL], 0);
  NT_EXPECT_EQ(child->counts[IRP_MN_QUERY_REMOVE_DEVICE], 1);
  NT_EXPECT_EQ(child->counts[IRP_MN_REMOVE_DEVICE], 1);
  NT_EXPECT_EQ(child->pdo_counts[IRP_MN_EJECT], 1);
}

NT_TEST(PnpBus, EjectThatADriverRefusesIsCancelled) {
  PluggedChild child(0);
  child->query_remove = STATUS_UNSUCCESSFUL;
  IoRequestDeviceEject(children[0].pdo);
  WaitFor([] { return children[0].counts[IRP_MN_CANCEL_REMOVE_DEVICE] != 0; });
  NT_EXPECT_EQ(child->counts[IRP_MN_REMOVE_DEVICE], 0);
  NT_EXPECT_EQ(child->pdo_counts[IRP_MN_EJECT], 0);
  NT_EXPECT_TRUE(child->started);
}

NT_TEST(PnpBus, EjectOfADeviceWithAnOpenFileIsRefused) {
  PluggedChild child(0);
  OpenFile file(children[0].pdo);
  NT_ASSERT_TRUE(file.is_open());
  IoRequestDeviceEject(children[0].pdo);
  WaitFor([] { return children[0].counts[IRP_MN_CANCEL_REMOVE_DEVICE] != 0; });
  NT_EXPECT_EQ(child->counts[IRP_MN_REMOVE_DEVICE], 0);
}

NT_TEST(PnpBus, ManyPlugsAndUnplugs) {
  for (int i = 0; i < 50; ++i) {
    PluggedChild one(0), other(1);
    NT_ASSERT_TRUE(one->started && other->started);
  }
}

NT_TEST(PnpState, FailedDeviceIsRemovedBySurprise) {
  PluggedChild child(0);
  child->state = PNP_DEVICE_FAILED;
  IoInvalidateDeviceState(children[0].pdo);
  WaitFor([] { return children[0].function == nullptr; });
  NT_EXPECT_EQ(child->counts[IRP_MN_SURPRISE_REMOVAL], 1);
  NT_EXPECT_EQ(child->counts[IRP_MN_REMOVE_DEVICE], 1);
  NT_EXPECT_TRUE(child->pdo != nullptr);  // its bus still reports it
}

NT_TEST(PnpState, DisabledDeviceIsRemovedInOrder) {
  PluggedChild child(0);
  child->state = PNP_DEVICE_DISABLED;
  IoInvalidateDeviceState(children[0].pdo);
  WaitFor([] { return children[0].function == nullptr; });
  NT_EXPECT_EQ(child->counts[IRP_MN_QUERY_REMOVE_DEVICE], 1);
  NT_EXPECT_EQ(child->counts[IRP_MN_SURPRISE_REMOVAL], 0);
  NT_EXPECT_EQ(child->counts[IRP_MN_REMOVE_DEVICE], 1);
}

NT_TEST(PnpState, ChangedRequirementsStopAndStart) {
  PluggedChild child(0);
  child->state = PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED;
  InterlockedExchange(&child->ordered, 0);
  IoInvalidateDeviceState(children[0].pdo);
  WaitFor([] { return children[0].counts[IRP_MN_START_DEVICE] >= 2; });
  const LONG query = PlaceOf(children[0], IRP_MN_QUERY_STOP_DEVICE);
  const LONG stop = PlaceOf(children[0], IRP_MN_STOP_DEVICE);
  NT_EXPECT_TRUE(query >= 0 && query < stop && stop < PlaceOf(children[0], IRP_MN_START_DEVICE));
  NT_EXPECT_EQ(child->counts[IRP_MN_START_DEVICE], 2);
  NT_EXPECT_EQ(child->counts[IRP_MN_REMOVE_DEVICE], 0);
}

NT_TEST(PnpProperty, OfAChild) {
  PluggedChild child(2);
  PDEVICE_OBJECT pdo = children[2].pdo;
  WCHAR text[64] = {};
  ULONG length = 0, number = 0;
  NT_EXPECT_EQ(IoGetDeviceProperty(pdo, DevicePropertyDeviceDescription, 0, nullptr, &length),
               STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_EQ(length, sizeof(L"A toy"));
  NT_EXPECT_SUCCESS(IoGetDeviceProperty(pdo, DevicePropertyDeviceDescription, sizeof(text), text, &length));
  NT_EXPECT_TRUE(RtlCompareMemory(text, L"A toy", length) == length);
  NT_EXPECT_SUCCESS(IoGetDeviceProperty(pdo, DevicePropertyLocationInformation, sizeof(text), text, &length));
  NT_EXPECT_TRUE(RtlCompareMemory(text, L"Slot 1", length) == length);
  NT_EXPECT_SUCCESS(IoGetDeviceProperty(pdo, DevicePropertyHardwareID, sizeof(text), text, &length));
  NT_EXPECT_EQ(length, sizeof(L"TOY\\Child\0"));
  NT_EXPECT_SUCCESS(IoGetDeviceProperty(pdo, DevicePropertyEnumeratorName, sizeof(text), text, &length));
  NT_EXPECT_TRUE(RtlCompareMemory(text, L"TOY", length) == length);
  NT_EXPECT_SUCCESS(
      IoGetDeviceProperty(pdo, DevicePropertyPhysicalDeviceObjectName, sizeof(text), text, &length));
  NT_EXPECT_TRUE(RtlCompareMemory(text, L"\\Device\\", 8 * sizeof(WCHAR)) == 8 * sizeof(WCHAR));
  NT_EXPECT_SUCCESS(IoGetDeviceProperty(pdo, DevicePropertyAddress, sizeof(number), &number, &length));
  NT_EXPECT_EQ(number, 2u);
  NT_EXPECT_SUCCESS(IoGetDeviceProperty(pdo, DevicePropertyRemovalPolicy, sizeof(number), &number, &length));
  NT_EXPECT_EQ(number, 2u);  // expects orderly removal
  NT_EXPECT_EQ(IoGetDeviceProperty(pdo, DevicePropertyUINumber, sizeof(number), &number, &length),
               STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_EQ(IoGetDeviceProperty(pdo, DevicePropertyFriendlyName, sizeof(text), text, &length),
               STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_EQ(IoGetDeviceProperty(pdo, DevicePropertyAllocatedResources, 0, nullptr, &length),
               STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_TRUE(length >= sizeof(CM_RESOURCE_LIST));
}

NT_TEST(PnpProperty, KeysOfDeviceAndDriverKeepValues) {
  PluggedChild child(2);
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"Colour");
  const ULONG types[] = {PLUGPLAY_REGKEY_DEVICE, PLUGPLAY_REGKEY_DRIVER};
  for (const ULONG type : types) {
    for (ULONG round = 0; round < 2; ++round) {
      HANDLE key;
      NT_ASSERT_SUCCESS(IoOpenDeviceRegistryKey(children[2].pdo, type, KEY_ALL_ACCESS, &key));
      ULONG value = 41 + type;
      if (round == 0) {
        NT_EXPECT_SUCCESS(ZwSetValueKey(key, &name, 0, REG_DWORD, &value, sizeof(value)));
      } else {
        UCHAR buffer[64];
        ULONG length;
        NT_EXPECT_SUCCESS(
            ZwQueryValueKey(key, &name, KeyValuePartialInformation, buffer, sizeof(buffer), &length));
        const auto* found = reinterpret_cast<PKEY_VALUE_PARTIAL_INFORMATION>(buffer);
        RtlCopyMemory(&value, found->Data, sizeof(value));
        NT_EXPECT_EQ(value, 41 + type);
      }
      ZwClose(key);
    }
  }
}

NT_TEST(PnpProperty, DataIsStoredByFormatAndNumber) {
  PluggedChild child(2);
  const DEVPROPKEY key = {{0x12345678, 1, 2, {3, 4, 5, 6, 7, 8, 9, 10}}, 7};
  ULONG value = 99, read = 0, length;
  DEVPROPTYPE type;
  NT_EXPECT_EQ(IoGetDevicePropertyData(children[2].pdo, &key, 0, 0, sizeof(read), &read, &length, &type),
               STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_SUCCESS(
      IoSetDevicePropertyData(children[2].pdo, &key, 0, 0, DEVPROP_TYPE_UINT32, sizeof(value), &value));
  NT_EXPECT_SUCCESS(
      IoGetDevicePropertyData(children[2].pdo, &key, 0, 0, sizeof(read), &read, &length, &type));
  NT_EXPECT_EQ(read, 99u);
  NT_EXPECT_EQ(type, static_cast<DEVPROPTYPE>(DEVPROP_TYPE_UINT32));
  NT_EXPECT_SUCCESS(IoSetDevicePropertyData(children[2].pdo, &key, 0, 0, DEVPROP_TYPE_EMPTY, 0, nullptr));
  NT_EXPECT_EQ(IoGetDevicePropertyData(children[2].pdo, &key, 0, 0, sizeof(read), &read, &length, &type),
               STATUS_OBJECT_NAME_NOT_FOUND);
}

namespace {

struct Interrupts {
  volatile LONG count;
  volatile ULONG message;
  volatile KIRQL irql;
};

BOOLEAN NTAPI OnMessage(PKINTERRUPT, PVOID context, ULONG message) {
  auto* interrupts = static_cast<Interrupts*>(context);
  interrupts->message = message;
  interrupts->irql = KeGetCurrentIrql();
  InterlockedIncrement(&interrupts->count);
  return TRUE;
}

BOOLEAN NTAPI OnLine(PKINTERRUPT, PVOID) {
  return FALSE;
}

}  // namespace

NT_TEST(PnpInterrupt, MessagesOfADevice) {
  PluggedChild child(0);
  Interrupts interrupts = {};
  PIO_INTERRUPT_MESSAGE_INFO table = nullptr;
  IO_CONNECT_INTERRUPT_PARAMETERS connect = {};
  connect.Version = CONNECT_MESSAGE_BASED;
  connect.MessageBased.PhysicalDeviceObject = children[0].pdo;
  connect.MessageBased.ConnectionContext.InterruptMessageTable = &table;
  connect.MessageBased.MessageServiceRoutine = OnMessage;
  connect.MessageBased.ServiceContext = &interrupts;
  NT_ASSERT_SUCCESS(IoConnectInterruptEx(&connect));
  NT_EXPECT_EQ(connect.Version, static_cast<ULONG>(CONNECT_MESSAGE_BASED));
  NT_ASSERT_TRUE(table != nullptr);
  NT_EXPECT_EQ(table->MessageCount, 1u);
  NT_EXPECT_EQ(table->MessageInfo[0].Vector, child->interrupt_vector);
  NT_EXPECT_EQ(table->MessageInfo[0].Irql, child->interrupt_vector >> 4);
  NT_EXPECT_EQ(table->UnifiedIrql, table->MessageInfo[0].Irql);
  // The machine's message window is reached by a processor's write too.
  volatile auto* window = static_cast<volatile ULONG*>(
      MmMapIoSpace(table->MessageInfo[0].MessageAddress, sizeof(ULONG), MmNonCached));
  NT_ASSERT_TRUE(window != nullptr);
  *window = table->MessageInfo[0].MessageData;
  WaitFor([&] { return interrupts.count != 0; });
  MmUnmapIoSpace(const_cast<ULONG*>(window), sizeof(ULONG));
  NT_EXPECT_EQ(interrupts.count, 1);
  NT_EXPECT_EQ(interrupts.message, 0u);
  NT_EXPECT_EQ(interrupts.irql, table->MessageInfo[0].Irql);
  IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect = {};
  disconnect.Version = connect.Version;
  disconnect.ConnectionContext.InterruptMessageTable = table;
  IoDisconnectInterruptEx(&disconnect);
}

NT_TEST(PnpInterrupt, DeviceWithoutALine) {
  PluggedChild child(0);
  PKINTERRUPT interrupt;
  IO_CONNECT_INTERRUPT_PARAMETERS connect = {};
  connect.Version = CONNECT_LINE_BASED;
  connect.LineBased.PhysicalDeviceObject = children[0].pdo;
  connect.LineBased.InterruptObject = &interrupt;
  connect.LineBased.ServiceRoutine = OnLine;
  NT_EXPECT_EQ(IoConnectInterruptEx(&connect), STATUS_NOT_FOUND);
  connect.Version = 77;
  NT_EXPECT_EQ(IoConnectInterruptEx(&connect), STATUS_NOT_SUPPORTED);
  NT_EXPECT_EQ(connect.Version, static_cast<ULONG>(CONNECT_FULLY_SPECIFIED));
}
