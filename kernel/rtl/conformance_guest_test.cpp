// The run-time library through the ABI, row by row. Oracle: the WDK page of each routine; the rows were
// worked out by hand, or are checked against another way to compute the same.
#include "nt_test.h"
#include "random.h"

#undef RtlZeroMemory
#undef RtlMoveMemory
#undef RtlFillMemory

namespace {

UNICODE_STRING Wide(PCWSTR text) {
  UNICODE_STRING string;
  RtlInitUnicodeString(&string, text);
  return string;
}

bool Is(const UNICODE_STRING& string, PCWSTR text) {
  const UNICODE_STRING wanted = Wide(text);
  return RtlEqualUnicodeString(&string, &wanted, FALSE) != FALSE;
}

}  // namespace

NT_TEST(RtlConformance, CompareUnicodeStrings) {
  const struct {
    PCWSTR a, b;
    int order, order_ignoring_case;  // the sign
  } rows[] = {{L"", L"", 0, 0},
              {L"a", L"", 1, 1},
              {L"", L"a", -1, -1},
              {L"a", L"a", 0, 0},
              {L"a", L"A", 1, 0},
              {L"A", L"a", -1, 0},
              {L"abc", L"abd", -1, -1},
              {L"ABC", L"abd", -1, -1},
              {L"abd", L"ABC", 1, 1},
              {L"a", L"ab", -1, -1},
              {L"ab", L"a", 1, 1},
              {L"Z", L"a", -1, 1},
              {L"\u00E4", L"\u00C4", 1, 0},
              {L"\u0451", L"\u0401", 1, 0},
              {L"_", L"a", -1, 1},
              {L"1", L"A", -1, -1}};
  for (const auto& row : rows) {
    const UNICODE_STRING a = Wide(row.a), b = Wide(row.b);
    const LONG exact = RtlCompareUnicodeString(&a, &b, FALSE), folded = RtlCompareUnicodeString(&a, &b, TRUE);
    NT_EXPECT_EQ((exact > 0) - (exact < 0), row.order);
    NT_EXPECT_EQ((folded > 0) - (folded < 0), row.order_ignoring_case);
    NT_EXPECT_EQ(RtlEqualUnicodeString(&a, &b, FALSE) != FALSE, row.order == 0);
    NT_EXPECT_EQ(RtlEqualUnicodeString(&a, &b, TRUE) != FALSE, row.order_ignoring_case == 0);
    NT_EXPECT_EQ(RtlPrefixUnicodeString(&a, &b, TRUE) != FALSE,
                 a.Length <= b.Length && RtlCompareMemory(a.Buffer, b.Buffer, a.Length) == a.Length
                     ? true
                     : row.order_ignoring_case == 0);
  }
}

NT_TEST(RtlConformance, IntegersFromAndToText) {
  const struct {
    PCWSTR text;
    ULONG base;
    ULONG value;
    NTSTATUS status;
  } rows[] = {{L"0", 0, 0, STATUS_SUCCESS},
              {L"17", 0, 17, STATUS_SUCCESS},
              {L"-17", 0, (ULONG)-17, STATUS_SUCCESS},
              {L"+17", 0, 17, STATUS_SUCCESS},
              {L"0x1F", 0, 31, STATUS_SUCCESS},
              {L"0o17", 0, 15, STATUS_SUCCESS},
              {L"0b101", 0, 5, STATUS_SUCCESS},
              {L"1F", 16, 31, STATUS_SUCCESS},
              {L"17", 8, 15, STATUS_SUCCESS},
              {L"101", 2, 5, STATUS_SUCCESS},
              {L"4294967295", 10, 4294967295u, STATUS_SUCCESS},
              {L"12abc", 10, 12, STATUS_SUCCESS},
              {L"   9", 10, 9, STATUS_SUCCESS},
              {L"9", 8, 0, STATUS_SUCCESS},
              {L"5", 7, 0, STATUS_INVALID_PARAMETER}};
  for (const auto& row : rows) {
    const UNICODE_STRING text = Wide(row.text);
    ULONG value = 0;
    NT_EXPECT_EQ(RtlUnicodeStringToInteger(&text, row.base, &value), row.status);
    if (row.status == STATUS_SUCCESS) NT_EXPECT_EQ(value, row.value);
  }
  nt_test::Random random(1);
  for (int i = 0; i < 60; ++i) {
    const auto number = static_cast<ULONG>(random.Next() >> (random.Below(32) + 32));
    const ULONG bases[] = {2, 8, 10, 16};
    for (const ULONG base : bases) {
      WCHAR buffer[40];
      UNICODE_STRING text = {0, sizeof(buffer), buffer};
      NT_EXPECT_SUCCESS(RtlIntegerToUnicodeString(number, base, &text));
      ULONG back = ~number;
      NT_EXPECT_SUCCESS(RtlUnicodeStringToInteger(&text, base, &back));
      NT_EXPECT_EQ(back, number);
    }
  }
}

NT_TEST(RtlConformance, BitmapsAgreeWithBooleans) {
  constexpr ULONG kBits = 200;
  ULONG storage[(kBits + 31) / 32] = {};
  bool model[kBits] = {};
  RTL_BITMAP bitmap;
  RtlInitializeBitMap(&bitmap, storage, kBits);
  nt_test::Random random(2);
  for (int round = 0; round < 120; ++round) {
    const ULONG start = random.Below(kBits), count = random.Below(kBits - start) + (start < kBits ? 1 : 0);
    const ULONG end = start + count <= kBits ? start + count : kBits;
    const bool set = random.OneIn(2);
    set ? RtlSetBits(&bitmap, start, end - start) : RtlClearBits(&bitmap, start, end - start);
    for (ULONG i = start; i < end; ++i) model[i] = set;
    ULONG ones = 0, run = 0, longest = 0;
    for (ULONG i = 0; i < kBits; ++i) {
      ones += model[i] ? 1 : 0;
      run = model[i] ? 0 : run + 1;
      if (run > longest) longest = run;
    }
    NT_EXPECT_EQ(RtlNumberOfSetBits(&bitmap), ones);
    NT_EXPECT_EQ(RtlNumberOfClearBits(&bitmap), kBits - ones);
    NT_EXPECT_EQ(RtlFindClearBits(&bitmap, longest + 1, 0), ~0u);
    const ULONG found = longest != 0 ? RtlFindClearBits(&bitmap, longest, random.Below(kBits)) : 0;
    if (longest != 0) {
      NT_EXPECT_TRUE(found + longest <= kBits);
      NT_EXPECT_TRUE(RtlAreBitsClear(&bitmap, found, longest));
    }
    const ULONG probe = random.Below(kBits);
    NT_EXPECT_EQ(RtlCheckBit(&bitmap, probe) != 0, model[probe]);
    NT_EXPECT_EQ(RtlAreBitsSet(&bitmap, start, end - start) != FALSE, set);
  }
}

// Days are counted by a loop over the calendar, times by division.
NT_TEST(RtlConformance, TimesAndTheirFields) {
  LONGLONG days = 0;
  for (CSHORT year = 1601; year < 2200; ++year) {
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    const CSHORT lengths[] = {31, static_cast<CSHORT>(leap ? 29 : 28), 31, 30, 31, 30, 31, 31, 30, 31, 30,
                              31};
    const CSHORT month = static_cast<CSHORT>(year % 12 + 1), day = static_cast<CSHORT>(lengths[month - 1]);
    LONGLONG before = days;
    for (CSHORT m = 1; m < month; ++m) before += lengths[m - 1];
    LARGE_INTEGER time;
    time.QuadPart = ((before + day - 1) * 86400 + 3600 * 23 + 59 * 60 + 58) * 10'000'000 + 7'890'000;
    TIME_FIELDS fields = {};
    RtlTimeToTimeFields(&time, &fields);
    const bool same = fields.Year == year && fields.Month == month && fields.Day == day &&
                      fields.Hour == 23 && fields.Minute == 59 && fields.Second == 58 &&
                      fields.Milliseconds == 789;
    NT_EXPECT_TRUE(same);
    NT_EXPECT_EQ(fields.Weekday, (before + day - 1 + 1) % 7);  // 1601-01-01 was a Monday
    LARGE_INTEGER back = {};
    NT_EXPECT_TRUE(RtlTimeFieldsToTime(&fields, &back));
    NT_EXPECT_EQ(back.QuadPart, time.QuadPart);
    days += leap ? 366 : 365;
  }
  TIME_FIELDS wrong = {2025, 2, 29, 0, 0, 0, 0, 0};
  LARGE_INTEGER time;
  NT_EXPECT_TRUE(!RtlTimeFieldsToTime(&wrong, &time));
  wrong = {2024, 13, 1, 0, 0, 0, 0, 0};
  NT_EXPECT_TRUE(!RtlTimeFieldsToTime(&wrong, &time));
}

NT_TEST(RtlConformance, AppendAndCopy) {
  for (USHORT room = 0; room < 12; ++room) {
    WCHAR buffer[12] = {};
    UNICODE_STRING to = {0, static_cast<USHORT>(room * sizeof(WCHAR)), buffer};
    const UNICODE_STRING from = Wide(L"abcd");
    RtlCopyUnicodeString(&to, &from);
    NT_EXPECT_EQ(to.Length, (room < 4 ? room : 4) * sizeof(WCHAR));
    const USHORT before = to.Length;
    const NTSTATUS status = RtlAppendUnicodeToString(&to, L"efg");
    const bool fits = before + 6 <= to.MaximumLength;
    NT_EXPECT_EQ(status, fits ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL);
    NT_EXPECT_EQ(to.Length, fits ? before + 6 : before);
    if (room >= 7) NT_EXPECT_TRUE(Is(to, L"abcdefg"));
  }
}

NT_TEST(RtlConformance, MemoryRoutines) {
  static UCHAR a[80], b[80];
  nt_test::Random random(3);
  for (int round = 0; round < 80; ++round) {
    for (ULONG i = 0; i < sizeof(a); ++i) a[i] = b[i] = static_cast<UCHAR>(random.Next());
    const ULONG place = random.Below(sizeof(a));
    b[place] = static_cast<UCHAR>(b[place] + 1);
    NT_EXPECT_EQ(RtlCompareMemory(a, b, sizeof(a)), place);
    NT_EXPECT_EQ(RtlCompareMemory(a, b, place), place);
    const ULONG from = random.Below(40), to = random.Below(40), count = random.Below(40);
    UCHAR expected[80];
    for (ULONG i = 0; i < sizeof(a); ++i) expected[i] = a[i];
    for (ULONG i = 0; i < count; ++i) expected[to + i] = a[from + i];
    memmove(a + to, a + from, count);
    NT_EXPECT_EQ(RtlCompareMemory(a, expected, sizeof(a)), sizeof(a));
  }
}

NT_TEST(RtlConformance, GuidsAsText) {
  const struct {
    PCWSTR text;
    NTSTATUS status;
  } rows[] = {{L"{01234567-89ab-cdef-0123-456789abcdef}", STATUS_SUCCESS},
              {L"{01234567-89AB-CDEF-0123-456789ABCDEF}", STATUS_SUCCESS},
              {L"01234567-89ab-cdef-0123-456789abcdef", STATUS_INVALID_PARAMETER},
              {L"{01234567-89ab-cdef-0123-456789abcdeg}", STATUS_INVALID_PARAMETER},
              {L"{01234567-89ab-cdef-0123-456789abcde}", STATUS_INVALID_PARAMETER},
              {L"{0123456789ab-cdef-0123-456789abcdef-}", STATUS_INVALID_PARAMETER},
              {L"", STATUS_INVALID_PARAMETER}};
  for (const auto& row : rows) {
    UNICODE_STRING text = Wide(row.text);
    GUID guid = {};
    NT_EXPECT_EQ(RtlGUIDFromString(&text, &guid), row.status);
    if (row.status != STATUS_SUCCESS) continue;
    NT_EXPECT_EQ(guid.Data1, 0x01234567u);
    NT_EXPECT_EQ(guid.Data4[7], 0xEF);
    UNICODE_STRING back;
    NT_ASSERT_SUCCESS(RtlStringFromGUID(guid, &back));
    NT_EXPECT_TRUE(RtlEqualUnicodeString(&back, &text, TRUE));
    RtlFreeUnicodeString(&back);
  }
}

NT_TEST(RtlConformance, CharactersOfTheCodePages) {
  for (unsigned i = 0; i < 256; ++i) {
    char byte = static_cast<char>(i), back = 0;
    WCHAR unit = 0;
    NT_EXPECT_SUCCESS(RtlMultiByteToUnicodeN(&unit, 2, nullptr, &byte, 1));
    NT_EXPECT_SUCCESS(RtlUnicodeToMultiByteN(&back, 1, nullptr, &unit, 2));
    NT_EXPECT_EQ(back, byte);
  }
  for (WCHAR unit = 1; unit < 0x250; ++unit) {
    const WCHAR lower = RtlDowncaseUnicodeChar(unit);
    NT_EXPECT_EQ(RtlDowncaseUnicodeChar(lower), lower);
    NT_EXPECT_EQ(RtlUpcaseUnicodeChar(RtlUpcaseUnicodeChar(unit)), RtlUpcaseUnicodeChar(unit));
  }
}
