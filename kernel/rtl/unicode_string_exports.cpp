// Counted strings: initialise, compare, copy, append. What allocates or converts is in
// string_conversion_exports.cpp.
#include "rtl/rtl.h"

namespace {

constexpr size_t kMaxUnits = 0xFFFE / sizeof(WCHAR);

char UpperAscii(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
}

template <typename Ch, typename Fold>
LONG Compare(const Ch* a, size_t a_count, const Ch* b, size_t b_count, bool ignore_case, Fold fold) {
  const size_t common = a_count < b_count ? a_count : b_count;
  for (size_t i = 0; i < common; ++i) {
    LONG left = static_cast<LONG>(sizeof(Ch) == 1 ? static_cast<UCHAR>(a[i]) : a[i]);
    LONG right = static_cast<LONG>(sizeof(Ch) == 1 ? static_cast<UCHAR>(b[i]) : b[i]);
    if (left == right) continue;
    if (ignore_case) {
      left = static_cast<LONG>(fold(a[i]));
      right = static_cast<LONG>(fold(b[i]));
      if (left == right) continue;
    }
    return left - right;
  }
  return static_cast<LONG>(a_count) - static_cast<LONG>(b_count);
}

template <typename String>
void CopyCounted(String* to, const void* from, size_t bytes, size_t terminator) {
  const size_t copied = bytes < to->MaximumLength ? bytes : to->MaximumLength;
  __builtin_memmove(to->Buffer, from, copied);
  to->Length = static_cast<USHORT>(copied);
  if (copied + terminator <= to->MaximumLength)
    __builtin_memset(reinterpret_cast<char*>(to->Buffer) + copied, 0, terminator);
}

template <typename String>
NTSTATUS AppendCounted(String* to, const void* from, size_t bytes, size_t terminator) {
  if (bytes > static_cast<size_t>(to->MaximumLength) || to->Length + bytes > to->MaximumLength)
    return STATUS_BUFFER_TOO_SMALL;
  char* end = reinterpret_cast<char*>(to->Buffer) + to->Length;
  __builtin_memmove(end, from, bytes);
  to->Length = static_cast<USHORT>(to->Length + bytes);
  if (to->Length + terminator <= to->MaximumLength) __builtin_memset(end + bytes, 0, terminator);
  return STATUS_SUCCESS;
}

size_t Length(const WCHAR* text) {
  size_t length = 0;
  while (text[length] != 0) ++length;
  return length;
}
size_t Length(const char* text) {
  size_t length = 0;
  while (text[length] != 0) ++length;
  return length;
}

}  // namespace

extern "C" {

/// Describes a terminated wide string by a counted one; 0 gives an empty string. Longer than 32766
/// characters: cut.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlInitUnicodeString.
NT_EXPORT(RtlInitUnicodeString, nt::AnyIrql(), Full, "RtlUnicodeString.Init*");
VOID NTAPI RtlInitUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
  size_t length = 0;
  if (SourceString != nullptr) {
    length = Length(SourceString);
    if (length > kMaxUnits - 1) length = kMaxUnits - 1;
  }
  DestinationString->Length = static_cast<USHORT>(length * sizeof(WCHAR));
  DestinationString->MaximumLength =
      static_cast<USHORT>(SourceString != nullptr ? (length + 1) * sizeof(WCHAR) : 0);
  DestinationString->Buffer = const_cast<PWSTR>(SourceString);
}

/// As RtlInitUnicodeString, but a string that is too long is an error.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlInitUnicodeStringEx.
NT_EXPORT(RtlInitUnicodeStringEx, nt::AnyIrql(), Full, "RtlUnicodeString.Init*");
NTSTATUS NTAPI RtlInitUnicodeStringEx(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
  if (SourceString != nullptr && Length(SourceString) > kMaxUnits - 1) return STATUS_NAME_TOO_LONG;
  RtlInitUnicodeString(DestinationString, SourceString);
  return STATUS_SUCCESS;
}

/// Describes a terminated string by a counted one; 0 gives an empty string. Longer than 65534 characters:
/// cut.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/RtlInitString.
NT_EXPORT(RtlInitString, nt::AnyIrql(), Full, "RtlUnicodeString.Init*");
VOID NTAPI RtlInitString(PSTRING DestinationString, PCSZ SourceString) {
  size_t length = 0;
  if (SourceString != nullptr) {
    length = Length(SourceString);
    if (length > 0xFFFE) length = 0xFFFE;
  }
  DestinationString->Length = static_cast<USHORT>(length);
  DestinationString->MaximumLength = static_cast<USHORT>(SourceString != nullptr ? length + 1 : 0);
  DestinationString->Buffer = const_cast<PCHAR>(SourceString);
}

/// As RtlInitString, but a string that is too long is an error.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlInitStringEx.
NT_EXPORT(RtlInitStringEx, nt::AnyIrql(), Full, "RtlUnicodeString.Init*");
NTSTATUS NTAPI RtlInitStringEx(PSTRING DestinationString, PCSZ SourceString) {
  if (SourceString != nullptr && Length(SourceString) > 0xFFFE) return STATUS_NAME_TOO_LONG;
  RtlInitString(DestinationString, SourceString);
  return STATUS_SUCCESS;
}

/// As RtlInitString.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/RtlInitAnsiString.
NT_EXPORT(RtlInitAnsiString, nt::AnyIrql(), Full, "RtlUnicodeString.Init*");
VOID NTAPI RtlInitAnsiString(PANSI_STRING DestinationString, PCSZ SourceString) {
  RtlInitString(DestinationString, SourceString);
}

/// As RtlInitStringEx.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlInitAnsiStringEx.
NT_EXPORT(RtlInitAnsiStringEx, nt::AnyIrql(), Full, "RtlUnicodeString.Init*");
NTSTATUS NTAPI RtlInitAnsiStringEx(PANSI_STRING DestinationString, PCSZ SourceString) {
  return RtlInitStringEx(DestinationString, SourceString);
}

/// Compares two runs of wide characters: the difference of the first pair that differs, else of the
/// lengths.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlCompareUnicodeStrings.
NT_EXPORT(RtlCompareUnicodeStrings, nt::AnyIrql(), Full, "RtlUnicodeString.Compare*");
LONG NTAPI RtlCompareUnicodeStrings(PCWCH String1, SIZE_T String1Length, PCWCH String2, SIZE_T String2Length,
                                    BOOLEAN CaseInSensitive) {
  return Compare(String1, String1Length, String2, String2Length, CaseInSensitive != FALSE, rtl::Upcase);
}

/// Compares two counted wide strings, by code unit or by upper-case code unit.
/// IRQL: PASSIVE_LEVEL; any where the strings are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlCompareUnicodeString.
NT_EXPORT(RtlCompareUnicodeString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlUnicodeString.Compare*");
LONG NTAPI RtlCompareUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2,
                                   BOOLEAN CaseInSensitive) {
  return Compare(String1->Buffer, String1->Length / sizeof(WCHAR), String2->Buffer,
                 String2->Length / sizeof(WCHAR), CaseInSensitive != FALSE, rtl::Upcase);
}

/// Tells whether two counted wide strings are equal.
/// IRQL: PASSIVE_LEVEL; any where the strings are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlEqualUnicodeString.
NT_EXPORT(RtlEqualUnicodeString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlUnicodeString.Compare*");
BOOLEAN NTAPI RtlEqualUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2,
                                    BOOLEAN CaseInSensitive) {
  return String1->Length == String2->Length &&
         RtlCompareUnicodeString(String1, String2, CaseInSensitive) == 0;
}

/// Compares two counted strings; without case only a to z count as letters.
/// IRQL: PASSIVE_LEVEL; any where the strings are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlCompareString.
NT_EXPORT(RtlCompareString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlUnicodeString.Ansi*");
LONG NTAPI RtlCompareString(const PSTRING String1, const PSTRING String2, BOOLEAN CaseInSensitive) {
  return Compare(String1->Buffer, String1->Length, String2->Buffer, String2->Length, CaseInSensitive != FALSE,
                 [](char c) { return static_cast<UCHAR>(UpperAscii(c)); });
}

/// Tells whether two counted strings are equal.
/// IRQL: PASSIVE_LEVEL; any where the strings are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlEqualString.
NT_EXPORT(RtlEqualString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlUnicodeString.Ansi*");
BOOLEAN NTAPI RtlEqualString(const PSTRING String1, const PSTRING String2, BOOLEAN CaseInSensitive) {
  return String1->Length == String2->Length && RtlCompareString(String1, String2, CaseInSensitive) == 0;
}

/// Tells whether one counted wide string begins another.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlPrefixUnicodeString.
NT_EXPORT(RtlPrefixUnicodeString, nt::Exactly(PASSIVE_LEVEL), Full, "RtlUnicodeString.Prefix");
BOOLEAN NTAPI RtlPrefixUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2,
                                     BOOLEAN CaseInSensitive) {
  const size_t units = String1->Length / sizeof(WCHAR);
  return String1->Length <= String2->Length &&
         Compare(String1->Buffer, units, String2->Buffer, units, CaseInSensitive != FALSE, rtl::Upcase) == 0;
}

/// Tells whether one counted string begins another.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlPrefixString.
NT_EXPORT(RtlPrefixString, nt::AnyIrql(), Full, "RtlUnicodeString.Prefix");
BOOLEAN NTAPI RtlPrefixString(const STRING* String1, const STRING* String2, BOOLEAN CaseInSensitive) {
  return String1->Length <= String2->Length &&
         Compare(String1->Buffer, String1->Length, String2->Buffer, String1->Length, CaseInSensitive != FALSE,
                 UpperAscii) == 0;
}

/// Copies as much of a counted wide string as fits (and a terminator when there is room); 0 empties the
/// destination.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlCopyUnicodeString.
NT_EXPORT(RtlCopyUnicodeString, nt::AnyIrql(), Full, "RtlUnicodeString.Copy*");
VOID NTAPI RtlCopyUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString) {
  if (SourceString == nullptr) {
    DestinationString->Length = 0;
  } else {
    CopyCounted(DestinationString, SourceString->Buffer, SourceString->Length, sizeof(WCHAR));
  }
}

/// Copies as much of a counted string as fits; 0 empties the destination.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlCopyString.
NT_EXPORT(RtlCopyString, nt::AnyIrql(), Full, "RtlUnicodeString.Ansi*");
VOID NTAPI RtlCopyString(PSTRING DestinationString, const PSTRING SourceString) {
  if (SourceString == nullptr) {
    DestinationString->Length = 0;
  } else {
    CopyCounted(DestinationString, SourceString->Buffer, SourceString->Length, 0);
  }
}

/// Appends a counted wide string (and a terminator when there is room); STATUS_BUFFER_TOO_SMALL changes
/// nothing.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlAppendUnicodeStringToString.
NT_EXPORT(RtlAppendUnicodeStringToString, nt::AnyIrql(), Full, "RtlUnicodeString.Append*");
NTSTATUS NTAPI RtlAppendUnicodeStringToString(PUNICODE_STRING Destination, PCUNICODE_STRING Source) {
  return AppendCounted(Destination, Source->Buffer, Source->Length, sizeof(WCHAR));
}

/// Appends a terminated wide string (and a terminator when there is room); STATUS_BUFFER_TOO_SMALL changes
/// nothing.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlAppendUnicodeToString.
NT_EXPORT(RtlAppendUnicodeToString, nt::AnyIrql(), Full, "RtlUnicodeString.Append*");
NTSTATUS NTAPI RtlAppendUnicodeToString(PUNICODE_STRING Destination, PCWSTR Source) {
  return Source == nullptr
             ? STATUS_SUCCESS
             : AppendCounted(Destination, Source, Length(Source) * sizeof(WCHAR), sizeof(WCHAR));
}

/// Appends a counted string; STATUS_BUFFER_TOO_SMALL changes nothing.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlAppendStringToString.
NT_EXPORT(RtlAppendStringToString, nt::AtMost(APC_LEVEL), Full, "RtlUnicodeString.Ansi*");
NTSTATUS NTAPI RtlAppendStringToString(PSTRING Destination, const STRING* Source) {
  return AppendCounted(Destination, Source->Buffer, Source->Length, 0);
}

/// Appends a terminated string; STATUS_BUFFER_TOO_SMALL changes nothing.
/// IRQL: any, if the strings are resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlAppendAsciizToString.
NT_EXPORT(RtlAppendAsciizToString, nt::AnyIrql(), Full, "RtlUnicodeString.Ansi*");
NTSTATUS NTAPI RtlAppendAsciizToString(PSTRING Destination, PCSTR Source) {
  return Source == nullptr ? STATUS_SUCCESS : AppendCounted(Destination, Source, Length(Source), 0);
}

}  // extern "C"
