// Driver objects that drivers make, attaching by name, threads that keep objects alive. Oracle: the WDK
// pages.
#include "ddi_io.h"
#include "nt_test.h"

namespace {

PDRIVER_OBJECT made;
PUNICODE_STRING path_given = reinterpret_cast<PUNICODE_STRING>(1);
PDEVICE_OBJECT device_made;
ULONG reinitialized, boot_reinitialized, last_count;

UNICODE_STRING Name(PCWSTR text) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, text);
  return name;
}

NTSTATUS NTAPI Succeed(PDEVICE_OBJECT, PIRP irp) {
  irp->IoStatus.Status = STATUS_SUCCESS;
  irp->IoStatus.Information = 0;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
  return STATUS_SUCCESS;
}

NTSTATUS MakeDevice(PDRIVER_OBJECT driver, PCWSTR text, PDEVICE_OBJECT* device) {
  UNICODE_STRING name = Name(text);
  const NTSTATUS status =
      IoCreateDevice(driver, 0, text != nullptr ? &name : nullptr, FILE_DEVICE_UNKNOWN, 0, FALSE, device);
  if (NT_SUCCESS(status)) (*device)->Flags &= ~DO_DEVICE_INITIALIZING;
  return status;
}

VOID NTAPI Again(PDRIVER_OBJECT driver, PVOID context, ULONG count) {
  ++reinitialized;
  last_count = count;
  if (reinitialized < 12) IoRegisterDriverReinitialization(driver, Again, context);
}

VOID NTAPI AfterBoot(PDRIVER_OBJECT, PVOID, ULONG) {
  ++boot_reinitialized;
}

NTSTATUS NTAPI Initialize(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
  made = driver;
  path_given = path;
  for (int i = 0; i < 3; ++i) driver->MajorFunction[i] = Succeed;
  driver->MajorFunction[IRP_MJ_CLEANUP] = Succeed;
  return IoCreateDevice(driver, 0, nullptr, FILE_DEVICE_UNKNOWN, 0, FALSE, &device_made);
}

NTSTATUS NTAPI InitializeTwice(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
  IoRegisterDriverReinitialization(driver, Again, nullptr);
  IoRegisterBootDriverReinitialization(driver, AfterBoot, nullptr);
  return Initialize(driver, path);
}

NTSTATUS NTAPI Refuse(PDRIVER_OBJECT driver, PUNICODE_STRING) {
  made = driver;
  return STATUS_NO_SUCH_DEVICE;
}

KEVENT may_end;
PVOID thread_context;

VOID NTAPI WaitAndReturn(PVOID context) {
  thread_context = context;
  KeWaitForSingleObject(&may_end, Executive, KernelMode, FALSE, nullptr);
}

VOID NTAPI WaitAndTerminate(PVOID context) {
  WaitAndReturn(context);
  PsTerminateSystemThread(STATUS_SUCCESS);
}

void RunThread(PDEVICE_OBJECT device, PKSTART_ROUTINE routine) {
  KeInitializeEvent(&may_end, NotificationEvent, FALSE);
  const LONG_PTR before = ReferencesOf(device);
  HANDLE thread;
  NT_ASSERT_SUCCESS(
      IoCreateSystemThread(device, &thread, THREAD_ALL_ACCESS, nullptr, nullptr, nullptr, routine, device));
  NT_EXPECT_EQ(ReferencesOf(device), before + 1);
  KeSetEvent(&may_end, IO_NO_INCREMENT, FALSE);
  NT_EXPECT_EQ(ZwWaitForSingleObject(thread, FALSE, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(thread_context, (PVOID)device);
  NT_EXPECT_EQ(ReferencesOf(device), before);
  ZwClose(thread);
}

}  // namespace

NT_TEST(IoDriver, CreatedByName) {
  UNICODE_STRING name = Name(L"\\Driver\\BugcheckMadeDriver");
  NT_ASSERT_SUCCESS(IoCreateDriver(&name, Initialize));
  NT_EXPECT_EQ(path_given, (PUNICODE_STRING) nullptr);
  NT_EXPECT_TRUE(RtlEqualUnicodeString(&made->DriverName, &name, FALSE));
  NT_EXPECT_EQ(made->DeviceObject, device_made);
  NT_EXPECT_EQ(made->Type, IO_TYPE_DRIVER);
  NT_EXPECT_EQ(made->DriverInit, Initialize);
  NT_EXPECT_TRUE((device_made->Flags & DO_DEVICE_INITIALIZING) == 0);
  NT_EXPECT_EQ(IoCreateDriver(&name, Initialize), STATUS_OBJECT_NAME_COLLISION);
  IoDeleteDevice(device_made);
  IoDeleteDriver(made);
  NT_EXPECT_SUCCESS(IoCreateDriver(&name, Initialize));  // the name is free again
  IoDeleteDevice(device_made);
  IoDeleteDriver(made);
}

NT_TEST(IoDriver, CreatedWithoutAName) {
  NT_ASSERT_SUCCESS(IoCreateDriver(nullptr, Initialize));
  const UNICODE_STRING folder = Name(L"\\Driver\\");
  NT_EXPECT_TRUE(RtlPrefixUnicodeString(&folder, &made->DriverName, FALSE));
  NT_EXPECT_TRUE(made->DriverName.Length > folder.Length);
  IoDeleteDevice(device_made);
  IoDeleteDriver(made);
}

NT_TEST(IoDriver, FailureOfTheInitializationUndoesIt) {
  UNICODE_STRING name = Name(L"\\Driver\\BugcheckRefusingDriver");
  NT_EXPECT_EQ(IoCreateDriver(&name, Refuse), STATUS_NO_SUCH_DEVICE);
  NT_EXPECT_EQ(IoCreateDriver(&name, Refuse), STATUS_NO_SUCH_DEVICE);
}

NT_TEST(IoReinitialize, RoutinesRunAfterTheEntryAndMayComeAgain) {
  reinitialized = boot_reinitialized = 0;
  NT_ASSERT_SUCCESS(IoCreateDriver(nullptr, InitializeTwice));
  NT_EXPECT_EQ(reinitialized, 12u);
  NT_EXPECT_EQ(boot_reinitialized, 1u);
  NT_EXPECT_TRUE(last_count >= 12);
  IoDeleteDevice(device_made);
  IoDeleteDriver(made);
}

NT_TEST(IoAttach, ByName) {
  NT_ASSERT_SUCCESS(IoCreateDriver(nullptr, Initialize));
  PDEVICE_OBJECT target, filter, above = nullptr, below = nullptr;
  NT_ASSERT_SUCCESS(MakeDevice(made, L"\\Device\\BugcheckAttachTarget", &target));
  NT_ASSERT_SUCCESS(MakeDevice(made, nullptr, &filter));
  NT_ASSERT_SUCCESS(MakeDevice(made, nullptr, &above));
  UNICODE_STRING name = Name(L"\\Device\\BugcheckAttachTarget");
  NT_EXPECT_EQ(IoAttachDevice(filter, &name, &below), STATUS_SUCCESS);
  NT_EXPECT_EQ(below, target);
  NT_EXPECT_EQ(target->AttachedDevice, filter);
  NT_EXPECT_EQ(filter->StackSize, target->StackSize + 1);
  NT_EXPECT_EQ(IoAttachDevice(above, &name, &below), STATUS_SUCCESS);
  NT_EXPECT_EQ(below, filter);  // on top of the stack
  NT_EXPECT_EQ(above->StackSize, 3);
  NT_EXPECT_EQ(IoGetAttachedDevice(target), above);
  NT_EXPECT_EQ(target->ReferenceCount, 0);
  IoDetachDevice(filter);
  IoDetachDevice(target);
  UNICODE_STRING unknown = Name(L"\\Device\\BugcheckNoSuchDevice");
  NT_EXPECT_EQ(IoAttachDevice(filter, &unknown, &below), STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_EQ(IoAttachDeviceByPointer(filter, target), STATUS_SUCCESS);
  NT_EXPECT_EQ(target->AttachedDevice, filter);
  IoDetachDevice(target);
  target->Flags |= DO_DEVICE_INITIALIZING;
  NT_EXPECT_EQ(IoAttachDeviceByPointer(filter, target), STATUS_NO_SUCH_DEVICE);
  IoDeleteDevice(above);
  IoDeleteDevice(filter);
  IoDeleteDevice(target);
  IoDeleteDevice(device_made);
  IoDeleteDriver(made);
}

NT_TEST(IoSystemThread, KeepsItsObject) {
  PDEVICE_OBJECT device;
  NT_ASSERT_SUCCESS(MakeDevice(nt_test::driver, nullptr, &device));
  RunThread(device, WaitAndReturn);
  RunThread(device, WaitAndTerminate);
  IoDeleteDevice(device);
}
