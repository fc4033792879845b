// Counted and plain strings in the OEM code page, 437.
#include "string_conversion.h"

namespace {

// The counted forms refuse what 437 cannot tell; the others write a question mark.
bool Mappable(PCUNICODE_STRING string, rtl::Encode encode) {
  for (size_t i = 0; i < string->Length / sizeof(WCHAR); ++i) {
    if (string->Buffer[i] != '?' && encode(string->Buffer[i]) == '?') return false;
  }
  return true;
}

NTSTATUS ToCounted(POEM_STRING to, PCUNICODE_STRING from, BOOLEAN allocate, rtl::Encode encode) {
  if (!Mappable(from, encode)) return STATUS_UNMAPPABLE_CHARACTER;
  return rtl::UnicodeToString(to, from, allocate, encode, rtl::Ending::kCounted);
}

}  // namespace

extern "C" {

/// Converts a counted 8-bit string to a wide one, into the given or a new buffer (RtlFreeUnicodeString).
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is 437.
/// Source: WDK ntifs/RtlOemStringToUnicodeString.
NT_EXPORT(RtlOemStringToUnicodeString, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Ansi*");
NTSTATUS NTAPI RtlOemStringToUnicodeString(PUNICODE_STRING DestinationString, PCOEM_STRING SourceString,
                                           BOOLEAN AllocateDestinationString) {
  return rtl::StringToUnicode(DestinationString, SourceString, AllocateDestinationString, rtl::FromOem);
}

/// Converts a counted wide string to an 8-bit one, into the given or a new buffer; characters that the code
/// page lacks become the best fit, or a question mark.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: the code page is 437; its best fits are those of 1252, not Microsoft's own table.
/// Source: WDK ntifs/RtlUnicodeStringToOemString.
NT_EXPORT(RtlUnicodeStringToOemString, nt::AtMost(APC_LEVEL), Partial, "RtlConversion.Ansi*");
NTSTATUS NTAPI RtlUnicodeStringToOemString(POEM_STRING DestinationString, PCUNICODE_STRING SourceString,
                                           BOOLEAN AllocateDestinationString) {
  return rtl::UnicodeToString(DestinationString, SourceString, AllocateDestinationString, rtl::ToOem);
}

/// Converts a counted wide string to an 8-bit one in upper case, into the given or a new buffer; characters
/// that the code page lacks become the best fit, or a question mark.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: the code page is 437; its best fits are those of 1252, not Microsoft's own table.
/// Source: WDK ntifs/RtlUpcaseUnicodeStringToOemString.
NT_EXPORT(RtlUpcaseUnicodeStringToOemString, nt::AtMost(APC_LEVEL), Partial, "RtlConversion.Ansi*");
NTSTATUS NTAPI RtlUpcaseUnicodeStringToOemString(POEM_STRING DestinationString, PCUNICODE_STRING SourceString,
                                                 BOOLEAN AllocateDestinationString) {
  return rtl::UnicodeToString(DestinationString, SourceString, AllocateDestinationString, rtl::UpcaseToOem);
}

/// Converts wide characters to 8-bit ones as far as they fit; STATUS_BUFFER_OVERFLOW if not all did.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: the code page is 437; its best fits are those of 1252, not Microsoft's own table.
/// Source: WDK ntifs/RtlUnicodeToOemN.
NT_EXPORT(RtlUnicodeToOemN, nt::AtMost(APC_LEVEL), Partial, "RtlConversion.MultiByte*");
NTSTATUS NTAPI RtlUnicodeToOemN(PCHAR Destination, ULONG MaxBytes, PULONG BytesUsed, PCWCH UnicodeString,
                                ULONG BytesInUnicodeString) {
  return rtl::UnicodeToBytes(Destination, MaxBytes, BytesUsed, UnicodeString, BytesInUnicodeString,
                             rtl::ToOem);
}

/// Converts wide characters to 8-bit ones in upper case as far as they fit; STATUS_BUFFER_OVERFLOW if not
/// all did.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: the code page is 437; its best fits are those of 1252, not Microsoft's own table.
/// Source: WDK ntifs/RtlUpcaseUnicodeToOemN.
NT_EXPORT(RtlUpcaseUnicodeToOemN, nt::AtMost(APC_LEVEL), Partial, "RtlConversion.MultiByte*");
NTSTATUS NTAPI RtlUpcaseUnicodeToOemN(PCHAR Destination, ULONG MaxBytes, PULONG BytesUsed,
                                      PCWCH UnicodeString, ULONG BytesInUnicodeString) {
  return rtl::UnicodeToBytes(Destination, MaxBytes, BytesUsed, UnicodeString, BytesInUnicodeString,
                             rtl::UpcaseToOem);
}

/// Converts 8-bit characters to wide ones as far as they fit; STATUS_BUFFER_OVERFLOW if not all did.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is 437.
/// Source: WDK ntifs/RtlOemToUnicodeN.
NT_EXPORT(RtlOemToUnicodeN, nt::AtMost(APC_LEVEL), Full, "RtlConversion.MultiByte*");
NTSTATUS NTAPI RtlOemToUnicodeN(PWCH UnicodeString, ULONG MaxBytesInUnicodeString,
                                PULONG BytesInUnicodeString, PCCH Source, ULONG BytesInSource) {
  return rtl::BytesToUnicode(UnicodeString, MaxBytesInUnicodeString, BytesInUnicodeString, Source,
                             BytesInSource, rtl::FromOem);
}

/// Converts a counted OEM string to a wide one without a terminator, into the given or a new buffer.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is 437.
/// Source: WDK ntifs/RtlOemStringToCountedUnicodeString.
NT_EXPORT(RtlOemStringToCountedUnicodeString, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Oem*");
NTSTATUS NTAPI RtlOemStringToCountedUnicodeString(PUNICODE_STRING DestinationString,
                                                  PCOEM_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString) {
  return rtl::StringToUnicode(DestinationString, SourceString, AllocateDestinationString, rtl::FromOem,
                              rtl::Ending::kCounted);
}

/// Converts a wide string to a counted OEM string without a terminator; STATUS_UNMAPPABLE_CHARACTER, and
/// nothing done, if the code page has no fit for a character.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: the code page is 437; its best fits are those of 1252, not Microsoft's own table.
/// Source: WDK ntifs/RtlUnicodeStringToCountedOemString.
NT_EXPORT(RtlUnicodeStringToCountedOemString, nt::AtMost(APC_LEVEL), Partial, "RtlConversion.Oem*");
NTSTATUS NTAPI RtlUnicodeStringToCountedOemString(POEM_STRING DestinationString,
                                                  PCUNICODE_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString) {
  return ToCounted(DestinationString, SourceString, AllocateDestinationString, rtl::ToOem);
}

/// The same in upper case.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: the code page is 437; its best fits are those of 1252, not Microsoft's own table.
/// Source: WDK ntifs/RtlUpcaseUnicodeStringToCountedOemString.
NT_EXPORT(RtlUpcaseUnicodeStringToCountedOemString, nt::AtMost(APC_LEVEL), Partial, "RtlConversion.Oem*");
NTSTATUS NTAPI RtlUpcaseUnicodeStringToCountedOemString(POEM_STRING DestinationString,
                                                        PCUNICODE_STRING SourceString,
                                                        BOOLEAN AllocateDestinationString) {
  return ToCounted(DestinationString, SourceString, AllocateDestinationString, rtl::UpcaseToOem);
}

/// Tells how many bytes, with a terminator, the wide form of an OEM string takes.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlxOemStringToUnicodeSize.
NT_EXPORT(RtlxOemStringToUnicodeSize, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Oem*");
ULONG NTAPI RtlxOemStringToUnicodeSize(PCOEM_STRING OemString) {
  return (OemString->Length + 1u) * sizeof(WCHAR);
}

/// Tells how many bytes, with a terminator, the OEM form of a string takes.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlxUnicodeStringToOemSize.
NT_EXPORT(RtlxUnicodeStringToOemSize, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Oem*");
ULONG NTAPI RtlxUnicodeStringToOemSize(PCUNICODE_STRING UnicodeString) {
  return UnicodeString->Length / sizeof(WCHAR) + 1;
}

}  // extern "C"
