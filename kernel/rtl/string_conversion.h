// Counted strings from one encoding to another: what the ANSI and the OEM exports share. The destination is
// the caller's buffer, or a new one in paged pool.
#pragma once

#include "rtl/rtl.h"

namespace rtl {

inline constexpr ULONG kStringTag = 'grtS';

using Decode = WCHAR (*)(UCHAR);
using Encode = UCHAR (*)(WCHAR);

template <typename Ch>
Ch* AllocateText(size_t units) {
  return static_cast<Ch*>(ExAllocatePoolWithTag(PagedPool, units * sizeof(Ch), kStringTag));
}

enum class Ending { kTerminated, kCounted };

// Makes room for `units` characters (and a terminator): allocates, or checks the caller's buffer.
template <typename String, typename Ch>
NTSTATUS PrepareString(String* string, size_t units, bool allocate, Ch*,
                       Ending ending = Ending::kTerminated) {
  const size_t bytes = (units + (ending == Ending::kTerminated ? 1 : 0)) * sizeof(Ch);
  if (bytes > 0xFFFF) return STATUS_INVALID_PARAMETER_2;
  if (allocate) {
    string->Buffer = AllocateText<Ch>(units + 1);
    if (string->Buffer == nullptr) return STATUS_NO_MEMORY;
    string->MaximumLength = static_cast<USHORT>(bytes);
  } else if (units * sizeof(Ch) > string->MaximumLength) {
    return STATUS_BUFFER_OVERFLOW;
  }
  string->Length = static_cast<USHORT>(units * sizeof(Ch));
  if (ending == Ending::kTerminated && bytes <= string->MaximumLength) string->Buffer[units] = 0;
  return STATUS_SUCCESS;
}

inline NTSTATUS StringToUnicode(PUNICODE_STRING to, const STRING* from, BOOLEAN allocate, Decode decode,
                                Ending ending = Ending::kTerminated) {
  const NTSTATUS status =
      PrepareString(to, from->Length, allocate != FALSE, static_cast<WCHAR*>(nullptr), ending);
  if (!NT_SUCCESS(status)) return status;
  for (size_t i = 0; i < from->Length; ++i) to->Buffer[i] = decode(static_cast<UCHAR>(from->Buffer[i]));
  return STATUS_SUCCESS;
}

inline NTSTATUS UnicodeToString(PSTRING to, PCUNICODE_STRING from, BOOLEAN allocate, Encode encode,
                                Ending ending = Ending::kTerminated) {
  const size_t units = from->Length / sizeof(WCHAR);
  const NTSTATUS status = PrepareString(to, units, allocate != FALSE, static_cast<char*>(nullptr), ending);
  if (!NT_SUCCESS(status)) return status;
  for (size_t i = 0; i < units; ++i) to->Buffer[i] = static_cast<char>(encode(from->Buffer[i]));
  return STATUS_SUCCESS;
}

// The ...N forms: as much as fits.
inline NTSTATUS UnicodeToBytes(char* to, ULONG room, PULONG used, PCWCH from, ULONG bytes, Encode encode) {
  ULONG i = 0;
  for (; i < bytes / sizeof(WCHAR) && i < room; ++i) to[i] = static_cast<char>(encode(from[i]));
  if (used != nullptr) *used = i;
  return i < bytes / sizeof(WCHAR) ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

inline NTSTATUS BytesToUnicode(PWCH to, ULONG room, PULONG used, PCCH from, ULONG bytes, Decode decode) {
  ULONG i = 0;
  for (; i < bytes && i < room / sizeof(WCHAR); ++i) to[i] = decode(static_cast<UCHAR>(from[i]));
  if (used != nullptr) *used = i * sizeof(WCHAR);
  return i < bytes ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

inline UCHAR UpcaseToAnsi(WCHAR unit) {
  return ToAnsi(Upcase(unit));
}
inline UCHAR UpcaseToOem(WCHAR unit) {
  return ToOem(Upcase(unit));
}

}  // namespace rtl
