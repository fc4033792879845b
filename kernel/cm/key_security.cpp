// Security descriptors of keys: a key without one has its parent's.
#include "cm_internal.h"
#include "se/descriptor.h"

namespace cm {
namespace {

PSECURITY_DESCRIPTOR EffectiveDescriptor(const Key* key) {
  while (key != nullptr && key->security == nullptr) key = key->parent;
  return key != nullptr ? key->security : nullptr;
}

NTSTATUS Keep(Key* key, PSECURITY_DESCRIPTOR descriptor) {
  return StatusOf(SetSecurity(key, descriptor, RtlLengthSecurityDescriptor(descriptor)));
}

// What the current subject makes of an explicit descriptor (0: none) for a key below `parent`.
NTSTATUS Assign(PSECURITY_DESCRIPTOR parent, PSECURITY_DESCRIPTOR given, PSECURITY_DESCRIPTOR* made) {
  SECURITY_SUBJECT_CONTEXT subject;
  SeCaptureSubjectContext(&subject);
  const NTSTATUS status = SeAssignSecurity(parent, given, made, TRUE, &subject,
                                           &CmKeyObjectType->TypeInfo.GenericMapping, NonPagedPoolNx);
  SeReleaseSubjectContext(&subject);
  return status;
}

NTSTATUS Change(Key* key, PSECURITY_INFORMATION information, PSECURITY_DESCRIPTOR descriptor) {
  PSECURITY_DESCRIPTOR effective = EffectiveDescriptor(key);
  PSECURITY_DESCRIPTOR made = nullptr;
  if (effective == nullptr) {
    const NTSTATUS status = Assign(nullptr, nullptr, &made);
    if (!NT_SUCCESS(status)) return status;
    effective = made;
  }
  PSECURITY_DESCRIPTOR changed = effective;
  NTSTATUS status = SeSetSecurityDescriptorInfo(nullptr, information, descriptor, &changed, NonPagedPoolNx,
                                                &CmKeyObjectType->TypeInfo.GenericMapping);
  if (NT_SUCCESS(status)) {
    status = Keep(key, changed);
    if (changed != effective) ExFreePool(changed);
  }
  if (made != nullptr) ExFreePool(made);
  if (NT_SUCCESS(status)) MarkChanged(key, REG_NOTIFY_CHANGE_SECURITY);
  return status;
}

}  // namespace

NTSTATUS KeySecurity(PVOID object, bool set, PSECURITY_INFORMATION information,
                     PSECURITY_DESCRIPTOR descriptor, PULONG length) {
  RegistryLock lock(set ? RegistryLock::Access::kExclusive : RegistryLock::Access::kShared);
  Key* key = static_cast<PCM_KEY_BODY>(object)->KeyControlBlock;
  if (key->deleted) return STATUS_KEY_DELETED;
  if (set) return Change(key, information, descriptor);
  PSECURITY_DESCRIPTOR effective = EffectiveDescriptor(key);
  return SeQuerySecurityDescriptorInfo(information, descriptor, length, &effective);
}

NTSTATUS AssignKeySecurity(Key* key, PSECURITY_DESCRIPTOR given) {
  if (given == nullptr) return STATUS_SUCCESS;
  PSECURITY_DESCRIPTOR made;
  NTSTATUS status = Assign(EffectiveDescriptor(key->parent), given, &made);
  if (!NT_SUCCESS(status)) return status;
  status = Keep(key, made);
  ExFreePool(made);
  return status;
}

NTSTATUS CheckKeyAccess(PVOID object, ACCESS_MASK desired, ULONG attributes, ACCESS_MASK* granted) {
  *granted = desired;
  if (KeGetCurrentThread()->PreviousMode == KernelMode && (attributes & OBJ_FORCE_ACCESS_CHECK) == 0)
    return STATUS_SUCCESS;
  SECURITY_SUBJECT_CONTEXT subject;
  SeCaptureSubjectContext(&subject);
  NTSTATUS status = STATUS_SUCCESS;
  {
    RegistryLock lock(RegistryLock::Access::kShared);
    PSECURITY_DESCRIPTOR effective = EffectiveDescriptor(static_cast<PCM_KEY_BODY>(object)->KeyControlBlock);
    PPRIVILEGE_SET used = nullptr;
    if (effective != nullptr)
      (void)SeAccessCheck(effective, &subject, FALSE, desired, 0, &used,
                          &CmKeyObjectType->TypeInfo.GenericMapping, UserMode, granted, &status);
    if (used != nullptr) ExFreePool(used);
  }
  SeReleaseSubjectContext(&subject);
  return status;
}

}  // namespace cm
