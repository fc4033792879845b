// What rtl gives the other kernel modules beyond NT's exports. Everything in rtl is pure (no locks, no waits,
// no paged data) and may be called at any IRQL unless its manual page says otherwise; the same sources are
// tested on the host.
#pragma once

#ifdef BUGCHECK_RTL_HOST
#include "rtl/host_types.h"
#else
// memcpy_s and friends are defined here, not imported.
#define _SECIMP
#include <stdarg.h>

#include "nt/export.h"
#include "nt/ntos.h"
#endif

namespace rtl {

// Formats as _vsnprintf does, always terminates (when `capacity` is not 0), and returns the length that the
// whole text has, however much of it fitted.
size_t FormatText(char* buffer, size_t capacity, const char* format, va_list arguments);
size_t FormatText(WCHAR* buffer, size_t capacity, const WCHAR* format, va_list arguments);
// The same, but terminates only when there is room for it.
size_t FormatUnterminated(char* buffer, size_t capacity, const char* format, va_list arguments);
size_t FormatUnterminated(WCHAR* buffer, size_t capacity, const WCHAR* format, va_list arguments);

// Simple case mapping of one UTF-16 unit (Unicode's simple upper/lower case, BMP); surrogates map to
// themselves.
WCHAR Upcase(WCHAR unit);
WCHAR Downcase(WCHAR unit);

// The ANSI code page is Windows-1252, the OEM code page 437; a character that they lack becomes the best fit,
// or '?'.
WCHAR FromAnsi(UCHAR character);
UCHAR ToAnsi(WCHAR unit);
WCHAR FromOem(UCHAR character);
UCHAR ToOem(WCHAR unit);

}  // namespace rtl

extern "C" {
// The version that RtlGetVersion and friends report. Called once, before the first driver loads.
VOID NTAPI RtlpSetVersion(ULONG MajorVersion, ULONG MinorVersion, ULONG BuildNumber);
}
