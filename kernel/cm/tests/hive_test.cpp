// The registry's tree and its file format. The oracle is the format's description in hive.h.
#include "hive.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace cm {

void* HiveAllocate(size_t bytes) {
  return std::malloc(bytes != 0 ? bytes : 1);
}
void HiveFree(void* memory) {
  std::free(memory);
}
char16_t HiveUpcase(char16_t c) {
  return c >= u'a' && c <= u'z' ? static_cast<char16_t>(c - 32) : c;
}

namespace {

Text T(const std::u16string& text) {
  return {text.data(), static_cast<uint16_t>(text.size())};
}

struct Tree {
  Key* root = CreateKey(nullptr, T(u"SYSTEM"), false);
  ~Tree() { DestroyTree(root); }
};

std::vector<uint8_t> Bytes(const Key* root) {
  std::vector<uint8_t> bytes(WriteHive(root, nullptr, 0));
  EXPECT_EQ(WriteHive(root, bytes.data(), bytes.size()), bytes.size());
  return bytes;
}

void Fill(Key* root) {
  Key* services = CreateKey(root, T(u"Services"), false);
  Key* driver = CreateKey(services, T(u"TestDrv"), false);
  const uint32_t start = 3;
  ASSERT_EQ(SetValue(driver, T(u"Start"), 4, &start, sizeof start), HiveStatus::kOk);
  ASSERT_EQ(SetValue(driver, T(u"Empty"), 1, nullptr, 0), HiveStatus::kOk);
  CreateKey(services, T(u"Gone"), true);
}

}  // namespace

TEST(Hive, ChildrenAreSortedAndFoundWhateverTheirCase) {
  Tree tree;
  CreateKey(tree.root, T(u"beta"), false);
  CreateKey(tree.root, T(u"Alpha"), false);
  CreateKey(tree.root, T(u"GAMMA"), false);
  EXPECT_EQ(ChildAt(tree.root, 0)->name[0], u'A');
  EXPECT_EQ(ChildAt(tree.root, 2)->name[0], u'G');
  EXPECT_NE(FindChild(tree.root, T(u"BETA")), nullptr);
  EXPECT_EQ(FindChild(tree.root, T(u"delta")), nullptr);
  EXPECT_EQ(ChildAt(tree.root, 3), nullptr);
}

TEST(Hive, WhatIsWrittenIsReadAndVolatileKeysAreNot) {
  Tree tree;
  Fill(tree.root);
  const auto bytes = Bytes(tree.root);
  Tree read;
  ASSERT_EQ(ReadHive(bytes.data(), bytes.size(), read.root), HiveStatus::kOk);
  Key* services = FindChild(read.root, T(u"services"));
  ASSERT_NE(services, nullptr);
  EXPECT_EQ(FindChild(services, T(u"Gone")), nullptr);
  Value* start = FindValue(FindChild(services, T(u"TestDrv")), T(u"START"));
  ASSERT_NE(start, nullptr);
  EXPECT_EQ(start->data_length, 4u);
  EXPECT_EQ(start->data[0], 3);
}

TEST(Hive, AHiveIsMergedIntoWhatIsThere) {
  Tree tree;
  Fill(tree.root);
  const auto bytes = Bytes(tree.root);
  Tree other;
  Key* services = CreateKey(other.root, T(u"SERVICES"), false);
  CreateKey(services, T(u"hostfs"), true);
  ASSERT_EQ(ReadHive(bytes.data(), bytes.size(), other.root), HiveStatus::kOk);
  EXPECT_NE(FindChild(services, T(u"hostfs")), nullptr);
  EXPECT_NE(FindChild(services, T(u"TestDrv")), nullptr);
}

TEST(Hive, EveryDamagedByteAndEveryTruncationIsRefused) {
  Tree tree;
  Fill(tree.root);
  const auto bytes = Bytes(tree.root);
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] ^= 0x41;
    Tree read;
    EXPECT_EQ(ReadHive(damaged.data(), damaged.size(), read.root), HiveStatus::kCorrupt) << i;
    EXPECT_EQ(read.root->first_child, nullptr);
    EXPECT_EQ(ReadHive(bytes.data(), i, read.root), HiveStatus::kCorrupt) << i;
  }
}

TEST(Hive, ADeletedKeyStaysForWhoHasItOpen) {
  Tree tree;
  Key* key = CreateKey(tree.root, T(u"A"), false);
  key->references = 1;
  RemoveKey(key);
  EXPECT_TRUE(key->deleted);
  EXPECT_EQ(FindChild(tree.root, T(u"A")), nullptr);
  DestroyKey(key);
}

}  // namespace cm
