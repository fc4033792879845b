// What the overlay inlines into a driver (include/nt), run in the guest. The only guest test that is built
// with it.
#include "nt_test.h"

#include <ntstrsafe.h>

NT_TEST(RtlGuest, SafeStringsOfTheOverlay) {
  WCHAR buffer[8];
  NT_EXPECT_SUCCESS(RtlStringCchPrintfW(buffer, 8, L"%d-%ws", 12, L"ab"));
  NT_EXPECT_EQ(wcscmp(buffer, L"12-ab"), 0);
  NT_EXPECT_EQ(RtlStringCchPrintfW(buffer, 8, L"%s", L"123456789"), STATUS_BUFFER_OVERFLOW);
  NT_EXPECT_EQ(wcscmp(buffer, L"1234567"), 0);
  UNICODE_STRING string = {0, sizeof buffer, buffer};
  UNICODE_STRING part;
  RtlInitUnicodeString(&part, L"xyz");
  NT_EXPECT_SUCCESS(RtlUnicodeStringPrintf(&string, L"%wZ%u", &part, 7u));
  NT_EXPECT_EQ(string.Length, 8);
  NT_EXPECT_EQ(RtlUnicodeStringCatString(&string, L"abcdef"), STATUS_BUFFER_OVERFLOW);
  NT_EXPECT_EQ(string.Length, 16);
}
