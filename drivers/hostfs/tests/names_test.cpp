// Oracle for patterns: FsRtlIsNameInExpression's documentation.
#include "names.h"

#include <gtest/gtest.h>

#include <string>

namespace {

char16_t Fold(char16_t c) {
  return c >= 'a' && c <= 'z' ? static_cast<char16_t>(c - 32) : c;
}

bool Match(const std::u16string& pattern, const std::u16string& name) {
  return names::Matches(pattern.data(), pattern.size(), name.data(), name.size(), Fold);
}

bool Valid(const std::u16string& name) {
  return names::IsValidComponent(name.data(), name.size());
}

}  // namespace

TEST(HostFsNames, Components) {
  EXPECT_TRUE(Valid(u"file_1.txt"));
  EXPECT_TRUE(Valid(u"...x"));
  EXPECT_TRUE(Valid(std::u16string(255, u'x')));
  EXPECT_FALSE(Valid(std::u16string(256, u'x')));
  for (const char16_t* bad :
       {u"", u".", u"..", u"a/b", u"a\\b", u"a:b", u"a*", u"a?", u"\"", u"<", u">", u"|", u"a\x01"}) {
    EXPECT_FALSE(Valid(bad));
  }
}

TEST(HostFsNames, Stars) {
  EXPECT_TRUE(Match(u"*", u"anything"));
  EXPECT_TRUE(Match(u"*.txt", u"a.b.TXT"));
  EXPECT_FALSE(Match(u"*.txt", u"a.txt2"));
  EXPECT_TRUE(Match(u"file_*", u"FILE_12.txt"));
  EXPECT_TRUE(Match(u"a*b*c", u"aXXbYYbZc"));
  EXPECT_FALSE(Match(u"a*b*c", u"aXXbYYbZ"));
  EXPECT_TRUE(Match(u"**", u""));
}

TEST(HostFsNames, QuestionMarksAndPlainNames) {
  EXPECT_TRUE(Match(u"f?le", u"file"));
  EXPECT_FALSE(Match(u"f?le", u"fle"));
  EXPECT_FALSE(Match(u"file?", u"file"));
  EXPECT_TRUE(Match(u"Name", u"nAME"));
  EXPECT_FALSE(Match(u"Name", u"names"));
  EXPECT_FALSE(Match(u"", u"x"));
}

TEST(HostFsNames, DosWildcards) {
  EXPECT_TRUE(Match(u"<.txt", u"a.b.txt"));
  EXPECT_TRUE(Match(u"file>>>", u"file1"));
  EXPECT_TRUE(Match(u"file>.txt", u"file.txt"));
  EXPECT_FALSE(Match(u"file>", u"file12"));
  EXPECT_TRUE(Match(u"file\"", u"file"));
  EXPECT_TRUE(Match(u"file\"txt", u"file.txt"));
  EXPECT_FALSE(Match(u"file\"x", u"filex"));
}

TEST(HostFsNames, ManyStarsStayFast) {
  std::u16string pattern;
  for (int i = 0; i < 40; ++i) pattern += u"*a";
  EXPECT_FALSE(Match(pattern + u"b", std::u16string(255, u'a')));
}
