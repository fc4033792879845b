#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "prototypes.h"

namespace {

UNICODE_STRING U(const WCHAR* text) {
  UNICODE_STRING string;
  RtlInitUnicodeString(&string, text);
  return string;
}

std::u16string Text(const UNICODE_STRING& string) {
  std::u16string text;
  for (int i = 0; i < string.Length / 2; ++i) text += static_cast<char16_t>(string.Buffer[i]);
  return text;
}

}  // namespace

TEST(RtlUnicodeCase, SimpleMappings) {
  EXPECT_EQ(RtlUpcaseUnicodeChar('a'), 'A');
  EXPECT_EQ(RtlUpcaseUnicodeChar('['), '[');
  EXPECT_EQ(RtlUpcaseUnicodeChar(0xE4), 0xC4);
  EXPECT_EQ(RtlUpcaseUnicodeChar(0xFF), 0x178);
  EXPECT_EQ(RtlUpcaseUnicodeChar(0xDF), 0xDF);  // sharp s has no single upper-case letter
  EXPECT_EQ(RtlUpcaseUnicodeChar(0x3B1), 0x391);
  EXPECT_EQ(RtlUpcaseUnicodeChar(0x43F), 0x41F);
  EXPECT_EQ(RtlUpcaseUnicodeChar(0x101), 0x100);
  EXPECT_EQ(RtlUpcaseUnicodeChar(0x100), 0x100);
  EXPECT_EQ(RtlDowncaseUnicodeChar(0x41F), 0x43F);
  EXPECT_EQ(RtlDowncaseUnicodeChar('Z'), 'z');
  EXPECT_EQ(RtlUpcaseUnicodeChar(0xD800), 0xD800);
}

TEST(RtlUnicodeCase, UpcaseIsIdempotent) {
  for (unsigned unit = 0; unit < 0x10000; ++unit) {
    const WCHAR upper = RtlUpcaseUnicodeChar(static_cast<WCHAR>(unit));
    ASSERT_EQ(RtlUpcaseUnicodeChar(upper), upper) << std::hex << unit;
  }
}

TEST(RtlUnicodeString, InitDescribesTheText) {
  UNICODE_STRING string = U(L"abc");
  EXPECT_EQ(string.Length, 6);
  EXPECT_EQ(string.MaximumLength, 8);
  RtlInitUnicodeString(&string, nullptr);
  EXPECT_EQ(string.Length, 0);
  EXPECT_EQ(string.MaximumLength, 0);
  STRING narrow;
  RtlInitString(&narrow, "abc");
  EXPECT_EQ(narrow.Length, 3);
  EXPECT_EQ(narrow.MaximumLength, 4);
  std::vector<WCHAR> huge(40000, L'x');  // libstdc++'s wstring has the host's wchar_t
  huge.back() = 0;
  EXPECT_EQ(RtlInitUnicodeStringEx(&string, huge.data()), STATUS_NAME_TOO_LONG);
}

TEST(RtlUnicodeString, CompareOrdersAndIgnoresCase) {
  UNICODE_STRING a = U(L"File"), b = U(L"fILE"), c = U(L"Filf"), d = U(L"Fil");
  EXPECT_NE(RtlCompareUnicodeString(&a, &b, FALSE), 0);
  EXPECT_EQ(RtlCompareUnicodeString(&a, &b, TRUE), 0);
  EXPECT_LT(RtlCompareUnicodeString(&a, &c, TRUE), 0);
  EXPECT_GT(RtlCompareUnicodeString(&a, &d, TRUE), 0);
  EXPECT_TRUE(RtlEqualUnicodeString(&a, &b, TRUE));
  EXPECT_FALSE(RtlEqualUnicodeString(&a, &d, TRUE));
}

TEST(RtlUnicodeString, Prefix) {
  UNICODE_STRING whole = U(L"\\Device\\X"), part = U(L"\\dEVICE"), other = U(L"\\Driver");
  EXPECT_TRUE(RtlPrefixUnicodeString(&part, &whole, TRUE));
  EXPECT_FALSE(RtlPrefixUnicodeString(&part, &whole, FALSE));
  EXPECT_FALSE(RtlPrefixUnicodeString(&other, &whole, TRUE));
  EXPECT_FALSE(RtlPrefixUnicodeString(&whole, &part, TRUE));
}

TEST(RtlUnicodeString, CopyCutsAndTerminates) {
  WCHAR buffer[5] = L"####";
  UNICODE_STRING to = {0, 8, buffer}, from = U(L"abcdef");
  RtlCopyUnicodeString(&to, &from);
  EXPECT_EQ(Text(to), u"abcd");
  from = U(L"ab");
  RtlCopyUnicodeString(&to, &from);
  EXPECT_EQ(Text(to), u"ab");
  EXPECT_EQ(buffer[2], 0);
  RtlCopyUnicodeString(&to, nullptr);
  EXPECT_EQ(to.Length, 0);
}

TEST(RtlUnicodeString, AppendKeepsOnOverflow) {
  WCHAR buffer[6] = {};
  UNICODE_STRING to = {0, 10, buffer};
  EXPECT_EQ(RtlAppendUnicodeToString(&to, L"abc"), STATUS_SUCCESS);
  UNICODE_STRING more = U(L"de");
  EXPECT_EQ(RtlAppendUnicodeStringToString(&to, &more), STATUS_SUCCESS);
  EXPECT_EQ(RtlAppendUnicodeToString(&to, L"f"), STATUS_BUFFER_TOO_SMALL);
  EXPECT_EQ(Text(to), u"abcde");
}

TEST(RtlUnicodeString, AnsiCounterparts) {
  STRING a, b;
  RtlInitString(&a, "File");
  RtlInitString(&b, "fILE");
  EXPECT_TRUE(RtlEqualString(&a, &b, TRUE));
  EXPECT_FALSE(RtlEqualString(&a, &b, FALSE));
  char buffer[6] = {};
  STRING to = {0, 6, buffer};
  RtlCopyString(&to, &a);
  EXPECT_EQ(RtlAppendAsciizToString(&to, "xy"), STATUS_SUCCESS);
  EXPECT_EQ(RtlAppendStringToString(&to, &b), STATUS_BUFFER_TOO_SMALL);
  EXPECT_EQ(std::string(buffer, to.Length), "Filexy");
}

TEST(RtlConversion, AnsiRoundTrip) {
  STRING ansi;
  RtlInitString(&ansi, "a\x80\xE9");
  UNICODE_STRING wide;
  ASSERT_EQ(RtlAnsiStringToUnicodeString(&wide, &ansi, TRUE), STATUS_SUCCESS);
  EXPECT_EQ(Text(wide), u"a\u20AC\u00E9");
  EXPECT_EQ(wide.MaximumLength, 8);
  STRING back;
  ASSERT_EQ(RtlUnicodeStringToAnsiString(&back, &wide, TRUE), STATUS_SUCCESS);
  EXPECT_STREQ(back.Buffer, "a\x80\xE9");
  char small[2];
  STRING tight = {0, 2, small};
  EXPECT_EQ(RtlUnicodeStringToAnsiString(&tight, &wide, FALSE), STATUS_BUFFER_OVERFLOW);
  STRING upper;
  ASSERT_EQ(RtlUpcaseUnicodeStringToAnsiString(&upper, &wide, TRUE), STATUS_SUCCESS);
  EXPECT_STREQ(upper.Buffer, "A\x80\xC9");
  RtlFreeUnicodeString(&wide);
  RtlFreeAnsiString(&back);
  RtlFreeAnsiString(&upper);
  EXPECT_EQ(rtl_host_allocations, 0);
}

// Oracle: the Unicode Consortium's bestfit1252.txt.
TEST(RtlConversion, AnsiBestFit) {
  const struct {
    WCHAR unit;
    unsigned char byte;
  } fits[] = {{0x0100, 'A'}, {0x0110, 0xD0}, {0x0111, 'd'},  {0x0138, '?'}, {0x01E0, '?'},  {0x01F0, 'j'},
              {0x02BA, '"'}, {0x03A9, 'O'},  {0x03B2, 0xDF}, {0x2010, '-'}, {0x221E, '8'},  {0x2588, 0xA6},
              {0x3000, ' '}, {0xFF21, 'A'},  {0xFF5E, '~'},  {0xFF5F, '?'}, {0x20AC, 0x80}, {0x0081, 0x81},
              {0x0080, '?'}, {0x4E2D, '?'},  {0x00FF, 0xFF}, {0x221A, 'v'}, {0x2122, 0x99}, {0x1E00, '?'}};
  for (const auto& fit : fits) {
    char byte = 0;
    EXPECT_EQ(RtlUnicodeToMultiByteN(&byte, 1, nullptr, &fit.unit, 2), STATUS_SUCCESS);
    EXPECT_EQ(static_cast<unsigned char>(byte), fit.byte) << std::hex << static_cast<unsigned>(fit.unit);
  }
}

// Every byte of both code pages returns from its character.
TEST(RtlConversion, MultiByteRoundTrip) {
  for (unsigned i = 0; i < 256; ++i) {
    const char byte = static_cast<char>(i);
    WCHAR wide = 0;
    char back = 0;
    RtlMultiByteToUnicodeN(&wide, 2, nullptr, &byte, 1);
    RtlUnicodeToMultiByteN(&back, 1, nullptr, &wide, 2);
    EXPECT_EQ(back, byte);
    RtlOemToUnicodeN(&wide, 2, nullptr, &byte, 1);
    RtlUnicodeToOemN(&back, 1, nullptr, &wide, 2);
    EXPECT_EQ(back, byte);
  }
}

// Oracle: IBM's code page 437.
TEST(RtlConversion, OemStrings) {
  STRING oem;
  RtlInitString(&oem, "\x8E\x9C\xDB");
  UNICODE_STRING wide;
  ASSERT_EQ(RtlOemStringToUnicodeString(&wide, &oem, TRUE), STATUS_SUCCESS);
  EXPECT_EQ(Text(wide), u"\u00C4\u00A3\u2588");
  EXPECT_EQ(wide.MaximumLength, 8);
  STRING back;
  ASSERT_EQ(RtlUnicodeStringToOemString(&back, &wide, TRUE), STATUS_SUCCESS);
  EXPECT_STREQ(back.Buffer, "\x8E\x9C\xDB");
  RtlFreeOemString(&back);
  RtlFreeUnicodeString(&wide);
  ASSERT_EQ(RtlOemStringToCountedUnicodeString(&wide, &oem, TRUE), STATUS_SUCCESS);
  EXPECT_EQ(wide.MaximumLength, 6);
  EXPECT_EQ(RtlxUnicodeStringToOemSize(&wide), 4u);
  EXPECT_EQ(RtlxOemStringToUnicodeSize(&oem), 8u);
  char bytes[3] = {};
  STRING counted = {0, 3, bytes};
  EXPECT_EQ(RtlUnicodeStringToCountedOemString(&counted, &wide, FALSE), STATUS_SUCCESS);
  EXPECT_EQ(std::string(bytes, 3), "\x8E\x9C\xDB");
  wide.Buffer[1] = 0x4E2D;
  EXPECT_EQ(RtlUnicodeStringToCountedOemString(&counted, &wide, FALSE), STATUS_UNMAPPABLE_CHARACTER);
  wide.Buffer[1] = '?';
  wide.Buffer[0] = 0x00E4;
  EXPECT_EQ(RtlUpcaseUnicodeStringToCountedOemString(&counted, &wide, FALSE), STATUS_SUCCESS);
  EXPECT_EQ(std::string(bytes, 3), "\x8E?\xDB");
  RtlFreeUnicodeString(&wide);
  EXPECT_EQ(rtl_host_allocations, 0);
}

TEST(RtlConversion, CodePagesHaveOneByteACharacter) {
  EXPECT_EQ(NlsAnsiCodePage, 1252);
  EXPECT_EQ(NlsOemCodePage, 437);
  EXPECT_FALSE(NlsMbCodePageTag);
  EXPECT_FALSE(NlsMbOemCodePageTag);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(NlsOemLeadByteInfo[i], 0);
}

TEST(RtlConversion, CaseOfStrings) {
  UNICODE_STRING from = U(L"MiX\u00E4"), to;
  ASSERT_EQ(RtlUpcaseUnicodeString(&to, &from, TRUE), STATUS_SUCCESS);
  EXPECT_EQ(Text(to), u"MIX\u00C4");
  ASSERT_EQ(RtlDowncaseUnicodeString(&to, &to, FALSE), STATUS_SUCCESS);
  EXPECT_EQ(Text(to), u"mix\u00E4");
  RtlFreeUnicodeString(&to);
  EXPECT_EQ(RtlUpperChar('q'), 'Q');
}

TEST(RtlConversion, CreateAndDuplicate) {
  UNICODE_STRING made, copy, empty = {};
  ASSERT_TRUE(RtlCreateUnicodeString(&made, L"abc"));
  EXPECT_EQ(made.MaximumLength, 8);
  ASSERT_EQ(RtlDuplicateUnicodeString(1, &made, &copy), STATUS_SUCCESS);
  EXPECT_EQ(Text(copy), u"abc");
  EXPECT_EQ(copy.MaximumLength, 8);
  RtlFreeUnicodeString(&copy);
  ASSERT_EQ(RtlDuplicateUnicodeString(0, &empty, &copy), STATUS_SUCCESS);
  EXPECT_EQ(copy.Buffer, nullptr);
  ASSERT_EQ(RtlDuplicateUnicodeString(3, &empty, &copy), STATUS_SUCCESS);
  EXPECT_NE(copy.Buffer, nullptr);
  EXPECT_EQ(RtlDuplicateUnicodeString(2, &made, &empty), STATUS_INVALID_PARAMETER);
  RtlFreeUnicodeString(&copy);
  RtlFreeUnicodeString(&made);
  EXPECT_EQ(made.Buffer, nullptr);
  EXPECT_EQ(rtl_host_allocations, 0);
}

TEST(RtlConversion, MultiByteParts) {
  char bytes[3];
  ULONG used;
  EXPECT_EQ(RtlUnicodeToMultiByteN(bytes, 3, &used, L"abcd", 8), STATUS_BUFFER_OVERFLOW);
  EXPECT_EQ(used, 3u);
  WCHAR wide[4];
  EXPECT_EQ(RtlMultiByteToUnicodeN(wide, 8, &used, "ab", 2), STATUS_SUCCESS);
  EXPECT_EQ(used, 4u);
  EXPECT_EQ(wide[1], 'b');
}

TEST(RtlConversion, Utf8BothWays) {
  const WCHAR text[] = L"a\u00E9\u20AC\xD83D\xDE00";  // a, e acute, euro, a smiling face
  char bytes[16];
  ULONG used;
  ASSERT_EQ(RtlUnicodeToUTF8N(bytes, sizeof bytes, &used, text, 10), STATUS_SUCCESS);
  EXPECT_EQ(std::string(bytes, used), "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  WCHAR back[8];
  ULONG wide_bytes;
  ASSERT_EQ(RtlUTF8ToUnicodeN(back, sizeof back, &wide_bytes, bytes, used), STATUS_SUCCESS);
  ASSERT_EQ(wide_bytes, 10u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(back[i], text[i]);
  EXPECT_EQ(RtlUnicodeToUTF8N(nullptr, 0, &used, text, 10), STATUS_SUCCESS);
  EXPECT_EQ(used, 10u);
  EXPECT_EQ(RtlUnicodeToUTF8N(bytes, 2, &used, text, 10), STATUS_BUFFER_TOO_SMALL);
}

TEST(RtlConversion, Utf8IllFormed) {
  WCHAR out[8];
  ULONG bytes;
  for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xF8", "\xE2\x82", "\xF4\x90\x80\x80"}) {
    EXPECT_EQ(RtlUTF8ToUnicodeN(out, sizeof out, &bytes, bad, static_cast<ULONG>(std::string(bad).size())),
              STATUS_SOME_NOT_MAPPED);
    EXPECT_EQ(out[0], 0xFFFD);
  }
  char narrow[8];
  const WCHAR lone[] = L"\xD800x";
  EXPECT_EQ(RtlUnicodeToUTF8N(narrow, 8, &bytes, lone, 4), STATUS_SOME_NOT_MAPPED);
  EXPECT_EQ(std::string(narrow, bytes), "\xEF\xBF\xBDx");
}

TEST(RtlConversion, Hash) {
  UNICODE_STRING a = U(L"Temp"), b = U(L"tEMP");
  ULONG x, y;
  ASSERT_EQ(RtlHashUnicodeString(&a, TRUE, 0, &x), STATUS_SUCCESS);
  ASSERT_EQ(RtlHashUnicodeString(&b, TRUE, 1, &y), STATUS_SUCCESS);
  EXPECT_EQ(x, y);
  ASSERT_EQ(RtlHashUnicodeString(&b, FALSE, 1, &y), STATUS_SUCCESS);
  EXPECT_NE(x, y);
  EXPECT_EQ(RtlHashUnicodeString(&a, TRUE, 2, &x), STATUS_INVALID_PARAMETER);
}

TEST(RtlConversion, Validate) {
  UNICODE_STRING good = U(L"x"), odd = {3, 4, good.Buffer}, none = {0, 2, nullptr};
  EXPECT_EQ(RtlValidateUnicodeString(0, &good), STATUS_SUCCESS);
  EXPECT_EQ(RtlValidateUnicodeString(0, &odd), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(RtlValidateUnicodeString(0, &none), STATUS_INVALID_PARAMETER);
}
