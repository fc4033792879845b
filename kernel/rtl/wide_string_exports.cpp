// Wide C strings. Pure; any IRQL at which the strings are resident.
#include "rtl/rtl.h"
#include "safe_strings.h"

namespace {

// The C locale: A to Z, no other letter.
WCHAR Folded(WCHAR unit) {
  return unit >= 'A' && unit <= 'Z' ? static_cast<WCHAR>(unit + 32) : unit;
}

}  // namespace

extern "C" {

/// Returns the length of a string in characters.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcslen.
NT_EXPORT(wcslen, nt::AnyIrql(), Full, "RtlWideString.Length");
size_t __cdecl wcslen(const WCHAR* text) {
  size_t length = 0;
  while (text[length] != 0) ++length;
  return length;
}

/// Returns the length of a string, at most `limit`.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcsnlen.
NT_EXPORT(wcsnlen, nt::AnyIrql(), Full, "RtlWideString.Length");
size_t __cdecl wcsnlen(const WCHAR* text, size_t limit) {
  size_t length = 0;
  while (length < limit && text[length] != 0) ++length;
  return length;
}

/// Compares at most `count` characters of two strings.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcsncmp.
NT_EXPORT(wcsncmp, nt::AnyIrql(), Full, "RtlWideString.Compare");
int __cdecl wcsncmp(const WCHAR* a, const WCHAR* b, size_t count) {
  for (; count != 0; --count, ++a, ++b) {
    if (*a != *b) return static_cast<WCHAR>(*a) < static_cast<WCHAR>(*b) ? -1 : 1;
    if (*a == 0) break;
  }
  return 0;
}

/// Compares two strings.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcscmp.
NT_EXPORT(wcscmp, nt::AnyIrql(), Full, "RtlWideString.Compare");
int __cdecl wcscmp(const WCHAR* a, const WCHAR* b) {
  return wcsncmp(a, b, static_cast<size_t>(-1));
}

/// Compares at most `count` characters of two strings without regard to case.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _wcsnicmp.
NT_EXPORT(_wcsnicmp, nt::AnyIrql(), Full, "RtlWideString.CompareIgnoringCase");
int __cdecl _wcsnicmp(const WCHAR* a, const WCHAR* b, size_t count) {
  for (; count != 0; --count, ++a, ++b) {
    const int left = Folded(*a);
    const int right = Folded(*b);
    if (left != right) return left - right;
    if (left == 0) break;
  }
  return 0;
}

/// Compares two strings without regard to case.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _wcsicmp.
NT_EXPORT(_wcsicmp, nt::AnyIrql(), Full, "RtlWideString.CompareIgnoringCase");
int __cdecl _wcsicmp(const WCHAR* a, const WCHAR* b) {
  return _wcsnicmp(a, b, static_cast<size_t>(-1));
}

/// Copies a string with its terminator. Returns the destination.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcscpy.
NT_EXPORT(wcscpy, nt::AnyIrql(), Full, "RtlWideString.Copy");
WCHAR* __cdecl wcscpy(WCHAR* __restrict__ to, const WCHAR* __restrict__ from) {
  WCHAR* at = to;
  while ((*at++ = *from++) != 0) {
  }
  return to;
}

/// Copies at most `count` characters and fills the rest with zeros; no terminator if there is no rest.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcsncpy.
NT_EXPORT(wcsncpy, nt::AnyIrql(), Full, "RtlWideString.Copy");
WCHAR* __cdecl wcsncpy(WCHAR* __restrict__ to, const WCHAR* __restrict__ from, size_t count) {
  size_t i = 0;
  for (; i < count && from[i] != 0; ++i) to[i] = from[i];
  for (; i < count; ++i) to[i] = 0;
  return to;
}

/// Appends at most `count` characters and a terminator. Returns the destination.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcsncat.
NT_EXPORT(wcsncat, nt::AnyIrql(), Full, "RtlWideString.Append");
WCHAR* __cdecl wcsncat(WCHAR* __restrict__ to, const WCHAR* __restrict__ from, size_t count) {
  WCHAR* at = to + wcslen(to);
  for (; count != 0 && *from != 0; --count) *at++ = *from++;
  *at = 0;
  return to;
}

/// Appends a string. Returns the destination.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcscat.
NT_EXPORT(wcscat, nt::AnyIrql(), Full, "RtlWideString.Append");
WCHAR* __cdecl wcscat(WCHAR* __restrict__ to, const WCHAR* __restrict__ from) {
  wcscpy(to + wcslen(to), from);
  return to;
}

/// Finds the first occurrence of a character (the terminator too), or returns 0.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcschr.
NT_EXPORT(wcschr, nt::AnyIrql(), Full, "RtlWideString.Find");
WCHAR* __cdecl wcschr(const WCHAR* text, WCHAR wanted) {
  for (;; ++text) {
    if (*text == static_cast<WCHAR>(wanted)) return const_cast<WCHAR*>(text);
    if (*text == 0) return nullptr;
  }
}

/// Finds the last occurrence of a character (the terminator too), or returns 0.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcsrchr.
NT_EXPORT(wcsrchr, nt::AnyIrql(), Full, "RtlWideString.Find");
WCHAR* __cdecl wcsrchr(const WCHAR* text, WCHAR wanted) {
  WCHAR* last = nullptr;
  for (;; ++text) {
    if (*text == static_cast<WCHAR>(wanted)) last = const_cast<WCHAR*>(text);
    if (*text == 0) return last;
  }
}

/// Finds the first occurrence of a string in another, or returns 0.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcsstr.
NT_EXPORT(wcsstr, nt::AnyIrql(), Full, "RtlWideString.Find");
WCHAR* __cdecl wcsstr(const WCHAR* text, const WCHAR* wanted) {
  const size_t length = wcslen(wanted);
  for (;; ++text) {
    if (wcsncmp(text, wanted, length) == 0) return const_cast<WCHAR*>(text);
    if (*text == 0) return nullptr;
  }
}

/// Returns how many characters at the start are all in a set.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcsspn.
NT_EXPORT(wcsspn, nt::AnyIrql(), Full, "RtlWideString.Span");
size_t __cdecl wcsspn(const WCHAR* text, const WCHAR* accepted) {
  size_t length = 0;
  while (text[length] != 0 && wcschr(accepted, text[length]) != nullptr) ++length;
  return length;
}

/// Returns how many characters at the start are all outside a set.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcscspn.
NT_EXPORT(wcscspn, nt::AnyIrql(), Full, "RtlWideString.Span");
size_t __cdecl wcscspn(const WCHAR* text, const WCHAR* rejected) {
  size_t length = 0;
  while (text[length] != 0 && wcschr(rejected, text[length]) == nullptr) ++length;
  return length;
}

/// Makes a string upper case in place.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _wcsupr.
NT_EXPORT(_wcsupr, nt::AnyIrql(), Full, "RtlWideString.Case");
WCHAR* __cdecl _wcsupr(WCHAR* text) {
  for (WCHAR* at = text; *at != 0; ++at) {
    if (*at >= 'a' && *at <= 'z') *at = static_cast<WCHAR>(*at - 32);
  }
  return text;
}

/// Makes a string lower case in place.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _wcslwr.
NT_EXPORT(_wcslwr, nt::AnyIrql(), Full, "RtlWideString.Case");
WCHAR* __cdecl _wcslwr(WCHAR* text) {
  for (WCHAR* at = text; *at != 0; ++at) *at = static_cast<WCHAR>(Folded(*at));
  return text;
}

/// Makes a string lower case in place.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcslwr.
NT_EXPORT(wcslwr, nt::AnyIrql(), Full, "RtlWideString.Case");
WCHAR* __cdecl wcslwr(WCHAR* text) {
  return _wcslwr(text);
}

/// Reverses a string in place.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _wcsrev.
NT_EXPORT(_wcsrev, nt::AnyIrql(), Full, "RtlWideString.Reverse");
WCHAR* __cdecl _wcsrev(WCHAR* text) {
  size_t length = wcslen(text);
  for (size_t i = 0; i < length / 2; ++i) {
    const WCHAR unit = text[i];
    text[i] = text[length - 1 - i];
    text[length - 1 - i] = unit;
  }
  return text;
}

/// Sets at most `count` characters of a string to one value.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _wcsnset.
NT_EXPORT(_wcsnset, nt::AnyIrql(), Full, "RtlWideString.Set");
WCHAR* __cdecl _wcsnset(WCHAR* text, WCHAR value, size_t count) {
  for (size_t i = 0; i < count && text[i] != 0; ++i) text[i] = static_cast<WCHAR>(value);
  return text;
}

/// Copies a string into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcscpy_s.
NT_EXPORT(wcscpy_s, nt::AnyIrql(), Full, "RtlWideString.Safe");
int __cdecl wcscpy_s(WCHAR* to, size_t size, const WCHAR* from) {
  return rtl::CopySafely(to, size, from);
}

/// Appends a string into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcscat_s.
NT_EXPORT(wcscat_s, nt::AnyIrql(), Full, "RtlWideString.Safe");
int __cdecl wcscat_s(WCHAR* to, size_t size, const WCHAR* from) {
  return rtl::AppendSafely(to, size, from);
}

/// Copies at most `count` characters into a buffer of `size`. 0, or EINVAL or ERANGE with an empty
/// result; with _TRUNCATE, what fits and STRUNCATE.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcsncpy_s.
NT_EXPORT(wcsncpy_s, nt::AnyIrql(), Full, "RtlWideString.Safe");
int __cdecl wcsncpy_s(WCHAR* to, size_t size, const WCHAR* from, size_t count) {
  return rtl::CopySafely(to, size, from, count);
}

/// Appends at most `count` characters into a buffer of `size`. 0, or EINVAL or ERANGE with an empty
/// result; with _TRUNCATE, what fits and STRUNCATE.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, wcsncat_s.
NT_EXPORT(wcsncat_s, nt::AnyIrql(), Full, "RtlWideString.Safe");
int __cdecl wcsncat_s(WCHAR* to, size_t size, const WCHAR* from, size_t count) {
  return rtl::AppendSafely(to, size, from, count);
}

}  // extern "C"
