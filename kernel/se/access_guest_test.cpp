// Access checks, tokens, subjects. Oracle: the WDK pages of the routines and the documented order of access
// checks (deny and allow entries decide in their order; owner's rights; privileges; restricted SIDs; labels).
#include "ddi_security.h"
#include "nt_test.h"

namespace {

GENERIC_MAPPING g_mapping = {0x1 | READ_CONTROL, 0x2, 0x4, 0x1F | STANDARD_RIGHTS_REQUIRED};

// A descriptor with a list that grows entry by entry.
struct Object {
  SECURITY_DESCRIPTOR header;
  alignas(4) UCHAR list[512];
  alignas(4) UCHAR labels[64];
  PACL Acl() { return reinterpret_cast<PACL>(list); }
  explicit Object(PSID owner) {
    RtlCreateSecurityDescriptor(&header, SECURITY_DESCRIPTOR_REVISION);
    RtlCreateAcl(Acl(), sizeof(list), ACL_REVISION);
    RtlSetDaclSecurityDescriptor(&header, TRUE, Acl(), FALSE);
    RtlSetOwnerSecurityDescriptor(&header, owner, FALSE);
  }
  Object& Add(UCHAR type, ACCESS_MASK mask, PSID sid, UCHAR flags = 0) {
    auto* at = reinterpret_cast<UCHAR*>(Acl() + 1);
    for (USHORT i = 0; i < Acl()->AceCount; ++i) at += reinterpret_cast<PACE_HEADER>(at)->AceSize;
    RtlAddAccessAllowedAce(Acl(), ACL_REVISION, mask, sid);
    reinterpret_cast<PACE_HEADER>(at)->AceType = type;
    reinterpret_cast<PACE_HEADER>(at)->AceFlags = flags;
    return *this;
  }
  Object& Allow(ACCESS_MASK mask, PSID sid) { return Add(ACCESS_ALLOWED_ACE_TYPE, mask, sid); }
  Object& Deny(ACCESS_MASK mask, PSID sid) { return Add(ACCESS_DENIED_ACE_TYPE, mask, sid); }
  void Label(ULONG level, ACCESS_MASK policy) {
    struct {
      UCHAR revision, count, authority[6];
      ULONG level;
    } sid = {1, 1, {0, 0, 0, 0, 0, 16}, level};
    auto* acl = reinterpret_cast<PACL>(labels);
    RtlCreateAcl(acl, sizeof(labels), ACL_REVISION);
    RtlAddAccessAllowedAce(acl, ACL_REVISION, policy, &sid);
    reinterpret_cast<PACE_HEADER>(acl + 1)->AceType = SYSTEM_MANDATORY_LABEL_ACE_TYPE;
    RtlSetSaclSecurityDescriptor(&header, TRUE, acl, FALSE);
  }
};

// The System process's subject, or one that impersonates a filtered copy of its token.
struct Subject {
  SECURITY_SUBJECT_CONTEXT context;
  Subject() { SeCaptureSubjectContext(&context); }
  ~Subject() { SeReleaseSubjectContext(&context); }
  bool Filter(ULONG flags, PSID deny_only, PSID restrict_to) {
    TOKEN_GROUPS deny = {1, {{deny_only, 0}}};
    TOKEN_GROUPS restricted = {1, {{restrict_to, 0}}};
    PACCESS_TOKEN token;
    if (!NT_SUCCESS(SeFilterToken(context.PrimaryToken, flags, deny_only != nullptr ? &deny : nullptr,
                                  nullptr, restrict_to != nullptr ? &restricted : nullptr, &token)))
      return false;
    context.ClientToken = token;
    context.ImpersonationLevel = SecurityImpersonation;
    return true;
  }
};

struct Answer {
  BOOLEAN allowed;
  NTSTATUS status;
  ACCESS_MASK granted;
};

Answer Check(Subject* subject, Object* object, ACCESS_MASK wanted, KPROCESSOR_MODE mode = UserMode,
             ACCESS_MASK earlier = 0) {
  Answer answer = {FALSE, STATUS_UNSUCCESSFUL, 0xFFFFFFFF};
  answer.allowed = SeAccessCheck(object != nullptr ? &object->header : nullptr, &subject->context, FALSE,
                                 wanted, earlier, nullptr, &g_mapping, mode, &answer.granted, &answer.status);
  return answer;
}

#define EXPECT_GRANTED(Call, Rights)                   \
  do {                                                 \
    const Answer answer = (Call);                      \
    NT_EXPECT_EQ(answer.allowed, TRUE);                \
    NT_EXPECT_EQ(answer.status, STATUS_SUCCESS);       \
    NT_EXPECT_EQ(answer.granted, ACCESS_MASK(Rights)); \
  } while (0)
#define EXPECT_REFUSED(Call, Status)     \
  do {                                   \
    const Answer answer = (Call);        \
    NT_EXPECT_EQ(answer.allowed, FALSE); \
    NT_EXPECT_EQ(answer.status, Status); \
    NT_EXPECT_EQ(answer.granted, 0u);    \
  } while (0)

}  // namespace

NT_TEST(SeAccess, KernelModeIsGrantedWhatItAsks) {
  Subject subject;
  Object object(SeExports->SeWorldSid);
  EXPECT_GRANTED(Check(&subject, &object, 0x13, KernelMode), 0x13);
  EXPECT_GRANTED(Check(&subject, &object, MAXIMUM_ALLOWED, KernelMode), g_mapping.GenericAll);
  EXPECT_GRANTED(Check(&subject, &object, 0x1, KernelMode, 0x10), 0x11);
}

NT_TEST(SeAccess, EntriesDecideInTheirOrder) {
  Subject subject;
  PSID system = SeExports->SeLocalSystemSid;
  PSID world = SeExports->SeWorldSid;
  PSID guests = SeExports->SeAliasGuestsSid;
  Object allow(guests);
  allow.Allow(0x3, system).Deny(0x1, world);
  EXPECT_GRANTED(Check(&subject, &allow, 0x3), 0x3);
  EXPECT_REFUSED(Check(&subject, &allow, 0x4), STATUS_ACCESS_DENIED);
  Object deny(guests);
  deny.Deny(0x1, world).Allow(0x3, system);
  EXPECT_REFUSED(Check(&subject, &deny, 0x1), STATUS_ACCESS_DENIED);
  EXPECT_GRANTED(Check(&subject, &deny, 0x2), 0x2);
  EXPECT_REFUSED(Check(&subject, &deny, 0x3), STATUS_ACCESS_DENIED);
  EXPECT_GRANTED(Check(&subject, &deny, MAXIMUM_ALLOWED), 0x2 | WRITE_OWNER);  // it may take the ownership
  Object others(guests);
  others.Allow(0x1F, guests).Deny(0x1F, guests);
  EXPECT_REFUSED(Check(&subject, &others, 0x1), STATUS_ACCESS_DENIED);
  Object several(guests);
  several.Allow(0x1, system).Allow(0x2, world).Allow(0x4, guests);
  EXPECT_GRANTED(Check(&subject, &several, 0x3), 0x3);
  EXPECT_REFUSED(Check(&subject, &several, 0x7), STATUS_ACCESS_DENIED);
}

NT_TEST(SeAccess, GenericRightsAreMappedOnBothSides) {
  Subject subject;
  Object object(SeExports->SeAliasGuestsSid);
  object.Allow(GENERIC_READ, SeExports->SeWorldSid);
  EXPECT_GRANTED(Check(&subject, &object, 0x1), 0x1);
  EXPECT_GRANTED(Check(&subject, &object, GENERIC_READ), g_mapping.GenericRead);
  EXPECT_REFUSED(Check(&subject, &object, GENERIC_WRITE), STATUS_ACCESS_DENIED);
  Object all(SeExports->SeAliasGuestsSid);
  all.Allow(GENERIC_ALL, SeExports->SeWorldSid);
  EXPECT_GRANTED(Check(&subject, &all, GENERIC_WRITE | GENERIC_EXECUTE), 0x6);
  EXPECT_GRANTED(Check(&subject, &all, MAXIMUM_ALLOWED), g_mapping.GenericAll);
}

NT_TEST(SeAccess, NoListGrantsAndAnEmptyOneRefuses) {
  Subject subject;
  Object empty(SeExports->SeAliasGuestsSid);
  EXPECT_REFUSED(Check(&subject, &empty, 0x1), STATUS_ACCESS_DENIED);
  Object none(SeExports->SeAliasGuestsSid);
  RtlSetDaclSecurityDescriptor(&none.header, FALSE, nullptr, FALSE);
  EXPECT_GRANTED(Check(&subject, &none, 0x1F), 0x1F);
  Object null(SeExports->SeAliasGuestsSid);
  RtlSetDaclSecurityDescriptor(&null.header, TRUE, nullptr, FALSE);
  EXPECT_GRANTED(Check(&subject, &null, 0x1F), 0x1F);
  EXPECT_REFUSED(Check(&subject, nullptr, 0x1), STATUS_ACCESS_DENIED);
  EXPECT_REFUSED(Check(&subject, &null, 0), STATUS_ACCESS_DENIED);
  EXPECT_GRANTED(Check(&subject, &null, 0, UserMode, 0x8), 0x8);
}

NT_TEST(SeAccess, TheOwnerMayAlwaysReadAndWriteTheList) {
  Subject subject;
  Object own(SeExports->SeLocalSystemSid);
  EXPECT_GRANTED(Check(&subject, &own, READ_CONTROL | WRITE_DAC), READ_CONTROL | WRITE_DAC);
  EXPECT_REFUSED(Check(&subject, &own, DELETE), STATUS_ACCESS_DENIED);
  struct {
    UCHAR revision, count, authority[6];
    ULONG sub;
  } owner_rights = {1, 1, {0, 0, 0, 0, 0, 3}, 4};
  own.Allow(0x1, &owner_rights);
  EXPECT_GRANTED(Check(&subject, &own, 0x1), 0x1);
  EXPECT_REFUSED(Check(&subject, &own, WRITE_DAC), STATUS_ACCESS_DENIED);
}

NT_TEST(SeAccess, PrivilegesOpenTheSystemListAndTheOwner) {
  Subject subject;
  Object object(SeExports->SeAliasGuestsSid);
  object.Allow(0x1, SeExports->SeWorldSid);
  EXPECT_GRANTED(Check(&subject, &object, ACCESS_SYSTEM_SECURITY | 0x1), ACCESS_SYSTEM_SECURITY | 0x1);
  EXPECT_GRANTED(Check(&subject, &object, WRITE_OWNER), WRITE_OWNER);
  PPRIVILEGE_SET used = nullptr;
  ACCESS_MASK granted;
  NTSTATUS status;
  NT_EXPECT_TRUE(SeAccessCheck(&object.header, &subject.context, FALSE, WRITE_OWNER, 0, &used, &g_mapping,
                               UserMode, &granted, &status));
  NT_ASSERT_TRUE(used != nullptr);
  NT_EXPECT_EQ(used->PrivilegeCount, 1u);
  NT_EXPECT_EQ(used->Privilege[0].Luid.LowPart, 9u);  // SeTakeOwnershipPrivilege
  ExFreePool(used);
  NT_ASSERT_TRUE(subject.Filter(0x1 /* DISABLE_MAX_PRIVILEGE */, nullptr, nullptr));
  EXPECT_REFUSED(Check(&subject, &object, ACCESS_SYSTEM_SECURITY), STATUS_PRIVILEGE_NOT_HELD);
  EXPECT_REFUSED(Check(&subject, &object, WRITE_OWNER), STATUS_ACCESS_DENIED);
  EXPECT_GRANTED(Check(&subject, &object, 0x1), 0x1);
}

NT_TEST(SeAccess, ADenyOnlyGroupDeniesAndDoesNotAllow) {
  Subject subject;
  PSID admins = SeExports->SeAliasAdminsSid;
  Object object(SeExports->SeAliasGuestsSid);
  object.Allow(0x1, admins);
  EXPECT_GRANTED(Check(&subject, &object, 0x1), 0x1);
  Object denied(SeExports->SeAliasGuestsSid);
  denied.Deny(0x2, admins).Allow(0x3, SeExports->SeWorldSid);
  NT_ASSERT_TRUE(subject.Filter(0, admins, nullptr));
  EXPECT_REFUSED(Check(&subject, &object, 0x1), STATUS_ACCESS_DENIED);
  EXPECT_GRANTED(Check(&subject, &denied, 0x1), 0x1);
  EXPECT_REFUSED(Check(&subject, &denied, 0x2), STATUS_ACCESS_DENIED);
}

NT_TEST(SeAccess, RestrictedSidsMustAllowToo) {
  Subject subject;
  Object object(SeExports->SeAliasGuestsSid);
  object.Allow(0x3, SeExports->SeLocalSystemSid).Allow(0x1, SeExports->SeRestrictedSid);
  EXPECT_GRANTED(Check(&subject, &object, 0x3), 0x3);
  NT_ASSERT_TRUE(subject.Filter(0, nullptr, SeExports->SeRestrictedSid));
  EXPECT_GRANTED(Check(&subject, &object, 0x1), 0x1);
  EXPECT_REFUSED(Check(&subject, &object, 0x2), STATUS_ACCESS_DENIED);
  NT_EXPECT_TRUE(SeTokenIsRestricted(subject.context.ClientToken));
  NT_EXPECT_TRUE(!SeTokenIsRestricted(subject.context.PrimaryToken));
}

NT_TEST(SeAccess, AHigherLabelKeepsWritersOut) {
  Subject subject;
  Object object(SeExports->SeAliasGuestsSid);
  object.Allow(GENERIC_ALL, SeExports->SeWorldSid);
  object.Label(0x4000, SYSTEM_MANDATORY_LABEL_NO_WRITE_UP);  // system: the subject's own level
  EXPECT_GRANTED(Check(&subject, &object, 0x7), 0x7);
  object.Label(0x5000, SYSTEM_MANDATORY_LABEL_NO_WRITE_UP);
  EXPECT_GRANTED(Check(&subject, &object, 0x5), 0x5);
  EXPECT_REFUSED(Check(&subject, &object, 0x2), STATUS_ACCESS_DENIED);
  object.Label(0x5000, SYSTEM_MANDATORY_LABEL_NO_READ_UP);
  EXPECT_REFUSED(Check(&subject, &object, 0x1), STATUS_ACCESS_DENIED);
  EXPECT_GRANTED(Check(&subject, &object, 0x2), 0x2);
}

NT_TEST(SeAccess, AnEntryForChildrenAloneIsNotEffective) {
  Subject subject;
  Object object(SeExports->SeAliasGuestsSid);
  object.Add(ACCESS_DENIED_ACE_TYPE, 0x1, SeExports->SeWorldSid, INHERIT_ONLY_ACE | OBJECT_INHERIT_ACE);
  object.Add(ACCESS_ALLOWED_ACE_TYPE, 0x2, SeExports->SeWorldSid, INHERIT_ONLY_ACE | CONTAINER_INHERIT_ACE);
  object.Allow(0x1, SeExports->SeWorldSid);
  EXPECT_GRANTED(Check(&subject, &object, 0x1), 0x1);
  EXPECT_REFUSED(Check(&subject, &object, 0x2), STATUS_ACCESS_DENIED);
}

NT_TEST(SeAccess, IdentificationIsNotEnough) {
  Subject subject;
  Object object(SeExports->SeAliasGuestsSid);
  object.Allow(0x1, SeExports->SeWorldSid);
  NT_ASSERT_TRUE(subject.Filter(0, nullptr, nullptr));
  subject.context.ImpersonationLevel = SecurityIdentification;
  EXPECT_REFUSED(Check(&subject, &object, 0x1), STATUS_BAD_IMPERSONATION_LEVEL);
}

NT_TEST(SeAccess, PrivilegesAreCheckedAllOrAny) {
  Subject subject;
  struct {
    PRIVILEGE_SET set;
    LUID_AND_ATTRIBUTES second;
  } wanted = {};
  wanted.set.PrivilegeCount = 2;
  wanted.set.Privilege[0].Luid = SeExports->SeDebugPrivilege;
  wanted.set.Privilege[1].Luid = {60, 0};  // nobody's
  NT_EXPECT_TRUE(SePrivilegeCheck(&wanted.set, &subject.context, UserMode));
  NT_EXPECT_TRUE((wanted.set.Privilege[0].Attributes & SE_PRIVILEGE_USED_FOR_ACCESS) != 0);
  NT_EXPECT_EQ(wanted.set.Privilege[1].Attributes, 0u);
  wanted.set.Control = PRIVILEGE_SET_ALL_NECESSARY;
  NT_EXPECT_TRUE(!SePrivilegeCheck(&wanted.set, &subject.context, UserMode));
  NT_EXPECT_TRUE(SePrivilegeCheck(&wanted.set, &subject.context, KernelMode));
  NT_EXPECT_TRUE(SeSinglePrivilegeCheck(SeExports->SeLoadDriverPrivilege, UserMode));
  NT_EXPECT_TRUE(SeSinglePrivilegeCheck(SeExports->SeTcbPrivilege, KernelMode));
  NT_EXPECT_TRUE(!SeSinglePrivilegeCheck({60, 0}, UserMode));
  NT_EXPECT_TRUE(SeSinglePrivilegeCheck({60, 0}, KernelMode));
}

NT_TEST(SeToken, TheSystemTokenSaysWhoItIs) {
  PACCESS_TOKEN token = PsReferencePrimaryToken(PsInitialSystemProcess);
  NT_ASSERT_TRUE(token != nullptr);
  NT_EXPECT_EQ(SeTokenType(token), TokenPrimary);
  NT_EXPECT_TRUE(SeTokenIsAdmin(token));
  LUID session = {};
  NT_EXPECT_SUCCESS(SeQueryAuthenticationIdToken(token, &session));
  NT_EXPECT_EQ(session.LowPart, 0x3E7u);
  ULONG number = 7;
  NT_EXPECT_SUCCESS(SeQuerySessionIdToken(token, &number));
  NT_EXPECT_EQ(number, 0u);
  PTOKEN_USER user;
  NT_ASSERT_SUCCESS(SeQueryInformationToken(token, TokenUser, reinterpret_cast<PVOID*>(&user)));
  NT_EXPECT_TRUE(RtlEqualSid(user->User.Sid, SeExports->SeLocalSystemSid));
  ExFreePool(user);
  PTOKEN_GROUPS groups;
  NT_ASSERT_SUCCESS(SeQueryInformationToken(token, TokenGroups, reinterpret_cast<PVOID*>(&groups)));
  bool administrators = false;
  for (ULONG i = 0; i < groups->GroupCount; ++i)
    administrators |= RtlEqualSid(groups->Groups[i].Sid, SeExports->SeAliasAdminsSid) != 0;
  NT_EXPECT_TRUE(administrators);
  ExFreePool(groups);
  PTOKEN_PRIVILEGES privileges;
  NT_ASSERT_SUCCESS(SeQueryInformationToken(token, TokenPrivileges, reinterpret_cast<PVOID*>(&privileges)));
  NT_EXPECT_TRUE(privileges->PrivilegeCount > 20);
  NT_EXPECT_TRUE((privileges->Privileges[0].Attributes & SE_PRIVILEGE_ENABLED) != 0);
  ExFreePool(privileges);
  ULONG level = 0;
  NT_EXPECT_SUCCESS(SeQueryInformationToken(token, TokenIntegrityLevel, reinterpret_cast<PVOID*>(&level)));
  NT_EXPECT_EQ(level, 0x4000u);
  PTOKEN_STATISTICS statistics;
  NT_ASSERT_SUCCESS(SeQueryInformationToken(token, TokenStatistics, reinterpret_cast<PVOID*>(&statistics)));
  NT_EXPECT_EQ(statistics->TokenType, TokenPrimary);
  NT_EXPECT_EQ(statistics->AuthenticationId.LowPart, 0x3E7u);
  ExFreePool(statistics);
  PsDereferencePrimaryToken(token);
}

NT_TEST(SeToken, AHandleAnswersAsThePointerDoes) {
  HANDLE handle;
  NT_ASSERT_SUCCESS(ZwOpenProcessTokenEx(NtCurrentProcess(), TOKEN_QUERY, OBJ_KERNEL_HANDLE, &handle));
  ULONG needed = 0;
  NT_EXPECT_EQ(ZwQueryInformationToken(handle, TokenUser, nullptr, 0, &needed), STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_TRUE(needed >= sizeof(TOKEN_USER) + 12);
  alignas(8) UCHAR buffer[128];
  NT_EXPECT_EQ(ZwQueryInformationToken(handle, TokenUser, buffer, needed - 1, &needed),
               STATUS_BUFFER_TOO_SMALL);
  NT_ASSERT_SUCCESS(ZwQueryInformationToken(handle, TokenUser, buffer, sizeof(buffer), &needed));
  auto* user = reinterpret_cast<PTOKEN_USER>(buffer);
  NT_EXPECT_TRUE(RtlEqualSid(user->User.Sid, SeExports->SeLocalSystemSid));
  NT_EXPECT_TRUE(static_cast<UCHAR*>(user->User.Sid) > buffer &&
                 static_cast<UCHAR*>(user->User.Sid) < buffer + needed);
  NT_EXPECT_EQ(ZwQueryInformationToken(handle, TokenImpersonationLevel, buffer, sizeof(buffer), &needed),
               STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(ZwQueryInformationToken(handle, MaxTokenInfoClass, buffer, sizeof(buffer), &needed),
               STATUS_INVALID_INFO_CLASS);
  HANDLE none = handle;
  NT_EXPECT_EQ(ZwOpenThreadTokenEx(NtCurrentThread(), TOKEN_QUERY, TRUE, OBJ_KERNEL_HANDLE, &none),
               STATUS_NO_TOKEN);
  NT_EXPECT_TRUE(none == nullptr);
  ZwClose(handle);
}

NT_TEST(SeToken, FilteringTakesGroupsAndPrivilegesAway) {
  Subject subject;
  NT_ASSERT_TRUE(subject.Filter(0x4 /* LUA_TOKEN */, nullptr, nullptr));
  PACCESS_TOKEN token = subject.context.ClientToken;
  NT_EXPECT_TRUE(!SeTokenIsAdmin(token));
  NT_EXPECT_TRUE(SeTokenIsAdmin(subject.context.PrimaryToken));
  PTOKEN_PRIVILEGES privileges;
  NT_ASSERT_SUCCESS(SeQueryInformationToken(token, TokenPrivileges, reinterpret_cast<PVOID*>(&privileges)));
  for (ULONG i = 0; i < privileges->PrivilegeCount; ++i)
    NT_EXPECT_TRUE(privileges->Privileges[i].Luid.LowPart != SeExports->SeDebugPrivilege.LowPart);
  ExFreePool(privileges);
  PACCESS_TOKEN none;
  NT_EXPECT_EQ(SeFilterToken(token, 0x1000, nullptr, nullptr, nullptr, &none), STATUS_INVALID_PARAMETER);
}

NT_TEST(SeSubject, AThreadActsAsItsClientAndBack) {
  auto* thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  BOOLEAN copy, effective;
  SECURITY_IMPERSONATION_LEVEL level;
  NT_EXPECT_TRUE(PsReferenceImpersonationToken(thread, &copy, &effective, &level) == nullptr);
  SECURITY_QUALITY_OF_SERVICE qos = {sizeof(qos), SecurityImpersonation, SECURITY_STATIC_TRACKING, FALSE};
  SECURITY_CLIENT_CONTEXT client;
  NT_ASSERT_SUCCESS(SeCreateClientSecurity(thread, &qos, FALSE, &client));
  NT_EXPECT_EQ(SeTokenType(client.ClientToken), TokenImpersonation);
  SeImpersonateClient(&client, nullptr);
  PACCESS_TOKEN token = PsReferenceImpersonationToken(thread, &copy, &effective, &level);
  NT_EXPECT_TRUE(token == client.ClientToken);
  NT_EXPECT_EQ(level, SecurityImpersonation);
  if (token != nullptr) PsDereferenceImpersonationToken(token);
  {
    Subject subject;
    NT_EXPECT_TRUE(subject.context.ClientToken == client.ClientToken);
    NT_EXPECT_EQ(subject.context.ImpersonationLevel, SecurityImpersonation);
    NT_EXPECT_TRUE(subject.context.PrimaryToken != nullptr);
    SeLockSubjectContext(&subject.context);
    SeUnlockSubjectContext(&subject.context);
  }
  HANDLE handle;
  NT_EXPECT_SUCCESS(ZwOpenThreadTokenEx(NtCurrentThread(), TOKEN_QUERY, TRUE, OBJ_KERNEL_HANDLE, &handle));
  ZwClose(handle);
  PsRevertToSelf();
  NT_EXPECT_TRUE(PsReferenceImpersonationToken(thread, &copy, &effective, &level) == nullptr);
  ObDereferenceObject(client.ClientToken);
}

NT_TEST(SeSubject, AnAccessStateCarriesTheRequest) {
  ACCESS_STATE state;
  UCHAR aux[0x100];
  NT_ASSERT_SUCCESS(SeCreateAccessState(&state, aux, GENERIC_READ | DELETE, &g_mapping));
  NT_EXPECT_EQ(state.OriginalDesiredAccess, g_mapping.GenericRead | DELETE);
  NT_EXPECT_EQ(state.RemainingDesiredAccess, g_mapping.GenericRead | DELETE);
  NT_EXPECT_EQ(state.PreviouslyGrantedAccess, 0u);
  NT_EXPECT_TRUE(state.SubjectSecurityContext.PrimaryToken != nullptr);
  NT_EXPECT_TRUE(state.AuxData == aux);
  SeDeleteAccessState(&state);
}
