// Security identifiers and lists through the ABI, row by row. Oracle: the WDK pages and [MS-DTYP].
#include "nt_test.h"

namespace {

struct Row {
  UCHAR authority;
  UCHAR count;
  ULONG parts[4];
};
constexpr Row kRows[] = {
    {0, 1, {0}},           {1, 1, {0}},       {2, 1, {0}},       {3, 1, {0}},       {5, 1, {18}},
    {5, 1, {19}},          {5, 1, {20}},      {5, 2, {32, 544}}, {5, 2, {32, 545}}, {5, 1, {11}},
    {5, 4, {21, 1, 2, 3}}, {16, 1, {0x2000}}, {16, 1, {0x4000}}, {5, 1, {7}},       {5, 1, {6}}};

struct Sid {
  UCHAR bytes[32];
  PSID get() { return bytes; }
};

bool Make(const Row& row, Sid* sid) {
  SID_IDENTIFIER_AUTHORITY authority = {{0, 0, 0, 0, 0, row.authority}};
  if (!NT_SUCCESS(RtlInitializeSid(sid->get(), &authority, row.count))) return false;
  for (UCHAR i = 0; i < row.count; ++i) *RtlSubAuthoritySid(sid->get(), i) = row.parts[i];
  return true;
}

}  // namespace

NT_TEST(SeConformance, SidsHaveTheirParts) {
  for (const Row& row : kRows) {
    Sid sid = {};
    NT_ASSERT_TRUE(Make(row, &sid));
    NT_EXPECT_TRUE(RtlValidSid(sid.get()));
    NT_EXPECT_EQ(RtlLengthSid(sid.get()), 8u + 4u * row.count);
    NT_EXPECT_EQ(RtlLengthRequiredSid(row.count), 8u + 4u * row.count);
    NT_EXPECT_EQ(sid.bytes[0], 1);
    NT_EXPECT_EQ(sid.bytes[1], row.count);
    NT_EXPECT_EQ(sid.bytes[7], row.authority);
    for (UCHAR i = 0; i < row.count; ++i)
      NT_EXPECT_EQ(*reinterpret_cast<ULONG*>(sid.bytes + 8 + 4 * i), row.parts[i]);
    sid.bytes[0] = 2;
    NT_EXPECT_TRUE(!RtlValidSid(sid.get()));
    sid.bytes[0] = 1;
    sid.bytes[1] = 16;  // at most 15
    NT_EXPECT_TRUE(!RtlValidSid(sid.get()));
  }
}

NT_TEST(SeConformance, SidsAreEqualToThemselvesAlone) {
  for (ULONG a = 0; a < RTL_NUMBER_OF(kRows); ++a) {
    for (ULONG b = 0; b < RTL_NUMBER_OF(kRows); ++b) {
      Sid first = {}, second = {};
      NT_ASSERT_TRUE(Make(kRows[a], &first) && Make(kRows[b], &second));
      NT_EXPECT_EQ(RtlEqualSid(first.get(), second.get()) != FALSE, a == b);
    }
  }
}

NT_TEST(SeConformance, WellKnownSids) {
  const struct {
    PSID exported;
    ULONG row;
  } known[] = {{SeExports->SeNullSid, 0},        {SeExports->SeWorldSid, 1},
               {SeExports->SeLocalSid, 2},       {SeExports->SeCreatorOwnerSid, 3},
               {SeExports->SeLocalSystemSid, 4}, {SeExports->SeAliasAdminsSid, 7}};
  for (const auto& entry : known) {
    Sid sid = {};
    NT_ASSERT_TRUE(Make(kRows[entry.row], &sid));
    NT_EXPECT_TRUE(RtlValidSid(entry.exported));
    NT_EXPECT_TRUE(RtlEqualSid(entry.exported, sid.get()));
  }
}

NT_TEST(SeConformance, ListsGrowByTheSizeOfTheirEntries) {
  for (const Row& row : kRows) {
    Sid sid = {};
    NT_ASSERT_TRUE(Make(row, &sid));
    alignas(8) UCHAR buffer[128];
    auto* acl = reinterpret_cast<PACL>(buffer);
    NT_ASSERT_SUCCESS(RtlCreateAcl(acl, sizeof(buffer), ACL_REVISION));
    NT_EXPECT_EQ(acl->AclRevision, ACL_REVISION);
    NT_EXPECT_EQ(acl->AclSize, sizeof(buffer));
    NT_EXPECT_EQ(acl->AceCount, 0);
    const ULONG entry = 8 + RtlLengthSid(sid.get());
    ULONG expected = (sizeof(buffer) - sizeof(ACL)) / entry, count = 0;
    while (NT_SUCCESS(RtlAddAccessAllowedAce(acl, ACL_REVISION, count + 1, sid.get()))) ++count;
    NT_EXPECT_EQ(count, expected);
    NT_EXPECT_EQ(acl->AceCount, expected);
    NT_EXPECT_EQ(RtlAddAccessAllowedAce(acl, ACL_REVISION, 1, sid.get()), STATUS_ALLOTTED_SPACE_EXCEEDED);
    UCHAR* at = buffer + sizeof(ACL);
    for (ULONG i = 0; i < count; ++i, at += entry) {
      auto* ace = reinterpret_cast<ACCESS_ALLOWED_ACE*>(at);
      NT_EXPECT_EQ(ace->Header.AceType, ACCESS_ALLOWED_ACE_TYPE);
      NT_EXPECT_EQ(ace->Header.AceSize, entry);
      NT_EXPECT_EQ(ace->Mask, i + 1);
      NT_EXPECT_TRUE(RtlEqualSid(&ace->SidStart, sid.get()));
    }
  }
}
