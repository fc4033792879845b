// The rules of file sharing. Oracle: WDK IoCheckShareAccess.
#include "share_check.h"

#include <gtest/gtest.h>

namespace io {

TEST(ShareCheck, ASecondWriterNeedsTheFirstToShareWriting) {
  ShareState state = {};
  const ShareRequest alone = {false, true, false, true, false, false};
  const ShareRequest sharing = {false, true, false, true, true, false};
  ShareAdd(&state, alone);
  EXPECT_TRUE(ShareConflicts(state, sharing));
  ShareRemove(&state, alone);
  ShareAdd(&state, sharing);
  EXPECT_FALSE(ShareConflicts(state, sharing));
  EXPECT_TRUE(ShareConflicts(state, alone));
}

TEST(ShareCheck, AttributesAloneConflictWithNobody) {
  ShareState state = {};
  ShareAdd(&state, {true, true, true, false, false, false});
  EXPECT_FALSE(ShareConflicts(state, {false, false, false, false, false, false}));
  EXPECT_TRUE(ShareConflicts(state, {true, false, false, true, true, true}));
}

TEST(ShareCheck, RemovingTheLastOpenLeavesNothing) {
  ShareState state = {};
  const ShareRequest request = {true, false, true, true, true, true};
  ShareAdd(&state, request);
  ShareRemove(&state, request);
  EXPECT_EQ(state.open_count, 0u);
  EXPECT_EQ(state.shared_delete, 0u);
  EXPECT_FALSE(ShareConflicts(state, {true, true, true, false, false, false}));
}

}  // namespace io
