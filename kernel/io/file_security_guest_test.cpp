// ZwQuerySecurityObject and ZwSetSecurityObject on files. Oracle: the WDK pages of IRP_MJ_QUERY_SECURITY and
// IRP_MJ_SET_SECURITY.
#include "ddi_security.h"
#include "nt_test.h"

namespace {

constexpr WCHAR kDevice[] = L"\\Device\\BugcheckKeeper", kFile[] = L"\\Device\\BugcheckKeeper\\file";

// What the device's routines have seen; it keeps a descriptor for its files.
struct Keeper {
  ULONG queries, sets;
  SECURITY_INFORMATION information;
  ULONG length;
  alignas(8) UCHAR descriptor[256];
  ULONG bytes;
  NTSTATUS refuse;
  bool pend;
} g_keeper;

VOID NTAPI CompleteLater(PDEVICE_OBJECT, PVOID irp) {
  IoCompleteRequest(static_cast<PIRP>(irp), IO_NO_INCREMENT);
}

NTSTATUS Complete(PDEVICE_OBJECT, PIRP irp, NTSTATUS status, ULONG_PTR information) {
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = information;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
  return status;
}

NTSTATUS NTAPI Succeed(PDEVICE_OBJECT device, PIRP irp) {
  return Complete(device, irp, STATUS_SUCCESS, 0);
}

NTSTATUS NTAPI OnQuery(PDEVICE_OBJECT device, PIRP irp) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  ++g_keeper.queries;
  g_keeper.information = stack->Parameters.QuerySecurity.SecurityInformation;
  g_keeper.length = stack->Parameters.QuerySecurity.Length;
  if (g_keeper.refuse != STATUS_SUCCESS) return Complete(device, irp, g_keeper.refuse, 0);
  if (g_keeper.length < g_keeper.bytes) return Complete(device, irp, STATUS_BUFFER_OVERFLOW, g_keeper.bytes);
  RtlCopyMemory(irp->UserBuffer, g_keeper.descriptor, g_keeper.bytes);
  return Complete(device, irp, STATUS_SUCCESS, g_keeper.bytes);
}

NTSTATUS NTAPI OnSet(PDEVICE_OBJECT device, PIRP irp) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  ++g_keeper.sets;
  g_keeper.information = stack->Parameters.SetSecurity.SecurityInformation;
  if (g_keeper.refuse != STATUS_SUCCESS) return Complete(device, irp, g_keeper.refuse, 0);
  g_keeper.bytes = RtlLengthSecurityDescriptor(stack->Parameters.SetSecurity.SecurityDescriptor);
  if (g_keeper.bytes > sizeof(g_keeper.descriptor)) return Complete(device, irp, STATUS_DISK_FULL, 0);
  RtlCopyMemory(g_keeper.descriptor, stack->Parameters.SetSecurity.SecurityDescriptor, g_keeper.bytes);
  if (!g_keeper.pend) return Complete(device, irp, STATUS_SUCCESS, 0);
  IoMarkIrpPending(irp);
  irp->IoStatus.Status = STATUS_SUCCESS;
  PIO_WORKITEM item = IoAllocateWorkItem(device);
  IoQueueWorkItemEx(
      item,
      [](PVOID object, PVOID irp, PIO_WORKITEM item) {
        CompleteLater(static_cast<PDEVICE_OBJECT>(object), irp);
        IoFreeWorkItem(item);
      },
      DelayedWorkQueue, irp);
  return STATUS_PENDING;
}

class KeeperDevice {
 public:
  KeeperDevice() {
    g_keeper = {};
    PDRIVER_OBJECT driver = nt_test::driver;
    RtlCopyMemory(saved_, driver->MajorFunction, sizeof(saved_));
    driver->MajorFunction[IRP_MJ_CREATE] = driver->MajorFunction[IRP_MJ_CLOSE] =
        driver->MajorFunction[IRP_MJ_CLEANUP] = Succeed;
    driver->MajorFunction[IRP_MJ_QUERY_SECURITY] = OnQuery;
    driver->MajorFunction[IRP_MJ_SET_SECURITY] = OnSet;
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, kDevice);
    if (NT_SUCCESS(IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device_)))
      device_->Flags &= ~static_cast<ULONG>(DO_DEVICE_INITIALIZING);
  }
  ~KeeperDevice() {
    if (device_ != nullptr) IoDeleteDevice(device_);
    RtlCopyMemory(nt_test::driver->MajorFunction, saved_, sizeof(saved_));
  }
  KeeperDevice(const KeeperDevice&) = delete;
  KeeperDevice& operator=(const KeeperDevice&) = delete;
  PDEVICE_OBJECT object() const { return device_; }

 private:
  PDEVICE_OBJECT device_ = nullptr;
  PDRIVER_DISPATCH saved_[IRP_MJ_MAXIMUM_FUNCTION + 1];
};

struct File {
  explicit File(PCWSTR text, ULONG disposition = FILE_OPEN) {
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, text);
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr,
                               nullptr);
    IO_STATUS_BLOCK iosb;
    status = ZwCreateFile(&handle, FILE_ALL_ACCESS, &attributes, &iosb, nullptr, 0, 7, disposition,
                          FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0);
  }
  ~File() {
    if (NT_SUCCESS(status)) ZwClose(handle);
  }
  HANDLE handle;
  NTSTATUS status;
};

// An object's own descriptor.
class ObjectSecurity {
 public:
  explicit ObjectSecurity(PVOID object) { ObGetObjectSecurity(object, &descriptor_, &allocated_); }
  ~ObjectSecurity() { ObReleaseObjectSecurity(descriptor_, allocated_); }
  ObjectSecurity(const ObjectSecurity&) = delete;
  ObjectSecurity& operator=(const ObjectSecurity&) = delete;
  PSECURITY_DESCRIPTOR get() const { return descriptor_; }

 private:
  PSECURITY_DESCRIPTOR descriptor_ = nullptr;
  BOOLEAN allocated_ = FALSE;
};

// A self-relative descriptor of one entry.
ULONG Make(UCHAR (&relative)[128], PSID sid, ACCESS_MASK mask) {
  SECURITY_DESCRIPTOR absolute;
  alignas(8) UCHAR list[64];
  auto* acl = reinterpret_cast<PACL>(list);
  RtlCreateSecurityDescriptor(&absolute, SECURITY_DESCRIPTOR_REVISION);
  RtlCreateAcl(acl, sizeof(list), ACL_REVISION);
  RtlAddAccessAllowedAce(acl, ACL_REVISION, mask, sid);
  RtlSetDaclSecurityDescriptor(&absolute, TRUE, acl, FALSE);
  ULONG bytes = sizeof(relative);
  return NT_SUCCESS(RtlAbsoluteToSelfRelativeSD(&absolute, relative, &bytes))
             ? RtlLengthSecurityDescriptor(relative)
             : 0;
}

// The first entry's mask of a descriptor's list.
ACCESS_MASK FirstMask(PSECURITY_DESCRIPTOR descriptor) {
  if (descriptor == nullptr) return 0;
  PACL acl = nullptr;
  BOOLEAN present = FALSE, defaulted;
  RtlGetDaclSecurityDescriptor(descriptor, &present, &acl, &defaulted);
  if (!present || acl == nullptr || acl->AceCount == 0) return 0;
  return reinterpret_cast<PACCESS_ALLOWED_ACE>(acl + 1)->Mask;
}

}  // namespace

NT_TEST(IoFileSecurity, AFileSystemKeepsThoseOfItsFiles) {
  KeeperDevice keeper;
  NT_ASSERT_TRUE(keeper.object() != nullptr);
  File file(kFile);
  NT_ASSERT_SUCCESS(file.status);
  alignas(8) UCHAR wanted[128], got[256];
  const ULONG bytes = Make(wanted, SeExports->SeWorldSid, FILE_GENERIC_READ);
  NT_ASSERT_TRUE(bytes != 0);
  for (int way = 0; way < 2; ++way) {
    g_keeper.pend = way == 1;
    NT_EXPECT_SUCCESS(ZwSetSecurityObject(file.handle, DACL_SECURITY_INFORMATION, wanted));
    NT_EXPECT_EQ(g_keeper.sets, static_cast<ULONG>(way + 1));
    NT_EXPECT_EQ(g_keeper.information, static_cast<ULONG>(DACL_SECURITY_INFORMATION));
    NT_EXPECT_EQ(g_keeper.bytes, bytes);
    NT_EXPECT_EQ(FirstMask(g_keeper.descriptor), static_cast<ULONG>(FILE_GENERIC_READ));
  }
  ULONG needed = 0;
  NT_EXPECT_EQ(ZwQuerySecurityObject(file.handle, DACL_SECURITY_INFORMATION, got, bytes - 1, &needed),
               STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_EQ(needed, bytes);
  NT_EXPECT_EQ(g_keeper.length, bytes - 1);
  NT_EXPECT_SUCCESS(
      ZwQuerySecurityObject(file.handle, OWNER_SECURITY_INFORMATION, got, sizeof(got), &needed));
  NT_EXPECT_EQ(g_keeper.information, static_cast<ULONG>(OWNER_SECURITY_INFORMATION));
  NT_EXPECT_EQ(needed, bytes);
  NT_EXPECT_TRUE(RtlEqualMemory(got, wanted, bytes));
  NT_EXPECT_EQ(g_keeper.queries, 2u);
  // What the file system says is the answer.
  g_keeper.refuse = STATUS_DISK_CORRUPT_ERROR;
  NT_EXPECT_EQ(ZwSetSecurityObject(file.handle, DACL_SECURITY_INFORMATION, wanted),
               STATUS_DISK_CORRUPT_ERROR);
  NT_EXPECT_EQ(ZwQuerySecurityObject(file.handle, DACL_SECURITY_INFORMATION, got, sizeof(got), &needed),
               STATUS_DISK_CORRUPT_ERROR);
  // The device's own stays out of it.
  NT_EXPECT_TRUE(FirstMask(ObjectSecurity(keeper.object()).get()) != FILE_GENERIC_READ);
}

NT_TEST(IoFileSecurity, ADeviceKeepsItsOwn) {
  KeeperDevice keeper;
  NT_ASSERT_TRUE(keeper.object() != nullptr);
  File file(kDevice);
  NT_ASSERT_SUCCESS(file.status);
  alignas(8) UCHAR wanted[128], got[256];
  NT_ASSERT_TRUE(Make(wanted, SeExports->SeWorldSid, FILE_GENERIC_WRITE) != 0);
  NT_EXPECT_SUCCESS(ZwSetSecurityObject(file.handle, DACL_SECURITY_INFORMATION, wanted));
  ULONG needed;
  NT_EXPECT_SUCCESS(ZwQuerySecurityObject(file.handle, DACL_SECURITY_INFORMATION, got, sizeof(got), &needed));
  NT_EXPECT_EQ(FirstMask(got), static_cast<ULONG>(FILE_GENERIC_WRITE));
  NT_EXPECT_EQ(FirstMask(ObjectSecurity(keeper.object()).get()), static_cast<ULONG>(FILE_GENERIC_WRITE));
  NT_EXPECT_EQ(g_keeper.queries + g_keeper.sets, 0u);
}

NT_TEST(IoFileSecurity, AFileSystemWithoutSecurityGrantsAll) {
  File file(L"\\??\\C:\\file_security.tmp", FILE_OVERWRITE_IF);
  NT_ASSERT_SUCCESS(file.status);
  alignas(8) UCHAR wanted[128], got[256];
  NT_ASSERT_TRUE(Make(wanted, SeExports->SeLocalSystemSid, FILE_GENERIC_READ) != 0);
  NT_EXPECT_SUCCESS(ZwSetSecurityObject(file.handle, DACL_SECURITY_INFORMATION, wanted));
  ULONG needed;
  NT_EXPECT_SUCCESS(ZwQuerySecurityObject(file.handle, DACL_SECURITY_INFORMATION | OWNER_SECURITY_INFORMATION,
                                          got, sizeof(got), &needed));
  NT_EXPECT_EQ(FirstMask(got), static_cast<ULONG>(FILE_ALL_ACCESS));
  PSID owner = nullptr;
  BOOLEAN defaulted;
  NT_EXPECT_SUCCESS(RtlGetOwnerSecurityDescriptor(got, &owner, &defaulted));
  NT_EXPECT_TRUE(owner != nullptr && RtlEqualSid(owner, SeExports->SeWorldSid));
  FILE_DISPOSITION_INFORMATION gone = {TRUE};
  IO_STATUS_BLOCK iosb;
  NT_EXPECT_SUCCESS(
      ZwSetInformationFile(file.handle, &iosb, &gone, sizeof(gone), FileDispositionInformation));
}
