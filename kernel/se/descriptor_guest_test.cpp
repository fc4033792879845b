// Security descriptors in both forms. Oracle: the WDK pages of the routines.
#include "ddi_security.h"
#include "nt_test.h"

namespace {

constexpr ULONG kListBytes = 64;

// An absolute descriptor: SYSTEM owns it, Administrators is its group, two lists.
struct Absolute {
  SECURITY_DESCRIPTOR header;
  alignas(4) UCHAR dacl[kListBytes];
  alignas(4) UCHAR sacl[kListBytes];
  PACL Dacl() { return reinterpret_cast<PACL>(dacl); }
  PACL Sacl() { return reinterpret_cast<PACL>(sacl); }
  bool Make() {
    RtlCreateSecurityDescriptor(&header, SECURITY_DESCRIPTOR_REVISION);
    RtlCreateAcl(Dacl(), kListBytes, ACL_REVISION);
    RtlCreateAcl(Sacl(), kListBytes, ACL_REVISION);
    RtlAddAccessAllowedAce(Dacl(), ACL_REVISION, GENERIC_READ, SeExports->SeWorldSid);
    return NT_SUCCESS(RtlSetOwnerSecurityDescriptor(&header, SeExports->SeLocalSystemSid, FALSE)) &&
           NT_SUCCESS(RtlSetGroupSecurityDescriptor(&header, SeExports->SeAliasAdminsSid, TRUE)) &&
           NT_SUCCESS(RtlSetDaclSecurityDescriptor(&header, TRUE, Dacl(), FALSE)) &&
           NT_SUCCESS(RtlSetSaclSecurityDescriptor(&header, TRUE, Sacl(), TRUE));
  }
};

constexpr ULONG kRelativeBytes = 20 + 12 + 16 + 2 * kListBytes;  // header, SYSTEM, Administrators, lists

void ExpectParts(PSECURITY_DESCRIPTOR descriptor) {
  PSID sid = nullptr;
  PACL acl = nullptr;
  BOOLEAN present = FALSE, defaulted = FALSE;
  NT_EXPECT_SUCCESS(RtlGetOwnerSecurityDescriptor(descriptor, &sid, &defaulted));
  NT_EXPECT_TRUE(sid != nullptr && RtlEqualSid(sid, SeExports->SeLocalSystemSid));
  NT_EXPECT_EQ(defaulted, FALSE);
  NT_EXPECT_SUCCESS(RtlGetGroupSecurityDescriptor(descriptor, &sid, &defaulted));
  NT_EXPECT_TRUE(sid != nullptr && RtlEqualSid(sid, SeExports->SeAliasAdminsSid));
  NT_EXPECT_EQ(defaulted, TRUE);
  NT_EXPECT_SUCCESS(RtlGetDaclSecurityDescriptor(descriptor, &present, &acl, &defaulted));
  NT_EXPECT_EQ(present, TRUE);
  NT_EXPECT_EQ(defaulted, FALSE);
  NT_EXPECT_TRUE(acl != nullptr && acl->AceCount == 1);
  NT_EXPECT_SUCCESS(RtlGetSaclSecurityDescriptor(descriptor, &present, &acl, &defaulted));
  NT_EXPECT_EQ(present, TRUE);
  NT_EXPECT_EQ(defaulted, TRUE);
  NT_EXPECT_TRUE(acl != nullptr && acl->AceCount == 0);
}

}  // namespace

NT_TEST(SeDescriptor, AnAbsoluteOneAnswersWhatWasSet) {
  Absolute absolute;
  NT_ASSERT_TRUE(absolute.Make());
  ExpectParts(&absolute.header);
  NT_EXPECT_TRUE(RtlValidSecurityDescriptor(&absolute.header));
  NT_EXPECT_EQ(RtlLengthSecurityDescriptor(&absolute.header),
               sizeof(SECURITY_DESCRIPTOR) + kRelativeBytes - 20);
  NT_EXPECT_SUCCESS(RtlSetDaclSecurityDescriptor(&absolute.header, FALSE, nullptr, FALSE));
  BOOLEAN present = TRUE, defaulted = 7;
  PACL acl = absolute.Sacl();
  NT_EXPECT_SUCCESS(RtlGetDaclSecurityDescriptor(&absolute.header, &present, &acl, &defaulted));
  NT_EXPECT_EQ(present, FALSE);
  NT_EXPECT_TRUE(acl == absolute.Sacl());  // not touched
  NT_EXPECT_EQ(defaulted, 7);
}

NT_TEST(SeDescriptor, ItBecomesSelfRelativeAndAbsoluteAgain) {
  Absolute absolute;
  NT_ASSERT_TRUE(absolute.Make());
  alignas(8) UCHAR relative[kRelativeBytes + 16];
  ULONG bytes = 0;
  NT_EXPECT_EQ(RtlAbsoluteToSelfRelativeSD(&absolute.header, nullptr, &bytes), STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_EQ(bytes, kRelativeBytes);
  bytes = kRelativeBytes - 1;
  NT_EXPECT_EQ(RtlAbsoluteToSelfRelativeSD(&absolute.header, relative, &bytes), STATUS_BUFFER_TOO_SMALL);
  bytes = sizeof(relative);
  NT_ASSERT_SUCCESS(RtlAbsoluteToSelfRelativeSD(&absolute.header, relative, &bytes));
  ExpectParts(relative);
  NT_EXPECT_TRUE(RtlValidSecurityDescriptor(relative));
  NT_EXPECT_EQ(RtlLengthSecurityDescriptor(relative), kRelativeBytes);
  NT_EXPECT_EQ(RtlAbsoluteToSelfRelativeSD(relative, relative, &bytes), STATUS_BAD_DESCRIPTOR_FORMAT);
  NT_EXPECT_EQ(RtlSetOwnerSecurityDescriptor(relative, nullptr, FALSE), STATUS_INVALID_SECURITY_DESCR);

  SECURITY_DESCRIPTOR again;
  alignas(4) UCHAR dacl[kListBytes], sacl[kListBytes], owner[16], group[16];
  ULONG sizes[5] = {};
  NT_EXPECT_EQ(RtlSelfRelativeToAbsoluteSD(relative, nullptr, &sizes[0], nullptr, &sizes[1], nullptr,
                                           &sizes[2], nullptr, &sizes[3], nullptr, &sizes[4]),
               STATUS_BUFFER_TOO_SMALL);
  NT_EXPECT_EQ(sizes[0], sizeof(SECURITY_DESCRIPTOR));
  NT_EXPECT_EQ(sizes[1], kListBytes);
  NT_EXPECT_EQ(sizes[2], kListBytes);
  NT_EXPECT_EQ(sizes[3], 12u);
  NT_EXPECT_EQ(sizes[4], 16u);
  NT_ASSERT_SUCCESS(RtlSelfRelativeToAbsoluteSD(relative, &again, &sizes[0], reinterpret_cast<PACL>(dacl),
                                                &sizes[1], reinterpret_cast<PACL>(sacl), &sizes[2], owner,
                                                &sizes[3], group, &sizes[4]));
  ExpectParts(&again);
  NT_EXPECT_EQ(RtlSelfRelativeToAbsoluteSD(&again, &again, &sizes[0], reinterpret_cast<PACL>(dacl), &sizes[1],
                                           reinterpret_cast<PACL>(sacl), &sizes[2], owner, &sizes[3], group,
                                           &sizes[4]),
               STATUS_BAD_DESCRIPTOR_FORMAT);
}

NT_TEST(SeDescriptor, ARelativeOneOfUnknownOriginIsChecked) {
  Absolute absolute;
  NT_ASSERT_TRUE(absolute.Make());
  alignas(8) UCHAR relative[kRelativeBytes];
  ULONG bytes = sizeof(relative);
  NT_ASSERT_SUCCESS(RtlAbsoluteToSelfRelativeSD(&absolute.header, relative, &bytes));
  constexpr SECURITY_INFORMATION kAll = OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION |
                                        DACL_SECURITY_INFORMATION | SACL_SECURITY_INFORMATION;
  NT_EXPECT_TRUE(RtlValidRelativeSecurityDescriptor(relative, bytes, kAll));
  NT_EXPECT_TRUE(!RtlValidRelativeSecurityDescriptor(relative, 19, 0));
  NT_EXPECT_TRUE(!RtlValidRelativeSecurityDescriptor(&absolute.header, sizeof(absolute.header), 0));
  for (ULONG length = 20; length < bytes; length += 4)
    NT_EXPECT_TRUE(!RtlValidRelativeSecurityDescriptor(relative, length, kAll));
  // Each offset, one at a time, leads out of the buffer or is not aligned.
  for (ULONG field = 4; field < 20; field += 4) {
    auto* offset = reinterpret_cast<ULONG*>(relative + field);
    const ULONG saved = *offset;
    const ULONG wrongs[] = {bytes, bytes - 4, 0xFFFFFFFC, saved + 1, 4};
    for (ULONG wrong : wrongs) {
      *offset = wrong;
      NT_EXPECT_TRUE(!RtlValidRelativeSecurityDescriptor(relative, bytes, kAll));
    }
    *offset = 0;
    const bool list = field >= 12;
    NT_EXPECT_EQ(RtlValidRelativeSecurityDescriptor(relative, bytes, kAll), list);
    *offset = saved;
  }
  NT_EXPECT_TRUE(RtlValidRelativeSecurityDescriptor(relative, bytes, kAll));
  relative[0] = 2;
  NT_EXPECT_TRUE(!RtlValidRelativeSecurityDescriptor(relative, bytes, 0));
  NT_EXPECT_TRUE(!RtlValidSecurityDescriptor(relative));
}

NT_TEST(SeDescriptor, ADamagedListIsNotValid) {
  Absolute absolute;
  NT_ASSERT_TRUE(absolute.Make());
  NT_EXPECT_TRUE(!RtlValidSecurityDescriptor(nullptr));
  auto* ace = reinterpret_cast<PACCESS_ALLOWED_ACE>(absolute.Dacl() + 1);
  const USHORT size = ace->Header.AceSize;
  const USHORT wrongs[] = {0, 3, 8, kListBytes, 0xFFFC};
  for (USHORT wrong : wrongs) {
    ace->Header.AceSize = wrong;
    NT_EXPECT_TRUE(!RtlValidSecurityDescriptor(&absolute.header));
  }
  ace->Header.AceSize = size;
  NT_EXPECT_TRUE(RtlValidSecurityDescriptor(&absolute.header));
  absolute.Dacl()->AceCount = 20;
  NT_EXPECT_TRUE(!RtlValidSecurityDescriptor(&absolute.header));
  absolute.Dacl()->AceCount = 1;
  reinterpret_cast<UCHAR*>(&ace->SidStart)[1] = 15;  // sub-authorities that do not fit
  NT_EXPECT_TRUE(!RtlValidSecurityDescriptor(&absolute.header));
  reinterpret_cast<UCHAR*>(&ace->SidStart)[1] = 1;
  absolute.Dacl()->AclRevision = 9;
  NT_EXPECT_TRUE(!RtlValidSecurityDescriptor(&absolute.header));
}

namespace {

// The last bytes of a page; behind it nothing is mapped that could be read.
class EndOfPage {
 public:
  explicit EndOfPage(ULONG bytes) : bytes_(bytes) {
    SIZE_T size = 2 * PAGE_SIZE;
    if (!NT_SUCCESS(
            ZwAllocateVirtualMemory(ZwCurrentProcess(), &base_, 0, &size, MEM_RESERVE, PAGE_READWRITE)))
      return;
    size = PAGE_SIZE;
    PVOID first = base_;
    committed_ =
        NT_SUCCESS(ZwAllocateVirtualMemory(ZwCurrentProcess(), &first, 0, &size, MEM_COMMIT, PAGE_READWRITE));
  }
  ~EndOfPage() {
    SIZE_T size = 0;
    if (base_ != nullptr) ZwFreeVirtualMemory(ZwCurrentProcess(), &base_, &size, MEM_RELEASE);
  }
  EndOfPage(const EndOfPage&) = delete;
  EndOfPage& operator=(const EndOfPage&) = delete;
  bool made() const { return committed_; }
  UCHAR* get() const { return static_cast<UCHAR*>(base_) + PAGE_SIZE - bytes_; }

 private:
  PVOID base_ = nullptr;
  ULONG bytes_;
  bool committed_ = false;
};

}  // namespace

// A self-relative header is 20 bytes, an absolute one 40: whoever reads the longer form faults here.
NT_TEST(SeDescriptor, NothingBehindAShortRelativeOneIsRead) {
  EndOfPage end(20);
  NT_ASSERT_TRUE(end.made());
  PSECURITY_DESCRIPTOR descriptor = end.get();
  RtlZeroMemory(descriptor, 20);
  end.get()[0] = SECURITY_DESCRIPTOR_REVISION;
  const USHORT control = SE_SELF_RELATIVE;
  RtlCopyMemory(end.get() + 2, &control, sizeof(control));
  NT_EXPECT_EQ(RtlLengthSecurityDescriptor(descriptor), 20u);
  NT_EXPECT_TRUE(RtlValidSecurityDescriptor(descriptor) != FALSE);
  NT_EXPECT_TRUE(RtlValidRelativeSecurityDescriptor(descriptor, 20, 0) != FALSE);
  PSID sid = &sid;
  PACL acl;
  BOOLEAN present = TRUE, defaulted;
  NT_EXPECT_SUCCESS(RtlGetOwnerSecurityDescriptor(descriptor, &sid, &defaulted));
  NT_EXPECT_TRUE(sid == nullptr);
  NT_EXPECT_SUCCESS(RtlGetGroupSecurityDescriptor(descriptor, &sid, &defaulted));
  NT_EXPECT_SUCCESS(RtlGetDaclSecurityDescriptor(descriptor, &present, &acl, &defaulted));
  NT_EXPECT_TRUE(!present);
  NT_EXPECT_SUCCESS(RtlGetSaclSecurityDescriptor(descriptor, &present, &acl, &defaulted));
  PSECURITY_DESCRIPTOR captured = nullptr;
  NT_EXPECT_SUCCESS(SeCaptureSecurityDescriptor(descriptor, KernelMode, PagedPool, TRUE, &captured));
  if (captured != nullptr) {
    NT_EXPECT_EQ(RtlLengthSecurityDescriptor(captured), 20u);
    SeReleaseSecurityDescriptor(captured, KernelMode, TRUE);
  }
  NT_EXPECT_SUCCESS(SeCaptureSecurityDescriptor(descriptor, UserMode, PagedPool, TRUE, &captured));
  if (captured != nullptr) SeReleaseSecurityDescriptor(captured, UserMode, TRUE);
  UCHAR copy[40];
  ULONG length = sizeof(copy);
  SECURITY_INFORMATION all = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
  NT_EXPECT_SUCCESS(SeQuerySecurityDescriptorInfo(&all, copy, &length, &descriptor));
  HANDLE event;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, descriptor);
  NT_EXPECT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE));
  NT_EXPECT_SUCCESS(ZwSetSecurityObject(event, DACL_SECURITY_INFORMATION, descriptor));
  NT_EXPECT_EQ(ZwSetSecurityObject(event, OWNER_SECURITY_INFORMATION, descriptor),
               STATUS_INVALID_SECURITY_DESCR);
  ZwClose(event);
}

// The same with a SID as the last thing before the page's end.
NT_TEST(SeDescriptor, NothingBehindItsLastSidIsRead) {
  constexpr ULONG kSid = 12, kBytes = 20 + 2 * kSid;
  EndOfPage end(kBytes);
  NT_ASSERT_TRUE(end.made());
  PSECURITY_DESCRIPTOR descriptor = end.get();
  RtlZeroMemory(descriptor, kBytes);
  struct Relative {
    UCHAR Revision, Sbz1;
    USHORT Control;
    ULONG Owner, Group, Sacl, Dacl;
  };
  auto* header = static_cast<Relative*>(descriptor);
  header->Revision = SECURITY_DESCRIPTOR_REVISION;
  header->Control = SE_SELF_RELATIVE;
  header->Owner = 20;
  header->Group = 20 + kSid;
  NT_EXPECT_SUCCESS(RtlCopySid(kSid, end.get() + 20, SeExports->SeLocalSystemSid));
  NT_EXPECT_SUCCESS(RtlCopySid(kSid, end.get() + 20 + kSid, SeExports->SeLocalSystemSid));
  NT_EXPECT_EQ(RtlLengthSecurityDescriptor(descriptor), kBytes);
  NT_EXPECT_TRUE(RtlValidSecurityDescriptor(descriptor) != FALSE);
  NT_EXPECT_TRUE(RtlValidRelativeSecurityDescriptor(descriptor, kBytes, OWNER_SECURITY_INFORMATION) != FALSE);
  const KPROCESSOR_MODE modes[] = {KernelMode, UserMode};
  for (const KPROCESSOR_MODE mode : modes) {
    PSECURITY_DESCRIPTOR captured = nullptr;
    NT_EXPECT_SUCCESS(SeCaptureSecurityDescriptor(descriptor, mode, PagedPool, TRUE, &captured));
    if (captured == nullptr) continue;
    NT_EXPECT_TRUE(RtlEqualMemory(captured, descriptor, kBytes));
    SeReleaseSecurityDescriptor(captured, mode, TRUE);
  }
}
