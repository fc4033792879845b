// Access control lists.
#include "nt/export.h"
#include "se/descriptor.h"

namespace se {

PSID SidOf(PACE_HEADER ace) {
  switch (ace->AceType) {
    case ACCESS_ALLOWED_ACE_TYPE:
    case ACCESS_DENIED_ACE_TYPE:
    case SYSTEM_AUDIT_ACE_TYPE:
    case SYSTEM_ALARM_ACE_TYPE:
    case ACCESS_ALLOWED_CALLBACK_ACE_TYPE:
    case ACCESS_DENIED_CALLBACK_ACE_TYPE:
    case SYSTEM_AUDIT_CALLBACK_ACE_TYPE:
    case SYSTEM_MANDATORY_LABEL_ACE_TYPE:
      return &reinterpret_cast<PACCESS_ALLOWED_ACE>(ace)->SidStart;
    case ACCESS_ALLOWED_OBJECT_ACE_TYPE:
    case ACCESS_DENIED_OBJECT_ACE_TYPE: {
      // Mask, flags (bit 0: a type's GUID follows, bit 1: an inherited type's), GUIDs, SID.
      auto* words = reinterpret_cast<ULONG*>(ace + 1);
      const ULONG guids = (words[1] & 1) + ((words[1] >> 1) & 1);
      return words + 2 + guids * (sizeof(GUID) / sizeof(ULONG));
    }
    default:
      return nullptr;
  }
}

namespace {

bool ValidAce(PACE_HEADER ace, const UCHAR* end) {
  const auto* begin = reinterpret_cast<const UCHAR*>(ace);
  if (begin + sizeof(ACE_HEADER) > end) return false;
  if (ace->AceSize < sizeof(ACE_HEADER) || ace->AceSize % 4 != 0 || begin + ace->AceSize > end) return false;
  constexpr ULONG kSmallestSid = 8;
  if (ace->AceType > SYSTEM_MANDATORY_LABEL_ACE_TYPE) return true;  // a later version's: nobody looks into it
  const bool object =
      ace->AceType == ACCESS_ALLOWED_OBJECT_ACE_TYPE || ace->AceType == ACCESS_DENIED_OBJECT_ACE_TYPE;
  if (ace->AceSize < sizeof(ACE_HEADER) + sizeof(ACCESS_MASK) + (object ? sizeof(ULONG) : 0) + kSmallestSid)
    return false;
  PSID sid = SidOf(ace);
  if (sid == nullptr) return true;
  const auto* at = static_cast<const UCHAR*>(sid);
  return at + kSmallestSid <= begin + ace->AceSize && RtlValidSid(sid) &&
         at + RtlLengthSid(sid) <= begin + ace->AceSize;
}

}  // namespace

bool ValidAcl(const ACL* acl, ULONG available) {
  if (available < sizeof(ACL) || acl->AclRevision < MIN_ACL_REVISION || acl->AclRevision > MAX_ACL_REVISION)
    return false;
  if (acl->AclSize < sizeof(ACL) || acl->AclSize > available) return false;
  const UCHAR* end = reinterpret_cast<const UCHAR*>(acl) + acl->AclSize;
  PACE_HEADER ace = FirstAce(const_cast<PACL>(acl));
  for (USHORT i = 0; i < acl->AceCount; ++i, ace = NextAce(ace)) {
    if (!ValidAce(ace, end)) return false;
  }
  return true;
}

PACL NewAcl(const Entry* entries, ULONG count, UCHAR flags) {
  ULONG size = sizeof(ACL);
  for (ULONG i = 0; i < count; ++i)
    size += sizeof(ACE_HEADER) + sizeof(ACCESS_MASK) + RtlLengthSid(entries[i].sid);
  auto* acl = static_cast<PACL>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kTag));
  if (acl == nullptr) return nullptr;
  RtlCreateAcl(acl, size, ACL_REVISION);
  PACE_HEADER ace = FirstAce(acl);
  for (ULONG i = 0; i < count; ++i, ace = NextAce(ace)) {
    RtlAddAccessAllowedAce(acl, ACL_REVISION, entries[i].mask, entries[i].sid);
    ace->AceFlags = flags;
  }
  return acl;
}

}  // namespace se

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
