// Oracles: Microsoft's documentation of the format specification, and output of msvcrt as documented there.
#include <gtest/gtest.h>

#include <string>

#include "prototypes.h"

namespace {

std::string Narrow(const char* format, ...) {
  char buffer[256];
  va_list arguments;
  va_start(arguments, format);
  const int length = _vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return length < 0 ? "(-1)" : std::string(buffer, static_cast<size_t>(length));
}

// The wide text, as Latin-1.
std::string Wide(const WCHAR* format, ...) {
  WCHAR buffer[256];
  va_list arguments;
  va_start(arguments, format);
  const int length = _vsnwprintf(buffer, 256, format, arguments);
  va_end(arguments);
  std::string text;
  for (int i = 0; i < length; ++i) text += static_cast<char>(buffer[i]);
  return text;
}

}  // namespace

TEST(RtlFormat, Integers) {
  EXPECT_EQ(Narrow("%d %i %u", -5, 7, 4000000000u), "-5 7 4000000000");
  EXPECT_EQ(Narrow("%x %X %o", 0xBEEF, 0xBEEF, 8), "beef BEEF 10");
  EXPECT_EQ(Narrow("%#x %#X %#o %#x", 255, 255, 8, 0), "0xff 0XFF 010 0");
  EXPECT_EQ(Narrow("%ld %lu", 5, 6u), "5 6");  // long has 32 bits
  EXPECT_EQ(Narrow("%I64x %I64d %lld %llu", 0x123456789ABCull, -1ll, -2ll, 3ull), "123456789abc -1 -2 3");
  EXPECT_EQ(Narrow("%I32x %Ix", 0x89ABCDEFu, static_cast<size_t>(0x1122334455ull)), "89abcdef 1122334455");
  EXPECT_EQ(Narrow("%hd %hu %hhx", 70000, 70000, 0x1FF), "4464 4464 ff");
  EXPECT_EQ(Narrow("%zu", static_cast<size_t>(1) << 40), "1099511627776");
}

TEST(RtlFormat, WidthPrecisionFlags) {
  EXPECT_EQ(Narrow("[%5d][%-5d][%05d][%+d][% d]", 42, 42, 42, 42, 42), "[   42][42   ][00042][+42][ 42]");
  EXPECT_EQ(Narrow("[%.3d][%8.3d][%-8.3d][%.0d]", 5, 5, 5, 0), "[005][     005][005     ][]");
  EXPECT_EQ(Narrow("[%*d][%-*d][%.*d]", 4, 1, 4, 1, 3, 1), "[   1][1   ][001]");
  EXPECT_EQ(Narrow("[%*d]", -4, 1), "[1   ]");
  EXPECT_EQ(Narrow("[%08.3d]", 5), "[     005]");
  EXPECT_EQ(Narrow("[%016I64x][%-6x][%+05d]", 0xABCull, 0xF, 7), "[0000000000000abc][f     ][+0007]");
}

TEST(RtlFormat, Pointers) {
  EXPECT_EQ(Narrow("%p", reinterpret_cast<void*>(0xFFFFF80212345678ull)), "FFFFF80212345678");
  EXPECT_EQ(Wide(L"%p", nullptr), "0000000000000000");
}

TEST(RtlFormat, StringsInNarrowText) {
  EXPECT_EQ(Narrow("%s|%10s|%-5s|%.2s", "abc", "abc", "abc", "abc"), "abc|       abc|abc  |ab");
  EXPECT_EQ(Narrow("%S|%ws|%ls|%hs", L"wide", L"w", L"l", "narrow"), "wide|w|l|narrow");
  EXPECT_EQ(Narrow("%c%C%lc", 'a', L'b', L'c'), "abc");
  EXPECT_EQ(Narrow("%s %S", nullptr, nullptr), "(null) (null)");
}

TEST(RtlFormat, StringsInWideText) {
  EXPECT_EQ(Wide(L"%s|%S|%hs|%ws|%6.2s|", L"wide", "narrow", "h", L"w", L"abcdef"),
            "wide|narrow|h|w|    ab|");
  EXPECT_EQ(Wide(L"%c%C%hc", L'x', 'y', 'z'), "xyz");
  EXPECT_EQ(Wide(L"\\DosDevices\\C:\\Temp\\file_%d.txt", 999), "\\DosDevices\\C:\\Temp\\file_999.txt");
}

TEST(RtlFormat, CountedStrings) {
  WCHAR wide[] = L"counted, not terminated";
  UNICODE_STRING unicode = {14, 14, wide};
  char narrow[] = "ansi text";
  ANSI_STRING ansi = {4, 4, narrow};
  EXPECT_EQ(Narrow("[%wZ][%Z][%.3wZ]", &unicode, &ansi, &unicode), "[counted][ansi][cou]");
  EXPECT_EQ(Wide(L"[%wZ][%Z][%10wZ]", &unicode, &ansi, &unicode), "[counted][ansi][   counted]");
  EXPECT_EQ(Narrow("%wZ", nullptr), "(null)");
  unicode.Buffer = nullptr;
  EXPECT_EQ(Narrow("%wZ", &unicode), "(null)");
}

TEST(RtlFormat, CodePage) {
  EXPECT_EQ(Narrow("%ws", L"\u20AC\u4E2D"), "\x80?");
  WCHAR buffer[4];
  _snwprintf(buffer, 4, L"%S", "\x80");
  EXPECT_EQ(buffer[0], 0x20AC);
}

TEST(RtlFormat, PercentAndUnknown) {
  EXPECT_EQ(Narrow("100%% %y|"), "100% y|");
  EXPECT_EQ(Narrow("end %"), "end ");
}

TEST(RtlFormat, FloatingPointIsCopiedAndItsArgumentSkipped) {
  EXPECT_EQ(Narrow("%.2f %d", 0ull, 5), "%.2f 5");
}

TEST(RtlFormat, TruncationAsMicrosoftDoes) {
  char buffer[6] = "#####";
  EXPECT_EQ(_snprintf(buffer, 5, "%s", "12345"), 5);  // fills it: no terminator
  EXPECT_EQ(std::string(buffer, 6), std::string("12345\0", 6));
  buffer[5] = '#';
  EXPECT_EQ(_snprintf(buffer, 5, "%s", "123456"), -1);
  EXPECT_EQ(std::string(buffer, 6), "12345#");
  EXPECT_EQ(_snprintf(buffer, 5, "%s", "12"), 2);
  EXPECT_STREQ(buffer, "12");
  EXPECT_EQ(_snprintf(nullptr, 0, "%s", "123456"), 6);
  EXPECT_EQ(sprintf(buffer, "%d", 1234), 4);
}

TEST(RtlFormat, SafeVariantsTerminate) {
  char buffer[5];
  EXPECT_EQ(sprintf_s(buffer, 5, "%s", "1234"), 4);
  EXPECT_EQ(sprintf_s(buffer, 5, "%s", "12345"), -1);
  EXPECT_STREQ(buffer, "");
  EXPECT_EQ(_snprintf_s(buffer, 5, static_cast<size_t>(-1), "%s", "12345678"), -1);
  EXPECT_STREQ(buffer, "1234");
  EXPECT_EQ(_snprintf_s(buffer, 5, 2, "%s", "12345678"), -1);
  EXPECT_STREQ(buffer, "12");
  WCHAR wide[4];
  EXPECT_EQ(swprintf_s(wide, 4, L"%d", 123), 3);
  EXPECT_EQ(swprintf_s(wide, 4, L"%d", 1234), -1);
}
