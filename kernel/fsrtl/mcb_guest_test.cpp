// Large MCBs through the ABI. Oracle: the WDK pages of FsRtl*LargeMcb*; not yet run on a real NT.
#include "ddi_fs.h"
#include "nt_test.h"
#include "random.h"

namespace {

struct Map {
  LARGE_MCB mcb;
  Map() { FsRtlInitializeLargeMcb(&mcb, NonPagedPoolNx); }
  ~Map() { FsRtlUninitializeLargeMcb(&mcb); }
  bool Add(LONGLONG vbn, LONGLONG lbn, LONGLONG count) {
    return FsRtlAddLargeMcbEntry(&mcb, vbn, lbn, count) != FALSE;
  }
  // -2: nothing there.
  LONGLONG At(LONGLONG vbn) {
    LONGLONG lbn = -2;
    return FsRtlLookupLargeMcbEntry(&mcb, vbn, &lbn, nullptr, nullptr, nullptr, nullptr) ? lbn : -2;
  }
  ULONG Runs() { return FsRtlNumberOfRunsInLargeMcb(&mcb); }
};

}  // namespace

NT_TEST(FsRtlMcb, LookupTellsWhereASectorLies) {
  Map map;
  LONGLONG lbn = 0, from = 0, start = 0, whole = 0;
  ULONG index = 99;
  NT_EXPECT_TRUE(!FsRtlLookupLargeMcbEntry(&map.mcb, 0, &lbn, nullptr, nullptr, nullptr, nullptr));
  NT_EXPECT_TRUE(map.Add(10, 1000, 20));
  NT_EXPECT_TRUE(FsRtlLookupLargeMcbEntry(&map.mcb, 15, &lbn, &from, &start, &whole, &index));
  NT_EXPECT_EQ(lbn, 1005);
  NT_EXPECT_EQ(from, 15);
  NT_EXPECT_EQ(start, 1000);
  NT_EXPECT_EQ(whole, 20);
  NT_EXPECT_EQ(index, 1);
  NT_EXPECT_TRUE(FsRtlLookupLargeMcbEntry(&map.mcb, 3, &lbn, &from, nullptr, nullptr, &index));
  NT_EXPECT_EQ(lbn, -1);
  NT_EXPECT_EQ(from, 7);
  NT_EXPECT_EQ(index, 0);
  NT_EXPECT_EQ(map.At(30), -2);
  NT_EXPECT_EQ(map.Runs(), 2);
}

NT_TEST(FsRtlMcb, NeighboursJoin) {
  Map map;
  NT_EXPECT_TRUE(map.Add(0, 100, 10));
  NT_EXPECT_TRUE(map.Add(10, 110, 10));
  NT_EXPECT_EQ(map.Runs(), 1);
  NT_EXPECT_TRUE(map.Add(20, 500, 10));
  NT_EXPECT_EQ(map.Runs(), 2);
  LONGLONG vbn = 0, lbn = 0, count = 0;
  NT_EXPECT_TRUE(FsRtlGetNextLargeMcbEntry(&map.mcb, 1, &vbn, &lbn, &count));
  NT_EXPECT_EQ(vbn, 20);
  NT_EXPECT_EQ(lbn, 500);
  NT_EXPECT_EQ(count, 10);
  NT_EXPECT_TRUE(!FsRtlGetNextLargeMcbEntry(&map.mcb, 2, &vbn, &lbn, &count));
  ULONG index = 0;
  NT_EXPECT_TRUE(FsRtlLookupLastLargeMcbEntryAndIndex(&map.mcb, &vbn, &lbn, &index));
  NT_EXPECT_EQ(vbn, 29);
  NT_EXPECT_EQ(lbn, 509);
  NT_EXPECT_EQ(index, 1);
  NT_EXPECT_TRUE(FsRtlLookupLastLargeMcbEntry(&map.mcb, &vbn, &lbn));
  NT_EXPECT_EQ(vbn, 29);
}

NT_TEST(FsRtlMcb, SectorsMappedElsewhereAreRefused) {
  Map map;
  NT_EXPECT_TRUE(map.Add(0, 100, 10));
  NT_EXPECT_TRUE(map.Add(5, 105, 10));  // the same mapping
  NT_EXPECT_TRUE(!map.Add(5, 300, 1));
  NT_EXPECT_TRUE(!map.Add(14, 300, 2));
  NT_EXPECT_EQ(map.At(15), -2);
  NT_EXPECT_EQ(map.Runs(), 1);
}

NT_TEST(FsRtlMcb, RemovedSectorsAreHoles) {
  Map map;
  map.Add(0, 100, 30);
  FsRtlRemoveLargeMcbEntry(&map.mcb, 10, 10);
  NT_EXPECT_EQ(map.Runs(), 3);
  NT_EXPECT_EQ(map.At(9), 109);
  NT_EXPECT_EQ(map.At(10), -1);
  NT_EXPECT_EQ(map.At(20), 120);
  FsRtlRemoveLargeMcbEntry(&map.mcb, 20, 1000);
  NT_EXPECT_EQ(map.Runs(), 1);
  NT_EXPECT_EQ(map.At(10), -2);
  NT_EXPECT_TRUE(map.Add(20, 7, 1));
  FsRtlTruncateLargeMcb(&map.mcb, 5);
  NT_EXPECT_EQ(map.At(4), 104);
  NT_EXPECT_EQ(map.At(5), -2);
  FsRtlResetLargeMcb(&map.mcb, FALSE);
  NT_EXPECT_EQ(map.Runs(), 0);
  FsRtlResetLargeMcb(&map.mcb, TRUE);
  LONGLONG vbn, lbn;
  NT_EXPECT_TRUE(!FsRtlLookupLastLargeMcbEntry(&map.mcb, &vbn, &lbn));
}

NT_TEST(FsRtlMcb, SplitOpensAHole) {
  Map map;
  map.Add(0, 100, 10);
  NT_EXPECT_TRUE(FsRtlSplitLargeMcb(&map.mcb, 4, 6));
  NT_EXPECT_EQ(map.Runs(), 3);
  NT_EXPECT_EQ(map.At(3), 103);
  NT_EXPECT_EQ(map.At(4), -1);
  NT_EXPECT_EQ(map.At(9), -1);
  NT_EXPECT_EQ(map.At(10), 104);
  NT_EXPECT_EQ(map.At(15), 109);
  NT_EXPECT_TRUE(FsRtlSplitLargeMcb(&map.mcb, 6, 1));  // in the hole, which grows
  NT_EXPECT_EQ(map.Runs(), 3);
  NT_EXPECT_EQ(map.At(11), 104);
}

// Against a plain array of sectors.
NT_TEST(FsRtlMcb, RandomOperationsAgreeWithAnArray) {
  constexpr ULONG kSectors = 256;
  static LONGLONG model[kSectors];
  Map map;
  nt_test::Random random(20);
  for (LONGLONG& lbn : model) lbn = -1;
  for (ULONG step = 0; step < 2000; ++step) {
    const ULONG vbn = random.Below(kSectors);
    const ULONG count = 1 + random.Below(kSectors - vbn < 20 ? kSectors - vbn : 20);
    if (random.Below(3) != 0) {
      const LONGLONG lbn = 1000 + vbn + 300 * random.Below(2);
      bool fits = true;
      for (ULONG i = 0; i < count; ++i) fits = fits && (model[vbn + i] == -1 || model[vbn + i] == lbn + i);
      NT_ASSERT_EQ(map.Add(vbn, lbn, count), fits);
      for (ULONG i = 0; fits && i < count; ++i) model[vbn + i] = lbn + i;
    } else {
      FsRtlRemoveLargeMcbEntry(&map.mcb, vbn, count);
      for (ULONG i = 0; i < count; ++i) model[vbn + i] = -1;
    }
    const ULONG probe = random.Below(kSectors);
    const LONGLONG found = map.At(probe);
    NT_ASSERT_EQ(found == -2 ? -1 : found, model[probe]);
  }
  for (ULONG i = 0; i < kSectors; ++i) {
    const LONGLONG found = map.At(i);
    NT_ASSERT_EQ(found == -2 ? -1 : found, model[i]);
  }
}
