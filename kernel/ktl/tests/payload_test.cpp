#include "ktl/payload.h"

#include <gtest/gtest.h>

#include <string>

namespace {

TEST(KtlPayload, WhatIsWrittenIsRead) {
  uint8_t buffer[64];
  ktl::PayloadWriter writer(buffer, sizeof buffer);
  writer.U32(7);
  writer.String("abcde");
  writer.U64(0x1122334455667788);
  ASSERT_FALSE(writer.Overflowed());
  EXPECT_EQ(writer.Size(), 4u + 4 + 8 + 8);
  ktl::PayloadReader reader(writer.Data(), writer.Size());
  EXPECT_EQ(reader.U32(), 7u);
  const ktl::Text text = reader.String();
  EXPECT_EQ(std::string(text.data, text.length), "abcde");
  EXPECT_EQ(reader.U64(), 0x1122334455667788u);
  EXPECT_EQ(reader.Remaining(), 0u);
  EXPECT_FALSE(reader.Failed());
}

TEST(KtlPayload, ReaderNeverPassesTheEnd) {
  const uint8_t bytes[] = {0xFF, 0xFF, 0xFF, 0xFF, 'a', 'b'};
  ktl::PayloadReader reader(bytes, sizeof bytes);
  EXPECT_EQ(reader.String().length, 0u);
  EXPECT_TRUE(reader.Failed());
  EXPECT_EQ(reader.U32(), 0u);
  EXPECT_EQ(reader.Remaining(), 0u);
}

TEST(KtlPayload, PaddingBelongsToTheString) {
  const uint8_t bytes[] = {1, 0, 0, 0, 'a', 0, 0};  // three of four bytes
  ktl::PayloadReader reader(bytes, sizeof bytes);
  reader.String();
  EXPECT_TRUE(reader.Failed());
}

TEST(KtlPayload, WriterLeavesOutWhatDoesNotFit) {
  uint8_t buffer[10];
  ktl::PayloadWriter writer(buffer, sizeof buffer);
  writer.U64(1);
  writer.String("a");
  EXPECT_TRUE(writer.Overflowed());
  EXPECT_EQ(writer.Size(), 8u);
  writer.U32(1);
  EXPECT_EQ(writer.Size(), 8u);
}

TEST(KtlPayload, PatchesAReservedCount) {
  uint8_t buffer[16];
  ktl::PayloadWriter writer(buffer, sizeof buffer);
  const size_t at = writer.ReserveU32();
  writer.U32(9);
  writer.PatchU32(at, 1);
  ktl::PayloadReader reader(writer.Data(), writer.Size());
  EXPECT_EQ(reader.U32(), 1u);
  EXPECT_EQ(reader.U32(), 9u);
}

}  // namespace
