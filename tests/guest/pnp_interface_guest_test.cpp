// Device interfaces and notification. Oracle: the WDK's pages of the routines.
#define INITGUID
#include "ddi_fs.h"
#include "pnp_fixture.h"
#include <ioevent.h>
#include <wdmguid.h>

using toy::children;
using toy::PluggedChild;
using toy::WaitFor;

namespace {

constexpr GUID kToys = {0x7e5b1c01, 0x1111, 0x2222, {1, 2, 3, 4, 5, 6, 7, 8}};
constexpr GUID kOthers = {0x7e5b1c02, 0x1111, 0x2222, {1, 2, 3, 4, 5, 6, 7, 8}};
constexpr GUID kOwnEvent = {0x7e5b1c03, 0x1111, 0x2222, {1, 2, 3, 4, 5, 6, 7, 8}};

struct Heard {
  volatile LONG arrivals, removals, queries, cancels, completions, own;
  NTSTATUS answer;
  PVOID entry;
  bool unregister;
};

NTSTATUS NTAPI Hear(PVOID structure, PVOID context) {
  auto* heard = static_cast<Heard*>(context);
  const auto* header = static_cast<PPLUGPLAY_NOTIFICATION_HEADER>(structure);
  const auto is = [&](const GUID& event) {
    return RtlCompareMemory(&header->Event, &event, sizeof(GUID)) == sizeof(GUID);
  };
  if (is(GUID_DEVICE_INTERFACE_ARRIVAL)) InterlockedIncrement(&heard->arrivals);
  if (is(GUID_DEVICE_INTERFACE_REMOVAL)) InterlockedIncrement(&heard->removals);
  if (is(GUID_TARGET_DEVICE_REMOVE_CANCELLED)) InterlockedIncrement(&heard->cancels);
  if (is(GUID_TARGET_DEVICE_REMOVE_COMPLETE)) InterlockedIncrement(&heard->completions);
  if (is(kOwnEvent)) InterlockedIncrement(&heard->own);
  if (is(GUID_TARGET_DEVICE_QUERY_REMOVE)) {
    InterlockedIncrement(&heard->queries);
    return heard->answer;
  }
  return STATUS_SUCCESS;
}

// An interface of a child, registered and freed.
class Registered {
 public:
  Registered(PDEVICE_OBJECT pdo, const GUID& id, const wchar_t* reference = nullptr) {
    UNICODE_STRING text;
    RtlInitUnicodeString(&text, reference);
    status_ = IoRegisterDeviceInterface(pdo, &id, reference != nullptr ? &text : nullptr, &name_);
  }
  ~Registered() {
    if (NT_SUCCESS(status_)) RtlFreeUnicodeString(&name_);
  }
  Registered(const Registered&) = delete;
  Registered& operator=(const Registered&) = delete;
  NTSTATUS status() const { return status_; }
  PUNICODE_STRING name() { return &name_; }
  NTSTATUS Set(bool enable) { return IoSetDeviceInterfaceState(&name_, enable); }

 private:
  NTSTATUS status_;
  UNICODE_STRING name_ = {};
};

NTSTATUS Open(PUNICODE_STRING name, PFILE_OBJECT* file) {
  PDEVICE_OBJECT device;
  return IoGetDeviceObjectPointer(name, FILE_READ_DATA, file, &device);
}

ULONG CountOf(const GUID& id, PDEVICE_OBJECT pdo, ULONG flags) {
  PWSTR list;
  if (!NT_SUCCESS(IoGetDeviceInterfaces(&id, pdo, flags, &list))) return 99;
  ULONG count = 0;
  for (PWSTR at = list; *at != 0; ++at) {
    ++count;
    while (*at != 0) ++at;
  }
  ExFreePool(list);
  return count;
}

}  // namespace

NT_TEST(PnpInterface, EnabledNameOpensTheDevice) {
  PluggedChild child(0);
  Registered one(children[0].pdo, kToys);
  NT_ASSERT_SUCCESS(one.status());
  PFILE_OBJECT file;
  NT_EXPECT_TRUE(!NT_SUCCESS(Open(one.name(), &file)));
  NT_EXPECT_EQ(CountOf(kToys, nullptr, 0), 0u);
  NT_EXPECT_EQ(CountOf(kToys, nullptr, DEVICE_INTERFACE_INCLUDE_NONACTIVE), 1u);
  NT_EXPECT_EQ(one.Set(true), STATUS_SUCCESS);
  NT_EXPECT_EQ(one.Set(true), STATUS_OBJECT_NAME_EXISTS);
  NT_ASSERT_SUCCESS(Open(one.name(), &file));
  NT_EXPECT_TRUE(IoGetRelatedDeviceObject(file) == children[0].function);
  ObDereferenceObject(file);
  NT_EXPECT_EQ(CountOf(kToys, nullptr, 0), 1u);
  NT_EXPECT_EQ(CountOf(kToys, children[0].pdo, 0), 1u);
  NT_EXPECT_EQ(CountOf(kToys, toy::bus_pdo, 0), 0u);
  NT_EXPECT_EQ(one.Set(false), STATUS_SUCCESS);
  NT_EXPECT_EQ(one.Set(false), STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_TRUE(!NT_SUCCESS(Open(one.name(), &file)));
}

NT_TEST(PnpInterface, SameNameAgainAndReferencesShareALink) {
  PluggedChild child(0);
  Registered one(children[0].pdo, kToys, L"left"), again(children[0].pdo, kToys, L"left"),
      other(children[0].pdo, kToys, L"right");
  NT_ASSERT_TRUE(NT_SUCCESS(one.status()) && NT_SUCCESS(again.status()) && NT_SUCCESS(other.status()));
  NT_EXPECT_TRUE(RtlEqualUnicodeString(one.name(), again.name(), FALSE));
  NT_EXPECT_TRUE(!RtlEqualUnicodeString(one.name(), other.name(), TRUE));
  NT_EXPECT_SUCCESS(one.Set(true));
  NT_EXPECT_SUCCESS(other.Set(true));
  NT_EXPECT_SUCCESS(one.Set(false));
  PFILE_OBJECT file;
  NT_ASSERT_SUCCESS(Open(other.name(), &file));
  UNICODE_STRING right;
  RtlInitUnicodeString(&right, L"\\right");
  NT_EXPECT_TRUE(RtlEqualUnicodeString(&file->FileName, &right, TRUE));
  ObDereferenceObject(file);
  Registered bad(children[0].pdo, kToys, L"a\\b");
  NT_EXPECT_EQ(bad.status(), STATUS_INVALID_DEVICE_REQUEST);
}

NT_TEST(PnpInterface, AliasInAnotherClass) {
  PluggedChild child(0);
  Registered one(children[0].pdo, kToys), other(children[0].pdo, kOthers);
  UNICODE_STRING alias;
  NT_ASSERT_SUCCESS(IoGetDeviceInterfaceAlias(one.name(), &kOthers, &alias));
  NT_EXPECT_TRUE(RtlEqualUnicodeString(&alias, other.name(), TRUE));
  RtlFreeUnicodeString(&alias);
  NT_EXPECT_EQ(IoGetDeviceInterfaceAlias(one.name(), &kOwnEvent, &alias), STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(PnpInterface, KeyOfAnInterface) {
  PluggedChild child(0);
  Registered one(children[0].pdo, kToys);
  HANDLE key;
  NT_ASSERT_SUCCESS(IoOpenDeviceInterfaceRegistryKey(one.name(), KEY_ALL_ACCESS, &key));
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"Size");
  ULONG value = 5;
  NT_EXPECT_SUCCESS(ZwSetValueKey(key, &name, 0, REG_DWORD, &value, sizeof(value)));
  ZwClose(key);
}

NT_TEST(PnpInterface, RemovalOfTheDeviceDisables) {
  PluggedChild child(0);
  Registered one(children[0].pdo, kToys);
  NT_EXPECT_SUCCESS(one.Set(true));
  children[0].present = false;
  IoInvalidateDeviceRelations(toy::bus_pdo, BusRelations);
  WaitFor([] { return children[0].pdo == nullptr; });
  WaitFor(
      [] { return CountOf(kToys, nullptr, DEVICE_INTERFACE_INCLUDE_NONACTIVE) == 0; });  // after the request
}

NT_TEST(PnpNotification, InterfacesThatComeAndGo) {
  PluggedChild child(0);
  Registered one(children[0].pdo, kToys), other(children[0].pdo, kOthers);
  Heard heard = {};
  NT_ASSERT_SUCCESS(IoRegisterPlugPlayNotification(EventCategoryDeviceInterfaceChange, 0,
                                                   const_cast<GUID*>(&kToys), nt_test::driver, Hear, &heard,
                                                   &heard.entry));
  NT_EXPECT_SUCCESS(other.Set(true));
  NT_EXPECT_SUCCESS(one.Set(true));
  WaitFor([&] { return heard.arrivals != 0; });
  Heard late = {};
  NT_ASSERT_SUCCESS(IoRegisterPlugPlayNotification(
      EventCategoryDeviceInterfaceChange, PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES,
      const_cast<GUID*>(&kToys), nt_test::driver, Hear, &late, &late.entry));
  NT_EXPECT_EQ(late.arrivals, 1);
  NT_EXPECT_SUCCESS(one.Set(false));
  WaitFor([&] { return heard.removals != 0 && late.removals != 0; });
  NT_EXPECT_EQ(heard.arrivals, 1);
  NT_EXPECT_SUCCESS(IoUnregisterPlugPlayNotification(heard.entry));
  NT_EXPECT_SUCCESS(IoUnregisterPlugPlayNotificationEx(late.entry));
  NT_EXPECT_SUCCESS(one.Set(true));
  IoInvalidateDeviceState(children[0].pdo);  // behind the delivery of that
  WaitFor([] { return children[0].counts[IRP_MN_QUERY_PNP_DEVICE_STATE] == 2; });
  NT_EXPECT_EQ(heard.arrivals, 1);
}

NT_TEST(PnpNotification, RefusalOfATargetsRemoval) {
  PluggedChild child(0);
  Registered one(children[0].pdo, kToys);
  NT_ASSERT_SUCCESS(one.Set(true));
  PFILE_OBJECT file;
  NT_ASSERT_SUCCESS(Open(one.name(), &file));
  Heard heard = {};
  heard.answer = STATUS_UNSUCCESSFUL;
  NT_ASSERT_SUCCESS(IoRegisterPlugPlayNotification(EventCategoryTargetDeviceChange, 0, file, nt_test::driver,
                                                   Hear, &heard, &heard.entry));
  IoRequestDeviceEject(children[0].pdo);
  WaitFor([&] { return heard.cancels != 0; });
  NT_EXPECT_EQ(heard.queries, 1);
  NT_EXPECT_EQ(child->counts[IRP_MN_QUERY_REMOVE_DEVICE], 0);
  NT_EXPECT_SUCCESS(IoUnregisterPlugPlayNotification(heard.entry));
  ObDereferenceObject(file);
}

NT_TEST(PnpNotification, EventsOfADriversOwn) {
  PluggedChild child(0);
  Registered one(children[0].pdo, kToys);
  NT_ASSERT_SUCCESS(one.Set(true));
  PFILE_OBJECT file;
  NT_ASSERT_SUCCESS(Open(one.name(), &file));
  Heard heard = {};
  NT_ASSERT_SUCCESS(IoRegisterPlugPlayNotification(EventCategoryTargetDeviceChange, 0, file, nt_test::driver,
                                                   Hear, &heard, &heard.entry));
  TARGET_DEVICE_CUSTOM_NOTIFICATION event = {};
  event.Version = 1;
  event.Size = sizeof(event);
  event.Event = kOwnEvent;
  event.NameBufferOffset = -1;
  NT_EXPECT_SUCCESS(IoReportTargetDeviceChange(children[0].pdo, &event));
  NT_EXPECT_EQ(heard.own, 1);
  NT_EXPECT_EQ(IoReportTargetDeviceChangeAsynchronous(children[0].pdo, &event, nullptr, nullptr),
               STATUS_PENDING);
  WaitFor([&] { return heard.own == 2; });
  event.Event = GUID_TARGET_DEVICE_QUERY_REMOVE;
  NT_EXPECT_EQ(IoReportTargetDeviceChange(children[0].pdo, &event), STATUS_INVALID_DEVICE_REQUEST);
  NT_EXPECT_SUCCESS(IoUnregisterPlugPlayNotification(heard.entry));
  ObDereferenceObject(file);
}

namespace {

struct VolumeHeard {
  volatile LONG count;
  GUID last;
  PFILE_OBJECT file;
  LONG name_offset;
};

NTSTATUS NTAPI HearVolume(PVOID structure, PVOID context) {
  auto* heard = static_cast<VolumeHeard*>(context);
  const auto* notification = static_cast<PTARGET_DEVICE_CUSTOM_NOTIFICATION>(structure);
  heard->last = notification->Event;
  heard->file = notification->FileObject;
  heard->name_offset = notification->NameBufferOffset;
  InterlockedIncrement(&heard->count);
  return STATUS_SUCCESS;
}

bool Same(const GUID& a, const GUID& b) {
  return RtlCompareMemory(&a, &b, sizeof(GUID)) == sizeof(GUID);
}

}  // namespace

NT_TEST(FsRtlVolumeEvents, TellWhoRegisteredForTheDevice) {
  PluggedChild child(0);
  Registered one(children[0].pdo, kToys);
  NT_ASSERT_SUCCESS(one.Set(true));
  PFILE_OBJECT file;
  NT_ASSERT_SUCCESS(Open(one.name(), &file));
  VolumeHeard heard = {};
  PVOID entry;
  NT_ASSERT_SUCCESS(IoRegisterPlugPlayNotification(EventCategoryTargetDeviceChange, 0, file, nt_test::driver,
                                                   HearVolume, &heard, &entry));
  LONG told = 0;
  // Who holds the volume has heard of these when the file system goes on.
  NT_EXPECT_SUCCESS(FsRtlNotifyVolumeEvent(file, FSRTL_VOLUME_DISMOUNT));
  NT_EXPECT_EQ(heard.count, ++told);
  NT_EXPECT_TRUE(Same(heard.last, GUID_IO_VOLUME_DISMOUNT));
  NT_EXPECT_SUCCESS(FsRtlNotifyVolumeEvent(file, FSRTL_VOLUME_LOCK));
  NT_EXPECT_EQ(heard.count, ++told);
  NT_EXPECT_TRUE(Same(heard.last, GUID_IO_VOLUME_LOCK));
  const struct {
    ULONG code;
    const GUID* guid;
  } kLater[] = {{FSRTL_VOLUME_DISMOUNT_FAILED, &GUID_IO_VOLUME_DISMOUNT_FAILED},
                {FSRTL_VOLUME_LOCK_FAILED, &GUID_IO_VOLUME_LOCK_FAILED},
                {FSRTL_VOLUME_UNLOCK, &GUID_IO_VOLUME_UNLOCK},
                {FSRTL_VOLUME_MOUNT, &GUID_IO_VOLUME_MOUNT}};
  for (const auto& event : kLater) {
    NT_EXPECT_SUCCESS(FsRtlNotifyVolumeEvent(file, event.code));
    ++told;
    WaitFor([&] { return heard.count == told; });
    NT_EXPECT_TRUE(Same(heard.last, *event.guid));
    NT_EXPECT_TRUE(heard.file == nullptr && heard.name_offset == -1);
  }
  for (ULONG code = FSRTL_VOLUME_NEEDS_CHKDSK; code <= FSRTL_VOLUME_BACKGROUND_FORMAT; ++code) {
    const GUID before = heard.last;
    NT_EXPECT_SUCCESS(FsRtlNotifyVolumeEvent(file, code));
    ++told;
    WaitFor([&] { return heard.count == told; });
    NT_EXPECT_TRUE(!Same(heard.last, before));  // each has its own
  }
  NT_EXPECT_EQ(FsRtlNotifyVolumeEvent(file, 0), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(FsRtlNotifyVolumeEvent(file, FSRTL_VOLUME_BACKGROUND_FORMAT + 1), STATUS_INVALID_PARAMETER);
  TARGET_DEVICE_CUSTOM_NOTIFICATION own = {};
  own.Version = 1;
  own.Size = sizeof own;
  own.NameBufferOffset = 4;
  NT_EXPECT_SUCCESS(FsRtlNotifyVolumeEventEx(file, FSRTL_VOLUME_LOCK, &own));
  NT_EXPECT_EQ(heard.count, ++told);
  NT_EXPECT_EQ(heard.name_offset, 4);
  NT_EXPECT_TRUE(Same(own.Event, GUID_IO_VOLUME_LOCK));
  NT_EXPECT_SUCCESS(IoUnregisterPlugPlayNotification(entry));
  ObDereferenceObject(file);
}

NT_TEST(FsRtlVolumeEvents, DismountsAreCounted) {
  const ULONG before = SharedUserData->DismountCount;
  FsRtlDismountComplete(nt_test::driver->DeviceObject, STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(SharedUserData->DismountCount, before);
  FsRtlDismountComplete(nt_test::driver->DeviceObject, STATUS_SUCCESS);
  NT_EXPECT_EQ(SharedUserData->DismountCount, before + 1);
}
