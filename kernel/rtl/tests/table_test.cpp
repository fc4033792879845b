#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <vector>

#include "prototypes.h"

namespace {

struct Item {
  int key;
  int value;
};

template <typename Table>
RTL_GENERIC_COMPARE_RESULTS CompareItems(Table*, PVOID a, PVOID b) {
  const int left = static_cast<Item*>(a)->key;
  const int right = static_cast<Item*>(b)->key;
  return left < right ? GenericLessThan : left > right ? GenericGreaterThan : GenericEqual;
}
int live = 0;
template <typename Table>
PVOID AllocateNode(Table*, CLONG size) {
  ++live;
  return std::malloc(size);
}
template <typename Table>
VOID FreeNode(Table*, PVOID node) {
  --live;
  std::free(node);
}

// Height of a subtree; checks that balances tell the truth.
int CheckAvl(const RTL_BALANCED_LINKS* node) {
  if (node == nullptr) return 0;
  const int left = CheckAvl(node->LeftChild);
  const int right = CheckAvl(node->RightChild);
  EXPECT_EQ(node->Balance, right - left);
  EXPECT_LE(std::abs(node->Balance), 1);
  if (node->LeftChild != nullptr) EXPECT_EQ(node->LeftChild->Parent, node);
  if (node->RightChild != nullptr) EXPECT_EQ(node->RightChild->Parent, node);
  return 1 + (left > right ? left : right);
}

}  // namespace

TEST(RtlTable, AvlAgainstStdMap) {
  RTL_AVL_TABLE table;
  RtlInitializeGenericTableAvl(&table, CompareItems<RTL_AVL_TABLE>, AllocateNode<RTL_AVL_TABLE>,
                               FreeNode<RTL_AVL_TABLE>, nullptr);
  std::map<int, int> expected;
  unsigned seed = 7;
  for (int step = 0; step < 4000; ++step) {
    seed = seed * 1103515245 + 12345;
    Item item = {static_cast<int>(seed >> 16) % 300, step};
    if ((seed & 0x400) != 0) {
      BOOLEAN fresh;
      auto* stored = static_cast<Item*>(RtlInsertElementGenericTableAvl(&table, &item, sizeof item, &fresh));
      ASSERT_EQ(fresh != 0, expected.emplace(item.key, item.value).second);
      ASSERT_EQ(stored->value, expected[item.key]);
    } else {
      ASSERT_EQ(RtlDeleteElementGenericTableAvl(&table, &item) != 0, expected.erase(item.key) == 1);
    }
    ASSERT_EQ(RtlNumberGenericTableElementsAvl(&table), expected.size());
    ASSERT_EQ(CheckAvl(table.BalancedRoot.RightChild), static_cast<int>(table.DepthOfTree));
  }
  auto wanted = expected.begin();
  for (PVOID at = RtlEnumerateGenericTableAvl(&table, TRUE); at != nullptr;
       at = RtlEnumerateGenericTableAvl(&table, FALSE)) {
    ASSERT_EQ(static_cast<Item*>(at)->key, (wanted++)->first);
  }
  EXPECT_EQ(wanted, expected.end());
  EXPECT_EQ(static_cast<Item*>(RtlGetElementGenericTableAvl(&table, 0))->key, expected.begin()->first);
  while (PVOID first = RtlEnumerateGenericTableAvl(&table, TRUE))
    RtlDeleteElementGenericTableAvl(&table, first);
  EXPECT_TRUE(RtlIsGenericTableEmptyAvl(&table));
  EXPECT_EQ(live, 0);
}

TEST(RtlTable, AvlEnumerationSurvivesRemovalOfTheCurrentElement) {
  RTL_AVL_TABLE table;
  RtlInitializeGenericTableAvl(&table, CompareItems<RTL_AVL_TABLE>, AllocateNode<RTL_AVL_TABLE>,
                               FreeNode<RTL_AVL_TABLE>, nullptr);
  for (int key = 0; key < 20; ++key) {
    Item item = {key, 0};
    RtlInsertElementGenericTableAvl(&table, &item, sizeof item, nullptr);
  }
  std::vector<int> seen;
  for (PVOID at = RtlEnumerateGenericTableAvl(&table, TRUE); at != nullptr;
       at = RtlEnumerateGenericTableAvl(&table, FALSE)) {
    seen.push_back(static_cast<Item*>(at)->key);
    RtlDeleteElementGenericTableAvl(&table, at);
  }
  EXPECT_EQ(seen.size(), 20u);
  EXPECT_EQ(live, 0);
}

TEST(RtlTable, SplayAgainstStdSet) {
  RTL_GENERIC_TABLE table;
  RtlInitializeGenericTable(&table, CompareItems<RTL_GENERIC_TABLE>, AllocateNode<RTL_GENERIC_TABLE>,
                            FreeNode<RTL_GENERIC_TABLE>, nullptr);
  std::set<int> expected;
  unsigned seed = 3;
  for (int step = 0; step < 4000; ++step) {
    seed = seed * 1103515245 + 12345;
    Item item = {static_cast<int>(seed >> 16) % 300, step};
    if ((seed & 0x400) != 0) {
      BOOLEAN fresh;
      RtlInsertElementGenericTable(&table, &item, sizeof item, &fresh);
      ASSERT_EQ(fresh != 0, expected.insert(item.key).second);
    } else if ((seed & 0x800) != 0) {
      ASSERT_EQ(RtlLookupElementGenericTable(&table, &item) != nullptr, expected.count(item.key) == 1);
    } else {
      ASSERT_EQ(RtlDeleteElementGenericTable(&table, &item) != 0, expected.erase(item.key) == 1);
    }
    ASSERT_EQ(RtlNumberGenericTableElements(&table), expected.size());
  }
  auto wanted = expected.begin();
  PVOID key = nullptr;
  while (PVOID at = RtlEnumerateGenericTableWithoutSplaying(&table, &key))
    ASSERT_EQ(static_cast<Item*>(at)->key, *wanted++);
  EXPECT_EQ(wanted, expected.end());
  while (PVOID first = RtlEnumerateGenericTable(&table, TRUE)) RtlDeleteElementGenericTable(&table, first);
  EXPECT_TRUE(RtlIsGenericTableEmpty(&table));
  EXPECT_EQ(live, 0);
}

TEST(RtlTable, SplayKeepsTheOrderOfInsertion) {
  RTL_GENERIC_TABLE table;
  RtlInitializeGenericTable(&table, CompareItems<RTL_GENERIC_TABLE>, AllocateNode<RTL_GENERIC_TABLE>,
                            FreeNode<RTL_GENERIC_TABLE>, nullptr);
  for (int key : {5, 1, 9, 3}) {
    Item item = {key, 0};
    RtlInsertElementGenericTable(&table, &item, sizeof item, nullptr);
  }
  EXPECT_EQ(static_cast<Item*>(RtlGetElementGenericTable(&table, 2))->key, 9);
  EXPECT_EQ(RtlGetElementGenericTable(&table, 4), nullptr);
  while (PVOID first = RtlEnumerateGenericTable(&table, TRUE)) RtlDeleteElementGenericTable(&table, first);
}

TEST(RtlTable, SplayLinksWalkBothWays) {
  RTL_SPLAY_LINKS nodes[7] = {};
  // 3 over 1 (0, 2) and 5 (4, 6)
  const int parent[7] = {1, 3, 1, 3, 5, 3, 5};
  for (int i = 0; i < 7; ++i) {
    nodes[i].Parent = &nodes[parent[i]];
    if (i != 3) (i < parent[i] ? nodes[parent[i]].LeftChild : nodes[parent[i]].RightChild) = &nodes[i];
  }
  PRTL_SPLAY_LINKS root = RtlSplay(&nodes[6]);
  EXPECT_EQ(root, &nodes[6]);
  EXPECT_EQ(root->Parent, root);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(RtlRealSuccessor(&nodes[i]), &nodes[i + 1]);
  for (int i = 1; i < 7; ++i) EXPECT_EQ(RtlRealPredecessor(&nodes[i]), &nodes[i - 1]);
  EXPECT_EQ(RtlRealSuccessor(&nodes[6]), nullptr);
  root = RtlDelete(&nodes[3]);
  RtlDeleteNoSplay(&nodes[0], &root);
  EXPECT_EQ(RtlRealSuccessor(&nodes[2]), &nodes[4]);
  EXPECT_EQ(RtlRealPredecessor(&nodes[1]), nullptr);
  EXPECT_EQ(root->Parent, root);
}
