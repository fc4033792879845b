// Fast I/O: requests that the driver serves without an IRP, and those that it leaves to one. Oracle: the WDK
// pages.
#include "nt_test.h"

namespace {

constexpr ULONG kFast = CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS);
constexpr ULONG kSlow = CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_BUFFERED, FILE_ANY_ACCESS);

ULONG fast_calls, irps, reads_offered;
PVOID last_input;
FAST_IO_DISPATCH table;
PDEVICE_OBJECT device;

BOOLEAN NTAPI FastControl(PFILE_OBJECT, BOOLEAN wait, PVOID input, ULONG input_length, PVOID output,
                          ULONG output_length, ULONG code, PIO_STATUS_BLOCK iosb, PDEVICE_OBJECT target) {
  ++fast_calls;
  NT_EXPECT_EQ(target, device);
  NT_EXPECT_TRUE(wait);
  last_input = input;
  if (code != kFast) return FALSE;
  if (output_length >= sizeof(ULONG)) *static_cast<ULONG*>(output) = input_length;
  iosb->Status = STATUS_SUCCESS;
  iosb->Information = sizeof(ULONG);
  return TRUE;
}

BOOLEAN NTAPI FastRead(PFILE_OBJECT, PLARGE_INTEGER offset, ULONG length, BOOLEAN, ULONG, PVOID buffer,
                       PIO_STATUS_BLOCK iosb, PDEVICE_OBJECT) {
  ++reads_offered;
  if (offset->QuadPart == 100) return FALSE;
  memset(buffer, static_cast<int>(offset->QuadPart), length);
  iosb->Status = offset->QuadPart == 200 ? STATUS_FILE_LOCK_CONFLICT : STATUS_SUCCESS;
  iosb->Information = length;
  return TRUE;
}

NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT, PIRP irp) {
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  // Only a cached file is read without IRPs.
  if (stack->MajorFunction == IRP_MJ_CREATE) stack->FileObject->PrivateCacheMap = &table;
  if (stack->MajorFunction == IRP_MJ_CLEANUP) stack->FileObject->PrivateCacheMap = nullptr;
  if (stack->MajorFunction == IRP_MJ_DEVICE_CONTROL || stack->MajorFunction == IRP_MJ_READ) ++irps;
  irp->IoStatus.Status = STATUS_SUCCESS;
  irp->IoStatus.Information = 0;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
  return STATUS_SUCCESS;
}

bool Open(PHANDLE file) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"\\Device\\BugcheckFastIo");
  fast_calls = irps = reads_offered = 0;
  RtlZeroMemory(&table, sizeof(table));
  table.SizeOfFastIoDispatch = sizeof(table);
  table.FastIoDeviceControl = FastControl;
  table.FastIoRead = FastRead;
  nt_test::driver->FastIoDispatch = &table;
  for (auto& routine : nt_test::driver->MajorFunction) routine = Dispatch;
  if (!NT_SUCCESS(IoCreateDevice(nt_test::driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device)))
    return false;
  device->Flags = (device->Flags | DO_BUFFERED_IO) & ~DO_DEVICE_INITIALIZING;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  return NT_SUCCESS(ZwOpenFile(file, FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE, &attributes, &iosb, 0,
                               FILE_SYNCHRONOUS_IO_NONALERT));
}

void Close(HANDLE file) {
  ZwClose(file);
  IoDeleteDevice(device);
  nt_test::driver->FastIoDispatch = nullptr;
}

}  // namespace

NT_TEST(IoFastIo, ControlsWithoutAnIrp) {
  HANDLE file, event;
  NT_ASSERT_TRUE(Open(&file));
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NT_ASSERT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE));
  ULONG input[3] = {}, output = 0;
  IO_STATUS_BLOCK iosb = {};
  NT_EXPECT_EQ(
      ZwDeviceIoControlFile(file, event, nullptr, nullptr, &iosb, kFast, input, sizeof(input), &output, 4),
      STATUS_SUCCESS);
  NT_EXPECT_EQ(fast_calls, 1u);
  NT_EXPECT_EQ(irps, 0u);
  NT_EXPECT_EQ(last_input, (PVOID)input);  // the caller's own buffer
  NT_EXPECT_EQ(output, 12u);
  NT_EXPECT_EQ(iosb.Information, 4u);
  LARGE_INTEGER at_once = {};
  NT_EXPECT_EQ(ZwWaitForSingleObject(event, FALSE, &at_once), STATUS_SUCCESS);
  NT_EXPECT_EQ(ZwDeviceIoControlFile(file, nullptr, nullptr, nullptr, &iosb, kSlow, input, 4, &output, 4),
               STATUS_SUCCESS);
  NT_EXPECT_EQ(fast_calls, 2u);
  NT_EXPECT_EQ(irps, 1u);
  table.SizeOfFastIoDispatch = FIELD_OFFSET(FAST_IO_DISPATCH, FastIoDeviceControl);  // a shorter table
  NT_EXPECT_EQ(ZwDeviceIoControlFile(file, nullptr, nullptr, nullptr, &iosb, kFast, input, 4, &output, 4),
               STATUS_SUCCESS);
  NT_EXPECT_EQ(fast_calls, 2u);
  NT_EXPECT_EQ(irps, 2u);
  ZwClose(event);
  Close(file);
}

NT_TEST(IoFastIo, ReadsOfCachedFiles) {
  HANDLE file;
  NT_ASSERT_TRUE(Open(&file));
  UCHAR buffer[8] = {};
  IO_STATUS_BLOCK iosb = {};
  LARGE_INTEGER offset;
  const struct {
    LONGLONG offset;
    ULONG offered, irps;
  } rows[] = {{7, 1, 0}, {9, 2, 0}, {100, 3, 1}, {200, 4, 2}};  // the last two are left to an IRP
  for (const auto& row : rows) {
    offset.QuadPart = row.offset;
    NT_EXPECT_EQ(ZwReadFile(file, nullptr, nullptr, nullptr, &iosb, buffer, sizeof(buffer), &offset, nullptr),
                 STATUS_SUCCESS);
    NT_EXPECT_EQ(reads_offered, row.offered);
    NT_EXPECT_EQ(irps, row.irps);
    NT_EXPECT_EQ(iosb.Information, row.offset < 100 ? sizeof(buffer) : 0);
    if (row.offset < 100) NT_EXPECT_EQ(buffer[7], row.offset);
  }
  Close(file);
}
