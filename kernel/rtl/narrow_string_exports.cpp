// Narrow C strings. Pure; any IRQL at which the strings are resident.
#include "rtl/rtl.h"
#include "safe_strings.h"

namespace {

unsigned char Folded(char unit) {
  const auto byte = static_cast<unsigned char>(unit);
  return byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
}

}  // namespace

extern "C" {

/// Returns the length of a string in characters.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strlen.
NT_EXPORT(strlen, nt::AnyIrql(), Full, "RtlNarrowString.Length");
size_t __cdecl strlen(const char* text) {
  size_t length = 0;
  while (text[length] != 0) ++length;
  return length;
}

/// Returns the length of a string, at most `limit`.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strnlen.
NT_EXPORT(strnlen, nt::AnyIrql(), Full, "RtlNarrowString.Length");
size_t __cdecl strnlen(const char* text, size_t limit) {
  size_t length = 0;
  while (length < limit && text[length] != 0) ++length;
  return length;
}

/// Compares at most `count` characters of two strings.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strncmp.
NT_EXPORT(strncmp, nt::AnyIrql(), Full, "RtlNarrowString.Compare");
int __cdecl strncmp(const char* a, const char* b, size_t count) {
  for (; count != 0; --count, ++a, ++b) {
    if (*a != *b) return static_cast<unsigned char>(*a) < static_cast<unsigned char>(*b) ? -1 : 1;
    if (*a == 0) break;
  }
  return 0;
}

/// Compares two strings.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strcmp.
NT_EXPORT(strcmp, nt::AnyIrql(), Full, "RtlNarrowString.Compare");
int __cdecl strcmp(const char* a, const char* b) {
  return strncmp(a, b, static_cast<size_t>(-1));
}

/// Compares at most `count` characters of two strings without regard to case.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _strnicmp.
NT_EXPORT(_strnicmp, nt::AnyIrql(), Full, "RtlNarrowString.CompareIgnoringCase");
int __cdecl _strnicmp(const char* a, const char* b, size_t count) {
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
/// Source: Microsoft C run-time library, _stricmp.
NT_EXPORT(_stricmp, nt::AnyIrql(), Full, "RtlNarrowString.CompareIgnoringCase");
int __cdecl _stricmp(const char* a, const char* b) {
  return _strnicmp(a, b, static_cast<size_t>(-1));
}

/// Copies a string with its terminator. Returns the destination.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strcpy.
NT_EXPORT(strcpy, nt::AnyIrql(), Full, "RtlNarrowString.Copy");
char* __cdecl strcpy(char* __restrict__ to, const char* __restrict__ from) {
  char* at = to;
  while ((*at++ = *from++) != 0) {
  }
  return to;
}

/// Copies at most `count` characters and fills the rest with zeros; no terminator if there is no rest.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strncpy.
NT_EXPORT(strncpy, nt::AnyIrql(), Full, "RtlNarrowString.Copy");
char* __cdecl strncpy(char* __restrict__ to, const char* __restrict__ from, size_t count) {
  size_t i = 0;
  for (; i < count && from[i] != 0; ++i) to[i] = from[i];
  for (; i < count; ++i) to[i] = 0;
  return to;
}

/// Appends at most `count` characters and a terminator. Returns the destination.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strncat.
NT_EXPORT(strncat, nt::AnyIrql(), Full, "RtlNarrowString.Append");
char* __cdecl strncat(char* __restrict__ to, const char* __restrict__ from, size_t count) {
  char* at = to + strlen(to);
  for (; count != 0 && *from != 0; --count) *at++ = *from++;
  *at = 0;
  return to;
}

/// Appends a string. Returns the destination.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strcat.
NT_EXPORT(strcat, nt::AnyIrql(), Full, "RtlNarrowString.Append");
char* __cdecl strcat(char* __restrict__ to, const char* __restrict__ from) {
  strcpy(to + strlen(to), from);
  return to;
}

/// Finds the first occurrence of a character (the terminator too), or returns 0.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strchr.
NT_EXPORT(strchr, nt::AnyIrql(), Full, "RtlNarrowString.Find");
char* __cdecl strchr(const char* text, int wanted) {
  for (;; ++text) {
    if (*text == static_cast<char>(wanted)) return const_cast<char*>(text);
    if (*text == 0) return nullptr;
  }
}

/// Finds the last occurrence of a character (the terminator too), or returns 0.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strrchr.
NT_EXPORT(strrchr, nt::AnyIrql(), Full, "RtlNarrowString.Find");
char* __cdecl strrchr(const char* text, int wanted) {
  char* last = nullptr;
  for (;; ++text) {
    if (*text == static_cast<char>(wanted)) last = const_cast<char*>(text);
    if (*text == 0) return last;
  }
}

/// Finds the first occurrence of a string in another, or returns 0.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strstr.
NT_EXPORT(strstr, nt::AnyIrql(), Full, "RtlNarrowString.Find");
char* __cdecl strstr(const char* text, const char* wanted) {
  const size_t length = strlen(wanted);
  for (;; ++text) {
    if (strncmp(text, wanted, length) == 0) return const_cast<char*>(text);
    if (*text == 0) return nullptr;
  }
}

/// Returns how many characters at the start are all in a set.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strspn.
NT_EXPORT(strspn, nt::AnyIrql(), Full, "RtlNarrowString.Span");
size_t __cdecl strspn(const char* text, const char* accepted) {
  size_t length = 0;
  while (text[length] != 0 && strchr(accepted, text[length]) != nullptr) ++length;
  return length;
}

/// Makes a string upper case in place.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _strupr.
NT_EXPORT(_strupr, nt::AnyIrql(), Full, "RtlNarrowString.Case");
char* __cdecl _strupr(char* text) {
  for (char* at = text; *at != 0; ++at) {
    if (*at >= 'a' && *at <= 'z') *at -= 32;
  }
  return text;
}

/// Makes a string lower case in place.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _strlwr.
NT_EXPORT(_strlwr, nt::AnyIrql(), Full, "RtlNarrowString.Case");
char* __cdecl _strlwr(char* text) {
  for (char* at = text; *at != 0; ++at) *at = static_cast<char>(Folded(*at));
  return text;
}

/// Makes a string lower case in place.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strlwr.
NT_EXPORT(strlwr, nt::AnyIrql(), Full, "RtlNarrowString.Case");
char* __cdecl strlwr(char* text) {
  return _strlwr(text);
}

/// Reverses a string in place.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _strrev.
NT_EXPORT(_strrev, nt::AnyIrql(), Full, "RtlNarrowString.Reverse");
char* __cdecl _strrev(char* text) {
  size_t length = strlen(text);
  for (size_t i = 0; i < length / 2; ++i) {
    const char unit = text[i];
    text[i] = text[length - 1 - i];
    text[length - 1 - i] = unit;
  }
  return text;
}

/// Sets at most `count` characters of a string to one value.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _strnset.
NT_EXPORT(_strnset, nt::AnyIrql(), Full, "RtlNarrowString.Set");
char* __cdecl _strnset(char* text, int value, size_t count) {
  for (size_t i = 0; i < count && text[i] != 0; ++i) text[i] = static_cast<char>(value);
  return text;
}

/// Copies a string into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strcpy_s.
NT_EXPORT(strcpy_s, nt::AnyIrql(), Full, "RtlNarrowString.Safe");
int __cdecl strcpy_s(char* to, size_t size, const char* from) {
  return rtl::CopySafely(to, size, from);
}

/// Appends a string into a buffer of `size` characters. 0, or EINVAL or ERANGE with an empty result.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strcat_s.
NT_EXPORT(strcat_s, nt::AnyIrql(), Full, "RtlNarrowString.Safe");
int __cdecl strcat_s(char* to, size_t size, const char* from) {
  return rtl::AppendSafely(to, size, from);
}

/// Copies at most `count` characters into a buffer of `size`. 0, or EINVAL or ERANGE with an empty
/// result; with _TRUNCATE, what fits and STRUNCATE.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strncpy_s.
NT_EXPORT(strncpy_s, nt::AnyIrql(), Full, "RtlNarrowString.Safe");
int __cdecl strncpy_s(char* to, size_t size, const char* from, size_t count) {
  return rtl::CopySafely(to, size, from, count);
}

/// Appends at most `count` characters into a buffer of `size`. 0, or EINVAL or ERANGE with an empty
/// result; with _TRUNCATE, what fits and STRUNCATE.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, strncat_s.
NT_EXPORT(strncat_s, nt::AnyIrql(), Full, "RtlNarrowString.Safe");
int __cdecl strncat_s(char* to, size_t size, const char* from, size_t count) {
  return rtl::AppendSafely(to, size, from, count);
}

}  // extern "C"
