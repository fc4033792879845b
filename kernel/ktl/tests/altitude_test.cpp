#include "ktl/altitude.h"

#include <gtest/gtest.h>

#include <string>

namespace {

bool Is(const std::string& text) {
  return ktl::IsAltitude(text.data(), text.size());
}
int Compare(const std::string& a, const std::string& b) {
  const int order = ktl::CompareAltitudes(a.data(), a.size(), b.data(), b.size());
  EXPECT_EQ(ktl::CompareAltitudes(b.data(), b.size(), a.data(), a.size()), -order) << a << " " << b;
  return order;
}

TEST(KtlAltitude, DigitsWithAtMostOneDot) {
  for (const char* good : {"0", "320000", "320000.5", ".5", "5."}) EXPECT_TRUE(Is(good)) << good;
  for (const char* bad : {"", ".", "1.2.3", "-1", "1e3", " 1"}) EXPECT_FALSE(Is(bad)) << bad;
}

TEST(KtlAltitude, ComparesAsNumbersOfAnyLength) {
  EXPECT_EQ(Compare("320000", "0320000.0"), 0);
  EXPECT_EQ(Compare("1.50", "1.5"), 0);
  EXPECT_EQ(Compare("0", "000.0"), 0);
  EXPECT_EQ(Compare("5.", "5"), 0);
  EXPECT_LT(Compare("99999", "320000"), 0);
  EXPECT_LT(Compare("320000", "320000.000001"), 0);
  EXPECT_LT(Compare("1.09", "1.1"), 0);
  EXPECT_LT(Compare("0.5", "1"), 0);
  EXPECT_LT(Compare("123456789012345678901234567890", "123456789012345678901234567891"), 0);
}

}  // namespace
