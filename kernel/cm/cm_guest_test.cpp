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
