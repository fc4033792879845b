#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "prototypes.h"

TEST(RtlInteger, ToUnicodeString) {
  WCHAR buffer[40];
  UNICODE_STRING string = {0, sizeof buffer, buffer};
  auto text = [&string] { return std::string(string.Buffer, string.Buffer + string.Length / 2); };
  EXPECT_EQ(RtlIntegerToUnicodeString(4294967295u, 0, &string), STATUS_SUCCESS);
  EXPECT_EQ(text(), "4294967295");
  EXPECT_EQ(RtlIntegerToUnicodeString(0xBEEF, 16, &string), STATUS_SUCCESS);
  EXPECT_EQ(text(), "BEEF");
  EXPECT_EQ(RtlInt64ToUnicodeString(~0ull, 8, &string), STATUS_SUCCESS);
  EXPECT_EQ(text(), "1777777777777777777777");
  EXPECT_EQ(RtlIntegerToUnicodeString(5, 7, &string), STATUS_INVALID_PARAMETER);
  string.MaximumLength = 4;
  EXPECT_EQ(RtlIntegerToUnicodeString(100, 10, &string), STATUS_BUFFER_OVERFLOW);
}

TEST(RtlInteger, FromText) {
  ULONG value;
  EXPECT_EQ(RtlCharToInteger("  -12x", 0, &value), STATUS_SUCCESS);
  EXPECT_EQ(value, static_cast<ULONG>(-12));
  EXPECT_EQ(RtlCharToInteger("0xFf", 0, &value), STATUS_SUCCESS);
  EXPECT_EQ(value, 255u);
  EXPECT_EQ(RtlCharToInteger("0b101", 0, &value), STATUS_SUCCESS);
  EXPECT_EQ(value, 5u);
  EXPECT_EQ(RtlCharToInteger("1", 3, &value), STATUS_INVALID_PARAMETER);
  WCHAR digits[] = L"1234";
  UNICODE_STRING counted = {4, 8, digits};
  EXPECT_EQ(RtlUnicodeStringToInteger(&counted, 10, &value), STATUS_SUCCESS);
  EXPECT_EQ(value, 12u);
}

TEST(RtlInteger, Guid) {
  const GUID guid = {0x12345678, 0x9ABC, 0xDEF0, {1, 2, 3, 4, 5, 6, 7, 8}};
  UNICODE_STRING string;
  ASSERT_EQ(RtlStringFromGUID(guid, &string), STATUS_SUCCESS);
  EXPECT_EQ(std::string(string.Buffer, string.Buffer + 38), "{12345678-9ABC-DEF0-0102-030405060708}");
  GUID back = {};
  EXPECT_EQ(RtlGUIDFromString(&string, &back), STATUS_SUCCESS);
  EXPECT_EQ(memcmp(&back, &guid, sizeof guid), 0);
  string.Buffer[3] = 'G';
  EXPECT_EQ(RtlGUIDFromString(&string, &back), STATUS_INVALID_PARAMETER);
  RtlFreeUnicodeString(&string);
}

TEST(RtlInteger, CLibrary) {
  EXPECT_EQ(atoi(" -42x"), -42);
  EXPECT_EQ(_wtoi(L"17"), 17);
  WCHAR* end;
  const WCHAR text[] = L"0x1Fz";
  EXPECT_EQ(wcstoul(text, &end, 0), 31u);
  EXPECT_EQ(end, text + 4);
  EXPECT_EQ(wcstoul(L"99999999999", &end, 10), 0xFFFFFFFFu);
  EXPECT_EQ(_strtoui64("18446744073709551615", nullptr, 10), ~0ull);
  EXPECT_EQ(_strtoui64("18446744073709551616", nullptr, 10), ~0ull);
  char narrow[20];
  EXPECT_STREQ(_itoa(-255, narrow, 16), "ffffff01");
  EXPECT_STREQ(_itoa(-255, narrow, 10), "-255");
  EXPECT_EQ(_itoa_s(1234, narrow, 4, 10), 34);
  EXPECT_EQ(_ui64toa_s(~0ull, narrow, 20, 16), 0);
  EXPECT_STREQ(narrow, "ffffffffffffffff");
  EXPECT_TRUE(isdigit('7') && !isdigit('a') && isxdigit('a') && isspace('\t') && isupper('Q') &&
              islower('q') && isprint('~'));
  EXPECT_EQ(toupper('z'), 'Z');
  EXPECT_EQ(towlower(0x41F), 0x43F);
  char block[4] = {1, 2, 3, 4};
  EXPECT_EQ(memcpy_s(block, 4, narrow, 5), 34);
  EXPECT_EQ(block[0], 0);
}

TEST(RtlInteger, Sort) {
  std::vector<int> values;
  unsigned seed = 1;
  for (int i = 0; i < 1000; ++i)
    values.push_back(static_cast<int>((seed = seed * 1103515245 + 12345) >> 8) % 500);
  std::vector<int> expected = values;
  std::sort(expected.begin(), expected.end());
  auto compare = [](const void* a, const void* b) {
    return *static_cast<const int*>(a) - *static_cast<const int*>(b);
  };
  qsort(values.data(), values.size(), sizeof(int), compare);
  EXPECT_EQ(values, expected);
  for (int wanted : {values[0], values[500], values[999]}) {
    auto* found = static_cast<int*>(bsearch(&wanted, values.data(), values.size(), sizeof(int), compare));
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(*found, wanted);
  }
  const int missing = -1;
  EXPECT_EQ(bsearch(&missing, values.data(), values.size(), sizeof(int), compare), nullptr);
}

TEST(RtlMisc, Version) {
  RTL_OSVERSIONINFOEXW info = {};
  info.dwOSVersionInfoSize = sizeof info;
  RtlpSetVersion(10, 0, 19045);
  EXPECT_EQ(RtlGetVersion(reinterpret_cast<PRTL_OSVERSIONINFOW>(&info)), STATUS_SUCCESS);
  EXPECT_EQ(info.dwMajorVersion, 10u);
  EXPECT_EQ(info.dwBuildNumber, 19045u);
  EXPECT_EQ(info.wProductType, 1);
}

TEST(RtlMisc, Random) {
  ULONG seed = 5;
  const ULONG first = RtlRandomEx(&seed);
  EXPECT_EQ(first, 5u * 16807u);
  EXPECT_NE(RtlRandomEx(&seed), first);
  seed = 0;
  EXPECT_LT(RtlRandom(&seed), 0x7FFFFFFFu);
}

TEST(RtlTime, KnownMoments) {
  TIME_FIELDS fields;
  LARGE_INTEGER time;
  time.QuadPart = 0;
  RtlTimeToTimeFields(&time, &fields);
  EXPECT_EQ(fields.Year, 1601);
  EXPECT_EQ(fields.Weekday, 1);
  time.QuadPart = 133480798599210000;  // 2023-12-26 15:57:39.921 UTC
  RtlTimeToTimeFields(&time, &fields);
  EXPECT_EQ(fields.Year, 2023);
  EXPECT_EQ(fields.Month, 12);
  EXPECT_EQ(fields.Day, 26);
  EXPECT_EQ(fields.Hour, 15);
  EXPECT_EQ(fields.Minute, 57);
  EXPECT_EQ(fields.Second, 39);
  EXPECT_EQ(fields.Milliseconds, 921);
  EXPECT_EQ(fields.Weekday, 2);
  LARGE_INTEGER back;
  EXPECT_TRUE(RtlTimeFieldsToTime(&fields, &back));
  EXPECT_EQ(back.QuadPart, time.QuadPart);
}

TEST(RtlTime, EveryDayRoundTrips) {
  for (LONGLONG day = 0; day < 366 * 900; day += 17) {
    LARGE_INTEGER time, back;
    time.QuadPart = day * 864000000000;
    TIME_FIELDS fields;
    RtlTimeToTimeFields(&time, &fields);
    ASSERT_TRUE(RtlTimeFieldsToTime(&fields, &back));
    ASSERT_EQ(back.QuadPart, time.QuadPart) << fields.Year << "-" << fields.Month << "-" << fields.Day;
  }
  TIME_FIELDS bad = {2023, 2, 29, 0, 0, 0, 0, 0};
  LARGE_INTEGER time;
  EXPECT_FALSE(RtlTimeFieldsToTime(&bad, &time));
}

TEST(RtlTime, Seconds) {
  LARGE_INTEGER time;
  ULONG seconds;
  RtlSecondsSince1970ToTime(1703606259, &time);
  EXPECT_EQ(time.QuadPart, 133480798590000000);
  ASSERT_TRUE(RtlTimeToSecondsSince1970(&time, &seconds));
  EXPECT_EQ(seconds, 1703606259u);
  RtlSecondsSince1980ToTime(5, &time);
  ASSERT_TRUE(RtlTimeToSecondsSince1980(&time, &seconds));
  EXPECT_EQ(seconds, 5u);
  time.QuadPart = 5;
  EXPECT_FALSE(RtlTimeToSecondsSince1970(&time, &seconds));
}

namespace {
struct Map {
  explicit Map(ULONG size) : units((size + 31) / 32) { RtlInitializeBitMap(&map, units.data(), size); }
  std::vector<ULONG> units;
  RTL_BITMAP map;
};
}  // namespace

TEST(RtlBitmap, RunsAcrossUnits) {
  Map m(100);
  RtlSetBits(&m.map, 30, 40);
  EXPECT_EQ(RtlNumberOfSetBits(&m.map), 40u);
  EXPECT_EQ(RtlNumberOfClearBits(&m.map), 60u);
  EXPECT_TRUE(RtlAreBitsSet(&m.map, 30, 40));
  EXPECT_FALSE(RtlAreBitsSet(&m.map, 29, 2));
  EXPECT_TRUE(RtlAreBitsClear(&m.map, 70, 30));
  EXPECT_FALSE(RtlAreBitsClear(&m.map, 70, 31));
  EXPECT_FALSE(RtlAreBitsClear(&m.map, 0, 0));
  RtlClearBits(&m.map, 64, 2);
  EXPECT_FALSE(RtlTestBit(&m.map, 65));
  EXPECT_TRUE(RtlTestBit(&m.map, 66));
}

TEST(RtlBitmap, FindFromHintThenFromTheStart) {
  Map m(64);
  RtlSetBits(&m.map, 10, 54);
  EXPECT_EQ(RtlFindClearBits(&m.map, 4, 40), 0u);
  EXPECT_EQ(RtlFindClearBits(&m.map, 4, 5), 5u);
  EXPECT_EQ(RtlFindClearBits(&m.map, 11, 0), 0xFFFFFFFFu);
  EXPECT_EQ(RtlFindClearBitsAndSet(&m.map, 3, 0), 0u);
  EXPECT_EQ(RtlFindClearBitsAndSet(&m.map, 3, 0), 3u);
  EXPECT_EQ(RtlFindSetBitsAndClear(&m.map, 6, 0), 0u);
  EXPECT_EQ(RtlNumberOfSetBits(&m.map), 54u);
}

TEST(RtlBitmap, Runs) {
  Map m(40);
  RtlSetAllBits(&m.map);
  RtlClearBits(&m.map, 3, 2);
  RtlClearBits(&m.map, 10, 5);
  RtlClearBits(&m.map, 30, 3);
  ULONG start;
  EXPECT_EQ(RtlFindLongestRunClear(&m.map, &start), 5u);
  EXPECT_EQ(start, 10u);
  EXPECT_EQ(RtlFindFirstRunClear(&m.map, &start), 2u);
  EXPECT_EQ(RtlFindNextForwardRunClear(&m.map, 5, &start), 5u);
  EXPECT_EQ(RtlFindLastBackwardRunClear(&m.map, 29, &start), 5u);
  EXPECT_EQ(start, 10u);
  RTL_BITMAP_RUN runs[2];
  EXPECT_EQ(RtlFindClearRuns(&m.map, runs, 2, TRUE), 2u);
  EXPECT_EQ(runs[0].StartingIndex, 10u);
  EXPECT_EQ(runs[1].StartingIndex, 30u);
  EXPECT_EQ(RtlFindClearRuns(&m.map, runs, 2, FALSE), 2u);
  EXPECT_EQ(runs[0].StartingIndex, 3u);
}

TEST(RtlBitmap, SignificantBits) {
  EXPECT_EQ(RtlFindLeastSignificantBit(0), -1);
  EXPECT_EQ(RtlFindLeastSignificantBit(0x10), 4);
  EXPECT_EQ(RtlFindMostSignificantBit(~0ull), 63);
  EXPECT_EQ(RtlNumberOfSetBitsUlongPtr(0xFF00), 8u);
}

// Oracle: the sequence that RtlVerifyVersionInfo's page tells, for a machine of version 10.0.
TEST(RtlMisc, VerifyVersionInSequence) {
  enum { kEqual = 1, kGreater, kGreaterEqual, kLess, kLessEqual };
  const struct {
    ULONG major, minor;
    USHORT pack;
    UCHAR condition;
    bool holds;
  } rows[] = {
      {6, 1, 1, kGreaterEqual, true},   {5, 9, 3, kGreaterEqual, true},   {10, 0, 0, kGreaterEqual, true},
      {10, 1, 0, kGreaterEqual, false}, {11, 0, 0, kGreaterEqual, false}, {10, 0, 1, kGreaterEqual, false},
      {10, 0, 0, kEqual, true},         {10, 1, 0, kEqual, false},        {6, 0, 0, kEqual, false},
      {10, 0, 0, kGreater, false},      {9, 9, 9, kGreater, true},        {11, 0, 0, kLess, true},
      {10, 1, 0, kLess, true},          {10, 0, 0, kLess, false},         {10, 0, 0, kLessEqual, true},
      {9, 9, 9, kLessEqual, false}};
  const ULONG types = VER_MAJORVERSION | VER_MINORVERSION | VER_SERVICEPACKMAJOR;
  for (const auto& row : rows) {
    RTL_OSVERSIONINFOEXW wanted = {};
    wanted.dwMajorVersion = row.major;
    wanted.dwMinorVersion = row.minor;
    wanted.wServicePackMajor = row.pack;
    ULONGLONG mask = 0;
    for (ULONG type : {VER_MAJORVERSION, VER_MINORVERSION, VER_SERVICEPACKMAJOR})
      mask = VerSetConditionMask(mask, type, row.condition);
    EXPECT_EQ(RtlVerifyVersionInfo(&wanted, types, mask),
              row.holds ? STATUS_SUCCESS : STATUS_REVISION_MISMATCH)
        << row.major << "." << row.minor << " " << int(row.condition);
  }
  EXPECT_EQ(VerSetConditionMask(0, VER_MAJORVERSION, 3), 3ull << 3);
  EXPECT_EQ(VerSetConditionMask(1, VER_PRODUCT_TYPE, 1), 1ull << 21 | 1);
  EXPECT_EQ(VerSetConditionMask(5, 0, 1), 5u);
  RTL_OSVERSIONINFOEXW any = {};
  EXPECT_EQ(RtlVerifyVersionInfo(&any, VER_MAJORVERSION, 0), STATUS_INVALID_PARAMETER);
}

TEST(RtlMisc, VerifyVersion) {
  RtlpSetVersion(10, 0, 22621);
  RTL_OSVERSIONINFOEXW wanted = {};
  wanted.dwMajorVersion = 10;
  wanted.dwBuildNumber = 19041;
  const ULONGLONG at_least = 3ull << 3 | 3ull << 6;
  EXPECT_EQ(RtlVerifyVersionInfo(&wanted, VER_MAJORVERSION | VER_BUILDNUMBER, at_least), STATUS_SUCCESS);
  wanted.dwBuildNumber = 30000;
  EXPECT_EQ(RtlVerifyVersionInfo(&wanted, VER_MAJORVERSION | VER_BUILDNUMBER, at_least),
            STATUS_REVISION_MISMATCH);
  EXPECT_EQ(RtlVerifyVersionInfo(&wanted, VER_MINORVERSION, at_least), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(RtlVerifyVersionInfo(&wanted, 0, 0), STATUS_INVALID_PARAMETER);
}

TEST(RtlMisc, NtDdi) {
  RtlpSetVersion(10, 0, 19041);
  EXPECT_TRUE(RtlIsNtDdiVersionAvailable(0x06010000));   // Windows 7
  EXPECT_TRUE(RtlIsNtDdiVersionAvailable(0x0A000008));   // NTDDI_WIN10_VB: 19041
  EXPECT_FALSE(RtlIsNtDdiVersionAvailable(0x0A00000C));  // NTDDI_WIN10_CO: 22000
}

TEST(RtlMisc, Access) {
  GENERIC_MAPPING mapping = {1, 2, 4, 15};
  ACCESS_MASK mask = GENERIC_READ | GENERIC_EXECUTE | 0x100;
  RtlMapGenericMask(&mask, &mapping);
  EXPECT_EQ(mask, 0x105u);
  EXPECT_TRUE(RtlAreAllAccessesGranted(7, 5));
  EXPECT_FALSE(RtlAreAllAccessesGranted(7, 9));
  EXPECT_TRUE(RtlAreAnyAccessesGranted(7, 9));
}

TEST(RtlMisc, CRandom) {
  srand(1);
  EXPECT_EQ(rand(), 41);  // the documented sequence of the Microsoft run-time library: 41, 18467, 6334
  EXPECT_EQ(rand(), 18467);
  EXPECT_EQ(rand(), 6334);
}
