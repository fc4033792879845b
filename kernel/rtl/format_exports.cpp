// The printf family that the kernel exports. Conversions: d i u o x X p c C s S Z (with w/l: wide, h: narrow;
// I64, I32, I, ll, z for integers; %Z an ANSI_STRING, %wZ a UNICODE_STRING), flags, width, precision, *.
// As in NT's kernel there are no floating-point conversions (their text is copied) and no %n.
#include "rtl/rtl.h"

namespace {

constexpr size_t kUnbounded = 0x7FFFFFFF;

// What the "n" functions return: -1 when the text did not fit; the needed length when there is no buffer at
// all.
template <typename Ch>
int Bounded(Ch* buffer, size_t count, const Ch* format, va_list arguments) {
  const size_t length = rtl::FormatUnterminated(buffer, buffer == nullptr ? 0 : count, format, arguments);
  return buffer != nullptr && length > count ? -1 : static_cast<int>(length);
}

// What the "_s" functions return: the text terminated, -1 and an empty buffer when it did not fit.
template <typename Ch>
int Safe(Ch* buffer, size_t size, const Ch* format, va_list arguments) {
  if (buffer == nullptr || size == 0) return -1;
  const size_t length = rtl::FormatText(buffer, size, format, arguments);
  if (length < size) return static_cast<int>(length);
  buffer[0] = 0;
  return -1;
}

// What the "n..._s" functions return: at most `count` characters of the text, terminated.
template <typename Ch>
int SafeBounded(Ch* buffer, size_t size, size_t count, const Ch* format, va_list arguments) {
  if (buffer == nullptr || size == 0) return -1;
  const bool truncate = count == static_cast<size_t>(-1);
  const size_t room = !truncate && count < size ? count + 1 : size;
  const size_t length = rtl::FormatText(buffer, room, format, arguments);
  if (length < room) return static_cast<int>(length);
  if (!truncate && room == size) buffer[0] = 0;  // the text that was asked for does not fit
  return -1;
}

}  // namespace

extern "C" {

/// Formats text into a buffer of `count` characters; no terminator if the text fills it, -1 if it is
/// longer.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _vsnprintf.
NT_EXPORT(_vsnprintf, nt::AnyIrql(), Full, "RtlFormat.*");
int __cdecl _vsnprintf(char* __restrict__ buffer, size_t count, const char* __restrict__ format,
                       va_list arguments) {
  return Bounded(buffer, count, format, arguments);
}

/// Formats text into a buffer of `count` characters; no terminator if the text fills it, -1 if it is
/// longer.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _snprintf.
NT_EXPORT(_snprintf, nt::AnyIrql(), Full, "RtlFormat.*");
int __cdecl _snprintf(char* __restrict__ buffer, size_t count, const char* __restrict__ format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = Bounded(buffer, count, format, arguments);
  va_end(arguments);
  return result;
}

/// Formats text into a buffer that the caller knows to be large enough.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, sprintf.
NT_EXPORT(sprintf, nt::AnyIrql(), Full, "RtlFormat.*");
int __cdecl sprintf(char* __restrict__ buffer, const char* __restrict__ format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = Bounded(buffer, kUnbounded, format, arguments);
  va_end(arguments);
  return result;
}

/// Formats text into a buffer that the caller knows to be large enough.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, vsprintf.
NT_EXPORT(vsprintf, nt::AnyIrql(), Full, "RtlFormat.*");
int __cdecl vsprintf(char* __restrict__ buffer, const char* __restrict__ format, va_list arguments) {
  return Bounded(buffer, kUnbounded, format, arguments);
}

/// Formats text into a buffer of `size` characters, always terminated; -1 and an empty buffer if it does
/// not fit.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, vsprintf_s.
NT_EXPORT(vsprintf_s, nt::AnyIrql(), Full, "RtlFormat.Safe*");
int __cdecl vsprintf_s(char* buffer, size_t size, const char* format, va_list arguments) {
  return Safe(buffer, size, format, arguments);
}

/// Formats text into a buffer of `size` characters, always terminated; -1 and an empty buffer if it does
/// not fit.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, sprintf_s.
NT_EXPORT(sprintf_s, nt::AnyIrql(), Full, "RtlFormat.Safe*");
int __cdecl sprintf_s(char* buffer, size_t size, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = Safe(buffer, size, format, arguments);
  va_end(arguments);
  return result;
}

/// Formats at most `count` characters (all that fit for _TRUNCATE) into a buffer of `size`, always
/// terminated.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _vsnprintf_s.
NT_EXPORT(_vsnprintf_s, nt::AnyIrql(), Full, "RtlFormat.Safe*");
int __cdecl _vsnprintf_s(char* buffer, size_t size, size_t count, const char* format, va_list arguments) {
  return SafeBounded(buffer, size, count, format, arguments);
}

/// Formats at most `count` characters (all that fit for _TRUNCATE) into a buffer of `size`, always
/// terminated.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _snprintf_s.
NT_EXPORT(_snprintf_s, nt::AnyIrql(), Full, "RtlFormat.Safe*");
int __cdecl _snprintf_s(char* buffer, size_t size, size_t count, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = SafeBounded(buffer, size, count, format, arguments);
  va_end(arguments);
  return result;
}

/// Formats wide text into a buffer of `count` characters; no terminator if the text fills it, -1 if it is
/// longer.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _vsnwprintf.
NT_EXPORT(_vsnwprintf, nt::AnyIrql(), Full, "RtlFormat.*");
int __cdecl _vsnwprintf(WCHAR* __restrict__ buffer, size_t count, const WCHAR* __restrict__ format,
                        va_list arguments) {
  return Bounded(buffer, count, format, arguments);
}

/// Formats wide text into a buffer of `count` characters; no terminator if the text fills it, -1 if it is
/// longer.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _snwprintf.
NT_EXPORT(_snwprintf, nt::AnyIrql(), Full, "RtlFormat.*");
int __cdecl _snwprintf(WCHAR* __restrict__ buffer, size_t count, const WCHAR* __restrict__ format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = Bounded(buffer, count, format, arguments);
  va_end(arguments);
  return result;
}

/// Formats wide text into a buffer that the caller knows to be large enough.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _swprintf.
NT_EXPORT(_swprintf, nt::AnyIrql(), Full, "RtlFormat.*");
int __cdecl _swprintf(WCHAR* __restrict__ buffer, const WCHAR* __restrict__ format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = Bounded(buffer, kUnbounded, format, arguments);
  va_end(arguments);
  return result;
}

/// Formats wide text into a buffer that the caller knows to be large enough.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _vswprintf.
NT_EXPORT(_vswprintf, nt::AnyIrql(), Full, "RtlFormat.*");
int __cdecl _vswprintf(WCHAR* __restrict__ buffer, const WCHAR* __restrict__ format, va_list arguments) {
  return Bounded(buffer, kUnbounded, format, arguments);
}

/// Formats wide text into a buffer that the caller knows to be large enough.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, swprintf of before C99.
NT_EXPORT(swprintf, nt::AnyIrql(), Full, "RtlFormat.*");
int __cdecl swprintf(WCHAR* __restrict__ buffer, const WCHAR* __restrict__ format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = Bounded(buffer, kUnbounded, format, arguments);
  va_end(arguments);
  return result;
}

/// Formats wide text into a buffer of `size` characters, always terminated; -1 and an empty buffer if it
/// does not fit.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, vswprintf_s.
NT_EXPORT(vswprintf_s, nt::AnyIrql(), Full, "RtlFormat.Safe*");
int __cdecl vswprintf_s(WCHAR* buffer, size_t size, const WCHAR* format, va_list arguments) {
  return Safe(buffer, size, format, arguments);
}

/// Formats wide text into a buffer of `size` characters, always terminated; -1 and an empty buffer if it
/// does not fit.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, swprintf_s.
NT_EXPORT(swprintf_s, nt::AnyIrql(), Full, "RtlFormat.Safe*");
int __cdecl swprintf_s(WCHAR* buffer, size_t size, const WCHAR* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = Safe(buffer, size, format, arguments);
  va_end(arguments);
  return result;
}

/// Formats at most `count` wide characters (all that fit for _TRUNCATE) into a buffer of `size`, always
/// terminated.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _vsnwprintf_s.
NT_EXPORT(_vsnwprintf_s, nt::AnyIrql(), Full, "RtlFormat.Safe*");
int __cdecl _vsnwprintf_s(WCHAR* buffer, size_t size, size_t count, const WCHAR* format, va_list arguments) {
  return SafeBounded(buffer, size, count, format, arguments);
}

/// Formats at most `count` wide characters (all that fit for _TRUNCATE) into a buffer of `size`, always
/// terminated.
/// IRQL: any, if the arguments are resident.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, _snwprintf_s.
NT_EXPORT(_snwprintf_s, nt::AnyIrql(), Full, "RtlFormat.Safe*");
int __cdecl _snwprintf_s(WCHAR* buffer, size_t size, size_t count, const WCHAR* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = SafeBounded(buffer, size, count, format, arguments);
  va_end(arguments);
  return result;
}

}  // extern "C"
