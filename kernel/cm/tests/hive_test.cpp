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

TEST(Hive, ClassDescriptorAndLinkAreKept) {
  Tree tree;
  Key* key = CreateKey(tree.root, T(u"Link"), false);
  key->is_link = true;
  ASSERT_EQ(SetClass(key, T(u"Class")), HiveStatus::kOk);
  const uint8_t descriptor[] = {1, 0, 4, 0x80};
  ASSERT_EQ(SetSecurity(key, descriptor, sizeof descriptor), HiveStatus::kOk);
  const auto bytes = Bytes(tree.root);
  Tree read;
  ASSERT_EQ(ReadHive(bytes.data(), bytes.size(), read.root), HiveStatus::kOk);
  Key* again = FindChild(read.root, T(u"link"));
  ASSERT_NE(again, nullptr);
  EXPECT_TRUE(again->is_link);
  EXPECT_EQ(CompareNames(again->Class(), T(u"class")), 0);
  ASSERT_EQ(again->security_length, sizeof descriptor);
  EXPECT_EQ(again->security[3], 0x80);
  EXPECT_EQ(CountsOf(read.root).longest_class, 10u);
  ASSERT_EQ(SetClass(again, {}), HiveStatus::kOk);
  EXPECT_EQ(again->class_name, nullptr);
}

namespace {

void Put(std::vector<uint8_t>& bytes, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t Fnv(const uint8_t* data, size_t size) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 0x100000001b3;
  return hash;
}

}  // namespace

TEST(Hive, VersionOneIsRead) {
  std::vector<uint8_t> payload;
  const auto key = [&](char16_t name, uint32_t subkeys) {
    Put(payload, 2, 2);
    Put(payload, name, 2);
    Put(payload, 7, 8);  // last write
    Put(payload, 0, 4);  // values
    Put(payload, subkeys, 4);
  };
  key(u'S', 1);
  key(u'A', 0);
  std::vector<uint8_t> file = {'B', 'C', 'H', 'I', 'V', 'E', '1', '\n'};
  Put(file, 1, 8);
  Put(file, payload.size(), 8);
  Put(file, Fnv(payload.data(), payload.size()), 8);
  Put(file, Fnv(file.data(), file.size()), 8);
  file.insert(file.end(), payload.begin(), payload.end());
  Tree read;
  ASSERT_EQ(ReadHive(file.data(), file.size(), read.root), HiveStatus::kOk);
  Key* child = FindChild(read.root, T(u"a"));
  ASSERT_NE(child, nullptr);
  EXPECT_EQ(child->last_write, 7u);
  EXPECT_FALSE(child->is_link);
}

}  // namespace cm
