// rtl's exports through the ABI, where the host cannot run them: the registry helpers, and what the linker
// binds.
#include "nt_test.h"

namespace {

constexpr PCWSTR kPath = L"RtlGuestTest";

struct Seen {
  ULONG calls;
  ULONG types[8];
  ULONG bytes[8];
  WCHAR first[8];
};

NTSTATUS NTAPI Collect(PWSTR, ULONG type, PVOID data, ULONG bytes, PVOID, PVOID context) {
  auto* seen = static_cast<Seen*>(context);
  if (seen->calls == 8) return STATUS_UNSUCCESSFUL;
  seen->types[seen->calls] = type;
  seen->bytes[seen->calls] = bytes;
  seen->first[seen->calls] =
      data != nullptr && bytes >= sizeof(WCHAR) ? *static_cast<WCHAR*>(data) : static_cast<WCHAR>(0);
  ++seen->calls;
  return STATUS_SUCCESS;
}

NTSTATUS Write(PCWSTR name, ULONG type, const void* data, ULONG bytes) {
  return RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, kPath, name, type, const_cast<void*>(data), bytes);
}

}  // namespace

NT_TEST(RtlRegistry, ValuesAreWrittenReadAndDeleted) {
  const ULONG number = 42;
  NT_ASSERT_SUCCESS(Write(L"Number", REG_DWORD, &number, sizeof number));
  NT_ASSERT_SUCCESS(Write(L"Text", REG_SZ, L"hello", 12));
  NT_EXPECT_SUCCESS(RtlCheckRegistryKey(RTL_REGISTRY_SERVICES, const_cast<PWSTR>(kPath)));
  ULONG read = 0;
  ULONG missing = 0;
  const ULONG fallback = 7;
  UNICODE_STRING text = {};
  RTL_QUERY_REGISTRY_TABLE table[4] = {};
  constexpr ULONG kDirect = RTL_QUERY_REGISTRY_DIRECT | RTL_QUERY_REGISTRY_TYPECHECK;
  table[0] = {nullptr, kDirect, L"Number", &read, REG_DWORD << RTL_QUERY_REGISTRY_TYPECHECK_SHIFT,
              nullptr, 0};
  table[1] = {nullptr, kDirect, L"Text", &text, REG_SZ << RTL_QUERY_REGISTRY_TYPECHECK_SHIFT, nullptr, 0};
  table[2] = {nullptr,   RTL_QUERY_REGISTRY_DIRECT,     L"Missing",     &missing,
              REG_DWORD, const_cast<ULONG*>(&fallback), sizeof fallback};
  NT_EXPECT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, kPath, table, nullptr, nullptr));
  NT_EXPECT_EQ(read, 42u);
  NT_EXPECT_EQ(missing, 7u);
  NT_EXPECT_EQ(text.Length, 10);
  NT_EXPECT_EQ(text.Buffer != nullptr ? text.Buffer[4] : 0, 'o');
  if (text.Buffer != nullptr) ExFreePoolWithTag(text.Buffer, 0);
  table[1].DefaultType = REG_DWORD << RTL_QUERY_REGISTRY_TYPECHECK_SHIFT;
  NT_EXPECT_EQ(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, kPath, table, nullptr, nullptr),
               STATUS_OBJECT_TYPE_MISMATCH);
  NT_EXPECT_SUCCESS(RtlDeleteRegistryValue(RTL_REGISTRY_SERVICES, kPath, L"Number"));
  NT_EXPECT_EQ(RtlDeleteRegistryValue(RTL_REGISTRY_SERVICES, kPath, L"Number"), STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(RtlRegistry, RoutinesGetEachStringOfAMultiString) {
  NT_ASSERT_SUCCESS(Write(L"Many", REG_MULTI_SZ, L"one\0two\0\0", 18));
  Seen seen = {};
  RTL_QUERY_REGISTRY_TABLE table[2] = {};
  table[0] = {Collect, RTL_QUERY_REGISTRY_REQUIRED, L"Many", &seen, REG_NONE, nullptr, 0};
  NT_EXPECT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, kPath, table, nullptr, nullptr));
  NT_ASSERT_EQ(seen.calls, 2u);
  NT_EXPECT_EQ(seen.types[0], static_cast<ULONG>(REG_SZ));
  NT_EXPECT_EQ(seen.bytes[1], 8u);
  NT_EXPECT_EQ(seen.first[1], 't');
  seen = {};
  table[0].Flags = RTL_QUERY_REGISTRY_NOEXPAND;
  NT_EXPECT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, kPath, table, nullptr, nullptr));
  NT_ASSERT_EQ(seen.calls, 1u);
  NT_EXPECT_EQ(seen.types[0], static_cast<ULONG>(REG_MULTI_SZ));
}

namespace {

struct Text {
  ULONG type, bytes, calls;
  WCHAR text[64];
};

NTSTATUS NTAPI RememberText(PWSTR, ULONG type, PVOID data, ULONG bytes, PVOID, PVOID context) {
  auto* seen = static_cast<Text*>(context);
  ++seen->calls;
  seen->type = type;
  seen->bytes = bytes;
  if (bytes <= sizeof(seen->text)) RtlCopyMemory(seen->text, data, bytes);
  return STATUS_SUCCESS;
}

}  // namespace

NT_TEST(RtlRegistry, VariablesAreExpandedFromTheEnvironment) {
  WCHAR environment[] = L"First=one\0=C:=C:\\x\0SECOND=2 and two\0Empty=\0";
  const struct {
    PCWSTR text, expanded;
  } rows[] = {{L"plain", L"plain"},
              {L"%First%", L"one"},
              {L"<%first%|%Second%>", L"<one|2 and two>"},
              {L"%empty%", L""},
              {L"%None% and %FIRST%", L"%None% and one"},
              {L"100% of %first%", L"100% of one"},  // there is no " of "
              {L"%%first%%", L"%one%"},
              {L"%First", L"%First"},
              {L"%=C:%", L"C:\\x"},
              {L"", L""}};
  for (const auto& row : rows) {
    const auto bytes = static_cast<ULONG>((wcslen(row.text) + 1) * sizeof(WCHAR));
    const auto wanted = static_cast<ULONG>((wcslen(row.expanded) + 1) * sizeof(WCHAR));
    NT_ASSERT_SUCCESS(Write(L"Expand", REG_EXPAND_SZ, row.text, bytes));
    Text seen = {}, raw = {};
    UNICODE_STRING direct = {};
    constexpr ULONG kDirect = RTL_QUERY_REGISTRY_DIRECT | RTL_QUERY_REGISTRY_TYPECHECK;
    RTL_QUERY_REGISTRY_TABLE table[4] = {};
    table[0] = {RememberText, 0, L"Expand", &seen, REG_NONE, nullptr, 0};
    table[1] = {RememberText, RTL_QUERY_REGISTRY_NOEXPAND, L"Expand", &raw, REG_NONE, nullptr, 0};
    table[2] = {nullptr, kDirect, L"Expand", &direct, REG_EXPAND_SZ << RTL_QUERY_REGISTRY_TYPECHECK_SHIFT,
                nullptr, 0};
    NT_EXPECT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, kPath, table, nullptr, environment));
    NT_EXPECT_EQ(seen.calls, 1u);
    NT_EXPECT_EQ(seen.bytes, wanted);
    NT_EXPECT_TRUE(RtlEqualMemory(seen.text, row.expanded, wanted));
    NT_EXPECT_EQ(raw.type, static_cast<ULONG>(REG_EXPAND_SZ));
    NT_EXPECT_EQ(raw.bytes, bytes);
    NT_EXPECT_TRUE(RtlEqualMemory(raw.text, row.text, bytes));
    NT_EXPECT_EQ(direct.Length, wanted - sizeof(WCHAR));
    if (direct.Buffer != nullptr) ExFreePoolWithTag(direct.Buffer, 0);
    // The System process has no environment of its own.
    seen = {};
    table[1] = {};
    NT_EXPECT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, kPath, table, nullptr, nullptr));
    NT_EXPECT_EQ(seen.bytes, bytes);
  }
  NT_EXPECT_SUCCESS(RtlDeleteRegistryValue(RTL_REGISTRY_SERVICES, kPath, L"Expand"));
}

NT_TEST(RtlRegistry, RequiredValuesAndKeysMustExist) {
  Seen seen = {};
  RTL_QUERY_REGISTRY_TABLE table[2] = {};
  table[0] = {Collect, RTL_QUERY_REGISTRY_REQUIRED, L"Nothing", &seen, REG_NONE, nullptr, 0};
  NT_EXPECT_EQ(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, kPath, table, nullptr, nullptr),
               STATUS_OBJECT_NAME_NOT_FOUND);
  table[0].Flags = 0;
  NT_EXPECT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, kPath, table, nullptr, nullptr));
  NT_EXPECT_EQ(seen.calls, 0u);
  NT_EXPECT_EQ(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, L"NoSuchKey", table, nullptr, nullptr),
               STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_SUCCESS(RtlCreateRegistryKey(RTL_REGISTRY_SERVICES, const_cast<PWSTR>(L"RtlGuestTest\\Sub")));
  table[0] = {
      nullptr, RTL_QUERY_REGISTRY_SUBKEY | RTL_QUERY_REGISTRY_REQUIRED, L"Sub", nullptr, REG_NONE, nullptr,
      0};
  NT_EXPECT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, kPath, table, nullptr, nullptr));
}

NT_TEST(RtlRegistry, AssertIsExported) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"RtlAssert");
  NT_EXPECT_TRUE(MmGetSystemRoutineAddress(&name) != nullptr);
}
