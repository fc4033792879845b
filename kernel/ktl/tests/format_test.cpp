#include "ktl/format.h"

#include <gtest/gtest.h>

#include <string>

namespace {

template <typename... Arguments>
std::string F(const char* format, Arguments... arguments) {
  char buffer[128];
  const size_t length = ktl::Format(buffer, sizeof buffer, format, arguments...);
  EXPECT_EQ(length, std::string(buffer).size());
  return buffer;
}

struct Counted {
  uint16_t length;
  uint16_t maximum;
  const void* buffer;
};

TEST(KtlFormat, Numbers) {
  EXPECT_EQ(F("%d %i %u", -5, 7, 4000000000u), "-5 7 4000000000");
  EXPECT_EQ(F("%x %X %08x", 0xabcu, 0xabcu, 0x1fu), "abc ABC 0000001f");
  EXPECT_EQ(F("%lld %I64x", -9000000000ll, 0x123456789ull), "-9000000000 123456789");
  EXPECT_EQ(F("%p", reinterpret_cast<void*>(0xFFFF0000ull)), "00000000FFFF0000");
  EXPECT_EQ(F("%lld", static_cast<long long>(1ull << 63)), "-9223372036854775808");
}

TEST(KtlFormat, WidthsAndAlignment) {
  EXPECT_EQ(F("[%5d][%-5d][%05d]", 42, 42, -42), "[   42][42   ][-0042]");
  EXPECT_EQ(F("[%6s][%-6s][%.2s]", "abc", "abc", "abc"), "[   abc][abc   ][ab]");
}

TEST(KtlFormat, CountedStringsNeedNoTerminator) {
  const char16_t wide[] = {u'n', u't', u'\u00e9', u'x'};
  const Counted unicode = {6, 8, wide};
  EXPECT_EQ(F("%wZ", &unicode), "nt\xc3\xa9");
  const Counted ansi = {3, 3, "abcdef"};
  EXPECT_EQ(F("%Z", &ansi), "abc");
  const Counted empty = {0, 0, nullptr};
  EXPECT_EQ(F("%wZ", &empty), "(null)");
}

TEST(KtlFormat, NullStringsAndPercent) {
  EXPECT_EQ(F("%s 100%%", static_cast<const char*>(nullptr)), "(null) 100%");
}

TEST(KtlFormat, CutsAtTheEndOfTheBuffer) {
  char small[5] = {'x', 'x', 'x', 'x', 'x'};
  EXPECT_EQ(ktl::Format(small, sizeof small, "%s", "abcdefgh"), 4u);
  EXPECT_STREQ(small, "abcd");
}

TEST(KtlFormat, UnknownConversionStaysText) {
  EXPECT_EQ(F("a %q %d", 1, 2), "a %q %d");
}

}  // namespace
