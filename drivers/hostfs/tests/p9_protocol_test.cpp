// Golden bytes: the message layouts of the 9P2000.L description.
#include "p9_protocol.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

Bytes Encoded(p9::Encoder& encoder, const uint8_t* buffer) {
  const uint32_t size = encoder.Finish();
  return Bytes(buffer, buffer + size);
}

}  // namespace

TEST(P9Encoder, Version) {
  uint8_t buffer[64];
  p9::Encoder encoder(buffer, sizeof buffer, p9::Type::kTversion, p9::kNoTag);
  encoder.U32(0x10000).String({"9P2000.L", 8});
  EXPECT_EQ(Encoded(encoder, buffer),
            (Bytes{21, 0, 0, 0, 100, 0xFF, 0xFF, 0, 0, 1, 0, 8, 0, '9', 'P', '2', '0', '0', '0', '.', 'L'}));
}

TEST(P9Encoder, WalkOfOneName) {
  uint8_t buffer[64];
  p9::Encoder encoder(buffer, sizeof buffer, p9::Type::kTwalk, 7);
  encoder.U32(1).U32(2).U16(1).String({"Temp", 4});
  EXPECT_EQ(Encoded(encoder, buffer),
            (Bytes{23, 0, 0, 0, 110, 7, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 4, 0, 'T', 'e', 'm', 'p'}));
}

TEST(P9Encoder, OverflowIsRemembered) {
  uint8_t buffer[12];
  p9::Encoder encoder(buffer, sizeof buffer, p9::Type::kTclunk, 1);
  encoder.U32(1).U32(2).U8(3);
  EXPECT_EQ(encoder.Finish(), 0u);
  p9::Encoder fits(buffer, sizeof buffer, p9::Type::kTclunk, 1);
  EXPECT_EQ(fits.U32(1).Finish(), 11u);
  EXPECT_EQ(fits.Reserve(2), nullptr);
}

TEST(P9Reply, FrameIsChecked) {
  const Bytes good = {11, 0, 0, 0, 119, 1, 0, 5, 0, 0, 0};
  p9::Reply reply = p9::ParseReply(good.data(), good.size(), p9::Type::kTwrite, 1);
  ASSERT_TRUE(reply.well_formed);
  EXPECT_EQ(p9::Decoder(reply.body, reply.body_size).U32(), 5u);
  EXPECT_FALSE(p9::ParseReply(good.data(), good.size(), p9::Type::kTread, 1).well_formed);
  EXPECT_FALSE(p9::ParseReply(good.data(), good.size(), p9::Type::kTwrite, 2).well_formed);
  EXPECT_FALSE(p9::ParseReply(good.data(), good.size() - 1, p9::Type::kTwrite, 1).well_formed);
  EXPECT_FALSE(p9::ParseReply(good.data(), 3, p9::Type::kTwrite, 1).well_formed);
  const Bytes tiny = {4, 0, 0, 0, 119, 1, 0};
  EXPECT_FALSE(p9::ParseReply(tiny.data(), tiny.size(), p9::Type::kTwrite, 1).well_formed);
}

TEST(P9Reply, Error) {
  const Bytes error = {11, 0, 0, 0, 7, 1, 0, 2, 0, 0, 0};
  const p9::Reply reply = p9::ParseReply(error.data(), error.size(), p9::Type::kTwalk, 1);
  EXPECT_TRUE(reply.well_formed);
  EXPECT_EQ(reply.error, 2u);
}

TEST(P9Decoder, DirectoryEntries) {
  const Bytes raw = {0x80, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9,  0, 0, 0, 0, 0, 0, 0, 4, 2, 0, 'a', 'b',  //
                     0x00, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 8, 1, 0, 'c'};
  p9::Decoder decoder(raw.data(), raw.size());
  const p9::DirectoryEntry first = decoder.ReadDirectoryEntry();
  EXPECT_EQ(first.qid.type, p9::kQidDirectory);
  EXPECT_EQ(first.offset, 9u);
  EXPECT_EQ(std::string(first.name.bytes, first.name.length), "ab");
  EXPECT_EQ(decoder.ReadDirectoryEntry().type, 8);
  EXPECT_EQ(decoder.left(), 0u);
  EXPECT_TRUE(decoder.valid());
}

TEST(P9Decoder, TruncationGivesZerosAndIsRemembered) {
  const Bytes raw = {0x80, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 4, 200, 0, 'a', 'b'};
  p9::Decoder decoder(raw.data(), raw.size());
  const p9::DirectoryEntry entry = decoder.ReadDirectoryEntry();
  EXPECT_EQ(entry.name.length, 0);
  EXPECT_FALSE(decoder.valid());
  EXPECT_EQ(decoder.U64(), 0u);
}

TEST(P9Decoder, Attributes) {
  uint8_t buffer[256];
  p9::Encoder e(buffer, sizeof buffer, p9::Type::kTgetattr, 1);
  e.U64(0x7FF).U8(0).U32(1).U64(77).U32(0100644).U32(1).U32(2).U64(1).U64(0).U64(1500).U64(4096).U64(8);
  for (uint64_t value = 100; value < 108; ++value) e.U64(value);
  e.U64(0).U64(0);
  const uint32_t size = e.Finish();
  p9::Decoder decoder(buffer + p9::kHeaderSize, size - p9::kHeaderSize);
  const p9::Attributes a = decoder.ReadAttributes();
  EXPECT_TRUE(decoder.valid());
  EXPECT_EQ(a.qid.path, 77u);
  EXPECT_EQ(a.mode, 0100644u);
  EXPECT_EQ(a.size, 1500u);
  EXPECT_EQ(a.blocks, 8u);
  EXPECT_EQ(a.modification.seconds, 102u);
  EXPECT_EQ(a.change.nanoseconds, 105u);
}
