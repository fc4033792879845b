// The registry as a driver sees it. Oracle: the WDK pages of the routines; not yet run on a real NT.
#include "nt_test.h"

namespace {

UNICODE_STRING Name(PCWSTR text) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, text);
  return name;
}

NTSTATUS Create(PCWSTR path, ULONG options, HANDLE* key, ULONG* disposition) {
  UNICODE_STRING name = Name(path);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return ZwCreateKey(key, KEY_ALL_ACCESS, &attributes, 0, nullptr, options, disposition);
}

NTSTATUS Open(PCWSTR path, HANDLE* key) {
  UNICODE_STRING name = Name(path);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return ZwOpenKey(key, KEY_ALL_ACCESS, &attributes);
}

constexpr WCHAR kKey[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\CmTest";

}  // namespace

NT_TEST(KernelCm, AKeyIsCreatedOpenedAndDeleted) {
  HANDLE key;
  ULONG disposition = 0;
  NT_ASSERT_SUCCESS(Create(kKey, REG_OPTION_VOLATILE, &key, &disposition));
  NT_EXPECT_EQ(disposition, REG_CREATED_NEW_KEY);
  HANDLE again;
  NT_ASSERT_SUCCESS(Create(kKey, REG_OPTION_VOLATILE, &again, &disposition));
  NT_EXPECT_EQ(disposition, REG_OPENED_EXISTING_KEY);
  NT_EXPECT_SUCCESS(ZwDeleteKey(key));
  UNICODE_STRING value = Name(L"X");
  NT_EXPECT_EQ(ZwSetValueKey(again, &value, 0, REG_SZ, nullptr, 0), STATUS_KEY_DELETED);
  ZwClose(again);
  ZwClose(key);
  NT_EXPECT_EQ(Open(kKey, &key), STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(KernelCm, AValueIsSetQueriedEnumeratedAndDeleted) {
  HANDLE key;
  NT_ASSERT_SUCCESS(Create(kKey, REG_OPTION_VOLATILE, &key, nullptr));
  UNICODE_STRING name = Name(L"Number");
  ULONG number = 42;
  NT_EXPECT_SUCCESS(ZwSetValueKey(key, &name, 0, REG_DWORD, &number, sizeof(number)));
  UCHAR buffer[64];
  ULONG length = 0;
  auto* partial = reinterpret_cast<PKEY_VALUE_PARTIAL_INFORMATION>(buffer);
  UNICODE_STRING other_case = Name(L"NUMBER");
  NT_ASSERT_SUCCESS(
      ZwQueryValueKey(key, &other_case, KeyValuePartialInformation, partial, sizeof(buffer), &length));
  NT_EXPECT_EQ(partial->Type, REG_DWORD);
  NT_EXPECT_EQ(*reinterpret_cast<ULONG*>(partial->Data), 42);
  NT_EXPECT_EQ(length, FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, Data) + sizeof(ULONG));
  NT_EXPECT_EQ(ZwQueryValueKey(key, &name, KeyValuePartialInformation, partial, 4, &length),
               STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_EQ(ZwQueryValueKey(key, &name, KeyValuePartialInformation, partial, 13, &length),
               STATUS_BUFFER_OVERFLOW);
  auto* basic = reinterpret_cast<PKEY_VALUE_BASIC_INFORMATION>(buffer);
  NT_EXPECT_SUCCESS(ZwEnumerateValueKey(key, 0, KeyValueBasicInformation, basic, sizeof(buffer), &length));
  NT_EXPECT_EQ(basic->NameLength, 12);
  NT_EXPECT_EQ(ZwEnumerateValueKey(key, 1, KeyValueBasicInformation, basic, sizeof(buffer), &length),
               STATUS_NO_MORE_ENTRIES);
  NT_EXPECT_SUCCESS(ZwDeleteValueKey(key, &name));
  NT_EXPECT_EQ(ZwDeleteValueKey(key, &name), STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_SUCCESS(ZwDeleteKey(key));
  ZwClose(key);
}

NT_TEST(KernelCm, SubkeysAreEnumeratedAndKeepTheirParent) {
  HANDLE key;
  HANDLE child;
  NT_ASSERT_SUCCESS(Create(kKey, REG_OPTION_VOLATILE, &key, nullptr));
  UNICODE_STRING name = Name(L"Parameters");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, key, nullptr);
  NT_ASSERT_SUCCESS(
      ZwCreateKey(&child, KEY_ALL_ACCESS, &attributes, 0, nullptr, REG_OPTION_VOLATILE, nullptr));
  NT_EXPECT_EQ(ZwDeleteKey(key), STATUS_CANNOT_DELETE);
  UCHAR buffer[64];
  ULONG length = 0;
  auto* basic = reinterpret_cast<PKEY_BASIC_INFORMATION>(buffer);
  NT_EXPECT_SUCCESS(ZwEnumerateKey(key, 0, KeyBasicInformation, basic, sizeof(buffer), &length));
  NT_EXPECT_EQ(basic->NameLength, 20);
  NT_EXPECT_EQ(ZwEnumerateKey(key, 1, KeyBasicInformation, basic, sizeof(buffer), &length),
               STATUS_NO_MORE_ENTRIES);
  auto* full = reinterpret_cast<PKEY_FULL_INFORMATION>(buffer);
  NT_EXPECT_SUCCESS(ZwQueryKey(key, KeyFullInformation, full, sizeof(buffer), &length));
  NT_EXPECT_EQ(full->SubKeys, 1);
  NT_EXPECT_SUCCESS(ZwDeleteKey(child));
  NT_EXPECT_SUCCESS(ZwDeleteKey(key));
  ZwClose(child);
  ZwClose(key);
}

NT_TEST(KernelCm, AStableKeyIsFlushedToTheHive) {
  HANDLE key;
  NT_ASSERT_SUCCESS(Create(kKey, REG_OPTION_NON_VOLATILE, &key, nullptr));
  NT_EXPECT_SUCCESS(ZwFlushKey(key));
  UNICODE_STRING name = Name(L"\\SystemRoot\\System32\\config\\SYSTEM");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  HANDLE file;
  IO_STATUS_BLOCK iosb;
  NT_EXPECT_SUCCESS(ZwOpenFile(&file, FILE_READ_ATTRIBUTES | SYNCHRONIZE, &attributes, &iosb, FILE_SHARE_READ,
                               FILE_SYNCHRONOUS_IO_NONALERT));
  ZwClose(file);
  NT_EXPECT_SUCCESS(ZwDeleteKey(key));
  ZwClose(key);
}

namespace {

struct TestKey {
  HANDLE handle = nullptr;
  explicit TestKey(ULONG options = REG_OPTION_VOLATILE) { status = Create(kKey, options, &handle, nullptr); }
  ~TestKey() {
    if (handle == nullptr) return;
    ZwDeleteKey(handle);
    ZwClose(handle);
  }
  NTSTATUS status;
};

NTSTATUS CreateBelow(HANDLE parent, PCWSTR text, ULONG options, PCWSTR class_name, HANDLE* key,
                     ULONG attributes_flags = 0) {
  UNICODE_STRING name = Name(text);
  UNICODE_STRING type = Name(class_name);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE | attributes_flags,
                             parent, nullptr);
  return ZwCreateKey(key, KEY_ALL_ACCESS, &attributes, 0, class_name != nullptr ? &type : nullptr, options,
                     nullptr);
}

// ntddk's, which the headers lack.
struct FlagsInformation {
  ULONG user_flags, key_flags, control_flags;
};
struct CachedInformation {
  LARGE_INTEGER last_write;
  ULONG title, subkeys, longest_name, values, longest_value_name, longest_value_data, name_length;
};

}  // namespace

NT_TEST(CmKeys, TheClassOfAKeyIsKept) {
  TestKey top;
  NT_ASSERT_SUCCESS(top.status);
  HANDLE key;
  NT_ASSERT_SUCCESS(CreateBelow(top.handle, L"Sub", REG_OPTION_VOLATILE, L"Class", &key));
  alignas(8) UCHAR buffer[128];
  ULONG length = 0;
  auto* node = reinterpret_cast<PKEY_NODE_INFORMATION>(buffer);
  NT_EXPECT_SUCCESS(ZwQueryKey(key, KeyNodeInformation, buffer, sizeof(buffer), &length));
  NT_EXPECT_EQ(node->ClassLength, 10u);
  NT_EXPECT_TRUE(RtlCompareMemory(buffer + node->ClassOffset, L"Class", 10) == 10);
  NT_EXPECT_EQ(node->NameLength, 6u);
  NT_EXPECT_EQ(length, node->ClassOffset + 10);
  auto* full = reinterpret_cast<PKEY_FULL_INFORMATION>(buffer);
  NT_EXPECT_SUCCESS(ZwQueryKey(key, KeyFullInformation, buffer, sizeof(buffer), &length));
  NT_EXPECT_EQ(full->ClassLength, 10u);
  NT_EXPECT_TRUE(RtlCompareMemory(full->Class, L"Class", 10) == 10);
  NT_EXPECT_SUCCESS(ZwQueryKey(top.handle, KeyFullInformation, buffer, sizeof(buffer), &length));
  NT_EXPECT_EQ(full->MaxClassLen, 10u);
  NT_EXPECT_EQ(full->ClassOffset, 0xFFFFFFFFu);
  NT_EXPECT_EQ(full->SubKeys, 1u);
  NT_EXPECT_EQ(ZwQueryKey(key, KeyNodeInformation, buffer, 8, &length), STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_EQ(ZwQueryKey(key, KeyNodeInformation, buffer, FIELD_OFFSET(KEY_NODE_INFORMATION, Name), &length),
               STATUS_BUFFER_OVERFLOW);
  NT_EXPECT_EQ(ZwQueryKey(key, MaxKeyInfoClass, buffer, sizeof(buffer), &length), STATUS_INVALID_PARAMETER);
  ZwDeleteKey(key);
  ZwClose(key);
}

NT_TEST(CmKeys, CachedFactsFlagsAndAlignedValuesAreAnswered) {
  TestKey top;
  NT_ASSERT_SUCCESS(top.status);
  UNICODE_STRING name = Name(L"Value");
  ULONG64 data = 0x1122334455667788;
  NT_EXPECT_SUCCESS(ZwSetValueKey(top.handle, &name, 0, REG_BINARY, &data, sizeof(data)));
  CachedInformation cached = {};
  ULONG length = 0;
  NT_EXPECT_SUCCESS(ZwQueryKey(top.handle, KeyCachedInformation, &cached, sizeof(cached), &length));
  NT_EXPECT_EQ(cached.values, 1u);
  NT_EXPECT_EQ(cached.longest_value_name, 10u);
  NT_EXPECT_EQ(cached.longest_value_data, 8u);
  NT_EXPECT_EQ(cached.name_length, 12u);
  FlagsInformation flags = {};
  NT_EXPECT_SUCCESS(ZwQueryKey(top.handle, KeyFlagsInformation, &flags, sizeof(flags), &length));
  NT_EXPECT_EQ(flags.key_flags, 1u);  // volatile
  ULONG virtualization = 7;
  NT_EXPECT_SUCCESS(
      ZwQueryKey(top.handle, KeyVirtualizationInformation, &virtualization, sizeof(ULONG), &length));
  NT_EXPECT_EQ(virtualization, 0u);
  alignas(8) UCHAR buffer[64];
  NT_EXPECT_SUCCESS(
      ZwQueryValueKey(top.handle, &name, KeyValuePartialInformationAlign64, buffer, sizeof(buffer), &length));
  NT_EXPECT_EQ(length, 16u);
  NT_EXPECT_EQ(*reinterpret_cast<ULONG*>(buffer), REG_BINARY);
  NT_EXPECT_EQ(*reinterpret_cast<ULONG64*>(buffer + 8), data);
  auto* full = reinterpret_cast<PKEY_VALUE_FULL_INFORMATION>(buffer);
  NT_EXPECT_SUCCESS(
      ZwEnumerateValueKey(top.handle, 0, KeyValueFullInformationAlign64, buffer, sizeof(buffer), &length));
  NT_EXPECT_EQ(full->DataOffset % 8, 0u);
  NT_EXPECT_EQ(*reinterpret_cast<ULONG64*>(buffer + full->DataOffset), data);
}

NT_TEST(CmKeys, ALinkLeadsToItsTarget) {
  TestKey top;
  NT_ASSERT_SUCCESS(top.status);
  HANDLE target, link, key;
  NT_ASSERT_SUCCESS(CreateBelow(top.handle, L"Target", REG_OPTION_VOLATILE, nullptr, &target));
  NT_ASSERT_SUCCESS(
      CreateBelow(top.handle, L"Link", REG_OPTION_VOLATILE | REG_OPTION_CREATE_LINK, nullptr, &link));
  NT_EXPECT_EQ(CreateBelow(top.handle, L"Link", REG_OPTION_VOLATILE, nullptr, &key),
               STATUS_OBJECT_NAME_NOT_FOUND);
  UNICODE_STRING value = Name(L"SymbolicLinkValue");
  constexpr WCHAR kTarget[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\CmTest\\Target";
  NT_EXPECT_SUCCESS(
      ZwSetValueKey(link, &value, 0, REG_LINK, const_cast<PWSTR>(kTarget), sizeof(kTarget) - sizeof(WCHAR)));
  NT_ASSERT_SUCCESS(CreateBelow(top.handle, L"Link\\Below", REG_OPTION_VOLATILE, nullptr, &key));
  alignas(8) UCHAR buffer[64];
  ULONG length;
  auto* basic = reinterpret_cast<PKEY_BASIC_INFORMATION>(buffer);
  NT_EXPECT_SUCCESS(ZwEnumerateKey(target, 0, KeyBasicInformation, buffer, sizeof(buffer), &length));
  NT_EXPECT_EQ(basic->NameLength, 10u);
  NT_EXPECT_SUCCESS(ZwDeleteKey(key));
  ZwClose(key);
  NT_ASSERT_SUCCESS(CreateBelow(top.handle, L"Link", REG_OPTION_VOLATILE, nullptr, &key, OBJ_OPENLINK));
  NT_EXPECT_SUCCESS(ZwQueryKey(key, KeyBasicInformation, buffer, sizeof(buffer), &length));
  NT_EXPECT_EQ(basic->NameLength, 8u);  // the link itself
  NT_EXPECT_SUCCESS(ZwDeleteKey(key));
  ZwClose(key);
  ZwClose(link);
  NT_EXPECT_SUCCESS(ZwDeleteKey(target));
  ZwClose(target);
}

NT_TEST(CmKeys, AVolatileParentHasVolatileChildrenOnly) {
  TestKey top;
  NT_ASSERT_SUCCESS(top.status);
  HANDLE key;
  NT_EXPECT_EQ(CreateBelow(top.handle, L"Lasting", 0, nullptr, &key), STATUS_CHILD_MUST_BE_VOLATILE);
  NT_EXPECT_EQ(CreateBelow(top.handle, L"No\\Parent", REG_OPTION_VOLATILE, nullptr, &key),
               STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_SUCCESS(CreateBelow(top.handle, L"Fine", REG_OPTION_VOLATILE, nullptr, &key));
  NT_EXPECT_EQ(ZwDeleteKey(top.handle), STATUS_CANNOT_DELETE);
  NT_EXPECT_SUCCESS(ZwDeleteKey(key));
  ZwClose(key);
}

namespace {

struct Watch {
  KEVENT event;
  HANDLE handle = nullptr;
  IO_STATUS_BLOCK iosb = {};
  Watch() {
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
    ZwCreateEvent(&handle, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE);
  }
  ~Watch() { ZwClose(handle); }
  NTSTATUS Start(HANDLE key, ULONG filter, BOOLEAN tree) {
    iosb.Status = STATUS_UNSUCCESSFUL;
    return ZwNotifyChangeKey(key, handle, nullptr, nullptr, &iosb, filter, tree, nullptr, 0, TRUE);
  }
  bool Told() {
    LARGE_INTEGER now = {};
    return ZwWaitForSingleObject(handle, FALSE, &now) == STATUS_SUCCESS;
  }
};

struct Item {
  WORK_QUEUE_ITEM item;
  KEVENT ran;
};

VOID NTAPI RunItem(PVOID context) {
  KeSetEvent(static_cast<PKEVENT>(context), 0, FALSE);
}

}  // namespace

NT_TEST(CmNotify, AChangeThatIsWaitedForCompletesOnce) {
  TestKey top;
  NT_ASSERT_SUCCESS(top.status);
  UNICODE_STRING value = Name(L"V");
  Watch watch;
  NT_EXPECT_EQ(watch.Start(top.handle, 0, FALSE), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(watch.Start(top.handle, 0x100, FALSE), STATUS_INVALID_PARAMETER);
  NT_ASSERT_EQ(watch.Start(top.handle, REG_NOTIFY_CHANGE_LAST_SET, FALSE), STATUS_PENDING);
  HANDLE below;
  NT_ASSERT_SUCCESS(CreateBelow(top.handle, L"Below", REG_OPTION_VOLATILE, nullptr, &below));
  NT_EXPECT_TRUE(!watch.Told());  // a name, not a value
  NT_EXPECT_SUCCESS(ZwSetValueKey(below, &value, 0, REG_SZ, nullptr, 0));
  NT_EXPECT_TRUE(!watch.Told());  // another key's
  NT_EXPECT_SUCCESS(ZwSetValueKey(top.handle, &value, 0, REG_SZ, nullptr, 0));
  NT_EXPECT_TRUE(watch.Told());
  NT_EXPECT_EQ(watch.iosb.Status, STATUS_NOTIFY_ENUM_DIR);
  NT_ASSERT_EQ(watch.Start(top.handle, REG_NOTIFY_CHANGE_LAST_SET, TRUE), STATUS_PENDING);
  NT_EXPECT_TRUE(!watch.Told());
  NT_EXPECT_SUCCESS(ZwDeleteValueKey(below, &value));
  NT_EXPECT_TRUE(watch.Told());
  NT_ASSERT_EQ(watch.Start(top.handle, REG_NOTIFY_CHANGE_NAME, FALSE), STATUS_PENDING);
  NT_EXPECT_SUCCESS(ZwDeleteKey(below));
  NT_EXPECT_TRUE(watch.Told());
  ZwClose(below);
}

NT_TEST(CmNotify, TheLastHandleEndsTheRequests) {
  TestKey top;
  NT_ASSERT_SUCCESS(top.status);
  HANDLE second;
  NT_ASSERT_SUCCESS(Open(kKey, &second));
  Watch watch, other;
  NT_ASSERT_EQ(watch.Start(second, REG_NOTIFY_CHANGE_NAME, FALSE), STATUS_PENDING);
  NT_ASSERT_EQ(other.Start(top.handle, REG_NOTIFY_CHANGE_NAME, FALSE), STATUS_PENDING);
  ZwClose(second);
  NT_EXPECT_TRUE(watch.Told());
  NT_EXPECT_EQ(watch.iosb.Status, STATUS_NOTIFY_CLEANUP);
  NT_EXPECT_TRUE(!other.Told());
}

NT_TEST(CmNotify, AKernelCallersWorkItemIsQueued) {
  TestKey top;
  NT_ASSERT_SUCCESS(top.status);
  Item item;
  KeInitializeEvent(&item.ran, NotificationEvent, FALSE);
  ExInitializeWorkItem(&item.item, RunItem, &item.ran);
  IO_STATUS_BLOCK iosb = {};
  NT_ASSERT_EQ(ZwNotifyChangeKey(top.handle, nullptr, reinterpret_cast<PIO_APC_ROUTINE>(&item.item),
                                 reinterpret_cast<PVOID>(ULONG_PTR{DelayedWorkQueue}), &iosb,
                                 REG_NOTIFY_CHANGE_LAST_SET, FALSE, nullptr, 0, TRUE),
               STATUS_PENDING);
  UNICODE_STRING value = Name(L"V");
  NT_EXPECT_SUCCESS(ZwSetValueKey(top.handle, &value, 0, REG_SZ, nullptr, 0));
  KeWaitForSingleObject(&item.ran, Executive, KernelMode, FALSE, nullptr);
  NT_EXPECT_EQ(iosb.Status, STATUS_NOTIFY_ENUM_DIR);
}

extern "C" {
extern POBJECT_TYPE* TmTransactionObjectType;
NTSTATUS NTAPI TmEnableCallbacks(PVOID ResourceManager, PVOID CallbackRoutine, PVOID RMKey);
NTSTATUS NTAPI TmCommitComplete(PVOID Enlistment, PLARGE_INTEGER TmVirtualClock);
NTSTATUS NTAPI TmRollbackComplete(PVOID Enlistment, PLARGE_INTEGER TmVirtualClock);
}

NT_TEST(CmTransactions, AreRefusedClearly) {
  HANDLE handle = nullptr;
  OBJECT_ATTRIBUTES attributes;
  UNICODE_STRING name = Name(kKey);
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NT_EXPECT_EQ(
      ZwCreateTransaction(&handle, GENERIC_ALL, nullptr, nullptr, nullptr, 0, 0, 0, nullptr, nullptr),
      STATUS_NOT_SUPPORTED);
  NT_EXPECT_EQ(ZwCreateTransactionManager(&handle, GENERIC_ALL, nullptr, nullptr, 0, 0),
               STATUS_NOT_SUPPORTED);
  NT_EXPECT_EQ(ZwCreateResourceManager(&handle, GENERIC_ALL, nullptr, nullptr, nullptr, 0, nullptr),
               STATUS_NOT_SUPPORTED);
  NT_EXPECT_EQ(ZwCreateEnlistment(&handle, GENERIC_ALL, nullptr, nullptr, nullptr, 0, 0, nullptr),
               STATUS_NOT_SUPPORTED);
  NT_EXPECT_EQ(ZwCommitTransaction(nullptr, TRUE), STATUS_INVALID_HANDLE);
  NT_EXPECT_EQ(ZwRollbackTransaction(nullptr, TRUE), STATUS_INVALID_HANDLE);
  NT_EXPECT_EQ(ZwCommitTransaction(NtCurrentProcess(), TRUE), STATUS_OBJECT_TYPE_MISMATCH);
  NT_EXPECT_EQ(
      ZwCreateKeyTransacted(&handle, KEY_READ, &attributes, 0, nullptr, 0, NtCurrentProcess(), nullptr),
      STATUS_OBJECT_TYPE_MISMATCH);
  NT_EXPECT_EQ(ZwOpenKeyTransacted(&handle, KEY_READ, &attributes, nullptr), STATUS_INVALID_HANDLE);
  NT_EXPECT_TRUE(handle == nullptr);
  NT_EXPECT_EQ(TmEnableCallbacks(nullptr, nullptr, nullptr), STATUS_NOT_SUPPORTED);
  NT_EXPECT_EQ(TmCommitComplete(nullptr, nullptr), STATUS_NOT_SUPPORTED);
  NT_EXPECT_EQ(TmRollbackComplete(nullptr, nullptr), STATUS_NOT_SUPPORTED);
  TestKey top;
  NT_ASSERT_SUCCESS(top.status);
  PVOID object;
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(top.handle, 0, *CmKeyObjectType, KernelMode, &object, nullptr));
  LARGE_INTEGER cookie = {};
  NT_EXPECT_TRUE(CmGetBoundTransaction(&cookie, object) == nullptr);
  ULONG_PTR id = 0;
  PCUNICODE_STRING first = nullptr, second = nullptr;
  NT_EXPECT_SUCCESS(CmCallbackGetKeyObjectID(&cookie, object, &id, &first));
  NT_EXPECT_SUCCESS(CmCallbackGetKeyObjectID(&cookie, object, &id, &second));
  NT_EXPECT_TRUE(first != nullptr && first == second && first->Length == sizeof(kKey) - sizeof(WCHAR));
  ULONG major = 0, minor = 7;
  CmGetCallbackVersion(&major, &minor);
  NT_EXPECT_EQ(major, 1u);
  NT_EXPECT_EQ(minor, 0u);
  ObDereferenceObject(object);
}

NT_TEST(CmKeys, ADescriptorHoldsForTheKeysBelow) {
  TestKey top;
  NT_ASSERT_SUCCESS(top.status);
  SECURITY_DESCRIPTOR descriptor;
  alignas(4) UCHAR list[64];
  RtlCreateSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION);
  RtlCreateAcl(reinterpret_cast<PACL>(list), sizeof(list), ACL_REVISION);
  RtlAddAccessAllowedAce(reinterpret_cast<PACL>(list), ACL_REVISION, KEY_READ, SeExports->SeWorldSid);
  RtlSetDaclSecurityDescriptor(&descriptor, TRUE, reinterpret_cast<PACL>(list), FALSE);
  Watch watch;
  NT_EXPECT_EQ(watch.Start(top.handle, REG_NOTIFY_CHANGE_SECURITY, FALSE), STATUS_PENDING);
  NT_EXPECT_SUCCESS(ZwSetSecurityObject(top.handle, DACL_SECURITY_INFORMATION, &descriptor));
  NT_EXPECT_TRUE(watch.Told());
  HANDLE below, opened;
  NT_ASSERT_SUCCESS(CreateBelow(top.handle, L"Below", REG_OPTION_VOLATILE, nullptr, &below));
  alignas(8) UCHAR buffer[256];
  ULONG needed = 0;
  NT_EXPECT_SUCCESS(ZwQuerySecurityObject(below, DACL_SECURITY_INFORMATION, buffer, sizeof(buffer), &needed));
  PACL acl = nullptr;
  BOOLEAN present = FALSE, defaulted;
  NT_EXPECT_SUCCESS(RtlGetDaclSecurityDescriptor(buffer, &present, &acl, &defaulted));
  NT_EXPECT_TRUE(present && acl != nullptr && acl->AceCount == 1);
  UNICODE_STRING name = Name(L"Below");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name,
                             OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE | OBJ_FORCE_ACCESS_CHECK, top.handle,
                             nullptr);
  NT_EXPECT_EQ(ZwOpenKey(&opened, KEY_SET_VALUE, &attributes), STATUS_ACCESS_DENIED);
  NT_ASSERT_SUCCESS(ZwOpenKey(&opened, KEY_READ, &attributes));
  ZwClose(opened);
  attributes.Attributes &= ~static_cast<ULONG>(OBJ_FORCE_ACCESS_CHECK);
  NT_ASSERT_SUCCESS(ZwOpenKey(&opened, KEY_SET_VALUE, &attributes));
  ZwClose(opened);
  ZwDeleteKey(below);
  ZwClose(below);
}
