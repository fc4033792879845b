// Security descriptors: absolute (pointers) and self-relative (offsets, one block).
#include "se/descriptor.h"

#include "nt/export.h"

namespace se {
namespace {

ULONG Rounded(ULONG bytes) {
  return (bytes + 3) & ~3u;
}

PVOID At(const SECURITY_DESCRIPTOR_RELATIVE* descriptor, ULONG offset) {
  return offset == 0 ? nullptr : const_cast<UCHAR*>(reinterpret_cast<const UCHAR*>(descriptor) + offset);
}

ULONG SidBytes(PSID sid) {
  return sid != nullptr ? Rounded(RtlLengthSid(sid)) : 0;
}

ULONG AclBytes(PACL acl) {
  return acl != nullptr ? Rounded(acl->AclSize) : 0;
}

ULONG PartBytes(const Parts& parts) {
  return SidBytes(parts.owner) + SidBytes(parts.group) + AclBytes(parts.dacl) + AclBytes(parts.sacl);
}

}  // namespace

// The self-relative form is the shorter one: nothing behind it may be read as the other.
Parts PartsOf(PSECURITY_DESCRIPTOR descriptor) {
  auto* relative = static_cast<SECURITY_DESCRIPTOR_RELATIVE*>(descriptor);
  auto* absolute = static_cast<PISECURITY_DESCRIPTOR>(descriptor);
  Parts parts;
  if (relative->Control & SE_SELF_RELATIVE) {
    parts = {At(relative, relative->Owner), At(relative, relative->Group),
             static_cast<PACL>(At(relative, relative->Dacl)), static_cast<PACL>(At(relative, relative->Sacl)),
             relative->Control};
  } else {
    parts = {absolute->Owner, absolute->Group, absolute->Dacl, absolute->Sacl, absolute->Control};
  }
  if (!(parts.control & SE_DACL_PRESENT)) parts.dacl = nullptr;
  if (!(parts.control & SE_SACL_PRESENT)) parts.sacl = nullptr;
  return parts;
}

ULONG RelativeLength(const Parts& parts) {
  return sizeof(SECURITY_DESCRIPTOR_RELATIVE) + PartBytes(parts);
}

void WriteRelative(const Parts& parts, PVOID buffer) {
  RtlZeroMemory(buffer, RelativeLength(parts));
  auto* header = static_cast<SECURITY_DESCRIPTOR_RELATIVE*>(buffer);
  header->Revision = SECURITY_DESCRIPTOR_REVISION;
  header->Control = static_cast<SECURITY_DESCRIPTOR_CONTROL>(parts.control | SE_SELF_RELATIVE);
  ULONG offset = sizeof(*header);
  const auto put = [&](const VOID* part, ULONG bytes) -> ULONG {
    if (part == nullptr) return 0;
    RtlCopyMemory(static_cast<UCHAR*>(buffer) + offset, part, bytes);
    const ULONG where = offset;
    offset += Rounded(bytes);
    return where;
  };
  header->Sacl = put(parts.sacl, parts.sacl != nullptr ? parts.sacl->AclSize : 0);
  header->Dacl = put(parts.dacl, parts.dacl != nullptr ? parts.dacl->AclSize : 0);
  header->Owner = put(parts.owner, parts.owner != nullptr ? RtlLengthSid(parts.owner) : 0);
  header->Group = put(parts.group, parts.group != nullptr ? RtlLengthSid(parts.group) : 0);
}

NTSTATUS NewRelative(const Parts& parts, POOL_TYPE pool, PSECURITY_DESCRIPTOR* descriptor) {
  *descriptor = ExAllocatePoolWithTag(pool, RelativeLength(parts), kTag);
  if (*descriptor == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  WriteRelative(parts, *descriptor);
  return STATUS_SUCCESS;
}

namespace {

NTSTATUS CheckAbsolute(PSECURITY_DESCRIPTOR descriptor) {
  auto* absolute = static_cast<PISECURITY_DESCRIPTOR>(descriptor);
  if (absolute->Revision != SECURITY_DESCRIPTOR_REVISION) return STATUS_UNKNOWN_REVISION;
  return (absolute->Control & SE_SELF_RELATIVE) ? STATUS_INVALID_SECURITY_DESCR : STATUS_SUCCESS;
}

// The setters of absolute descriptors.
void SetBit(PSECURITY_DESCRIPTOR descriptor, SECURITY_DESCRIPTOR_CONTROL bit, bool on) {
  auto& control = static_cast<PISECURITY_DESCRIPTOR>(descriptor)->Control;
  control = static_cast<SECURITY_DESCRIPTOR_CONTROL>(on ? control | bit : control & ~bit);
}

NTSTATUS SetSid(PSECURITY_DESCRIPTOR descriptor, PSID SECURITY_DESCRIPTOR::* member, PSID sid,
                SECURITY_DESCRIPTOR_CONTROL defaulted, BOOLEAN is_defaulted) {
  const NTSTATUS status = CheckAbsolute(descriptor);
  if (!NT_SUCCESS(status)) return status;
  static_cast<PISECURITY_DESCRIPTOR>(descriptor)->*member = sid;
  SetBit(descriptor, defaulted, is_defaulted != FALSE);
  return STATUS_SUCCESS;
}

NTSTATUS SetAcl(PSECURITY_DESCRIPTOR descriptor, PACL SECURITY_DESCRIPTOR::* member, PACL acl,
                SECURITY_DESCRIPTOR_CONTROL present, BOOLEAN is_present,
                SECURITY_DESCRIPTOR_CONTROL defaulted, BOOLEAN is_defaulted) {
  const NTSTATUS status = CheckAbsolute(descriptor);
  if (!NT_SUCCESS(status)) return status;
  SetBit(descriptor, present, is_present != FALSE);
  SetBit(descriptor, defaulted, is_present && is_defaulted);
  if (is_present) static_cast<PISECURITY_DESCRIPTOR>(descriptor)->*member = acl;
  return STATUS_SUCCESS;
}

// A list of a descriptor as the getters answer it: present, defaulted and the list only if it is present.
NTSTATUS GetAcl(PSECURITY_DESCRIPTOR descriptor, SECURITY_DESCRIPTOR_CONTROL present,
                SECURITY_DESCRIPTOR_CONTROL defaulted, PACL Parts::* list, PBOOLEAN is_present, PACL* acl,
                PBOOLEAN is_defaulted) {
  const Parts parts = PartsOf(descriptor);
  if (static_cast<PISECURITY_DESCRIPTOR>(descriptor)->Revision != SECURITY_DESCRIPTOR_REVISION)
    return STATUS_UNKNOWN_REVISION;
  *is_present = (parts.control & present) != 0;
  if (!*is_present) return STATUS_SUCCESS;
  *acl = parts.*list;
  *is_defaulted = (parts.control & defaulted) != 0;
  return STATUS_SUCCESS;
}

NTSTATUS GetSid(PSECURITY_DESCRIPTOR descriptor, SECURITY_DESCRIPTOR_CONTROL defaulted, PSID Parts::* sid,
                PSID* result, PBOOLEAN is_defaulted) {
  if (static_cast<PISECURITY_DESCRIPTOR>(descriptor)->Revision != SECURITY_DESCRIPTOR_REVISION)
    return STATUS_UNKNOWN_REVISION;
  const Parts parts = PartsOf(descriptor);
  *result = parts.*sid;
  *is_defaulted = (parts.control & defaulted) != 0;
  return STATUS_SUCCESS;
}

// Whether [offset, ...) of a self-relative descriptor of `length` bytes holds a SID.
bool ValidSidAt(const UCHAR* base, ULONG offset, ULONG length) {
  if (offset == 0) return true;
  if (offset % 4 != 0 || offset < sizeof(SECURITY_DESCRIPTOR_RELATIVE) || offset > length ||
      length - offset < 8)
    return false;
  PSID sid = const_cast<UCHAR*>(base + offset);
  return RtlValidSid(sid) && RtlLengthSid(sid) <= length - offset;
}

bool ValidAclAt(const UCHAR* base, ULONG offset, ULONG length) {
  if (offset == 0) return true;
  if (offset % 4 != 0 || offset < sizeof(SECURITY_DESCRIPTOR_RELATIVE) || offset > length) return false;
  return ValidAcl(reinterpret_cast<const ACL*>(base + offset), length - offset);
}

// One buffer of RtlSelfRelativeToAbsoluteSD: copies when it is large enough; tells what it needs.
bool Fits(PVOID buffer, PULONG size, ULONG needed) {
  const bool fits = *size >= needed && (buffer != nullptr || needed == 0);
  *size = needed;
  return fits;
}

}  // namespace
}  // namespace se

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
  return se::SetAcl(SecurityDescriptor, &SECURITY_DESCRIPTOR::Dacl, Dacl, SE_DACL_PRESENT, DaclPresent,
                    SE_DACL_DEFAULTED, DaclDefaulted);
}

/// Sets the owner of an absolute descriptor.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlSetOwnerSecurityDescriptor.
NT_EXPORT(RtlSetOwnerSecurityDescriptor, nt::AtMost(APC_LEVEL), Full, "KernelSe.*");
extern "C" NTSTATUS NTAPI RtlSetOwnerSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PSID Owner,
                                                        BOOLEAN OwnerDefaulted) {
  return se::SetSid(SecurityDescriptor, &SECURITY_DESCRIPTOR::Owner, Owner, SE_OWNER_DEFAULTED,
                    OwnerDefaulted);
}

/// Whether a descriptor is well formed.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the lists' entries are not looked at.

/// Sets the primary group of an absolute descriptor.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlSetGroupSecurityDescriptor.
NT_EXPORT(RtlSetGroupSecurityDescriptor, nt::AtMost(APC_LEVEL), Full, "SeDescriptor.*");
extern "C" NTSTATUS NTAPI RtlSetGroupSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PSID Group,
                                                        BOOLEAN GroupDefaulted) {
  return se::SetSid(SecurityDescriptor, &SECURITY_DESCRIPTOR::Group, Group, SE_GROUP_DEFAULTED,
                    GroupDefaulted);
}

/// Sets the system list of an absolute descriptor.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlSetSaclSecurityDescriptor.
NT_EXPORT(RtlSetSaclSecurityDescriptor, nt::AtMost(APC_LEVEL), Full, "SeDescriptor.*");
extern "C" NTSTATUS NTAPI RtlSetSaclSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor,
                                                       BOOLEAN SaclPresent, PACL Sacl,
                                                       BOOLEAN SaclDefaulted) {
  return se::SetAcl(SecurityDescriptor, &SECURITY_DESCRIPTOR::Sacl, Sacl, SE_SACL_PRESENT, SaclPresent,
                    SE_SACL_DEFAULTED, SaclDefaulted);
}

/// The discretionary list of a descriptor of either form. Without one the other answers are left alone.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlGetDaclSecurityDescriptor.
NT_EXPORT(RtlGetDaclSecurityDescriptor, nt::AtMost(APC_LEVEL), Full, "SeDescriptor.*");
extern "C" NTSTATUS NTAPI RtlGetDaclSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor,
                                                       PBOOLEAN DaclPresent, PACL* Dacl,
                                                       PBOOLEAN DaclDefaulted) {
  return se::GetAcl(SecurityDescriptor, SE_DACL_PRESENT, SE_DACL_DEFAULTED, &se::Parts::dacl, DaclPresent,
                    Dacl, DaclDefaulted);
}

/// The system list of a descriptor of either form.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlGetSaclSecurityDescriptor.
NT_EXPORT(RtlGetSaclSecurityDescriptor, nt::AtMost(APC_LEVEL), Full, "SeDescriptor.*");
extern "C" NTSTATUS NTAPI RtlGetSaclSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor,
                                                       PBOOLEAN SaclPresent, PACL* Sacl,
                                                       PBOOLEAN SaclDefaulted) {
  return se::GetAcl(SecurityDescriptor, SE_SACL_PRESENT, SE_SACL_DEFAULTED, &se::Parts::sacl, SaclPresent,
                    Sacl, SaclDefaulted);
}

/// The owner of a descriptor of either form; 0 if it has none.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlGetOwnerSecurityDescriptor.
NT_EXPORT(RtlGetOwnerSecurityDescriptor, nt::AtMost(PASSIVE_LEVEL), Full, "SeDescriptor.*");
extern "C" NTSTATUS NTAPI RtlGetOwnerSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PSID* Owner,
                                                        PBOOLEAN OwnerDefaulted) {
  return se::GetSid(SecurityDescriptor, SE_OWNER_DEFAULTED, &se::Parts::owner, Owner, OwnerDefaulted);
}

/// The primary group of a descriptor of either form; 0 if it has none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlGetGroupSecurityDescriptor.
NT_EXPORT(RtlGetGroupSecurityDescriptor, nt::AtMost(APC_LEVEL), Full, "SeDescriptor.*");
extern "C" NTSTATUS NTAPI RtlGetGroupSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PSID* Group,
                                                        PBOOLEAN GroupDefaulted) {
  return se::GetSid(SecurityDescriptor, SE_GROUP_DEFAULTED, &se::Parts::group, Group, GroupDefaulted);
}

/// Whether a descriptor of either form is well formed: its revision, its SIDs, its lists and their entries.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlValidSecurityDescriptor.
NT_EXPORT(RtlValidSecurityDescriptor, nt::Exactly(PASSIVE_LEVEL), Full, "KernelSe.* SeDescriptor.*");
extern "C" BOOLEAN NTAPI RtlValidSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor) {
  if (SecurityDescriptor == nullptr ||
      static_cast<PISECURITY_DESCRIPTOR>(SecurityDescriptor)->Revision != SECURITY_DESCRIPTOR_REVISION)
    return FALSE;
  const se::Parts parts = se::PartsOf(SecurityDescriptor);
  if (parts.owner != nullptr && !RtlValidSid(parts.owner)) return FALSE;
  if (parts.group != nullptr && !RtlValidSid(parts.group)) return FALSE;
  if (parts.dacl != nullptr && !se::ValidAcl(parts.dacl, parts.dacl->AclSize)) return FALSE;
  return parts.sacl == nullptr || se::ValidAcl(parts.sacl, parts.sacl->AclSize);
}

/// Whether a self-relative descriptor of unknown origin lies within its buffer, is well formed, and has what
/// `RequiredInformation` asks for (an owner, a group, a discretionary or a system list).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlValidRelativeSecurityDescriptor.
NT_EXPORT(RtlValidRelativeSecurityDescriptor, nt::AtMost(APC_LEVEL), Full, "SeDescriptor.*");
extern "C" BOOLEAN NTAPI RtlValidRelativeSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptorInput,
                                                            ULONG SecurityDescriptorLength,
                                                            SECURITY_INFORMATION RequiredInformation) {
  auto* header = static_cast<SECURITY_DESCRIPTOR_RELATIVE*>(SecurityDescriptorInput);
  const ULONG length = SecurityDescriptorLength;
  if (length < sizeof(*header) || header->Revision != SECURITY_DESCRIPTOR_REVISION ||
      !(header->Control & SE_SELF_RELATIVE))
    return FALSE;
  const auto* base = static_cast<const UCHAR*>(SecurityDescriptorInput);
  if (!se::ValidSidAt(base, header->Owner, length) || !se::ValidSidAt(base, header->Group, length))
    return FALSE;
  if ((header->Control & SE_DACL_PRESENT) && !se::ValidAclAt(base, header->Dacl, length)) return FALSE;
  if ((header->Control & SE_SACL_PRESENT) && !se::ValidAclAt(base, header->Sacl, length)) return FALSE;
  if ((RequiredInformation & OWNER_SECURITY_INFORMATION) && header->Owner == 0) return FALSE;
  if ((RequiredInformation & GROUP_SECURITY_INFORMATION) && header->Group == 0) return FALSE;
  if ((RequiredInformation & DACL_SECURITY_INFORMATION) && !(header->Control & SE_DACL_PRESENT)) return FALSE;
  return !(RequiredInformation & SACL_SECURITY_INFORMATION) || (header->Control & SE_SACL_PRESENT) != 0;
}

/// Bytes of a descriptor of either form with what it refers to, each part rounded up to four bytes.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlLengthSecurityDescriptor.
NT_EXPORT(RtlLengthSecurityDescriptor, nt::Exactly(PASSIVE_LEVEL), Full, "KernelSe.* SeDescriptor.*");
extern "C" ULONG NTAPI RtlLengthSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor) {
  const se::Parts parts = se::PartsOf(SecurityDescriptor);
  const ULONG header =
      (parts.control & SE_SELF_RELATIVE) ? sizeof(SECURITY_DESCRIPTOR_RELATIVE) : sizeof(SECURITY_DESCRIPTOR);
  return header + se::PartBytes(parts);
}

/// Writes an absolute descriptor as a self-relative one; a buffer that is too small gets the needed length.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlAbsoluteToSelfRelativeSD.
NT_EXPORT(RtlAbsoluteToSelfRelativeSD, nt::AtMost(APC_LEVEL), Full, "SeDescriptor.*");
extern "C" NTSTATUS NTAPI RtlAbsoluteToSelfRelativeSD(PSECURITY_DESCRIPTOR AbsoluteSecurityDescriptor,
                                                      PSECURITY_DESCRIPTOR SelfRelativeSecurityDescriptor,
                                                      PULONG BufferLength) {
  const se::Parts parts = se::PartsOf(AbsoluteSecurityDescriptor);
  if (parts.control & SE_SELF_RELATIVE) return STATUS_BAD_DESCRIPTOR_FORMAT;
  const ULONG needed = se::RelativeLength(parts);
  if (*BufferLength < needed || SelfRelativeSecurityDescriptor == nullptr) {
    *BufferLength = needed;
    return STATUS_BUFFER_TOO_SMALL;
  }
  se::WriteRelative(parts, SelfRelativeSecurityDescriptor);
  return STATUS_SUCCESS;
}

/// Writes a self-relative descriptor as an absolute one with a buffer for each part. When one is too small,
/// all sizes are answered and nothing is written.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlSelfRelativeToAbsoluteSD.
NT_EXPORT(RtlSelfRelativeToAbsoluteSD, nt::AtMost(APC_LEVEL), Full, "SeDescriptor.*");
extern "C" NTSTATUS NTAPI RtlSelfRelativeToAbsoluteSD(PSECURITY_DESCRIPTOR SelfRelativeSecurityDescriptor,
                                                      PSECURITY_DESCRIPTOR AbsoluteSecurityDescriptor,
                                                      PULONG AbsoluteSecurityDescriptorSize, PACL Dacl,
                                                      PULONG DaclSize, PACL Sacl, PULONG SaclSize, PSID Owner,
                                                      PULONG OwnerSize, PSID PrimaryGroup,
                                                      PULONG PrimaryGroupSize) {
  const se::Parts parts = se::PartsOf(SelfRelativeSecurityDescriptor);
  if (!(parts.control & SE_SELF_RELATIVE)) return STATUS_BAD_DESCRIPTOR_FORMAT;
  bool fits =
      se::Fits(AbsoluteSecurityDescriptor, AbsoluteSecurityDescriptorSize, sizeof(SECURITY_DESCRIPTOR));
  fits &= se::Fits(Dacl, DaclSize, se::AclBytes(parts.dacl));
  fits &= se::Fits(Sacl, SaclSize, se::AclBytes(parts.sacl));
  fits &= se::Fits(Owner, OwnerSize, se::SidBytes(parts.owner));
  fits &= se::Fits(PrimaryGroup, PrimaryGroupSize, se::SidBytes(parts.group));
  if (!fits) return STATUS_BUFFER_TOO_SMALL;
  auto* absolute = static_cast<PISECURITY_DESCRIPTOR>(AbsoluteSecurityDescriptor);
  *absolute = {};
  absolute->Revision = SECURITY_DESCRIPTOR_REVISION;
  absolute->Control = static_cast<SECURITY_DESCRIPTOR_CONTROL>(parts.control & ~SE_SELF_RELATIVE);
  const auto copy = [](PVOID to, const VOID* from, ULONG bytes) {
    if (from == nullptr) return PVOID{nullptr};
    RtlCopyMemory(to, from, bytes);
    return to;
  };
  absolute->Dacl = static_cast<PACL>(copy(Dacl, parts.dacl, parts.dacl != nullptr ? parts.dacl->AclSize : 0));
  absolute->Sacl = static_cast<PACL>(copy(Sacl, parts.sacl, parts.sacl != nullptr ? parts.sacl->AclSize : 0));
  absolute->Owner = copy(Owner, parts.owner, parts.owner != nullptr ? RtlLengthSid(parts.owner) : 0);
  absolute->Group = copy(PrimaryGroup, parts.group, parts.group != nullptr ? RtlLengthSid(parts.group) : 0);
  return STATUS_SUCCESS;
}
