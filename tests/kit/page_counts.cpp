// Prints how many pages are free or belong to the pools and to stacks, when it is loaded.
#include "page_counts.h"

NT_TEST(PageCounts, ArePrinted) {
  const ULONG pages = nt_test::FreeAndPoolPages();
  NT_EXPECT_TRUE(pages != 0);
  DbgPrint("[pages] %u\n", pages);
}
