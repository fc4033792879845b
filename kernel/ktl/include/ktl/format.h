// A small printf for the kernel's own messages: works before and without rtl, and in the crash path.
// %% %c %s %ls/%S %d %i %u %x %X %p, widths, '-', '0', precision for strings, h/l/ll/I64/z; %wZ and %Z take
// pointers to UNICODE_STRING and STRING. Anything else is printed as it stands.
#pragma once

#include <stdarg.h>
#include <stddef.h>

namespace ktl {

// Writes at most `size` bytes, the last of them a zero (size > 0). Returns the length written, without the
// zero.
size_t FormatV(char* buffer, size_t size, const char* format, va_list arguments);
size_t Format(char* buffer, size_t size, const char* format, ...);

}  // namespace ktl
