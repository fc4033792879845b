// Case mapping of UTF-16 units by Unicode's own table, and the ANSI code page (Windows-1252).
#include "rtl/rtl.h"

namespace rtl {
namespace {

struct CaseRun {
  unsigned short first;
  unsigned short last;
  unsigned short step;
  int delta;
};
#include "unicode_case.inc"

// The last run that starts at or before `unit`; runs of step 2 may interleave, so the neighbours before it
// are tried too.
template <size_t N>
WCHAR Map(const CaseRun (&runs)[N], unsigned unit) {
  size_t low = 0;
  size_t high = N;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (runs[middle].first <= unit) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (size_t tries = 0; low > 0 && tries < 3; ++tries) {
    const CaseRun& run = runs[--low];
    if (unit <= run.last && (unit - run.first) % run.step == 0) return static_cast<WCHAR>(unit + run.delta);
  }
  return static_cast<WCHAR>(unit);
}

// Windows-1252, 0x80 to 0x9F; the five holes keep their value, as Windows's best-fit table has it.
constexpr unsigned short kAnsiHigh[32] = {0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                          0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008D, 0x017D, 0x008F,
                                          0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                          0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178};

}  // namespace

WCHAR Upcase(WCHAR unit) {
  if (unit < 0x80) return unit >= 'a' && unit <= 'z' ? static_cast<WCHAR>(unit - 32) : unit;
  return Map(kUpcaseRuns, unit);
}

WCHAR Downcase(WCHAR unit) {
  if (unit < 0x80) return unit >= 'A' && unit <= 'Z' ? static_cast<WCHAR>(unit + 32) : unit;
  return Map(kDowncaseRuns, unit);
}

WCHAR FromAnsi(UCHAR character) {
  return character >= 0x80 && character < 0xA0 ? static_cast<WCHAR>(kAnsiHigh[character - 0x80]) : character;
}

UCHAR ToAnsi(WCHAR unit) {
  if (unit < 0x80 || (unit >= 0xA0 && unit <= 0xFF)) return static_cast<UCHAR>(unit);
  for (unsigned i = 0; i < 32; ++i) {
    if (kAnsiHigh[i] == unit) return static_cast<UCHAR>(0x80 + i);
  }
  return '?';
}

}  // namespace rtl

extern "C" {

/// Returns the upper-case form of a UTF-16 unit.
/// IRQL: any.
/// Differs from NT: Unicode's table of a newer version than Windows's may map a few letters more.
/// Source: WDK ntifs/RtlUpcaseUnicodeChar.
NT_EXPORT(RtlUpcaseUnicodeChar, nt::AtMost(APC_LEVEL), Full, "RtlUnicodeCase.*");
WCHAR NTAPI RtlUpcaseUnicodeChar(WCHAR SourceCharacter) {
  return rtl::Upcase(SourceCharacter);
}

/// Returns the lower-case form of a UTF-16 unit.
/// IRQL: any.
/// Differs from NT: Unicode's table of a newer version than Windows's may map a few letters more.
/// Source: WDK ntifs/RtlDowncaseUnicodeChar.
NT_EXPORT(RtlDowncaseUnicodeChar, nt::Exactly(PASSIVE_LEVEL), Full, "RtlUnicodeCase.*");
WCHAR NTAPI RtlDowncaseUnicodeChar(WCHAR SourceCharacter) {
  return rtl::Downcase(SourceCharacter);
}

}  // extern "C"
