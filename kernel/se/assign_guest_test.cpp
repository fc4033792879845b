// Descriptors of new objects and changes of old ones. Oracle: the WDK pages of SeAssignSecurity(Ex),
// SeQuerySecurityDescriptorInfo, SeSetSecurityDescriptorInfo and the documented rules of ACE inheritance.
#include "ddi_security.h"
#include "nt_test.h"

namespace {

GENERIC_MAPPING g_mapping = {0x1, 0x2, 0x4, 0x1F | STANDARD_RIGHTS_REQUIRED};

struct Descriptor {
  SECURITY_DESCRIPTOR header;
  alignas(4) UCHAR list[256];
  PACL Acl() { return reinterpret_cast<PACL>(list); }
  Descriptor() {
    RtlCreateSecurityDescriptor(&header, SECURITY_DESCRIPTOR_REVISION);
    RtlCreateAcl(Acl(), sizeof(list), ACL_REVISION);
    RtlSetDaclSecurityDescriptor(&header, TRUE, Acl(), FALSE);
  }
  Descriptor& Add(ACCESS_MASK mask, PSID sid, UCHAR flags) {
    auto* at = reinterpret_cast<UCHAR*>(Acl() + 1);
    for (USHORT i = 0; i < Acl()->AceCount; ++i) at += reinterpret_cast<PACE_HEADER>(at)->AceSize;
    RtlAddAccessAllowedAce(Acl(), ACL_REVISION, mask, sid);
    reinterpret_cast<PACE_HEADER>(at)->AceFlags = flags;
    return *this;
  }
};

struct Assigned {
  PSECURITY_DESCRIPTOR descriptor = nullptr;
  NTSTATUS status;
  PACL dacl = nullptr;
  Assigned(Descriptor* parent, Descriptor* given, bool container, ULONG flags = 0) {
    SECURITY_SUBJECT_CONTEXT context;
    SeCaptureSubjectContext(&context);
    status = SeAssignSecurityEx(parent != nullptr ? &parent->header : nullptr,
                                given != nullptr ? &given->header : nullptr, &descriptor, nullptr, container,
                                flags, &context, &g_mapping, NonPagedPoolNx);
    SeReleaseSubjectContext(&context);
    BOOLEAN present = FALSE, defaulted;
    if (NT_SUCCESS(status)) RtlGetDaclSecurityDescriptor(descriptor, &present, &dacl, &defaulted);
  }
  ~Assigned() { SeDeassignSecurity(&descriptor); }
  PACCESS_ALLOWED_ACE Ace(USHORT index) {
    auto* at = reinterpret_cast<UCHAR*>(dacl + 1);
    for (USHORT i = 0; i < index; ++i) at += reinterpret_cast<PACE_HEADER>(at)->AceSize;
    return reinterpret_cast<PACCESS_ALLOWED_ACE>(at);
  }
};

#define EXPECT_ACE(Ace, Rights, Sid, Flags)             \
  do {                                                  \
    NT_EXPECT_EQ((Ace)->Mask, ACCESS_MASK(Rights));     \
    NT_EXPECT_TRUE(RtlEqualSid(&(Ace)->SidStart, Sid)); \
    NT_EXPECT_EQ((Ace)->Header.AceFlags, Flags);        \
  } while (0)

}  // namespace

NT_TEST(SeAssign, WithoutAnythingTheTokenDecides) {
  Assigned made(nullptr, nullptr, false);
  NT_ASSERT_SUCCESS(made.status);
  NT_EXPECT_TRUE(RtlValidSecurityDescriptor(made.descriptor));
  NT_ASSERT_TRUE(made.dacl != nullptr);
  NT_ASSERT_EQ(made.dacl->AceCount, 2);  // the System token's default list
  EXPECT_ACE(made.Ace(0), g_mapping.GenericAll, SeExports->SeLocalSystemSid, 0);
  PSID owner = nullptr;
  BOOLEAN defaulted;
  NT_EXPECT_SUCCESS(RtlGetOwnerSecurityDescriptor(made.descriptor, &owner, &defaulted));
  NT_EXPECT_TRUE(owner != nullptr && RtlEqualSid(owner, SeExports->SeAliasAdminsSid));
  NT_EXPECT_SUCCESS(RtlGetGroupSecurityDescriptor(made.descriptor, &owner, &defaulted));
  NT_EXPECT_TRUE(owner != nullptr);
}

NT_TEST(SeAssign, AnExplicitListIsTakenAndItsGenericRightsAreMapped) {
  Descriptor parent, given;
  parent.Add(GENERIC_ALL, SeExports->SeAliasGuestsSid, OBJECT_INHERIT_ACE);
  given.Add(GENERIC_READ | GENERIC_WRITE, SeExports->SeWorldSid, 0);
  RtlSetOwnerSecurityDescriptor(&given.header, SeExports->SeLocalSystemSid, FALSE);
  Assigned made(&parent, &given, false);
  NT_ASSERT_SUCCESS(made.status);
  NT_ASSERT_TRUE(made.dacl != nullptr && made.dacl->AceCount == 1);
  EXPECT_ACE(made.Ace(0), 0x3, SeExports->SeWorldSid, 0);
  PSID owner = nullptr;
  BOOLEAN defaulted;
  NT_EXPECT_SUCCESS(RtlGetOwnerSecurityDescriptor(made.descriptor, &owner, &defaulted));
  NT_EXPECT_TRUE(RtlEqualSid(owner, SeExports->SeLocalSystemSid));
}

NT_TEST(SeAssign, ObjectsInheritWhatIsForObjects) {
  Descriptor parent;
  parent.Add(GENERIC_READ, SeExports->SeWorldSid, OBJECT_INHERIT_ACE)
      .Add(GENERIC_WRITE, SeExports->SeWorldSid, CONTAINER_INHERIT_ACE)
      .Add(0x10, SeExports->SeWorldSid, 0)
      .Add(GENERIC_ALL, SeExports->SeCreatorOwnerSid, OBJECT_INHERIT_ACE | INHERIT_ONLY_ACE);
  Assigned made(&parent, nullptr, false);
  NT_ASSERT_SUCCESS(made.status);
  NT_ASSERT_TRUE(made.dacl != nullptr);
  NT_ASSERT_EQ(made.dacl->AceCount, 2);
  EXPECT_ACE(made.Ace(0), 0x1, SeExports->SeWorldSid, 0);
  EXPECT_ACE(made.Ace(1), g_mapping.GenericAll, SeExports->SeAliasAdminsSid, 0);  // the owner for the creator
}

NT_TEST(SeAssign, ContainersPassInheritanceOn) {
  constexpr UCHAR kBoth = OBJECT_INHERIT_ACE | CONTAINER_INHERIT_ACE;
  Descriptor parent;
  parent.Add(0x8, SeExports->SeWorldSid, kBoth)
      .Add(0x4, SeExports->SeWorldSid, OBJECT_INHERIT_ACE)
      .Add(0x2, SeExports->SeWorldSid, CONTAINER_INHERIT_ACE | NO_PROPAGATE_INHERIT_ACE)
      .Add(GENERIC_READ, SeExports->SeWorldSid, kBoth);
  Assigned made(&parent, nullptr, true);
  NT_ASSERT_SUCCESS(made.status);
  NT_ASSERT_TRUE(made.dacl != nullptr);
  NT_ASSERT_EQ(made.dacl->AceCount, 5);
  EXPECT_ACE(made.Ace(0), 0x8, SeExports->SeWorldSid, kBoth);
  EXPECT_ACE(made.Ace(1), 0x4, SeExports->SeWorldSid, OBJECT_INHERIT_ACE | INHERIT_ONLY_ACE);
  EXPECT_ACE(made.Ace(2), 0x2, SeExports->SeWorldSid, 0);
  EXPECT_ACE(made.Ace(3), 0x1, SeExports->SeWorldSid, 0);
  EXPECT_ACE(made.Ace(4), GENERIC_READ, SeExports->SeWorldSid, kBoth | INHERIT_ONLY_ACE);
}

NT_TEST(SeAssign, WithAutoInheritBothListsCount) {
  Descriptor parent, given;
  parent.Add(0x8, SeExports->SeWorldSid, OBJECT_INHERIT_ACE);
  given.Add(0x1, SeExports->SeAliasAdminsSid, 0);
  Assigned made(&parent, &given, false, 0x1 /* SEF_DACL_AUTO_INHERIT */);
  NT_ASSERT_SUCCESS(made.status);
  NT_ASSERT_TRUE(made.dacl != nullptr && made.dacl->AceCount == 2);
  EXPECT_ACE(made.Ace(0), 0x1, SeExports->SeAliasAdminsSid, 0);
  EXPECT_ACE(made.Ace(1), 0x8, SeExports->SeWorldSid, INHERITED_ACE);
  given.header.Control |= SE_DACL_PROTECTED;
  Assigned alone(&parent, &given, false, 0x1);
  NT_ASSERT_SUCCESS(alone.status);
  NT_EXPECT_TRUE(alone.dacl != nullptr && alone.dacl->AceCount == 1);
}

NT_TEST(SeAssign, DeassignFreesAndClears) {
  SECURITY_SUBJECT_CONTEXT context;
  SeCaptureSubjectContext(&context);
  PSECURITY_DESCRIPTOR made = nullptr;
  NT_EXPECT_SUCCESS(SeAssignSecurity(nullptr, nullptr, &made, FALSE, &context, &g_mapping, PagedPool));
  NT_EXPECT_TRUE(made != nullptr);
  NT_EXPECT_SUCCESS(SeDeassignSecurity(&made));
  NT_EXPECT_TRUE(made == nullptr);
  NT_EXPECT_SUCCESS(SeDeassignSecurity(&made));
  SeReleaseSubjectContext(&context);
}

NT_TEST(SeAssign, AQueryAnswersTheWantedParts) {
  Assigned made(nullptr, nullptr, false);
  NT_ASSERT_SUCCESS(made.status);
  SECURITY_INFORMATION wanted = OWNER_SECURITY_INFORMATION;
  ULONG length = 0;
  NT_EXPECT_EQ(SeQuerySecurityDescriptorInfo(&wanted, nullptr, &length, &made.descriptor),
               STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_EQ(length, 20u + 16u);
  alignas(8) UCHAR buffer[256];
  length = sizeof(buffer);
  NT_ASSERT_SUCCESS(SeQuerySecurityDescriptorInfo(&wanted, buffer, &length, &made.descriptor));
  PSID sid = nullptr;
  BOOLEAN defaulted, present = TRUE;
  PACL acl;
  NT_EXPECT_SUCCESS(RtlGetOwnerSecurityDescriptor(buffer, &sid, &defaulted));
  NT_EXPECT_TRUE(sid != nullptr && RtlEqualSid(sid, SeExports->SeAliasAdminsSid));
  NT_EXPECT_SUCCESS(RtlGetGroupSecurityDescriptor(buffer, &sid, &defaulted));
  NT_EXPECT_TRUE(sid == nullptr);
  NT_EXPECT_SUCCESS(RtlGetDaclSecurityDescriptor(buffer, &present, &acl, &defaulted));
  NT_EXPECT_EQ(present, FALSE);
  wanted = DACL_SECURITY_INFORMATION;
  length = sizeof(buffer);
  NT_EXPECT_SUCCESS(SeQuerySecurityDescriptorInfo(&wanted, buffer, &length, &made.descriptor));
  NT_EXPECT_SUCCESS(RtlGetDaclSecurityDescriptor(buffer, &present, &acl, &defaulted));
  NT_EXPECT_TRUE(present && acl->AceCount == made.dacl->AceCount);
}

NT_TEST(SeAssign, AChangeReplacesTheWantedParts) {
  Assigned made(nullptr, nullptr, false);
  NT_ASSERT_SUCCESS(made.status);
  Descriptor change;
  change.Add(GENERIC_READ, SeExports->SeWorldSid, 0);
  PSECURITY_DESCRIPTOR object = made.descriptor;
  SECURITY_INFORMATION wanted = DACL_SECURITY_INFORMATION;
  NT_ASSERT_SUCCESS(
      SeSetSecurityDescriptorInfo(nullptr, &wanted, &change.header, &object, NonPagedPoolNx, &g_mapping));
  NT_EXPECT_TRUE(object != made.descriptor);
  PACL acl = nullptr;
  BOOLEAN present, defaulted;
  NT_EXPECT_SUCCESS(RtlGetDaclSecurityDescriptor(object, &present, &acl, &defaulted));
  NT_ASSERT_TRUE(acl != nullptr && acl->AceCount == 1);
  EXPECT_ACE(reinterpret_cast<PACCESS_ALLOWED_ACE>(acl + 1), 0x1, SeExports->SeWorldSid, 0);
  PSID sid = nullptr;
  NT_EXPECT_SUCCESS(RtlGetOwnerSecurityDescriptor(object, &sid, &defaulted));
  NT_EXPECT_TRUE(sid != nullptr && RtlEqualSid(sid, SeExports->SeAliasAdminsSid));  // kept
  ExFreePool(object);
  PSECURITY_DESCRIPTOR none = nullptr;
  NT_EXPECT_EQ(
      SeSetSecurityDescriptorInfo(nullptr, &wanted, &change.header, &none, NonPagedPoolNx, &g_mapping),
      STATUS_NO_SECURITY_ON_OBJECT);
  PSECURITY_DESCRIPTOR absolute = &change.header;
  NT_EXPECT_EQ(
      SeSetSecurityDescriptorInfo(nullptr, &wanted, &change.header, &absolute, NonPagedPoolNx, &g_mapping),
      STATUS_BAD_DESCRIPTOR_FORMAT);
}

NT_TEST(SeAssign, ACapturedDescriptorIsACopyOrTheKernelsOwn) {
  Descriptor given;
  given.Add(0x1, SeExports->SeWorldSid, 0);
  PSECURITY_DESCRIPTOR captured = nullptr;
  NT_ASSERT_SUCCESS(SeCaptureSecurityDescriptor(&given.header, KernelMode, PagedPool, FALSE, &captured));
  NT_EXPECT_TRUE(captured == &given.header);
  SeReleaseSecurityDescriptor(captured, KernelMode, FALSE);
  NT_ASSERT_SUCCESS(SeCaptureSecurityDescriptor(&given.header, KernelMode, PagedPool, TRUE, &captured));
  NT_EXPECT_TRUE(captured != &given.header && RtlValidSecurityDescriptor(captured));
  SeReleaseSecurityDescriptor(captured, KernelMode, TRUE);
  NT_EXPECT_SUCCESS(SeCaptureSecurityDescriptor(nullptr, UserMode, PagedPool, TRUE, &captured));
  NT_EXPECT_TRUE(captured == nullptr);
  // A program's descriptor must lie in its own memory.
  NT_EXPECT_EQ(SeCaptureSecurityDescriptor(&given.header, UserMode, PagedPool, TRUE, &captured),
               STATUS_ACCESS_VIOLATION);
}
