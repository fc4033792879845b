// Descriptors of objects: of new ones (inheritance), queries and changes, captured ones.
#include "nt/export.h"
#include "se/descriptor.h"
#include "se/se.h"
#include "se/token.h"

namespace se {
namespace {

constexpr ULONG kDaclAutoInherit = 0x01;      // SEF_DACL_AUTO_INHERIT
constexpr ULONG kSaclAutoInherit = 0x02;      // SEF_SACL_AUTO_INHERIT
constexpr ULONG kDefaultForObject = 0x04;     // SEF_DEFAULT_DESCRIPTOR_FOR_OBJECT
constexpr ULONG kAvoidPrivilegeCheck = 0x08;  // SEF_AVOID_PRIVILEGE_CHECK
constexpr ULONG kAvoidOwnerCheck = 0x10;      // SEF_AVOID_OWNER_CHECK
constexpr ULONG kOwnerFromParent = 0x20;      // SEF_DEFAULT_OWNER_FROM_PARENT
constexpr ULONG kGroupFromParent = 0x40;      // SEF_DEFAULT_GROUP_FROM_PARENT
constexpr ULONG kMaximumAcl = 0xFFFC;

// Builds a list entry by entry; `full` once one did not fit.
class AclBuilder {
 public:
  explicit AclBuilder(ULONG size) : size_(size < kMaximumAcl ? size : kMaximumAcl) {
    acl_ = static_cast<PACL>(ExAllocatePoolWithTag(NonPagedPoolNx, size_, kTag));
    if (acl_ != nullptr) *acl_ = {ACL_REVISION, 0, static_cast<USHORT>(sizeof(ACL)), 0, 0};
  }
  ~AclBuilder() {
    if (acl_ != nullptr) ExFreePoolWithTag(acl_, kTag);
  }
  AclBuilder(const AclBuilder&) = delete;
  AclBuilder& operator=(const AclBuilder&) = delete;

  // Appends an entry, with other flags, mask and (0: its own) SID.
  void Add(PACE_HEADER ace, UCHAR flags, ACCESS_MASK mask, PSID sid) {
    PSID own = SidOf(ace);
    const bool other_sid = sid != nullptr && own != nullptr;
    const ULONG head = other_sid
                           ? static_cast<ULONG>(static_cast<UCHAR*>(own) - reinterpret_cast<UCHAR*>(ace))
                           : ace->AceSize;
    const ULONG bytes = head + (other_sid ? RtlLengthSid(sid) : 0);
    if (acl_ == nullptr || acl_->AclSize + bytes > size_) {
      full_ = true;
      return;
    }
    auto* to = reinterpret_cast<PACE_HEADER>(reinterpret_cast<UCHAR*>(acl_) + acl_->AclSize);
    RtlCopyMemory(to, ace, head);
    if (other_sid) RtlCopyMemory(reinterpret_cast<UCHAR*>(to) + head, sid, RtlLengthSid(sid));
    to->AceSize = static_cast<USHORT>(bytes);
    to->AceFlags = flags;
    if (own != nullptr) MaskOf(to) = mask;
    acl_->AclSize = static_cast<USHORT>(acl_->AclSize + bytes);
    ++acl_->AceCount;
    if (ace->AceType >= ACCESS_ALLOWED_OBJECT_ACE_TYPE && ace->AceType <= ACCESS_MAX_MS_OBJECT_ACE_TYPE)
      acl_->AclRevision = ACL_REVISION_DS;
  }
  PACL Acl() const { return acl_; }
  bool Failed() const { return acl_ == nullptr || full_; }
  ULONG Count() const { return acl_ != nullptr ? acl_->AceCount : 0; }

 private:
  PACL acl_;
  ULONG size_;
  bool full_ = false;
};

struct Heir {
  PSID owner;
  PSID group;
  bool container;
  bool mark_inherited;  // INHERITED_ACE on what comes from the parent
  PGENERIC_MAPPING mapping;
};

// What an heir makes of a creator's SID.
PSID Substitute(PSID sid, const Heir& heir) {
  if (sid == nullptr) return nullptr;
  if (RtlEqualSid(sid, SeExports->SeCreatorOwnerSid)) return heir.owner;
  return RtlEqualSid(sid, SeExports->SeCreatorGroupSid) ? heir.group : nullptr;
}

ACCESS_MASK Mapped(PACE_HEADER ace, PGENERIC_MAPPING mapping) {
  if (SidOf(ace) == nullptr) return 0;
  ACCESS_MASK mask = MaskOf(ace);
  if (ace->AceType != SYSTEM_MANDATORY_LABEL_ACE_TYPE) RtlMapGenericMask(&mask, mapping);
  return mask;
}

// One entry of a parent's list as a child gets it: none, one, or for a container two (one for itself, one for
// its own children).
void Inherit(AclBuilder* list, PACE_HEADER ace, const Heir& heir) {
  const UCHAR flags = ace->AceFlags;
  const UCHAR mark = static_cast<UCHAR>((flags & 0xC0) | (heir.mark_inherited ? INHERITED_ACE : 0));
  const bool for_objects = (flags & OBJECT_INHERIT_ACE) != 0;
  const bool for_containers = (flags & CONTAINER_INHERIT_ACE) != 0;
  const ACCESS_MASK mapped = Mapped(ace, heir.mapping);
  PSID creator = Substitute(SidOf(ace), heir);
  if (!heir.container) {
    if (for_objects) list->Add(ace, mark, mapped, creator);
    return;
  }
  const bool passes_on = !(flags & NO_PROPAGATE_INHERIT_ACE);
  const UCHAR inherit = flags & (OBJECT_INHERIT_ACE | CONTAINER_INHERIT_ACE);
  if (!for_containers) {
    if (for_objects && passes_on)
      list->Add(ace, static_cast<UCHAR>(inherit | INHERIT_ONLY_ACE | mark), MaskOf(ace), nullptr);
    return;
  }
  const bool changed = creator != nullptr || mapped != MaskOf(ace);
  const UCHAR effective = static_cast<UCHAR>(mark | (passes_on && !changed ? inherit : 0));
  list->Add(ace, effective, mapped, creator);
  if (passes_on && changed)
    list->Add(ace, static_cast<UCHAR>(inherit | INHERIT_ONLY_ACE | mark), MaskOf(ace), nullptr);
}

void InheritAll(AclBuilder* list, PACL parent, const Heir& heir) {
  if (parent == nullptr) return;
  PACE_HEADER ace = FirstAce(parent);
  for (USHORT i = 0; i < parent->AceCount; ++i, ace = NextAce(ace)) Inherit(list, ace, heir);
}

// The entries of a list that is given for the object itself, generic rights mapped where they are effective.
void TakeAll(AclBuilder* list, PACL given, const Heir& heir, bool skip_inherited) {
  PACE_HEADER ace = FirstAce(given);
  for (USHORT i = 0; i < given->AceCount; ++i, ace = NextAce(ace)) {
    if (skip_inherited && (ace->AceFlags & INHERITED_ACE)) continue;
    if (ace->AceFlags & INHERIT_ONLY_ACE) {
      list->Add(ace, ace->AceFlags, SidOf(ace) != nullptr ? MaskOf(ace) : 0, nullptr);
      continue;
    }
    PSID creator = Substitute(SidOf(ace), heir);
    const ACCESS_MASK mapped = Mapped(ace, heir.mapping);
    const UCHAR inherit = ace->AceFlags & (OBJECT_INHERIT_ACE | CONTAINER_INHERIT_ACE);
    const bool changed = SidOf(ace) != nullptr && (creator != nullptr || mapped != MaskOf(ace));
    if (heir.container && inherit != 0 && changed) {
      list->Add(ace, ace->AceFlags & ~VALID_INHERIT_FLAGS, mapped, creator);
      list->Add(ace, static_cast<UCHAR>(ace->AceFlags | INHERIT_ONLY_ACE), MaskOf(ace), nullptr);
    } else {
      list->Add(ace, ace->AceFlags, mapped, creator);
    }
  }
}

struct ListRules {
  SECURITY_DESCRIPTOR_CONTROL present, defaulted, auto_inherited, is_protected;
  bool auto_inherit;
};

// One list of a new object. *present: whether it has one; it stands in `list` unless *null.
void Choose(AclBuilder* list, const Parts& parent, const Parts& given, PACL Parts::* which, PACL otherwise,
            const Heir& heir, const ListRules& rules, SECURITY_DESCRIPTOR_CONTROL* control, bool* null) {
  const bool is_given = (given.control & rules.present) != 0;
  const bool defaulted = (given.control & rules.defaulted) != 0;
  *null = false;
  if (is_given && !defaulted) {
    *control |= rules.present | (given.control & rules.is_protected);
    *null = given.*which == nullptr;
    if (!*null) TakeAll(list, given.*which, heir, rules.auto_inherit);
    if (*null || !rules.auto_inherit || (given.control & rules.is_protected)) return;
    *control |= rules.auto_inherited;
    InheritAll(list, parent.*which, heir);
    return;
  }
  InheritAll(list, parent.*which, heir);
  if (list->Count() != 0) {
    *control |= rules.present | (rules.auto_inherit ? rules.auto_inherited : 0);
    return;
  }
  PACL from = is_given ? given.*which : otherwise;
  if (from == nullptr && !is_given) return;
  *control |= rules.present | rules.defaulted;
  *null = from == nullptr;
  if (!*null) TakeAll(list, from, heir, false);
}

bool MayOwn(const TOKEN* token, PSID owner) {
  if (RtlEqualSid(token->UserAndGroups[0].Sid, owner)) return true;
  for (ULONG i = 1; i < token->UserAndGroupCount; ++i) {
    if ((token->UserAndGroups[i].Attributes & SE_GROUP_OWNER) &&
        RtlEqualSid(token->UserAndGroups[i].Sid, owner))
      return true;
  }
  return HasPrivilege(token, SeExports->SeRestorePrivilege);
}

ULONG SizeOf(PACL acl) {
  return acl != nullptr ? 2u * acl->AclSize + 256 : 0;  // an entry may become two, and its SID a longer one
}

NTSTATUS Assign(const Parts& parent, const Parts& given, PTOKEN token, const Heir& heir_of, ULONG flags,
                POOL_TYPE pool, PSECURITY_DESCRIPTOR* result) {
  Heir heir = heir_of;
  heir.owner = given.owner != nullptr ? given.owner
               : (flags & kOwnerFromParent) && parent.owner != nullptr
                   ? parent.owner
                   : token->UserAndGroups[token->DefaultOwnerIndex].Sid;
  heir.group = given.group != nullptr                                  ? given.group
               : (flags & kGroupFromParent) && parent.group != nullptr ? parent.group
                                                                       : token->PrimaryGroup;
  if (given.owner != nullptr && !(flags & kAvoidOwnerCheck) && !MayOwn(token, given.owner))
    return STATUS_INVALID_OWNER;
  Parts made = {heir.owner, heir.group, nullptr, nullptr, 0};
  AclBuilder dacl(sizeof(ACL) + SizeOf(parent.dacl) + SizeOf(given.dacl) + SizeOf(token->DefaultDacl));
  AclBuilder sacl(sizeof(ACL) + SizeOf(parent.sacl) + SizeOf(given.sacl));
  bool null_dacl, null_sacl;
  heir.mark_inherited = (flags & kDaclAutoInherit) != 0;
  Choose(&dacl, parent, given, &Parts::dacl, token->DefaultDacl, heir,
         {SE_DACL_PRESENT, SE_DACL_DEFAULTED, SE_DACL_AUTO_INHERITED, SE_DACL_PROTECTED, heir.mark_inherited},
         &made.control, &null_dacl);
  heir.mark_inherited = (flags & kSaclAutoInherit) != 0;
  Choose(&sacl, parent, given, &Parts::sacl, nullptr, heir,
         {SE_SACL_PRESENT, SE_SACL_DEFAULTED, SE_SACL_AUTO_INHERITED, SE_SACL_PROTECTED, heir.mark_inherited},
         &made.control, &null_sacl);
  if (dacl.Failed() || sacl.Failed()) return STATUS_INSUFFICIENT_RESOURCES;
  if ((made.control & SE_DACL_PRESENT) && !null_dacl) made.dacl = dacl.Acl();
  if ((made.control & SE_SACL_PRESENT) && !null_sacl) made.sacl = sacl.Acl();
  return NewRelative(made, pool, result);
}

// A system list that a subject sets needs SeSecurityPrivilege; a mandatory label alone does not.
bool NeedsSecurityPrivilege(const Parts& given) {
  if (given.sacl == nullptr) return false;
  PACE_HEADER ace = FirstAce(given.sacl);
  for (USHORT i = 0; i < given.sacl->AceCount; ++i, ace = NextAce(ace)) {
    if (ace->AceType != SYSTEM_MANDATORY_LABEL_ACE_TYPE) return true;
  }
  return false;
}

}  // namespace
}  // namespace se

/// The descriptor of a new object: from an explicit one, the parent's inheritable entries, and what the
/// subject's token has as defaults.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/SeAssignSecurityEx.
NT_EXPORT(SeAssignSecurityEx, nt::AtMost(PASSIVE_LEVEL), Full, "SeAssign.*");
extern "C" NTSTATUS NTAPI SeAssignSecurityEx(PSECURITY_DESCRIPTOR ParentDescriptor,
                                             PSECURITY_DESCRIPTOR ExplicitDescriptor,
                                             PSECURITY_DESCRIPTOR* NewDescriptor, GUID*,
                                             BOOLEAN IsDirectoryObject, ULONG AutoInheritFlags,
                                             PSECURITY_SUBJECT_CONTEXT SubjectContext,
                                             PGENERIC_MAPPING GenericMapping, POOL_TYPE PoolType) {
  *NewDescriptor = nullptr;
  const se::Parts parent = ParentDescriptor != nullptr ? se::PartsOf(ParentDescriptor) : se::Parts{};
  se::Parts given = ExplicitDescriptor != nullptr ? se::PartsOf(ExplicitDescriptor) : se::Parts{};
  if (AutoInheritFlags & se::kDefaultForObject) given.control |= SE_DACL_DEFAULTED | SE_SACL_DEFAULTED;
  auto* token = static_cast<PTOKEN>(SubjectContext->ClientToken != nullptr ? SubjectContext->ClientToken
                                                                           : SubjectContext->PrimaryToken);
  SeLockSubjectContext(SubjectContext);
  NTSTATUS status = STATUS_SUCCESS;
  if (!(AutoInheritFlags & se::kAvoidPrivilegeCheck) && se::NeedsSecurityPrivilege(given) &&
      !se::HasPrivilege(token, SeExports->SeSecurityPrivilege))
    status = STATUS_PRIVILEGE_NOT_HELD;
  if (NT_SUCCESS(status))
    status = se::Assign(parent, given, token,
                        {nullptr, nullptr, IsDirectoryObject != FALSE, false, GenericMapping},
                        AutoInheritFlags, PoolType, NewDescriptor);
  SeUnlockSubjectContext(SubjectContext);
  return status;
}

/// SeAssignSecurityEx without its flags.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/SeAssignSecurity.
NT_EXPORT(SeAssignSecurity, nt::AtMost(PASSIVE_LEVEL), Full, "SeAssign.*");
extern "C" NTSTATUS NTAPI SeAssignSecurity(PSECURITY_DESCRIPTOR ParentDescriptor,
                                           PSECURITY_DESCRIPTOR ExplicitDescriptor,
                                           PSECURITY_DESCRIPTOR* NewDescriptor, BOOLEAN IsDirectoryObject,
                                           PSECURITY_SUBJECT_CONTEXT SubjectContext,
                                           PGENERIC_MAPPING GenericMapping, POOL_TYPE PoolType) {
  return SeAssignSecurityEx(ParentDescriptor, ExplicitDescriptor, NewDescriptor, nullptr, IsDirectoryObject,
                            0, SubjectContext, GenericMapping, PoolType);
}

/// Frees a descriptor that SeAssignSecurity made, and clears the pointer.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/SeDeassignSecurity.
NT_EXPORT(SeDeassignSecurity, nt::AtMost(PASSIVE_LEVEL), Full, "SeAssign.*");
extern "C" NTSTATUS NTAPI SeDeassignSecurity(PSECURITY_DESCRIPTOR* SecurityDescriptor) {
  if (*SecurityDescriptor != nullptr) ExFreePoolWithTag(*SecurityDescriptor, 0);
  *SecurityDescriptor = nullptr;
  return STATUS_SUCCESS;
}

/// The parts of an object's descriptor that are asked for, self-relative, in the caller's buffer.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeQuerySecurityDescriptorInfo.
NT_EXPORT(SeQuerySecurityDescriptorInfo, nt::AtMost(PASSIVE_LEVEL), Full, "SeAssign.*");
extern "C" NTSTATUS NTAPI SeQuerySecurityDescriptorInfo(PSECURITY_INFORMATION SecurityInformation,
                                                        PSECURITY_DESCRIPTOR SecurityDescriptor,
                                                        PULONG Length,
                                                        PSECURITY_DESCRIPTOR* ObjectsSecurityDescriptor) {
  const SECURITY_INFORMATION wanted = *SecurityInformation;
  se::Parts answer = {};
  if (*ObjectsSecurityDescriptor != nullptr) {
    const se::Parts parts = se::PartsOf(*ObjectsSecurityDescriptor);
    const auto take = [&](SECURITY_INFORMATION bit, SECURITY_DESCRIPTOR_CONTROL control) {
      if (wanted & bit) answer.control |= parts.control & control;
      return (wanted & bit) != 0;
    };
    if (take(OWNER_SECURITY_INFORMATION, SE_OWNER_DEFAULTED)) answer.owner = parts.owner;
    if (take(GROUP_SECURITY_INFORMATION, SE_GROUP_DEFAULTED)) answer.group = parts.group;
    if (take(DACL_SECURITY_INFORMATION,
             SE_DACL_PRESENT | SE_DACL_DEFAULTED | SE_DACL_PROTECTED | SE_DACL_AUTO_INHERITED))
      answer.dacl = parts.dacl;
    if (take(SACL_SECURITY_INFORMATION | LABEL_SECURITY_INFORMATION,
             SE_SACL_PRESENT | SE_SACL_DEFAULTED | SE_SACL_PROTECTED | SE_SACL_AUTO_INHERITED))
      answer.sacl = parts.sacl;
  }
  const ULONG needed = se::RelativeLength(answer);
  const bool fits = *Length >= needed;
  *Length = needed;
  if (!fits) return STATUS_BUFFER_TOO_SMALL;
  se::WriteRelative(answer, SecurityDescriptor);
  return STATUS_SUCCESS;
}

/// Replaces parts of an object's self-relative descriptor by a new one from `PoolType`; the old one stays the
/// caller's.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeSetSecurityDescriptorInfo.
NT_EXPORT(SeSetSecurityDescriptorInfo, nt::AtMost(PASSIVE_LEVEL), Full, "SeAssign.*");
extern "C" NTSTATUS NTAPI SeSetSecurityDescriptorInfo(PVOID, PSECURITY_INFORMATION SecurityInformation,
                                                      PSECURITY_DESCRIPTOR ModificationDescriptor,
                                                      PSECURITY_DESCRIPTOR* ObjectsSecurityDescriptor,
                                                      POOL_TYPE PoolType, PGENERIC_MAPPING GenericMapping) {
  if (*ObjectsSecurityDescriptor == nullptr) return STATUS_NO_SECURITY_ON_OBJECT;
  const SECURITY_INFORMATION wanted = *SecurityInformation;
  se::Parts parts = se::PartsOf(*ObjectsSecurityDescriptor);
  if (!(parts.control & SE_SELF_RELATIVE)) return STATUS_BAD_DESCRIPTOR_FORMAT;
  const se::Parts changed = se::PartsOf(ModificationDescriptor);
  const auto take = [&](SECURITY_INFORMATION bit, SECURITY_DESCRIPTOR_CONTROL control) {
    if (wanted & bit)
      parts.control =
          static_cast<SECURITY_DESCRIPTOR_CONTROL>((parts.control & ~control) | (changed.control & control));
    return (wanted & bit) != 0;
  };
  if (take(OWNER_SECURITY_INFORMATION, SE_OWNER_DEFAULTED)) {
    if (changed.owner == nullptr) return STATUS_INVALID_OWNER;
    parts.owner = changed.owner;
  }
  if (take(GROUP_SECURITY_INFORMATION, SE_GROUP_DEFAULTED)) {
    if (changed.group == nullptr) return STATUS_INVALID_PRIMARY_GROUP;
    parts.group = changed.group;
  }
  const se::Heir heir = {parts.owner, parts.group, true, false, GenericMapping};
  se::AclBuilder dacl(sizeof(ACL) + se::SizeOf(changed.dacl));
  se::AclBuilder sacl(sizeof(ACL) + se::SizeOf(changed.sacl));
  if (take(DACL_SECURITY_INFORMATION, SE_DACL_PRESENT | SE_DACL_DEFAULTED | SE_DACL_PROTECTED)) {
    if (changed.dacl != nullptr) se::TakeAll(&dacl, changed.dacl, heir, false);
    parts.dacl = changed.dacl != nullptr ? dacl.Acl() : nullptr;
  }
  if (take(SACL_SECURITY_INFORMATION | LABEL_SECURITY_INFORMATION,
           SE_SACL_PRESENT | SE_SACL_DEFAULTED | SE_SACL_PROTECTED)) {
    if (changed.sacl != nullptr) se::TakeAll(&sacl, changed.sacl, heir, false);
    parts.sacl = changed.sacl != nullptr ? sacl.Acl() : nullptr;
  }
  if (dacl.Failed() || sacl.Failed()) return STATUS_INSUFFICIENT_RESOURCES;
  PSECURITY_DESCRIPTOR made;
  const NTSTATUS status = se::NewRelative(parts, PoolType, &made);
  if (NT_SUCCESS(status)) *ObjectsSecurityDescriptor = made;
  return status;
}

namespace {

constexpr ULONG kMaximumSid = 8 + 4 * SID_MAX_SUB_AUTHORITIES;

// Bytes of memory that belong to the user.
bool CopyFromUser(PVOID to, const VOID* from, SIZE_T bytes) {
  __try {
    ProbeForRead(const_cast<PVOID>(from), bytes, 1);
    RtlCopyMemory(to, from, bytes);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return false;
  }
  return true;
}

// A copy of a list or SID whose length its own bytes tell; 0 with a status.
template <typename LengthOf>
NTSTATUS CopyPart(const VOID* from, ULONG head, ULONG limit, LengthOf length_of, PVOID* copy) {
  UCHAR start[8];
  *copy = nullptr;
  if (from == nullptr) return STATUS_SUCCESS;
  if (!CopyFromUser(start, from, head)) return STATUS_ACCESS_VIOLATION;
  const ULONG length = length_of(start);
  if (length < head || length > limit) return STATUS_INVALID_SECURITY_DESCR;
  *copy = ExAllocatePoolWithTag(NonPagedPoolNx, length, se::kTag);
  if (*copy == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  if (!CopyFromUser(*copy, from, length)) return STATUS_ACCESS_VIOLATION;
  // The user may have changed it between the two copies.
  return length_of(static_cast<UCHAR*>(*copy)) == length ? STATUS_SUCCESS : STATUS_INVALID_SECURITY_DESCR;
}

ULONG SidLengthOf(const UCHAR* start) {
  return 8 + 4 * start[1];
}
ULONG AclLengthOf(const UCHAR* start) {
  return reinterpret_cast<const ACL*>(start)->AclSize;
}

void FreeParts(const se::Parts& parts) {
  const PVOID all[] = {parts.owner, parts.group, parts.dacl, parts.sacl};
  for (PVOID part : all) {
    if (part != nullptr) ExFreePoolWithTag(part, se::kTag);
  }
}

NTSTATUS CaptureParts(const se::Parts& from, se::Parts* parts) {
  *parts = {nullptr, nullptr, nullptr, nullptr, from.control};
  NTSTATUS status = CopyPart(from.owner, 8, kMaximumSid, SidLengthOf, &parts->owner);
  if (NT_SUCCESS(status)) status = CopyPart(from.group, 8, kMaximumSid, SidLengthOf, &parts->group);
  if (NT_SUCCESS(status))
    status = CopyPart(from.dacl, sizeof(ACL), 0xFFFF, AclLengthOf, reinterpret_cast<PVOID*>(&parts->dacl));
  if (NT_SUCCESS(status))
    status = CopyPart(from.sacl, sizeof(ACL), 0xFFFF, AclLengthOf, reinterpret_cast<PVOID*>(&parts->sacl));
  if (!NT_SUCCESS(status)) return status;
  if ((parts->owner != nullptr && !RtlValidSid(parts->owner)) ||
      (parts->group != nullptr && !RtlValidSid(parts->group)))
    return STATUS_INVALID_SID;
  const auto valid = [](PACL acl) { return acl == nullptr || se::ValidAcl(acl, acl->AclSize); };
  return valid(parts->dacl) && valid(parts->sacl) ? STATUS_SUCCESS : STATUS_INVALID_ACL;
}

}  // namespace

/// A self-relative copy of a descriptor whose parts are the user's, checked while they are copied. The
/// kernel's own descriptor is copied only with `CaptureIfKernel`.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; used by file systems.
NT_EXPORT(SeCaptureSecurityDescriptor, nt::AtMost(PASSIVE_LEVEL), Full, "SeAssign.*");
extern "C" NTSTATUS NTAPI SeCaptureSecurityDescriptor(PSECURITY_DESCRIPTOR InputSecurityDescriptor,
                                                      KPROCESSOR_MODE CurrentMode, POOL_TYPE PoolType,
                                                      BOOLEAN CaptureIfKernel,
                                                      PSECURITY_DESCRIPTOR* OutputSecurityDescriptor) {
  *OutputSecurityDescriptor = nullptr;
  if (InputSecurityDescriptor == nullptr) return STATUS_SUCCESS;
  if (CurrentMode == KernelMode) {
    if (CaptureIfKernel)
      return se::NewRelative(se::PartsOf(InputSecurityDescriptor), PoolType, OutputSecurityDescriptor);
    *OutputSecurityDescriptor = InputSecurityDescriptor;
    return STATUS_SUCCESS;
  }
  SECURITY_DESCRIPTOR header = {};
  SECURITY_DESCRIPTOR_RELATIVE relative;
  if (!CopyFromUser(&relative, InputSecurityDescriptor, sizeof(relative))) return STATUS_ACCESS_VIOLATION;
  if (relative.Revision != SECURITY_DESCRIPTOR_REVISION) return STATUS_UNKNOWN_REVISION;
  se::Parts from;
  if (relative.Control & SE_SELF_RELATIVE) {
    auto* base = static_cast<UCHAR*>(InputSecurityDescriptor);
    const auto at = [&](ULONG offset) { return offset != 0 ? base + offset : nullptr; };
    from = {at(relative.Owner), at(relative.Group),
            (relative.Control & SE_DACL_PRESENT) ? reinterpret_cast<PACL>(at(relative.Dacl)) : nullptr,
            (relative.Control & SE_SACL_PRESENT) ? reinterpret_cast<PACL>(at(relative.Sacl)) : nullptr,
            relative.Control};
  } else {
    if (!CopyFromUser(&header, InputSecurityDescriptor, sizeof(header))) return STATUS_ACCESS_VIOLATION;
    header.Control &= ~SE_SELF_RELATIVE;
    from = se::PartsOf(&header);
  }
  se::Parts parts;
  NTSTATUS status = CaptureParts(from, &parts);
  if (NT_SUCCESS(status)) status = se::NewRelative(parts, PoolType, OutputSecurityDescriptor);
  FreeParts(parts);
  return status;
}

/// Frees what SeCaptureSecurityDescriptor copied.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft.
NT_EXPORT(SeReleaseSecurityDescriptor, nt::AtMost(PASSIVE_LEVEL), Full, "SeAssign.*");
extern "C" VOID NTAPI SeReleaseSecurityDescriptor(PSECURITY_DESCRIPTOR CapturedSecurityDescriptor,
                                                  KPROCESSOR_MODE CurrentMode, BOOLEAN CaptureIfKernelMode) {
  if (CapturedSecurityDescriptor != nullptr && (CurrentMode != KernelMode || CaptureIfKernelMode))
    ExFreePoolWithTag(CapturedSecurityDescriptor, 0);
}
