// Security identifiers, lists, descriptors. Every caller is the kernel, which may do everything: access
// checks grant.
#include "nt/export.h"
#include "se/se.h"

extern "C" {
PSE_EXPORTS SeExports;
PSECURITY_DESCRIPTOR SePublicDefaultSd;
POBJECT_TYPE SeTokenObjectType;
static SE_EXPORTS SepExports;
}

/// Privileges' and well-known accounts' identifiers.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/_SE_EXPORTS.
NT_EXPORT_DATA(SeExports, Full, "KernelSe.*");

namespace {

struct WellKnownSid {
  UCHAR revision;
  UCHAR count;
  UCHAR authority[6];
  ULONG sub[2];
};

constexpr WellKnownSid Make(UCHAR authority, UCHAR count, ULONG first, ULONG second = 0) {
  return {SID_REVISION, count, {0, 0, 0, 0, 0, authority}, {first, second}};
}

WellKnownSid g_null = Make(0, 1, 0);
WellKnownSid g_world = Make(1, 1, 0);
WellKnownSid g_local = Make(2, 1, 0);
WellKnownSid g_creator_owner = Make(3, 1, 0);
WellKnownSid g_creator_group = Make(3, 1, 1);
WellKnownSid g_dialup = Make(5, 1, 1);
WellKnownSid g_network = Make(5, 1, 2);
WellKnownSid g_batch = Make(5, 1, 3);
WellKnownSid g_interactive = Make(5, 1, 4);
WellKnownSid g_anonymous = Make(5, 1, 7);
WellKnownSid g_authenticated = Make(5, 1, 11);
WellKnownSid g_restricted = Make(5, 1, 12);
WellKnownSid g_system = Make(5, 1, 18);
WellKnownSid g_local_service = Make(5, 1, 19);
WellKnownSid g_network_service = Make(5, 1, 20);
WellKnownSid g_admins = Make(5, 2, 32, 544);
WellKnownSid g_users = Make(5, 2, 32, 545);
WellKnownSid g_guests = Make(5, 2, 32, 546);
SECURITY_DESCRIPTOR g_public_descriptor;

LUID Privilege(ULONG value) {
  return {value, 0};
}

void FillPrivileges() {
  SE_EXPORTS& e = SepExports;
  e.SeCreateTokenPrivilege = Privilege(2);
  e.SeAssignPrimaryTokenPrivilege = Privilege(3);
  e.SeLockMemoryPrivilege = Privilege(4);
  e.SeIncreaseQuotaPrivilege = Privilege(5);
  e.SeUnsolicitedInputPrivilege = Privilege(6);
  e.SeTcbPrivilege = Privilege(7);
  e.SeSecurityPrivilege = Privilege(8);
  e.SeTakeOwnershipPrivilege = Privilege(9);
  e.SeLoadDriverPrivilege = Privilege(10);
  e.SeSystemProfilePrivilege = Privilege(11);
  e.SeSystemtimePrivilege = Privilege(12);
  e.SeProfileSingleProcessPrivilege = Privilege(13);
  e.SeIncreaseBasePriorityPrivilege = Privilege(14);
  e.SeCreatePagefilePrivilege = Privilege(15);
  e.SeCreatePermanentPrivilege = Privilege(16);
  e.SeBackupPrivilege = Privilege(17);
  e.SeRestorePrivilege = Privilege(18);
  e.SeShutdownPrivilege = Privilege(19);
  e.SeDebugPrivilege = Privilege(20);
  e.SeAuditPrivilege = Privilege(21);
  e.SeSystemEnvironmentPrivilege = Privilege(22);
  e.SeChangeNotifyPrivilege = Privilege(23);
  e.SeRemoteShutdownPrivilege = Privilege(24);
}

void FillSids() {
  SE_EXPORTS& e = SepExports;
  e.SeNullSid = &g_null;
  e.SeWorldSid = &g_world;
  e.SeLocalSid = &g_local;
  e.SeCreatorOwnerSid = &g_creator_owner;
  e.SeCreatorGroupSid = &g_creator_group;
  e.SeNtAuthoritySid = &g_system;
  e.SeDialupSid = &g_dialup;
  e.SeNetworkSid = &g_network;
  e.SeBatchSid = &g_batch;
  e.SeInteractiveSid = &g_interactive;
  e.SeLocalSystemSid = &g_system;
  e.SeAliasAdminsSid = &g_admins;
  e.SeAliasUsersSid = &g_users;
  e.SeAliasGuestsSid = &g_guests;
  e.SeAnonymousLogonSid = &g_anonymous;
  e.SeAuthenticatedUsersSid = &g_authenticated;
  e.SeRestrictedSid = &g_restricted;
  e.SeLocalServiceSid = &g_local_service;
  e.SeNetworkServiceSid = &g_network_service;
}

}  // namespace

extern "C" NTSTATUS SeInitSystem() {
  FillPrivileges();
  FillSids();
  SeExports = &SepExports;
  g_public_descriptor.Revision = SECURITY_DESCRIPTOR_REVISION;
  g_public_descriptor.Control = SE_DACL_PRESENT;  // without a list: everybody may do everything
  SePublicDefaultSd = &g_public_descriptor;
  return STATUS_SUCCESS;
}

/// Whether a SID is well formed.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlValidSid.
NT_EXPORT(RtlValidSid, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" BOOLEAN NTAPI RtlValidSid(PSID Sid) {
  auto* sid = static_cast<PISID>(Sid);
  return sid != nullptr && sid->Revision == SID_REVISION && sid->SubAuthorityCount <= SID_MAX_SUB_AUTHORITIES;
}

/// Bytes of a SID with so many sub-authorities.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlLengthRequiredSid.
NT_EXPORT(RtlLengthRequiredSid, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" ULONG NTAPI RtlLengthRequiredSid(ULONG SubAuthorityCount) {
  return 8 + 4 * SubAuthorityCount;
}

/// Bytes of a SID.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlLengthSid.
NT_EXPORT(RtlLengthSid, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" ULONG NTAPI RtlLengthSid(PSID Sid) {
  return 8 + 4 * static_cast<PISID>(Sid)->SubAuthorityCount;
}

/// Whether two SIDs are equal.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlEqualSid.
NT_EXPORT(RtlEqualSid, nt::AnyIrql(), Full, "KernelSe.*");
extern "C" BOOLEAN NTAPI RtlEqualSid(PSID Sid1, PSID Sid2) {
  const ULONG length = RtlLengthSid(Sid1);
  return length == RtlLengthSid(Sid2) && RtlCompareMemory(Sid1, Sid2, length) == length;
}

/// Prepares a SID: identifier authority and number of sub-authorities, which the caller fills in.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlInitializeSid.
NT_EXPORT(RtlInitializeSid, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" NTSTATUS NTAPI RtlInitializeSid(PSID Sid, PSID_IDENTIFIER_AUTHORITY IdentifierAuthority,
                                           UCHAR SubAuthorityCount) {
  if (SubAuthorityCount > SID_MAX_SUB_AUTHORITIES) return STATUS_INVALID_PARAMETER;
  auto* sid = static_cast<PISID>(Sid);
  sid->Revision = SID_REVISION;
  sid->SubAuthorityCount = SubAuthorityCount;
  sid->IdentifierAuthority = *IdentifierAuthority;
  return STATUS_SUCCESS;
}

/// The address of a sub-authority of a SID.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlSubAuthoritySid.
NT_EXPORT(RtlSubAuthoritySid, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" PULONG NTAPI RtlSubAuthoritySid(PSID Sid, ULONG SubAuthority) {
  return &static_cast<PISID>(Sid)->SubAuthority[SubAuthority];
}

/// Copies a SID into a buffer.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlCopySid.
NT_EXPORT(RtlCopySid, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" NTSTATUS NTAPI RtlCopySid(ULONG DestinationSidLength, PSID DestinationSid, PSID SourceSid) {
  const ULONG length = RtlLengthSid(SourceSid);
  if (length > DestinationSidLength) return STATUS_BUFFER_TOO_SMALL;
  RtlCopyMemory(DestinationSid, SourceSid, length);
  return STATUS_SUCCESS;
}

/// Prepares an empty access control list.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlCreateAcl.
NT_EXPORT(RtlCreateAcl, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" NTSTATUS NTAPI RtlCreateAcl(PACL Acl, ULONG AclLength, ULONG AclRevision) {
  if (AclLength < sizeof(ACL)) return STATUS_BUFFER_TOO_SMALL;
  if (AclLength > 0xFFFF || AclRevision < MIN_ACL_REVISION || AclRevision > MAX_ACL_REVISION)
    return STATUS_INVALID_PARAMETER;
  *Acl = {static_cast<UCHAR>(AclRevision), 0, static_cast<USHORT>(AclLength & ~3u), 0, 0};
  return STATUS_SUCCESS;
}

/// Appends an access-allowed entry to a list.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlAddAccessAllowedAce.
NT_EXPORT(RtlAddAccessAllowedAce, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" NTSTATUS NTAPI RtlAddAccessAllowedAce(PACL Acl, ULONG AceRevision, ACCESS_MASK AccessMask,
                                                 PSID Sid) {
  if (!RtlValidSid(Sid)) return STATUS_INVALID_SID;
  if (AceRevision > MAX_ACL_REVISION) return STATUS_REVISION_MISMATCH;
  ULONG used = sizeof(ACL);
  for (USHORT i = 0; i < Acl->AceCount; ++i) {
    if (used + sizeof(ACE_HEADER) > Acl->AclSize) return STATUS_INVALID_ACL;
    used += reinterpret_cast<PACE_HEADER>(reinterpret_cast<UCHAR*>(Acl) + used)->AceSize;
  }
  const ULONG size = sizeof(ACE_HEADER) + sizeof(ACCESS_MASK) + RtlLengthSid(Sid);
  if (used + size > Acl->AclSize) return STATUS_ALLOTTED_SPACE_EXCEEDED;
  auto* ace = reinterpret_cast<PACCESS_ALLOWED_ACE>(reinterpret_cast<UCHAR*>(Acl) + used);
  ace->Header = {ACCESS_ALLOWED_ACE_TYPE, 0, static_cast<USHORT>(size)};
  ace->Mask = AccessMask;
  RtlCopyMemory(&ace->SidStart, Sid, RtlLengthSid(Sid));
  ++Acl->AceCount;
  if (AceRevision > Acl->AclRevision) Acl->AclRevision = static_cast<UCHAR>(AceRevision);
  return STATUS_SUCCESS;
}

/// Prepares an absolute security descriptor without owner, group and lists.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlCreateSecurityDescriptor.
NT_EXPORT(RtlCreateSecurityDescriptor, nt::Exactly(PASSIVE_LEVEL), Full, "KernelSe.*");
extern "C" NTSTATUS NTAPI RtlCreateSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor,
                                                      ULONG Revision) {
  if (Revision != SECURITY_DESCRIPTOR_REVISION) return STATUS_UNKNOWN_REVISION;
  RtlZeroMemory(SecurityDescriptor, sizeof(SECURITY_DESCRIPTOR));
  static_cast<PISECURITY_DESCRIPTOR>(SecurityDescriptor)->Revision = SECURITY_DESCRIPTOR_REVISION;
  return STATUS_SUCCESS;
}

/// Sets the discretionary list of an absolute descriptor.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlSetDaclSecurityDescriptor.
NT_EXPORT(RtlSetDaclSecurityDescriptor, nt::Exactly(PASSIVE_LEVEL), Full, "KernelSe.*");
extern "C" NTSTATUS NTAPI RtlSetDaclSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor,
                                                       BOOLEAN DaclPresent, PACL Dacl,
                                                       BOOLEAN DaclDefaulted) {
  auto* descriptor = static_cast<PISECURITY_DESCRIPTOR>(SecurityDescriptor);
  if (descriptor->Revision != SECURITY_DESCRIPTOR_REVISION) return STATUS_UNKNOWN_REVISION;
  if (descriptor->Control & SE_SELF_RELATIVE) return STATUS_INVALID_SECURITY_DESCR;
  descriptor->Control &= ~(SE_DACL_PRESENT | SE_DACL_DEFAULTED);
  if (!DaclPresent) return STATUS_SUCCESS;
  descriptor->Control |= SE_DACL_PRESENT | (DaclDefaulted ? SE_DACL_DEFAULTED : 0);
  descriptor->Dacl = Dacl;
  return STATUS_SUCCESS;
}

/// Sets the owner of an absolute descriptor.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlSetOwnerSecurityDescriptor.
NT_EXPORT(RtlSetOwnerSecurityDescriptor, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" NTSTATUS NTAPI RtlSetOwnerSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PSID Owner,
                                                        BOOLEAN OwnerDefaulted) {
  auto* descriptor = static_cast<PISECURITY_DESCRIPTOR>(SecurityDescriptor);
  if (descriptor->Revision != SECURITY_DESCRIPTOR_REVISION) return STATUS_UNKNOWN_REVISION;
  if (descriptor->Control & SE_SELF_RELATIVE) return STATUS_INVALID_SECURITY_DESCR;
  descriptor->Owner = Owner;
  descriptor->Control = static_cast<USHORT>((descriptor->Control & ~SE_OWNER_DEFAULTED) |
                                            (OwnerDefaulted ? SE_OWNER_DEFAULTED : 0));
  return STATUS_SUCCESS;
}

/// Whether a descriptor is well formed.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the lists' entries are not looked at.
/// Source: WDK wdm/RtlValidSecurityDescriptor.
NT_EXPORT(RtlValidSecurityDescriptor, nt::Exactly(PASSIVE_LEVEL), Partial, "KernelSe.*");
extern "C" BOOLEAN NTAPI RtlValidSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor) {
  auto* descriptor = static_cast<PISECURITY_DESCRIPTOR>(SecurityDescriptor);
  return descriptor != nullptr && descriptor->Revision == SECURITY_DESCRIPTOR_REVISION;
}

/// Bytes of an absolute descriptor and what it points to.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: self-relative descriptors are not supported (their header's length is returned).
/// Source: WDK wdm/RtlLengthSecurityDescriptor.
NT_EXPORT(RtlLengthSecurityDescriptor, nt::Exactly(PASSIVE_LEVEL), Partial, "KernelSe.*");
extern "C" ULONG NTAPI RtlLengthSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor) {
  auto* descriptor = static_cast<PISECURITY_DESCRIPTOR>(SecurityDescriptor);
  if (descriptor->Control & SE_SELF_RELATIVE) return sizeof(SECURITY_DESCRIPTOR_RELATIVE);
  ULONG length = sizeof(SECURITY_DESCRIPTOR);
  if (descriptor->Owner != nullptr) length += RtlLengthSid(descriptor->Owner);
  if (descriptor->Group != nullptr) length += RtlLengthSid(descriptor->Group);
  if ((descriptor->Control & SE_DACL_PRESENT) && descriptor->Dacl != nullptr)
    length += descriptor->Dacl->AclSize;
  if ((descriptor->Control & SE_SACL_PRESENT) && descriptor->Sacl != nullptr)
    length += descriptor->Sacl->AclSize;
  return length;
}

/// Whether a privilege is held: callers from kernel mode hold all.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there are no tokens; callers from user mode hold none.
/// Source: WDK ntddk/SeSinglePrivilegeCheck.
NT_EXPORT(SeSinglePrivilegeCheck, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelSe.*");
extern "C" BOOLEAN NTAPI SeSinglePrivilegeCheck(LUID, KPROCESSOR_MODE PreviousMode) {
  return PreviousMode == KernelMode;
}

/// Checks access: kernel mode is granted what it asks for.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there are no tokens; user mode is denied.
/// Source: WDK wdm/SeAccessCheck.
NT_EXPORT(SeAccessCheck, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelSe.*");
extern "C" BOOLEAN NTAPI SeAccessCheck(PSECURITY_DESCRIPTOR, PSECURITY_SUBJECT_CONTEXT, BOOLEAN,
                                       ACCESS_MASK DesiredAccess, ACCESS_MASK PreviouslyGrantedAccess,
                                       PPRIVILEGE_SET* Privileges, PGENERIC_MAPPING GenericMapping,
                                       KPROCESSOR_MODE AccessMode, PACCESS_MASK GrantedAccess,
                                       PNTSTATUS AccessStatus) {
  if (Privileges != nullptr) *Privileges = nullptr;
  if (AccessMode != KernelMode) {
    *GrantedAccess = 0;
    *AccessStatus = STATUS_ACCESS_DENIED;
    return FALSE;
  }
  *GrantedAccess = PreviouslyGrantedAccess |
                   ((DesiredAccess & MAXIMUM_ALLOWED) ? GenericMapping->GenericAll : DesiredAccess);
  *AccessStatus = STATUS_SUCCESS;
  return TRUE;
}
