// Security identifiers, and the well-known ones in SeExports.
#include "nt/export.h"
#include "se/se.h"

extern "C" {
PSE_EXPORTS SeExports;
PSECURITY_DESCRIPTOR SePublicDefaultSd;
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
  return SepCreateTokenType();
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

/// The address of the number of sub-authorities of a SID.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented for drivers; the API GetSidSubAuthorityCount.
NT_EXPORT(RtlSubAuthorityCountSid, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" PUCHAR NTAPI RtlSubAuthorityCountSid(PSID Sid) {
  return &static_cast<PISID>(Sid)->SubAuthorityCount;
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
