// Objects with descriptors: who may open them, handles in other processes. Oracle: the WDK pages of the
// routines.
#include "ddi_security.h"
#include "nt_test.h"

extern "C" {
NTSTATUS NTAPI ObReferenceObjectByName(PUNICODE_STRING ObjectName, ULONG Attributes,
                                       PACCESS_STATE AccessState, ACCESS_MASK DesiredAccess,
                                       POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                       PVOID ParseContext, PVOID* Object);
}

namespace {

constexpr WCHAR kName[] = L"\\BaseNamedObjects\\ObSecurityTest";

// A named event that Administrators may wait for and SYSTEM may do anything with.
struct Event {
  HANDLE handle = nullptr;
  PVOID object = nullptr;
  NTSTATUS status;
  SECURITY_DESCRIPTOR descriptor;
  alignas(4) UCHAR list[128];
  Event() {
    auto* acl = reinterpret_cast<PACL>(list);
    RtlCreateSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION);
    RtlCreateAcl(acl, sizeof(list), ACL_REVISION);
    RtlAddAccessAllowedAce(acl, ACL_REVISION, SYNCHRONIZE | READ_CONTROL, SeExports->SeAliasAdminsSid);
    RtlAddAccessAllowedAce(acl, ACL_REVISION, SYNCHRONIZE, SeExports->SeRestrictedSid);
    RtlAddAccessAllowedAce(acl, ACL_REVISION, GENERIC_ALL, SeExports->SeLocalSystemSid);
    RtlSetDaclSecurityDescriptor(&descriptor, TRUE, acl, FALSE);
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, kName);
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, nullptr, &descriptor);
    status = ZwCreateEvent(&handle, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE);
    if (NT_SUCCESS(status))
      ObReferenceObjectByHandle(handle, 0, *ExEventObjectType, KernelMode, &object, nullptr);
  }
  ~Event() {
    if (object != nullptr) ObDereferenceObject(object);
    if (handle != nullptr) ZwClose(handle);
  }
  NTSTATUS Open(ACCESS_MASK wanted, KPROCESSOR_MODE mode, ULONG attributes = OBJ_KERNEL_HANDLE) {
    HANDLE opened = nullptr;
    const NTSTATUS result =
        ObOpenObjectByPointer(object, attributes, nullptr, wanted, *ExEventObjectType, mode, &opened);
    if (NT_SUCCESS(result)) ZwClose(opened);
    return result;
  }
};

// While it lives, the thread acts as SYSTEM restricted to the Restricted SID.
struct Restricted {
  bool on = false;
  Restricted() {
    PACCESS_TOKEN own = PsReferencePrimaryToken(PsInitialSystemProcess);
    TOKEN_GROUPS sids = {1, {{SeExports->SeRestrictedSid, 0}}};
    PACCESS_TOKEN token;
    if (NT_SUCCESS(SeFilterToken(own, 0x1, nullptr, nullptr, &sids, &token))) {
      on = NT_SUCCESS(PsImpersonateClient(reinterpret_cast<PETHREAD>(KeGetCurrentThread()), token, FALSE,
                                          FALSE, SecurityImpersonation));
      ObDereferenceObject(token);
    }
    PsDereferencePrimaryToken(own);
  }
  ~Restricted() { PsRevertToSelf(); }
};

}  // namespace

NT_TEST(ObSecurity, UserModeGetsWhatTheListAllows) {
  Event event;
  NT_ASSERT_SUCCESS(event.status);
  NT_EXPECT_SUCCESS(event.Open(EVENT_ALL_ACCESS, UserMode));  // SYSTEM
  Restricted restricted;
  NT_ASSERT_TRUE(restricted.on);
  NT_EXPECT_SUCCESS(event.Open(SYNCHRONIZE, UserMode));
  NT_EXPECT_EQ(event.Open(EVENT_MODIFY_STATE, UserMode), STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(event.Open(DELETE, UserMode), STATUS_ACCESS_DENIED);
  NT_EXPECT_SUCCESS(event.Open(EVENT_ALL_ACCESS, KernelMode));
  NT_EXPECT_EQ(event.Open(EVENT_ALL_ACCESS, KernelMode, OBJ_KERNEL_HANDLE | OBJ_FORCE_ACCESS_CHECK),
               STATUS_ACCESS_DENIED);
  HANDLE handle;
  NT_EXPECT_EQ(ObOpenObjectByPointer(event.object, OBJ_KERNEL_HANDLE, nullptr, SYNCHRONIZE, *PsThreadType,
                                     KernelMode, &handle),
               STATUS_OBJECT_TYPE_MISMATCH);
  NT_ASSERT_SUCCESS(ObOpenObjectByPointerWithTag(event.object, OBJ_KERNEL_HANDLE, nullptr, MAXIMUM_ALLOWED,
                                                 *ExEventObjectType, UserMode, 'tseT', &handle));
  OBJECT_HANDLE_INFORMATION information;
  PVOID object;
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(handle, 0, nullptr, KernelMode, &object, &information));
  NT_EXPECT_EQ(information.GrantedAccess, ACCESS_MASK{SYNCHRONIZE});
  ObDereferenceObject(object);
  ZwClose(handle);
}

NT_TEST(ObSecurity, ANameIsReferencedWithTheSameCheck) {
  Event event;
  NT_ASSERT_SUCCESS(event.status);
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, kName);
  PVOID object = nullptr;
  Restricted restricted;
  NT_ASSERT_TRUE(restricted.on);
  NT_EXPECT_SUCCESS(ObReferenceObjectByName(&name, OBJ_CASE_INSENSITIVE, nullptr, SYNCHRONIZE,
                                            *ExEventObjectType, UserMode, nullptr, &object));
  NT_EXPECT_TRUE(object == event.object);
  if (object != nullptr) ObDereferenceObject(object);
  NT_EXPECT_EQ(ObReferenceObjectByName(&name, OBJ_CASE_INSENSITIVE, nullptr, EVENT_MODIFY_STATE,
                                       *ExEventObjectType, UserMode, nullptr, &object),
               STATUS_ACCESS_DENIED);
  NT_EXPECT_TRUE(object == nullptr);
  NT_EXPECT_SUCCESS(ObReferenceObjectByName(&name, OBJ_CASE_INSENSITIVE, nullptr, EVENT_MODIFY_STATE,
                                            *ExEventObjectType, KernelMode, nullptr, &object));
  if (object != nullptr) ObDereferenceObject(object);
  NT_EXPECT_EQ(ObReferenceObjectByName(&name, OBJ_CASE_INSENSITIVE, nullptr, 0, *PsThreadType, KernelMode,
                                       nullptr, &object),
               STATUS_OBJECT_TYPE_MISMATCH);
}

NT_TEST(ObSecurity, ADescriptorIsQueriedAndChanged) {
  Event event;
  NT_ASSERT_SUCCESS(event.status);
  ULONG needed = 0;
  NT_EXPECT_EQ(ZwQuerySecurityObject(event.handle, DACL_SECURITY_INFORMATION, nullptr, 0, &needed),
               STATUS_BUFFER_TOO_SMALL);
  alignas(8) UCHAR buffer[256];
  NT_ASSERT_TRUE(needed > 20 && needed <= sizeof(buffer));
  NT_EXPECT_SUCCESS(
      ZwQuerySecurityObject(event.handle, DACL_SECURITY_INFORMATION, buffer, sizeof(buffer), &needed));
  PACL acl = nullptr;
  BOOLEAN present, defaulted;
  NT_EXPECT_SUCCESS(RtlGetDaclSecurityDescriptor(buffer, &present, &acl, &defaulted));
  NT_ASSERT_TRUE(present && acl != nullptr);
  NT_EXPECT_EQ(acl->AceCount, 3);
  SECURITY_DESCRIPTOR change;
  RtlCreateSecurityDescriptor(&change, SECURITY_DESCRIPTOR_REVISION);
  RtlSetDaclSecurityDescriptor(&change, TRUE, nullptr, FALSE);
  NT_EXPECT_SUCCESS(ZwSetSecurityObject(event.handle, DACL_SECURITY_INFORMATION, &change));
  NT_EXPECT_EQ(ZwSetSecurityObject(event.handle, OWNER_SECURITY_INFORMATION, &change),
               STATUS_INVALID_SECURITY_DESCR);
  NT_EXPECT_EQ(ZwSetSecurityObject(nullptr, DACL_SECURITY_INFORMATION, &change), STATUS_INVALID_HANDLE);
  {
    Restricted restricted;
    NT_EXPECT_SUCCESS(event.Open(EVENT_MODIFY_STATE, UserMode));  // no list any more
  }
  PSECURITY_DESCRIPTOR all = nullptr;
  BOOLEAN allocated = FALSE;
  NT_EXPECT_SUCCESS(ObGetObjectSecurity(event.object, &all, &allocated));
  NT_EXPECT_TRUE(all != nullptr && RtlValidSecurityDescriptor(all));
  ObReleaseObjectSecurity(all, allocated);
  BOOLEAN audited = TRUE;
  NT_EXPECT_SUCCESS(ObQueryObjectAuditingByHandle(event.handle, &audited));
  NT_EXPECT_EQ(audited, FALSE);
  NT_EXPECT_EQ(ObQueryObjectAuditingByHandle(nullptr, &audited), STATUS_INVALID_HANDLE);
}

NT_TEST(ObSecurity, AnObjectWithoutADescriptorGetsOneWhenItIsSet) {
  HANDLE handle;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NT_ASSERT_SUCCESS(ZwCreateEvent(&handle, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE));
  PVOID object;
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(handle, 0, nullptr, KernelMode, &object, nullptr));
  PSECURITY_DESCRIPTOR none = object;
  BOOLEAN allocated = TRUE;
  NT_EXPECT_SUCCESS(ObGetObjectSecurity(object, &none, &allocated));
  NT_EXPECT_TRUE(none == nullptr && !allocated);
  SECURITY_DESCRIPTOR descriptor;
  alignas(4) UCHAR list[16];
  RtlCreateSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION);
  RtlCreateAcl(reinterpret_cast<PACL>(list), sizeof(list), ACL_REVISION);
  RtlSetDaclSecurityDescriptor(&descriptor, TRUE, reinterpret_cast<PACL>(list), FALSE);
  NT_EXPECT_SUCCESS(ZwSetSecurityObject(handle, DACL_SECURITY_INFORMATION, &descriptor));
  HANDLE opened;
  NT_EXPECT_EQ(
      ObOpenObjectByPointer(object, OBJ_KERNEL_HANDLE, nullptr, SYNCHRONIZE, nullptr, UserMode, &opened),
      STATUS_ACCESS_DENIED);
  ObDereferenceObject(object);
  ZwClose(handle);
}

NT_TEST(ObSecurity, AHandleIsDuplicatedIntoAnotherProcessAndBack) {
  HANDLE process, event, there = nullptr, back = nullptr;
  NT_ASSERT_SUCCESS(PsCreateSystemProcess(&process, PROCESS_ALL_ACCESS, nullptr));
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, 0, nullptr, nullptr);
  NT_ASSERT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE));
  NT_EXPECT_SUCCESS(
      ZwDuplicateObject(NtCurrentProcess(), event, process, &there, SYNCHRONIZE, OBJ_INHERIT, 0));
  NT_EXPECT_TRUE(there != nullptr);
  NT_EXPECT_SUCCESS(ZwDuplicateObject(process, there, NtCurrentProcess(), &back, 0, 0, 2 | 4 /* same */));
  PVOID first = nullptr, second = nullptr;
  OBJECT_HANDLE_INFORMATION information = {};
  NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(event, 0, nullptr, KernelMode, &first, nullptr));
  NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(back, 0, nullptr, KernelMode, &second, &information));
  NT_EXPECT_TRUE(first == second);
  NT_EXPECT_EQ(information.GrantedAccess, ACCESS_MASK{SYNCHRONIZE});
  NT_EXPECT_EQ(information.HandleAttributes, ULONG{OBJ_INHERIT});
  ULONG count = 0;
  NT_EXPECT_SUCCESS(ZwQueryInformationProcess(process, ProcessHandleCount, &count, sizeof(count), nullptr));
  NT_EXPECT_EQ(count, 1u);
  NT_EXPECT_SUCCESS(ZwDuplicateObject(process, there, nullptr, nullptr, 0, 0, 1 /* close the source */));
  NT_EXPECT_SUCCESS(ZwQueryInformationProcess(process, ProcessHandleCount, &count, sizeof(count), nullptr));
  NT_EXPECT_EQ(count, 0u);
  NT_EXPECT_EQ(ZwDuplicateObject(process, there, NtCurrentProcess(), &there, 0, 0, 2), STATUS_INVALID_HANDLE);
  if (first != nullptr) ObDereferenceObject(first);
  if (second != nullptr) ObDereferenceObject(second);
  ZwClose(back);
  ZwClose(event);
  NT_EXPECT_SUCCESS(ZwTerminateProcess(process, STATUS_SUCCESS));
  ZwClose(process);
}
