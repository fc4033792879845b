// Token objects.
#include "se/token.h"

#include "nt/export.h"
#include "ob/ob.h"
#include "se/descriptor.h"
#include "se/se.h"

extern "C" {
POBJECT_TYPE SeTokenObjectType;
}

/// The type of access tokens.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ObReferenceObjectByHandle.
NT_EXPORT_DATA(SeTokenObjectType, Full, "SeToken.*");

namespace se {
namespace {

constexpr ULONG kTokenTag = 'ekoT';
volatile LONG64 g_next_luid = 0x10000;  // below: well-known logon sessions

// One block: the array, then the SIDs that it points to.
PSID_AND_ATTRIBUTES CopySids(const SID_AND_ATTRIBUTES* sids, ULONG count) {
  ULONG size = count * sizeof(SID_AND_ATTRIBUTES);
  for (ULONG i = 0; i < count; ++i) size += RtlLengthSid(sids[i].Sid);
  auto* copy = static_cast<PSID_AND_ATTRIBUTES>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kTokenTag));
  if (copy == nullptr) return nullptr;
  auto* at = reinterpret_cast<UCHAR*>(copy + count);
  for (ULONG i = 0; i < count; ++i) {
    const ULONG length = RtlLengthSid(sids[i].Sid);
    RtlCopyMemory(at, sids[i].Sid, length);
    copy[i] = {at, sids[i].Attributes};
    at += length;
  }
  return copy;
}

void FreeBlock(PVOID block) {
  if (block != nullptr) ExFreePoolWithTag(block, 0);
}

VOID NTAPI DeleteToken(PVOID object) {
  auto* token = static_cast<PTOKEN>(object);
  FreeBlock(token->UserAndGroups);
  FreeBlock(token->RestrictedSids);
  FreeBlock(token->DefaultDacl);
}

ULONG FlagsOf(const TOKEN* token) {
  ULONG flags = token->RestrictedSidCount != 0 ? TOKEN_IS_RESTRICTED : 0;
  const auto present = [&](ULONG number) { return (token->Privileges.Present >> number & 1) != 0; };
  if (present(SE_CHANGE_NOTIFY_PRIVILEGE)) flags |= TOKEN_HAS_TRAVERSE_PRIVILEGE;
  if (present(SE_BACKUP_PRIVILEGE)) flags |= TOKEN_HAS_BACKUP_PRIVILEGE;
  if (present(SE_RESTORE_PRIVILEGE)) flags |= TOKEN_HAS_RESTORE_PRIVILEGE;
  if (present(SE_IMPERSONATE_PRIVILEGE)) flags |= TOKEN_HAS_IMPERSONATE_PRIVILEGE;
  return flags;
}

NTSTATUS NewToken(PTOKEN* token) {
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, SeTokenObjectType, nullptr, KernelMode, nullptr, sizeof(TOKEN),
                                   0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  status = ObInsertObject(object, nullptr, 0, 0, nullptr, nullptr);
  if (!NT_SUCCESS(status)) return status;
  *token = static_cast<PTOKEN>(object);
  NewLuid(&(*token)->TokenId);
  NewLuid(&(*token)->ModifiedId);
  (*token)->ExpirationTime.QuadPart = MAXLONGLONG;
  return STATUS_SUCCESS;
}

NTSTATUS Fill(PTOKEN token, const TokenDescription& from) {
  token->UserAndGroups = CopySids(from.groups, from.group_count);
  if (token->UserAndGroups == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  token->UserAndGroupCount = from.group_count;
  token->PrimaryGroup = token->UserAndGroups[from.primary_group].Sid;
  token->DefaultOwnerIndex = from.owner;
  token->IntegrityLevelIndex = from.integrity;
  token->Privileges = {from.privileges, from.enabled, from.enabled};
  token->AuthenticationId = from.authentication;
  token->SessionId = from.session;
  token->TokenType = TokenPrimary;
  RtlCopyMemory(token->TokenSource.SourceName, "Bugcheck", TOKEN_SOURCE_LENGTH);
  const Entry entries[] = {{token->UserAndGroups[from.owner].Sid, GENERIC_ALL},
                           {SeExports->SeLocalSystemSid, GENERIC_ALL},
                           {SeExports->SeAliasAdminsSid, GENERIC_READ | GENERIC_EXECUTE | READ_CONTROL}};
  const bool system = RtlEqualSid(token->UserAndGroups[0].Sid, SeExports->SeLocalSystemSid);
  token->DefaultDacl = system ? NewAcl(entries + 1, 2) : NewAcl(entries, 2);
  if (token->DefaultDacl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  token->TokenFlags = FlagsOf(token);
  return STATUS_SUCCESS;
}

// S-1-16-level and S-1-5-21-a-b-c-rid: SIDs that SeExports does not have.
struct LevelSid {
  UCHAR revision, count, authority[6];
  ULONG level;
};
struct UserSid {
  UCHAR revision, count, authority[6];
  ULONG sub[5];
};

constexpr ULONG kGroup = SE_GROUP_MANDATORY | SE_GROUP_ENABLED_BY_DEFAULT | SE_GROUP_ENABLED;
constexpr ULONG kLevel = SE_GROUP_INTEGRITY | SE_GROUP_INTEGRITY_ENABLED;
constexpr ULONG64 kAllPrivileges = ((1ULL << (36 + 1)) - 1) & ~3ULL;  // 2 (create token) to 36
constexpr ULONG64 Bit(ULONG privilege) {
  return 1ULL << privilege;
}

constexpr ULONG64 kUserPrivileges = Bit(SE_CHANGE_NOTIFY_PRIVILEGE) | Bit(SE_SHUTDOWN_PRIVILEGE) |
                                    Bit(SE_UNDOCK_PRIVILEGE) | Bit(SE_INC_WORKING_SET_PRIVILEGE) |
                                    Bit(SE_TIME_ZONE_PRIVILEGE);
constexpr ULONG64 kNotAdministrators = Bit(SE_CREATE_TOKEN_PRIVILEGE) | Bit(SE_ASSIGNPRIMARYTOKEN_PRIVILEGE) |
                                       Bit(SE_LOCK_MEMORY_PRIVILEGE) | Bit(SE_TCB_PRIVILEGE) |
                                       Bit(SE_CREATE_PERMANENT_PRIVILEGE) | Bit(SE_AUDIT_PRIVILEGE);
constexpr ULONG64 kAdministratorEnabled =
    Bit(SE_CHANGE_NOTIFY_PRIVILEGE) | Bit(SE_IMPERSONATE_PRIVILEGE) | Bit(SE_CREATE_GLOBAL_PRIVILEGE);

}  // namespace

void NewLuid(LUID* luid) {
  const LONG64 value = InterlockedIncrement64(&g_next_luid);
  *luid = {static_cast<ULONG>(value), static_cast<LONG>(value >> 32)};
}

NTSTATUS CreateAccountToken(Account account, ULONG session, PTOKEN* token) {
  LevelSid level = {SID_REVISION, 1, {0, 0, 0, 0, 0, 16}, 0x4000};
  UserSid user = {SID_REVISION, 5, {0, 0, 0, 0, 0, 5}, {21, 1000001, 1000002, 1000003, 500}};
  const SID_AND_ATTRIBUTES system[] = {
      {SeExports->SeLocalSystemSid, 0},
      {SeExports->SeAliasAdminsSid, (kGroup & ~ULONG{SE_GROUP_MANDATORY}) | SE_GROUP_OWNER},
      {SeExports->SeWorldSid, kGroup},
      {SeExports->SeAuthenticatedUsersSid, kGroup},
      {&level, kLevel}};
  const SID_AND_ATTRIBUTES administrator[] = {{&user, 0},
                                              {SeExports->SeAliasUsersSid, kGroup},
                                              {SeExports->SeWorldSid, kGroup},
                                              {SeExports->SeInteractiveSid, kGroup},
                                              {SeExports->SeAuthenticatedUsersSid, kGroup},
                                              {&level, kLevel},
                                              {SeExports->SeAliasAdminsSid, kGroup | SE_GROUP_OWNER}};
  TokenDescription description = {system, 5, 0, 1, 4, kAllPrivileges, kAllPrivileges, {0x3E7, 0}, session};
  if (account != Account::kSystem) {
    const bool elevated = account == Account::kAdministrator;
    user.sub[4] = elevated ? 500 : 1001;
    level.level = elevated ? 0x3000 : 0x2000;
    description.groups = administrator;
    description.group_count = elevated ? 7 : 6;  // all but the last
    description.primary_group = 1;
    description.owner = elevated ? 6 : 0;
    description.integrity = 5;
    description.privileges = elevated ? kAllPrivileges & ~kNotAdministrators : kUserPrivileges;
    description.enabled = elevated ? kAdministratorEnabled : Bit(SE_CHANGE_NOTIFY_PRIVILEGE);
    description.authentication = {elevated ? 0x8000u : 0x8001u, 0};
  }
  NTSTATUS status = NewToken(token);
  if (!NT_SUCCESS(status)) return status;
  status = Fill(*token, description);
  if (!NT_SUCCESS(status)) ObfDereferenceObject(*token);
  return status;
}

namespace {

// The copy's own blocks; what is missing after a failure DeleteToken does not free.
NTSTATUS CopyBlocks(const TOKEN* source, PTOKEN copy) {
  copy->UserAndGroups = CopySids(source->UserAndGroups, source->UserAndGroupCount);
  if (copy->UserAndGroups == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  for (ULONG i = 0; i < source->UserAndGroupCount; ++i) {
    if (source->PrimaryGroup == source->UserAndGroups[i].Sid) copy->PrimaryGroup = copy->UserAndGroups[i].Sid;
  }
  if (source->RestrictedSidCount != 0) {
    copy->RestrictedSids = CopySids(source->RestrictedSids, source->RestrictedSidCount);
    if (copy->RestrictedSids == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  }
  if (source->DefaultDacl == nullptr) return STATUS_SUCCESS;
  const USHORT bytes = source->DefaultDacl->AclSize;
  copy->DefaultDacl = static_cast<PACL>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kTokenTag));
  if (copy->DefaultDacl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlCopyMemory(copy->DefaultDacl, source->DefaultDacl, bytes);
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS DuplicateToken(PTOKEN source, TOKEN_TYPE type, SECURITY_IMPERSONATION_LEVEL level,
                        bool effective_only, PTOKEN* result) {
  PTOKEN copy;
  NTSTATUS status = NewToken(&copy);
  if (!NT_SUCCESS(status)) return status;
  {
    ob::PushLockGuard guard(&source->TokenLock, ob::PushLockGuard::Access::kShared);
    const LUID id = copy->TokenId;
    *copy = *source;
    copy->TokenId = id;
    copy->TokenLock = 0;
    copy->TokenInUse = FALSE;
    copy->UserAndGroups = copy->RestrictedSids = nullptr;
    copy->DefaultDacl = nullptr;
    copy->TokenType = type;
    copy->ImpersonationLevel = type == TokenPrimary ? SecurityAnonymous : level;
    status = CopyBlocks(source, copy);
  }
  if (!NT_SUCCESS(status)) {
    ObfDereferenceObject(copy);
    return status;
  }
  if (effective_only) {
    copy->Privileges.Present &= copy->Privileges.Enabled;
    for (ULONG i = 1; i < copy->UserAndGroupCount; ++i) {
      // A disabled group stays in place, never to be enabled: indices are kept.
      if (!(copy->UserAndGroups[i].Attributes & (SE_GROUP_ENABLED | SE_GROUP_INTEGRITY)))
        copy->UserAndGroups[i].Attributes = SE_GROUP_USE_FOR_DENY_ONLY;
    }
  }
  *result = copy;
  return STATUS_SUCCESS;
}

ULONG IntegrityOf(const TOKEN* token) {
  return *RtlSubAuthoritySid(token->UserAndGroups[token->IntegrityLevelIndex].Sid, 0);
}

namespace {

// What SeFilterToken does to the groups of its copy.
void Disable(PTOKEN token, const TOKEN_GROUPS* sids) {
  for (ULONG i = 0; sids != nullptr && i < sids->GroupCount; ++i) {
    for (ULONG j = 0; j < token->UserAndGroupCount; ++j) {
      SID_AND_ATTRIBUTES& group = token->UserAndGroups[j];
      if (!RtlEqualSid(group.Sid, sids->Groups[i].Sid)) continue;
      group.Attributes &= ~(SE_GROUP_ENABLED | SE_GROUP_ENABLED_BY_DEFAULT | SE_GROUP_OWNER);
      group.Attributes |= SE_GROUP_USE_FOR_DENY_ONLY;
    }
  }
}

void RemovePrivileges(PTOKEN token, ULONG64 remove) {
  token->Privileges.Present &= ~remove;
  token->Privileges.Enabled &= ~remove;
  token->Privileges.EnabledByDefault &= ~remove;
}

#ifndef DISABLE_MAX_PRIVILEGE
#define DISABLE_MAX_PRIVILEGE 0x1
#define SANDBOX_INERT 0x2
#endif
#define FILTER_LUA_TOKEN 0x4
#define FILTER_WRITE_RESTRICTED 0x8

}  // namespace
}  // namespace se

extern "C" NTSTATUS SepCreateTokenType() {
  const ob::TypeDescription type = {L"Token",
                                    se::kTokenTag,
                                    {TOKEN_READ, TOKEN_WRITE, TOKEN_EXECUTE, TOKEN_ALL_ACCESS},
                                    TOKEN_ALL_ACCESS,
                                    se::DeleteToken,
                                    nullptr,
                                    nullptr,
                                    nullptr,
                                    false,
                                    0};
  return ob::CreateType(type, &SeTokenObjectType);
}

/// A copy of a token that can do less: groups become deny-only, privileges go, SIDs restrict it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeFilterToken.
NT_EXPORT(SeFilterToken, nt::AtMost(APC_LEVEL), Full, "SeToken.Filter*");
extern "C" NTSTATUS NTAPI SeFilterToken(PACCESS_TOKEN ExistingToken, ULONG Flags, PTOKEN_GROUPS SidsToDisable,
                                        PTOKEN_PRIVILEGES PrivilegesToDelete, PTOKEN_GROUPS RestrictedSids,
                                        PACCESS_TOKEN* FilteredToken) {
  *FilteredToken = nullptr;
  if (Flags & ~ULONG{DISABLE_MAX_PRIVILEGE | SANDBOX_INERT | FILTER_LUA_TOKEN | FILTER_WRITE_RESTRICTED})
    return STATUS_INVALID_PARAMETER;
  auto* source = static_cast<PTOKEN>(ExistingToken);
  PTOKEN token;
  const NTSTATUS status =
      se::DuplicateToken(source, source->TokenType, source->ImpersonationLevel, false, &token);
  if (!NT_SUCCESS(status)) return status;
  token->ParentTokenId = source->TokenId;
  se::Disable(token, SidsToDisable);
  ULONG64 remove = (Flags & DISABLE_MAX_PRIVILEGE) ? ~se::Bit(SE_CHANGE_NOTIFY_PRIVILEGE) : 0;
  for (ULONG i = 0; PrivilegesToDelete != nullptr && i < PrivilegesToDelete->PrivilegeCount; ++i) {
    const LUID luid = PrivilegesToDelete->Privileges[i].Luid;
    if (luid.HighPart == 0 && luid.LowPart < 64) remove |= se::Bit(luid.LowPart);
  }
  if (Flags & FILTER_LUA_TOKEN) {
    TOKEN_GROUPS administrators = {1, {{SeExports->SeAliasAdminsSid, 0}}};
    se::Disable(token, &administrators);
    remove |= ~se::kUserPrivileges;
  }
  se::RemovePrivileges(token, remove);
  if (RestrictedSids != nullptr && RestrictedSids->GroupCount != 0 && token->RestrictedSids == nullptr) {
    token->RestrictedSids = se::CopySids(RestrictedSids->Groups, RestrictedSids->GroupCount);
    if (token->RestrictedSids == nullptr) {
      ObfDereferenceObject(token);
      return STATUS_INSUFFICIENT_RESOURCES;
    }
    token->RestrictedSidCount = RestrictedSids->GroupCount;
    for (ULONG i = 0; i < token->RestrictedSidCount; ++i) token->RestrictedSids[i].Attributes = se::kGroup;
  }
  token->TokenFlags = se::FlagsOf(token) | TOKEN_IS_FILTERED;
  if (Flags & SANDBOX_INERT) token->TokenFlags |= TOKEN_SANDBOX_INERT;
  if (Flags & FILTER_WRITE_RESTRICTED) token->TokenFlags |= TOKEN_WRITE_RESTRICTED;
  *FilteredToken = token;
  return STATUS_SUCCESS;
}
