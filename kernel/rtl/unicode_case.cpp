// Case mapping of UTF-16 units by Unicode's own table.
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

}  // namespace

WCHAR Upcase(WCHAR unit) {
  if (unit < 0x80) return unit >= 'a' && unit <= 'z' ? static_cast<WCHAR>(unit - 32) : unit;
  return Map(kUpcaseRuns, unit);
}

WCHAR Downcase(WCHAR unit) {
  if (unit < 0x80) return unit >= 'A' && unit <= 'Z' ? static_cast<WCHAR>(unit + 32) : unit;
  return Map(kDowncaseRuns, unit);
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
