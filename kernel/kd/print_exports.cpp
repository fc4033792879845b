// DbgPrint and its kin: text to the console.
#include <stdarg.h>

#include "kd/kd.h"
#include "kd/print_filter.h"
#include "nt/export.h"

#undef DbgPrint
#undef DbgBreakPoint

extern "C" int _vsnprintf(char* buffer, size_t count, const char* format, va_list arguments);

namespace {

constexpr SIZE_T kLimit = 512;  // as NT: a longer text is cut

struct Source {
  ULONG component;
  ULONG level;
};

ULONG PrintV(Source source, const char* prefix, const char* format, va_list arguments) {
  if (!kd::PrintAllowed(source.component, source.level)) return STATUS_SUCCESS;
  char text[kLimit + 1];
  SIZE_T at = 0;
  for (; prefix != nullptr && prefix[at] != 0 && at < kLimit; ++at) text[at] = prefix[at];
  const int length = _vsnprintf(text + at, kLimit - at, format, arguments);
  const bool cut = length < 0 || static_cast<SIZE_T>(length) > kLimit - at;
  const SIZE_T total = cut ? kLimit : at + static_cast<SIZE_T>(length);
  kd::PutText(text, total);
  STRING output = {static_cast<USHORT>(total), static_cast<USHORT>(total), text};
  kd::TellPrintCallbacks(&output, source.component, source.level);
  return STATUS_SUCCESS;
}

}  // namespace

extern "C" {

/// Prints a message to the console log.
/// IRQL: <= DIRQL; works at any.
/// Differs from NT: none; but at first no message is filtered out.
/// Source: WDK wdm/DbgPrint.
NT_EXPORT(DbgPrint, nt::AtMost(12), Full, "KdPrint.*");
ULONG DbgPrint(PCSTR Format, ...) {
  va_list arguments;
  va_start(arguments, Format);
  const ULONG status = PrintV({DPFLTR_DEFAULT_ID, DPFLTR_INFO_LEVEL}, nullptr, Format, arguments);
  va_end(arguments);
  return status;
}

/// Prints a message of a component and level.
/// IRQL: <= DIRQL.
/// Differs from NT: none; but at first no message is filtered out.
/// Source: WDK wdm/DbgPrintEx.
NT_EXPORT(DbgPrintEx, nt::AtMost(12), Full, "KdPrint.*");
ULONG DbgPrintEx(ULONG ComponentId, ULONG Level, PCSTR Format, ...) {
  va_list arguments;
  va_start(arguments, Format);
  const ULONG status = PrintV({ComponentId, Level}, nullptr, Format, arguments);
  va_end(arguments);
  return status;
}

/// DbgPrintEx with an argument list.
/// IRQL: <= DIRQL.
/// Differs from NT: none; but at first no message is filtered out.
/// Source: WDK wdm/vDbgPrintEx.
NT_EXPORT(vDbgPrintEx, nt::AtMost(12), Full, "KdPrint.*");
ULONG NTAPI vDbgPrintEx(ULONG ComponentId, ULONG Level, PCCH Format, va_list arglist) {
  return PrintV({ComponentId, Level}, nullptr, Format, arglist);
}

/// DbgPrintEx with an argument list and a prefix.
/// IRQL: <= DIRQL.
/// Differs from NT: none; but at first no message is filtered out.
/// Source: WDK wdm/vDbgPrintExWithPrefix.
NT_EXPORT(vDbgPrintExWithPrefix, nt::AtMost(12), Full, "KdPrint.*");
ULONG NTAPI vDbgPrintExWithPrefix(PCCH Prefix, ULONG ComponentId, ULONG Level, PCCH Format, va_list arglist) {
  return PrintV({ComponentId, Level}, Prefix, Format, arglist);
}

/// Breaks into the kernel debugger: there is none attached, so the breakpoint exception is the result.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/DbgBreakPoint.
NT_EXPORT(DbgBreakPoint, nt::AnyIrql(), Full, "KdPrint.*");
VOID NTAPI DbgBreakPoint() {
  __debugbreak();
}

/// Breaks into the kernel debugger with a status: there is none attached, so the breakpoint exception is the
/// result.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/DbgBreakPointWithStatus.
NT_EXPORT(DbgBreakPointWithStatus, nt::AnyIrql(), Full, "KdPrint.*");
VOID NTAPI DbgBreakPointWithStatus(ULONG Status) {
  __debugbreak();
}

/// TRUE when a kernel debugger is enabled: never.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KdRefreshDebuggerNotPresent.
NT_EXPORT(KdRefreshDebuggerNotPresent, nt::AnyIrql(), Full, "KdPrint.*");
BOOLEAN NTAPI KdRefreshDebuggerNotPresent() {
  return TRUE;
}

#undef KdDebuggerEnabled
#undef KdDebuggerNotPresent
BOOLEAN KdDebuggerEnabled = FALSE;
BOOLEAN KdDebuggerNotPresent = TRUE;

/// FALSE: there is no kernel debugger protocol.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm header.
NT_EXPORT_DATA(KdDebuggerEnabled, Full, "KdPrint.*");

/// TRUE: no kernel debugger is attached.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm header.
NT_EXPORT_DATA(KdDebuggerNotPresent, Full, "KdPrint.*");

}  // extern "C"
