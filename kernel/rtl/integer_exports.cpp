// Numbers and GUIDs to and from text; C's number and character helpers; sorting and searching.
#include "rtl/rtl.h"

namespace {

bool ValidBase(ULONG base) {
  return base == 0 || base == 2 || base == 8 || base == 10 || base == 16;
}

// Digits of `value`, least significant first; returns how many.
int Digits(ULONGLONG value, unsigned base, const char* alphabet, char out[65]) {
  int count = 0;
  do {
    out[count++] = alphabet[value % base];
    value /= base;
  } while (value != 0);
  return count;
}

NTSTATUS ToUnicodeString(ULONGLONG value, ULONG base, PUNICODE_STRING string) {
  if (!ValidBase(base)) return STATUS_INVALID_PARAMETER;
  char digits[65];
  const int count = Digits(value, base == 0 ? 10 : base, "0123456789ABCDEF", digits);
  if (count * sizeof(WCHAR) > string->MaximumLength) return STATUS_BUFFER_OVERFLOW;
  for (int i = 0; i < count; ++i) string->Buffer[i] = static_cast<WCHAR>(digits[count - 1 - i]);
  string->Length = static_cast<USHORT>(count * sizeof(WCHAR));
  if ((count + 1) * sizeof(WCHAR) <= string->MaximumLength) string->Buffer[count] = 0;
  return STATUS_SUCCESS;
}

unsigned DigitValue(unsigned unit) {
  if (unit >= '0' && unit <= '9') return unit - '0';
  if (unit >= 'a' && unit <= 'z') return unit - 'a' + 10;
  if (unit >= 'A' && unit <= 'Z') return unit - 'A' + 10;
  return 99;
}

template <typename Ch>
NTSTATUS ParseInteger(const Ch* at, size_t left, ULONG base, PULONG value) {
  if (!ValidBase(base)) return STATUS_INVALID_PARAMETER;
  while (left != 0 && *at != 0 && static_cast<unsigned>(*at) <= ' ') ++at, --left;
  bool negative = false;
  if (left != 0 && (*at == '-' || *at == '+')) negative = *at == '-', ++at, --left;
  if (base == 0) {
    base = 10;
    if (left >= 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'o' || at[1] == 'b')) {
      base = at[1] == 'x' ? 16 : at[1] == 'o' ? 8 : 2;
      at += 2;
      left -= 2;
    }
  }
  ULONG result = 0;
  for (; left != 0 && DigitValue(static_cast<unsigned>(*at)) < base; ++at, --left) {
    result = result * base + DigitValue(static_cast<unsigned>(*at));
  }
  *value = negative ? 0 - result : result;
  return STATUS_SUCCESS;
}

// What strtoul reads: optional sign and 0x, digits of the base.
template <typename Ch>
ULONGLONG ParseC(const Ch* text, Ch** end, int base, ULONGLONG limit) {
  const Ch* at = text;
  while (*at == ' ' || (*at >= 9 && *at <= 13)) ++at;
  bool negative = false;
  if (*at == '-' || *at == '+') negative = *at++ == '-';
  if ((base == 0 || base == 16) && at[0] == '0' && (at[1] == 'x' || at[1] == 'X') && DigitValue(at[2]) < 16) {
    at += 2;
    base = 16;
  } else if (base == 0) {
    base = *at == '0' ? 8 : 10;
  }
  const Ch* digits = at;
  ULONGLONG value = 0;
  bool overflow = false;
  for (; DigitValue(*at) < static_cast<unsigned>(base); ++at) {
    const unsigned digit = DigitValue(*at);
    overflow = overflow || value > (limit - digit) / base;
    value = value * base + digit;
  }
  if (end != nullptr) *end = const_cast<Ch*>(at == digits ? text : at);
  if (overflow) return limit;
  return negative ? 0 - value : value;
}

template <typename Ch>
Ch* PutNumber(ULONGLONG value, bool negative, Ch* buffer, size_t size, int base, int* error) {
  *error = 22;
  if (buffer == nullptr || size == 0) return buffer;
  buffer[0] = 0;
  if (base < 2 || base > 36) return buffer;
  char digits[65];
  const int count =
      Digits(value, static_cast<unsigned>(base), "0123456789abcdefghijklmnopqrstuvwxyz", digits);
  *error = 34;
  if (static_cast<size_t>(count) + negative + 1 > size) return buffer;
  Ch* at = buffer;
  if (negative) *at++ = '-';
  for (int i = count; i > 0; --i) *at++ = static_cast<Ch>(digits[i - 1]);
  *at = 0;
  *error = 0;
  return buffer;
}

void Swap(unsigned char* a, unsigned char* b, size_t size) {
  for (; size != 0; --size, ++a, ++b) {
    const unsigned char byte = *a;
    *a = *b;
    *b = byte;
  }
}

using Comparer = int(__cdecl*)(const void*, const void*);

void SiftDown(unsigned char* base, size_t root, size_t count, size_t size, Comparer compare) {
  for (size_t child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0) ++child;
    if (compare(base + root * size, base + child * size) >= 0) return;
    Swap(base + root * size, base + child * size, size);
  }
}

bool ParseHex(const WCHAR* text, int count, ULONG* value) {
  *value = 0;
  for (int i = 0; i < count; ++i) {
    const unsigned digit = DigitValue(text[i]);
    if (digit > 15) return false;
    *value = *value << 4 | digit;
  }
  return true;
}

}  // namespace

extern "C" {

/// Writes a number in base 2, 8, 10 (or 0) or 16, upper case, into the given buffer.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlIntegerToUnicodeString.
NT_EXPORT(RtlIntegerToUnicodeString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlInteger.ToUnicodeString");
NTSTATUS NTAPI RtlIntegerToUnicodeString(ULONG Value, ULONG Base, PUNICODE_STRING String) {
  return ToUnicodeString(Value, Base, String);
}

/// Writes a 64-bit number in base 2, 8, 10 (or 0) or 16, upper case, into the given buffer.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlInt64ToUnicodeString.
NT_EXPORT(RtlInt64ToUnicodeString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlInteger.ToUnicodeString");
NTSTATUS NTAPI RtlInt64ToUnicodeString(ULONGLONG Value, ULONG Base, PUNICODE_STRING String) {
  return ToUnicodeString(Value, Base, String);
}

/// Reads a number: blanks, a sign, digits; base 0 knows the prefixes 0x, 0o and 0b. Stops at the first
/// other character.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlUnicodeStringToInteger.
NT_EXPORT(RtlUnicodeStringToInteger, nt::Exactly(PASSIVE_LEVEL), Full, "RtlInteger.FromText");
NTSTATUS NTAPI RtlUnicodeStringToInteger(PCUNICODE_STRING String, ULONG Base, PULONG Value) {
  return ParseInteger(String->Buffer, String->Length / sizeof(WCHAR), Base, Value);
}

/// Reads a number from a terminated string, as RtlUnicodeStringToInteger does.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlCharToInteger.
NT_EXPORT(RtlCharToInteger, nt::Exactly(PASSIVE_LEVEL), Full, "RtlInteger.FromText");
NTSTATUS NTAPI RtlCharToInteger(PCSZ String, ULONG Base, PULONG Value) {
  return ParseInteger(String, static_cast<size_t>(-1), Base, Value);
}

/// Writes a GUID as {XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX} into a new buffer (RtlFreeUnicodeString).
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlStringFromGUID.
NT_EXPORT(RtlStringFromGUID, nt::Exactly(PASSIVE_LEVEL), Full, "RtlInteger.Guid");
NTSTATUS NTAPI RtlStringFromGUID(REFGUID Guid, PUNICODE_STRING GuidString) {
  constexpr int kUnits = 38;
  auto* out = static_cast<WCHAR*>(ExAllocatePoolWithTag(PagedPool, (kUnits + 1) * sizeof(WCHAR), 'grtS'));
  if (out == nullptr) return STATUS_NO_MEMORY;
  GuidString->Buffer = out;
  GuidString->Length = kUnits * sizeof(WCHAR);
  GuidString->MaximumLength = (kUnits + 1) * sizeof(WCHAR);
  auto hex = [&out](ULONG value, int digits) {
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
      *out++ = static_cast<WCHAR>("0123456789ABCDEF"[value >> shift & 15]);
  };
  *out++ = '{';
  hex(Guid.Data1, 8);
  *out++ = '-';
  hex(Guid.Data2, 4);
  *out++ = '-';
  hex(Guid.Data3, 4);
  *out++ = '-';
  for (int i = 0; i < 8; ++i) {
    if (i == 2) *out++ = '-';
    hex(Guid.Data4[i], 2);
  }
  *out++ = '}';
  *out = 0;
  return STATUS_SUCCESS;
}

/// Reads a GUID of the form {XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}; STATUS_INVALID_PARAMETER for anything
/// else.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlGUIDFromString.
NT_EXPORT(RtlGUIDFromString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlInteger.Guid");
NTSTATUS NTAPI RtlGUIDFromString(PUNICODE_STRING GuidString, GUID* Guid) {
  const WCHAR* text = GuidString->Buffer;
  if (GuidString->Length < 38 * sizeof(WCHAR) || text[0] != '{' || text[9] != '-' || text[14] != '-' ||
      text[19] != '-' || text[24] != '-' || text[37] != '}') {
    return STATUS_INVALID_PARAMETER;
  }
  ULONG first = 0, second = 0, third = 0;
  bool valid =
      ParseHex(text + 1, 8, &first) && ParseHex(text + 10, 4, &second) && ParseHex(text + 15, 4, &third);
  GUID result = {first, static_cast<USHORT>(second), static_cast<USHORT>(third), {}};
  for (int i = 0; i < 8 && valid; ++i) {
    ULONG byte;
    valid = ParseHex(text + (i < 2 ? 20 + 2 * i : 25 + 2 * (i - 2)), 2, &byte);
    result.Data4[i] = static_cast<UCHAR>(byte);
  }
  if (!valid) return STATUS_INVALID_PARAMETER;
  *Guid = result;
  return STATUS_SUCCESS;
}

/// Reads a decimal number.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, atoi.
NT_EXPORT(atoi, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl atoi(const char* text) {
  return static_cast<int>(ParseC(text, static_cast<char**>(nullptr), 10, ~0ull));
}

/// Reads a decimal number.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, atol.
NT_EXPORT(atol, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
LONG __cdecl atol(const char* text) {
  return static_cast<LONG>(ParseC(text, static_cast<char**>(nullptr), 10, ~0ull));
}

/// Reads a decimal number.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _wtoi.
NT_EXPORT(_wtoi, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _wtoi(const WCHAR* text) {
  return static_cast<int>(ParseC(text, static_cast<WCHAR**>(nullptr), 10, ~0ull));
}

/// Reads a decimal number.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _wtol.
NT_EXPORT(_wtol, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
LONG __cdecl _wtol(const WCHAR* text) {
  return static_cast<LONG>(ParseC(text, static_cast<WCHAR**>(nullptr), 10, ~0ull));
}

/// Reads an unsigned 32-bit number; too large a one gives 0xFFFFFFFF.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcstoul.
NT_EXPORT(wcstoul, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
ULONG __cdecl wcstoul(const WCHAR* text, WCHAR** end, int base) {
  return static_cast<ULONG>(ParseC(text, end, base, 0xFFFFFFFFull));
}

/// Reads an unsigned 64-bit number; too large a one gives the largest.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _strtoui64.
NT_EXPORT(_strtoui64, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
ULONGLONG __cdecl _strtoui64(const char* text, char** end, int base) {
  return ParseC(text, end, base, ~0ull);
}

/// Writes a number; a negative one has a sign in base 10 only.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _itoa.
NT_EXPORT(_itoa, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
char* __cdecl _itoa(int value, char* buffer, int base) {
  int error;
  const bool negative = base == 10 && value < 0;
  return PutNumber(negative ? 0 - static_cast<ULONGLONG>(value) : static_cast<ULONG>(value), negative, buffer,
                   66, base, &error);
}

/// Writes a number; a negative one has a sign in base 10 only.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _itow.
NT_EXPORT(_itow, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
WCHAR* __cdecl _itow(int value, WCHAR* buffer, int base) {
  int error;
  const bool negative = base == 10 && value < 0;
  return PutNumber(negative ? 0 - static_cast<ULONGLONG>(value) : static_cast<ULONG>(value), negative, buffer,
                   66, base, &error);
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _itoa_s.
NT_EXPORT(_itoa_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _itoa_s(int value, char* buffer, size_t size, int base) {
  int error;
  const bool negative = base == 10 && value < 0;
  PutNumber(negative ? 0 - static_cast<ULONGLONG>(value) : static_cast<ULONG>(value), negative, buffer, size,
            base, &error);
  return error;
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _itow_s.
NT_EXPORT(_itow_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _itow_s(int value, WCHAR* buffer, size_t size, int base) {
  int error;
  const bool negative = base == 10 && value < 0;
  PutNumber(negative ? 0 - static_cast<ULONGLONG>(value) : static_cast<ULONG>(value), negative, buffer, size,
            base, &error);
  return error;
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _ltoa_s.
NT_EXPORT(_ltoa_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _ltoa_s(LONG value, char* buffer, size_t size, int base) {
  int error;
  const bool negative = base == 10 && value < 0;
  PutNumber(negative ? 0 - static_cast<ULONGLONG>(value) : static_cast<ULONG>(value), negative, buffer, size,
            base, &error);
  return error;
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _ltow_s.
NT_EXPORT(_ltow_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _ltow_s(LONG value, WCHAR* buffer, size_t size, int base) {
  int error;
  const bool negative = base == 10 && value < 0;
  PutNumber(negative ? 0 - static_cast<ULONGLONG>(value) : static_cast<ULONG>(value), negative, buffer, size,
            base, &error);
  return error;
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _ultoa_s.
NT_EXPORT(_ultoa_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _ultoa_s(ULONG value, char* buffer, size_t size, int base) {
  int error;
  PutNumber(value, false, buffer, size, base, &error);
  return error;
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _ultow_s.
NT_EXPORT(_ultow_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _ultow_s(ULONG value, WCHAR* buffer, size_t size, int base) {
  int error;
  PutNumber(value, false, buffer, size, base, &error);
  return error;
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _i64toa_s.
NT_EXPORT(_i64toa_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _i64toa_s(LONGLONG value, char* buffer, size_t size, int base) {
  int error;
  const bool negative = base == 10 && value < 0;
  PutNumber(negative ? 0 - static_cast<ULONGLONG>(value) : static_cast<ULONGLONG>(value), negative, buffer,
            size, base, &error);
  return error;
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _i64tow_s.
NT_EXPORT(_i64tow_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _i64tow_s(LONGLONG value, WCHAR* buffer, size_t size, int base) {
  int error;
  const bool negative = base == 10 && value < 0;
  PutNumber(negative ? 0 - static_cast<ULONGLONG>(value) : static_cast<ULONGLONG>(value), negative, buffer,
            size, base, &error);
  return error;
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _ui64toa_s.
NT_EXPORT(_ui64toa_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _ui64toa_s(ULONGLONG value, char* buffer, size_t size, int base) {
  int error;
  PutNumber(value, false, buffer, size, base, &error);
  return error;
}

/// Writes a number into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _ui64tow_s.
NT_EXPORT(_ui64tow_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl _ui64tow_s(ULONGLONG value, WCHAR* buffer, size_t size, int base) {
  int error;
  PutNumber(value, false, buffer, size, base, &error);
  return error;
}

/// Tells whether a character is of the class, in the C locale.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, isdigit.
NT_EXPORT(isdigit, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl isdigit(int c) {
  return c >= '0' && c <= '9' ? 1 : 0;
}

/// Tells whether a character is of the class, in the C locale.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, islower.
NT_EXPORT(islower, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl islower(int c) {
  return c >= 'a' && c <= 'z' ? 1 : 0;
}

/// Tells whether a character is of the class, in the C locale.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, isupper.
NT_EXPORT(isupper, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl isupper(int c) {
  return c >= 'A' && c <= 'Z' ? 1 : 0;
}

/// Tells whether a character is of the class, in the C locale.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, isprint.
NT_EXPORT(isprint, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl isprint(int c) {
  return c >= 0x20 && c < 0x7F ? 1 : 0;
}

/// Tells whether a character is of the class, in the C locale.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, isspace.
NT_EXPORT(isspace, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl isspace(int c) {
  return c == ' ' || (c >= 9 && c <= 13) ? 1 : 0;
}

/// Tells whether a character is of the class, in the C locale.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, isxdigit.
NT_EXPORT(isxdigit, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl isxdigit(int c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ? 1 : 0;
}

/// Returns the lower-case letter of A to Z, anything else unchanged.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, tolower.
NT_EXPORT(tolower, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl tolower(int c) {
  return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/// Returns the upper-case letter of a to z, anything else unchanged.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, toupper.
NT_EXPORT(toupper, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl toupper(int c) {
  return c >= 'a' && c <= 'z' ? c - 32 : c;
}

/// Returns the lower-case form of a wide character.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, towlower.
NT_EXPORT(towlower, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
unsigned short __cdecl towlower(unsigned short c) {
  return rtl::Downcase(static_cast<WCHAR>(c));
}

/// Returns the upper-case form of a wide character.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, towupper.
NT_EXPORT(towupper, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
unsigned short __cdecl towupper(unsigned short c) {
  return rtl::Upcase(static_cast<WCHAR>(c));
}

/// Sorts an array in place (heap sort: no recursion, O(n log n) always; equal elements may change places).
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, qsort.
NT_EXPORT(qsort, nt::AnyIrql(), Full, "RtlInteger.Sort");
void __cdecl qsort(void* base, size_t count, size_t size, Comparer compare) {
  auto* bytes = static_cast<unsigned char*>(base);
  for (size_t root = count / 2; root > 0; --root) SiftDown(bytes, root - 1, count, size, compare);
  for (size_t last = count; last > 1; --last) {
    Swap(bytes, bytes + (last - 1) * size, size);
    SiftDown(bytes, 0, last - 1, size, compare);
  }
}

/// Finds an element in a sorted array, or returns 0.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, bsearch.
NT_EXPORT(bsearch, nt::AnyIrql(), Full, "RtlInteger.Sort");
void* __cdecl bsearch(const void* key, const void* base, size_t count, size_t size, Comparer compare) {
  auto* bytes = static_cast<const unsigned char*>(base);
  while (count != 0) {
    const unsigned char* middle = bytes + count / 2 * size;
    const int order = compare(key, middle);
    if (order == 0) return const_cast<unsigned char*>(middle);
    if (order > 0) {
      bytes = middle + size;
      --count;
    }
    count /= 2;
  }
  return nullptr;
}

/// Copies bytes into a block of `size`. 0, or EINVAL or ERANGE with the block zeroed.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, memcpy_s.
NT_EXPORT(memcpy_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl memcpy_s(void* to, size_t size, const void* from, size_t count) {
  if (count == 0) return 0;
  if (to == nullptr) return 22;
  if (from == nullptr || count > size) {
    __builtin_memset(to, 0, size);
    return from == nullptr ? 22 : 34;
  }
  __builtin_memmove(to, from, count);
  return 0;
}

/// Copies bytes, which may overlap, into a block of `size`. 0, or EINVAL or ERANGE with the block untouched.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, memmove_s.
NT_EXPORT(memmove_s, nt::AnyIrql(), Full, "RtlInteger.CLibrary");
int __cdecl memmove_s(void* to, size_t size, const void* from, size_t count) {
  if (count == 0) return 0;
  if (to == nullptr || from == nullptr) return 22;
  if (count > size) return 34;
  __builtin_memmove(to, from, count);
  return 0;
}

}  // extern "C"
