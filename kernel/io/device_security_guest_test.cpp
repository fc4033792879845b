// IoCreateDeviceSecure of wdmsec.lib: who may open a device. Oracle: the WDK pages of
// WdmlibIoCreateDeviceSecure and "SDDL for Device Objects".
#include "ddi_security.h"
#include "nt_test.h"

#include <wdmsec.h>

namespace {

constexpr WCHAR kName[] = L"\\Device\\BugcheckSecure";

UNICODE_STRING String(PCWSTR text) {
  UNICODE_STRING string;
  RtlInitUnicodeString(&string, text);
  return string;
}

NTSTATUS NTAPI Succeed(PDEVICE_OBJECT, PIRP irp) {
  irp->IoStatus.Status = STATUS_SUCCESS;
  irp->IoStatus.Information = 0;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
  return STATUS_SUCCESS;
}

class Device {
 public:
  explicit Device(PCUNICODE_STRING sddl, LPCGUID guid = nullptr) {
    PDRIVER_OBJECT driver = nt_test::driver;
    create_ = driver->MajorFunction[IRP_MJ_CREATE];
    close_ = driver->MajorFunction[IRP_MJ_CLOSE];
    cleanup_ = driver->MajorFunction[IRP_MJ_CLEANUP];
    driver->MajorFunction[IRP_MJ_CREATE] = driver->MajorFunction[IRP_MJ_CLOSE] =
        driver->MajorFunction[IRP_MJ_CLEANUP] = Succeed;
    UNICODE_STRING name = String(kName);
    status_ = IoCreateDeviceSecure(driver, 16, &name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE,
                                   sddl, guid, &device_);
    if (NT_SUCCESS(status_)) device_->Flags &= ~static_cast<ULONG>(DO_DEVICE_INITIALIZING);
  }
  ~Device() {
    if (device_ != nullptr) IoDeleteDevice(device_);
    nt_test::driver->MajorFunction[IRP_MJ_CREATE] = create_;
    nt_test::driver->MajorFunction[IRP_MJ_CLOSE] = close_;
    nt_test::driver->MajorFunction[IRP_MJ_CLEANUP] = cleanup_;
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  NTSTATUS status() const { return status_; }
  PDEVICE_OBJECT object() const { return device_; }

 private:
  PDEVICE_OBJECT device_ = nullptr;
  PDRIVER_DISPATCH create_, close_, cleanup_;
  NTSTATUS status_;
};

// As a program's open is checked, whoever the thread acts as.
NTSTATUS Open(ACCESS_MASK access, ULONG flags = OBJ_FORCE_ACCESS_CHECK) {
  UNICODE_STRING name = String(kName);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | flags, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  HANDLE handle;
  const NTSTATUS status = ZwCreateFile(&handle, access | SYNCHRONIZE, &attributes, &iosb, nullptr, 0,
                                       FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, nullptr, 0);
  if (NT_SUCCESS(status)) ZwClose(handle);
  return status;
}

enum class Who { kSystem, kAdministrator, kUser };

// While it lives, the thread acts as somebody: SYSTEM, or with what makes it that taken away.
class ActAs {
 public:
  explicit ActAs(Who who) {
    if (who == Who::kSystem) return;
    PACCESS_TOKEN own = PsReferencePrimaryToken(PsInitialSystemProcess);
    struct {
      ULONG count;
      SID_AND_ATTRIBUTES sids[2];
    } less = {who == Who::kUser ? 2u : 1u,
              {{SeExports->SeLocalSystemSid, 0}, {SeExports->SeAliasAdminsSid, 0}}};
    PACCESS_TOKEN token;
    status_ = SeFilterToken(own, 0x1 /* DISABLE_MAX_PRIVILEGE */, reinterpret_cast<PTOKEN_GROUPS>(&less),
                            nullptr, nullptr, &token);
    if (NT_SUCCESS(status_)) {
      status_ = PsImpersonateClient(reinterpret_cast<PETHREAD>(KeGetCurrentThread()), token, FALSE, FALSE,
                                    SecurityImpersonation);
      ObDereferenceObject(token);
    }
    PsDereferencePrimaryToken(own);
  }
  ~ActAs() { PsRevertToSelf(); }
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;
  NTSTATUS status() const { return status_; }

 private:
  NTSTATUS status_ = STATUS_SUCCESS;
};

}  // namespace

NT_TEST(IoDeviceSecurity, TheStringDecidesWhoMayOpen) {
  constexpr ACCESS_MASK kAll = FILE_ALL_ACCESS, kRead = FILE_GENERIC_READ, kWrite = FILE_GENERIC_WRITE,
                        kNone = 0;
  const struct {
    const UNICODE_STRING* sddl;
    ACCESS_MASK system, administrator, user;  // the most that each gets
  } rows[] = {
      {&SDDL_DEVOBJ_KERNEL_ONLY, kNone, kNone, kNone},
      {&SDDL_DEVOBJ_SYS_ALL, kAll, kNone, kNone},
      {&SDDL_DEVOBJ_SYS_ALL_ADM_ALL, kAll, kAll, kNone},
      {&SDDL_DEVOBJ_SYS_ALL_ADM_RX, kAll, kRead, kNone},
      {&SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_R, kAll, kRead | kWrite, kRead},
      {&SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_R_RES_R, kAll, kRead | kWrite, kRead},
      {&SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_RW_RES_R, kAll, kRead | kWrite, kRead | kWrite},
      {&SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_RWX_RES_RWX, kAll, kRead | kWrite, kRead | kWrite},
  };
  const ACCESS_MASK asked[] = {FILE_GENERIC_READ, FILE_GENERIC_WRITE, WRITE_DAC, GENERIC_READ, GENERIC_WRITE};
  for (const auto& row : rows) {
    Device device(row.sddl);
    NT_ASSERT_SUCCESS(device.status());
    const ACCESS_MASK most[] = {row.system, row.administrator, row.user};
    for (int who = 0; who < 3; ++who) {
      for (const ACCESS_MASK access : asked) {
        // Administrators own the device, and an owner may always change who else may do what.
        if (access == WRITE_DAC && static_cast<Who>(who) != Who::kUser) continue;
        const ACCESS_MASK specific = access == GENERIC_READ    ? FILE_GENERIC_READ
                                     : access == GENERIC_WRITE ? FILE_GENERIC_WRITE
                                                               : access;
        NTSTATUS status, acting;
        {
          ActAs client(static_cast<Who>(who));
          acting = client.status();
          status = Open(access);
        }
        NT_EXPECT_SUCCESS(acting);
        NT_EXPECT_EQ(status, (specific & ~most[who]) == 0 ? STATUS_SUCCESS : STATUS_ACCESS_DENIED);
      }
    }
    NT_EXPECT_SUCCESS(Open(FILE_GENERIC_READ | WRITE_DAC, 0));  // the kernel may always
  }
}

NT_TEST(IoDeviceSecurity, TheListIsWhatTheStringSays) {
  const UNICODE_STRING sddl = String(L"D:P(A;;0x1200A9;;;S-1-5-84-0-0-0-0-0)(A;;RCSDWDWO;;;BU)(A;;GA;;;SY)");
  Device device(&sddl);
  NT_ASSERT_SUCCESS(device.status());
  PSECURITY_DESCRIPTOR descriptor = nullptr;
  BOOLEAN allocated = FALSE, present = FALSE, defaulted;
  NT_ASSERT_SUCCESS(ObGetObjectSecurity(device.object(), &descriptor, &allocated));
  PACL acl = nullptr;
  NT_EXPECT_SUCCESS(RtlGetDaclSecurityDescriptor(descriptor, &present, &acl, &defaulted));
  NT_EXPECT_TRUE(present && acl != nullptr);
  if (acl != nullptr) {
    NT_EXPECT_EQ(acl->AceCount, 3);
    const ULONG masks[] = {0x1200A9, READ_CONTROL | DELETE | WRITE_DAC | WRITE_OWNER, FILE_ALL_ACCESS};
    auto* ace = reinterpret_cast<PACCESS_ALLOWED_ACE>(acl + 1);
    for (USHORT i = 0; i < 3 && i < acl->AceCount; ++i) {
      NT_EXPECT_EQ(ace->Header.AceType, ACCESS_ALLOWED_ACE_TYPE);
      NT_EXPECT_EQ(ace->Mask, masks[i]);
      PSID sid = &ace->SidStart;
      if (i == 0) {
        NT_EXPECT_EQ(*RtlSubAuthorityCountSid(sid), 6);
        NT_EXPECT_EQ(*RtlSubAuthoritySid(sid, 0), 84u);
      } else {
        NT_EXPECT_TRUE(RtlEqualSid(sid, i == 1 ? SeExports->SeAliasUsersSid : SeExports->SeLocalSystemSid) !=
                       FALSE);
      }
      ace = reinterpret_cast<PACCESS_ALLOWED_ACE>(reinterpret_cast<UCHAR*>(ace) + ace->Header.AceSize);
    }
  }
  ObReleaseObjectSecurity(descriptor, allocated);
}

NT_TEST(IoDeviceSecurity, BadStringsAreRefused) {
  const PCWSTR bad[] = {L"",
                        L"D",
                        L"D:",
                        L"P:D",
                        L"d:p",
                        L"D:PAI(A;;GA;;;SY)",
                        L"O:SYD:P(A;;GA;;;SY)",
                        L"D:P(A;;GA;;;SY",
                        L"D:P(A;;GA;;;SY))",
                        L"D:P(A;;GA;;;SY) ",
                        L"D:P(A;;GA;;;)",
                        L"D:P(A;;;;;SY)",
                        L"D:P(A;;0x;;;SY)",
                        L"D:P(A;;0x123456789;;;SY)",
                        L"D:P(A;;GAX;;;SY)",
                        L"D:P(A;;ZZ;;;SY)",
                        L"D:P(A;;GA;;;ZZ)",
                        L"D:P(D;;GA;;;SY)",
                        L"D:P(A;CI;GA;;;SY)",
                        L"D:P(A;;GA;;;S-1-5)",
                        L"D:P(A;;GA;;;S-1-5-)",
                        L"D:P(A;;GA;;;S-1-5-4294967296)",
                        L"D:P(A;;GA;;;S-2-5-18)",
                        L"D:P(A;;GA;;;S-1-5-1-2-3-4-5-6-7-8-9-10-11-12-13-14-15-16)"};
  for (const PCWSTR text : bad) {
    const UNICODE_STRING sddl = String(text);
    Device device(&sddl);
    NT_EXPECT_EQ(device.status(), STATUS_INVALID_PARAMETER);
    NT_EXPECT_EQ(Open(FILE_GENERIC_READ, 0), STATUS_OBJECT_NAME_NOT_FOUND);
  }
  // The string's end is its length, not a zero: nothing behind it is read.
  UNICODE_STRING cut = String(L"D:P(A;;GA;;;SY)(A;;GA;;;BA)");
  cut.Length = 16 * sizeof(WCHAR);
  NT_EXPECT_EQ(Device(&cut).status(), STATUS_INVALID_PARAMETER);
  cut.Length = 15 * sizeof(WCHAR);
  NT_EXPECT_SUCCESS(Device(&cut).status());
  PDEVICE_OBJECT device = nullptr;
  NT_EXPECT_EQ(IoCreateDeviceSecure(nt_test::driver, 0, nullptr, FILE_DEVICE_UNKNOWN, 0, FALSE,
                                    &SDDL_DEVOBJ_SYS_ALL, nullptr, &device),
               STATUS_INVALID_PARAMETER);
  NT_EXPECT_TRUE(device == nullptr);
  NT_EXPECT_SUCCESS(IoCreateDeviceSecure(nt_test::driver, 0, nullptr, FILE_DEVICE_UNKNOWN,
                                         FILE_AUTOGENERATED_DEVICE_NAME, FALSE, &SDDL_DEVOBJ_SYS_ALL, nullptr,
                                         &device));
  if (device != nullptr) IoDeleteDevice(device);
}

// ---- What the administrator wants for the class ----

namespace {

// {6d2f9a01-5c1e-4b0a-9f36-4e8a52d1c7b3}
constexpr GUID kClass = {0x6D2F9A01, 0x5C1E, 0x4B0A, {0x9F, 0x36, 0x4E, 0x8A, 0x52, 0xD1, 0xC7, 0xB3}};

class ClassKey {
 public:
  ClassKey() {
    static constexpr PCWSTR kPaths[kKeys] = {
        L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\Class",
        L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\Class\\"
        L"{6d2f9a01-5c1e-4b0a-9f36-4e8a52d1c7b3}",
        L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\Class\\"
        L"{6d2f9a01-5c1e-4b0a-9f36-4e8a52d1c7b3}\\Properties"};
    for (int i = 0; i < kKeys && NT_SUCCESS(status_); ++i) {
      UNICODE_STRING name = String(kPaths[i]);
      OBJECT_ATTRIBUTES attributes;
      InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr,
                                 nullptr);
      status_ =
          ZwCreateKey(&keys_[i], KEY_ALL_ACCESS, &attributes, 0, nullptr, REG_OPTION_VOLATILE, &made_[i]);
    }
  }
  ~ClassKey() {
    for (int i = kKeys; i-- > 0;) {
      if (keys_[i] == nullptr) continue;
      if (made_[i] == REG_CREATED_NEW_KEY) ZwDeleteKey(keys_[i]);
      ZwClose(keys_[i]);
    }
  }
  ClassKey(const ClassKey&) = delete;
  ClassKey& operator=(const ClassKey&) = delete;
  NTSTATUS status() const { return status_; }
  NTSTATUS Set(PCWSTR text, ULONG type, PVOID data, ULONG bytes) {
    UNICODE_STRING name = String(text);
    return ZwSetValueKey(keys_[kKeys - 1], &name, 0, type, data, bytes);
  }

 private:
  static constexpr int kKeys = 3;
  HANDLE keys_[kKeys] = {};
  ULONG made_[kKeys] = {};
  NTSTATUS status_ = STATUS_SUCCESS;
};

}  // namespace

NT_TEST(IoDeviceSecurity, TheClassOverridesWhatTheDriverWants) {
  ClassKey key;
  NT_ASSERT_SUCCESS(key.status());
  {
    Device device(&SDDL_DEVOBJ_SYS_ALL, &kClass);  // an empty key changes nothing
    NT_ASSERT_SUCCESS(device.status());
    NT_EXPECT_EQ(device.object()->DeviceType, static_cast<ULONG>(FILE_DEVICE_UNKNOWN));
    ActAs user(Who::kUser);
    NT_EXPECT_EQ(Open(FILE_GENERIC_READ), STATUS_ACCESS_DENIED);
  }
  ULONG type = FILE_DEVICE_SMARTCARD, characteristics = FILE_DEVICE_SECURE_OPEN | FILE_READ_ONLY_DEVICE,
        exclusive = 1;
  NT_EXPECT_SUCCESS(key.Set(L"DeviceType", REG_DWORD, &type, sizeof(type)));
  NT_EXPECT_SUCCESS(key.Set(L"DeviceCharacteristics", REG_DWORD, &characteristics, sizeof(characteristics)));
  NT_EXPECT_SUCCESS(key.Set(L"Exclusive", REG_DWORD, &exclusive, sizeof(exclusive)));
  // A descriptor that lets everybody read.
  SECURITY_DESCRIPTOR absolute;
  alignas(8) UCHAR list[64], relative[128];
  auto* acl = reinterpret_cast<PACL>(list);
  RtlCreateSecurityDescriptor(&absolute, SECURITY_DESCRIPTOR_REVISION);
  RtlCreateAcl(acl, sizeof(list), ACL_REVISION);
  RtlAddAccessAllowedAce(acl, ACL_REVISION, FILE_GENERIC_READ, SeExports->SeWorldSid);
  RtlSetDaclSecurityDescriptor(&absolute, TRUE, acl, FALSE);
  ULONG bytes = sizeof(relative);
  NT_ASSERT_SUCCESS(RtlAbsoluteToSelfRelativeSD(&absolute, relative, &bytes));
  bytes = RtlLengthSecurityDescriptor(relative);
  NT_EXPECT_SUCCESS(key.Set(L"Security", REG_BINARY, relative, bytes));
  {
    Device device(&SDDL_DEVOBJ_SYS_ALL, &kClass);
    NT_ASSERT_SUCCESS(device.status());
    NT_EXPECT_EQ(device.object()->DeviceType, type);
    NT_EXPECT_TRUE((device.object()->Characteristics & FILE_READ_ONLY_DEVICE) != 0);
    NT_EXPECT_TRUE((device.object()->Flags & DO_EXCLUSIVE) != 0);
    ActAs user(Who::kUser);
    NT_EXPECT_SUCCESS(Open(FILE_GENERIC_READ));
    NT_EXPECT_EQ(Open(FILE_GENERIC_WRITE), STATUS_ACCESS_DENIED);
  }
  // What is no descriptor counts for nothing.
  NT_EXPECT_SUCCESS(key.Set(L"Security", REG_BINARY, relative, bytes - 4));
  {
    Device device(&SDDL_DEVOBJ_SYS_ALL, &kClass);
    NT_ASSERT_SUCCESS(device.status());
    ActAs user(Who::kUser);
    NT_EXPECT_EQ(Open(FILE_GENERIC_READ), STATUS_ACCESS_DENIED);
  }
}

NT_TEST(IoDeviceSecurity, StringsThatAreTooLongAreRefused) {
  UNICODE_STRING string;
  NT_EXPECT_SUCCESS(RtlInitUnicodeStringEx(&string, nullptr));
  NT_EXPECT_EQ(string.Length, 0);
  NT_EXPECT_SUCCESS(RtlInitUnicodeStringEx(&string, L"four"));
  NT_EXPECT_EQ(string.Length, 8);
  NT_EXPECT_EQ(string.MaximumLength, 10);
  constexpr ULONG kCharacters = 0x8000;
  auto* text = static_cast<PWCH>(ExAllocatePoolWithTag(PagedPool, kCharacters * sizeof(WCHAR), 'tseT'));
  NT_ASSERT_TRUE(text != nullptr);
  for (ULONG i = 0; i < kCharacters; ++i) text[i] = L'x';
  text[0x7FFE] = 0;
  NT_EXPECT_SUCCESS(RtlInitUnicodeStringEx(&string, text));
  NT_EXPECT_EQ(string.Length, 0xFFFC);
  text[0x7FFE] = L'x';
  text[0x7FFF] = 0;
  NT_EXPECT_EQ(RtlInitUnicodeStringEx(&string, text), STATUS_NAME_TOO_LONG);
  ExFreePoolWithTag(text, 'tseT');
}
