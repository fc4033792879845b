// The name space and handles through the ABI, row by row. Oracle: the WDK pages of the Zw routines.
#include "nt_test.h"

namespace {

UNICODE_STRING Name(PCWSTR text) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, text);
  return name;
}

OBJECT_ATTRIBUTES Attributes(PUNICODE_STRING name, ULONG flags, HANDLE root = nullptr) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, name, flags | OBJ_KERNEL_HANDLE, root, nullptr);
  return attributes;
}

NTSTATUS OpenEvent(PCWSTR text, ULONG flags) {
  UNICODE_STRING name = Name(text);
  OBJECT_ATTRIBUTES attributes = Attributes(&name, flags);
  HANDLE handle;
  const NTSTATUS status = ZwOpenEvent(&handle, EVENT_ALL_ACCESS, &attributes);
  if (NT_SUCCESS(status)) ZwClose(handle);
  return status;
}

}  // namespace

NT_TEST(ObConformance, NamesAreFoundOrNot) {
  UNICODE_STRING name = Name(L"\\BaseNamedObjects\\BugcheckConformance");
  OBJECT_ATTRIBUTES attributes = Attributes(&name, OBJ_CASE_INSENSITIVE);
  HANDLE event;
  NT_ASSERT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE));
  const struct {
    PCWSTR text;
    ULONG flags;
    NTSTATUS status;
  } rows[] = {
      {L"\\BaseNamedObjects\\BugcheckConformance", 0, STATUS_SUCCESS},
      {L"\\BaseNamedObjects\\BugcheckConformance", OBJ_CASE_INSENSITIVE, STATUS_SUCCESS},
      {L"\\basenamedobjects\\bugcheckconformance", OBJ_CASE_INSENSITIVE, STATUS_SUCCESS},
      {L"\\BASENAMEDOBJECTS\\BUGCHECKCONFORMANCE", OBJ_CASE_INSENSITIVE, STATUS_SUCCESS},
      {L"\\BaseNamedObjects\\BugcheckConformanc", OBJ_CASE_INSENSITIVE, STATUS_OBJECT_NAME_NOT_FOUND},
      {L"\\BaseNamedObjects\\BugcheckConformanceX", OBJ_CASE_INSENSITIVE, STATUS_OBJECT_NAME_NOT_FOUND},
      {L"\\NoSuchDirectory\\BugcheckConformance", OBJ_CASE_INSENSITIVE, STATUS_OBJECT_PATH_NOT_FOUND},
      {L"BaseNamedObjects\\BugcheckConformance", OBJ_CASE_INSENSITIVE, STATUS_OBJECT_PATH_SYNTAX_BAD},
      {L"\\BaseNamedObjects", OBJ_CASE_INSENSITIVE, STATUS_OBJECT_TYPE_MISMATCH}};
  for (const auto& row : rows) NT_EXPECT_EQ(OpenEvent(row.text, row.flags), row.status);
  ZwClose(event);
  NT_EXPECT_EQ(OpenEvent(L"\\BaseNamedObjects\\BugcheckConformance", 0), STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(ObConformance, CreatingWhatExists) {
  const ULONG flags[] = {0, OBJ_OPENIF};
  for (const ULONG flag : flags) {
    UNICODE_STRING name = Name(L"\\BaseNamedObjects\\BugcheckTwice");
    OBJECT_ATTRIBUTES attributes = Attributes(&name, flag);
    HANDLE first, second = nullptr;
    NT_ASSERT_SUCCESS(ZwCreateEvent(&first, EVENT_ALL_ACCESS, &attributes, NotificationEvent, TRUE));
    const NTSTATUS status = ZwCreateEvent(&second, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE);
    NT_EXPECT_EQ(status, flag == OBJ_OPENIF ? STATUS_OBJECT_NAME_EXISTS : STATUS_OBJECT_NAME_COLLISION);
    if (NT_SUCCESS(status)) {
      PVOID a, b;
      NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(first, 0, nullptr, KernelMode, &a, nullptr));
      NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(second, 0, nullptr, KernelMode, &b, nullptr));
      NT_EXPECT_EQ(a, b);
      ObDereferenceObject(a);
      ObDereferenceObject(b);
      ZwClose(second);
    }
    ZwClose(first);
  }
}

// Every event has a handle of its own; each leads to its object and to no other type.
NT_TEST(ObConformance, HandlesLeadToTheirObjects) {
  constexpr ULONG kHandles = 40;
  HANDLE handles[kHandles];
  PVOID objects[kHandles];
  for (ULONG i = 0; i < kHandles; ++i) {
    OBJECT_ATTRIBUTES attributes = Attributes(nullptr, 0);
    NT_ASSERT_SUCCESS(ZwCreateEvent(&handles[i], EVENT_ALL_ACCESS, &attributes, SynchronizationEvent, FALSE));
    NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(handles[i], EVENT_MODIFY_STATE, *ExEventObjectType,
                                                KernelMode, &objects[i], nullptr));
    PVOID wrong;
    NT_EXPECT_EQ(ObReferenceObjectByHandle(handles[i], 0, *PsProcessType, KernelMode, &wrong, nullptr),
                 STATUS_OBJECT_TYPE_MISMATCH);
    NT_EXPECT_EQ(ObReferenceObjectByPointer(objects[i], 0, *ExEventObjectType, KernelMode), STATUS_SUCCESS);
    ObDereferenceObject(objects[i]);
    for (ULONG k = 0; k < i; ++k) {
      if (handles[k] == handles[i] || objects[k] == objects[i]) NT_EXPECT_EQ(i, k);
    }
  }
  for (ULONG i = 0; i < kHandles; ++i) {
    ObDereferenceObject(objects[i]);
    NT_EXPECT_SUCCESS(ZwClose(handles[i]));
  }
}

NT_TEST(ObConformance, LinksLeadOn) {
  for (ULONG depth = 1; depth <= 4; ++depth) {
    HANDLE links[4] = {};
    WCHAR names[5][40];
    for (ULONG i = 0; i <= depth; ++i) {
      PCWSTR text = i == depth ? L"\\BaseNamedObjects" : L"\\BaseNamedObjects\\BugcheckLink0";
      ULONG k = 0;
      for (; text[k] != 0; ++k) names[i][k] = text[k];
      names[i][k] = 0;
      if (i != depth) names[i][k - 1] = static_cast<WCHAR>(L'0' + i);
    }
    for (ULONG i = 0; i < depth; ++i) {
      UNICODE_STRING name = Name(names[i]), target = Name(names[i + 1]);
      OBJECT_ATTRIBUTES attributes = Attributes(&name, OBJ_CASE_INSENSITIVE);
      NT_ASSERT_SUCCESS(
          ZwCreateSymbolicLinkObject(&links[i], SYMBOLIC_LINK_ALL_ACCESS, &attributes, &target));
      WCHAR buffer[64];
      UNICODE_STRING read = {0, sizeof(buffer), buffer};
      ULONG needed = 0;
      NT_EXPECT_SUCCESS(ZwQuerySymbolicLinkObject(links[i], &read, &needed));
      NT_EXPECT_TRUE(RtlEqualUnicodeString(&read, &target, FALSE));
    }
    UNICODE_STRING through = Name(L"\\BaseNamedObjects\\BugcheckLink0\\BugcheckThroughLinks");
    OBJECT_ATTRIBUTES attributes = Attributes(&through, OBJ_CASE_INSENSITIVE);
    HANDLE event;
    NT_EXPECT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE));
    NT_EXPECT_EQ(OpenEvent(L"\\BaseNamedObjects\\BugcheckThroughLinks", OBJ_CASE_INSENSITIVE),
                 STATUS_SUCCESS);
    ZwClose(event);
    for (ULONG i = 0; i < depth; ++i) NT_EXPECT_SUCCESS(ZwClose(links[i]));
  }
}
