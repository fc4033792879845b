#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "prototypes.h"

TEST(RtlMemory, CopyAllSizesAndAlignments) {
  std::vector<char> from(200), to(300);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<char>(i * 7);
  for (size_t size = 0; size < 100; ++size) {
    for (size_t at = 0; at < 9; ++at) {
      std::fill(to.begin(), to.end(), 'x');
      ASSERT_EQ(memcpy(&to[at], &from[at / 2], size), &to[at]);
      for (size_t i = 0; i < to.size(); ++i) {
        const bool inside = i >= at && i < at + size;
        ASSERT_EQ(to[i], inside ? from[at / 2 + i - at] : 'x');
      }
    }
  }
}

TEST(RtlMemory, MoveOverlappingBothWays) {
  for (int shift = -40; shift <= 40; ++shift) {
    std::string text(160, ' ');
    for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('!' + i % 90);
    std::string expected = text;
    const int target = 50 + shift;
    expected.replace(static_cast<size_t>(target), 60, text.substr(50, 60));
    memmove(&text[static_cast<size_t>(target)], &text[50], 60);
    ASSERT_EQ(text, expected) << shift;
  }
}

TEST(RtlMemory, FillAllSizes) {
  for (size_t size = 0; size < 80; ++size) {
    std::string text(100, 'a');
    memset(&text[3], 'b', size);
    ASSERT_EQ(text, std::string(3, 'a') + std::string(size, 'b') + std::string(97 - size, 'a'));
  }
}

TEST(RtlMemory, CompareAsUnsignedBytes) {
  EXPECT_EQ(memcmp("abc", "abc", 3), 0);
  EXPECT_LT(memcmp("abc", "abd", 3), 0);
  EXPECT_GT(memcmp("\xFF", "\x01", 1), 0);
  EXPECT_EQ(memcmp("abcdefgh1", "abcdefgh2", 8), 0);
}

TEST(RtlMemory, FindsAByte) {
  const char text[] = "hello";
  EXPECT_EQ(memchr(text, 'l', 5), text + 2);
  EXPECT_EQ(memchr(text, 'l', 2), nullptr);
}

TEST(RtlMemory, CommonPrefix) {
  EXPECT_EQ(RtlCompareMemory("0123456789", "0123456x89", 10), 7u);
  EXPECT_EQ(RtlCompareMemory("0123456789", "0123456789", 10), 10u);
}

TEST(RtlMemory, CommonPattern) {
  ULONG units[4] = {5, 5, 6, 5};
  EXPECT_EQ(RtlCompareMemoryUlong(units, sizeof units, 5), 8u);
  EXPECT_EQ(RtlCompareMemoryUlong(units, 7, 5), 4u);
}

TEST(RtlMemory, PrefetchChangesNothing) {
  char block[200] = "text";
  RtlPrefetchMemoryNonTemporal(block, sizeof block);
  EXPECT_STREQ(block, "text");
}

TEST(RtlNarrowString, Length) {
  EXPECT_EQ(strlen("abc"), 3u);
  EXPECT_EQ(strnlen("abc", 2), 2u);
  EXPECT_EQ(strnlen("abc", 9), 3u);
}
TEST(RtlNarrowString, Compare) {
  EXPECT_EQ(strcmp("abc", "abc"), 0);
  EXPECT_LT(strcmp("ab", "abc"), 0);
  EXPECT_GT(strcmp("\x80", "a"), 0);
  EXPECT_EQ(strncmp("abcx", "abcy", 3), 0);
}
TEST(RtlNarrowString, CompareIgnoringCase) {
  EXPECT_EQ(_stricmp("Hello", "hELLO"), 0);
  EXPECT_NE(_stricmp("Hello", "hELL"), 0);
  EXPECT_EQ(_strnicmp("HelloX", "helloY", 5), 0);
}
TEST(RtlNarrowString, Copy) {
  char buffer[8] = "zzzzzzz";
  EXPECT_STREQ(strncpy(buffer, "ab", 5), "ab");
  EXPECT_EQ(buffer[4], 0);
  EXPECT_EQ(buffer[5], 'z');
  EXPECT_STREQ(strcpy(buffer, "hello"), "hello");
}
TEST(RtlNarrowString, Append) {
  char buffer[16] = "ab";
  EXPECT_STREQ(strcat(buffer, "cd"), "abcd");
  EXPECT_STREQ(strncat(buffer, "efgh", 2), "abcdef");
}
TEST(RtlNarrowString, Find) {
  const char* text = "a path/to/file";
  EXPECT_STREQ(strchr(text, '/'), "/to/file");
  EXPECT_STREQ(strrchr(text, '/'), "/file");
  EXPECT_EQ(strchr(text, 'z'), nullptr);
  EXPECT_EQ(*strchr(text, 0), 0);
  EXPECT_STREQ(strstr(text, "to"), "to/file");
  EXPECT_EQ(strstr(text, "tx"), nullptr);
}
TEST(RtlNarrowString, Span) {
  EXPECT_EQ(strspn("aabbc", "ab"), 4u);
}
TEST(RtlNarrowString, Case) {
  char text[] = "MiXed1";
  EXPECT_STREQ(_strupr(text), "MIXED1");
  EXPECT_STREQ(_strlwr(text), "mixed1");
}
TEST(RtlNarrowString, Reverse) {
  char text[] = "abcd";
  EXPECT_STREQ(_strrev(text), "dcba");
}
TEST(RtlNarrowString, Set) {
  char text[] = "abcd";
  EXPECT_STREQ(_strnset(text, '*', 2), "**cd");
}
TEST(RtlNarrowString, Safe) {
  char buffer[4] = "x";
  EXPECT_EQ(strcpy_s(buffer, 4, "abc"), 0);
  EXPECT_STREQ(buffer, "abc");
  EXPECT_EQ(strcpy_s(buffer, 4, "abcd"), 34);
  EXPECT_STREQ(buffer, "");
  EXPECT_EQ(strncpy_s(buffer, 4, "abcdef", 2), 0);
  EXPECT_STREQ(buffer, "ab");
  EXPECT_EQ(strcat_s(buffer, 4, "cd"), 34);
  EXPECT_EQ(strcpy_s(nullptr, 4, "a"), 22);
}
TEST(RtlNarrowString, SafeCopiesThatAreCutOff) {
  constexpr size_t kTruncate = static_cast<size_t>(-1);
  char buffer[4] = "x";
  EXPECT_EQ(strncpy_s(buffer, 4, "abcdef", kTruncate), 80);
  EXPECT_STREQ(buffer, "abc");
  EXPECT_EQ(strncpy_s(buffer, 4, "abc", kTruncate), 0);
  EXPECT_STREQ(buffer, "abc");
  EXPECT_EQ(strncpy_s(buffer, 4, "a", 0), 0);
  EXPECT_STREQ(buffer, "");
  EXPECT_EQ(strncpy_s(nullptr, 0, nullptr, 0), 0);
  EXPECT_EQ(strcpy_s(buffer, 4, "ab"), 0);
  EXPECT_EQ(strncat_s(buffer, 4, "cdef", kTruncate), 80);
  EXPECT_STREQ(buffer, "abc");
  EXPECT_EQ(strncat_s(buffer, 4, nullptr, 1), 22);
  EXPECT_STREQ(buffer, "");
  char full[2] = {'a', 'b'};  // no terminator: the caller's error, not a lack of room
  EXPECT_EQ(strcat_s(full, 2, "c"), 22);
  EXPECT_EQ(full[0], 0);
}

namespace {
bool Same(const WCHAR* a, const WCHAR* b) {
  return a != nullptr && wcscmp(a, b) == 0;
}
}  // namespace

TEST(RtlWideString, Length) {
  EXPECT_EQ(wcslen(L"abc"), 3u);
  EXPECT_EQ(wcsnlen(L"abc", 2), 2u);
}
TEST(RtlWideString, Compare) {
  EXPECT_EQ(wcscmp(L"abc", L"abc"), 0);
  EXPECT_LT(wcscmp(L"ab", L"abc"), 0);
  EXPECT_EQ(wcsncmp(L"abcx", L"abcy", 3), 0);
}
TEST(RtlWideString, CompareIgnoringCase) {
  EXPECT_EQ(_wcsicmp(L"StraAe", L"sTRaAE"), 0);
  EXPECT_NE(_wcsicmp(L"\u00C4", L"\u00E4"), 0);  // the C locale folds A to Z alone
  EXPECT_NE(_wcsicmp(L"@", L"`"), 0);
  EXPECT_NE(_wcsicmp(L"[", L"{"), 0);
  EXPECT_EQ(_wcsnicmp(L"\\SystemRoot\\x", L"\\systemroot\\y", 12), 0);
  EXPECT_LT(_wcsicmp(L"a", L"b"), 0);
}
TEST(RtlWideString, Copy) {
  WCHAR buffer[8] = L"zzzzzzz";
  EXPECT_TRUE(Same(wcsncpy(buffer, L"ab", 5), L"ab"));
  EXPECT_EQ(buffer[5], 'z');
  EXPECT_TRUE(Same(wcscpy(buffer, L"hello"), L"hello"));
}
TEST(RtlWideString, Append) {
  WCHAR buffer[16] = L"ab";
  EXPECT_TRUE(Same(wcscat(buffer, L"cd"), L"abcd"));
  EXPECT_TRUE(Same(wcsncat(buffer, L"efgh", 2), L"abcdef"));
}
TEST(RtlWideString, Find) {
  const WCHAR* text = L"C:\\Temp\\file.txt";
  EXPECT_TRUE(Same(wcschr(text, '\\'), L"\\Temp\\file.txt"));
  EXPECT_TRUE(Same(wcsrchr(text, '\\'), L"\\file.txt"));
  EXPECT_TRUE(Same(wcsstr(text, L"file"), L"file.txt"));
  EXPECT_EQ(wcsstr(text, L"none"), nullptr);
}
TEST(RtlWideString, Span) {
  EXPECT_EQ(wcsspn(L"aabbc", L"ab"), 4u);
  EXPECT_EQ(wcscspn(L"aabbc", L"cb"), 2u);
}
TEST(RtlWideString, Case) {
  WCHAR text[] = L"\u00E9tZ[`{z";
  EXPECT_TRUE(Same(_wcsupr(text), L"\u00E9TZ[`{Z"));
  EXPECT_TRUE(Same(_wcslwr(text), L"\u00E9tz[`{z"));
}
TEST(RtlWideString, Reverse) {
  WCHAR text[] = L"abc";
  EXPECT_TRUE(Same(_wcsrev(text), L"cba"));
}
TEST(RtlWideString, Set) {
  WCHAR text[] = L"abc";
  EXPECT_TRUE(Same(_wcsnset(text, '-', 9), L"---"));
}
TEST(RtlWideString, Safe) {
  WCHAR buffer[4];
  EXPECT_EQ(wcscpy_s(buffer, 4, L"abc"), 0);
  EXPECT_EQ(wcscat_s(buffer, 4, L"d"), 34);
  EXPECT_EQ(buffer[0], 0);
  EXPECT_EQ(wcsncpy_s(buffer, 4, L"abcdef", 3), 0);
  EXPECT_TRUE(Same(buffer, L"abc"));
  EXPECT_EQ(wcsncpy_s(buffer, 4, L"abcdef", 4), 34);
  EXPECT_EQ(wcsncpy_s(buffer, 4, L"abcdef", static_cast<size_t>(-1)), 80);
  EXPECT_TRUE(Same(buffer, L"abc"));
}
