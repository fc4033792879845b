// Names through the ABI. Oracle: the WDK pages of FsRtl*, [MS-FSA] 2.1.4.4; not yet run on a real NT.
#include "ddi_fs.h"
#include "nt_test.h"

namespace {

UNICODE_STRING Wide(const WCHAR* text) {
  UNICODE_STRING string;
  RtlInitUnicodeString(&string, text);
  return string;
}
ANSI_STRING Narrow(const char* text) {
  ANSI_STRING string;
  RtlInitAnsiString(&string, text);
  return string;
}

bool In(const WCHAR* expression, const WCHAR* name, BOOLEAN ignore_case = FALSE) {
  UNICODE_STRING e = Wide(expression);
  UNICODE_STRING n = Wide(name);
  return FsRtlIsNameInExpression(&e, &n, ignore_case, nullptr) != FALSE;
}
bool InDbcs(const char* expression, const char* name) {
  ANSI_STRING e = Narrow(expression);
  ANSI_STRING n = Narrow(name);
  return FsRtlIsDbcsInExpression(&e, &n) != FALSE;
}
bool Fat(const char* name, BOOLEAN wild = FALSE, BOOLEAN path = FALSE, BOOLEAN leading = FALSE) {
  return FsRtlIsFatDbcsLegal(Narrow(name), wild, path, leading) != FALSE;
}
bool Equals(const UNICODE_STRING& string, const WCHAR* text) {
  UNICODE_STRING other = Wide(text);
  return RtlEqualUnicodeString(const_cast<PUNICODE_STRING>(&string), &other, FALSE) != FALSE;
}

}  // namespace

NT_TEST(FsRtlNames, StarsAndQuestionMarks) {
  NT_EXPECT_TRUE(In(L"*", L"anything.at.all"));
  NT_EXPECT_TRUE(In(L"*.*", L"a.b"));
  NT_EXPECT_TRUE(!In(L"*.*", L"ab"));
  NT_EXPECT_TRUE(In(L"*.txt", L"a.b.txt"));
  NT_EXPECT_TRUE(!In(L"*.txt", L"a.b.txtx"));
  NT_EXPECT_TRUE(In(L"a*b*c", L"aXbYbZc"));
  NT_EXPECT_TRUE(!In(L"a*b*c", L"aXbYbZ"));
  NT_EXPECT_TRUE(In(L"a**c", L"ac"));
  NT_EXPECT_TRUE(In(L"?", L"x"));
  NT_EXPECT_TRUE(!In(L"?", L"xy"));
  NT_EXPECT_TRUE(!In(L"a?", L"a"));
  NT_EXPECT_TRUE(In(L"?.?", L"x.y"));
  NT_EXPECT_TRUE(In(L"exact.name", L"exact.name"));
  NT_EXPECT_TRUE(!In(L"exact.name", L"exact.nam"));
}

NT_TEST(FsRtlNames, EmptyNamesMatchEmptyExpressionsOnly) {
  NT_EXPECT_TRUE(In(L"", L""));
  NT_EXPECT_TRUE(!In(L"", L"a"));
  NT_EXPECT_TRUE(!In(L"*", L""));
}

NT_TEST(FsRtlNames, DosStarStopsAtTheLastDot) {
  NT_EXPECT_TRUE(In(L"<", L"noextension"));
  NT_EXPECT_TRUE(!In(L"<", L"name.ext"));
  NT_EXPECT_TRUE(In(L"<.ext", L"name.ext"));
  NT_EXPECT_TRUE(In(L"<.ext", L"na.me.ext"));
  NT_EXPECT_TRUE(In(L"<.<", L"na.me.ext"));
  NT_EXPECT_TRUE(!In(L"<.me<", L"na.me.ext"));
  NT_EXPECT_TRUE(In(L"<.me.<", L"na.me.ext"));
}

NT_TEST(FsRtlNames, DosQmAndDosDot) {
  NT_EXPECT_TRUE(In(L">>>", L"ab"));
  NT_EXPECT_TRUE(In(L">>>", L"abc"));
  NT_EXPECT_TRUE(!In(L">>>", L"abcd"));
  NT_EXPECT_TRUE(In(L">>>.txt", L"a.txt"));
  NT_EXPECT_TRUE(!In(L">>>.txt", L"abcd.txt"));
  NT_EXPECT_TRUE(In(L"a\"", L"a"));
  NT_EXPECT_TRUE(In(L"a\"", L"a."));
  NT_EXPECT_TRUE(In(L"a\"b", L"a.b"));
  NT_EXPECT_TRUE(!In(L"a\"b", L"ab"));
  NT_EXPECT_TRUE(In(L"<\"*", L"name.ext"));
  NT_EXPECT_TRUE(In(L"<\"*", L"name"));
}

NT_TEST(FsRtlNames, CaseIsFoldedByTheTable) {
  NT_EXPECT_TRUE(!In(L"NAME", L"name"));
  NT_EXPECT_TRUE(In(L"NAME", L"name", TRUE));
  NT_EXPECT_TRUE(In(L"*.TXT", L"read.me.Txt", TRUE));
  NT_EXPECT_TRUE(In(L"\x00C4", L"\x00E4", TRUE));
  auto* table = static_cast<WCHAR*>(ExAllocatePoolWithTag(PagedPool, 0x20000, 'tseT'));
  NT_ASSERT_TRUE(table != nullptr);
  for (ULONG c = 0; c < 0x10000; ++c) table[c] = static_cast<WCHAR>(c);
  table[L'x'] = L'Q';
  UNICODE_STRING expression = Wide(L"Q*");
  UNICODE_STRING name = Wide(L"xyz");
  UNICODE_STRING same = Wide(L"Qyz");
  NT_EXPECT_TRUE(FsRtlIsNameInExpression(&expression, &name, TRUE, table));
  NT_EXPECT_TRUE(FsRtlAreNamesEqual(&name, &same, TRUE, table));
  NT_EXPECT_TRUE(!FsRtlAreNamesEqual(&name, &same, FALSE, table));
  ExFreePoolWithTag(table, 'tseT');
}

NT_TEST(FsRtlNames, LongExpressions) {
  static WCHAR text[1001];
  for (ULONG i = 0; i < 1000; ++i) text[i] = (i & 1) ? L'*' : L'a';
  static WCHAR name[501];
  for (ULONG i = 0; i < 500; ++i) name[i] = L'a';
  NT_EXPECT_TRUE(In(text, name));
  name[499] = L'b';
  NT_EXPECT_TRUE(!In(text, name));  // the expression wants 500 a
}

NT_TEST(FsRtlNames, DbcsExpressions) {
  NT_EXPECT_TRUE(InDbcs("*.TXT", "A.TXT"));
  NT_EXPECT_TRUE(!InDbcs("*.TXT", "a.txt"));
  NT_EXPECT_TRUE(InDbcs("A?C", "ABC"));
  NT_EXPECT_TRUE(InDbcs("<", "ABC"));
  NT_EXPECT_TRUE(!InDbcs("<", "A.C"));
}

NT_TEST(FsRtlNames, AreNamesEqual) {
  UNICODE_STRING a = Wide(L"Name");
  UNICODE_STRING b = Wide(L"nAME");
  UNICODE_STRING c = Wide(L"Name2");
  NT_EXPECT_TRUE(FsRtlAreNamesEqual(&a, &b, TRUE, nullptr));
  NT_EXPECT_TRUE(!FsRtlAreNamesEqual(&a, &b, FALSE, nullptr));
  NT_EXPECT_TRUE(!FsRtlAreNamesEqual(&a, &c, TRUE, nullptr));
}

NT_TEST(FsRtlNames, WildCardsAreFound) {
  const WCHAR* const wilds[] = {L"a*", L"?", L"x<y", L">", L"\"z"};
  for (const WCHAR* text : wilds) {
    UNICODE_STRING name = Wide(text);
    NT_EXPECT_TRUE(FsRtlDoesNameContainWildCards(&name));
  }
  UNICODE_STRING plain = Wide(L"plain.name");
  NT_EXPECT_TRUE(!FsRtlDoesNameContainWildCards(&plain));
  ANSI_STRING wild = Narrow("a*b");
  ANSI_STRING tame = Narrow("ab");
  NT_EXPECT_TRUE(FsRtlDoesDbcsContainWildCards(&wild));
  NT_EXPECT_TRUE(!FsRtlDoesDbcsContainWildCards(&tame));
}

NT_TEST(FsRtlNames, DissectTakesOneComponent) {
  UNICODE_STRING first, rest;
  FsRtlDissectName(Wide(L"\\one\\two\\three"), &first, &rest);
  NT_EXPECT_TRUE(Equals(first, L"one"));
  NT_EXPECT_TRUE(Equals(rest, L"two\\three"));
  FsRtlDissectName(rest, &first, &rest);
  NT_EXPECT_TRUE(Equals(first, L"two"));
  NT_EXPECT_TRUE(Equals(rest, L"three"));
  FsRtlDissectName(rest, &first, &rest);
  NT_EXPECT_TRUE(Equals(first, L"three"));
  NT_EXPECT_EQ(rest.Length, 0);
  FsRtlDissectName(Wide(L"\\"), &first, &rest);
  NT_EXPECT_EQ(first.Length, 0);
  NT_EXPECT_EQ(rest.Length, 0);
  FsRtlDissectName(Wide(L""), &first, &rest);
  NT_EXPECT_EQ(first.Length, 0);
  ANSI_STRING ansi_first, ansi_rest;
  FsRtlDissectDbcs(Narrow("A\\B"), &ansi_first, &ansi_rest);
  NT_EXPECT_EQ(ansi_first.Length, 1);
  NT_EXPECT_EQ(ansi_first.Buffer[0], 'A');
  NT_EXPECT_EQ(ansi_rest.Length, 1);
  NT_EXPECT_EQ(ansi_rest.Buffer[0], 'B');
}

NT_TEST(FsRtlNames, LegalCharacters) {
  NT_EXPECT_TRUE(FsRtlIsAnsiCharacterWild('*'));
  NT_EXPECT_TRUE(FsRtlIsAnsiCharacterWild('<'));
  NT_EXPECT_TRUE(!FsRtlIsAnsiCharacterWild('a'));
  NT_EXPECT_TRUE(FsRtlIsAnsiCharacterLegalFat('A', FALSE));
  NT_EXPECT_TRUE(!FsRtlIsAnsiCharacterLegalFat('+', FALSE));
  NT_EXPECT_TRUE(FsRtlIsAnsiCharacterLegalNtfs('+', FALSE));
  NT_EXPECT_TRUE(!FsRtlIsAnsiCharacterLegalNtfs('?', FALSE));
  NT_EXPECT_TRUE(FsRtlIsAnsiCharacterLegalNtfs('?', TRUE));
  NT_EXPECT_TRUE(!FsRtlIsAnsiCharacterLegalNtfs('\\', TRUE));
  NT_EXPECT_TRUE(!FsRtlIsAnsiCharacterLegalNtfs(0x1F, TRUE));
  NT_EXPECT_TRUE(FsRtlIsUnicodeCharacterWild(L'?'));
  NT_EXPECT_TRUE(!FsRtlIsUnicodeCharacterWild(0x4E00));
}

NT_TEST(FsRtlNames, FatNames) {
  NT_EXPECT_TRUE(Fat("NAME.EXT"));
  NT_EXPECT_TRUE(Fat("EIGHTCHR"));
  NT_EXPECT_TRUE(!Fat("NINECHARS"));
  NT_EXPECT_TRUE(!Fat("NAME.LONG"));
  NT_EXPECT_TRUE(!Fat("A.B.C"));
  NT_EXPECT_TRUE(!Fat("A+B"));
  NT_EXPECT_TRUE(!Fat("NAME."));
  NT_EXPECT_TRUE(!Fat(""));
  NT_EXPECT_TRUE(Fat("."));
  NT_EXPECT_TRUE(Fat(".."));
  NT_EXPECT_TRUE(!Fat("..."));
  NT_EXPECT_TRUE(!Fat("NA*E"));
  NT_EXPECT_TRUE(Fat("NA*E", TRUE));
  NT_EXPECT_TRUE(!Fat("A\\B"));
  NT_EXPECT_TRUE(Fat("A\\B", FALSE, TRUE));
  NT_EXPECT_TRUE(!Fat("\\A\\B", FALSE, TRUE));
  NT_EXPECT_TRUE(Fat("\\A\\B", FALSE, TRUE, TRUE));
  NT_EXPECT_TRUE(FsRtlIsHpfsDbcsLegal(Narrow("a long+name.with.dots"), FALSE, FALSE, FALSE));
  NT_EXPECT_TRUE(!FsRtlIsHpfsDbcsLegal(Narrow("dot at the end."), FALSE, FALSE, FALSE));
  NT_EXPECT_TRUE(!FsRtlIsHpfsDbcsLegal(Narrow("a:b"), FALSE, FALSE, FALSE));
}
