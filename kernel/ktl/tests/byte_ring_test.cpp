#include "ktl/byte_ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>

#include "boot/control.h"

namespace {

constexpr uint32_t kSize = 16;

struct KtlByteRing : testing::Test {
  boot::Ring ring{};
  uint8_t data[kSize] = {};
  ktl::RingWriter<boot::Ring> writer{&ring, data, kSize};
  ktl::RingReader<boot::Ring> reader{&ring, data, kSize};

  std::string Read(size_t length) {
    std::string text(length, '\0');
    reader.Peek(0, text.data(), length);
    reader.Consume(length);
    return text;
  }
};

TEST_F(KtlByteRing, WrapsAround) {
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(writer.Write("abcdefg", 7));
    ASSERT_EQ(reader.Available(), 7u);
    EXPECT_EQ(Read(7), "abcdefg");
  }
}

TEST_F(KtlByteRing, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(writer.Write("0123456789", 10));
  EXPECT_FALSE(writer.Write("0123456", 7));
  EXPECT_EQ(writer.Free(), 6u);
  EXPECT_TRUE(writer.Write("012345", 6));
  EXPECT_EQ(writer.Free(), 0u);
}

TEST_F(KtlByteRing, StagedBytesAreInvisibleUntilPublished) {
  writer.Stage(0, "ab", 2);
  writer.Stage(2, "cd", 2);
  EXPECT_EQ(reader.Available(), 0u);
  writer.Publish(4);
  EXPECT_EQ(Read(4), "abcd");
}

TEST_F(KtlByteRing, AnIndexThatCannotBeIsNoticed) {
  ring.tail = 5;  // read more than was ever written
  EXPECT_EQ(writer.Free(), 0u);
  ring.tail = 0;
  ring.head = kSize + 1;
  EXPECT_TRUE(reader.Broken());
}

TEST_F(KtlByteRing, OneWriterOneReader) {
  constexpr int kCount = 20000;
  std::thread producer([this] {
    for (int i = 0; i < kCount;) {
      if (writer.Write(&i, sizeof i)) ++i;
    }
  });
  for (int i = 0; i < kCount;) {
    if (reader.Available() < sizeof(int)) continue;
    int value;
    reader.Peek(0, &value, sizeof value);
    reader.Consume(sizeof value);
    ASSERT_EQ(value, i++);
  }
  producer.join();
}

}  // namespace
