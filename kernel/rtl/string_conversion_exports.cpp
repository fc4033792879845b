// Counted strings: what converts between encodings or allocates. The OEM code page has a file of its own.
#include "string_conversion.h"

namespace {

NTSTATUS MapCase(PUNICODE_STRING to, PCUNICODE_STRING from, bool allocate, WCHAR (*map)(WCHAR)) {
  const size_t units = from->Length / sizeof(WCHAR);
  if (allocate) {
    to->Buffer = rtl::AllocateText<WCHAR>(units != 0 ? units : 1);
    if (to->Buffer == nullptr) return STATUS_NO_MEMORY;
    to->MaximumLength = from->Length;
  } else if (from->Length > to->MaximumLength) {
    return STATUS_BUFFER_OVERFLOW;
  }
  for (size_t i = 0; i < units; ++i) to->Buffer[i] = map(from->Buffer[i]);
  to->Length = from->Length;
  return STATUS_SUCCESS;
}

// One UTF-8 sequence at from[0..left): its code point and length; an ill-formed byte gives U+FFFD and
// length 1.
struct Decoded {
  ULONG point;
  ULONG length;
  bool valid;
};
Decoded DecodeUtf8(const UCHAR* from, ULONG left) {
  const UCHAR lead = from[0];
  if (lead < 0x80) return {lead, 1, true};
  const ULONG count = lead >= 0xF0 && lead < 0xF5   ? 4
                      : lead >= 0xE0 && lead < 0xF0 ? 3
                      : lead >= 0xC2 && lead < 0xE0 ? 2
                                                    : 0;
  if (count == 0 || count > left) return {0xFFFD, 1, false};
  ULONG point = lead & (0xFFu >> (count + 1));
  for (ULONG i = 1; i < count; ++i) {
    if ((from[i] & 0xC0) != 0x80) return {0xFFFD, 1, false};
    point = point << 6 | (from[i] & 0x3F);
  }
  const bool overlong = (count == 3 && point < 0x800) || (count == 4 && point < 0x10000);
  if (overlong || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return {0xFFFD, 1, false};
  return {point, count, true};
}

ULONG EncodeUtf8(ULONG point, UCHAR out[4]) {
  if (point < 0x80) return out[0] = static_cast<UCHAR>(point), 1;
  const ULONG count = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  for (ULONG i = count - 1; i > 0; --i, point >>= 6) out[i] = static_cast<UCHAR>(0x80 | (point & 0x3F));
  out[0] = static_cast<UCHAR>((0xF00 >> count) | point);
  return count;
}

}  // namespace

extern "C" {

/// Converts a counted 8-bit string to a wide one, into the given or a new buffer (RtlFreeUnicodeString).
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is Windows-1252.
/// Source: WDK wdm/RtlAnsiStringToUnicodeString.
NT_EXPORT(RtlAnsiStringToUnicodeString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlConversion.Ansi*");
NTSTATUS NTAPI RtlAnsiStringToUnicodeString(PUNICODE_STRING DestinationString, PANSI_STRING SourceString,
                                            BOOLEAN AllocateDestinationString) {
  return rtl::StringToUnicode(DestinationString, SourceString, AllocateDestinationString, rtl::FromAnsi);
}

/// Converts a counted wide string to an 8-bit one, into the given or a new buffer; characters that the code
/// page lacks become the best fit, or a question mark.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is Windows-1252.
/// Source: WDK ntifs/RtlUnicodeStringToAnsiString.
NT_EXPORT(RtlUnicodeStringToAnsiString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlConversion.Ansi*");
NTSTATUS NTAPI RtlUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                            BOOLEAN AllocateDestinationString) {
  return rtl::UnicodeToString(DestinationString, SourceString, AllocateDestinationString, rtl::ToAnsi);
}

/// Converts a counted wide string to an 8-bit one in upper case, into the given or a new buffer; characters
/// that the code page lacks become the best fit, or a question mark.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is Windows-1252.
/// Source: WDK ntifs/RtlUpcaseUnicodeStringToAnsiString.
NT_EXPORT(RtlUpcaseUnicodeStringToAnsiString, nt::AnyIrql(), Full, "RtlConversion.Ansi*");
NTSTATUS NTAPI RtlUpcaseUnicodeStringToAnsiString(PANSI_STRING DestinationString,
                                                  PCUNICODE_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString) {
  return rtl::UnicodeToString(DestinationString, SourceString, AllocateDestinationString, rtl::UpcaseToAnsi);
}

/// Maps the case of a counted wide string, into the given or a new buffer; both strings may be the same.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlUpcaseUnicodeString.
NT_EXPORT(RtlUpcaseUnicodeString, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Case*");
NTSTATUS NTAPI RtlUpcaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                      BOOLEAN AllocateDestinationString) {
  return MapCase(DestinationString, SourceString, AllocateDestinationString != FALSE, rtl::Upcase);
}

/// Maps the case of a counted wide string, into the given or a new buffer; both strings may be the same.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlDowncaseUnicodeString.
NT_EXPORT(RtlDowncaseUnicodeString, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Case*");
NTSTATUS NTAPI RtlDowncaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                        BOOLEAN AllocateDestinationString) {
  return MapCase(DestinationString, SourceString, AllocateDestinationString != FALSE, rtl::Downcase);
}

/// Returns the upper-case form of an ANSI character.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is Windows-1252.
/// Source: WDK ntddk/RtlUpperChar.
NT_EXPORT(RtlUpperChar, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Case*");
CHAR NTAPI RtlUpperChar(CHAR Character) {
  return static_cast<CHAR>(rtl::ToAnsi(rtl::Upcase(rtl::FromAnsi(static_cast<UCHAR>(Character)))));
}

/// Copies as much of a counted ANSI string as fits, in upper case.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is Windows-1252.
/// Source: WDK ntddk/RtlUpperString.
NT_EXPORT(RtlUpperString, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Case*");
VOID NTAPI RtlUpperString(PSTRING DestinationString, const PSTRING SourceString) {
  const size_t count = SourceString->Length < DestinationString->MaximumLength
                           ? SourceString->Length
                           : DestinationString->MaximumLength;
  for (size_t i = 0; i < count; ++i) DestinationString->Buffer[i] = RtlUpperChar(SourceString->Buffer[i]);
  DestinationString->Length = static_cast<USHORT>(count);
}

/// Makes a counted copy of a terminated wide string in a new buffer (RtlFreeUnicodeString); FALSE if it
/// cannot.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlCreateUnicodeString.
NT_EXPORT(RtlCreateUnicodeString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlConversion.Create*");
BOOLEAN NTAPI RtlCreateUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
  size_t units = 0;
  while (SourceString[units] != 0) ++units;
  if (!NT_SUCCESS(rtl::PrepareString(DestinationString, units, true, static_cast<WCHAR*>(nullptr))))
    return FALSE;
  __builtin_memcpy(DestinationString->Buffer, SourceString, units * sizeof(WCHAR));
  return TRUE;
}

/// Copies a counted wide string into a new buffer. Flags: 1 adds a terminator, 2 (with 1) allocates for an
/// empty string too.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlDuplicateUnicodeString.
NT_EXPORT(RtlDuplicateUnicodeString, nt::AnyIrql(), Full, "RtlConversion.Create*");
NTSTATUS NTAPI RtlDuplicateUnicodeString(ULONG Flags, PCUNICODE_STRING SourceString,
                                         PUNICODE_STRING DestinationString) {
  if (SourceString == nullptr || DestinationString == nullptr || Flags > 3 || Flags == 2)
    return STATUS_INVALID_PARAMETER;
  const size_t units = SourceString->Length / sizeof(WCHAR);
  if (units == 0 && Flags != 3) {
    *DestinationString = {};
    return STATUS_SUCCESS;
  }
  const size_t bytes = (units + (Flags & 1)) * sizeof(WCHAR);
  if (bytes > 0xFFFF) return STATUS_NAME_TOO_LONG;
  WCHAR* buffer = rtl::AllocateText<WCHAR>(units + 1);
  if (buffer == nullptr) return STATUS_NO_MEMORY;
  __builtin_memcpy(buffer, SourceString->Buffer, units * sizeof(WCHAR));
  buffer[units] = 0;
  DestinationString->Length = static_cast<USHORT>(units * sizeof(WCHAR));
  DestinationString->MaximumLength = static_cast<USHORT>(bytes);
  DestinationString->Buffer = buffer;
  return STATUS_SUCCESS;
}

/// Frees the buffer of a string that rtl allocated, and empties the string.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFreeUnicodeString.
NT_EXPORT(RtlFreeUnicodeString, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Create*");
VOID NTAPI RtlFreeUnicodeString(PUNICODE_STRING UnicodeString) {
  if (UnicodeString->Buffer != nullptr) ExFreePoolWithTag(UnicodeString->Buffer, 0);
  *UnicodeString = {};
}

/// Frees the buffer of a string that rtl allocated, and empties the string.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFreeAnsiString.
NT_EXPORT(RtlFreeAnsiString, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Create*");
VOID NTAPI RtlFreeAnsiString(PANSI_STRING AnsiString) {
  if (AnsiString->Buffer != nullptr) ExFreePoolWithTag(AnsiString->Buffer, 0);
  *AnsiString = {};
}

/// Frees the buffer of a string that rtl allocated, and empties the string.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFreeOemString.
NT_EXPORT(RtlFreeOemString, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Create*");
VOID NTAPI RtlFreeOemString(POEM_STRING OemString) {
  if (OemString->Buffer != nullptr) ExFreePoolWithTag(OemString->Buffer, 0);
  *OemString = {};
}

/// Converts wide characters to 8-bit ones as far as they fit; STATUS_BUFFER_OVERFLOW if not all did.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is Windows-1252.
/// Source: WDK ntifs/RtlUnicodeToMultiByteN.
NT_EXPORT(RtlUnicodeToMultiByteN, nt::AtMost(APC_LEVEL), Full, "RtlConversion.MultiByte*");
NTSTATUS NTAPI RtlUnicodeToMultiByteN(PCHAR Destination, ULONG MaxBytes, PULONG BytesUsed,
                                      PCWCH UnicodeString, ULONG BytesInUnicodeString) {
  return rtl::UnicodeToBytes(Destination, MaxBytes, BytesUsed, UnicodeString, BytesInUnicodeString,
                             rtl::ToAnsi);
}

/// Converts wide characters to 8-bit ones in upper case as far as they fit; STATUS_BUFFER_OVERFLOW if not
/// all did.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is Windows-1252.
/// Source: WDK ntifs/RtlUpcaseUnicodeToMultiByteN.
NT_EXPORT(RtlUpcaseUnicodeToMultiByteN, nt::AtMost(APC_LEVEL), Full, "RtlConversion.MultiByte*");
NTSTATUS NTAPI RtlUpcaseUnicodeToMultiByteN(PCHAR Destination, ULONG MaxBytes, PULONG BytesUsed,
                                            PCWCH UnicodeString, ULONG BytesInUnicodeString) {
  return rtl::UnicodeToBytes(Destination, MaxBytes, BytesUsed, UnicodeString, BytesInUnicodeString,
                             rtl::UpcaseToAnsi);
}

/// Converts 8-bit characters to wide ones as far as they fit; STATUS_BUFFER_OVERFLOW if not all did.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is Windows-1252.
/// Source: WDK ntifs/RtlMultiByteToUnicodeN.
NT_EXPORT(RtlMultiByteToUnicodeN, nt::AtMost(APC_LEVEL), Full, "RtlConversion.MultiByte*");
NTSTATUS NTAPI RtlMultiByteToUnicodeN(PWCH UnicodeString, ULONG MaxBytesInUnicodeString,
                                      PULONG BytesInUnicodeString, PCCH Source, ULONG BytesInSource) {
  return rtl::BytesToUnicode(UnicodeString, MaxBytesInUnicodeString, BytesInUnicodeString, Source,
                             BytesInSource, rtl::FromAnsi);
}

/// Tells how many bytes RtlUnicodeToMultiByteN makes.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlUnicodeToMultiByteSize.
NT_EXPORT(RtlUnicodeToMultiByteSize, nt::AtMost(APC_LEVEL), Full, "RtlConversion.MultiByte*");
NTSTATUS NTAPI RtlUnicodeToMultiByteSize(PULONG BytesInMultiByteString, PCWCH UnicodeString,
                                         ULONG BytesInUnicodeString) {
  *BytesInMultiByteString = BytesInUnicodeString / sizeof(WCHAR);
  return STATUS_SUCCESS;
}

/// Tells how many bytes RtlMultiByteToUnicodeN makes.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlMultiByteToUnicodeSize.
NT_EXPORT(RtlMultiByteToUnicodeSize, nt::AtMost(APC_LEVEL), Full, "RtlConversion.MultiByte*");
NTSTATUS NTAPI RtlMultiByteToUnicodeSize(PULONG BytesInUnicodeString, const CHAR* MultiByteString,
                                         ULONG BytesInMultiByteString) {
  *BytesInUnicodeString = BytesInMultiByteString * sizeof(WCHAR);
  return STATUS_SUCCESS;
}

/// Tells how many bytes, with a terminator, the wide form of a string takes.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlxAnsiStringToUnicodeSize.
NT_EXPORT(RtlxAnsiStringToUnicodeSize, nt::Exactly(PASSIVE_LEVEL), Full, "RtlConversion.MultiByte*");
ULONG NTAPI RtlxAnsiStringToUnicodeSize(PCANSI_STRING AnsiString) {
  return (AnsiString->Length + 1u) * sizeof(WCHAR);
}

/// Tells how many bytes, with a terminator, the ANSI form of a string takes.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlxUnicodeStringToAnsiSize.
NT_EXPORT(RtlxUnicodeStringToAnsiSize, nt::Exactly(PASSIVE_LEVEL), Full, "RtlConversion.MultiByte*");
ULONG NTAPI RtlxUnicodeStringToAnsiSize(PCUNICODE_STRING UnicodeString) {
  return UnicodeString->Length / sizeof(WCHAR) + 1;
}

/// Converts the ANSI character at a pointer and advances the pointer.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none; the code page is Windows-1252.
/// Source: WDK ntifs/RtlAnsiCharToUnicodeChar.
NT_EXPORT(RtlAnsiCharToUnicodeChar, nt::AnyIrql(), Full, "RtlConversion.MultiByte*");
WCHAR NTAPI RtlAnsiCharToUnicodeChar(PUCHAR* SourceCharacter) {
  return rtl::FromAnsi(*(*SourceCharacter)++);
}

/// Converts UTF-16 to UTF-8, or only counts when there is no destination. Lone surrogates become U+FFFD and
/// STATUS_SOME_NOT_MAPPED.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlUnicodeToUTF8N.
NT_EXPORT(RtlUnicodeToUTF8N, nt::Exactly(PASSIVE_LEVEL), Full, "RtlConversion.Utf8*");
NTSTATUS NTAPI RtlUnicodeToUTF8N(PCHAR Destination, ULONG MaxBytes, PULONG ActualBytes, PCWCH Source,
                                 ULONG SourceBytes) {
  NTSTATUS status = STATUS_SUCCESS;
  ULONG used = 0;
  const ULONG units = SourceBytes / sizeof(WCHAR);
  for (ULONG i = 0; i < units; ++i) {
    ULONG point = Source[i];
    if (point >= 0xD800 && point < 0xDC00 && i + 1 < units && Source[i + 1] >= 0xDC00 &&
        Source[i + 1] < 0xE000) {
      point = 0x10000 + ((point - 0xD800) << 10) + (Source[++i] - 0xDC00u);
    } else if (point >= 0xD800 && point < 0xE000) {
      point = 0xFFFD;
      status = STATUS_SOME_NOT_MAPPED;
    }
    UCHAR bytes[4];
    const ULONG count = EncodeUtf8(point, bytes);
    if (Destination != nullptr) {
      if (count > MaxBytes - used) {
        status = STATUS_BUFFER_TOO_SMALL;
        break;
      }
      __builtin_memcpy(Destination + used, bytes, count);
    }
    used += count;
  }
  if (ActualBytes != nullptr) *ActualBytes = used;
  return status;
}

/// Converts UTF-8 to UTF-16, or only counts when there is no destination. Ill-formed bytes become U+FFFD
/// and STATUS_SOME_NOT_MAPPED.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlUTF8ToUnicodeN.
NT_EXPORT(RtlUTF8ToUnicodeN, nt::Exactly(PASSIVE_LEVEL), Full, "RtlConversion.Utf8*");
NTSTATUS NTAPI RtlUTF8ToUnicodeN(PWSTR Destination, ULONG MaxBytes, PULONG ActualBytes, PCCH Source,
                                 ULONG SourceBytes) {
  NTSTATUS status = STATUS_SUCCESS;
  ULONG used = 0;  // units
  auto* bytes = reinterpret_cast<const UCHAR*>(Source);
  for (ULONG i = 0; i < SourceBytes;) {
    const Decoded decoded = DecodeUtf8(bytes + i, SourceBytes - i);
    i += decoded.length;
    if (!decoded.valid) status = STATUS_SOME_NOT_MAPPED;
    const ULONG count = decoded.point < 0x10000 ? 1 : 2;
    if (Destination != nullptr) {
      if ((used + count) * sizeof(WCHAR) > MaxBytes) {
        status = STATUS_BUFFER_TOO_SMALL;
        break;
      }
      if (count == 1) {
        Destination[used] = static_cast<WCHAR>(decoded.point);
      } else {
        Destination[used] = static_cast<WCHAR>(0xD800 + ((decoded.point - 0x10000) >> 10));
        Destination[used + 1] = static_cast<WCHAR>(0xDC00 + ((decoded.point - 0x10000) & 0x3FF));
      }
    }
    used += count;
  }
  if (ActualBytes != nullptr) *ActualBytes = used * sizeof(WCHAR);
  return status;
}

/// Hashes a counted wide string (algorithm 0 or 1: x65599), by upper-case units if case does not count.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlHashUnicodeString.
NT_EXPORT(RtlHashUnicodeString, nt::AtMost(APC_LEVEL), Full, "RtlConversion.Hash*");
NTSTATUS NTAPI RtlHashUnicodeString(const UNICODE_STRING* String, BOOLEAN CaseInSensitive,
                                    ULONG HashAlgorithm, PULONG HashValue) {
  if (String == nullptr || HashValue == nullptr || HashAlgorithm > 1) return STATUS_INVALID_PARAMETER;
  ULONG hash = 0;
  for (size_t i = 0; i < String->Length / sizeof(WCHAR); ++i) {
    hash = hash * 65599 + (CaseInSensitive ? rtl::Upcase(String->Buffer[i]) : String->Buffer[i]);
  }
  *HashValue = hash;
  return STATUS_SUCCESS;
}

/// Checks that a counted wide string is well formed.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlValidateUnicodeString.
NT_EXPORT(RtlValidateUnicodeString, nt::AnyIrql(), Full, "RtlConversion.Validate*");
NTSTATUS NTAPI RtlValidateUnicodeString(ULONG Flags, PCUNICODE_STRING String) {
  if (Flags != 0) return STATUS_INVALID_PARAMETER;
  if (String == nullptr) return STATUS_SUCCESS;
  if (String->Length % 2 != 0 || String->MaximumLength % 2 != 0 || String->Length > String->MaximumLength)
    return STATUS_INVALID_PARAMETER;
  return String->Buffer == nullptr && String->MaximumLength != 0 ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

/// Converts a counted UTF-8 string to a wide one, into the given or a new buffer.
/// IRQL: as the documentation says; any where the buffers are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlUTF8StringToUnicodeString.
NT_EXPORT(RtlUTF8StringToUnicodeString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlConversion.Utf8*");
NTSTATUS NTAPI RtlUTF8StringToUnicodeString(PUNICODE_STRING DestinationString, PUTF8_STRING SourceString,
                                            BOOLEAN AllocateDestinationString) {
  ULONG bytes = 0;
  RtlUTF8ToUnicodeN(nullptr, 0, &bytes, SourceString->Buffer, SourceString->Length);
  const NTSTATUS status =
      rtl::PrepareString(DestinationString, bytes / sizeof(WCHAR), AllocateDestinationString != FALSE,
                         static_cast<WCHAR*>(nullptr));
  if (!NT_SUCCESS(status)) return status;
  return RtlUTF8ToUnicodeN(DestinationString->Buffer, bytes, &bytes, SourceString->Buffer,
                           SourceString->Length);
}

}  // extern "C"
