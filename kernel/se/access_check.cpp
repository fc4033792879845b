// Whether a subject may do what it wants with an object: SeAccessCheck and privileges.
#include "nt/export.h"
#include "se/descriptor.h"
#include "se/se.h"
#include "se/token.h"

namespace se {
namespace {

constexpr ULONG kMediumIntegrity = 0x2000;

// S-1-3-4: what an owner may do, if the list says so.
struct {
  UCHAR revision, count, authority[6];
  ULONG sub;
} g_owner_rights = {SID_REVISION, 1, {0, 0, 0, 0, 0, 3}, 4};

// The token that counts: the client's, or the process's own.
PTOKEN EffectiveToken(PSECURITY_SUBJECT_CONTEXT context) {
  return static_cast<PTOKEN>(context->ClientToken != nullptr ? context->ClientToken : context->PrimaryToken);
}

bool HasSid(const SID_AND_ATTRIBUTES* sids, ULONG count, PSID sid, bool deny) {
  for (ULONG i = 0; i < count; ++i) {
    const ULONG attributes = sids[i].Attributes;
    // The user (the first of a token's groups) has no attributes and counts; a deny-only one counts for
    // denials.
    const bool enabled =
        (attributes & SE_GROUP_ENABLED) || (i == 0 && !(attributes & SE_GROUP_USE_FOR_DENY_ONLY));
    if (!enabled && !(deny && (attributes & SE_GROUP_USE_FOR_DENY_ONLY))) continue;
    if (!(attributes & SE_GROUP_INTEGRITY) && RtlEqualSid(sids[i].Sid, sid)) return true;
  }
  return false;
}

struct SidSet {
  const SID_AND_ATTRIBUTES* sids;
  ULONG count;
  PSID owner;  // of the object
  bool Has(PSID sid, bool deny) const {
    if (RtlEqualSid(sid, &g_owner_rights)) return owner != nullptr && HasSid(sids, count, owner, false);
    return HasSid(sids, count, sid, deny);
  }
};

enum class Effect { kNone, kAllow, kDeny };

Effect EffectOf(PACE_HEADER ace) {
  if (ace->AceFlags & INHERIT_ONLY_ACE) return Effect::kNone;
  switch (ace->AceType) {
    case ACCESS_ALLOWED_ACE_TYPE:
    case ACCESS_ALLOWED_OBJECT_ACE_TYPE:
      return Effect::kAllow;
    case ACCESS_DENIED_ACE_TYPE:
    case ACCESS_DENIED_OBJECT_ACE_TYPE:
    case ACCESS_DENIED_CALLBACK_ACE_TYPE:  // its condition, on claims that no token has, is unknown: it
                                           // denies
      return Effect::kDeny;
    default:
      return Effect::kNone;  // so ACCESS_ALLOWED_CALLBACK_ACE_TYPE, for the same reason
  }
}

// What a list leaves of `wanted`; with `wanted` all rights and `maximum`, what it grants in all. In order:
// the first entry that speaks of a right decides it.
ACCESS_MASK Granted(PACL dacl, const SidSet& set, ACCESS_MASK wanted, PGENERIC_MAPPING mapping) {
  ACCESS_MASK granted = 0, denied = 0;
  PACE_HEADER ace = FirstAce(dacl);
  for (USHORT i = 0; i < dacl->AceCount && ((granted | denied) & wanted) != wanted; ++i, ace = NextAce(ace)) {
    const Effect effect = EffectOf(ace);
    if (effect == Effect::kNone || !set.Has(SidOf(ace), effect == Effect::kDeny)) continue;
    ACCESS_MASK mask = MaskOf(ace);
    RtlMapGenericMask(&mask, mapping);
    if (effect == Effect::kAllow)
      granted |= mask & ~denied;
    else
      denied |= mask & ~granted;
  }
  return granted & wanted;
}

bool SpeaksOfOwnerRights(PACL dacl) {
  PACE_HEADER ace = FirstAce(dacl);
  for (USHORT i = 0; i < dacl->AceCount; ++i, ace = NextAce(ace)) {
    PSID sid = (ace->AceFlags & INHERIT_ONLY_ACE) ? nullptr : SidOf(ace);
    if (sid != nullptr && RtlEqualSid(sid, &g_owner_rights)) return true;
  }
  return false;
}

// What the lists grant of `wanted`, restricted SIDs included.
ACCESS_MASK GrantedByLists(const Parts& parts, const TOKEN* token, ACCESS_MASK wanted,
                           PGENERIC_MAPPING mapping) {
  if (parts.dacl == nullptr) return wanted;
  const SidSet own = {token->UserAndGroups, token->UserAndGroupCount, parts.owner};
  ACCESS_MASK granted = Granted(parts.dacl, own, wanted, mapping);
  const bool is_owner = parts.owner != nullptr && HasSid(own.sids, own.count, parts.owner, false);
  const bool owner_decides = is_owner && !SpeaksOfOwnerRights(parts.dacl);
  if (owner_decides) granted |= wanted & (READ_CONTROL | WRITE_DAC);
  if (token->RestrictedSidCount == 0) return granted;
  const SidSet restricted = {token->RestrictedSids, token->RestrictedSidCount, parts.owner};
  ACCESS_MASK by_restricted = Granted(parts.dacl, restricted, wanted, mapping);
  if (parts.owner != nullptr && HasSid(restricted.sids, restricted.count, parts.owner, false) &&
      owner_decides)
    by_restricted |= wanted & (READ_CONTROL | WRITE_DAC);
  if (token->TokenFlags & TOKEN_WRITE_RESTRICTED) {
    const ACCESS_MASK writes = mapping->GenericWrite & ~(mapping->GenericRead | mapping->GenericExecute);
    by_restricted |= ~writes;
  }
  return granted & by_restricted;
}

// Rights that the object's mandatory label keeps from a token of a lower level.
ACCESS_MASK KeptByLabel(const Parts& parts, const TOKEN* token, PGENERIC_MAPPING mapping) {
  ULONG level = kMediumIntegrity, policy = SYSTEM_MANDATORY_LABEL_NO_WRITE_UP;
  if (parts.sacl != nullptr) {
    PACE_HEADER ace = FirstAce(parts.sacl);
    for (USHORT i = 0; i < parts.sacl->AceCount; ++i, ace = NextAce(ace)) {
      if (ace->AceType != SYSTEM_MANDATORY_LABEL_ACE_TYPE || (ace->AceFlags & INHERIT_ONLY_ACE)) continue;
      level = *RtlSubAuthoritySid(SidOf(ace), 0);
      policy = MaskOf(ace);
      break;
    }
  }
  if (IntegrityOf(token) >= level) return 0;
  ACCESS_MASK kept = 0, left = 0;
  const auto apply = [&](ULONG bit, ACCESS_MASK rights) { ((policy & bit) ? kept : left) |= rights; };
  apply(SYSTEM_MANDATORY_LABEL_NO_WRITE_UP, mapping->GenericWrite | WRITE_DAC | WRITE_OWNER | DELETE);
  apply(SYSTEM_MANDATORY_LABEL_NO_READ_UP, mapping->GenericRead);
  apply(SYSTEM_MANDATORY_LABEL_NO_EXECUTE_UP, mapping->GenericExecute);
  return kept & ~left;
}

NTSTATUS NewPrivilegeSet(const LUID* luids, ULONG count, PPRIVILEGE_SET* set) {
  if (set == nullptr || count == 0) return STATUS_SUCCESS;
  const ULONG size = sizeof(PRIVILEGE_SET) + (count - 1) * sizeof(LUID_AND_ATTRIBUTES);
  *set = static_cast<PPRIVILEGE_SET>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kTag));
  if (*set == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  (*set)->PrivilegeCount = count;
  (*set)->Control = 0;
  for (ULONG i = 0; i < count; ++i) (*set)->Privilege[i] = {luids[i], SE_PRIVILEGE_USED_FOR_ACCESS};
  return STATUS_SUCCESS;
}

struct Check {
  Parts parts;
  PTOKEN token;
  PTOKEN primary;
  PGENERIC_MAPPING mapping;
  PPRIVILEGE_SET* privileges;
};

// The check itself, with the token locked. `wanted` is mapped; *granted has the earlier grants.
NTSTATUS CheckLocked(const Check& check, ACCESS_MASK wanted, PACCESS_MASK granted) {
  LUID used[2];
  ULONG used_count = 0;
  const bool maximum = (wanted & MAXIMUM_ALLOWED) != 0;
  wanted &= ~MAXIMUM_ALLOWED;
  ACCESS_MASK got = *granted;
  if (wanted & ACCESS_SYSTEM_SECURITY) {
    if (!HasPrivilege(check.token, SeExports->SeSecurityPrivilege)) return STATUS_PRIVILEGE_NOT_HELD;
    got |= ACCESS_SYSTEM_SECURITY;
    used[used_count++] = SeExports->SeSecurityPrivilege;
  }
  const ACCESS_MASK kept = KeptByLabel(check.parts, check.token, check.mapping);
  const ACCESS_MASK asked = maximum ? check.mapping->GenericAll | wanted : wanted;
  got |= GrantedByLists(check.parts, check.token, asked & ~got, check.mapping) & ~kept;
  if ((asked & WRITE_OWNER & ~got) && HasPrivilege(check.token, SeExports->SeTakeOwnershipPrivilege)) {
    got |= WRITE_OWNER;
    used[used_count++] = SeExports->SeTakeOwnershipPrivilege;
  }
  if ((wanted & ~got) != 0 || got == 0) return STATUS_ACCESS_DENIED;
  const NTSTATUS status = NewPrivilegeSet(used, used_count, check.privileges);
  if (NT_SUCCESS(status)) *granted = got;
  return status;
}

}  // namespace
}  // namespace se

/// Whether a subject may access an object as it wants: by the object's discretionary list (deny and allow
/// entries in their order, owner's rights, restricted SIDs), its mandatory label and the subject's
/// privileges. Kernel mode is granted what it asks for.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the conditions of callback entries are not computed but taken as unknown (no token has
/// claims): such an entry denies, or does not allow.
/// Source: WDK wdm/SeAccessCheck.
NT_EXPORT(SeAccessCheck, nt::AtMost(PASSIVE_LEVEL), Full, "SeAccess.*");
extern "C" BOOLEAN NTAPI SeAccessCheck(PSECURITY_DESCRIPTOR SecurityDescriptor,
                                       PSECURITY_SUBJECT_CONTEXT SubjectSecurityContext,
                                       BOOLEAN SubjectContextLocked, ACCESS_MASK DesiredAccess,
                                       ACCESS_MASK PreviouslyGrantedAccess, PPRIVILEGE_SET* Privileges,
                                       PGENERIC_MAPPING GenericMapping, KPROCESSOR_MODE AccessMode,
                                       PACCESS_MASK GrantedAccess, PNTSTATUS AccessStatus) {
  if (Privileges != nullptr) *Privileges = nullptr;
  if (AccessMode == KernelMode) {
    *GrantedAccess = PreviouslyGrantedAccess | (DesiredAccess & ~MAXIMUM_ALLOWED) |
                     ((DesiredAccess & MAXIMUM_ALLOWED) ? GenericMapping->GenericAll : 0);
    *AccessStatus = STATUS_SUCCESS;
    return TRUE;
  }
  *GrantedAccess = 0;
  *AccessStatus = STATUS_ACCESS_DENIED;
  if (SecurityDescriptor == nullptr) return FALSE;
  if (SubjectSecurityContext->ClientToken != nullptr &&
      SubjectSecurityContext->ImpersonationLevel < SecurityImpersonation) {
    *AccessStatus = STATUS_BAD_IMPERSONATION_LEVEL;
    return FALSE;
  }
  ACCESS_MASK wanted = DesiredAccess;
  RtlMapGenericMask(&wanted, GenericMapping);
  if (wanted == 0) {
    if (PreviouslyGrantedAccess == 0) return FALSE;
    *GrantedAccess = PreviouslyGrantedAccess;
    *AccessStatus = STATUS_SUCCESS;
    return TRUE;
  }
  if (!SubjectContextLocked) SeLockSubjectContext(SubjectSecurityContext);
  ACCESS_MASK granted = PreviouslyGrantedAccess;
  *AccessStatus =
      se::CheckLocked({se::PartsOf(SecurityDescriptor), se::EffectiveToken(SubjectSecurityContext),
                       static_cast<PTOKEN>(SubjectSecurityContext->PrimaryToken), GenericMapping, Privileges},
                      wanted, &granted);
  if (!SubjectContextLocked) SeUnlockSubjectContext(SubjectSecurityContext);
  if (!NT_SUCCESS(*AccessStatus)) return FALSE;
  *GrantedAccess = granted;
  return TRUE;
}

/// Whether a subject's token has the privileges of a set, all or any of them; marks those that it has.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SePrivilegeCheck.
NT_EXPORT(SePrivilegeCheck, nt::AtMost(PASSIVE_LEVEL), Full, "SeAccess.*");
extern "C" BOOLEAN NTAPI SePrivilegeCheck(PPRIVILEGE_SET RequiredPrivileges,
                                          PSECURITY_SUBJECT_CONTEXT SubjectSecurityContext,
                                          KPROCESSOR_MODE AccessMode) {
  if (AccessMode == KernelMode) return TRUE;
  if (SubjectSecurityContext->ClientToken != nullptr &&
      SubjectSecurityContext->ImpersonationLevel < SecurityImpersonation)
    return FALSE;
  SeLockSubjectContext(SubjectSecurityContext);
  PTOKEN token = se::EffectiveToken(SubjectSecurityContext);
  ULONG held = 0;
  for (ULONG i = 0; i < RequiredPrivileges->PrivilegeCount; ++i) {
    LUID_AND_ATTRIBUTES& wanted = RequiredPrivileges->Privilege[i];
    if (!se::HasPrivilege(token, wanted.Luid)) continue;
    wanted.Attributes |= SE_PRIVILEGE_USED_FOR_ACCESS;
    ++held;
  }
  SeUnlockSubjectContext(SubjectSecurityContext);
  return (RequiredPrivileges->Control & PRIVILEGE_SET_ALL_NECESSARY)
             ? held == RequiredPrivileges->PrivilegeCount
             : held != 0;
}

/// Whether the current thread's token has a privilege. Kernel mode has all.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/SeSinglePrivilegeCheck.
NT_EXPORT(SeSinglePrivilegeCheck, nt::AtMost(PASSIVE_LEVEL), Full, "SeAccess.*");
extern "C" BOOLEAN NTAPI SeSinglePrivilegeCheck(LUID PrivilegeValue, KPROCESSOR_MODE PreviousMode) {
  if (PreviousMode == KernelMode) return TRUE;
  SECURITY_SUBJECT_CONTEXT context;
  SeCaptureSubjectContext(&context);
  PRIVILEGE_SET set = {1, PRIVILEGE_SET_ALL_NECESSARY, {{PrivilegeValue, 0}}};
  const BOOLEAN held = SePrivilegeCheck(&set, &context, PreviousMode);
  SeReleaseSubjectContext(&context);
  return held;
}
