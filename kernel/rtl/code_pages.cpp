// The two 8-bit code pages: ANSI is Windows-1252, OEM is 437, as on a Windows for the United States.
#include "rtl/rtl.h"

namespace rtl {
namespace {

struct Encoded {
  unsigned short unit;
  UCHAR byte;
};
#include "code_pages.inc"

template <size_t N>
UCHAR Encode(const Encoded (&table)[N], WCHAR unit) {
  if (unit < 0x80) return static_cast<UCHAR>(unit);
  size_t low = 0, high = N;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (table[middle].unit == unit) return table[middle].byte;
    if (table[middle].unit < unit) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return '?';
}

}  // namespace

WCHAR FromAnsi(UCHAR character) {
  return character < 0x80 ? character : static_cast<WCHAR>(kAnsiHigh[character - 0x80]);
}

UCHAR ToAnsi(WCHAR unit) {
  return Encode(kToAnsi, unit);
}

WCHAR FromOem(UCHAR character) {
  return character < 0x80 ? character : static_cast<WCHAR>(kOemHigh[character - 0x80]);
}

UCHAR ToOem(WCHAR unit) {
  return Encode(kToOem, unit);
}

}  // namespace rtl

extern "C" {

namespace {
USHORT oem_lead_bytes[256];  // none
}
PUSHORT NlsOemLeadByteInfo = oem_lead_bytes;
USHORT NlsAnsiCodePage = 1252;
USHORT NlsOemCodePage = 437;
BOOLEAN NlsMbCodePageTag = FALSE;
BOOLEAN NlsMbOemCodePageTag = FALSE;

/// TRUE if the ANSI code page has characters of two bytes: 1252 has none.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlAnsiStringToUnicodeSize.
NT_EXPORT_DATA(NlsMbCodePageTag, Full, "RtlConversion.*");

/// TRUE if the OEM code page has characters of two bytes: 437 has none.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlOemStringToUnicodeSize.
NT_EXPORT_DATA(NlsMbOemCodePageTag, Full, "RtlConversion.*");

/// Non-zero for each byte that begins a character of two bytes in the OEM code page: none in 437.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlIsLeadDbcsCharacter.
NT_EXPORT_DATA(NlsOemLeadByteInfo, Full, "RtlConversion.*");

/// The number of the ANSI code page.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented; exported since NT 3.1.
NT_EXPORT_DATA(NlsAnsiCodePage, Full, "RtlConversion.*");

/// The number of the OEM code page.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented; exported since NT 3.1.
NT_EXPORT_DATA(NlsOemCodePage, Full, "RtlConversion.*");

}  // extern "C"
