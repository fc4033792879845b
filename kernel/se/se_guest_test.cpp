// Security identifiers and descriptors as a driver sees them. Oracle: the WDK pages of the routines.
#include "nt_test.h"

NT_TEST(KernelSe, ASidIsBuiltComparedAndCopied) {
  UCHAR buffer[32];
  PSID sid = buffer;
  SID_IDENTIFIER_AUTHORITY authority = {{0, 0, 0, 0, 0, 5}};
  NT_ASSERT_SUCCESS(RtlInitializeSid(sid, &authority, 1));
  *RtlSubAuthoritySid(sid, 0) = 18;
  NT_EXPECT_TRUE(RtlValidSid(sid));
  NT_EXPECT_EQ(RtlLengthSid(sid), 12);
  NT_EXPECT_TRUE(RtlEqualSid(sid, SeExports->SeLocalSystemSid));
  UCHAR copy[12];
  NT_EXPECT_SUCCESS(RtlCopySid(sizeof(copy), copy, sid));
  NT_EXPECT_TRUE(RtlEqualSid(copy, sid));
  NT_EXPECT_EQ(RtlCopySid(8, copy, sid), STATUS_BUFFER_TOO_SMALL);
}

NT_TEST(KernelSe, ADescriptorHoldsItsList) {
  SECURITY_DESCRIPTOR descriptor;
  UCHAR buffer[64];
  auto* acl = reinterpret_cast<PACL>(buffer);
  NT_ASSERT_SUCCESS(RtlCreateSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION));
  NT_ASSERT_SUCCESS(RtlCreateAcl(acl, sizeof(buffer), ACL_REVISION));
  NT_EXPECT_SUCCESS(RtlAddAccessAllowedAce(acl, ACL_REVISION, GENERIC_ALL, SeExports->SeWorldSid));
  NT_EXPECT_EQ(acl->AceCount, 1);
  NT_EXPECT_SUCCESS(RtlSetDaclSecurityDescriptor(&descriptor, TRUE, acl, FALSE));
  NT_EXPECT_TRUE(RtlValidSecurityDescriptor(&descriptor));
  NT_EXPECT_EQ(RtlLengthSecurityDescriptor(&descriptor), sizeof(SECURITY_DESCRIPTOR) + sizeof(buffer));
}
